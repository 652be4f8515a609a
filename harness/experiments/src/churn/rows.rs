//! Rows of a sequence of changes.

use results::names::metric;
use results::record::Unit;

use super::Churn;
use crate::rows::Rows;

impl Rows {
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
        let row = |(index, sync): (usize, &super::Synced)| {
            self.timeline_row(index, sync.start, sync.end, sync.changes, sync.bytes)
        };
        self.timeline = found.syncs.iter().enumerate().map(row).collect();
    }
}
