//! Changes: how soon packets obey them, at which rate they can come, and what outages of the API server do.

use super::cells::{Writer, push, without_empty};
use crate::names::{metric, workload};
use crate::record::Record;
use crate::systems::At;
use crate::table::{Cell, Table};
use crate::text::{shorten, thousands};

/// Kinds of changes, and all of them together.
const KINDS: [(&str, &str); 8] = [
    (workload::KUBE_PROXY_CHANGES, "all changes"),
    (workload::KUBE_PROXY_REPLACE_ENDPOINT, "endpoint replaced"),
    (workload::KUBE_PROXY_ADD_ENDPOINT, "endpoint added"),
    (workload::KUBE_PROXY_REMOVE_ENDPOINT, "endpoint removed"),
    (workload::KUBE_PROXY_ADD_SERVICE, "Service added"),
    (workload::KUBE_PROXY_REMOVE_SERVICE, "Service removed"),
    (workload::KUBE_PROXY_REPLACE_ALL_ENDPOINTS, "all endpoints replaced"),
    (workload::KUBE_PROXY_HUNDRED_ENDPOINTS, "100 endpoints at once"),
];

/// Longest remark in a cell.
const MOST_CHARACTERS: usize = 400;

fn row(writer: &mut Writer<'_, '_, '_>, what: &str, at: &At<'_>) -> Vec<Cell> {
    vec![at.mode.into(), writer.name(at.system), what.into(), thousands(at.services).into()]
}

/// Each mode and system, once.
fn of_systems<'a>(writer: &Writer<'_, 'a, '_>) -> Vec<Vec<At<'a>>> {
    let cells = writer.systems.cells(true);
    cells.chunk_by(|a, b| (a.mode, a.system) == (b.mode, b.system)).map(<[_]>::to_vec).collect()
}

pub(super) fn latency(writer: &mut Writer<'_, '_, '_>) -> Table {
    let names = ["mode", "system", "change", "Services"];
    let columns = ["p50", "p99", "max", "probe resolution"];
    let mut table = Table::new(
        "Programming latency",
        "From the API server's event until the first packet that obeyed the change was sent, to within the probe's resolution. A \
         change that comes within a second of the sync before waits for the rest of it.",
        names.len(),
        &[&names[..], &columns[..]].concat(),
    );
    for scales in of_systems(writer) {
        for (name, what) in KINDS {
            for at in &scales {
                let mut row = row(writer, what, at);
                for field in [Record::p50 as super::cells::Field, Record::p99, Record::max] {
                    row.push(writer.figure(name, metric::PROGRAMMING_LATENCY, at, field));
                }
                row.push(writer.figure(name, metric::PROBE_RESOLUTION, at, Record::p50));
                push(&mut table, row, names.len());
            }
        }
    }
    table
}

/// Up to which rate it keeps up.
pub(super) fn knees(writer: &mut Writer<'_, '_, '_>) -> Table {
    let names = ["mode", "system", "Services"];
    let mut table = Table::new(
        "The knee",
        "Up to how many changes a second latency does not grow: each replaces all endpoints of a Service. Found by search, to a \
         quarter.",
        names.len(),
        &[&names[..], &["keeps up with", "what was tried"]].concat(),
    );
    for at in writer.systems.cells(true) {
        let group = writer.systems.cell(workload::KUBE_PROXY_KNEE, metric::KNEE, &at);
        let mut row = writer.names(&at);
        row.push(writer.of_group(group, Record::p50));
        row.push(remark(group.and_then(|group| group.measured.first().copied())));
        push(&mut table, row, names.len());
    }
    table
}

pub(super) fn rates(writer: &mut Writer<'_, '_, '_>) -> Table {
    let names = ["mode", "system", "changes", "Services"];
    let columns = ["p50", "p99", "max", "late changes", "remark"];
    let mut table = Table::new(
        "Programming latency at steady rates",
        "All endpoints of a Service are replaced, so many times a second. Late: changes that svcbench made more than 100 ms after \
         they were due.",
        names.len(),
        &[&names[..], &columns[..]].concat(),
    );
    for scales in of_systems(writer) {
        for (rate, name) in writer.systems.numbered(workload::KUBE_PROXY_RATE, metric::PROGRAMMING_LATENCY) {
            let what = format!("{} /s", thousands(rate));
            for at in &scales {
                let mut row = row(writer, &what, at);
                for field in [Record::p50 as super::cells::Field, Record::p99, Record::max] {
                    row.push(writer.figure(name, metric::PROGRAMMING_LATENCY, at, field));
                }
                let late = writer.systems.cell(name, metric::LATE_REQUESTS, at);
                row.push(writer.of_group(late, Record::p50));
                row.push(remark(late.and_then(|group| group.measured.first().copied())));
                push(&mut table, row, names.len());
            }
        }
    }
    table
}

const OUTAGES: [(&str, &str); 2] =
    [(workload::KUBE_PROXY_API_AWAY, "API server away"), (workload::KUBE_PROXY_RELIST, "all listed anew")];

pub(super) fn outages(writer: &mut Writer<'_, '_, '_>) -> Table {
    let names = ["mode", "system", "outage", "Services"];
    let mut table = Table::new(
        "The API server is away",
        "From the end of the outage until packets obeyed a change that was made meanwhile; packets to the changed Service that \
         were lost.",
        names.len(),
        &[&names[..], &["recovered", "lost packets"]].concat(),
    );
    for scales in of_systems(writer) {
        for (name, what) in OUTAGES {
            for at in &scales {
                let mut row = row(writer, what, at);
                row.push(writer.figure(name, metric::RECOVERED, at, Record::p50));
                row.push(writer.figure(name, metric::LOST_PACKETS, at, Record::p50));
                push(&mut table, row, names.len());
            }
        }
    }
    without_empty(table)
}

/// What becomes of the endpoints of a UDP Service.
const FATES: [(&str, &str); 2] = [
    (workload::KUBE_PROXY_CONNTRACK_REPLACED, "replaced"),
    (workload::KUBE_PROXY_CONNTRACK_LOST, "all gone"),
];

/// How long flows outlive their endpoints, while the table of connections is full.
pub(super) fn clean_ups(writer: &mut Writer<'_, '_, '_>) -> Table {
    const COLUMNS: [(&str, &str); 5] = [
        (metric::STALE_FLOW_ENDED, "old flow ended"),
        (metric::OWN_CONNTRACK, "its reconciler"),
        (metric::OWN_CONNTRACK_DELETED, "deleted"),
        (metric::PROCESS_CPU, "process, processor"),
        (metric::PROCESS_PEAK_RSS, "process, peak memory"),
    ];
    let names = ["mode", "system", "endpoints", "entries", "Services"];
    let mut table = Table::new(
        "Clean-up of connections",
        "A UDP Service has other endpoints, or none, while connection tracking holds so many entries: from the API server's event \
         until the first packet of an old flow that no longer went to an endpoint which is gone, kube-proxy's own mean time for a \
         search, and how many entries it deleted.",
        names.len(),
        &[&names[..], &COLUMNS.map(|(_, title)| title)[..], &["remark"]].concat(),
    );
    for scales in of_systems(writer) {
        for (prefix, fate) in FATES {
            for (entries, name) in writer.systems.numbered(prefix, metric::TRACKED_AFTER) {
                for at in &scales {
                    let mut row = vec![at.mode.into(), writer.name(at.system), fate.into()];
                    row.extend([thousands(entries).into(), thousands(at.services).into()]);
                    for (metric, _) in COLUMNS {
                        row.push(writer.figure(name, metric, at, Record::p50));
                    }
                    let after = writer.systems.cell(name, metric::TRACKED_AFTER, at);
                    let noted =
                        after.and_then(|group| group.measured.iter().find(|row| !row.note.is_empty()));
                    row.push(remark(noted.copied()));
                    push(&mut table, row, names.len());
                }
            }
        }
    }
    without_empty(table)
}

fn remark(row: Option<&Record>) -> Cell {
    row.map_or_else(|| "—".into(), |row| shorten(&row.note, MOST_CHARACTERS).into())
}
