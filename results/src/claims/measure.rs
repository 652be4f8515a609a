//! Figures by mode and scale, and differences between modes.

use std::collections::BTreeMap;

use super::evidence::Evidence;
use crate::crossover::t_interval;
use crate::curves::{Curves, middle, values};
use crate::stats::{Estimate, Interval, Medians, median};
use crate::text::{LOST, Quantity};

/// With fewer blocks than this nothing is said of a difference.
pub(super) const LEAST_BLOCKS: usize = 3;
/// Figures that are closer than this are the same to whoever chooses a mode: the share below which a lookup is called flat too.
pub(super) const ALIKE: f64 = 0.1;

/// Median over blocks with its interval, as the tables show it.
pub(super) fn estimate(blocks: &BTreeMap<(&str, u32), f64>) -> Option<Estimate> {
    Medians::new().estimate(&values(blocks))
}

pub(super) fn shown(quantity: Quantity, blocks: &BTreeMap<(&str, u32), f64>) -> String {
    estimate(blocks).map_or_else(|| "—".to_owned(), |estimate| quantity.show_estimate(estimate))
}

/// What one scale says of two modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// By more than [`ALIKE`] and the floor, and the interval leaves out zero.
    Differ,
    /// The interval lies within [`ALIKE`].
    Same,
    /// Neither is shown.
    Unclear,
}

/// How much more the second mode costs than the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ModeDifference<'a> {
    pub modes: [&'a str; 2],
    pub services: u32,
    /// Medians over blocks.
    pub values: [f64; 2],
    /// Second over first, less 1: the median over blocks.
    pub share: f64,
    /// Its interval, at a level that holds for the whole family.
    pub interval: Option<Interval>,
    pub blocks: usize,
    pub state: State,
}

/// All pairs of modes at all scales that are `wanted`. Intervals are of Student's t over the logarithms of the blocks' ratios, at
/// 1 - 0.05 / k for k comparisons (Bonferroni), so that all of them hold together 95 times in a hundred. The more expensive mode is second.
pub(super) fn differences<'a>(
    curves: &Curves<'a>,
    floor: f64,
    wanted: impl Fn(u32) -> bool,
) -> Vec<ModeDifference<'a>> {
    let mut pairs = Vec::new();
    for (index, (first, ours)) in curves.modes.iter().enumerate() {
        for (second, theirs) in curves.modes.iter().skip(index + 1) {
            let both = ours.iter().filter(|(services, _)| wanted(**services));
            pairs.extend(
                both.filter_map(|(services, a)| Some((*first, *second, *services, a, theirs.get(services)?))),
            );
        }
    }
    let level = 1.0 - 0.05 / pairs.len().max(1) as f64;
    pairs
        .into_iter()
        .filter_map(|(first, second, services, a, b)| {
            let logs = |a: &BTreeMap<(&str, u32), f64>, b: &BTreeMap<(&str, u32), f64>| -> Vec<f64> {
                let ratios = a.iter().filter_map(|(block, y)| Some((b.get(block)? / y).ln()));
                ratios.filter(|log| log.is_finite()).collect()
            };
            let forward = logs(a, b);
            let turned = median(&forward)? < 0.0;
            let (modes, logs) =
                if turned { ([second, first], logs(b, a)) } else { ([first, second], forward) };
            let (a, b) = if turned { (middle(b)?, middle(a)?) } else { (middle(a)?, middle(b)?) };
            let share = median(&logs)?.exp_m1();
            let interval = t_interval(&logs, level)
                .map(|Interval { low, high }| Interval { low: low.exp_m1(), high: high.exp_m1() });
            let state = match interval.filter(|_| logs.len() >= LEAST_BLOCKS) {
                Some(interval) if interval.low > 0.0 && share > ALIKE.max(floor) => State::Differ,
                Some(interval) if interval.low > -ALIKE && interval.high < ALIKE => State::Same,
                _ => State::Unclear,
            };
            let blocks = logs.len();
            Some(ModeDifference { modes, services, values: [a, b], share, interval, blocks, state })
        })
        .collect()
}

/// `+68%`, `+68% [60, 75]`, `×6.4 [6, 7]` where it is more than double; with a decimal where the interval is narrow.
pub(crate) fn percent(share: f64, interval: Option<Interval>) -> String {
    let (sign, unit, scale, shift) = match share {
        share if share > 1.0 => ("×", "", 1.0, 1.0),
        share if share < 0.0 => ("−", "%", 100.0, 0.0),
        _ => ("+", "%", 100.0, 0.0),
    };
    let of = |share: f64| (share + shift) * scale;
    let width = interval.map_or(f64::INFINITY, |interval| of(interval.high) - of(interval.low));
    let decimals = usize::from(width < 2.0 || of(share).abs() < 10.0);
    let number = |value: f64| format!("{value:.decimals$}").replace('-', "−");
    let interval =
        interval.map(|interval| format!(" [{}, {}]", number(of(interval.low)), number(of(interval.high))));
    format!("{sign}{}{unit}{}", number(of(share).abs()), interval.unwrap_or_default())
}

/// The cost at `services` from the scales around it, a straight line in logarithms; never beyond what was measured.
pub(super) fn at(points: &[(u32, f64)], services: u32) -> Option<f64> {
    if let Some((_, y)) = points.iter().find(|(n, _)| *n == services) {
        return Some(*y);
    }
    let pair = points.windows(2).find(|pair| pair[0].0 < services && services < pair[1].0)?;
    let [(n0, y0), (n1, y1)] = [pair[0], pair[1]];
    if n0 == 0 || y0 <= 0.0 || y1 <= 0.0 {
        return None;
    }
    let share = (f64::from(services) / f64::from(n0)).ln() / (f64::from(n1) / f64::from(n0)).ln();
    Some(y0 * (y1 / y0).powf(share))
}

/// That a mode has no figure of a workload although it was asked for. Its rows say why, and the report lists them once.
pub(super) fn why_lost<'a>(lane: &Evidence<'a>, mode: &str, workloads: &[&str]) -> Option<String> {
    let lost =
        lane.groups.map.iter().filter(|(key, _)| key.mode == mode && workloads.contains(&key.workload));
    let note = lost.flat_map(|(_, group)| &group.lost).next()?;
    Some(format!("{mode} was {} in this lane (see “{LOST}” in the report)", note.status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crossover::Curve;

    #[test]
    fn shares_are_shown_as_finely_as_they_are_known() {
        let shown = |share, low, high| percent(share, Some(Interval { low, high }));
        assert_eq!(percent(0.68, None), "+68%");
        assert_eq!(shown(0.68, 0.6, 0.751), "+68% [60, 75]");
        assert_eq!(shown(0.119, 0.117, 0.121), "+11.9% [11.7, 12.1]");
        assert_eq!(shown(-0.04, -0.08, 0.001), "−4.0% [−8.0, 0.1]");
        assert_eq!(shown(98.0, 94.0, 105.0), "×99 [95, 106]");
        assert_eq!(percent(0.0, None), "+0.0%");
    }

    #[test]
    fn scales_between_are_interpolated_and_beyond_they_are_not() {
        let points = [(10, 1.0), (1_000, 100.0)];
        assert_eq!(at(&points, 1_000), Some(100.0));
        assert!((at(&points, 100).unwrap() - 10.0).abs() < 1e-9);
        assert_eq!((at(&points, 5), at(&points, 2_000), at(&[(10, 0.0), (20, 1.0)], 15)), (None, None, None));
    }

    #[test]
    fn pairs_are_judged_together() {
        let blocks = |value: f64, spread: f64| -> BTreeMap<(&'static str, u32), f64> {
            (0..5).map(|block| (("run", block), value + spread * (f64::from(block) - 2.0))).collect()
        };
        let curve = |value: f64, spread: f64| Curve::from([(100, blocks(value, spread))]);
        let modes = vec![
            ("a", curve(100.0, 1.0)),
            ("b", curve(103.0, 1.0)),
            ("c", curve(150.0, 1.0)),
            ("d", curve(160.0, 40.0)),
        ];
        let curves = Curves { modes, endpoints: 10, repeats: Vec::new() };
        let found = differences(&curves, 0.0, |_| true);
        let state =
            |first: &str, second: &str| found.iter().find(|d| d.modes == [first, second]).map(|d| d.state);
        assert_eq!(found.len(), 6);
        // 3% apart, shown to be, but less than 10%; half as much again; and noise.
        assert_eq!(
            (state("a", "b"), state("a", "c"), state("c", "d")),
            (Some(State::Same), Some(State::Differ), Some(State::Unclear))
        );
        // The more expensive one is second, whichever comes first.
        let turned = Curves {
            modes: vec![("c", curve(150.0, 1.0)), ("a", curve(100.0, 1.0))],
            endpoints: 10,
            repeats: Vec::new(),
        };
        let turned = differences(&turned, 0.0, |_| true);
        assert_eq!(
            (turned[0].modes, turned[0].values, turned[0].share > 0.49),
            (["a", "c"], [100.0, 150.0], true)
        );
        // What an A/A comparison differs by too is none.
        assert_eq!(
            differences(&curves, 0.6, |_| true).iter().filter(|d| d.state == State::Differ).count(),
            0
        );
    }
}
