//! Two runs compared: which figures are better, worse, not shown to differ, or not comparable, and why.
//!
//! Rows -> one cell per figure and side (`gather`) -> their difference (`judge`, with [`crate::stats`]) -> verdicts,
//! corrected for their number -> [`Comparison`], which `text`, `markdown`, `junit` and `trend` write. METHODOLOGY.md
//! argues the rules.

pub(crate) mod direction;
mod gather;
mod judge;
mod junit;
mod lanes;
pub mod likeness;
mod markdown;
mod outcome;
mod read;
mod table;
mod text;
mod trend;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use self::junit::junit;
pub use self::lanes::Lane;
pub use self::markdown::markdown;
pub use self::read::{SideError, read_side};
pub use self::text::text;
pub use self::trend::{Better, bencher, github_action_benchmark};

use crate::environment::Environment;
use crate::groups::{GroupKey, Groups};
use crate::record::{Clock, Record, Unit};
use crate::stats::{Interval, Medians};
use crate::text::Quantity;

/// The threshold where nobody has given one, percent.
pub const DEFAULT_THRESHOLD: f64 = 5.0;
/// Differences up to this share are never claimed, whatever the threshold: histograms keep three digits.
const RESOLUTION: f64 = 0.001;
/// By default a figure decides if it was measured in so many blocks of either side; with fewer it can show nothing.
const DECISIVE_BLOCKS: usize = 3;

/// One run, as it was read.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Where it is, for the reader.
    pub name: String,
    /// Its passport.
    pub environment: Environment,
    /// Its rows.
    pub records: Vec<Record>,
    /// The text of its `sweep.toml`, if there is one.
    pub sweep: Option<String>,
    /// What its sweep installs that the passport does not tell, by name: must be alike, as the passport.
    pub setup: BTreeMap<String, String>,
}

/// What decides, and from when on. Thresholds are in percent: 5 is a factor of 1.05, up or down.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The metrics that decide; None: times and rates of whole operations, where there are three blocks.
    pub metrics: Option<BTreeSet<String>>,
    /// The modes that decide; None: all.
    pub modes: Option<BTreeSet<String>>,
    /// Look at these metrics only, and let them decide; empty: at all.
    pub only_metrics: BTreeSet<String>,
    /// Look at these modes only; empty: at all.
    pub only_modes: BTreeSet<String>,
    /// Smaller differences are not claimed.
    pub threshold: f64,
    /// The same for single metrics.
    pub thresholds: BTreeMap<String, f64>,
    /// Fields of [`likeness::FIELDS`] in which runs may differ.
    pub accept: BTreeSet<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            metrics: None,
            modes: None,
            only_metrics: BTreeSet::new(),
            only_modes: BTreeSet::new(),
            threshold: DEFAULT_THRESHOLD,
            thresholds: BTreeMap::new(),
            accept: BTreeSet::new(),
        }
    }
}

impl Policy {
    fn threshold(&self, metric: &str) -> f64 {
        self.thresholds.get(metric).copied().unwrap_or(self.threshold)
    }

    fn looks_at(&self, key: &GroupKey<'_>) -> bool {
        let chosen = |only: &BTreeSet<String>, name: &str| only.is_empty() || only.contains(name);
        chosen(&self.only_metrics, key.metric) && chosen(&self.only_modes, key.mode)
    }

    /// The metrics that somebody has named as deciding.
    fn named(&self) -> Option<&BTreeSet<String>> {
        if self.only_metrics.is_empty() { self.metrics.as_ref() } else { Some(&self.only_metrics) }
    }
}

/// Which figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figure {
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
}

impl Figure {
    fn of(key: &GroupKey<'_>, lane: usize, clock: Clock) -> Self {
        Figure {
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
        name
    }
}

/// What is said of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
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

impl Verdict {
    /// In words.
    pub const fn in_words(self) -> &'static str {
        match self {
            Verdict::Worse => "worse",
            Verdict::Better => "better",
            Verdict::Changed => "changed",
            Verdict::NoDifference => "no difference shown",
            Verdict::NotComparable => "not comparable",
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
pub enum Method {
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
pub struct Shown {
    /// NEW over BASE minus 1, percent; absent where BASE is zero.
    pub percent: Option<f64>,
    /// 95% interval of `percent`.
    pub interval_percent: Option<Interval>,
    /// p value, of this figure alone.
    pub p: f64,
    /// p value corrected for the number of figures (Holm).
    pub p_corrected: f64,
    /// How it was tested.
    pub method: Method,
    /// The true difference that would have been shown in four of five such comparisons, percent.
    pub detectable_percent: Option<f64>,
}

/// One figure compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// Which.
    #[serde(flatten)]
    pub figure: Figure,
    /// What is said of it.
    pub verdict: Verdict,
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
    pub difference: Option<Shown>,
    /// Smaller differences are not claimed, percent.
    pub threshold_percent: f64,
    /// Largest A/A difference of either side that is no rare exception, percent; absent without A/A pairs.
    pub floor_percent: Option<f64>,
}

/// What all figures together mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
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
pub struct Source {
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
    pub outcome: Outcome,
    /// The same in one line.
    pub summary: String,
    /// The runs of BASE.
    pub base: Vec<Source>,
    /// The runs of NEW.
    pub new: Vec<Source>,
    /// The lanes.
    pub lanes: Vec<Lane>,
    /// What the reader should know of both sides.
    pub notes: Vec<String>,
    /// Deciding figures that were tested together; each p value is corrected for so many.
    pub family: usize,
    /// All figures, the worst first.
    pub figures: Vec<Compared>,
}

/// Compares two sides of one or more runs each.
pub fn compare(base: &[Run], new: &[Run], policy: &Policy) -> Comparison {
    let sides = [base, new];
    let split = sides.map(|runs| runs.iter().map(|run| Groups::split(&run.records)).collect::<Vec<_>>());
    let mut medians = Medians::new();
    let (mut lanes, mut cases) = (Vec::new(), Vec::new());
    let same_sweep = outcome::same_sweep(sides);
    for (index, worlds) in lanes::pair(sides).into_iter().enumerate() {
        let lane = lanes::lane(worlds, sides, &policy.accept);
        let cells = gather::gather(worlds, [&split[0], &split[1]]);
        let floors = gather::floors(&cells);
        let seeds =
            BTreeSet::from_iter(sides.iter().flat_map(|runs| runs.iter().map(|run| run.environment.seed)));
        let lane_facts = judge::LaneFacts {
            index,
            clock: lane.clock,
            refused: !lane.refused.is_empty(),
            sides: lane.sides,
            same_sweep,
            paired: lane.clock == Clock::Instructions && seeds.len() == 1,
        };
        for (key, cell) in cells.into_iter().filter(|(key, _)| policy.looks_at(key)) {
            let floor = floors.get(&(key.workload, key.metric)).copied();
            cases.push(judge::case(&key, &cell, floor, &lane_facts, policy, &mut medians));
        }
        lanes.push(lane);
    }
    let (figures, family) = judge::verdicts(cases);
    let mut notes = outcome::notes(sides, same_sweep);
    let unmeasured = outcome::unmeasured(&figures, policy);
    notes.extend(
        unmeasured.iter().map(|metric| format!("no row has the metric {metric}, which should decide")),
    );
    let found = outcome::outcome(&figures, &lanes, !unmeasured.is_empty());
    let source = |run: &Run| Source {
        name: run.name.clone(),
        run: run.environment.run.clone(),
        tool_version: run.environment.tool_version.clone(),
    };
    Comparison {
        summary: outcome::summary(found, &figures, &lanes, &unmeasured),
        outcome: found,
        base: base.iter().map(source).collect(),
        new: new.iter().map(source).collect(),
        lanes,
        notes,
        family,
        figures,
    }
}

/// The metrics that have rows on either side, sorted.
pub fn metrics(sides: [&[Run]; 2]) -> BTreeSet<&str> {
    rows(sides).map(|row| row.metric.as_str()).collect()
}

/// The modes that have rows on either side, sorted.
pub fn modes(sides: [&[Run]; 2]) -> BTreeSet<&str> {
    rows(sides).map(|row| row.mode.as_str()).collect()
}

fn rows(sides: [&[Run]; 2]) -> impl Iterator<Item = &Record> {
    sides.into_iter().flatten().flat_map(|run| &run.records)
}
