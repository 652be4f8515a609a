//! Claims and what lanes say of them.

use serde::Serialize;

use crate::stats::Interval;

/// A claim and what each lane says of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Claim {
    /// A short name, for scripts.
    pub id: &'static str,
    /// As people state it.
    pub statement: &'static str,
    /// One for each lane that settles it; where none does, one that says what is missing.
    pub settled: Vec<LaneVerdict>,
}

/// What one lane says of a claim.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LaneVerdict {
    /// Clock, kernel and what it ran on; empty where no lane has anything to do with the claim.
    pub lane: String,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: ClaimVerdict,
    /// What was measured, in words.
    pub measured: String,
    /// The same as numbers.
    pub figures: Vec<MeasuredValue>,
    /// Where to look.
    pub shown_by: Vec<Reference>,
}

/// Whether a claim is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum ClaimVerdict {
    /// It is.
    Holds,
    /// It is not.
    DoesNotHold,
    /// It is in part, or from some number of Services on.
    Depends {
        /// On what, in words that follow "depends on".
        on: String,
    },
    /// The rows do not settle it.
    NotShown {
        /// What is missing, and what would show it.
        missing: String,
    },
}

impl ClaimVerdict {
    /// The verdict in one or two words.
    pub const fn name(&self) -> &'static str {
        match self {
            ClaimVerdict::Holds => "holds",
            ClaimVerdict::DoesNotHold => "does not hold",
            ClaimVerdict::Depends { .. } => "depends",
            ClaimVerdict::NotShown { .. } => "not shown",
        }
    }

    /// What it depends on, or what is missing; else empty.
    pub fn detail(&self) -> &str {
        match self {
            ClaimVerdict::Depends { on } => on,
            ClaimVerdict::NotShown { missing } => missing,
            ClaimVerdict::Holds | ClaimVerdict::DoesNotHold => "",
        }
    }
}

/// A figure that a verdict rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasuredValue {
    /// What it is, with mode and scale.
    pub what: String,
    /// Median over blocks, or a count.
    pub value: f64,
    /// `ns`, `instructions`, `count`, `bytes`, `per_second` or `ratio`.
    pub unit: &'static str,
    /// Lower end of its 95% interval; absent where there is none.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Number of blocks.
    pub blocks: usize,
}

impl MeasuredValue {
    pub(super) fn new(
        what: impl Into<String>,
        unit: &'static str,
        value: f64,
        interval: Option<Interval>,
        blocks: usize,
    ) -> Self {
        let (low, high) = (interval.map(|interval| interval.low), interval.map(|interval| interval.high));
        MeasuredValue { what: what.into(), value, unit, low, high, blocks }
    }
}

/// Which plot and rows show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// File of the plot in the run's folder; absent where only a table shows it.
    pub plot: Option<String>,
    /// Column `workload` of the rows.
    pub workload: &'static str,
    /// Column `metric`.
    pub metric: &'static str,
    /// Column `mode`.
    pub modes: Vec<String>,
    /// Column `services`.
    pub services: Vec<u32>,
}
