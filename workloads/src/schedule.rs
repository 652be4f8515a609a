//! When requests of an open loop are due: fixed by rate and seed alone, so that the system under test cannot move them.
//!
//! In an open loop the next request is due whether or not the last one was answered, and response time counts from the
//! moment it was *due*: else a stalled server delays the very requests that would have shown the stall ("coordinated
//! omission": G. Tene, *How NOT to Measure Latency*; wrk2).

use std::num::NonZeroU64;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// How requests of an open loop follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rhythm {
    /// At equal distances.
    Constant,
    /// As a Poisson process: independent gaps, exponentially distributed, as requests of many clients come.
    Poisson {
        /// Decides the gaps.
        seed: u64,
    },
}

/// The moments when requests are due, in nanoseconds from the start, ascending, without end.
///
/// Each of a constant rate is computed from its number, so that rounding never adds up. The same seed gives the same times
/// of a Poisson process on the same build; across platforms the last bit of a logarithm, and with it a nanosecond, may
/// differ.
#[derive(Debug, Clone)]
pub struct Arrivals(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// Request *i* of all is due at *i* / rate; this thread takes each `step`th.
    Constant { next: u64, step: u64, per_second: NonZeroU64 },
    /// A share of a Poisson process is one too, of a share of the rate.
    Poisson { due: f64, mean_gap: f64, random: Box<ChaCha12Rng> },
}

impl Arrivals {
    /// The share of thread `index` of `threads`.
    pub fn new(rhythm: Rhythm, per_second: NonZeroU64, index: u32, threads: u32) -> Arrivals {
        match rhythm {
            Rhythm::Constant => {
                Arrivals(Kind::Constant { next: index.into(), step: threads.max(1).into(), per_second })
            }
            Rhythm::Poisson { seed } => {
                let mut random = ChaCha12Rng::seed_from_u64(seed);
                random.set_stream(index.into());
                let mean_gap =
                    NANOSECONDS_PER_SECOND as f64 * f64::from(threads.max(1)) / per_second.get() as f64;
                let mut arrivals = Arrivals(Kind::Poisson { due: 0.0, mean_gap, random: Box::new(random) });
                // The first gap counts from the start.
                arrivals.advance();
                arrivals
            }
        }
    }

    /// When the next one is due.
    pub fn due(&self) -> u64 {
        match &self.0 {
            Kind::Constant { next, per_second, .. } => {
                let due =
                    u128::from(*next) * u128::from(NANOSECONDS_PER_SECOND) / u128::from(per_second.get());
                u64::try_from(due).unwrap_or(u64::MAX)
            }
            Kind::Poisson { due, .. } => *due as u64,
        }
    }

    /// Goes on to the one after it.
    pub fn advance(&mut self) {
        match &mut self.0 {
            Kind::Constant { next, step, .. } => *next = next.saturating_add(*step),
            // random() is in [0, 1), so that the logarithm's argument is in (0, 1].
            Kind::Poisson { due, mean_gap, random } => {
                *due -= *mean_gap * (1.0 - random.random::<f64>()).ln();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(per_second: u64) -> NonZeroU64 {
        NonZeroU64::new(per_second).unwrap()
    }

    fn take(mut arrivals: Arrivals, count: usize) -> Vec<u64> {
        let next = |_| {
            let due = arrivals.due();
            arrivals.advance();
            due
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_constant_rate_does_not_drift() {
        let third = take(Arrivals::new(Rhythm::Constant, rate(3), 0, 1), 3_000_001);
        assert_eq!(third[..5], [0, 333_333_333, 666_666_666, 1_000_000_000, 1_333_333_333]);
        assert_eq!(third[3_000_000], 1_000_000 * NANOSECONDS_PER_SECOND);
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() {
        let starts = take(Arrivals::new(Rhythm::Poisson { seed: 7 }, rate(10_000), 0, 1), 100_000);
        let gaps: Vec<f64> = starts.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 100_000.0 - 1.0).abs() < 0.02, "mean gap {mean} ns");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "spread {} ns", variance.sqrt());
    }

    #[test]
    fn a_seed_is_a_schedule() {
        let poisson = |seed| take(Arrivals::new(Rhythm::Poisson { seed }, rate(1_000), 0, 1), 100);
        assert_eq!(poisson(1), poisson(1));
        assert_ne!(poisson(1), poisson(2));
    }

    proptest! {
        #[test]
        fn times_never_go_back(count in 0_usize..500, per_second in 1_u64.., seed: u64, threads in 1_u32..9) {
            for rhythm in [Rhythm::Constant, Rhythm::Poisson { seed }] {
                let starts = take(Arrivals::new(rhythm, rate(per_second), threads - 1, threads), count);
                prop_assert!(starts.is_sorted());
            }
        }
    }

    #[test]
    fn threads_share_a_constant_rate_exactly() {
        let mut shared: Vec<u64> = (0..3)
            .flat_map(|index| take(Arrivals::new(Rhythm::Constant, rate(700), index, 3), 100))
            .collect();
        shared.sort_unstable();
        assert_eq!(shared, take(Arrivals::new(Rhythm::Constant, rate(700), 0, 1), 300));
    }

    #[test]
    fn threads_share_a_poisson_process_by_rate() {
        let of = |index| take(Arrivals::new(Rhythm::Poisson { seed: 1 }, rate(1_000), index, 4), 20_000);
        let (first, second) = (of(0), of(1));
        assert_ne!(first, second);
        let seconds = *first.last().unwrap() as f64 / 1e9;
        assert!((seconds / 80.0 - 1.0).abs() < 0.03, "{seconds}");
    }
}
