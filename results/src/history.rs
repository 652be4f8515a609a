//! Many runs over time: a series for each figure, and where it changed.
//!
//! A series holds runs of one machine and clock only ([`Place`]); what differs between two neighbouring runs of it in kernel or tools
//! is an event, told beside a change that comes with it.

mod change;
mod page;
mod read;
mod shown;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

pub use self::change::{LEAST_RUNS, changes, least_series};
pub use self::page::{html, svg};
pub use self::read::{Run, Unreadable, read};
pub use self::shown::{markdown, text};
pub use self::write::write;
use crate::compare::direction::{self, Direction};
use crate::environment::Environment;
use crate::names::{is_control, metric, mode_rank, position, workload};
use crate::record::{Clock, Unit};
use crate::stats::{Interval, median, welch};

/// The chance that a series in which nothing changed is said to have changed, unless told otherwise.
pub const LEVEL: f64 = 0.01;

/// What must agree, or figures of two runs are not of one series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Clock.
    pub clock: Clock,
    /// What the kernel ran on; see [`crate::record::Record::hypervisor`].
    pub hypervisor: String,
    /// Architecture.
    pub machine: String,
    /// Processor model.
    pub cpu_model: String,
    /// Cores online.
    pub cores: u32,
    /// Hypervisor or container by its name.
    pub virtualisation: String,
    /// What else was in the kernel.
    pub neighbours: String,
}

impl Place {
    /// The place of a lane.
    pub fn of(passport: &Environment) -> Self {
        Place {
            clock: passport.clock,
            hypervisor: passport.hypervisor.clone(),
            machine: passport.machine.clone(),
            cpu_model: passport.cpu_model.clone(),
            cores: passport.cores,
            virtualisation: passport.virtualisation.clone(),
            neighbours: passport.neighbours.clone(),
        }
    }

    /// `wall clock · Intel Xeon, 2 cores · KVM`.
    pub fn label(&self) -> String {
        let passport = Environment {
            hypervisor: self.hypervisor.clone(),
            cpu_model: self.cpu_model.clone(),
            cores: self.cores,
            virtualisation: self.virtualisation.clone(),
            ..Environment::default()
        };
        let mut parts = vec![self.clock.in_words().to_owned(), passport.caption()];
        parts.extend((!self.neighbours.is_empty()).then(|| format!("beside {}", self.neighbours)));
        parts.retain(|part| !part.is_empty());
        parts.join(" · ")
    }
}

/// Kernel, tools and settings of a run: name to value.
pub type Facts = BTreeMap<String, String>;

/// Which quantile of a row a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Median.
    P50,
    /// 99th percentile.
    P99,
}

/// What is followed over time: the median over a run's blocks of a quantile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FigureKey {
    /// Workload.
    pub workload: String,
    /// Metric.
    pub metric: String,
    /// Quantile.
    pub field: Field,
    #[serde(skip)]
    rank: usize,
    /// Mode.
    pub mode: String,
    /// Endpoints per Service.
    pub endpoints: u32,
    /// Contenders for the lock.
    pub contenders: u32,
    /// Position of the Service that is looked up.
    pub position: String,
    /// Services installed.
    pub services: u32,
    /// Unit of the rows.
    pub unit: Unit,
}

impl FigureKey {
    /// Which way is worse: up, down, or neither.
    pub fn worse(&self) -> Option<Worse> {
        match direction::of(&self.metric, self.unit) {
            Direction::Lower => Some(Worse::Up),
            Direction::Higher => Some(Worse::Down),
            Direction::Structure | Direction::Neither => None,
        }
    }
}

/// Which way a figure gets worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Worse {
    /// As it grows.
    Up,
    /// As it falls.
    Down,
}

/// The metrics that are followed, and of what a run's figure is the median over blocks.
fn followed(name: &str, of: &str) -> Option<Field> {
    let is_sync =
        name.starts_with("full_sync_") || name.starts_with("partial_sync_") || name == workload::APPEND;
    match (name, of) {
        (workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET)
        | (workload::TCP_CRR, metric::RESPONSE_TIME | metric::TRANSACTIONS_PER_SECOND)
        | (workload::FULL_SYNC_COLD, metric::RULES | metric::KERNEL_MEMORY | metric::TOOL_PEAK_RSS)
        | (workload::FORWARDING | workload::FORWARDING_64K, metric::DIRECTOR_CPU) => Some(Field::P50),
        (workload::XTABLES_LOCK, metric::LOCK_WAIT | metric::CONTENDER_OPERATION) => Some(Field::P99),
        (_, metric::APPLY) if is_sync => Some(Field::P50),
        (_, metric::PROGRAMMING_LATENCY) => Some(Field::P50),
        (load, metric::RESPONSE_TIME) if load.starts_with(workload::LOAD) => Some(Field::P99),
        (load, metric::TRANSACTIONS_PER_SECOND | metric::THROUGHPUT) if load.starts_with(workload::LOAD) => {
            Some(Field::P50)
        }
        (disruption, metric::RESPONSE_DURING) if disruption.starts_with(workload::DISRUPTION) => {
            Some(Field::P99)
        }
        _ => None,
    }
}

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
pub struct Point {
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

/// One figure over the runs of one place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// Index into [`History::places`].
    pub place: usize,
    /// What it is.
    pub figure: FigureKey,
    /// By time.
    pub points: Vec<Point>,
    /// By time.
    pub changes: Vec<Change>,
}

/// What a kernel or a tool was before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Index into [`History::places`].
    pub place: usize,
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
    pub places: Vec<Place>,
    /// By place, then by figure.
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

/// Which figures are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Of each workload, metric, mode and number of endpoints the largest scale, and the last Service of it.
    Largest,
    /// Every scale and position.
    All,
}

/// Orders `runs` by time, splits them by place, and looks for changes at `level`.
pub fn history(mut runs: Vec<Run>, unreadable: Vec<Unreadable>, width: Width, level: f64) -> History {
    runs.sort_by(|a, b| (&a.started, &a.folder).cmp(&(&b.started, &b.folder)));
    let mut places: Vec<Place> = Vec::new();
    let mut series: BTreeMap<(usize, FigureKey), Vec<Point>> = BTreeMap::new();
    let mut facts: BTreeMap<usize, Vec<(usize, &Facts)>> = BTreeMap::new();
    for (index, run) in runs.iter().enumerate() {
        for lane in &run.lanes {
            let place = places.iter().position(|place| *place == lane.place).unwrap_or_else(|| {
                places.push(lane.place.clone());
                places.len() - 1
            });
            facts.entry(place).or_default().push((index, &lane.facts));
            for (key, value) in &lane.figures {
                series.entry((place, key.clone())).or_default().push(Point { run: index, value: *value });
            }
        }
    }
    if width == Width::Largest {
        keep_largest(&mut series);
    }
    let mut all: Vec<Series> = series
        .into_iter()
        .map(|((place, figure), points)| {
            let known = facts.get(&place).map(Vec::as_slice).unwrap_or_default();
            let changes = found(&points, known, level);
            Series { place, figure, points, changes }
        })
        .collect();
    tell_of_controls(&mut all);
    let events = facts
        .iter()
        .flat_map(|(place, runs)| {
            runs.windows(2).map(|pair| Event {
                place: *place,
                run: pair[1].0,
                what: differences(pair[0].1, pair[1].1),
            })
        })
        .filter(|event| !event.what.is_empty())
        .collect();
    let runs = runs
        .into_iter()
        .map(|run| RunInfo { name: run.name, folder: run.folder, started: run.started })
        .collect();
    History { runs, places, series: all, events, unreadable, level, least_series: least_series(level) }
}

/// Keeps the headline position, and of it the largest scale that the latest runs have.
fn keep_largest(series: &mut BTreeMap<(usize, FigureKey), Vec<Point>>) {
    let rank = |name: &str| match name {
        position::LAST => 0,
        position::NONE => 1,
        position::UNIFORM => 2,
        _ => 3,
    };
    let family = |(place, key): &(usize, FigureKey)| {
        (*place, key.workload.clone(), key.metric.clone(), key.mode.clone(), key.endpoints, key.contenders)
    };
    // What the newest run has counts more than a scale that was once tried.
    let worth = |(_, key): &(usize, FigureKey), points: &Vec<Point>| {
        let newest = points.last().map_or(0, |point| point.run);
        (newest, std::cmp::Reverse(rank(&key.position)), key.services)
    };
    let mut best = BTreeMap::new();
    for (key, points) in series.iter() {
        let worth = worth(key, points);
        let kept = best.entry(family(key)).or_insert(worth);
        *kept = worth.max(*kept);
    }
    series.retain(|key, points| best.get(&family(key)) == Some(&worth(key, points)));
}

/// The changes of one series.
fn found(points: &[Point], facts: &[(usize, &Facts)], level: f64) -> Vec<Change> {
    let values: Vec<f64> = points.iter().map(|point| point.value).collect();
    let found = changes(&values, level);
    let mut ends: Vec<usize> = vec![0];
    ends.extend(found.iter().map(|found| found.at));
    ends.push(values.len());
    let mut all = Vec::new();
    for (found, around) in found.iter().zip(ends.windows(3)) {
        let (before, after) = (&values[around[0]..around[1]], &values[around[1]..around[2]]);
        let (Some(low), Some(high)) = (median(before), median(after)) else { continue };
        let ratio = ratio(before, after);
        let of = |index: usize| {
            let run = points.get(index)?.run;
            facts.iter().find(|(known, _)| *known == run).map(|(_, facts)| *facts)
        };
        let events = match (found.at.checked_sub(1).and_then(of), of(found.at)) {
            (Some(old), Some(new)) => differences(old, new),
            _ => Vec::new(),
        };
        all.push(Change {
            at: found.at,
            p_value: found.p_value,
            before: low,
            after: high,
            share: ratio.map(|(share, _)| share),
            interval: ratio.and_then(|(_, interval)| interval).map(|interval| (interval.low, interval.high)),
            events,
        });
    }
    all
}

/// After over before, less 1, with Welch's interval over logarithms; none where both sides agree exactly.
fn ratio(before: &[f64], after: &[f64]) -> Option<(f64, Option<Interval>)> {
    let logs = |values: &[f64]| values.iter().map(|value| value.ln()).collect::<Vec<f64>>();
    let found = welch(&logs(before), &logs(after))?;
    let Interval { low, high } = found.interval;
    let interval = Interval { low: low.exp_m1(), high: high.exp_m1() };
    Some((found.effect.exp_m1(), found.degrees.map(|_| interval)))
}

/// What differs between two passports, in words.
fn differences(old: &Facts, new: &Facts) -> Vec<String> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let value = |facts: &Facts, name: &String| {
        facts.get(name).filter(|value| !value.is_empty()).cloned().unwrap_or_else(|| "unknown".to_owned())
    };
    let differing = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    differing.map(|name| format!("{name} {} → {}", value(old, name), value(new, name))).collect()
}

/// Where a control changes with a mode, the machine changed and not the mode.
fn tell_of_controls(series: &mut [Series]) {
    let mut changed: BTreeMap<(usize, String, usize), String> = BTreeMap::new();
    for one in series.iter().filter(|one| is_control(&one.figure.mode)) {
        for change in &one.changes {
            if let Some(point) = one.points.get(change.at) {
                let at = (one.place, one.figure.workload.clone(), point.run);
                changed.entry(at).or_insert_with(|| one.figure.mode.clone());
            }
        }
    }
    for one in series.iter_mut().filter(|one| !is_control(&one.figure.mode)) {
        for change in &mut one.changes {
            let Some(point) = one.points.get(change.at) else { continue };
            let at = (one.place, one.figure.workload.clone(), point.run);
            change.events.extend(
                changed.get(&at).map(|control| {
                    format!("the control {control} changes there too, so suspect the machine")
                }),
            );
        }
    }
}

/// Sorting rank of a mode, for [`FigureKey`].
fn rank(mode: &str) -> usize {
    mode_rank(mode)
}
