//! What syncs are made of, what they cost, and what kube-proxy says of itself.

use std::collections::HashMap;

use super::cells::{Writer, push, without_empty};
use crate::groups::Group;
use crate::names::{metric, phase, workload};
use crate::record::Record;
use crate::stats::median;
use crate::systems::{At, COUNTED_BY_KUBE_PROXY, SyncKind, SyncPhases, sync_phases};
use crate::table::{Cell, Source, Table};
use crate::text::thousands;

const NAMES: [&str; 4] = ["mode", "system", "sync", "Services"];

/// A sync by its parts, plans beside it.
pub(super) fn phases(writer: &mut Writer<'_, '_, '_>) -> Table {
    let columns = [&["whole", "share of generating"][..], &phase::ALL[..]].concat();
    let mut table = Table::new(
        "A sync by phase",
        "Means, of which the parts are the whole. generating: none of its programs runs, so it is kube-proxy's own process; since \
         1.37 it lists nftables over netlink, which is in it. The first sync is everything into an empty kernel; a change's is the \
         mean over all syncs while changes came. plan: svcbench's own, for which generating is its planner; its change is an \
         endpoint that is replaced.",
        NAMES.len(),
        &[&NAMES[..], &columns[..]].concat(),
    );
    for (kind, what) in [(SyncKind::First, "first"), (SyncKind::Change, "change")] {
        let mut all = sync_phases(writer.systems, kind);
        let place = |sync: &SyncPhases<'_>| {
            writer.systems.names.iter().position(|name| name.column == sync.system).unwrap_or(usize::MAX)
        };
        all.sort_by_key(|sync| (crate::names::mode_rank(sync.mode), sync.mode, place(sync), sync.services));
        for sync in all {
            let mut row: Vec<Cell> = vec![
                sync.mode.into(),
                writer.name(sync.system),
                what.into(),
                thousands(sync.services).into(),
            ];
            let (whole, first) = (sync.whole(), sync.parts.first());
            row.push(first.map_or_else(|| "—".into(), |part| writer.time(whole, part.group)));
            let share = sync.of(phase::GENERATING).filter(|_| whole > 0.0).map(|part| {
                let share = part.time / whole;
                Cell::figure(format!("{:.0}%", 100.0 * share), share, Source::Group(part.group))
            });
            row.push(share.unwrap_or_else(|| "—".into()));
            for name in phase::ALL {
                row.push(sync.of(name).map_or_else(|| "—".into(), |part| writer.time(part.time, part.group)));
            }
            push(&mut table, row, NAMES.len());
        }
    }
    without_empty(table)
}

/// When costs were counted.
const PARTS: [(&str, &str); 3] = [
    (workload::KUBE_PROXY_JOIN, "node joins"),
    (workload::KUBE_PROXY_CHANGES, "changes"),
    (workload::KUBE_PROXY_RESTART, "restart"),
];

/// Processor time and memory of the process and of its programs, apart.
pub(super) fn cost(writer: &mut Writer<'_, '_, '_>) -> Table {
    const COLUMNS: [(&str, &str); 8] = [
        (metric::PROCESS_CPU, "process, processor"),
        (metric::PROGRAMS_CPU, "programs, processor"),
        (metric::API_SERVER_CPU, "API server, processor"),
        (metric::PROCESS_PEAK_RSS, "process, peak memory"),
        (metric::PROGRAMS_PEAK_RSS, "largest program, peak memory"),
        (metric::HEAP, "Go heap"),
        (metric::GOROUTINES, "goroutines"),
        (metric::OWN_FAILURES, "failed syncs"),
    ];
    let names = ["mode", "system", "while", "Services"];
    let mut table = Table::new(
        "Processor time and memory",
        "Of kube-proxy's process, and of the programs that it starts: processor time of all of them, peak memory of the largest. \
         The process's peak is since its start. The API server is svcbench's own.",
        names.len(),
        &[&names[..], &COLUMNS.map(|(_, title)| title)[..]].concat(),
    );
    for at in writer.systems.cells(true) {
        for (name, what) in PARTS {
            let mut row: Vec<Cell> =
                vec![at.mode.into(), writer.name(at.system), what.into(), thousands(at.services).into()];
            for (metric, _) in COLUMNS {
                row.push(writer.figure(name, metric, &at, Record::p50));
            }
            push(&mut table, row, names.len());
        }
    }
    sorted(without_empty(table))
}

/// What kube-proxy's own metrics say, what we say, and by how much they disagree.
pub(super) fn own(writer: &mut Writer<'_, '_, '_>) -> Table {
    let names = ["mode", "system", "mean of", "Services"];
    let mut table = Table::new(
        "kube-proxy's own metrics beside ours",
        "Means. Network programming: by its metric until the end of the sync, by us until the first packet that obeys, of those \
         changes that its metric counts. A sync: by its metric over both families, by its log of IPv4. The difference is positive \
         where its own figure is larger. It cannot count what happens before it has the event, nor that packets obey before its \
         sync has ended.",
        names.len(),
        &[&names[..], &["its own", "ours", "difference"]].concat(),
    );
    for at in writer.systems.cells(true) {
        for (what, pair) in pairs(writer, &at) {
            let Some((own, ours)) = pair else { continue };
            let mut row: Vec<Cell> =
                vec![at.mode.into(), writer.name(at.system), what.into(), thousands(at.services).into()];
            row.push(writer.time(own.0, own.1));
            row.push(writer.time(ours.0, ours.1));
            row.push(difference(writer, own.0 - ours.0, own.1));
            push(&mut table, row, names.len());
        }
    }
    sorted(table)
}

fn difference(writer: &Writer<'_, '_, '_>, value: f64, group: usize) -> Cell {
    let shown = writer.time(value, group);
    if value > 0.0 { Cell { text: format!("+{}", shown.text), ..shown } } else { shown }
}

/// A mean and the group that it comes from.
type Mean = (f64, usize);

/// Its figure and ours, of what both say.
fn pairs(writer: &Writer<'_, '_, '_>, at: &At<'_>) -> [(&'static str, Option<(Mean, Mean)>); 3] {
    let of = |workload: &str, metric: &str| mean(writer.systems.cell(workload, metric, at)?);
    let join = workload::KUBE_PROXY_JOIN;
    let changes = workload::KUBE_PROXY_CHANGES;
    let kinds = COUNTED_BY_KUBE_PROXY.iter();
    let ours = kinds.filter_map(|name| writer.systems.cell(name, metric::PROGRAMMING_LATENCY, at));
    [
        ("network programming", of(changes, metric::OWN_NETWORK_PROGRAMMING).zip(together(ours))),
        ("the first sync", of(join, metric::OWN_SYNC).zip(of(join, metric::OWN_FIRST_SYNC))),
        ("a change's sync", of(changes, metric::OWN_SYNC).zip(of(changes, metric::SYNC_DURATION))),
    ]
}

/// Median over blocks of means.
fn mean(group: &Group<'_>) -> Option<Mean> {
    let blocks: Vec<f64> = group.per_block(|row| row.mean).into_values().collect();
    Some((median(&blocks)?, group.number))
}

/// The mean over all samples of several groups.
fn together<'g>(groups: impl Iterator<Item = &'g Group<'g>>) -> Option<Mean> {
    let (mut count, mut sum, mut first) = (0.0, 0.0, None);
    for group in groups {
        for (n, mean) in group.measured.iter().filter_map(|row| Some((row.n as f64, row.mean? as f64))) {
            count += n;
            sum += n * mean;
            first.get_or_insert(group.number);
        }
    }
    (count > 0.0).then_some((sum / count, first?))
}

/// Rows that differ in the number of Services only stand together.
fn sorted(table: Table) -> Table {
    let last = table.left.saturating_sub(1);
    let names = |row: &Vec<String>| row.get(..last).unwrap_or_default().to_vec();
    let mut seen: HashMap<Vec<String>, usize> = HashMap::new();
    for row in &table.rows {
        let next = seen.len();
        seen.entry(names(row)).or_insert(next);
    }
    let mut order: Vec<(usize, Vec<String>)> = table.rows.iter().cloned().enumerate().collect();
    order.sort_by_key(|(_, row)| seen.get(&names(row)).copied());
    let places: HashMap<usize, usize> = order.iter().enumerate().map(|(new, (old, _))| (*old, new)).collect();
    let origins = table
        .origins
        .iter()
        .filter_map(|((row, column), origin)| Some(((*places.get(row)?, *column), *origin)));
    let origins = origins.collect();
    Table { rows: order.into_iter().map(|(_, row)| row).collect(), origins, ..table.clone() }
}
