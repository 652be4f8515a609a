//! The report's tables as pure data: headings and cells of text, made once for HTML and Markdown.

mod cell;
mod cost;
mod crossovers;
mod headline;
mod lock_limit;
mod lost;
mod traffic;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};

use self::cell::figure;
pub use self::cell::{Cell, Origin, Source};
pub use self::headline::{Lane, headline};
pub(crate) use self::lock_limit::LOCK_LIMITS;
pub(crate) use self::lost::LOST;
pub use self::lost::lost;
pub(crate) use self::lost::{MOST_REASONS, OTHER_REASONS};
pub(crate) use self::warnings::warnings;
use crate::groups::{Group, GroupKey, Groups};
use crate::names::{metric, mode_rank, workload};
use crate::record::{Clock, Record, Status};
use crate::stats::Medians;
use crate::text::thousands;

/// A table of text; the first `left` columns are names, the rest figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Title.
    pub title: String,
    /// How to read it.
    pub remark: String,
    /// Column headings.
    pub columns: Vec<String>,
    /// Number of leading columns that hold names.
    pub left: usize,
    /// Rows; each has as many cells as there are columns.
    pub rows: Vec<Vec<String>>,
    /// What is behind figures, by row and column; cells that are not here are words, or say by themselves what they count.
    pub origins: BTreeMap<(usize, usize), Origin>,
}

impl Table {
    pub(crate) fn new(title: &str, remark: &str, left: usize, columns: &[&str]) -> Self {
        Table {
            title: title.to_owned(),
            remark: remark.to_owned(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            left,
            rows: Vec::new(),
            origins: BTreeMap::new(),
        }
    }

    /// Cut down to what can be read, and says so.
    fn readable(mut self) -> Self {
        let all = self.rows.len();
        if all > MOST_ROWS {
            self.rows.truncate(MOST_ROWS);
            let [shown, all] = [MOST_ROWS, all].map(|count| thousands(count as u64));
            self.remark += &format!(" The first {shown} of {all} rows: the rest is in records.csv.");
        }
        self
    }

    /// Adds a row of cells, as many as there are columns.
    fn push(&mut self, cells: Vec<Cell>) {
        let row = self.rows.len();
        let origins =
            cells.iter().enumerate().filter_map(|(column, cell)| Some(((row, column), cell.origin?)));
        self.origins.extend(origins);
        self.rows.push(cells.into_iter().map(|cell| cell.text).collect());
    }
}

/// Longer tables nobody reads.
const MOST_ROWS: usize = 2_000;

const INTERVAL: &str = "Median over blocks, [95% interval], n blocks; no interval where n is 1 or 2 or all \
                        blocks agree exactly.";

fn p50(row: &Record) -> Option<u64> {
    row.p50
}

fn p90(row: &Record) -> Option<u64> {
    row.p90
}

fn p99(row: &Record) -> Option<u64> {
    row.p99
}

fn p999(row: &Record) -> Option<u64> {
    row.p999
}

fn max(row: &Record) -> Option<u64> {
    row.max
}

/// Every table of one world, in report order.
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
        row.extend([p50, p90, p99].map(|field| figure(groups, key, group, medians, field)));
        row.push(blocks(group));
        table.push(row);
    }
    table
}

const SYNCS: [&str; 8] = [
    workload::FULL_SYNC_COLD,
    workload::FULL_SYNC_RESTART,
    workload::FULL_SYNC_PERIODIC,
    workload::PARTIAL_SYNC_REPLACE_ENDPOINT,
    workload::PARTIAL_SYNC_ADD_SERVICE,
    workload::PARTIAL_SYNC_REMOVE_SERVICE,
    workload::PARTIAL_SYNC_NOOP,
    workload::APPEND,
];

const SYNC_METRICS: [&str; 18] = [
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

fn sync(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let what = match groups.world.clock {
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
        &SYNC_METRICS.map(|metric| (metric, p50 as Field, "")),
    )
}

/// What waiting means on a guest's single processor.
pub(crate) const LOCK_ON_ONE_CPU: &str =
    "One processor: a wait is all that others executed meanwhile, idle time that the clock skipped included.";

const LOCK_COLUMNS: [(&str, Field, &str); 13] = [
    (metric::LOCK_WAIT, p50, " p50"),
    (metric::LOCK_WAIT, p99, " p99"),
    (metric::LOCK_WAIT, max, " max"),
    (metric::LOCK_HOLD, p50, " p50"),
    (metric::LOCK_HOLD, p99, " p99"),
    (metric::LOCK_HOLD, max, " max"),
    (metric::LOCK_TIMEOUTS, p50, " per block"),
    (metric::CONTENDER_OPERATION, p50, " p50"),
    (metric::CONTENDER_OPERATION, p99, " p99"),
    (metric::HOLDER_LOCK_WAIT, p50, " p50"),
    (metric::HOLDER_LOCK_HOLD, p50, " p50"),
    (metric::HOLDER_FULL_SYNC, p50, " p50"),
    (metric::HOLDER_PARTIAL_SYNC, p50, " p50"),
];

fn lock(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let what = match groups.world.clock {
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

const LOCK_BY_SYNC: [(&str, Field, &str); 15] = [
    (metric::LOCK_WAIT_FULL_SYNC, p50, " p50"),
    (metric::LOCK_WAIT_FULL_SYNC, p99, " p99"),
    (metric::LOCK_WAIT_PARTIAL_SYNC, p50, " p50"),
    (metric::LOCK_WAIT_PARTIAL_SYNC, p99, " p99"),
    (metric::HOLDER_FULL_SYNC_HOLD, p50, " p50"),
    (metric::HOLDER_FULL_SYNC_HOLD, max, " max"),
    (metric::HOLDER_PARTIAL_SYNC_HOLD, p50, " p50"),
    (metric::HOLDER_PARTIAL_SYNC_HOLD, max, " max"),
    (metric::RESTORE_SPAWN, p50, " p50"),
    (metric::RESTORE_LOCK_WAIT, p50, " p50"),
    (metric::RESTORE_HOLD, p50, " p50"),
    (metric::RESTORE_REPLY, p50, " p50"),
    (metric::LOCK_ACQUISITIONS, p50, " per block"),
    (metric::LOCK_OVERTAKEN, p50, " per block"),
    (metric::LOCK_TIMEOUTS, p50, " per block"),
];

fn lock_by_sync(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let names = [
        metric::LOCK_WAIT_FULL_SYNC,
        metric::LOCK_WAIT_PARTIAL_SYNC,
        metric::HOLDER_FULL_SYNC_HOLD,
        metric::HOLDER_PARTIAL_SYNC_HOLD,
        metric::LOCK_OVERTAKEN,
    ];
    let told = |name| groups.of(workload::XTABLES_LOCK, name).any(|(_, group)| !group.measured.is_empty());
    // Timeouts alone are in the table before this one.
    let columns = if names.into_iter().any(told) { &LOCK_BY_SYNC[..] } else { &[] };
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

const CHURN_COLUMNS: [(&str, Field, &str); 7] = [
    (metric::SYNCS, p50, ""),
    (metric::BUSY, p50, ""),
    (metric::BYTES, p50, ""),
    (metric::APPLY, p50, " p50"),
    (metric::APPLY, max, " max"),
    (metric::PROGRAMMING_LATENCY, p50, " p50"),
    (metric::PROGRAMMING_LATENCY, p99, " p99"),
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
    let metrics: [(&str, Field, &str); 3] = [
        (metric::TRANSACTIONS_PER_SECOND, p50, ""),
        (metric::RESPONSE_TIME, p50, " p50"),
        (metric::RESPONSE_TIME, p99, " p99"),
    ];
    let remark =
        "Closed loop: each transaction starts when the one before has ended, so overload does not show.";
    wide(groups, medians, "New TCP connections", remark, &[workload::TCP_CRR], &metrics)
}

const FORWARDING_COLUMNS: [(&str, Field, &str); 8] = [
    (metric::DIRECTOR_PACKETS_IN, p50, ""),
    (metric::DIRECTOR_PACKETS_OUT, p50, ""),
    (metric::DIRECTOR_BYTES_IN, p50, ""),
    (metric::DIRECTOR_BYTES_OUT, p50, ""),
    (metric::DIRECTOR_CPU, p50, ""),
    (metric::LOOKUP_FIRST_PACKET, p50, " p50"),
    (metric::LOOKUP_ESTABLISHED, p50, " p50"),
    (metric::RESPONSE_TIME, p50, " p50"),
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

type Field = fn(&Record) -> Option<u64>;

/// What the rows of a wide table share: workload, mode, endpoints, contenders, position, Services.
type WideKey<'a> = (usize, usize, &'a str, u32, u32, &'a str, u32);

/// One row per cell, one column per metric and quantile; columns without any figure are left out.
fn wide(
    groups: &Groups<'_>,
    medians: &mut Medians,
    title: &str,
    remark: &str,
    workloads: &[&str],
    metrics: &[(&str, Field, &str)],
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
                let at = (index, rank, key.mode, key.endpoints, key.contenders, key.position, key.services);
                let cell =
                    if unfinished { UNFINISHED.into() } else { figure(groups, key, group, medians, *field) };
                let row = cells.entry(at).or_insert_with(|| (vec![Cell::from("—"); metrics.len()], 0));
                if let Some(slot) = row.0.get_mut(column) {
                    *slot = cell;
                }
                row.1 = row.1.max(group.per_block(p50).len());
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
    columns.push("Services");
    table.left = columns.len();
    table.columns = columns.iter().map(|column| (*column).to_owned()).collect();
    let titles = used
        .iter()
        .filter_map(|column| metrics.get(*column))
        .map(|(metric, _, what)| format!("{metric}{what}"));
    table.columns.extend(titles);
    table.columns.push("n".to_owned());
    for ((index, _, mode, endpoints, contender, position, services), (figures, n)) in &cells {
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
pub(crate) fn is_unfinished(key: &GroupKey<'_>, group: &Group<'_>) -> bool {
    let syncs = [metric::HOLDER_FULL_SYNC, metric::HOLDER_PARTIAL_SYNC];
    key.workload == workload::XTABLES_LOCK
        && syncs.contains(&key.metric)
        && group.measured.is_empty()
        && group.lost.iter().any(|row| row.status == Status::Skipped)
}

/// Metrics that no other table shows, so that nothing in the file is invisible.
pub fn others(groups: &Groups<'_>, medians: &mut Medians) -> Table {
    let remark = format!("Everything that the tables above leave out. {INTERVAL}");
    let columns = ["workload", "metric", "mode", "endpoints", "position", "Services", "p50", "p99", "n"];
    let mut table = Table::new("Other metrics", &remark, 6, &columns);
    for (key, group) in groups.map.iter().filter(|(key, group)| !shown(key) && !group.measured.is_empty()) {
        let mut row: Vec<Cell> = vec![key.workload.into(), key.metric.into()];
        row.extend(names(key, true));
        row.extend([p50, p99].map(|field| figure(groups, key, group, medians, field)));
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
        other if traffic::has(other) => traffic::shows(other, key.metric),
        other => cost::shown(key) || (SYNCS.contains(&other) && SYNC_METRICS.contains(&key.metric)),
    }
}

/// Number of measured, failed and skipped rows.
pub fn tally(records: &[Record]) -> [u64; 3] {
    Status::ALL.map(|status| records.iter().filter(|row| row.status == status).count() as u64)
}

fn names(key: &GroupKey<'_>, position: bool) -> Vec<Cell> {
    let mut names: Vec<Cell> = vec![key.mode.into(), thousands(key.endpoints).into()];
    if position {
        names.push(if key.position.is_empty() { "—".into() } else { key.position.into() });
    }
    names.push(thousands(key.services).into());
    names
}

fn blocks(group: &Group<'_>) -> Cell {
    thousands(group.per_block(p50).len() as u64).into()
}
