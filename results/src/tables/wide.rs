//! What tables of measured rows have in common: their cells, and wide tables of one row per cell and one column per metric.

use std::collections::{BTreeMap, BTreeSet};

use crate::groups::{Group, GroupKey, Groups};
use crate::names::{metric, mode_rank, workload};
use crate::record::{Record, Status};
use crate::stats::Medians;
use crate::table::{Cell, Source, Table};
use crate::text::thousands;

pub(super) type RowValue = fn(&Record) -> Option<u64>;

/// What the rows of a wide table share: workload, mode, endpoints, contenders, position, Services,
/// system.
type WideKey<'a> = (usize, usize, &'a str, u32, u32, &'a str, u32, &'a str);

pub(super) const INTERVAL: &str = "Median over blocks, [95% interval], n blocks; no interval where n is 1 or 2 or all \
                        blocks agree exactly.";

/// One row per cell, one column per metric and quantile; columns without any figure are left out.
pub(super) fn wide(
    groups: &Groups<'_>,
    medians: &mut Medians,
    title: &str,
    remark: &str,
    workloads: &[&str],
    metrics: &[(&str, RowValue, &str)],
) -> Table {
    let mut cells: BTreeMap<WideKey<'_>, (Vec<Cell>, usize)> = BTreeMap::new();
    let mut used = BTreeSet::new();
    for (index, name) in workloads.iter().enumerate() {
        for (column, (metric, field, _)) in metrics.iter().enumerate() {
            for (key, group) in groups.of(name, metric) {
                let unfinished = is_unfinished(key, group);
                if group.measured.is_empty() && !unfinished {
                    continue;
                }
                let rank = mode_rank(key.mode);
                let GroupKey { mode, endpoints, contenders, position, services, system, .. } = *key;
                let at = (index, rank, mode, endpoints, contenders, position, services, system);
                let cell =
                    if unfinished { UNFINISHED.into() } else { figure(groups, key, group, medians, *field) };
                let row = cells.entry(at).or_insert_with(|| (vec![Cell::from("—"); metrics.len()], 0));
                if let Some(slot) = row.0.get_mut(column) {
                    *slot = cell;
                }
                row.1 = row.1.max(group.per_block(Record::p50).len());
                used.insert(column);
            }
        }
    }
    let mut table = Table::new(title, &format!("{remark} {INTERVAL}"), 0, &[]);
    // Columns that would say the same in every row are left out too.
    let several =
        |pick: fn(&WideKey<'_>) -> String| cells.keys().map(pick).collect::<BTreeSet<_>>().len() > 1;
    let (contenders, positions) = (several(|key| key.4.to_string()), several(|key| key.5.to_owned()));
    let mut columns = vec!["mode", "endpoints"];
    if workloads.len() > 1 {
        columns.insert(0, "operation");
    }
    if contenders {
        columns.push("contenders");
    }
    if positions {
        columns.push("position");
    }
    let systems = cells.keys().any(|key| !key.7.is_empty());
    if systems {
        columns.push("system");
    }
    columns.push("Services");
    table.left = columns.len();
    table.columns = columns.iter().map(|column| (*column).to_owned()).collect();
    let titles = used
        .iter()
        .filter_map(|column| metrics.get(*column))
        .map(|(metric, _, what)| format!("{metric}{what}"));
    table.columns.extend(titles);
    table.columns.push("n".to_owned());
    for ((index, _, mode, endpoints, contender, position, services, system), (figures, n)) in &cells {
        let mut row: Vec<Cell> = Vec::new();
        if workloads.len() > 1 {
            row.push(workloads.get(*index).copied().unwrap_or_default().into());
        }
        row.extend([(*mode).into(), thousands(*endpoints).into()]);
        if contenders {
            row.push(thousands(*contender).into());
        }
        if positions {
            row.push((*position).into());
        }
        if systems {
            row.push((*system).into());
        }
        row.push(thousands(*services).into());
        row.extend(used.iter().filter_map(|column| figures.get(*column).cloned()));
        row.push(thousands(*n as u64).into());
        table.push(row);
    }
    table
}

/// What stands for a sync that was ended before it was done.
const UNFINISHED: &str = "unfinished";

/// Whether syncs were tried against contenders, and none was waited for to its end.
fn is_unfinished(key: &GroupKey<'_>, group: &Group<'_>) -> bool {
    let syncs = [metric::HOLDER_FULL_SYNC, metric::HOLDER_PARTIAL_SYNC];
    key.workload == workload::XTABLES_LOCK
        && syncs.contains(&key.metric)
        && group.measured.is_empty()
        && group.lost.iter().any(|row| row.status == Status::Skipped)
}

pub(super) fn names(key: &GroupKey<'_>, position: bool) -> Vec<Cell> {
    let mut names: Vec<Cell> = vec![key.mode.into(), thousands(key.endpoints).into()];
    if position {
        names.push(if key.position.is_empty() { "—".into() } else { key.position.into() });
    }
    names.push(thousands(key.services).into());
    names
}

pub(super) fn blocks(group: &Group<'_>) -> Cell {
    thousands(group.per_block(Record::p50).len() as u64).into()
}

/// Median over blocks with its interval; a dash where there is none.
pub(super) fn figure(
    groups: &Groups<'_>,
    key: &GroupKey<'_>,
    group: &Group<'_>,
    medians: &mut Medians,
    field: fn(&Record) -> Option<u64>,
) -> Cell {
    let quantity = groups.quantity(key.unit);
    match group.estimate(medians, field) {
        Some(estimate) => {
            Cell::figure(quantity.show_estimate(estimate), estimate.median, Source::Group(group.number))
        }
        None => "—".into(),
    }
}
