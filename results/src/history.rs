//! Many runs over time: a series for each figure, and where it changed.
//!
//! A series holds runs of one machine and clock only ([`Machine`]); what differs between one run of it and the next in kernel or tools
//! is an event, named beside a change that comes with it.

mod change;
mod key;
mod machine;
mod page;
mod read;
mod series;
mod shown;
mod write;

use std::collections::{BTreeMap, BTreeSet};

pub use self::change::{LEAST_RUNS, changes, least_series};
pub use self::key::{Quantile, SeriesKey, Worse};
pub use self::machine::{Facts, Machine};
pub use self::page::{html, svg};
pub use self::read::{RunSummary, Unreadable, read};
pub use self::series::{Change, Event, History, RunInfo, RunValue, Series};
pub use self::shown::{markdown, text};
pub use self::write::write;
use crate::names::{is_control, position};
use crate::stats::{Interval, median, welch};

/// The chance that a series in which nothing changed is said to have changed, unless the caller sets another.
pub const LEVEL: f64 = 0.01;

/// Which figures are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Of each workload, metric, mode and number of endpoints the largest scale, and the last Service of it.
    Largest,
    /// Every scale and position.
    All,
}

/// Orders `runs` by time, splits them by machine, and looks for changes at `level`.
pub fn history(mut runs: Vec<RunSummary>, unreadable: Vec<Unreadable>, width: Width, level: f64) -> History {
    runs.sort_by(|a, b| (&a.started, &a.folder).cmp(&(&b.started, &b.folder)));
    let mut machines: Vec<Machine> = Vec::new();
    let mut series: BTreeMap<(usize, SeriesKey), Vec<RunValue>> = BTreeMap::new();
    let mut facts: BTreeMap<usize, Vec<(usize, &Facts)>> = BTreeMap::new();
    for (index, run) in runs.iter().enumerate() {
        for lane in &run.lanes {
            let machine = machines.iter().position(|machine| *machine == lane.machine).unwrap_or_else(|| {
                machines.push(lane.machine.clone());
                machines.len() - 1
            });
            facts.entry(machine).or_default().push((index, &lane.facts));
            for (key, value) in &lane.figures {
                series
                    .entry((machine, key.clone()))
                    .or_default()
                    .push(RunValue { run: index, value: *value });
            }
        }
    }
    if width == Width::Largest {
        keep_largest(&mut series);
    }
    let mut all: Vec<Series> = series
        .into_iter()
        .map(|((machine, figure), points)| {
            let known = facts.get(&machine).map(Vec::as_slice).unwrap_or_default();
            let changes = found(&points, known, level);
            Series { machine, figure, points, changes }
        })
        .collect();
    note_controls(&mut all);
    let events = facts
        .iter()
        .flat_map(|(machine, runs)| {
            runs.windows(2).map(|pair| Event {
                machine: *machine,
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
    History { runs, machines, series: all, events, unreadable, level, least_series: least_series(level) }
}

/// Keeps the headline position, and of it the largest scale that the latest runs have.
fn keep_largest(series: &mut BTreeMap<(usize, SeriesKey), Vec<RunValue>>) {
    let rank = |name: &str| match name {
        position::LAST => 0,
        position::NONE => 1,
        position::UNIFORM => 2,
        _ => 3,
    };
    let family = |(machine, key): &(usize, SeriesKey)| {
        let (workload, metric, mode) = (key.workload.clone(), key.metric.clone(), key.mode.clone());
        (*machine, workload, metric, mode, key.endpoints, key.contenders, key.system.clone())
    };
    // What the newest run has counts more than a scale that was once tried.
    let worth = |(_, key): &(usize, SeriesKey), points: &Vec<RunValue>| {
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
fn found(points: &[RunValue], facts: &[(usize, &Facts)], level: f64) -> Vec<Change> {
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

/// What differs between two environment records, in words.
fn differences(old: &Facts, new: &Facts) -> Vec<String> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let value = |facts: &Facts, name: &String| {
        facts.get(name).filter(|value| !value.is_empty()).cloned().unwrap_or_else(|| "unknown".to_owned())
    };
    let differing = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    differing.map(|name| format!("{name} {} → {}", value(old, name), value(new, name))).collect()
}

/// Where a control changes with a mode, the machine changed and not the mode.
fn note_controls(series: &mut [Series]) {
    let mut changed: BTreeMap<(usize, String, usize), String> = BTreeMap::new();
    for one in series.iter().filter(|one| is_control(&one.figure.mode)) {
        for change in &one.changes {
            if let Some(point) = one.points.get(change.at) {
                let at = (one.machine, one.figure.workload.clone(), point.run);
                changed.entry(at).or_insert_with(|| one.figure.mode.clone());
            }
        }
    }
    for one in series.iter_mut().filter(|one| !is_control(&one.figure.mode)) {
        for change in &mut one.changes {
            let Some(point) = one.points.get(change.at) else { continue };
            let at = (one.machine, one.figure.workload.clone(), point.run);
            change.events.extend(
                changed.get(&at).map(|control| {
                    format!("the control {control} changes there too, so suspect the machine")
                }),
            );
        }
    }
}
