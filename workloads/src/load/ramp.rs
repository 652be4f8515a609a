//! The highest rate that a system bears: doubling, then bisection (as RFC 2544, section 26.1, searches for throughput).

use std::num::NonZeroU64;

/// What must hold at a rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// The 99th percentile of response time may be so long, nanoseconds.
    pub p99_ns: u64,
    /// So large a share of requests may be lost; RFC 2544 allows none.
    pub lost_share: f64,
}

/// What a load at one rate has shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// Requests per second that were due.
    pub per_second: NonZeroU64,
    /// 99th percentile of response time, nanoseconds.
    pub p99_ns: u64,
    /// Share of requests without a response.
    pub lost_share: f64,
    /// Whether the client held its schedule; if not, the client and not the system may be the limit.
    pub held_schedule: bool,
}

impl Trial {
    /// Whether the rate is within the bound.
    pub fn keeps(&self, bound: &Bound) -> bool {
        self.p99_ns <= bound.p99_ns && self.lost_share <= bound.lost_share
    }
}

/// What a search has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Highest {
    /// The highest rate that was tried and kept the bound; `None`: not even the lowest did.
    pub kept: Option<Trial>,
    /// The lowest above it that was tried and did not; `None`: the search ended at its upper end.
    pub broken: Option<Trial>,
    /// All trials, in their order.
    pub trials: Vec<Trial>,
}

/// Searches between `lowest` and `highest` until the rates that keep and break the bound are within `precision` (a share of
/// the rate, not below a thousandth) of each other.
///
/// # Errors
/// Those of `attempt`.
pub fn highest_rate<E>(
    bound: &Bound,
    lowest: NonZeroU64,
    highest: NonZeroU64,
    precision: f64,
    mut attempt: impl FnMut(NonZeroU64) -> Result<Trial, E>,
) -> Result<Highest, E> {
    let mut found = Highest { kept: None, broken: None, trials: Vec::new() };
    let mut next = lowest;
    loop {
        let trial = attempt(next)?;
        found.trials.push(trial);
        *(if trial.keeps(bound) { &mut found.kept } else { &mut found.broken }) = Some(trial);
        let (kept, broken) =
            (found.kept.map(|t| t.per_second.get()), found.broken.map(|t| t.per_second.get()));
        let rate = match (kept, broken) {
            (None, _) => break,
            (Some(kept), None) if kept >= highest.get() => break,
            (Some(kept), None) => kept.saturating_mul(2).min(highest.get()),
            (Some(kept), Some(broken)) => {
                let near = (kept as f64 * precision.max(0.001)) as u64;
                if broken - kept <= near.max(1) {
                    break;
                }
                kept + (broken - kept) / 2
            }
        };
        match NonZeroU64::new(rate) {
            Some(rate) => next = rate,
            None => break,
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    const BOUND: Bound = Bound { p99_ns: 1_000, lost_share: 0.0 };

    fn search(limit: u64, highest: u64) -> Highest {
        let rate = |rate: u64| NonZeroU64::new(rate).unwrap();
        highest_rate(&BOUND, rate(100), rate(highest), 0.02, |per_second| {
            let p99_ns = if per_second.get() <= limit { 900 } else { 5_000 };
            Ok::<_, Infallible>(Trial { per_second, p99_ns, lost_share: 0.0, held_schedule: true })
        })
        .unwrap()
    }

    proptest! {
        #[test]
        fn the_limit_is_found_within_the_precision(limit in 100_u64..10_000_000) {
            let found = search(limit, 100_000_000);
            let (kept, broken) = (found.kept.unwrap().per_second.get(), found.broken.unwrap().per_second.get());
            prop_assert!(kept <= limit && limit < broken);
            prop_assert!((broken - kept) as f64 <= (kept as f64 * 0.02).max(1.0));
            prop_assert!(found.trials.len() < 40);
        }
    }

    #[test]
    fn a_limit_out_of_range_is_refused() {
        let none = search(50, 1_000);
        assert_eq!((none.kept, none.trials.len()), (None, 1));
        let all = search(5_000, 1_000);
        assert_eq!((all.kept.unwrap().per_second.get(), all.broken), (1_000, None));
    }

    #[test]
    fn losses_break_the_bound() {
        let trial = Trial { per_second: NonZeroU64::MIN, p99_ns: 1, lost_share: 0.1, held_schedule: true };
        assert!(!trial.keeps(&BOUND));
    }
}
