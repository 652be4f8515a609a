//! From what a cell found to its rows: what all experiments share. What is one experiment's own is in its room.

use hdrhistogram::Histogram;
use lab::apply::ApplyError;
use results::record::{CellKey, Clock, Record, Status, Unit};
use results::timeline::{ImpactRow, TimelineRow};
use serde::{Deserialize, Serialize};
use workloads::recorder::Times;

/// What a cell found.
#[derive(Clone, Debug, Default)]
pub struct CellResult {
    /// Its rows.
    pub records: Vec<Record>,
    /// Distributions, by the tag that their rows carry.
    pub histograms: Vec<(String, Histogram<u64>)>,
    /// Syncs of a scenario, one by one.
    pub timeline: Vec<TimelineRow>,
    /// Impact of syncs on a load, over time.
    pub impact: Vec<ImpactRow>,
}

/// What the rows of a lane have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneId {
    /// Identifier of the run.
    pub run: String,
    /// Which lane, as histogram tags begin; empty for the host's.
    pub lane: String,
    /// What the clock counts.
    pub clock: Clock,
    /// `uname -r`.
    pub kernel: String,
    /// What the kernel runs on.
    pub hypervisor: String,
}

/// How a cell ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CellOutcome {
    /// Measured.
    Done,
    /// A later block that does not fit the budget, or a second visit to what was skipped: no rows.
    NotNeeded,
    /// Not measured, for a reason that was known beforehand.
    Skipped(String),
    /// Tried in vain.
    Failed(String),
}

/// The rows of one cell.
pub struct Rows {
    pub(crate) key: CellKey,
    /// How tags of the lane's histograms begin.
    lane: String,
    /// The metric that stands for the cell where it is skipped or has failed.
    headline: &'static str,
    pub(crate) records: Vec<Record>,
    histograms: Vec<(String, Histogram<u64>)>,
    pub(crate) timeline: Vec<TimelineRow>,
    pub(crate) impact: Vec<ImpactRow>,
}

impl Rows {
    /// No rows yet. `lane`: how tags of its histograms begin; `headline`: the metric that stands for the cell where it is
    /// skipped or has failed.
    pub fn new(key: CellKey, lane: &str, headline: &'static str) -> Self {
        Self {
            key,
            lane: lane.to_owned(),
            headline,
            records: Vec::new(),
            histograms: Vec::new(),
            timeline: Vec::new(),
            impact: Vec::new(),
        }
    }

    /// The cell is skipped as a whole.
    pub fn skip_cell(&mut self, reason: &str) {
        self.records.push(self.key.skipped(self.headline, Unit::Ns, reason));
    }

    /// The rows and their distributions, for the files.
    pub fn into_result(self) -> CellResult {
        CellResult {
            records: self.records,
            histograms: self.histograms,
            timeline: self.timeline,
            impact: self.impact,
        }
    }

    /// Failed if any row failed; skipped if all were skipped.
    pub fn outcome(&self) -> CellOutcome {
        if self.records.is_empty() {
            return CellOutcome::NotNeeded;
        }
        let of = |status| self.records.iter().filter(move |record| record.status == status);
        match (of(Status::Failed).next(), of(Status::Skipped).next()) {
            (Some(failed), _) => CellOutcome::Failed(failed.note.to_string()),
            (None, Some(skipped)) if of(Status::Ok).next().is_none() => {
                CellOutcome::Skipped(skipped.note.to_string())
            }
            _ => CellOutcome::Done,
        }
    }

    /// Leaves out what was skipped.
    pub fn drop_skipped(&mut self) {
        self.records.retain(|record| record.status != Status::Skipped);
    }

    /// The cell failed as a whole; what it found before stays.
    pub fn fail(&mut self, reason: &str) {
        self.records.push(self.key.failed(self.headline, Unit::Ns, reason));
    }

    /// Figures taken while the kernel was ill, or held something other than the model, are no figures.
    pub fn invalidate(&mut self, reason: &str) {
        self.histograms.clear();
        self.timeline.clear();
        self.impact.clear();
        for record in &mut self.records {
            if record.status == Status::Ok {
                let key = record.cell.clone();
                *record = key.failed(&record.metric, record.unit, reason);
            }
        }
    }

    /// One sync of those that are kept one by one.
    pub(crate) fn timeline_row(
        &self,
        index: usize,
        start: u64,
        end: u64,
        changes: u32,
        bytes: u64,
    ) -> TimelineRow {
        TimelineRow { cell: self.key.clone(), sync: index as u32 + 1, start, end, changes, bytes }
    }

    /// A distribution, kept whole.
    pub(crate) fn times(&mut self, metric: &str, times: &Times) {
        let tag = format!("{}o{}.{}.{metric}", self.lane, self.key.order, self.key.mode);
        self.tagged(metric, times, tag);
    }

    /// The same of one of several parts of a cell, each of which has a workload of its own.
    pub(crate) fn times_of_part(&mut self, metric: &str, times: &Times) {
        let CellKey { order, mode, workload, .. } = &self.key;
        let tag = format!("{}o{order}.{mode}.{workload}.{metric}", self.lane);
        self.tagged(metric, times, tag);
    }

    fn tagged(&mut self, metric: &str, times: &Times, tag: String) {
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
