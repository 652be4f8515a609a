//! Rows of syncs.

use dataplane::{Counts, Phase};
use lab::usage::{Cost, Share};
use results::names::{metric, workload};
use results::record::{CellKey, Unit};

use super::Sample;
use super::section::Operation;
use crate::rows::Rows;

impl Rows {
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
            push(metric, super::phase(samples, phase));
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
            samples.iter().filter_map(|sample| sample.usage.cost.as_ref()?.per(1)).collect();
        let class = |class: fn(&Share) -> Option<u64>| shares.iter().filter_map(class).collect::<Vec<u64>>();
        let of = |part: fn(&Sample) -> Option<u64>| samples.iter().filter_map(part).collect::<Vec<u64>>();
        for (metric, unit, found) in [
            (metric::SYNC_CPU_USER, Unit::Ns, class(|share| share.user_ns)),
            (metric::SYNC_CPU_SYSTEM, Unit::Ns, class(|share| share.system_ns)),
            (metric::SYNC_CPU_SOFTIRQ, Unit::Ns, class(|share| share.softirq_ns)),
            (metric::SYNC_CPU_IRQ, Unit::Ns, class(|share| share.irq_ns)),
            (metric::CONTEXT_SWITCHES, Unit::Count, class(|share| Some(share.context_switches))),
            (metric::TOOL_PEAK_RSS, Unit::Bytes, of(|sample| sample.applied.peak_rss)),
            (metric::KERNEL_MEMORY, Unit::Bytes, of(|sample| sample.usage.kernel_memory)),
        ] {
            if found.is_empty() {
                continue;
            }
            let mut record = key.samples(metric, unit, &found);
            if unit == Unit::Ns
                && let Some(cost) = samples.iter().filter_map(|s| s.usage.cost).find(Cost::is_shared)
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
}
