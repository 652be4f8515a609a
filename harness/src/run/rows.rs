//! From what a cell found to its rows.

use hdrhistogram::Histogram;
use netns_setup::Volume;
use results::names::{metric, position, workload};
use results::record::{CellKey, Record, Status, Unit};
use results::timeline::{ImpactRow, TimelineRow};
use workloads::load;
use workloads::recorder::Times;

use super::labs::NoLab;
use super::lane::{Found, Mark};
use crate::apply::ApplyError;
use crate::cells::{Cell, Offered, Response, Workload};
use crate::churn::Churn;
use crate::churn::scenario::Scenario;
use crate::contention::{Contention, LEAST_OPERATIONS, Phases};
use crate::cost::{Cost, Share};
use crate::dataplane::{Counts, Phase};
use crate::disruption::{Disruption, Step};
use crate::events::Outcome;
use crate::forwarding::Forwarding;
use crate::load::Through;
use crate::lookup::Lookup;
use crate::sweep::{Operation, Sweep};
use crate::sync_cell::{self, Sample};

/// The rows of one cell.
pub struct Rows {
    cell: Cell,
    key: CellKey,
    lane: String,
    records: Vec<Record>,
    histograms: Vec<(String, Histogram<u64>)>,
    timeline: Vec<TimelineRow>,
    felt: Vec<ImpactRow>,
}

const fn churn_workload(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::RollingUpdate => workload::CHURN_ROLLING_UPDATE,
        Scenario::NodeLoss => workload::CHURN_NODE_LOSS,
        Scenario::ScaleUp => workload::CHURN_SCALE_UP,
        Scenario::Idle => workload::CHURN_IDLE,
    }
}

impl Rows {
    /// No rows yet.
    pub fn new(cell: &Cell, mark: &Mark) -> Self {
        let (workload, position, contenders) = match cell.workload {
            Workload::Lookup(position) => (workload::PACKET_PROBE.to_owned(), position.name(), 0),
            Workload::Connect(position) => (workload::TCP_CRR.to_owned(), position.name(), 0),
            Workload::Load(load, Offered::Saturation) => {
                (format!("{}{load}", workload::LOAD), position::UNIFORM, 0)
            }
            Workload::Load(load, Offered::PerSecond(rate)) => {
                (format!("{}{load}_{rate}", workload::LOAD), position::UNIFORM, 0)
            }
            Workload::Sync => (workload::FULL_SYNC_COLD.to_owned(), "", 0),
            Workload::Lock(contenders) => (workload::XTABLES_LOCK.to_owned(), "", contenders),
            Workload::Churn(scenario) => (churn_workload(scenario).to_owned(), "", 0),
            Workload::Disruption(happening, load) => {
                let happening = happening.name().replace('-', "_");
                (format!("{}{happening}.{load}", workload::DISRUPTION), "", 0)
            }
            Workload::Forwarding(_, Response::Segment) => (workload::FORWARDING.to_owned(), "", 0),
            Workload::Forwarding(_, Response::Large) => (workload::FORWARDING_64K.to_owned(), "", 0),
        };
        let mode = match cell.workload {
            Workload::Forwarding(method, _) => method.mode(),
            _ => cell.mode.name(),
        };
        let key = CellKey {
            run: mark.run.as_str().into(),
            block: cell.block,
            order: cell.order,
            mode: mode.into(),
            services: cell.scale.services,
            endpoints: cell.scale.endpoints,
            position: position.into(),
            workload: workload.into(),
            contenders,
            clock: mark.clock,
            kernel: mark.kernel.as_str().into(),
            hypervisor: mark.hypervisor.as_str().into(),
        };
        let lane = mark.lane.clone();
        Self {
            cell: *cell,
            key,
            lane,
            records: Vec::new(),
            histograms: Vec::new(),
            timeline: Vec::new(),
            felt: Vec::new(),
        }
    }

    /// The rows and their distributions, for the files.
    pub fn into_found(self) -> Found {
        Found { records: self.records, histograms: self.histograms, timeline: self.timeline, felt: self.felt }
    }

    /// Failed if any row failed; skipped if all were skipped.
    pub fn outcome(&self) -> Outcome {
        if self.records.is_empty() {
            return Outcome::NotNeeded;
        }
        let of = |status| self.records.iter().filter(move |record| record.status == status);
        match (of(Status::Failed).next(), of(Status::Skipped).next()) {
            (Some(failed), _) => Outcome::Failed(failed.note.to_string()),
            (None, Some(skipped)) if of(Status::Ok).next().is_none() => {
                Outcome::Skipped(skipped.note.to_string())
            }
            _ => Outcome::Done,
        }
    }

    /// The whole cell is skipped: one row for each of its workloads.
    pub fn skip_all(&mut self, sweep: &Sweep, reason: &str) {
        match (self.cell.workload, &sweep.sync) {
            (Workload::Sync, Some(sync)) => {
                sync.operations.iter().for_each(|&operation| self.skip(operation, reason));
            }
            _ => self.records.push(self.key.skipped(self.headline(), Unit::Ns, reason)),
        }
    }

    /// Leaves out what was skipped.
    pub fn drop_skipped(&mut self) {
        self.records.retain(|record| record.status != Status::Skipped);
    }

    /// The cell failed as a whole; what it found before stays.
    pub fn fail(&mut self, reason: &str) {
        self.records.push(self.key.failed(self.headline(), Unit::Ns, reason));
    }

    /// There is no lab to measure in.
    pub fn missing_lab(&mut self, reason: &NoLab) {
        self.records.push(match reason {
            NoLab::Skipped(reason) => self.key.skipped(self.headline(), Unit::Ns, reason),
            NoLab::Failed(reason) => self.key.failed(self.headline(), Unit::Ns, reason),
        });
    }

    /// Figures taken while the kernel was ill, or held something other than the model, are no figures.
    pub fn invalidate(&mut self, reason: &str) {
        self.histograms.clear();
        self.timeline.clear();
        self.felt.clear();
        for record in &mut self.records {
            if record.status == Status::Ok {
                let (workload, position) = (record.cell.workload.clone(), record.cell.position.clone());
                let key = CellKey { workload, position, ..self.key.clone() };
                *record = key.failed(&record.metric, record.unit, reason);
            }
        }
    }

    fn headline(&self) -> &'static str {
        match self.cell.workload {
            Workload::Lookup(_) => metric::LOOKUP_FIRST_PACKET,
            Workload::Connect(_) | Workload::Load(..) => metric::RESPONSE_TIME,
            Workload::Sync => metric::APPLY,
            Workload::Lock(_) => metric::CONTENDER_OPERATION,
            Workload::Churn(_) => metric::BUSY,
            Workload::Disruption(..) => metric::RESPONSE_DURING,
            Workload::Forwarding(..) => metric::DIRECTOR_CPU,
        }
    }

    /// Packet probes.
    pub fn lookup(&mut self, found: Lookup) {
        self.times(metric::LOOKUP_FIRST_PACKET, &found.first);
        self.times(metric::LOOKUP_ESTABLISHED, &found.established);
    }

    /// How many packets each endpoint of one Service got, before the lab was measured.
    pub fn shares(&mut self, shares: &[u64]) {
        let key = CellKey {
            workload: workload::TRAFFIC_SHARES.into(),
            position: position::NONE.into(),
            ..self.key.clone()
        };
        self.records.push(key.samples(metric::ENDPOINT_PACKETS, Unit::Count, shares));
        if let Some(p_value) = results::stats::uniform_share_p_value(shares) {
            self.records.push(key.scalar(metric::SHARE_P_VALUE, Unit::Count, (p_value * 1e6) as u64));
        }
    }

    /// Connections.
    pub fn connect(&mut self, found: &load::Outcome) {
        self.times(metric::RESPONSE_TIME, &found.times.response);
        let rate = found.per_second().round() as u64;
        self.records.push(self.key.scalar(metric::TRANSACTIONS_PER_SECOND, Unit::PerSecond, rate));
    }

    /// A load.
    pub fn load(&mut self, through: &Through, offered: Offered) {
        let Through { outcome: found, cost, tables } = through;
        let first = self.records.len();
        self.times(metric::RESPONSE_TIME, &found.times.response);
        self.times(metric::SERVICE_TIME, &found.times.service);
        let counts = &found.counts;
        let mut push = |metric, unit, value| self.records.push(self.key.scalar(metric, unit, value));
        push(metric::TRANSACTIONS_PER_SECOND, Unit::PerSecond, found.per_second().round() as u64);
        push(metric::REQUESTS, Unit::Count, counts.started);
        push(metric::LOST_REQUESTS, Unit::Count, counts.lost());
        if let Workload::Load(load::Workload::TcpStream, _) = self.cell.workload {
            let per_second = found.bytes as f64 / found.elapsed.as_secs_f64().max(1e-9);
            push(metric::THROUGHPUT, Unit::Bytes, per_second.round() as u64);
        }
        let share = cost.as_ref().and_then(|cost| cost.per(counts.answered));
        let class = |class: fn(&Share) -> Option<u64>| share.as_ref().and_then(class);
        for (metric, unit, value) in [
            (metric::REQUEST_CPU_USER, Unit::Ns, class(|share| share.user_ns)),
            (metric::REQUEST_CPU_SYSTEM, Unit::Ns, class(|share| share.system_ns)),
            (metric::REQUEST_CPU_SOFTIRQ, Unit::Ns, class(|share| share.softirq_ns)),
            (metric::REQUEST_CPU_IRQ, Unit::Ns, class(|share| share.irq_ns)),
            (metric::CONTEXT_SWITCHES, Unit::Count, cost.as_ref().map(|cost| cost.context_switches)),
            (metric::CONNTRACK_ENTRIES, Unit::Count, tables.conntrack),
            (metric::IPVS_CONNECTIONS, Unit::Count, tables.ipvs),
        ] {
            if let Some(value) = value {
                push(metric, unit, value);
            }
        }
        let mut remarks = Vec::new();
        if let Offered::PerSecond(_) = offered {
            push(metric::LATE_REQUESTS, Unit::Count, counts.late);
            if !found.held_schedule() {
                remarks.push(format!(
                    "the client did not hold its schedule: {:.2}% of requests began more than 1 ms late",
                    found.late_share() * 100.0
                ));
            }
        }
        remarks.extend(found.first_fault.map(|fault| format!("{} lost, the first: {fault}", counts.lost())));
        for record in &mut self.records[first..] {
            if record.status == Status::Ok {
                record.note = remarks.join("; ").into();
            }
        }
    }

    /// A load while rules changed.
    pub fn disruption(&mut self, found: &Disruption) {
        let Disruption { outcome, steps, felt } = found;
        self.times(metric::RESPONSE_BEFORE, &felt.before);
        self.times(metric::RESPONSE_DURING, &felt.during);
        let mut remarks = Vec::new();
        if !outcome.held_schedule() {
            remarks.push(format!(
                "{:.2}% of requests began more than 1 ms late, the latest by {} ms",
                outcome.late_share() * 100.0,
                outcome.latest_ns / 1_000_000
            ));
        }
        remarks.extend((felt.lost_before > 0).then(|| format!("{} were lost before", felt.lost_before)));
        if let Some(record) = self.records.last_mut().filter(|record| record.status == Status::Ok) {
            record.note = remarks.join("; ").into();
        }
        let mut push = |metric, unit, value| self.records.push(self.key.scalar(metric, unit, value));
        push(metric::LOST_REQUESTS, Unit::Count, felt.lost);
        push(metric::RESET_CONNECTIONS, Unit::Count, felt.reset);
        push(metric::BLOCKED_TIME, Unit::Ns, felt.blocked_ns);
        let mut push = |metric, unit, samples: &[u64]| {
            if !samples.is_empty() {
                self.records.push(self.key.samples(metric, unit, samples));
            }
        };
        push(metric::STALE_WINDOW, Unit::Ns, &felt.stale_ns);
        push(metric::PROGRAMMING_LATENCY, Unit::Ns, &felt.programming_ns);
        let of = |part: fn(&Step) -> u64| steps.iter().map(part).collect::<Vec<u64>>();
        push(metric::APPLY, Unit::Ns, &of(|step| step.applied_ns - step.decided_ns));
        push(metric::BYTES, Unit::Bytes, &of(|step| step.bytes));
        let sync = |(index, step): (usize, &Step)| {
            let changes = (step.added.len() + step.removed.len()).max(1) as u32;
            self.timeline_row(index, step.decided_ns, step.applied_ns, changes, step.bytes)
        };
        self.timeline = steps.iter().enumerate().map(sync).collect();
        let part = |bin: &crate::disruption::Bin| ImpactRow {
            cell: self.key.clone(),
            from: bin.from_ns,
            length: bin.length_ns,
            due: bin.due,
            lost: bin.lost,
            p50: bin.p50_ns,
            p99: bin.p99_ns,
            max: bin.max_ns,
        };
        self.felt = felt.bins.iter().map(part).collect();
    }

    /// Connections through a director.
    pub fn forwarding(&mut self, found: &Forwarding) {
        for (volumes, packets, bytes) in [
            (&found.received, metric::DIRECTOR_PACKETS_IN, metric::DIRECTOR_BYTES_IN),
            (&found.sent, metric::DIRECTOR_PACKETS_OUT, metric::DIRECTOR_BYTES_OUT),
        ] {
            let of = |part: fn(&Volume) -> u64| volumes.iter().map(part).collect::<Vec<u64>>();
            self.records.push(self.key.samples(packets, Unit::Count, &of(|volume| volume.packets)));
            self.records.push(self.key.samples(bytes, Unit::Bytes, &of(|volume| volume.bytes)));
        }
        self.times(metric::DIRECTOR_CPU, &found.costs.connection);
        self.times(metric::LOOKUP_FIRST_PACKET, &found.costs.first);
        self.times(metric::LOOKUP_ESTABLISHED, &found.costs.later);
        self.times(metric::RESPONSE_TIME, &found.response);
    }

    /// One sync operation.
    pub fn sync(&mut self, operation: Operation, samples: &[Sample], counts: Option<Counts>) {
        let key = self.of_operation(operation);
        let mut push = |metric, samples: Vec<u64>| {
            if !samples.is_empty() {
                self.records.push(key.samples(metric, Unit::Ns, &samples));
            }
        };
        push(metric::GENERATE, samples.iter().filter_map(|sample| sample.generate).collect());
        push(metric::APPLY, samples.iter().map(|sample| sample.applied.nanoseconds()).collect());
        for (phase, metric) in [
            (Phase::Setup, metric::APPLY_SETUP),
            (Phase::Canary, metric::APPLY_CANARY),
            (Phase::Jumps, metric::APPLY_JUMPS),
            (Phase::Listing, metric::APPLY_LISTING),
            (Phase::Servers, metric::APPLY_SERVERS),
            (Phase::Addresses, metric::APPLY_ADDRESSES),
            (Phase::Sets, metric::APPLY_SETS),
            (Phase::Restore, metric::APPLY_RESTORE),
            (Phase::Conntrack, metric::APPLY_CONNTRACK),
        ] {
            push(metric, sync_cell::phase(samples, phase));
        }
        let bytes: Vec<u64> = samples.iter().map(|sample| sample.applied.bytes).collect();
        if bytes.iter().any(|&bytes| bytes > 0) {
            self.records.push(key.samples(metric::BYTES, Unit::Bytes, &bytes));
        }
        if operation == Operation::Cold {
            self.costs(&key, samples);
        }
        if let Some(counts) = counts {
            for (metric, count) in [
                (metric::RULES, counts.rules),
                (metric::CHAINS, counts.chains),
                (metric::ELEMENTS, counts.elements),
            ] {
                self.records.push(key.scalar(metric, Unit::Count, count));
            }
            for (metric, count) in [
                (metric::VIRTUAL_SERVERS, counts.virtual_servers),
                (metric::REAL_SERVERS, counts.real_servers),
                (metric::BOUND_ADDRESSES, counts.addresses),
            ] {
                if count > 0 {
                    self.records.push(key.scalar(metric, Unit::Count, count));
                }
            }
        }
    }

    /// What syncs took from the machine. What is not known is absent, not zero.
    fn costs(&mut self, key: &CellKey, samples: &[Sample]) {
        let shares: Vec<Share> =
            samples.iter().filter_map(|sample| sample.toll.cost.as_ref()?.per(1)).collect();
        let class = |class: fn(&Share) -> Option<u64>| shares.iter().filter_map(class).collect::<Vec<u64>>();
        let of = |part: fn(&Sample) -> Option<u64>| samples.iter().filter_map(part).collect::<Vec<u64>>();
        for (metric, unit, found) in [
            (metric::SYNC_CPU_USER, Unit::Ns, class(|share| share.user_ns)),
            (metric::SYNC_CPU_SYSTEM, Unit::Ns, class(|share| share.system_ns)),
            (metric::SYNC_CPU_SOFTIRQ, Unit::Ns, class(|share| share.softirq_ns)),
            (metric::SYNC_CPU_IRQ, Unit::Ns, class(|share| share.irq_ns)),
            (metric::CONTEXT_SWITCHES, Unit::Count, class(|share| Some(share.context_switches))),
            (metric::TOOL_PEAK_RSS, Unit::Bytes, of(|sample| sample.applied.peak_rss)),
            (metric::KERNEL_MEMORY, Unit::Bytes, of(|sample| sample.toll.kernel_memory)),
        ] {
            if found.is_empty() {
                continue;
            }
            let mut record = key.samples(metric, unit, &found);
            if unit == Unit::Ns
                && let Some(cost) = samples.iter().filter_map(|s| s.toll.cost).find(Cost::is_shared)
            {
                let [busy, wall] = [cost.busy_ns(), cost.wall_ns].map(|time| time as f64 / 1e9);
                record.note = format!(
                    "others used the processors too: {busy:.1} s of processor time in {wall:.1} s; read it as an upper bound"
                )
                .into();
            }
            self.records.push(record);
        }
    }

    /// One sync operation is not tried.
    pub fn skip(&mut self, operation: Operation, reason: &str) {
        self.records.push(self.of_operation(operation).skipped(metric::APPLY, Unit::Ns, reason));
    }

    /// One sync operation failed.
    pub fn fail_operation(&mut self, operation: Operation, reason: &str) {
        self.records.push(self.of_operation(operation).failed(metric::APPLY, Unit::Ns, reason));
    }

    fn of_operation(&self, operation: Operation) -> CellKey {
        let workload = match operation {
            Operation::Cold => workload::FULL_SYNC_COLD,
            Operation::Restart => workload::FULL_SYNC_RESTART,
            Operation::Resync => workload::FULL_SYNC_PERIODIC,
            Operation::AddService => workload::PARTIAL_SYNC_ADD_SERVICE,
            Operation::RemoveService => workload::PARTIAL_SYNC_REMOVE_SERVICE,
            Operation::ReplaceEndpoint => workload::PARTIAL_SYNC_REPLACE_ENDPOINT,
            Operation::Noop => workload::PARTIAL_SYNC_NOOP,
            Operation::Append => workload::APPEND,
        };
        CellKey { workload: workload.into(), ..self.key.clone() }
    }

    /// The lock. Where there is none, its rows are absent.
    pub fn lock(&mut self, found: &Contention) {
        self.times(metric::CONTENDER_OPERATION, &found.contender_operations);
        if let Some(record) = self.records.last_mut().filter(|record| record.status == Status::Ok) {
            let few = record.n < LEAST_OPERATIONS;
            let few = few.then(|| {
                format!(
                    "only {} operations in {:.0} s: no tail can be read",
                    record.n,
                    found.lasted.as_secs_f64()
                )
            });
            let notes =
                few.into_iter().chain((!found.complaints.is_empty()).then(|| found.complaints.clone()));
            record.note = notes.collect::<Vec<_>>().join("; ").into();
        }
        for (metric, syncs) in [
            (metric::HOLDER_FULL_SYNC, &found.full_syncs),
            (metric::HOLDER_PARTIAL_SYNC, &found.partial_syncs),
        ] {
            self.records.push(match (&syncs.times[..], &syncs.unfinished) {
                ([], Some(reason)) => self.key.skipped(metric, Unit::Ns, reason),
                ([], None) => {
                    let reason = "each gave up waiting for the xtables lock; lock_timeouts counts them";
                    self.key.skipped(metric, Unit::Ns, reason)
                }
                (times, unfinished) => {
                    let mut record = self.key.samples(metric, Unit::Ns, times);
                    if let Some(reason) = unfinished {
                        record.note = format!("one more: {reason}").into();
                    }
                    record
                }
            });
        }
        if !found.has_lock {
            return;
        }
        self.times(metric::LOCK_WAIT, &found.contender_waits);
        for (metric, times) in [
            (metric::LOCK_HOLD, &found.contender_holds),
            (metric::HOLDER_LOCK_WAIT, &found.holder_waits),
            (metric::HOLDER_LOCK_HOLD, &found.holder_holds),
            (metric::HOLDER_FULL_SYNC_HOLD, &found.full_syncs.holds),
            (metric::HOLDER_PARTIAL_SYNC_HOLD, &found.partial_syncs.holds),
        ] {
            if times.histogram().is_empty() {
                self.records.push(self.key.skipped(
                    metric,
                    Unit::Ns,
                    "none of these came to the xtables lock",
                ));
            } else {
                self.times(metric, times);
            }
        }
        let part = |part: fn(&Phases) -> u64| found.full_syncs.phases.iter().map(part).collect::<Vec<u64>>();
        for (metric, times) in [
            (metric::RESTORE_SPAWN, part(|phases| phases.spawn)),
            (metric::RESTORE_LOCK_WAIT, part(|phases| phases.lock_wait)),
            (metric::RESTORE_HOLD, part(|phases| phases.hold)),
            (metric::RESTORE_REPLY, part(|phases| phases.reply)),
        ] {
            if !times.is_empty() {
                self.records.push(self.key.samples(metric, Unit::Ns, &times));
            }
        }
        for (metric, times) in [
            (metric::LOCK_WAIT_FULL_SYNC, &found.full_syncs.contender_waits),
            (metric::LOCK_WAIT_PARTIAL_SYNC, &found.partial_syncs.contender_waits),
        ] {
            // Where nobody waited for such a sync there is nothing to tell.
            if !times.histogram().is_empty() {
                self.times(metric, times);
            }
        }
        for (metric, count) in [
            (metric::LOCK_TIMEOUTS, found.timeouts),
            (metric::LOCK_ACQUISITIONS, found.acquisitions),
            (metric::LOCK_OVERTAKEN, found.overtaken),
        ] {
            self.records.push(self.key.scalar(metric, Unit::Count, count));
        }
    }

    /// A scenario.
    pub fn churn(&mut self, found: &Churn) {
        let each: Vec<u64> = found.syncs.iter().map(|sync| sync.end - sync.start).collect();
        self.records.push(self.key.scalar(metric::SYNCS, Unit::Count, each.len() as u64));
        self.records.push(self.key.scalar(metric::BUSY, Unit::Ns, found.busy()));
        self.records.push(self.key.scalar(metric::BYTES, Unit::Bytes, found.bytes()));
        if each.is_empty() {
            return;
        }
        self.records.push(self.key.samples(metric::APPLY, Unit::Ns, &each));
        if !found.latency.histogram().is_empty() {
            self.times(metric::PROGRAMMING_LATENCY, &found.latency);
        }
        let row = |(index, sync): (usize, &crate::churn::Synced)| {
            self.timeline_row(index, sync.start, sync.end, sync.changes, sync.bytes)
        };
        self.timeline = found.syncs.iter().enumerate().map(row).collect();
    }

    fn timeline_row(&self, index: usize, start: u64, end: u64, changes: u32, bytes: u64) -> TimelineRow {
        TimelineRow { cell: self.key.clone(), sync: index as u32 + 1, start, end, changes, bytes }
    }

    /// A distribution, kept whole.
    fn times(&mut self, metric: &str, times: &Times) {
        let tag = format!("{}o{}.{}.{metric}", self.lane, self.cell.order, self.key.mode);
        let record = self.key.distribution(metric, Unit::Ns, times.histogram(), &tag);
        if record.status == Status::Ok {
            self.histograms.push((tag, times.histogram().clone()));
        }
        self.records.push(record);
    }
}

/// If an error is that of a program killed at the limit: what to say in a skipped row.
pub fn out_of_time(error: &anyhow::Error) -> Option<String> {
    match error.downcast_ref::<ApplyError>()? {
        error @ ApplyError::OutOfTime { .. } => Some(format!("{error} (--no-limit measures it)")),
        _ => None,
    }
}
