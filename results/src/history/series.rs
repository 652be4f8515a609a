//! Figures of many runs, as data.

use std::path::PathBuf;

use serde::Serialize;

use super::key::SeriesKey;
use super::machine::Machine;
use super::read::Unreadable;

/// One run of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunInfo {
    /// Name of its folder.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// When it began.
    pub started: String,
}

/// A value of one run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RunValue {
    /// Index into [`History::runs`].
    pub run: usize,
    /// In the unit of the figure.
    pub value: f64,
}

/// Where a series changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Index into [`Series::points`] of the first run after the change.
    pub at: usize,
    /// The chance of as clear a change somewhere if the runs came in a random order.
    pub p_value: f64,
    /// Median of the runs before, back to the change before.
    pub before: f64,
    /// Median of the runs after, up to the next change.
    pub after: f64,
    /// After over before, less 1, of geometric means; absent where a value is 0.
    pub share: Option<f64>,
    /// Its 95% interval (Welch's t, over logarithms); absent where the runs of both sides agree exactly.
    pub interval: Option<(f64, f64)>,
    /// What else differs between the last run before and the first after.
    pub events: Vec<String>,
}

/// One figure over the runs of one machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// Index into [`History::machines`].
    #[serde(rename = "place")]
    pub machine: usize,
    /// What it is.
    pub figure: SeriesKey,
    /// By time.
    pub points: Vec<RunValue>,
    /// By time.
    pub changes: Vec<Change>,
}

/// What a kernel or a tool was before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Index into [`History::machines`].
    #[serde(rename = "place")]
    pub machine: usize,
    /// Index into [`History::runs`] of the first run after it.
    pub run: usize,
    /// `kernel 6.18.44 → 6.18.45`.
    pub what: Vec<String>,
}

/// Figures of many runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct History {
    /// By time.
    pub runs: Vec<RunInfo>,
    /// Machines and clocks, in the order in which they first appear.
    #[serde(rename = "places")]
    pub machines: Vec<Machine>,
    /// By machine, then by figure.
    pub series: Vec<Series>,
    /// Changes of kernels and tools.
    pub events: Vec<Event>,
    /// What was left out, and why.
    pub unreadable: Vec<Unreadable>,
    /// The chance of a change that is none, for each series.
    pub level: f64,
    /// Series of fewer runs than this cannot show a change at that level.
    pub least_series: usize,
}
