//! Rows of a load while rules change.

use results::names::metric;
use results::record::{Status, Unit};
use results::timeline::ImpactRow;

use super::{Disruption, Step};
use crate::rows::Rows;

impl Rows {
    /// A load while rules changed.
    pub fn disruption(&mut self, found: &Disruption) {
        let Disruption { outcome, steps, impact } = found;
        self.times(metric::RESPONSE_BEFORE, &impact.before);
        self.times(metric::RESPONSE_DURING, &impact.during);
        let mut remarks = Vec::new();
        if !outcome.held_schedule() {
            remarks.push(format!(
                "{:.2}% of requests began more than 1 ms late, the latest by {} ms",
                outcome.late_share() * 100.0,
                outcome.latest_ns / 1_000_000
            ));
        }
        remarks.extend((impact.lost_before > 0).then(|| format!("{} were lost before", impact.lost_before)));
        if let Some(record) = self.records.last_mut().filter(|record| record.status == Status::Ok) {
            record.note = remarks.join("; ").into();
        }
        let mut push = |metric, unit, value| self.records.push(self.key.scalar(metric, unit, value));
        push(metric::LOST_REQUESTS, Unit::Count, impact.lost);
        push(metric::RESET_CONNECTIONS, Unit::Count, impact.reset);
        push(metric::BLOCKED_TIME, Unit::Ns, impact.blocked_ns);
        let mut push = |metric, unit, samples: &[u64]| {
            if !samples.is_empty() {
                self.records.push(self.key.samples(metric, unit, samples));
            }
        };
        push(metric::STALE_WINDOW, Unit::Ns, &impact.stale_ns);
        push(metric::PROGRAMMING_LATENCY, Unit::Ns, &impact.programming_ns);
        let of = |part: fn(&Step) -> u64| steps.iter().map(part).collect::<Vec<u64>>();
        push(metric::APPLY, Unit::Ns, &of(|step| step.applied_ns - step.decided_ns));
        push(metric::BYTES, Unit::Bytes, &of(|step| step.bytes));
        let sync = |(index, step): (usize, &Step)| {
            let changes = (step.added.len() + step.removed.len()).max(1) as u32;
            self.timeline_row(index, step.decided_ns, step.applied_ns, changes, step.bytes)
        };
        self.timeline = steps.iter().enumerate().map(sync).collect();
        let part = |bin: &super::Bin| ImpactRow {
            cell: self.key.clone(),
            from: bin.from_ns,
            length: bin.length_ns,
            due: bin.due,
            lost: bin.lost,
            p50: bin.p50_ns,
            p99: bin.p99_ns,
            max: bin.max_ns,
        };
        self.impact = impact.bins.iter().map(part).collect();
    }
}
