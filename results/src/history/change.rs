//! Change points of a series of few values.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

const SEED: u64 = 0x7376_6362_656e_6368; // "svcbench"
/// A change is one only if so many runs, at least, are on each side of it: one odd run is none.
pub const LEAST_RUNS: usize = 3;
/// So many random orders may be as clear as what is called a change; how many orders it is held against follows from the level.
const AS_CLEAR: f64 = 10.0;

/// A change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectedChange {
    /// Index of the first value after it.
    pub at: usize,
    /// See [`super::Change::p_value`].
    pub p_value: f64,
}

/// Where `values` change, from left to right.
///
/// E-divisive (Matteson and James, *A nonparametric approach for multiple change point analysis of multivariate data*, JASA 109,
/// 2014), which MongoDB and Hunter (Fleming et al., *Hunter: Using Change RunValue Detection to Hunt for Performance Regressions*, ICPE
/// 2023) use for benchmarks: a stretch is split where the energy distance between both parts, weighted by their sizes, is largest, if
/// it is larger than in all but a share `level` of random orders of the same values; then both parts are looked at. The
/// permutation test supposes nothing of how values scatter, which is why few values can show little: see [`least_series`].
/// Values that are not finite count as changes of nothing: there are none in records.
pub fn changes(values: &[f64], level: f64) -> Vec<DetectedChange> {
    let mut found = Vec::new();
    let mut left = vec![(0, values.len())];
    while let Some((from, to)) = left.pop() {
        let part = values.get(from..to).unwrap_or_default();
        if let Some(split) = split(part, level) {
            let at = from + split.at;
            found.push(DetectedChange { at, ..split });
            left.extend([(from, at), (at, to)]);
        }
    }
    found.sort_by_key(|found| found.at);
    found
}

/// The fewest values in which a change can be shown at `level`: with n values, half on each side, two of the n over n/2 orders are as
/// clear as the clearest (low first, or high first).
pub fn least_series(level: f64) -> usize {
    let mut n = 2 * LEAST_RUNS;
    // Central binomial coefficients from that of 6.
    let mut ways = 20.0;
    while 2.0 / ways > level && n < 1_000 {
        n += 2;
        let half = n as f64 / 2.0;
        ways *= n as f64 * (n as f64 - 1.0) / (half * half);
    }
    n
}

fn split(values: &[f64], level: f64) -> Option<DetectedChange> {
    let n = values.len();
    if n < 2 * LEAST_RUNS {
        return None;
    }
    let mut order: Vec<usize> = (0..n).collect();
    let distances: Vec<f64> = values.iter().flat_map(|a| values.iter().map(move |b| (a - b).abs())).collect();
    let (at, clearest) = best(&distances, &order, n);
    // Equal values have no split; rounding must not make one.
    if clearest.is_nan() || clearest <= 1e-12 * values.iter().copied().map(f64::abs).fold(0.0, f64::max) {
        return None;
    }
    let permutations = (AS_CLEAR / level).ceil() as usize - 1;
    let allowed = (level * (permutations as f64 + 1.0) + 1e-9).floor() as usize;
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut as_clear = 1;
    for _ in 0..permutations {
        order.shuffle(&mut random);
        as_clear += usize::from(best(&distances, &order, n).1 >= clearest * (1.0 - 1e-9));
        if as_clear > allowed {
            return None;
        }
    }
    Some(DetectedChange { at, p_value: as_clear as f64 / (permutations as f64 + 1.0) })
}

/// The split with the largest weighted energy distance, m n / (m + n) x (2 E|X - Y| - E|X - X'| - E|Y - Y'|).
fn best(distances: &[f64], order: &[usize], n: usize) -> (usize, f64) {
    let row = |index: usize| distances.get(index * n..(index + 1) * n).unwrap_or_default();
    let sum = |from: usize, others: &[usize]| -> f64 {
        let row = row(from);
        others.iter().filter_map(|other| row.get(*other)).sum()
    };
    // All are on the right at first; each step moves one to the left.
    let (mut left, mut between) = (0.0, 0.0);
    let mut right: f64 = order.iter().enumerate().map(|(k, index)| sum(*index, &order[k + 1..])).sum();
    let mut found = (0, f64::NEG_INFINITY);
    for (k, index) in order.iter().enumerate() {
        let (to_left, to_right) = (sum(*index, &order[..k]), sum(*index, &order[k + 1..]));
        left += to_left;
        right -= to_right;
        between += to_right - to_left;
        let (a, b) = (k + 1, n - k - 1);
        if a < LEAST_RUNS || b < LEAST_RUNS {
            continue;
        }
        let (a, b) = (a as f64, b as f64);
        let pairs = |of: f64| of * (of - 1.0) / 2.0;
        let energy = 2.0 * between / (a * b) - left / pairs(a) - right / pairs(b);
        let weighted = a * b / (a + b) * energy;
        if weighted > found.1 {
            found = (k + 1, weighted);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;

    #[test]
    fn worked_by_hand() {
        // Three zeros, three tens: between E|X - Y| = 10, within 0; 9/6 x 20 = 30.
        let values = [0.0, 0.0, 0.0, 10.0, 10.0, 10.0];
        let distances: Vec<f64> =
            values.iter().flat_map(|a| values.iter().map(move |b| f64::abs(a - b))).collect();
        assert_eq!(best(&distances, &[0, 1, 2, 3, 4, 5], 6), (3, 30.0));
        // One of each on the other side: E|X - Y| = 10 x 5/9, E|X - X'| = E|Y - Y'| = 10 x 2/3.
        let (_, mixed) = best(&distances, &[0, 1, 3, 2, 4, 5], 6);
        assert!((mixed - 1.5 * (2.0 * 50.0 / 9.0 - 2.0 * 20.0 / 3.0)).abs() < 1e-9, "{mixed}");
        // 2 of 20 orders are as clear, which no level of 5% allows.
        assert_eq!((changes(&values, 0.05), changes(&values, 0.2).len()), (vec![], 1));
        assert_eq!([0.2, 0.05, 0.01, 0.001].map(least_series), [6, 8, 10, 14]);
    }

    /// The flow of the Nile at Aswan, 1871 to 1970 (Cobb, *The problem of the Nile*, Biometrika 65, 1978), fell after 1898, as Cobb and
    /// many after him found.
    #[test]
    fn the_nile_fell_after_1898() {
        #[rustfmt::skip]
        let flow = [
            1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180, 799, 958, 1140, 1100,
            1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833, 701, 916, 692, 1020, 1050, 969, 831, 726, 456, 824,
            702, 1120, 1100, 832, 764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759, 781, 865, 845, 944, 984, 897, 822, 1010,
            771, 676, 649, 846, 812, 742, 801, 1040, 860, 874, 848, 890, 744, 749, 838, 1050, 918, 986, 797, 923, 975, 815, 1020, 906,
            901, 1170, 912, 746, 919, 718, 714, 740,
        ];
        let flow = flow.map(f64::from);
        let found = changes(&flow, 0.01);
        let years: Vec<usize> = found.iter().map(|found| 1871 + found.at - 1).collect();
        assert_eq!((years, found[0].p_value), (vec![1898], 0.001));
    }

    /// With nothing in them, series are said to have changed no more often than promised, however they scatter.
    #[test]
    fn false_alarms_are_as_rare_as_promised() {
        let mut random = ChaCha8Rng::seed_from_u64(11);
        for (level, runs, trials) in [(0.01, 20, 1_000), (0.05, 12, 2_000)] {
            let mut alarms = 0;
            for _ in 0..trials {
                // One run in ten is 2 to 3 times as slow, as where memory lies badly.
                let value = |random: &mut ChaCha8Rng| {
                    let noise = 100.0 + random.random::<f64>() + random.random::<f64>();
                    if random.random_range(0..10) == 0 {
                        noise * random.random_range(2.0..3.0)
                    } else {
                        noise
                    }
                };
                let values: Vec<f64> = (0..runs).map(|_| value(&mut random)).collect();
                alarms += u32::from(!changes(&values, level).is_empty());
            }
            let rate = f64::from(alarms) / f64::from(trials);
            assert!(rate <= level + 0.01 && rate > 0.3 * level, "{level}, {runs} runs: {rate}");
        }
    }

    #[test]
    fn steps_are_found_where_they_are() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut near = 0;
        for _ in 0..200 {
            // +5% with noise of 1%, after 12 of 20 runs, and one odd run.
            let values: Vec<f64> = (0..20)
                .map(|run| {
                    let level = if run < 12 { 100.0 } else { 105.0 };
                    let odd = if run == 5 { 1.5 } else { 1.0 };
                    level * odd * (1.0 + 0.01 * (random.random::<f64>() + random.random::<f64>() - 1.0))
                })
                .collect();
            near += u32::from(matches!(changes(&values, 0.01)[..], [DetectedChange { at: 11..=13, .. }]));
        }
        assert!(near >= 195, "{near} of 200");
        let steps: Vec<f64> =
            (0..40).map(|run| [100.0, 120.0, 90.0, 90.0][run / 10] + (run % 3) as f64).collect();
        assert_eq!(changes(&steps, 0.01).iter().map(|found| found.at).collect::<Vec<_>>(), [10, 20]);
        // An odd run, or two, is no change; nor is a level that never moves.
        let mut odd = vec![100.0; 20];
        assert_eq!(changes(&odd, 0.01), []);
        (odd[18], odd[19]) = (150.0, 150.0);
        assert_eq!(changes(&odd, 0.01), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn parts_are_long_enough_and_the_same_each_time(values in proptest::collection::vec(0.0..1e9_f64, 0..40)) {
            let found = changes(&values, 0.2);
            prop_assert_eq!(&found, &changes(&values, 0.2));
            let ends: Vec<usize> =
                [0].into_iter().chain(found.iter().map(|found| found.at)).chain([values.len()]).collect();
            prop_assert!(found.is_empty() || ends.windows(2).all(|pair| pair[1] - pair[0] >= LEAST_RUNS), "{:?}", found);
        }
    }
}
