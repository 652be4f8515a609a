//! At how many Services waiting for the xtables lock passes a limit: between two scales that were measured, or beyond them.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::names::{metric, workload};
use crate::{groups::Groups, stats::Interval, stats::median, text::thousands};

/// Fewer scales than this say nothing about larger ones: two points lie on a line whatever they are.
const LEAST_SCALES: usize = 3;
/// Nothing is said about scales beyond the largest one measured times this.
const FARTHEST: f64 = 10.0;

/// Where a limit is passed. All in Services.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Passing {
    /// At the smallest scale already.
    AtOnce(u32),
    /// Between two neighbouring scales that were measured; `at` is interpolated, a straight line in logarithms.
    Measured {
        /// The last scale below the limit.
        after: u32,
        /// Interpolated.
        at: f64,
        /// The first scale above it.
        before: u32,
    },
    /// Beyond all scales: where the line through all of them, in logarithms, comes to the limit.
    Extrapolated {
        /// Where the line does.
        at: f64,
        /// 95% interval of that, from the residuals (Fieller). Its upper end is infinite where nothing is said of it.
        interval: Interval,
    },
    /// Not up to the largest scale, and nothing can be said beyond it.
    NotUpTo(u32),
}

impl Passing {
    /// Its number of Services; infinite where it was not passed and nothing can be said beyond.
    pub fn services(self) -> f64 {
        match self {
            Passing::AtOnce(smallest) => f64::from(smallest),
            Passing::Measured { at, .. } | Passing::Extrapolated { at, .. } => at,
            Passing::NotUpTo(_) => f64::INFINITY,
        }
    }

    /// In words: `2,700, measured between 1,000 and 5,000`. Numbers that were calculated have two digits.
    pub fn in_words(self) -> String {
        match self {
            Passing::AtOnce(smallest) => format!("at {} already, the smallest measured", thousands(smallest)),
            Passing::Measured { after, at, before } => {
                let [after_text, before_text] = [after, before].map(thousands);
                let at = about(at).clamp(u64::from(after), u64::from(before));
                format!("{}, measured between {after_text} and {before_text}", thousands(at))
            }
            Passing::Extrapolated { at, interval: Interval { low, high } } if high.is_infinite() => {
                let [at, low] = [at, low].map(|value| thousands(about(value)));
                format!("{at} [at least {low}], extrapolated")
            }
            Passing::Extrapolated { at, interval: Interval { low, high } } => {
                let [at, low, high] = [at, low, high].map(|value| thousands(about(value)));
                format!("{at} [{low}, {high}], extrapolated")
            }
            Passing::NotUpTo(largest) => format!("not passed up to {}", thousands(largest)),
        }
    }
}

/// Two significant digits.
fn about(services: f64) -> u64 {
    let unit = 10_f64.powi((services.max(1.0).log10().floor() as i32 - 1).max(0));
    ((services / unit).round() * unit) as u64
}

/// Where `waits` (Services and a wait, in any order) first exceed `limit`, in the unit of the waits. Of several waits at one
/// scale the median counts; what is not positive and finite is left out. `None` if nothing is left.
pub fn passing(waits: &[(u32, f64)], limit: f64) -> Option<Passing> {
    let points = by_scale(waits);
    let ((smallest, first), (largest, _)) = (*points.first()?, *points.last()?);
    if first > limit {
        return Some(Passing::AtOnce(smallest));
    }
    for pair in points.windows(2) {
        let [(after, low), (before, high)] = [pair[0], pair[1]];
        if high > limit {
            let share = (limit / low).ln() / (high / low).ln();
            let ratio = f64::from(before) / f64::from(after);
            let at = f64::from(after) * ratio.powf(share);
            return Some(Passing::Measured { after, at, before });
        }
    }
    let (nearest, farthest) = (f64::from(largest), f64::from(largest) * FARTHEST);
    let beyond = fieller(&points, limit).filter(|(at, _)| (nearest..=farthest).contains(at));
    Some(beyond.map_or(Passing::NotUpTo(largest), |(at, interval)| {
        // That it is not passed at the largest scale was measured.
        let low = interval.low.max(nearest);
        let high = if interval.high <= farthest { interval.high } else { f64::INFINITY };
        Passing::Extrapolated { at, interval: Interval { low, high } }
    }))
}

fn by_scale(waits: &[(u32, f64)]) -> Vec<(u32, f64)> {
    let mut all: Vec<_> =
        waits.iter().filter(|(at, wait)| *at > 0 && *wait > 0.0 && wait.is_finite()).copied().collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let scales = all.chunk_by(|a, b| a.0 == b.0);
    scales
        .filter_map(|scale| {
            let waits: Vec<f64> = scale.iter().map(|(_, wait)| *wait).collect();
            Some((scale.first()?.0, median(&waits)?))
        })
        .collect()
}

/// Where the least-squares line through the logarithms comes to `limit`, with a 95% interval for that abscissa (Fieller, *Some
/// problems in interval estimation*, JRSS B 16, 1954: the abscissas at which the band of the line holds the limit). `None` with
/// too few points or where the slope is not shown to be positive: then the interval has no end.
fn fieller(points: &[(u32, f64)], limit: f64) -> Option<(f64, Interval)> {
    if points.len() < LEAST_SCALES {
        return None;
    }
    let n = points.len() as f64;
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (f64::from(*x).ln(), y.ln())).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = logs.iter().map(|point| (point.0 - x).powi(2)).sum();
    let slope = logs.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
    let residuals: f64 = logs.iter().map(|point| (point.1 - y - slope * (point.0 - x)).powi(2)).sum();
    let variance = residuals / (n - 2.0);
    let t = StudentsT::new(0.0, 1.0, n - 2.0).ok()?.inverse_cdf(0.975);
    let g = t * t * variance / (slope * slope * spread);
    // Not-a-number fails too.
    if !(slope > 0.0 && g < 1.0) {
        return None;
    }
    let beyond = (limit.ln() - y) / slope;
    let half = t * variance.sqrt() / slope * ((1.0 - g) / n + beyond * beyond / spread).sqrt();
    let end = |sign: f64| (x + (beyond + sign * half) / (1.0 - g)).exp();
    Some(((x + beyond).exp(), Interval { low: end(-1.0), high: end(1.0) }))
}

/// What waits of one mode, endpoint count and contender count say.
#[derive(Debug, Clone, PartialEq)]
pub struct LockLimit<'a> {
    /// Mode.
    pub mode: &'a str,
    /// Endpoints per Service.
    pub endpoints: u32,
    /// Contenders for the lock.
    pub contenders: u32,
    /// Where the p99 of their waits passes each limit.
    pub passing: Vec<Passing>,
    /// Smallest and largest scale measured.
    pub scales: (u32, u32),
}

/// Where the p99 of contenders' waits passes each of `limits`, in the unit of the rows, per mode and number of contenders.
pub fn lock_limits<'a>(groups: &'a Groups<'a>, limits: &[f64]) -> Vec<LockLimit<'a>> {
    let rows: Vec<_> = groups.of(workload::XTABLES_LOCK, metric::LOCK_WAIT).collect();
    let alike = rows.chunk_by(|(a, _), (b, _)| {
        (a.mode, a.endpoints, a.contenders, a.unit) == (b.mode, b.endpoints, b.contenders, b.unit)
    });
    let mut found = Vec::new();
    for cells in alike {
        let waits: Vec<(u32, f64)> = cells
            .iter()
            .flat_map(|(key, group)| {
                group.per_block(|row| row.p99).into_values().map(|wait| (key.services, wait))
            })
            .collect();
        let points = by_scale(&waits);
        let (Some((key, _)), Some(first), Some(last)) = (cells.first(), points.first(), points.last()) else {
            continue;
        };
        found.push(LockLimit {
            mode: key.mode,
            endpoints: key.endpoints,
            contenders: key.contenders,
            passing: limits.iter().filter_map(|limit| passing(&waits, *limit)).collect(),
            scales: (first.0, last.0),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_limit_between_two_scales_is_interpolated() {
        // 1 ms per Service: 1 s at 1,000 exactly, whatever the scales.
        let waits = [(100, 0.1e9), (500, 0.5e9), (2_000, 2e9), (5_000, 5e9)];
        let Some(Passing::Measured { after: 500, at, before: 2_000 }) = passing(&waits, 1e9) else {
            panic!("{:?}", passing(&waits, 1e9))
        };
        assert!((at - 1_000.0).abs() < 1e-6, "{at}");
        assert_eq!(passing(&waits, 1e9).unwrap().in_words(), "1,000, measured between 500 and 2,000");
        // The largest scale does not exceed it.
        assert_ne!(passing(&waits, 4.999e9), passing(&waits, 5e9));
    }

    #[test]
    fn the_first_passing_counts_and_the_smallest_scale_may_have_it() {
        let waits = [(1_000, 9e9), (100, 0.2e9), (10, 0.1e9), (500, 2e9), (2_000, 0.1e9)];
        assert!(matches!(passing(&waits, 1e9), Some(Passing::Measured { after: 100, before: 500, .. })));
        assert_eq!(passing(&waits, 0.05e9), Some(Passing::AtOnce(10)));
        assert_eq!(passing(&waits, 0.05e9).unwrap().in_words(), "at 10 already, the smallest measured");
    }

    #[test]
    fn beyond_the_scales_a_known_power_law_is_continued() {
        // 20 us N^1.1, with 3% up and down: 1 s at (5e4)^(1/1.1) = 18,700.
        let truth = 50_000_f64.powf(1.0 / 1.1);
        let law = |n: u32, error: f64| (n, 20e3 * f64::from(n).powf(1.1) * error);
        let waits = [law(100, 1.03), law(500, 0.97), law(1_000, 1.01), law(5_000, 1.0), law(10_000, 0.99)];
        let Some(Passing::Extrapolated { at, interval }) = passing(&waits, 1e9) else {
            panic!("{:?}", passing(&waits, 1e9))
        };
        assert!((at / truth - 1.0).abs() < 0.05, "{at} {truth}");
        assert!(interval.low < truth && truth < interval.high && interval.high < 1.3 * truth, "{interval:?}");
        // Without any error there is no doubt.
        let exact = [law(100, 1.0), law(1_000, 1.0), law(10_000, 1.0)];
        let Some(Passing::Extrapolated { at, interval }) = passing(&exact, 1e9) else { panic!() };
        assert!((at - truth).abs() < 1e-3 && interval.high - interval.low < 1.0, "{at} {interval:?}");
        assert_eq!(passing(&exact, 1e9).unwrap().in_words(), "19,000 [19,000, 19,000], extrapolated");
    }

    #[test]
    fn three_scales_with_errors_leave_the_upper_end_open() {
        let passing = passing(&[(100, 2.1e6), (1_000, 17e6), (10_000, 240e6)], 1e9).unwrap();
        assert!(matches!(passing, Passing::Extrapolated { interval, .. } if interval.high.is_infinite()));
        assert_eq!(passing.in_words(), "44,000 [at least 10,000], extrapolated");
    }

    #[test]
    fn nothing_is_said_beyond_where_it_cannot_be() {
        let here = Passing::NotUpTo(1_000);
        let not = Some(here);
        assert_eq!(passing(&[(100, 1e8), (1_000, 5e8)], 1e9), not, "two scales");
        assert_eq!(passing(&[(10, 1e8), (100, 1e8), (1_000, 1e8)], 1e9), not, "flat");
        assert_eq!(passing(&[(10, 5e8), (100, 2e8), (1_000, 3e8)], 1e9), not, "falling");
        assert_eq!(passing(&[(10, 1e8), (100, 5e8), (1_000, 2e8)], 1e9), not, "rising or not: who knows");
        assert_eq!(passing(&[(10, 1e3), (100, 1e4), (1_000, 1e5)], 1e9), not, "10,000 times farther");
        assert_eq!(here.in_words(), "not passed up to 1,000");
        assert_eq!(passing(&[], 1e9), None);
        assert_eq!(passing(&[(0, 1e8), (5, f64::NAN), (6, -1.0)], 1e9), None);
    }

    /// Worked out by hand: logarithms x = 0, 1, 2, y = 0, 1.01, 2; slope 1, means 1 and 1.0033, residuals -1/300, 2/300, -1/300.
    #[test]
    fn the_interval_is_fiellers() {
        let e = std::f64::consts::E;
        // Scales are whole numbers, so the logarithms are those of 10^0, 10^1, 10^2, in units of ln 10.
        let unit = 10_f64.ln();
        let points: Vec<_> =
            [(1, 0.0), (10, 1.01), (100, 2.0)].map(|(n, y): (u32, f64)| (n, e.powf(y * unit))).to_vec();
        let (at, interval) = fieller(&points, 1000.0).unwrap();
        let [at, low, high] = [at, interval.low, interval.high].map(|value| value.log10());
        assert!((at - (1.0 + 3.0 - 1.0 - 0.01 / 3.0)).abs() < 1e-9, "{at}");
        // s^2 = 6/90000; t = 12.7062; g = t^2 s^2 / 2 = 0.0053815; d = 1.99667;
        // half = t s sqrt((1 - g) / 3 + d^2 / 2) = 0.158187.
        let (g, d, half) = (0.005_381_5, 2.0 - 0.01 / 3.0, 0.158_187);
        assert!((low - (1.0 + (d - half) / (1.0 - g))).abs() < 1e-4, "{low}");
        assert!((high - (1.0 + (d + half) / (1.0 - g))).abs() < 1e-4, "{high}");
    }

    fn any_wait() -> impl Strategy<Value = f64> {
        prop_oneof![any::<f64>(), 0.0..1e11, Just(f64::INFINITY), Just(f64::NAN), Just(0.0)]
    }

    proptest! {
        #[test]
        fn any_waits_are_an_answer(
            waits in prop::collection::vec((any::<u32>(), any_wait()), 0..12),
            limit in any_wait()
        ) {
            if let Some(passing) = passing(&waits, limit) {
                prop_assert!(!passing.in_words().is_empty());
            }
        }

        #[test]
        fn a_power_law_is_passed_where_it_is(
            scales in prop::collection::btree_set(1..20_000_u32, 3..8),
            base in 1e4..1e6_f64,
            growth in 0.5..2.0_f64,
        ) {
            let waits: Vec<_> = scales.iter().map(|n| (*n, base * f64::from(*n).powf(growth))).collect();
            let truth = (1e9 / base).powf(1.0 / growth);
            let (first, last) = (*scales.first().unwrap(), *scales.last().unwrap());
            match passing(&waits, 1e9).unwrap() {
                Passing::AtOnce(n) => prop_assert!(n == first && truth < f64::from(n) * 1.001),
                Passing::Measured { after, at, before } => {
                    prop_assert!((at / truth - 1.0).abs() < 1e-6, "{at} {truth}");
                    prop_assert!(f64::from(after) <= at * 1.001 && at <= f64::from(before) * 1.001);
                }
                Passing::Extrapolated { at, interval } => {
                    prop_assert!((at / truth - 1.0).abs() < 1e-6, "{at} {truth}");
                    prop_assert!(interval.low <= at * 1.001 && at <= interval.high * 1.001);
                }
                Passing::NotUpTo(n) => prop_assert!(n == last && truth > f64::from(n) * 0.999),
            }
        }
    }
}
