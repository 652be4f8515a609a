//! Tables of the section about real kube-proxies: few columns each, one row for each mode, system and scale. The tables of all their
//! metrics are elsewhere.

mod cells;
mod changes;
mod cost;
mod starts;

use self::cells::Writer;
use crate::names::{metric, workload};
use crate::stats::Medians;
use crate::systems::Systems;
use crate::table::Table;

/// Metrics that are in these tables alone.
const ONLY_HERE: [&str; 5] =
    [metric::SYNC_DURATION, metric::RULES, metric::CHAINS, metric::ELEMENTS, metric::ANONYMOUS_MAPS];

/// Whether one of these tables, and no other, has a metric of a real kube-proxy.
pub(super) fn shows(name: &str, metric: &str) -> bool {
    let parts = [workload::KUBE_PROXY_JOIN, workload::KUBE_PROXY_CHANGES];
    ONLY_HERE.contains(&metric) && parts.contains(&name)
}

/// Those that there are rows for. `plan`: the version that svcbench's plans imitate; empty: not known.
pub fn systems(systems: &Systems<'_>, plan: &str, medians: &mut Medians) -> Vec<Table> {
    let mut writer = Writer { systems, plan, medians };
    let all = [
        starts::joins(&mut writer),
        changes::latency(&mut writer),
        changes::knees(&mut writer),
        changes::rates(&mut writer),
        cost::phases(&mut writer),
        cost::cost(&mut writer),
        cost::own(&mut writer),
        starts::restarts(&mut writer),
        changes::outages(&mut writer),
        changes::clean_ups(&mut writer),
        starts::held(&mut writer),
    ];
    all.into_iter().filter(|table| !table.rows.is_empty()).map(Table::readable).collect()
}
