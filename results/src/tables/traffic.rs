//! Tables of loads and disruptions.

use std::collections::BTreeSet;

use super::wide::{RowValue, wide};
use crate::groups::Groups;
use crate::names::{metric, workload};
use crate::record::Record;
use crate::stats::Medians;
use crate::table::Table;

const LOAD_COLUMNS: [(&str, RowValue, &str); 17] = [
    (metric::TRANSACTIONS_PER_SECOND, Record::p50, ""),
    (metric::THROUGHPUT, Record::p50, ""),
    (metric::RESPONSE_TIME, Record::p50, " p50"),
    (metric::RESPONSE_TIME, Record::p99, " p99"),
    (metric::RESPONSE_TIME, Record::p999, " p99.9"),
    (metric::SERVICE_TIME, Record::p50, " p50"),
    (metric::SERVICE_TIME, Record::p99, " p99"),
    (metric::REQUESTS, Record::p50, ""),
    (metric::LOST_REQUESTS, Record::p50, ""),
    (metric::LATE_REQUESTS, Record::p50, ""),
    (metric::REQUEST_CPU_USER, Record::p50, ""),
    (metric::REQUEST_CPU_SYSTEM, Record::p50, ""),
    (metric::REQUEST_CPU_SOFTIRQ, Record::p50, ""),
    (metric::REQUEST_CPU_IRQ, Record::p50, ""),
    (metric::CONTEXT_SWITCHES, Record::p50, ""),
    (metric::CONNTRACK_ENTRIES, Record::p50, ""),
    (metric::IPVS_CONNECTIONS, Record::p50, ""),
];

const DISRUPTION_COLUMNS: [(&str, RowValue, &str); 13] = [
    (metric::RESPONSE_BEFORE, Record::p50, " p50"),
    (metric::RESPONSE_DURING, Record::p50, " p50"),
    (metric::RESPONSE_BEFORE, Record::p99, " p99"),
    (metric::RESPONSE_DURING, Record::p99, " p99"),
    (metric::RESPONSE_BEFORE, Record::max, " max"),
    (metric::RESPONSE_DURING, Record::max, " max"),
    (metric::LOST_REQUESTS, Record::p50, ""),
    (metric::RESET_CONNECTIONS, Record::p50, ""),
    (metric::BLOCKED_TIME, Record::p50, ""),
    (metric::STALE_WINDOW, Record::p50, " p50"),
    (metric::STALE_WINDOW, Record::max, " max"),
    (metric::PROGRAMMING_LATENCY, Record::p50, " p50"),
    (metric::APPLY, Record::p50, " p50"),
];

/// Whether a workload is one of these tables'.
pub(super) fn has(name: &str) -> bool {
    name.starts_with(workload::LOAD) || name.starts_with(workload::DISRUPTION)
}

/// Whether its table has the metric.
pub(super) fn shows(name: &str, metric: &str) -> bool {
    let columns: &[(&str, RowValue, &str)] =
        if name.starts_with(workload::LOAD) { &LOAD_COLUMNS } else { &DISRUPTION_COLUMNS };
    columns.iter().any(|(name, ..)| *name == metric)
}

/// Workloads whose names begin like this.
fn named<'a>(groups: &Groups<'a>, prefix: &str) -> Vec<&'a str> {
    let names = groups.map.keys().map(|key| key.workload).filter(|name| name.starts_with(prefix));
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

pub(super) fn load(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let remark = "Without a number at its end a workload is a closed loop at saturation; with one, an open loop at so many \
                  requests per second: its response times count from when requests were due, and late are those that began \
                  more than 1 ms later. Requests without a response are lost, and those that timed out are among the times \
                  with what they were given. Processor time is the whole machine's, client and server \
                  included, for each answered request; it is counted in ticks, so that a class of which few were seen is \
                  absent.";
    wide(groups, medians, "Load", remark, &named(groups, workload::LOAD), &LOAD_COLUMNS)
}

pub(super) fn disruption(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let remark = "An open loop runs while rules change. During: requests that were due during a sync, or within 100 ms of its \
                  beginning. Blocked: lost requests over the rate at which they were due. Stale window: from when an \
                  endpoint's removal was applied until the last new flow to it. Programming latency: from the decision until \
                  the first request that reached the new endpoint; requests choose among all endpoints, so that it is at \
                  most some endpoints / rate too long. Parts over time are in impact.csv, syncs in timelines.csv.";
    wide(groups, medians, "Disruption", remark, &named(groups, workload::DISRUPTION), &DISRUPTION_COLUMNS)
}
