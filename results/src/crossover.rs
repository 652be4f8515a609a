//! The number of Services from which one mode costs more than another, with an interval over blocks.
//!
//! Nothing is said beyond the scales that were measured: a line that has not crossed another there may still do so.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::record::Record;
use crate::stats::student::{Moments, two_sided};
use crate::stats::{Interval, median};
use crate::text::thousands;

/// One figure of one mode: by number of Services, one value per block. See [`crate::groups::Group::per_block`].
pub type Curve<'a> = BTreeMap<u32, BTreeMap<(&'a str, u32), f64>>;

/// How a figure runs between two neighbouring scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// A straight line: exact for a + b N, which lookups, bytes and counts follow.
    Lines,
    /// A straight line in logarithms: exact for c N^k. The times of syncs grow like that, k between 0.8 and 2 here, and scales
    /// lie a factor apart; a straight line would put a figure that bends upwards too high everywhere between them.
    Logarithms,
}

/// Which of two modes costs less, as far as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lower {
    /// The first.
    First,
    /// The second.
    Second,
    /// The 95% interval of the difference holds zero.
    NotShown,
}

/// What two modes' figures say about each other over the scales at which both were measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Crossover {
    /// From small to large; those of which nothing is shown on either side are left out.
    pub crossings: Vec<Crossing>,
    /// Smallest and largest scale at which both have figures.
    pub range: (u32, u32),
    /// Who costs less at the smallest scale.
    pub at_smallest: Lower,
    /// Who costs less at the largest scale.
    pub at_largest: Lower,
    /// Which costs less in the median over blocks, at every scale; none where that changes or is a tie.
    pub throughout: Option<Lower>,
    /// Number of blocks in which both were measured, at the scale that has fewest.
    pub blocks: usize,
}

/// One crossing. All in Services.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Crossing {
    /// Where the medians over blocks are equal.
    pub at: f64,
    /// 95% interval over blocks; none with one block.
    pub bounds: Option<Bounds>,
    /// Who costs more from there on: never [`Lower::NotShown`]'s equal.
    pub lower_before: Lower,
    /// The scales between which the medians cross.
    pub between: (u32, u32),
}

/// An interval that may be open: there the difference is not shown up to the end of what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bounds {
    /// Lower end; none: at the smallest scale, or below.
    pub low: Option<f64>,
    /// Upper end; none: at the largest scale, or beyond.
    pub high: Option<f64>,
}

/// Two-sided Student's t interval for the mean of `values` at a `level` such as 0.95. None with fewer than two values.
pub(crate) fn t_interval(values: &[f64], level: f64) -> Option<Interval> {
    let moments = Moments::of(values)?;
    let half = two_sided(moments.n - 1.0, 1.0 - level)? * moments.error_squared().sqrt();
    Some(Interval { low: moments.mean - half, high: moments.mean + half })
}

/// First minus second, at one scale, by block.
struct Knot<'a> {
    services: u32,
    /// Services, or their logarithm.
    x: f64,
    difference: BTreeMap<(&'a str, u32), f64>,
    median: f64,
}

/// A stretch of the axis.
#[derive(Debug, Clone, Copy)]
struct Piece {
    from: f64,
    to: f64,
    lower: Lower,
}

/// Compares two modes over N. None if there is no scale at which both were measured in one block.
///
/// Between neighbouring scales the difference of a block is a straight line ([`Between`]). The interval is the set of all N at
/// which a t test over the blocks does not reject that both cost the same there (the inversion that Fieller uses for the ratio of
/// two means, *Some problems in interval estimation*, JRSS B 16, 1954). So it is exact for few blocks where these scatter
/// normally, pairs the figures of a block, and is open where a difference is not shown up to the last scale. The scatter of
/// blocks is all that it holds: that costs run straight between two scales is an assumption, which is why `between` is given.
pub fn crossover(first: &Curve<'_>, second: &Curve<'_>, between: Between) -> Option<Crossover> {
    let knots = knots(first, second, between);
    let (smallest, largest) = (knots.first()?, knots.last()?);
    let pieces = pieces(&knots);
    let crossings = crossings(&knots, &pieces);
    let back = |x: f64| match between {
        Between::Lines => x,
        Between::Logarithms => x.exp(),
    };
    let crossings = crossings.into_iter().map(|crossing| Crossing {
        at: back(crossing.at),
        bounds: crossing
            .bounds
            .map(|bounds| Bounds { low: bounds.low.map(back), high: bounds.high.map(back) }),
        ..crossing
    });
    let sign = |knot: &Knot<'_>| lower_of(knot.median);
    let throughout = knots.iter().all(|knot| sign(knot) == sign(smallest)).then_some(sign(smallest));
    Some(Crossover {
        crossings: crossings.collect(),
        range: (smallest.services, largest.services),
        at_smallest: shown(smallest),
        at_largest: shown(largest),
        throughout: throughout.filter(|lower| *lower != Lower::NotShown),
        blocks: knots.iter().map(|knot| knot.difference.len()).min().unwrap_or(0),
    })
}

fn knots<'a>(first: &Curve<'a>, second: &Curve<'a>, between: Between) -> Vec<Knot<'a>> {
    let mut knots = Vec::new();
    for (services, ours) in first {
        let Some(theirs) = second.get(services) else { continue };
        let (x, of): (f64, fn(f64) -> f64) = match between {
            Between::Lines => (f64::from(*services), |y| y),
            Between::Logarithms => (f64::from(*services).ln(), f64::ln),
        };
        let difference: BTreeMap<_, _> = ours
            .iter()
            .filter_map(|(block, y)| Some((*block, of(*y) - of(*theirs.get(block)?))))
            .filter(|(_, difference)| difference.is_finite())
            .collect();
        let values: Vec<f64> = difference.values().copied().collect();
        if let Some(median) = median(&values).filter(|_| x.is_finite()) {
            knots.push(Knot { services: *services, x, difference, median });
        }
    }
    knots
}

fn lower_of(difference: f64) -> Lower {
    match difference {
        d if d < 0.0 => Lower::First,
        d if d > 0.0 => Lower::Second,
        _ => Lower::NotShown,
    }
}

/// Who is shown to cost less at one scale. One block shows what it shows: there is no interval to hold zero.
fn shown(knot: &Knot<'_>) -> Lower {
    let values: Vec<f64> = knot.difference.values().copied().collect();
    match t_interval(&values, 0.95) {
        Some(interval) if interval.low <= 0.0 && interval.high >= 0.0 => Lower::NotShown,
        _ => lower_of(knot.median),
    }
}

/// The axis cut where the t test changes its mind, equal ones side by side merged.
fn pieces(knots: &[Knot<'_>]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut push = |piece: Piece| match pieces.last_mut().filter(|last| last.lower == piece.lower) {
        Some(last) => last.to = piece.to,
        None => pieces.push(piece),
    };
    for pair in knots.windows(2) {
        let [left, right] = pair else { continue };
        let width = right.x - left.x;
        let ends = left.difference.iter().filter_map(|(block, d)| Some((*d, *right.difference.get(block)?)));
        let ends: Vec<(f64, f64)> = ends.collect();
        let Some(line) = Segment::over(&ends) else {
            push(Piece { from: left.x, to: right.x, lower: Lower::NotShown });
            continue;
        };
        let mut cuts = line.cuts();
        cuts.extend([0.0, 1.0]);
        cuts.sort_unstable_by(f64::total_cmp);
        for pair in cuts.windows(2).filter(|pair| pair[1] > pair[0]) {
            let [from, to] = [pair[0], pair[1]].map(|w| left.x + w * width);
            push(Piece { from, to, lower: line.lower(f64::midpoint(pair[0], pair[1])) });
        }
    }
    pieces
}

/// The difference between two scales, w from 0 to 1: its mean, and its mean squared less the square of how far it must be from
/// zero to be shown, a w² + b w + c.
struct Segment {
    from: f64,
    to: f64,
    excess: [f64; 3],
}

impl Segment {
    fn over(ends: &[(f64, f64)]) -> Option<Self> {
        let n = ends.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| ends.iter().map(of).sum::<f64>() / n;
        let (from, to) = (mean(|end| end.0), mean(|end| end.1));
        // Of one block the interval is unknown, not infinite: the figures stand for themselves.
        let per_n = if ends.len() < 2 { 0.0 } else { two_sided(n - 1.0, 0.05)?.powi(2) / n / (n - 1.0) };
        let sum = |of: &dyn Fn(f64, f64) -> f64| {
            ends.iter().map(|(left, right)| of(left - from, right - to)).sum::<f64>() * per_n
        };
        let (left, both, right) = (sum(&|l, _| l * l), sum(&|l, r| l * r), sum(&|_, r| r * r));
        let excess = [
            (to - from).powi(2) - (left - 2.0 * both + right),
            2.0 * from * (to - from) - 2.0 * (both - left),
            from * from - left,
        ];
        from.is_finite().then_some(Segment { from, to, excess })
    }

    fn mean(&self, w: f64) -> f64 {
        self.from + w * (self.to - self.from)
    }

    fn lower(&self, w: f64) -> Lower {
        let [a, b, c] = self.excess;
        if (a * w + b) * w + c <= 0.0 { Lower::NotShown } else { lower_of(self.mean(w)) }
    }

    /// Where the test may change its mind: the roots, and where the mean is zero.
    fn cuts(&self) -> Vec<f64> {
        let [a, b, c] = self.excess;
        let mut cuts = vec![self.from / (self.from - self.to)];
        let root = (b * b - 4.0 * a * c).sqrt();
        // The form that loses no digits where b is large.
        let q = -0.5 * (b + root.copysign(b));
        cuts.extend([q / a, c / q]);
        cuts.retain(|w| *w > 0.0 && *w < 1.0);
        cuts
    }
}

/// The crossings that are shown on one side at least, on the axis of the knots.
fn crossings(knots: &[Knot<'_>], pieces: &[Piece]) -> Vec<Crossing> {
    let several = knots.iter().any(|knot| knot.difference.len() > 1);
    let medians = median_crossings(knots);
    let mut found = Vec::new();
    let mut add = |from: f64, to: f64, before: Lower, open: (bool, bool)| {
        let inside: Vec<f64> = medians.iter().copied().filter(|at| (from..=to).contains(at)).collect();
        // Several within one interval are one crossing that the blocks do not agree on.
        let middle = inside.get(inside.len() / 2).copied().unwrap_or(f64::midpoint(from, to));
        let after = knots.iter().position(|knot| knot.x >= middle).unwrap_or(knots.len() - 1).max(1);
        let scales = |index: usize| knots.get(index).map_or(0, |knot| knot.services);
        let end = |at: f64, open: bool| (!open).then_some(at);
        found.push(Crossing {
            at: middle,
            bounds: several.then_some(Bounds { low: end(from, open.0), high: end(to, open.1) }),
            lower_before: before,
            between: (scales(after - 1), scales(after)),
        });
    };
    let is_odd = |from: f64, to: f64| medians.iter().filter(|at| (from..=to).contains(*at)).count() % 2 == 1;
    for (index, piece) in pieces.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| pieces.get(index)).map(|piece| piece.lower);
        let after = pieces.get(index + 1).map(|piece| piece.lower);
        match (before, piece.lower, after) {
            (Some(before), Lower::NotShown, Some(after)) if before != after => {
                add(piece.from, piece.to, before, (false, false));
            }
            (None, Lower::NotShown, Some(after)) if is_odd(piece.from, piece.to) => {
                add(piece.from, piece.to, other(after), (true, false));
            }
            (Some(before), Lower::NotShown, None) if is_odd(piece.from, piece.to) => {
                add(piece.from, piece.to, before, (false, true));
            }
            // Blocks that agree exactly: nothing lies between.
            (Some(before), now, _) if before != Lower::NotShown && now != Lower::NotShown => {
                add(piece.from, piece.from, before, (false, false));
            }
            _ => {}
        }
    }
    found
}

const fn other(lower: Lower) -> Lower {
    match lower {
        Lower::First => Lower::Second,
        Lower::Second => Lower::First,
        Lower::NotShown => Lower::NotShown,
    }
}

/// Where the line through the medians changes its sign.
fn median_crossings(knots: &[Knot<'_>]) -> Vec<f64> {
    let unequal: Vec<_> = knots.iter().filter(|knot| knot.median != 0.0).collect();
    unequal
        .windows(2)
        .filter(|pair| lower_of(pair[0].median) != lower_of(pair[1].median))
        .map(|pair| {
            let share = pair[0].median / (pair[0].median - pair[1].median);
            pair[0].x + share * (pair[1].x - pair[0].x)
        })
        .collect()
}

impl Crossing {
    /// `730 [640, 850]`, `13 [at most 10, 17]`, `9,400 [8,800, beyond 10,000]`, of the scales that were measured.
    pub fn in_words(&self, range: (u32, u32)) -> String {
        let at = thousands(about(self.at));
        let Some(Bounds { low, high }) = self.bounds else { return at };
        let low = low.map_or_else(|| format!("at most {}", thousands(range.0)), |low| thousands(about(low)));
        let high =
            high.map_or_else(|| format!("beyond {}", thousands(range.1)), |high| thousands(about(high)));
        if low == at && high == at { at } else { format!("{at} [{low}, {high}]") }
    }
}

impl Crossover {
    /// A sentence without its full stop: `iptables-legacy overtakes nftables at 730 [640, 850] Services (measured at 100 and
    /// 1,000)`. To overtake is to cost more from there on.
    pub fn in_words(&self, first: &str, second: &str) -> String {
        let name = |lower: Lower| if lower == Lower::First { first } else { second };
        let (from, to) = self.range;
        let range = if from == to {
            format!("at {} Services, the only scale", thousands(to))
        } else {
            format!("from {} to {} Services", thousands(from), thousands(to))
        };
        let crossings: Vec<String> = self
            .crossings
            .iter()
            .map(|crossing| {
                let (below, above) = (name(crossing.lower_before), name(other(crossing.lower_before)));
                let (from, to) = crossing.between;
                format!(
                    "{below} overtakes {above} at {} Services (measured at {} and {})",
                    crossing.in_words(self.range),
                    thousands(from),
                    thousands(to)
                )
            })
            .collect();
        if !crossings.is_empty() {
            return crossings.join("; ");
        }
        let shown = [self.at_smallest, self.at_largest].into_iter().find(|lower| *lower != Lower::NotShown);
        match (self.throughout, shown) {
            (Some(lower), Some(_)) => {
                format!("{} costs less than {} {range}, without a crossing", name(lower), name(other(lower)))
            }
            (None, Some(lower)) => format!(
                "{} costs less than {} where a difference is shown, {range}",
                name(lower),
                name(other(lower))
            ),
            (_, None) => format!("no difference between {first} and {second} is shown {range}"),
        }
    }
}

/// Two significant digits.
fn about(services: f64) -> u64 {
    let unit = 10_f64.powi((services.max(1.0).log10().floor() as i32 - 1).max(0));
    ((services / unit).round() * unit) as u64
}

/// The curve of some groups of one mode: `field` of each, by number of Services.
pub fn curve<'a>(
    groups: impl Iterator<Item = (u32, &'a crate::groups::Group<'a>)>,
    field: fn(&Record) -> Option<u64>,
) -> Curve<'a> {
    groups
        .map(|(services, group)| (services, group.per_block(field)))
        .filter(|(_, blocks)| !blocks.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const SCALES: [u32; 5] = [10, 100, 1_000, 5_000, 10_000];

    fn lines(scales: &[u32], blocks: u32, mut y: impl FnMut(u32, u32) -> f64) -> Curve<'static> {
        scales
            .iter()
            .map(|n| (*n, (1..=blocks).map(|block| (("run", block), y(*n, block))).collect()))
            .collect()
    }

    /// A value of the normal distribution (Box and Muller, 1958).
    fn normal(random: &mut ChaCha8Rng) -> f64 {
        let (u, v): (f64, f64) = (random.random(), random.random());
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    #[test]
    fn students_own_intervals() {
        // Student, "The probable error of a mean", 1908, section IX: ten patients' additional hours of sleep with drug 2 over
        // drug 1 have mean 1.58 and s = 1.230; t(9, 0.975) = 2.262.
        let hours = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];
        let interval = t_interval(&hours, 0.95).unwrap();
        assert!(
            (interval.low - 0.700).abs() < 0.001 && (interval.high - 2.460).abs() < 0.001,
            "{interval:?}"
        );
        assert_eq!(t_interval(&[1.0], 0.95), None);
        assert_eq!(t_interval(&[], 0.95), None);
    }

    /// By hand: differences of three blocks are -80, -70, -60 at 50 Services and 70, 80, 90 at 200, so that each is a line that
    /// rises by one per Service: zero at 130, 120 and 110. All have one slope, so the interval is the t interval of these three:
    /// 120 ± 4.303 x 10 / √3.
    #[test]
    fn worked_by_hand() {
        let level = lines(&[50, 200], 3, |_, _| 500.0);
        let rising = lines(&[50, 200], 3, |n, block| 500.0 + f64::from(n) - 140.0 + 10.0 * f64::from(block));
        let found = crossover(&rising, &level, Between::Lines).unwrap();
        let [crossing] = found.crossings[..] else { panic!("{found:?}") };
        let half = 4.302_653 * 10.0 / 3_f64.sqrt();
        let Some(Bounds { low: Some(low), high: Some(high) }) = crossing.bounds else {
            panic!("{crossing:?}")
        };
        assert!((crossing.at - 120.0).abs() < 1e-9, "{crossing:?}");
        assert!((low - (120.0 - half)).abs() < 1e-4 && (high - (120.0 + half)).abs() < 1e-4, "{crossing:?}");
        assert_eq!((crossing.lower_before, crossing.between), (Lower::First, (50, 200)));
        assert_eq!(
            found.in_words("iptables-legacy", "nftables"),
            "iptables-legacy overtakes nftables at 120 [95, 140] Services (measured at 50 and 200)"
        );
        // The other way round it is the same crossing.
        let turned = crossover(&level, &rising, Between::Lines).unwrap();
        assert_eq!(
            turned.in_words("nftables", "iptables-legacy"),
            found.in_words("iptables-legacy", "nftables")
        );
    }

    #[test]
    fn powers_cross_where_they_do_in_logarithms() {
        let power = |c: f64, k: f64| lines(&SCALES, 3, move |n, _| c * f64::from(n).powf(k));
        // 3 N against 0.01 N^2: equal at 300.
        let found = crossover(&power(3.0, 1.0), &power(0.01, 2.0), Between::Logarithms).unwrap();
        assert!((found.crossings[0].at - 300.0).abs() < 1e-6, "{found:?}");
        assert_eq!(found.in_words("a", "b"), "b overtakes a at 300 Services (measured at 100 and 1,000)");
        let straight = crossover(&power(3.0, 1.0), &power(0.01, 2.0), Between::Lines).unwrap();
        assert!(straight.crossings[0].at < 290.0, "a chord lies above what bends upwards: {straight:?}");
    }

    /// The interval holds the truth 95 times in a hundred, whatever the number of blocks and wherever the lines cross.
    #[test]
    fn intervals_cover_what_they_promise() {
        let mut random = ChaCha8Rng::seed_from_u64(6);
        for (blocks, truth) in [(3, 300.0), (4, 2_000.0), (5, 730.0), (10, 7_000.0)] {
            let (mut covered, mut crossed) = (0, 0);
            for _ in 0..2_000 {
                let drift: Vec<f64> = (0..=blocks).map(|_| 40.0 * normal(&mut random)).collect();
                // As in a run: both modes share the block's drift, and each cell has its own noise.
                let mut cell = |n: u32, block: u32, base: f64, slope: f64| {
                    base + slope * f64::from(n) + drift[block as usize] + 25.0 * normal(&mut random)
                };
                let walks = lines(&SCALES, blocks, |n, block| cell(n, block, 1_300.0, 2.7));
                let level = lines(&SCALES, blocks, |n, block| cell(n, block, 1_300.0 + 2.7 * truth, 0.0));
                let found = crossover(&walks, &level, Between::Lines).unwrap();
                crossed += usize::from(!found.crossings.is_empty());
                covered += usize::from(found.crossings.iter().any(|crossing| {
                    let bounds = crossing.bounds.unwrap();
                    bounds.low.is_none_or(|low| low <= truth) && bounds.high.is_none_or(|high| truth <= high)
                }));
            }
            assert_eq!(crossed, 2_000, "{blocks} blocks");
            let share = f64::from(covered as u32) / 2_000.0;
            assert!((0.93..=0.97).contains(&share), "{blocks} blocks, crossing at {truth}: {share}");
        }
    }

    #[test]
    fn two_modes_that_never_cross_say_who_is_lower() {
        let level = |y: f64| lines(&SCALES, 5, move |_, block| y + f64::from(block));
        let found =
            crossover(&level(1_000.0), &lines(&SCALES, 5, |n, _| 2_000.0 + f64::from(n)), Between::Lines);
        let words = found.unwrap().in_words("nftables", "ipvs");
        assert_eq!(words, "nftables costs less than ipvs from 10 to 10,000 Services, without a crossing");
        // 1 ns apart, with 20 ns of noise in one of them.
        let noisy =
            lines(&SCALES, 5, |n, block| 1_001.0 + 20.0 * (f64::from((n / 10 * 7 + block * 5) % 9) - 4.0));
        let found = crossover(&level(1_000.0), &noisy, Between::Lines).unwrap();
        assert_eq!(
            found.in_words("a", "b"),
            "no difference between a and b is shown from 10 to 10,000 Services"
        );
        assert!(found.crossings.is_empty());
    }

    #[test]
    fn a_crossing_at_the_edge_has_an_open_interval() {
        // -1 ± 20 at 10 Services, +250 ± 20 at 100: crosses between them, or below.
        let noise = |block: u32| 20.0 * (f64::from(block) - 3.0);
        let walks = lines(&[10, 100, 1_000], 5, |n, block| 1_273.0 + 2.7 * f64::from(n) + noise(block));
        let level = lines(&[10, 100, 1_000], 5, |_, _| 1_301.0);
        let found = crossover(&walks, &level, Between::Lines).unwrap();
        let [crossing] = found.crossings[..] else { panic!("{found:?}") };
        let bounds = crossing.bounds.unwrap();
        assert!(bounds.low.is_none() && bounds.high.is_some_and(|high| high < 100.0), "{crossing:?}");
        assert_eq!((found.at_smallest, found.at_largest), (Lower::NotShown, Lower::Second));
        assert_eq!(crossing.in_words(found.range), "10 [at most 10, 25]");
        // Mirrored: at the upper edge.
        let walks = lines(&[10, 100, 1_000], 5, |n, block| 2.7 * f64::from(n) + noise(block));
        let level = lines(&[10, 100, 1_000], 5, |_, _| 2_699.0);
        let found = crossover(&walks, &level, Between::Lines).unwrap();
        assert_eq!(found.crossings[0].bounds.unwrap().high, None);
        assert_eq!(
            found.in_words("a", "b"),
            "a overtakes b at 1,000 [990, beyond 1,000] Services (measured at 100 and 1,000)"
        );
    }

    #[test]
    fn several_crossings_are_all_told() {
        let wave = lines(&[10, 100, 1_000, 10_000], 4, |n, block| match n {
            100 | 10_000 => 2_000.0 + f64::from(block),
            _ => 500.0 + f64::from(block),
        });
        let level = lines(&[10, 100, 1_000, 10_000], 4, |_, _| 1_000.0);
        let found = crossover(&wave, &level, Between::Lines).unwrap();
        let before: Vec<Lower> = found.crossings.iter().map(|crossing| crossing.lower_before).collect();
        assert_eq!(before, [Lower::First, Lower::Second, Lower::First]);
        let scales: Vec<_> = found.crossings.iter().map(|crossing| crossing.between).collect();
        assert_eq!(scales, [(10, 100), (100, 1_000), (1_000, 10_000)]);
        let words = "a overtakes b at 40 Services (measured at 10 and 100); b overtakes a at 700 Services (measured at 100 and 1,000); \
                     a overtakes b at 4,000 Services (measured at 1,000 and 10,000)";
        assert_eq!(found.in_words("a", "b"), words);
    }

    #[test]
    fn one_block_has_no_interval_and_equal_blocks_a_point() {
        let walks = |blocks| lines(&[10, 1_000], blocks, |n, _| 100.0 + f64::from(n));
        let level = |blocks| lines(&[10, 1_000], blocks, |_, _| 300.0);
        let found = crossover(&walks(1), &level(1), Between::Lines).unwrap();
        assert_eq!((found.crossings[0].at, found.crossings[0].bounds), (200.0, None));
        assert_eq!(found.in_words("a", "b"), "a overtakes b at 200 Services (measured at 10 and 1,000)");
        let found = crossover(&walks(3), &level(3), Between::Lines).unwrap();
        assert_eq!(found.crossings[0].bounds, Some(Bounds { low: Some(200.0), high: Some(200.0) }));
        assert_eq!(found.in_words("a", "b"), "a overtakes b at 200 Services (measured at 10 and 1,000)");
    }

    #[test]
    fn only_what_both_have_counts() {
        let ours = lines(&[10, 100], 2, |n, _| f64::from(n));
        assert_eq!(crossover(&ours, &lines(&[1_000], 2, |_, _| 50.0), Between::Lines), None);
        let found = crossover(&ours, &lines(&[100], 2, |_, _| 50.0), Between::Lines).unwrap();
        assert_eq!((found.range, found.crossings.len(), found.at_largest), ((100, 100), 0, Lower::Second));
        let equal = crossover(&ours, &ours, Between::Lines).unwrap();
        assert_eq!((equal.throughout, equal.crossings.len()), (None, 0));
        // A block that has one of both only is left out; without logarithms there is nothing to compare.
        let zero = lines(&[10, 100], 2, |_, _| 0.0);
        assert_eq!(crossover(&ours, &zero, Between::Logarithms), None);
    }

    proptest! {
        #[test]
        fn crossings_lie_in_the_range_and_in_their_bounds(
            values in proptest::collection::vec((0_u32..4, 0_u32..5, 0.0..1e6_f64, 0.0..1e6_f64), 0..40)
        ) {
            let (mut first, mut second) = (Curve::new(), Curve::new());
            for (scale, block, a, b) in values {
                let scale = 10_u32.pow(scale + 1);
                first.entry(scale).or_default().insert(("run", block), a);
                second.entry(scale).or_default().insert(("run", block), b);
            }
            for between in [Between::Lines, Between::Logarithms] {
                let Some(found) = crossover(&first, &second, between) else { continue };
                let (from, to) = (f64::from(found.range.0) * 0.999, f64::from(found.range.1) * 1.001);
                for crossing in &found.crossings {
                    prop_assert!((from..=to).contains(&crossing.at), "{found:?}");
                    prop_assert!(crossing.lower_before != Lower::NotShown);
                    let Some(bounds) = crossing.bounds else { continue };
                    prop_assert!(bounds.low.is_none_or(|low| low <= crossing.at * 1.001), "{found:?}");
                    prop_assert!(bounds.high.is_none_or(|high| high >= crossing.at * 0.999), "{found:?}");
                }
                prop_assert!(!found.in_words("a", "b").is_empty());
            }
        }
    }
}
