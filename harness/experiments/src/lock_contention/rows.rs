//! Rows of lock contention.

use results::names::metric;
use results::record::{Status, Unit};

use super::{LEAST_OPERATIONS, LockContention, Phases};
use crate::rows::Rows;

impl Rows {
    /// The lock. Where there is none, its rows are absent.
    pub fn lock(&mut self, found: &LockContention) {
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
}
