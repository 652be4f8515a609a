//! What cold syncs take from the machine besides time, and what of its memory they leave in use.

use super::wide::{INTERVAL, RowValue, blocks, figure, names, wide};
use crate::groups::{Group, GroupKey, Groups};
use crate::names::{metric, workload};
use crate::record::Record;
use crate::stats::Medians;
use crate::table::{Cell, Source, Table};

const COLUMNS: [(&str, RowValue, &str); 6] = [
    (metric::SYNC_CPU_USER, Record::p50, ""),
    (metric::SYNC_CPU_SYSTEM, Record::p50, ""),
    (metric::SYNC_CPU_SOFTIRQ, Record::p50, ""),
    (metric::SYNC_CPU_IRQ, Record::p50, ""),
    (metric::CONTEXT_SWITCHES, Record::p50, ""),
    (metric::TOOL_PEAK_RSS, Record::p50, ""),
];

/// Processor time, context switches and the memory of the programming tool.
pub(super) fn cost(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let remark = "Of the whole machine while it synced, whatever else ran included. Processor time is counted in ticks, 10 ms \
                  each: a class with fewer than 20 of them is absent, not zero. tool_peak_rss is the most memory that one \
                  program was seen to use.";
    wide(groups, medians, "What a cold sync costs", remark, &[workload::FULL_SYNC_COLD], &COLUMNS)
}

/// What rules keep of the kernel's memory, and what a Service and an endpoint have of it.
pub(super) fn kernel_memory(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let remark = format!(
        "What the kernel's memory had grown by after a cold sync: slabs that cannot be reclaimed, vmalloc and per-core \
         memory. Per Service and per endpoint it is the same figure divided by their number, so all that does not grow \
         with them is in it: read it at the largest scale. Less than 262 kB is absent. {INTERVAL}"
    );
    let columns =
        ["mode", "endpoints", "Services", "kernel memory", "bytes per Service", "bytes per endpoint", "n"];
    let mut table = Table::new("Kernel memory", &remark, 3, &columns);
    for (key, group) in groups
        .of(workload::FULL_SYNC_COLD, metric::KERNEL_MEMORY)
        .filter(|(_, group)| !group.measured.is_empty())
    {
        let services = u64::from(key.services);
        let mut row = names(key, false);
        row.push(figure(groups, key, group, medians, Record::p50));
        row.push(each(groups, key, group, medians, services));
        row.push(each(groups, key, group, medians, services * u64::from(key.endpoints)));
        row.push(blocks(group));
        table.push(row);
    }
    table
}

/// Whether one of these tables has it.
pub(super) fn shown(key: &GroupKey<'_>) -> bool {
    key.workload == workload::FULL_SYNC_COLD
        && (key.metric == metric::KERNEL_MEMORY || COLUMNS.iter().any(|(name, ..)| *name == key.metric))
}

/// The share of one of `count`.
fn each(
    groups: &Groups<'_>,
    key: &GroupKey<'_>,
    group: &Group<'_>,
    medians: &mut Medians,
    count: u64,
) -> Cell {
    let values: Vec<f64> = match count {
        0 => Vec::new(),
        count => group.per_block(Record::p50).into_values().map(|value| value / count as f64).collect(),
    };
    let estimate = medians.estimate(&values);
    match estimate {
        Some(estimate) => {
            let text = groups.quantity(key.unit).show_estimate(estimate);
            Cell::figure(text, estimate.median, Source::Group(group.number))
        }
        None => "—".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{CellKey, Clock, Unit};

    fn row(block: u32, (services, endpoints): (u32, u32), metric: &str, unit: Unit, value: u64) -> Record {
        let key = CellKey {
            run: "r".into(),
            block,
            order: block,
            mode: "nftables".into(),
            services,
            endpoints,
            position: "".into(),
            workload: workload::FULL_SYNC_COLD.into(),
            contenders: 0,
            clock: Clock::Wall,
            kernel: "6.18".into(),
            hypervisor: "none".into(),
            system: "".into(),
        };
        key.scalar(metric, unit, value)
    }

    #[test]
    fn memory_is_divided_by_services_and_endpoints() {
        let of = |block, scale, value| row(block, scale, metric::KERNEL_MEMORY, Unit::Bytes, value);
        let records = [
            of(1, (1_000, 10), 6_000_000),
            of(1, (100, 10), 700_000),
            of(2, (100, 10), 700_000),
            of(1, (50, 0), 400_000),
            of(1, (0, 0), 300_000),
        ];
        let groups = Groups::split(&records);
        let table = kernel_memory(&groups[0], &mut Medians::new());
        let rows: Vec<String> = table.rows.iter().map(|row| row.join(" | ")).collect();
        assert_eq!(
            rows,
            [
                "nftables | 0 | 0 | 300 kB | — | — | 1",
                "nftables | 0 | 50 | 400 kB | 8 kB | — | 1",
                "nftables | 10 | 100 | 700 kB | 7 kB | 700 B | 2",
                "nftables | 10 | 1,000 | 6 MB | 6 kB | 600 B | 1",
            ]
        );
        assert!(groups[0].map.keys().all(shown));
    }

    #[test]
    fn classes_that_nobody_has_have_no_column() {
        let records = [
            row(1, (100, 10), metric::CONTEXT_SWITCHES, Unit::Count, 512),
            row(1, (100, 10), metric::SYNC_CPU_SYSTEM, Unit::Ns, 250_000_000),
            row(1, (10, 10), metric::CONTEXT_SWITCHES, Unit::Count, 99),
        ];
        let groups = Groups::split(&records);
        let table = cost(&groups[0], &mut Medians::new());
        let columns = table.columns.join(" | ");
        assert_eq!(columns, "mode | endpoints | Services | sync_cpu_system | context_switches | n");
        let rows: Vec<String> = table.rows.iter().map(|row| row.join(" | ")).collect();
        assert_eq!(rows, ["nftables | 10 | 10 | — | 99 | 1", "nftables | 10 | 100 | 250 ms | 512 | 1"]);
        assert!(groups[0].map.keys().all(shown));
    }
}
