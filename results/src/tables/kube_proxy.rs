//! Tables of real kube-proxies.

use std::collections::BTreeSet;

use super::wide::{RowValue, wide};
use crate::groups::Groups;
use crate::names::{metric, workload};
use crate::record::Record;
use crate::stats::Medians;
use crate::table::Table;

/// How the names of its workloads begin.
const PREFIX: &str = "kube_proxy_";
const STARTS: [&str; 2] = [workload::KUBE_PROXY_JOIN, workload::KUBE_PROXY_RESTART];

const START_COLUMNS: [(&str, RowValue, &str); 6] = [
    (metric::LISTED, Record::p50, ""),
    (metric::FIRST_SYNC_ENDED, Record::p50, ""),
    (metric::OWN_FIRST_SYNC, Record::p50, ""),
    (metric::FIRST_ANSWER, Record::p50, ""),
    (metric::PROBE_RESOLUTION, Record::p50, ""),
    (metric::LOST_PACKETS, Record::p50, ""),
];

const CHANGE_COLUMNS: [(&str, RowValue, &str); 9] = [
    (metric::PROGRAMMING_LATENCY, Record::p50, " p50"),
    (metric::PROGRAMMING_LATENCY, Record::p99, " p99"),
    (metric::PROGRAMMING_LATENCY, Record::max, " max"),
    (metric::RECOVERED, Record::p50, ""),
    (metric::KNEE, Record::p50, ""),
    (metric::PROBE_RESOLUTION, Record::p50, ""),
    (metric::OWN_DIFFERENCE, Record::p50, ""),
    (metric::LOST_PACKETS, Record::p50, ""),
    (metric::LATE_REQUESTS, Record::p50, ""),
];

const COST_COLUMNS: [(&str, RowValue, &str); 15] = [
    (metric::OWN_SYNC, Record::p50, ""),
    (metric::OWN_FULL_SYNC, Record::p50, ""),
    (metric::OWN_PARTIAL_SYNC, Record::p50, ""),
    (metric::OWN_NETWORK_PROGRAMMING, Record::p50, ""),
    (metric::OWN_FAILURES, Record::p50, ""),
    (metric::PROGRAM_LISTING, Record::p50, ""),
    (metric::PROGRAM_WRITING, Record::p50, ""),
    (metric::PROGRAM_OTHER, Record::p50, ""),
    (metric::PROCESS_CPU, Record::p50, ""),
    (metric::PROGRAMS_CPU, Record::p50, ""),
    (metric::API_SERVER_CPU, Record::p50, ""),
    (metric::PROCESS_PEAK_RSS, Record::p50, ""),
    (metric::PROGRAMS_PEAK_RSS, Record::p50, ""),
    (metric::HEAP, Record::p50, ""),
    (metric::GOROUTINES, Record::p50, ""),
];

/// Whether a workload is one of these tables'.
pub(super) fn has(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Whether its tables have the metric.
pub(super) fn shows(name: &str, metric: &str) -> bool {
    let own: &[(&str, RowValue, &str)] =
        if STARTS.contains(&name) { &START_COLUMNS } else { &CHANGE_COLUMNS };
    own.iter().chain(&COST_COLUMNS).any(|(name, ..)| *name == metric) || super::systems::shows(name, metric)
}

/// Its workloads, of starts or of changes.
fn named<'a>(groups: &Groups<'a>, starts: bool) -> Vec<&'a str> {
    let own = |name: &&str| has(name) && STARTS.contains(name) == starts;
    groups.map.keys().map(|key| key.workload).filter(own).collect::<BTreeSet<_>>().into_iter().collect()
}

pub(super) fn starts(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let remark = "From the start of the process. First answer: the first packet that an endpoint of the Service at that position \
                  got. Lost: packets to Services that are there all the time.";
    wide(groups, medians, "A real kube-proxy starts", remark, &named(groups, true), &START_COLUMNS)
}

pub(super) fn changes(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let remark = "Programming latency: from the API server's event until the first packet that obeyed it was sent, to within the \
                  probe's resolution. Own difference: between its mean and that of kube-proxy's own metric; which is longer is in \
                  the note of the row. Recovered: from the end of an outage of the API server until packets obeyed a change made \
                  meanwhile.";
    wide(groups, medians, "A real kube-proxy and changes", remark, &named(groups, false), &CHANGE_COLUMNS)
}

pub(super) fn cost(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let remark = "What begins with `own` is the mean by kube-proxy's own metrics. Programs are those that it starts: how long one of \
                  them ran, and what all of them took of a processor. Peaks are of the process, and of the largest program.";
    let all = [named(groups, true), named(groups, false)].concat();
    wide(groups, medians, "What a real kube-proxy says and takes", remark, &all, &COST_COLUMNS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{CellKey, Clock, Unit};

    #[test]
    fn systems_are_told_apart_and_nothing_is_left_out() {
        let key = |system: &str, workload: &str| CellKey {
            run: "r".into(),
            block: 1,
            order: 1,
            mode: "nftables".into(),
            services: 10,
            endpoints: 1,
            position: "".into(),
            workload: workload.into(),
            contenders: 0,
            clock: Clock::Wall,
            kernel: "k".into(),
            hypervisor: "none".into(),
            system: system.into(),
        };
        let rows = ["kube-proxy v1.36.3 sha256:00", "kube-proxy v1.37.2 sha256:11"].map(|system| {
            [
                key(system, workload::KUBE_PROXY_JOIN).scalar(metric::LISTED, Unit::Ns, 5_000_000),
                key(system, workload::KUBE_PROXY_CHANGES).scalar(metric::PROGRAMMING_LATENCY, Unit::Ns, 7),
                key(system, workload::KUBE_PROXY_CHANGES).scalar(metric::HEAP, Unit::Bytes, 7),
            ]
        });
        let rows = rows.concat();
        let groups = &Groups::split(&rows)[0];
        for table in [starts, changes, cost].map(|table| table(groups, &mut Medians::new())) {
            assert!(table.columns.contains(&"system".to_owned()), "{:?}", table.columns);
            assert_eq!(table.rows.len(), 2, "{}", table.title);
        }
        assert!(rows.iter().all(|row| has(&row.cell.workload) && shows(&row.cell.workload, &row.metric)));
        assert!(!shows(workload::KUBE_PROXY_JOIN, metric::PROGRAMMING_LATENCY));
    }
}
