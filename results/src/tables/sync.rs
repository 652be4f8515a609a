//! Rule syncs.

use super::wide::{RowValue, wide};
use crate::groups::Groups;
use crate::names::{metric, workload};
use crate::record::{Clock, Record};
use crate::stats::Medians;
use crate::table::Table;

pub(super) const SYNCS: [&str; 8] = [
    workload::FULL_SYNC_COLD,
    workload::FULL_SYNC_RESTART,
    workload::FULL_SYNC_PERIODIC,
    workload::PARTIAL_SYNC_REPLACE_ENDPOINT,
    workload::PARTIAL_SYNC_ADD_SERVICE,
    workload::PARTIAL_SYNC_REMOVE_SERVICE,
    workload::PARTIAL_SYNC_NOOP,
    workload::APPEND,
];

pub(super) const SYNC_METRICS: [&str; 18] = [
    metric::GENERATE,
    metric::APPLY,
    metric::APPLY_SETUP,
    metric::APPLY_CANARY,
    metric::APPLY_JUMPS,
    metric::APPLY_LISTING,
    metric::APPLY_SETS,
    metric::APPLY_RESTORE,
    metric::APPLY_SERVERS,
    metric::APPLY_ADDRESSES,
    metric::APPLY_CONNTRACK,
    metric::RULES,
    metric::CHAINS,
    metric::ELEMENTS,
    metric::VIRTUAL_SERVERS,
    metric::REAL_SERVERS,
    metric::BOUND_ADDRESSES,
    metric::BYTES,
];

pub(super) fn sync(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let what = match groups.platform.clock {
        Clock::Wall => "Times are p50.",
        Clock::Instructions => {
            "Phases are p50, in instructions of the whole guest from start to end: kernel, kube-proxy's programs and \
             whatever else ran."
        }
    };
    wide(
        groups,
        medians,
        "Rule sync",
        &format!(
            "{what} A phase that could not be seen is absent, not zero. Full sync, partial sync and append are \
             different operations and are not comparable with one another."
        ),
        &SYNCS,
        &SYNC_METRICS.map(|metric| (metric, Record::p50 as RowValue, "")),
    )
}
