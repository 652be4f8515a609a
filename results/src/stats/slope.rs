//! Slopes of cost against position, block by block.

use std::collections::BTreeMap;

use super::interval::Interval;
use super::medians::{Medians, median};

/// Theil-Sen is quadratic in the number of distinct x; more are thinned evenly to this many.
const SLOPE_POINTS: usize = 64;

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
    /// Rise of the cost per Service: the median of the blocks' slopes.
    pub per_service: f64,
    /// 95% interval of `per_service`; absent for one block, and for two that differ.
    pub interval: Option<Interval>,
    /// Cost at position 0: the median of the blocks' intercepts.
    pub intercept: f64,
    /// Smallest and largest position.
    pub range: (f64, f64),
    /// Number of blocks that have a slope.
    pub n: usize,
    /// Whether several blocks gave exactly the same points.
    pub identical: bool,
}

/// A Theil-Sen line through each block (Sen, *Estimates of the regression coefficient based on Kendall's tau*, JASA
/// 63, 1968): the median of all pairwise slopes, which one odd position cannot bend, and the median of y - slope x.
/// The points of a block share its conditions, blocks do not share theirs: a block's slope is one value, and over
/// blocks it has a median and an interval as every figure has ([`Medians::estimate_signed`]). None if no block has two
/// distinct positions.
pub fn slope(observations: &[Observation]) -> Option<Slope> {
    let finite = observations.iter().filter(|o| o.x.is_finite() && o.y.is_finite());
    let mut xs: Vec<f64> = finite.clone().map(|o| o.x).collect();
    xs.sort_unstable_by(f64::total_cmp);
    xs.dedup();
    if xs.len() > SLOPE_POINTS {
        let last = xs.len() - 1;
        xs = (0..SLOPE_POINTS).map(|i| xs[i * last / (SLOPE_POINTS - 1)]).collect();
    }
    let mut blocks: BTreeMap<u32, BTreeMap<usize, Vec<f64>>> = BTreeMap::new();
    for observation in finite {
        if let Ok(index) = xs.binary_search_by(|x| x.total_cmp(&observation.x)) {
            blocks.entry(observation.block).or_default().entry(index).or_default().push(observation.y);
        }
    }
    let points: Vec<Vec<(f64, f64)>> = blocks
        .into_values()
        .map(|at| at.into_iter().filter_map(|(index, ys)| Some((xs[index], median(&ys)?))).collect())
        .collect();
    let (slopes, intercepts): (Vec<f64>, Vec<f64>) =
        points.iter().filter_map(|block| theil_sen(block)).unzip();
    let estimate = Medians::new().estimate_signed(&slopes)?;
    Some(Slope {
        per_service: estimate.median,
        interval: estimate.interval,
        intercept: median(&intercepts)?,
        range: (*xs.first()?, *xs.last()?),
        n: estimate.n,
        identical: points.len() > 1 && points.windows(2).all(|pair| pair[0] == pair[1]),
    })
}

/// Slope and intercept through points with distinct x; None below two.
fn theil_sen(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (i, a) in points.iter().enumerate() {
        slopes.extend(points[i + 1..].iter().map(|b| (b.1 - a.1) / (b.0 - a.0)));
    }
    let slope = median(&slopes)?;
    let residuals: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
    Some((slope, median(&residuals)?))
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
    fn one_position_has_no_slope() {
        assert_eq!(slope(&observations(&[(1.0, 2.0), (1.0, 3.0)])), None);
        assert_eq!(slope(&[]), None);
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
        assert!(interval.holds(2.7) && interval.high - interval.low < 0.1, "{slope:?}");
        assert!((slope.intercept - 3000.0).abs() < 10.0);
    }

    #[test]
    fn a_block_that_lost_positions_still_counts() {
        let block = |block, points: &[(f64, f64)]| -> Vec<Observation> {
            points.iter().map(|(x, y)| Observation { block, x: *x, y: *y }).collect()
        };
        let whole = [(1.0, 11.0), (10.0, 20.0), (100.0, 110.0)];
        let all = [block(0, &whole), block(1, &whole[..2]), block(2, &whole[..1])].concat();
        let slope = slope(&all).unwrap();
        assert_eq!((slope.per_service, slope.n, slope.identical), (1.0, 2, false));
    }

    #[test]
    fn blocks_that_agree_exactly_are_said_to() {
        let in_block = |block, y| [(1.0, 9.0), (50.0, y)].map(|(x, y)| Observation { block, x, y });
        let twice = |y| [in_block(0, 59.0), in_block(1, y)].concat();
        let same = slope(&twice(59.0)).unwrap();
        assert_eq!((same.identical, same.per_service), (true, 50.0 / 49.0));
        assert!(!slope(&twice(59.5)).unwrap().identical);
        assert!(!slope(&in_block(0, 59.0)).unwrap().identical, "one block agrees with nothing");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

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
