//! What became of the cells of a lane, or of a run.

use serde::{Deserialize, Serialize};

/// What became of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Cells measured, by this run or the one it resumes.
    pub done: usize,
    /// Cells skipped for a stated reason.
    pub skipped: usize,
    /// Cells that failed.
    pub failed: usize,
    /// Whether somebody stopped it before its end.
    pub interrupted: bool,
}

impl Tally {
    /// Counts of two lanes, or of two parts of one.
    pub fn add(&mut self, other: Tally) {
        self.done += other.done;
        self.skipped += other.skipped;
        self.failed += other.failed;
        self.interrupted |= other.interrupted;
    }
}
