//! When requests of an open loop are due: fixed by rate and seed alone, so that the system under test cannot move them.

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
/// [`crate::schedule::Schedule`] keeps all of them in memory; this one, for loads that last, none.
#[derive(Debug, Clone)]
pub(super) enum Arrivals {
    /// Request *i* of all is due at *i* / rate; this thread takes each `step`th.
    Constant { next: u64, step: u64, per_second: NonZeroU64 },
    /// A share of a Poisson process is one too, of a share of the rate.
    Poisson { due: f64, mean_gap: f64, random: Box<ChaCha12Rng> },
}

impl Arrivals {
    /// The share of thread `index` of `threads`.
    pub(super) fn new(rhythm: Rhythm, per_second: NonZeroU64, index: u32, threads: u32) -> Arrivals {
        match rhythm {
            Rhythm::Constant => {
                Arrivals::Constant { next: index.into(), step: threads.max(1).into(), per_second }
            }
            Rhythm::Poisson { seed } => {
                let mut random = ChaCha12Rng::seed_from_u64(seed);
                random.set_stream(index.into());
                let mean_gap =
                    NANOSECONDS_PER_SECOND as f64 * f64::from(threads.max(1)) / per_second.get() as f64;
                let mut arrivals = Arrivals::Poisson { due: 0.0, mean_gap, random: Box::new(random) };
                // The first gap counts from the start.
                arrivals.advance();
                arrivals
            }
        }
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> u64 {
        match self {
            Arrivals::Constant { next, per_second, .. } => {
                let due =
                    u128::from(*next) * u128::from(NANOSECONDS_PER_SECOND) / u128::from(per_second.get());
                u64::try_from(due).unwrap_or(u64::MAX)
            }
            Arrivals::Poisson { due, .. } => *due as u64,
        }
    }

    /// Goes on to the one after it.
    pub(super) fn advance(&mut self) {
        match self {
            Arrivals::Constant { next, step, .. } => *next = next.saturating_add(*step),
            // random() is in [0, 1), so that the logarithm's argument is in (0, 1].
            Arrivals::Poisson { due, mean_gap, random } => {
                *due -= *mean_gap * (1.0 - random.random::<f64>()).ln();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;

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
    fn they_are_those_of_a_schedule() {
        for (rhythm, schedule) in [
            (Rhythm::Constant, Schedule::constant(5_000, rate(3_333))),
            (Rhythm::Poisson { seed: 7 }, Schedule::poisson(5_000, rate(3_333), 7)),
        ] {
            let expected: Vec<u64> = (0..5_000).map(|index| schedule.due_ns(index).unwrap()).collect();
            assert_eq!(take(Arrivals::new(rhythm, rate(3_333), 0, 1), 5_000), expected);
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
