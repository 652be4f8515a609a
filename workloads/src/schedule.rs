//! Intended start times, fixed before a run so that the system under test cannot move them.
//!
//! In an open loop the next request is due whether or not the last one was answered, and response time counts
//! from the moment it was *due*: else a stalled server delays the very requests that would have shown the
//! stall ("coordinated omission": G. Tene, *How NOT to Measure Latency*; wrk2).

use std::num::NonZeroU64;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// When each request of a run is to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// Closed loop: each of this many requests starts when the one before it has ended.
    BackToBack {
        /// Requests in the run.
        requests: usize,
    },
    /// Open loop: nanoseconds from the start of the run, ascending, one per request.
    At(Box<[u64]>),
}

impl Schedule {
    /// Open loop at a constant rate: request *i* is due at *i* / `per_second`, rounded down to a nanosecond.
    ///
    /// Each time is computed from *i*, so rounding never adds up.
    pub fn constant(requests: usize, per_second: NonZeroU64) -> Schedule {
        let rate = u128::from(per_second.get());
        let due = |i| (i as u128 * u128::from(NANOSECONDS_PER_SECOND) / rate).try_into().unwrap_or(u64::MAX);
        Schedule::At((0..requests).map(due).collect())
    }

    /// Open loop as a Poisson process: gaps are independent and exponential with mean 1 / `per_second`, which
    /// is how requests of many independent clients arrive.
    ///
    /// The same seed gives the same times on the same build; across platforms the last bit of a logarithm,
    /// and with it a nanosecond, may differ.
    pub fn poisson(requests: usize, per_second: NonZeroU64, seed: u64) -> Schedule {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let mean_gap = NANOSECONDS_PER_SECOND as f64 / per_second.get() as f64;
        let mut due = 0.0;
        let next = |_| {
            // random() is in [0, 1), so the logarithm's argument is in (0, 1].
            due -= mean_gap * (1.0 - random.random::<f64>()).ln();
            due as u64
        };
        Schedule::At((0..requests).map(next).collect())
    }

    /// Requests in the run.
    pub fn requests(&self) -> usize {
        match self {
            Schedule::BackToBack { requests } => *requests,
            Schedule::At(due) => due.len(),
        }
    }

    /// When `request` is due, in nanoseconds from the start of the run; `None` means "when its predecessor has
    /// ended", and also that there is no such request.
    pub fn due_ns(&self, request: usize) -> Option<u64> {
        match self {
            Schedule::BackToBack { .. } => None,
            Schedule::At(due) => due.get(request).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(per_second: u64) -> NonZeroU64 {
        NonZeroU64::new(per_second).unwrap()
    }

    fn times(schedule: &Schedule) -> Vec<u64> {
        (0..schedule.requests()).map(|i| schedule.due_ns(i).unwrap()).collect()
    }

    #[test]
    fn a_constant_rate_does_not_drift() {
        let third = Schedule::constant(3_000_001, rate(3));
        assert_eq!(times(&third)[..5], [0, 333_333_333, 666_666_666, 1_000_000_000, 1_333_333_333]);
        assert_eq!(third.due_ns(3_000_000), Some(1_000_000 * NANOSECONDS_PER_SECOND));
        assert_eq!(third.due_ns(3_000_001), None);
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() {
        let starts = times(&Schedule::poisson(100_000, rate(10_000), 7));
        let gaps: Vec<f64> = starts.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 100_000.0 - 1.0).abs() < 0.02, "mean gap {mean} ns");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "spread {} ns", variance.sqrt());
    }

    #[test]
    fn a_seed_is_a_schedule() {
        let poisson = |seed| Schedule::poisson(100, rate(1_000), seed);
        assert_eq!(poisson(1), poisson(1));
        assert_ne!(poisson(1), poisson(2));
    }

    #[test]
    fn a_closed_loop_has_no_times() {
        let closed = Schedule::BackToBack { requests: 3 };
        assert_eq!((closed.requests(), closed.due_ns(0)), (3, None));
    }

    proptest! {
        #[test]
        fn times_never_go_back(requests in 0_usize..500, per_second in 1_u64.., seed: u64) {
            for schedule in [
                Schedule::constant(requests, rate(per_second)),
                Schedule::poisson(requests, rate(per_second), seed),
            ] {
                let starts = times(&schedule);
                prop_assert_eq!(starts.len(), requests);
                prop_assert!(starts.is_sorted());
            }
        }
    }
}
