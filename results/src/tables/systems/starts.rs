//! A node that joins, a kube-proxy that starts over what is installed, and what it installs.

use super::cells::{Writer, push, without_empty};
use crate::names::{metric, position, workload};
use crate::record::Record;
use crate::systems::{At, PLAN};
use crate::table::Table;
use crate::text::thousands;

const NAMES: [&str; 3] = ["mode", "system", "Services"];

pub(super) fn joins(writer: &mut Writer<'_, '_, '_>) -> Table {
    let columns = [
        "objects listed",
        "first sync ended",
        "the sync itself",
        "first Service answers",
        "middle",
        "last",
        "lost packets",
    ];
    let mut table = Table::new(
        "A node joins",
        "From the start of the process: until the API server has sent all objects, until the first sync has ended by its log, \
         until a packet to the first, the middle and the last Service of the list was answered. Lost: packets to a Service that \
         had answered before.",
        NAMES.len(),
        &[&NAMES[..], &columns[..]].concat(),
    );
    let name = workload::KUBE_PROXY_JOIN;
    for at in writer.systems.cells(true) {
        let mut row = writer.names(&at);
        for metric in [metric::LISTED, metric::FIRST_SYNC_ENDED, metric::OWN_FIRST_SYNC] {
            row.push(writer.figure(name, metric, &at, Record::p50));
        }
        for position in [position::FIRST, position::MIDDLE, position::LAST] {
            row.push(writer.figure(name, metric::FIRST_ANSWER, &At { position, ..at }, Record::p50));
        }
        row.push(writer.figure(name, metric::LOST_PACKETS, &at, Record::p50));
        push(&mut table, row, NAMES.len());
    }
    without_empty(table)
}

pub(super) fn restarts(writer: &mut Writer<'_, '_, '_>) -> Table {
    let columns = ["objects listed", "first sync ended", "the sync itself", "lost packets"];
    let mut table = Table::new(
        "A restart over what is installed",
        "From the start of the process. Lost: packets to Services that are there all the time.",
        NAMES.len(),
        &[&NAMES[..], &columns[..]].concat(),
    );
    for at in writer.systems.cells(true) {
        let mut row = writer.names(&at);
        for metric in [metric::LISTED, metric::FIRST_SYNC_ENDED, metric::OWN_FIRST_SYNC, metric::LOST_PACKETS]
        {
            row.push(writer.figure(workload::KUBE_PROXY_RESTART, metric, &at, Record::p50));
        }
        push(&mut table, row, NAMES.len());
    }
    without_empty(table)
}

const HELD: [&str; 7] = [
    metric::RULES,
    metric::CHAINS,
    metric::ELEMENTS,
    metric::ANONYMOUS_MAPS,
    metric::VIRTUAL_SERVERS,
    metric::REAL_SERVERS,
    metric::BOUND_ADDRESSES,
];

/// What a node has in its kernel, the plan's own beside it.
pub(super) fn held(writer: &mut Writer<'_, '_, '_>) -> Table {
    let mut table = Table::new(
        "What is installed",
        "Of IPv4, counted in the kernel when the node has joined; plan: what svcbench's own plan leaves there. anonymous_maps are \
         maps and sets without a name, as those by which a Service chooses among its endpoints in nftables mode.",
        NAMES.len(),
        &[&NAMES[..], &HELD[..]].concat(),
    );
    let cells = writer.systems.cells(true);
    for (index, at) in cells.iter().enumerate() {
        let mut row = writer.names(at);
        for metric in HELD {
            row.push(writer.figure(workload::KUBE_PROXY_JOIN, metric, at, Record::p50));
        }
        push(&mut table, row, NAMES.len());
        // After the last system of a mode, the plans at all of its scales.
        if cells.get(index + 1).is_some_and(|next| next.mode == at.mode) {
            continue;
        }
        let mut scales: Vec<u32> =
            cells.iter().filter(|other| other.mode == at.mode).map(|other| other.services).collect();
        scales.sort_unstable();
        scales.dedup();
        for services in scales {
            let plan = At { services, system: "", ..*at };
            let mut row = vec![at.mode.into(), writer.name(PLAN), thousands(services).into()];
            for metric in HELD {
                row.push(writer.figure(workload::FULL_SYNC_COLD, metric, &plan, Record::p50));
            }
            push(&mut table, row, NAMES.len());
        }
    }
    without_empty(table)
}
