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

const CHANGE_COLUMNS: [(&str, RowValue, &str); 14] = [
    (metric::PROGRAMMING_LATENCY, Record::p50, " p50"),
    (metric::PROGRAMMING_LATENCY, Record::p99, " p99"),
    (metric::PROGRAMMING_LATENCY, Record::max, " max"),
    (metric::RECOVERED, Record::p50, ""),
    (metric::STALE_FLOW_ENDED, Record::p50, ""),
    (metric::TRACKED_BEFORE, Record::p50, ""),
    (metric::TRACKED_AFTER, Record::p50, ""),
    (metric::KNEE, Record::p50, ""),
    (metric::PROBE_RESOLUTION, Record::p50, ""),
    (metric::OWN_DIFFERENCE, Record::p50, ""),
    (metric::OWN_LEAST, Record::p50, ""),
    (metric::LOST_PACKETS, Record::p50, ""),
    (metric::STALE_PACKETS, Record::p50, ""),
    (metric::LATE_REQUESTS, Record::p50, ""),
];

const COST_COLUMNS: [(&str, RowValue, &str); 23] = [
    (metric::OWN_SYNC, Record::p50, ""),
    (metric::OWN_FULL_SYNC, Record::p50, ""),
    (metric::OWN_PARTIAL_SYNC, Record::p50, ""),
    (metric::OWN_NETWORK_PROGRAMMING, Record::p50, ""),
    (metric::OWN_FAILURES, Record::p50, ""),
    (metric::OWN_QUEUED, Record::p50, ""),
    (metric::OWN_CONNTRACK, Record::p50, ""),
    (metric::OWN_CONNTRACK_DELETED, Record::p50, ""),
    (metric::PROGRAM_LISTING, Record::p50, ""),
    (metric::PROGRAM_WRITING, Record::p50, ""),
    (metric::PROGRAM_OTHER, Record::p50, ""),
    (metric::PROCESS_CPU, Record::p50, ""),
    (metric::PROCESS_CPU_USER, Record::p50, ""),
    (metric::PROCESS_CPU_SYSTEM, Record::p50, ""),
    (metric::PROGRAMS_CPU, Record::p50, ""),
    (metric::PROGRAMS_CPU_USER, Record::p50, ""),
    (metric::PROGRAMS_CPU_SYSTEM, Record::p50, ""),
    (metric::API_SERVER_CPU, Record::p50, ""),
    (metric::PROCESS_RSS_BEFORE, Record::p50, ""),
    (metric::PROCESS_PEAK_RSS, Record::p50, ""),
    (metric::PROGRAMS_PEAK_RSS, Record::p50, ""),
    (metric::HEAP, Record::p50, ""),
    (metric::GOROUTINES, Record::p50, ""),
];

const PHASE_COLUMNS: [(&str, RowValue, &str); 7] = [
    (metric::SYNC_OWN_WORK, Record::p50, " p50"),
    (metric::SYNC_LISTING, Record::p50, " p50"),
    (metric::SYNC_WRITING, Record::p50, " p50"),
    (metric::SYNC_OTHER_PROGRAMS, Record::p50, " p50"),
    (metric::SYNC_LOCK_WAIT, Record::p50, " p50"),
    (metric::SYNC_OWN_WORK, Record::max, " max"),
    (metric::SYNC_WRITING, Record::max, " max"),
];

const TRAFFIC_COLUMNS: [(&str, RowValue, &str); 9] = [
    (metric::RESPONSE_BEFORE, Record::p50, " p50"),
    (metric::RESPONSE_DURING, Record::p50, " p50"),
    (metric::RESPONSE_BEFORE, Record::p99, " p99"),
    (metric::RESPONSE_DURING, Record::p99, " p99"),
    (metric::RESPONSE_BEFORE, Record::max, " max"),
    (metric::RESPONSE_DURING, Record::max, " max"),
    (metric::LOST_REQUESTS, Record::p50, ""),
    (metric::RESET_CONNECTIONS, Record::p50, ""),
    (metric::BLOCKED_TIME, Record::p50, ""),
];

/// Whether a workload is one of these tables'.
pub(super) fn has(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Whether its tables have the metric.
pub(super) fn shows(name: &str, metric: &str) -> bool {
    let own: &[(&str, RowValue, &str)] =
        if STARTS.contains(&name) { &START_COLUMNS } else { &CHANGE_COLUMNS };
    own.iter()
        .chain(&COST_COLUMNS)
        .chain(&PHASE_COLUMNS)
        .chain(&TRAFFIC_COLUMNS)
        .any(|(name, ..)| *name == metric)
        || super::systems::shows(name, metric)
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
                  meanwhile. Stale flow ended: from the event until a packet of an old flow did not go to an endpoint that is gone; \
                  absent where it always did.";
    wide(groups, medians, "A real kube-proxy and changes", remark, &named(groups, false), &CHANGE_COLUMNS)
}

/// All its workloads, starts first.
fn all<'a>(groups: &Groups<'a>) -> Vec<&'a str> {
    [named(groups, true), named(groups, false)].concat()
}

pub(super) fn phases(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let remark = "Syncs of IPv4 by their phases: kube-proxy's own process, and the programs that it starts by what they are for. From \
                  1.37 on it lists nftables itself, so that this is its own work. Waiting for the xtables lock is in no other \
                  phase.";
    wide(groups, medians, "Where a sync of a real kube-proxy goes", remark, &all(groups), &PHASE_COLUMNS)
}

pub(super) fn traffic(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let remark = "An open loop runs while the API server is away, while everything is listed anew, and while kube-proxy restarts. \
                  During: requests that were due from the beginning until packets obeyed a change made meanwhile, or until the \
                  first sync had ended. Parts over time are in impact.csv, syncs in timelines.csv.";
    wide(
        groups,
        medians,
        "Traffic while a real kube-proxy is disturbed",
        remark,
        &all(groups),
        &TRAFFIC_COLUMNS,
    )
}

pub(super) fn cost(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let remark = "What begins with `own` is the mean by kube-proxy's own metrics. Programs are those that it starts: how long one of \
                  them ran, and what all of them took of a processor. Peaks are of the process, and of the largest program.";
    wide(groups, medians, "What a real kube-proxy says and takes", remark, &all(groups), &COST_COLUMNS)
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
                key(system, workload::KUBE_PROXY_CHANGES).scalar(metric::SYNC_WRITING, Unit::Ns, 7),
                key(system, workload::KUBE_PROXY_RELIST).scalar(metric::RESPONSE_DURING, Unit::Ns, 7),
            ]
        });
        let rows = rows.concat();
        let groups = &Groups::split(&rows)[0];
        for table in [starts, changes, cost, phases, traffic].map(|table| table(groups, &mut Medians::new()))
        {
            assert!(table.columns.contains(&"system".to_owned()), "{:?}", table.columns);
            assert_eq!(table.rows.len(), 2, "{}", table.title);
        }
        assert!(rows.iter().all(|row| has(&row.cell.workload) && shows(&row.cell.workload, &row.metric)));
        assert!(!shows(workload::KUBE_PROXY_JOIN, metric::PROGRAMMING_LATENCY));
    }
}
