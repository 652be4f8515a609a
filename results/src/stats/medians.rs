//! Medians over blocks, with intervals that are honest for few blocks.

use std::collections::HashMap;

use statrs::distribution::{Binomial, DiscreteCDF};

use super::interval::{CONFIDENCE, Interval};
use super::student::{Moments, half_width};

/// From so many values on, 95% intervals of a median exist between order statistics: the smallest and the largest of
/// n values have the median between them with probability 1 - 2^(1-n), which is 93.75% for five.
const ORDER_STATISTICS: usize = 6;
/// Two values do not show how far a third would be: t with one degree of freedom is 12.7.
const FEWEST: usize = 3;

/// A median over blocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The median, in the unit of the values.
    pub median: f64,
    /// Its 95% interval; absent for one block, and for two that differ.
    pub interval: Option<Interval>,
    /// Number of blocks.
    pub n: usize,
    /// Whether several blocks gave exactly the same value, as a deterministic clock can: the interval is then a
    /// point, and says so better in words.
    pub identical: bool,
}

/// The median of `values`, the mean of the two middle ones if their number is even; None if there are none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    median_of_sorted(&sorted)
}

fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(lower + (upper - lower) / 2.0)
}

/// How the interval of a number of values is made.
#[derive(Debug, Clone, Copy, PartialEq)]
enum IntervalMethod {
    /// Student's t: half of its width in standard deviations.
    Student(f64),
    /// Between the order statistics `depth` and `depth + 1` from either end (from 1): this share of the way.
    Interpolated { depth: usize, share: f64 },
}

impl IntervalMethod {
    fn of(n: usize) -> Option<IntervalMethod> {
        if n < FEWEST {
            None
        } else if n < ORDER_STATISTICS {
            Some(IntervalMethod::Student(half_width(n as f64 - 1.0)? / (n as f64).sqrt()))
        } else {
            interpolated(n)
        }
    }
}

/// Hettmansperger and Sheather, *Confidence intervals based on interpolated order statistics*, Statistics and
/// Probability Letters 4, 1986: the order statistics whose intervals are just above and just below the confidence
/// wanted, and how far to go from one to the other.
fn interpolated(n: usize) -> Option<IntervalMethod> {
    let binomial = Binomial::new(0.5, n as u64).ok()?;
    let confidence = |depth: usize| 1.0 - 2.0 * binomial.cdf(depth as u64 - 1);
    // Confidence falls with depth: the last that is still enough.
    let (mut depth, mut too_deep) = (1, n / 2 + 1);
    while too_deep - depth > 1 {
        let middle = depth.midpoint(too_deep);
        if confidence(middle) >= CONFIDENCE { depth = middle } else { too_deep = middle }
    }
    let (outer, inner) = (confidence(depth), confidence(depth + 1));
    let excess = (outer - CONFIDENCE) / (outer - inner);
    let (n, d) = (n as f64, depth as f64);
    Some(IntervalMethod::Interpolated { depth, share: (n - d) * excess / (d + (n - 2.0 * d) * excess) })
}

/// Medians with 95% intervals.
///
/// Three to five values: Student's t interval, of the logarithms where all are positive. It is exact where blocks
/// scatter normally, or times and rates by a factor, and errs to the wide side where tails are heavier. Six and more:
/// interpolated order statistics, which ask nothing of the distribution. A percentile bootstrap would end on order
/// statistics too, without choosing which: it covers 75% for three blocks, 87.5% for seven.
///
/// What depends on the number of values alone is kept, so that a report over many cells stays fast.
#[derive(Debug, Default)]
pub struct Medians {
    methods: HashMap<usize, Option<IntervalMethod>>,
}

impl Medians {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The median over blocks of `values` (one per block), which scatter by a factor if all are positive; None if
    /// there are no values.
    pub fn estimate(&mut self, values: &[f64]) -> Option<Estimate> {
        let logarithms = values.iter().all(|value| *value > 0.0);
        self.interval(values, logarithms)
    }

    /// [`Medians::estimate`] of values that scatter by a sum: slopes, differences.
    pub fn estimate_signed(&mut self, values: &[f64]) -> Option<Estimate> {
        self.interval(values, false)
    }

    fn interval(&mut self, values: &[f64], logarithms: bool) -> Option<Estimate> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let n = sorted.len();
        let median = median_of_sorted(&sorted)?;
        let identical = n > 1 && sorted.first() == sorted.last();
        if identical {
            return Some(Estimate { median, interval: Some(Interval::point(median)), n, identical });
        }
        let interval = match *self.methods.entry(n).or_insert_with(|| IntervalMethod::of(n)) {
            None => None,
            Some(IntervalMethod::Student(half)) => student(&sorted, half, logarithms),
            Some(IntervalMethod::Interpolated { depth, share }) => between(&sorted, depth, share),
        };
        Some(Estimate { median, interval, n, identical })
    }
}

fn student(values: &[f64], half: f64, logarithms: bool) -> Option<Interval> {
    if !logarithms {
        let moments = Moments::of(values)?;
        let half = half * moments.variance.sqrt();
        return Some(Interval { low: moments.mean - half, high: moments.mean + half });
    }
    let values: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    let Interval { low, high } = student(&values, half, false)?;
    Some(Interval { low: low.exp(), high: high.exp() })
}

fn between(sorted: &[f64], depth: usize, share: f64) -> Option<Interval> {
    let at = |rank: usize| sorted.get(rank).copied();
    let from_top = |depth: usize| at(sorted.len().checked_sub(depth)?);
    let low = at(depth - 1)? + share * (at(depth)? - at(depth - 1)?);
    let high = from_top(depth)? - share * (from_top(depth)? - from_top(depth + 1)?);
    Some(Interval { low, high })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn minitabs_example_of_an_interpolated_interval() {
        // Minitab, "1-Sample Sign", sample output: n = 29, 97.59% between the 9th (101, 220), 93.86% between the 10th
        // (110, 210), hence 95% between 108.5 and 211.7.
        let Some(IntervalMethod::Interpolated { depth, share }) = IntervalMethod::of(29) else { panic!() };
        assert_eq!(depth, 9);
        let binomial = Binomial::new(0.5, 29).unwrap();
        assert!((1.0 - 2.0 * binomial.cdf(8) - 0.9759).abs() < 5e-5);
        assert!((1.0 - 2.0 * binomial.cdf(9) - 0.9386).abs() < 5e-5);
        let ends = (101.0 + share * 9.0, 220.0 - share * 10.0);
        assert!((ends.0 - 108.5).abs() < 0.05 && (ends.1 - 211.7).abs() < 0.06, "{ends:?}");
    }

    #[test]
    fn students_own_example() {
        // Cushny and Peebles' ten patients in Student, "The probable error of a mean", Biometrika 6, 1908: hours of
        // sleep gained by the second drug over the first. R 4: t.test(extra ~ group, sleep, paired = TRUE) gives
        // 0.7001142 to 2.4598858.
        let gained = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];
        let half = half_width(9.0).unwrap() / 10_f64.sqrt();
        let interval = student(&gained, half, false).unwrap();
        assert!((interval.low - 0.7001142).abs() < 1e-7 && (interval.high - 2.4598858).abs() < 1e-7);
    }

    #[test]
    fn few_blocks_say_little() {
        let mut medians = Medians::new();
        assert_eq!(medians.estimate(&[]), None);
        let one = medians.estimate(&[3.0]).unwrap();
        assert_eq!((one.median, one.interval, one.n, one.identical), (3.0, None, 1, false));
        assert_eq!(medians.estimate(&[3.0, 4.0]).unwrap().interval, None);
        let same = medians.estimate(&[3.0, 3.0]).unwrap();
        assert_eq!((same.interval, same.identical), (Some(Interval::point(3.0)), true));
        // Logarithms of 1, 10, 100: 10 times or over e^(4.303 ln 10 / sqrt 3).
        let three = medians.estimate(&[1.0, 100.0, 10.0]).unwrap();
        let factor = (4.302_652_7 * 10_f64.ln() / 3_f64.sqrt()).exp();
        let interval = three.interval.unwrap();
        assert!((interval.high / (10.0 * factor) - 1.0).abs() < 1e-6, "{three:?}");
        assert!((interval.low * factor / 10.0 - 1.0).abs() < 1e-6, "{three:?}");
        // A zero has no logarithm.
        let zero = medians.estimate(&[0.0, 1.0, 2.0]).unwrap().interval.unwrap();
        assert!((zero.low + zero.high - 2.0).abs() < 1e-12 && zero.low < -1.4);
    }

    #[test]
    fn blocks_that_agree_exactly_are_said_to() {
        let mut medians = Medians::new();
        let mut nine = [7.0; 9];
        assert!(medians.estimate(&nine).unwrap().identical);
        nine[8] = 8.0;
        let estimate = medians.estimate(&nine).unwrap();
        assert!(!estimate.identical && estimate.interval.unwrap().holds(7.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_interval_holds_the_median(values in proptest::collection::vec(0.0..1e12, 3..14)) {
            let mut medians = Medians::new();
            let estimate = medians.estimate(&values).unwrap();
            let interval = estimate.interval.unwrap();
            let slack = 1e-9 * estimate.median.abs();
            prop_assert!(interval.low - slack <= estimate.median && estimate.median <= interval.high + slack);
            if values.len() >= ORDER_STATISTICS {
                let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
                let largest = values.iter().copied().fold(0.0, f64::max);
                prop_assert!(smallest <= interval.low && interval.high <= largest);
            }
        }
    }
}
