//! The report's tables as pure data: headings and cells of text, made once for HTML and Markdown.

mod cost;
mod crossovers;
mod headline;
mod kube_proxy;
mod lock_limit;
mod lost;
mod sync;
mod systems;
mod traffic;
mod warnings;
mod wide;

pub use self::headline::{LaneFindings, headline};
pub(crate) use self::lock_limit::LOCK_LIMITS;
pub use self::lost::lost;
use self::sync::{SYNC_METRICS, SYNCS, sync};
pub use self::systems::systems;
pub(crate) use self::warnings::warnings;
use self::wide::{INTERVAL, RowValue, blocks, figure, names, wide};
use crate::groups::{GroupKey, Groups};
use crate::names::{metric, workload};
use crate::record::{Clock, Record, Status};
use crate::stats::Medians;
use crate::table::{Cell, Table};
use crate::text::LOCK_ON_ONE_CPU;

/// Every table of one platform, in report order.
pub fn tables(groups: &Groups<'_>, medians: &mut Medians) -> Vec<Table> {
    vec![
        lookup(
            groups,
            medians,
            metric::LOOKUP_FIRST_PACKET,
            "Lookup, first packet",
            "What the first packet of a new flow costs.",
        ),
        lookup(
            groups,
            medians,
            metric::LOOKUP_ESTABLISHED,
            "Lookup, established flow (control)",
            "What a later packet costs: this must stay flat, whatever the mode and scale.",
        ),
        crossovers::crossovers(groups),
        sync(groups, medians),
        cost::cost(groups, medians),
        cost::kernel_memory(groups, medians),
        lock(groups, medians),
        lock_by_sync(groups, medians),
        lock_limit::lock_limits(groups),
        churn(groups, medians),
        kube_proxy::starts(groups, medians),
        kube_proxy::changes(groups, medians),
        kube_proxy::cost(groups, medians),
        kube_proxy::phases(groups, medians),
        kube_proxy::traffic(groups, medians),
        traffic::disruption(groups, medians),
        connect(groups, medians),
        traffic::load(groups, medians),
        forwarding(groups, medians),
    ]
    .into_iter()
    .filter(|table| !table.rows.is_empty())
    .map(Table::readable)
    .collect()
}

fn lookup(groups: &Groups<'_>, medians: &mut Medians, metric: &str, title: &str, remark: &str) -> Table {
    let remark = format!("{remark} {INTERVAL}");
    let mut table = Table::new(
        title,
        &remark,
        4,
        &["mode", "endpoints", "position", "Services", "p50", "p90", "p99", "n"],
    );
    for (key, group) in
        groups.of(workload::PACKET_PROBE, metric).filter(|(_, group)| !group.measured.is_empty())
    {
        let mut row = names(key, true);
        row.extend(
            [Record::p50, Record::p90, Record::p99].map(|field| figure(groups, key, group, medians, field)),
        );
        row.push(blocks(group));
        table.push(row);
    }
    table
}

const LOCK_COLUMNS: [(&str, RowValue, &str); 13] = [
    (metric::LOCK_WAIT, Record::p50, " p50"),
    (metric::LOCK_WAIT, Record::p99, " p99"),
    (metric::LOCK_WAIT, Record::max, " max"),
    (metric::LOCK_HOLD, Record::p50, " p50"),
    (metric::LOCK_HOLD, Record::p99, " p99"),
    (metric::LOCK_HOLD, Record::max, " max"),
    (metric::LOCK_TIMEOUTS, Record::p50, " per block"),
    (metric::CONTENDER_OPERATION, Record::p50, " p50"),
    (metric::CONTENDER_OPERATION, Record::p99, " p99"),
    (metric::HOLDER_LOCK_WAIT, Record::p50, " p50"),
    (metric::HOLDER_LOCK_HOLD, Record::p50, " p50"),
    (metric::HOLDER_FULL_SYNC, Record::p50, " p50"),
    (metric::HOLDER_PARTIAL_SYNC, Record::p50, " p50"),
];

fn lock(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let what = match groups.platform.clock {
        Clock::Wall => "",
        Clock::Instructions => LOCK_ON_ONE_CPU,
    };
    wide(
        groups,
        medians,
        "The xtables lock",
        &format!(
            "Only the iptables-legacy programs take the lock; where no program takes it there is no wait and no hold, \
             only operations. Holders are the syncs. Without the lock a listing or a transaction starts over when others \
             have changed the ruleset meanwhile, so a sync can starve; unfinished: none was waited for to its end, for the \
             reason given below.{}{what}",
            if what.is_empty() { "" } else { " " }
        ),
        &[workload::XTABLES_LOCK],
        &LOCK_COLUMNS,
    )
}

const LOCK_BY_SYNC: [(&str, RowValue, &str); 15] = [
    (metric::LOCK_WAIT_FULL_SYNC, Record::p50, " p50"),
    (metric::LOCK_WAIT_FULL_SYNC, Record::p99, " p99"),
    (metric::LOCK_WAIT_PARTIAL_SYNC, Record::p50, " p50"),
    (metric::LOCK_WAIT_PARTIAL_SYNC, Record::p99, " p99"),
    (metric::HOLDER_FULL_SYNC_HOLD, Record::p50, " p50"),
    (metric::HOLDER_FULL_SYNC_HOLD, Record::max, " max"),
    (metric::HOLDER_PARTIAL_SYNC_HOLD, Record::p50, " p50"),
    (metric::HOLDER_PARTIAL_SYNC_HOLD, Record::max, " max"),
    (metric::RESTORE_SPAWN, Record::p50, " p50"),
    (metric::RESTORE_LOCK_WAIT, Record::p50, " p50"),
    (metric::RESTORE_HOLD, Record::p50, " p50"),
    (metric::RESTORE_REPLY, Record::p50, " p50"),
    (metric::LOCK_ACQUISITIONS, Record::p50, " per block"),
    (metric::LOCK_OVERTAKEN, Record::p50, " per block"),
    (metric::LOCK_TIMEOUTS, Record::p50, " per block"),
];

fn lock_by_sync(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let names = [
        metric::LOCK_WAIT_FULL_SYNC,
        metric::LOCK_WAIT_PARTIAL_SYNC,
        metric::HOLDER_FULL_SYNC_HOLD,
        metric::HOLDER_PARTIAL_SYNC_HOLD,
        metric::LOCK_OVERTAKEN,
    ];
    let shown = |name| groups.of(workload::XTABLES_LOCK, name).any(|(_, group)| !group.measured.is_empty());
    // Timeouts alone are in the table before this one.
    let columns = if names.into_iter().any(shown) { &LOCK_BY_SYNC[..] } else { &[] };
    wide(
        groups,
        medians,
        "The xtables lock, by what the holder syncs",
        "A contender's wait is for the kind of sync that held the lock longest meanwhile; waits in which only other \
         contenders held it are in neither. A sync takes the lock once for each of its programs, most of which only look \
         for a chain or a rule: its longest hold is that of the restore. The restore_* columns are the parts of a full \
         sync's restore: until it asks for the lock, waiting, holding (it parses and commits table by table), the rest. Overtaken: somebody who had begun to wait later \
         got the lock before.",
        &[workload::XTABLES_LOCK],
        columns,
    )
}

const CHURNS: [&str; 4] = [
    workload::CHURN_ROLLING_UPDATE,
    workload::CHURN_NODE_LOSS,
    workload::CHURN_SCALE_UP,
    workload::CHURN_IDLE,
];

const CHURN_COLUMNS: [(&str, RowValue, &str); 7] = [
    (metric::SYNCS, Record::p50, ""),
    (metric::BUSY, Record::p50, ""),
    (metric::BYTES, Record::p50, ""),
    (metric::APPLY, Record::p50, " p50"),
    (metric::APPLY, Record::max, " max"),
    (metric::PROGRAMMING_LATENCY, Record::p50, " p50"),
    (metric::PROGRAMMING_LATENCY, Record::p99, " p99"),
];

fn churn(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    wide(
        groups,
        medians,
        "Churn",
        "Syncs are real; when each begins follows kube-proxy's rate limit, and the time between them is reckoned, not \
         waited for. Programming latency runs from a change until the sync that carried it had ended; under the \
         instruction clock a second is 10⁹ instructions. Single syncs are in timelines.csv.",
        &CHURNS,
        &CHURN_COLUMNS,
    )
}

fn connect(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let metrics: [(&str, RowValue, &str); 3] = [
        (metric::TRANSACTIONS_PER_SECOND, Record::p50, ""),
        (metric::RESPONSE_TIME, Record::p50, " p50"),
        (metric::RESPONSE_TIME, Record::p99, " p99"),
    ];
    let remark =
        "Closed loop: each transaction starts when the one before has ended, so overload does not show.";
    wide(groups, medians, "New TCP connections", remark, &[workload::TCP_CRR], &metrics)
}

const FORWARDING_COLUMNS: [(&str, RowValue, &str); 8] = [
    (metric::DIRECTOR_PACKETS_IN, Record::p50, ""),
    (metric::DIRECTOR_PACKETS_OUT, Record::p50, ""),
    (metric::DIRECTOR_BYTES_IN, Record::p50, ""),
    (metric::DIRECTOR_BYTES_OUT, Record::p50, ""),
    (metric::DIRECTOR_CPU, Record::p50, ""),
    (metric::LOOKUP_FIRST_PACKET, Record::p50, " p50"),
    (metric::LOOKUP_ESTABLISHED, Record::p50, " p50"),
    (metric::RESPONSE_TIME, Record::p50, " p50"),
];

fn forwarding(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let remark = "Per connection, counted at the director's own interfaces; forwarding_64k has a response of 64 KiB instead of \
                  one segment. Masquerade (ipvs-nat) takes both directions through the director, and its untracked form \
                  does without connection tracking; direct routing (ipvs-dr) and tunnel (ipvs-tun) let the real server \
                  answer the client itself, and the tunnel adds an IP header to each packet out. direct: the director \
                  only routes.";
    let workloads = [workload::FORWARDING, workload::FORWARDING_64K];
    wide(groups, medians, "What the director carries", remark, &workloads, &FORWARDING_COLUMNS)
}

/// Metrics that no other table shows, so that nothing in the file is invisible.
pub fn others(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let remark = format!("Everything that the tables above leave out. {INTERVAL}");
    let columns = ["workload", "metric", "mode", "endpoints", "position", "Services", "p50", "p99", "n"];
    let mut table = Table::new("Other metrics", &remark, 6, &columns);
    for (key, group) in groups.map.iter().filter(|(key, group)| !shown(key) && !group.measured.is_empty()) {
        let mut row: Vec<Cell> = vec![key.workload.into(), key.metric.into()];
        row.extend(names(key, true));
        row.extend([Record::p50, Record::p99].map(|field| figure(groups, key, group, medians, field)));
        row.push(blocks(group));
        table.push(row);
    }
    table.readable()
}

fn shown(key: &GroupKey<'_>) -> bool {
    let lookups = [metric::LOOKUP_FIRST_PACKET, metric::LOOKUP_ESTABLISHED];
    let connects = [metric::RESPONSE_TIME, metric::TRANSACTIONS_PER_SECOND];
    match key.workload {
        workload::PACKET_PROBE => lookups.contains(&key.metric),
        workload::TCP_CRR => connects.contains(&key.metric),
        workload::XTABLES_LOCK => {
            LOCK_COLUMNS.iter().chain(&LOCK_BY_SYNC).any(|(name, ..)| *name == key.metric)
        }
        workload::FORWARDING | workload::FORWARDING_64K => {
            FORWARDING_COLUMNS.iter().any(|(name, ..)| *name == key.metric)
        }
        other if CHURNS.contains(&other) => CHURN_COLUMNS.iter().any(|(name, ..)| *name == key.metric),
        other if kube_proxy::has(other) => kube_proxy::shows(other, key.metric),
        other if traffic::has(other) => traffic::shows(other, key.metric),
        other => cost::shown(key) || (SYNCS.contains(&other) && SYNC_METRICS.contains(&key.metric)),
    }
}

/// Number of measured, failed and skipped rows.
pub fn tally(records: &[Record]) -> [u64; 3] {
    Status::ALL.map(|status| records.iter().filter(|row| row.status == status).count() as u64)
}
