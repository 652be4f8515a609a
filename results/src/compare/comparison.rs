//! Two sides compared, as data.

use serde::Serialize;

use super::lanes::LanePair;
use crate::groups::GroupKey;
use crate::record::{Clock, Unit};
use crate::stats::Interval;
use crate::text::Quantity;

/// Which figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MetricKey {
    /// Index of its lane.
    pub lane: usize,
    /// Workload.
    pub workload: String,
    /// Metric; its p50 is compared.
    pub metric: String,
    /// Unit.
    pub unit: Unit,
    /// Clock.
    pub clock: Clock,
    /// Mode.
    pub mode: String,
    /// Services installed.
    pub services: u32,
    /// Endpoints per Service.
    pub endpoints: u32,
    /// Contenders for the lock.
    pub contenders: u32,
    /// Position of the Service looked up.
    pub position: String,
    /// See [`CellKey::system`](crate::record::CellKey::system).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub system: String,
}

impl MetricKey {
    pub(super) fn of(key: &GroupKey<'_>, lane: usize, clock: Clock) -> Self {
        MetricKey {
            lane,
            workload: key.workload.to_owned(),
            metric: key.metric.to_owned(),
            unit: key.unit,
            clock,
            mode: key.mode.to_owned(),
            services: key.services,
            endpoints: key.endpoints,
            contenders: key.contenders,
            position: key.position.to_owned(),
            system: key.system.to_owned(),
        }
    }

    /// How it is shown.
    pub fn quantity(&self) -> Quantity {
        Quantity::of(self.unit, self.clock)
    }

    /// Its name, without the lane: `packet_probe lookup_first_packet iptables-legacy 1000x10 last`.
    pub fn name(&self) -> String {
        let mut name =
            format!("{} {} {} {}x{}", self.workload, self.metric, self.mode, self.services, self.endpoints);
        if !self.position.is_empty() {
            name += &format!(" {}", self.position);
        }
        match self.contenders {
            0 => {}
            1 => name += " 1 contender",
            many => name += &format!(" {many} contenders"),
        }
        if !self.system.is_empty() {
            name += &format!(" {}", self.system);
        }
        name
    }
}

/// What is said of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// Worse in NEW, by more than chance, the A/A floor and the threshold.
    Worse,
    /// Better in NEW, likewise.
    Better,
    /// An exact count is another; neither is better.
    Changed,
    /// Nothing that could be called a difference.
    NoDifference,
    /// Not to be compared; the reason is given.
    NotComparable,
}

impl Judgement {
    /// In words.
    pub const fn in_words(self) -> &'static str {
        match self {
            Judgement::Worse => "worse",
            Judgement::Better => "better",
            Judgement::Changed => "changed",
            Judgement::NoDifference => "no difference shown",
            Judgement::NotComparable => "not comparable",
        }
    }
}

/// A figure on one side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    /// Median over blocks of the blocks' p50.
    pub median: f64,
    /// Its 95% interval, where there is one.
    pub interval: Option<Interval>,
    /// Blocks.
    pub blocks: usize,
    /// Runs.
    pub runs: usize,
}

/// How the difference was tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TestMethod {
    /// Blocks of both sides, independent: Welch's t.
    Blocks,
    /// Block by block, which the seed made the same on both sides: Student's t.
    PairedBlocks,
    /// A value for each run: Welch's t.
    Runs,
    /// Nothing scatters.
    Exact,
}

/// The difference of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Effect {
    /// NEW over BASE minus 1, percent; absent where BASE is zero.
    pub percent: Option<f64>,
    /// 95% interval of `percent`.
    pub interval_percent: Option<Interval>,
    /// p value, of this figure alone.
    pub p: f64,
    /// p value corrected for the number of figures (Holm).
    pub p_corrected: f64,
    /// How it was tested.
    pub method: TestMethod,
    /// The true difference that would have been shown in four of five such comparisons, percent.
    pub detectable_percent: Option<f64>,
}

/// One figure compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// Which.
    #[serde(flatten)]
    pub figure: MetricKey,
    /// What is said of it.
    pub verdict: Judgement,
    /// Whether it decides the outcome.
    pub decisive: bool,
    /// Whether it decides, and a difference as large as its threshold could have gone unseen.
    pub inconclusive: bool,
    /// Why, where the figures do not say it; empty otherwise.
    pub why: String,
    /// In BASE.
    pub base: Option<Measured>,
    /// In NEW.
    pub new: Option<Measured>,
    /// How they differ.
    pub difference: Option<Effect>,
    /// Smaller differences are not claimed, percent.
    pub threshold_percent: f64,
    /// Largest A/A difference of either side that is no rare exception, percent; absent without A/A pairs.
    pub floor_percent: Option<f64>,
}

/// What all figures together mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ComparisonOutcome {
    /// No deciding figure is worse, and each could have shown it.
    Ok,
    /// A deciding figure is worse.
    Regression,
    /// None is worse, but some could not have shown it, or have no figure.
    Inconclusive,
    /// Nothing could be compared, or a lane was refused.
    NotComparable,
}

/// One run of a side, for the reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComparedRun {
    /// Where it is.
    pub name: String,
    /// Its identifier.
    pub run: String,
    /// Version of svcbench.
    pub tool_version: String,
}

/// Two sides compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What it means.
    pub outcome: ComparisonOutcome,
    /// The same in one line.
    pub summary: String,
    /// The runs of BASE.
    pub base: Vec<ComparedRun>,
    /// The runs of NEW.
    pub new: Vec<ComparedRun>,
    /// The lanes.
    pub lanes: Vec<LanePair>,
    /// What the reader should know of both sides.
    pub notes: Vec<String>,
    /// Deciding figures that were tested together; each p value is corrected for so many.
    pub family: usize,
    /// All figures, the worst first.
    pub figures: Vec<Compared>,
}
