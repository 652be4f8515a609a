//! Statistics over blocks: medians with bootstrap intervals, slopes, traffic shares.
//!
//! Everything is deterministic: random numbers come from one fixed seed.

use std::collections::{BTreeMap, HashMap};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{ChiSquared, ContinuousCDF};

const SEED: u64 = 0x7376_6362_656e_6368; // "svcbench"
const RESAMPLES: usize = 10_000;
const SLOPE_RESAMPLES: usize = 1_000;
/// Theil-Sen is quadratic in the number of distinct x; more are thinned evenly to this many.
const SLOPE_POINTS: usize = 64;

/// A closed 95% interval, in the unit of its estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A median over blocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The median, in the unit of the values.
    pub median: f64,
    /// Its 95% bootstrap interval; absent for a single block.
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
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(lower + (upper - lower) / 2.0)
}

/// The two middle ranks of a resample (equal if their number is odd), and how often they were drawn.
type RankPair = ((usize, usize), usize);

/// Medians with percentile bootstrap intervals (Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993,
/// chapter 13).
///
/// Which ranks a resample's median falls on depends on the number of blocks only, never on the values. The ranks
/// are therefore drawn once per number of blocks and kept, so that a report over many cells stays fast.
#[derive(Debug, Default)]
pub struct Bootstrap {
    ranks: HashMap<usize, Vec<RankPair>>,
}

impl Bootstrap {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The median over blocks of `values` (one per block) and its interval; None if there are no values.
    pub fn estimate(&mut self, values: &[f64]) -> Option<Estimate> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let n = sorted.len();
        let centre = median(&sorted)?;
        if n < 2 {
            return Some(Estimate { median: centre, interval: None, n, identical: false });
        }
        let ranks = self.ranks.entry(n).or_insert_with(|| median_ranks(n));
        let mut weighted: Vec<_> = ranks
            .iter()
            .map(|((i, j), count)| (sorted[*i] + (sorted[*j] - sorted[*i]) / 2.0, *count))
            .collect();
        weighted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let total: usize = weighted.iter().map(|(_, count)| count).sum();
        let low = weighted_quantile(&weighted, 0.025 * total as f64)?;
        let high = weighted_quantile(&weighted, 0.975 * total as f64)?;
        let identical = sorted.first() == sorted.last();
        Some(Estimate { median: centre, interval: Some(Interval { low, high }), n, identical })
    }
}

/// How often the median of a resample of `n` blocks falls on which pair of ranks.
fn median_ranks(n: usize) -> Vec<RankPair> {
    let mut generator = ChaCha8Rng::seed_from_u64(SEED);
    let mut counts = BTreeMap::new();
    // Fewer resamples when there are very many blocks: the work stays bounded and the interval is narrow anyway.
    for _ in 0..(10_000_000 / n).clamp(200, RESAMPLES) {
        let mut drawn: Vec<usize> = (0..n).map(|_| generator.random_range(0..n)).collect();
        let (_, upper, _) = drawn.select_nth_unstable(n / 2);
        let upper = *upper;
        let lower = if n % 2 == 1 { upper } else { drawn[..n / 2].iter().copied().max().unwrap_or(upper) };
        *counts.entry((lower, upper)).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

fn weighted_quantile(sorted: &[(f64, usize)], target: f64) -> Option<f64> {
    let mut seen = 0.0;
    for (value, count) in sorted {
        seen += *count as f64;
        if seen >= target {
            return Some(*value);
        }
    }
    sorted.last().map(|(value, _)| *value)
}

/// One observation for a slope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// The block it was measured in.
    pub block: u32,
    /// Position: how many Services come first, from 1.
    pub x: f64,
    /// Cost, in the unit of the slope.
    pub y: f64,
}

/// A straight line of cost against position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// Rise of the cost per Service.
    pub per_service: f64,
    /// 95% bootstrap interval of `per_service`; absent for a single block.
    pub interval: Option<Interval>,
    /// Cost at position 0.
    pub intercept: f64,
    /// Smallest and largest position.
    pub range: (f64, f64),
    /// Number of blocks.
    pub n: usize,
    /// Whether several blocks gave exactly the same points.
    pub identical: bool,
}

/// Theil-Sen line through the medians over blocks at each position (Sen, *Estimates of the regression coefficient
/// based on Kendall's tau*, JASA 63, 1968): the median of all pairwise slopes, which one odd position cannot bend.
/// The intercept is the median of y - slope x. The interval resamples whole blocks, because the points of a block
/// share its conditions. None with fewer than two distinct positions.
pub fn slope(observations: &[Observation]) -> Option<Slope> {
    let finite = observations.iter().filter(|o| o.x.is_finite() && o.y.is_finite());
    let mut blocks: BTreeMap<u32, Vec<(usize, f64)>> = BTreeMap::new();
    let mut xs: Vec<f64> = finite.clone().map(|o| o.x).collect();
    xs.sort_unstable_by(f64::total_cmp);
    xs.dedup();
    if xs.len() > SLOPE_POINTS {
        let last = xs.len() - 1;
        xs = (0..SLOPE_POINTS).map(|i| xs[i * last / (SLOPE_POINTS - 1)]).collect();
    }
    for observation in finite {
        if let Ok(index) = xs.binary_search_by(|x| x.total_cmp(&observation.x)) {
            blocks.entry(observation.block).or_default().push((index, observation.y));
        }
    }
    // In one order, so that blocks with the same points are equal.
    blocks.values_mut().for_each(|points| points.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))));
    let blocks: Vec<_> = blocks.into_values().collect();
    let (per_service, intercept) = theil_sen(&xs, blocks.iter())?;
    let mut interval = None;
    if blocks.len() > 1 {
        let mut generator = ChaCha8Rng::seed_from_u64(SEED);
        let mut slopes = Vec::with_capacity(SLOPE_RESAMPLES);
        for _ in 0..SLOPE_RESAMPLES {
            let drawn = (0..blocks.len()).map(|_| &blocks[generator.random_range(0..blocks.len())]);
            slopes.extend(theil_sen(&xs, drawn).map(|(slope, _)| (slope, 1)));
        }
        slopes.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let total = slopes.len() as f64;
        let ends = (weighted_quantile(&slopes, 0.025 * total), weighted_quantile(&slopes, 0.975 * total));
        interval = ends.0.zip(ends.1).map(|(low, high)| Interval { low, high });
    }
    let range = (*xs.first()?, *xs.last()?);
    let identical = blocks.len() > 1 && blocks.windows(2).all(|pair| pair[0] == pair[1]);
    Some(Slope { per_service, interval, intercept, range, n: blocks.len(), identical })
}

/// Slope and intercept through the medians of the blocks' points at each of `xs`.
fn theil_sen<'a>(xs: &[f64], blocks: impl Iterator<Item = &'a Vec<(usize, f64)>>) -> Option<(f64, f64)> {
    let mut at: Vec<Vec<f64>> = vec![Vec::new(); xs.len()];
    for (index, y) in blocks.flatten() {
        at[*index].push(*y);
    }
    let points: Vec<(f64, f64)> = xs.iter().zip(&at).filter_map(|(x, ys)| Some((*x, median(ys)?))).collect();
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (i, a) in points.iter().enumerate() {
        slopes.extend(points[i + 1..].iter().map(|b| (b.1 - a.1) / (b.0 - a.0)));
    }
    let slope = median(&slopes)?;
    let residuals: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
    Some((slope, median(&residuals)?))
}

/// Chi-square goodness of fit: the probability of shares at least this uneven if every endpoint is equally
/// likely. None with fewer than two endpoints or an expected count below 5, where the approximation fails.
pub fn uniform_share_p_value(counts: &[u64]) -> Option<f64> {
    let total: f64 = counts.iter().map(|count| *count as f64).sum();
    let expected = total / counts.len() as f64;
    if counts.len() < 2 || expected < 5.0 {
        return None;
    }
    let statistic: f64 = counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    Some(ChiSquared::new(counts.len() as f64 - 1.0).ok()?.sf(statistic))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn observations(points: &[(f64, f64)]) -> Vec<Observation> {
        points.iter().map(|(x, y)| Observation { block: 0, x: *x, y: *y }).collect()
    }

    #[test]
    fn sens_own_example() {
        // Sen 1968, section 6: the slope is 4.
        let points = [(1., 9.), (2., 15.), (3., 19.), (4., 20.), (10., 45.), (12., 55.), (18., 78.)];
        let slope = slope(&observations(&points)).unwrap();
        assert!((slope.per_service - 4.0).abs() < 1e-12, "{slope:?}");
        assert_eq!((slope.interval, slope.n, slope.range), (None, 1, (1.0, 18.0)));
    }

    #[test]
    fn efrons_table_for_thirteen() {
        // Efron, "Bootstrap methods: another look at the jackknife", 1979, section 3: the bootstrap probability
        // that the median of n = 13 falls on each order statistic.
        let published =
            [0.0, 0.0015, 0.0142, 0.0550, 0.1242, 0.1936, 0.2230, 0.1936, 0.1242, 0.0550, 0.0142, 0.0015];
        let drawn: BTreeMap<_, _> = median_ranks(13).into_iter().collect();
        for (rank, expected) in published.iter().enumerate() {
            let share = drawn.get(&(rank, rank)).copied().unwrap_or(0) as f64 / RESAMPLES as f64;
            assert!((share - expected).abs() < 0.012, "rank {rank}: {share} against {expected}");
        }
    }

    #[test]
    fn efron_and_tibshirani_mouse_data() {
        // "An Introduction to the Bootstrap", table 2.1: medians 94 (treatment, n = 7) and 46 (control, n = 9).
        let mut bootstrap = Bootstrap::new();
        let treatment = bootstrap.estimate(&[94., 197., 16., 38., 99., 141., 23.]).unwrap();
        let control = bootstrap.estimate(&[52., 104., 146., 10., 51., 30., 40., 27., 46.]).unwrap();
        assert_eq!((treatment.median, treatment.n, control.median, control.n), (94.0, 7, 46.0, 9));
        // The percentile interval of a median ends on order statistics of the data.
        assert_eq!(treatment.interval, Some(Interval { low: 23.0, high: 141.0 }));
        assert_eq!(control.interval, Some(Interval { low: 27.0, high: 104.0 }));
    }

    #[test]
    fn a_suspicious_die() {
        // 60 throws of 5, 8, 9, 8, 10, 20: chi-square 13.4 with 5 degrees of freedom, p = 0.0199.
        let p = uniform_share_p_value(&[5, 8, 9, 8, 10, 20]).unwrap();
        assert!((p - 0.0199).abs() < 0.0001, "{p}");
        assert!(uniform_share_p_value(&[10, 10, 10]).unwrap() > 0.999);
        assert_eq!(uniform_share_p_value(&[100]), None);
        assert_eq!(uniform_share_p_value(&[1, 2, 3]), None);
        assert_eq!(uniform_share_p_value(&[]), None);
    }

    #[test]
    fn one_block_has_no_interval_and_none_no_estimate() {
        let mut bootstrap = Bootstrap::new();
        assert_eq!(bootstrap.estimate(&[]), None);
        assert_eq!(bootstrap.estimate(&[3.0]).unwrap().interval, None);
        assert_eq!(slope(&observations(&[(1.0, 2.0), (1.0, 3.0)])), None);
    }

    #[test]
    fn a_known_slope_is_inside_its_interval() {
        let mut all = Vec::new();
        for block in 0..6_u32 {
            for x in [1.0, 50.0, 100.0, 500.0, 1000.0] {
                let noise = f64::from((block * 7 + x as u32) % 11) - 5.0;
                all.push(Observation { block, x, y: 3000.0 + 2.7 * x + noise });
            }
        }
        let slope = slope(&all).unwrap();
        let interval = slope.interval.unwrap();
        assert!(
            interval.low <= 2.7 && 2.7 <= interval.high && interval.high - interval.low < 0.1,
            "{slope:?}"
        );
        assert!((slope.intercept - 3000.0).abs() < 10.0);
    }

    #[test]
    fn blocks_that_agree_exactly_are_said_to() {
        let in_block = |block, y| [(1.0, 9.0), (50.0, y)].map(|(x, y)| Observation { block, x, y });
        let twice = |y| [in_block(0, 59.0), in_block(1, y)].concat();
        let same = slope(&twice(59.0)).unwrap();
        assert_eq!((same.identical, same.per_service), (true, 50.0 / 49.0));
        assert!(!slope(&twice(59.5)).unwrap().identical);
        assert!(!slope(&in_block(0, 59.0)).unwrap().identical, "one block agrees with nothing");
        // A percentile interval can be a point although one block of many differs.
        let mut bootstrap = Bootstrap::new();
        let mut nine = [7.0; 9];
        assert!(bootstrap.estimate(&nine).unwrap().identical);
        nine[8] = 8.0;
        let estimate = bootstrap.estimate(&nine).unwrap();
        assert_eq!(estimate.interval, Some(Interval { low: 7.0, high: 7.0 }));
        assert!(!estimate.identical && !bootstrap.estimate(&[7.0]).unwrap().identical);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_interval_holds_the_median_and_stays_in_the_data(
            values in proptest::collection::vec(0.0..1e12, 2..12)
        ) {
            let estimate = Bootstrap::new().estimate(&values).unwrap();
            let interval = estimate.interval.unwrap();
            let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
            let largest = values.iter().copied().fold(0.0, f64::max);
            prop_assert!(smallest <= interval.low && interval.low <= estimate.median);
            prop_assert!(estimate.median <= interval.high && interval.high <= largest);
        }

        #[test]
        fn the_order_of_blocks_and_points_does_not_matter(
            mut points in proptest::collection::vec((0_u32..4, 1_u32..50, 0_u32..100_000), 0..40)
        ) {
            let convert = |points: &[(u32, u32, u32)]| -> Vec<Observation> {
                points.iter().map(|(b, x, y)| Observation { block: *b, x: f64::from(*x), y: f64::from(*y) }).collect()
            };
            let forward = slope(&convert(&points));
            points.reverse();
            prop_assert_eq!(forward, slope(&convert(&points)));
        }
    }
}
