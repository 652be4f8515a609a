//! What has no figure, and why.

use std::collections::{BTreeMap, BTreeSet};

use crate::groups::Groups;
use crate::names::mode_rank;
use crate::record::Status;
use crate::table::{Cell, Source, Table};
use crate::text::{LOST, MOST_REASONS, OTHER_REASONS, thousands};

/// What one reason cost one mode.
type LossReason<'a> = (usize, &'a str, Status, &'a str);

/// Workloads, number of rows and the first group that has some, by reason and the scales that it touched.
type LossReasons<'a> = BTreeMap<(LossReason<'a>, BTreeSet<u32>), (Vec<&'a str>, u64, usize)>;

/// Failed and skipped cells: one row per mode and reason, and per workload only where the scales differ.
pub fn lost(groups: &Groups<'_>) -> Table {
    let columns = ["mode", "workload", "status", "Services", "reason", "rows"];
    let mut table = Table::new(LOST, "Nothing is dropped silently.", 5, &columns);
    let mut scales: BTreeMap<(LossReason<'_>, &str), (BTreeSet<u32>, u64, usize)> = BTreeMap::new();
    for (key, group) in &groups.map {
        for row in &group.lost {
            let mut reason = (mode_rank(key.mode), key.mode, row.status, row.note.as_str());
            if scales.len() >= MOST_REASONS && !scales.contains_key(&(reason, key.workload)) {
                reason.3 = OTHER_REASONS;
            }
            let entry =
                scales.entry((reason, key.workload)).or_insert_with(|| (BTreeSet::new(), 0, group.number));
            entry.0.insert(key.services);
            entry.1 += 1;
        }
    }
    let mut reasons = LossReasons::new();
    for ((reason, workload), (services, count, first)) in scales {
        let entry = reasons.entry((reason, services)).or_insert_with(|| (Vec::new(), 0, first));
        entry.0.push(workload);
        entry.1 += count;
    }
    for (((_, mode, status, note), services), (workloads, count, first)) in reasons {
        let scales: Vec<_> = services.into_iter().map(thousands).collect();
        let reason = if note.is_empty() { "no reason given" } else { note };
        table.push(vec![
            mode.into(),
            workloads.join("; ").into(),
            status.to_string().into(),
            scales.join("; ").into(),
            reason.into(),
            Cell::figure(thousands(count), count as f64, Source::Group(first)),
        ]);
    }
    table
}
