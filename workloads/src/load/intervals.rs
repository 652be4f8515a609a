//! A load over time: what became of requests in each interval, and how long they took.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::counts::Counts;
use crate::clock::nanoseconds;
use crate::recorder::{LONGEST_NS, SHORTEST_NS};

/// Significant digits of the times of an interval: a value is within 1% of the true one.
const DIGITS: u8 = 2;

/// A distribution in little memory: values with how often they were seen, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sparse(Box<[(u64, u64)]>);

impl Sparse {
    fn of(histogram: &Histogram<u64>) -> Sparse {
        Sparse(histogram.iter_recorded().map(|at| (at.value_iterated_to(), at.count_at_value())).collect())
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The value below or at which a share of all values is, within 1%; `None`: there are none.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let rank = (quantile * self.count() as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        let reached = self.0.iter().find(|(_, count)| {
            below += count;
            below >= rank
        });
        reached.or(self.0.last()).map(|&(value, _)| value)
    }

    /// The largest value, within 1%.
    pub fn max(&self) -> Option<u64> {
        self.0.last().map(|&(value, _)| value)
    }

    fn merge(&mut self, other: &Sparse) {
        let mut all: Vec<(u64, u64)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        all.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1 += later.1;
            }
            same
        });
        self.0 = all.into();
    }
}

/// One interval. Requests belong to the interval in which they ended, starts to that in which they began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interval {
    /// How many, and what became of them.
    pub counts: Counts,
    /// Response times, nanoseconds.
    pub response: Sparse,
    /// Service times, nanoseconds.
    pub service: Sparse,
}

/// Intervals of equal length, from the start of the load on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intervals {
    /// How long each is.
    pub length: Duration,
    /// In order, without gaps.
    pub list: Vec<Interval>,
}

impl Intervals {
    /// Adds that of another thread; their lengths are the same.
    pub fn merge(&mut self, other: &Intervals) {
        if self.list.len() < other.list.len() {
            self.list.resize_with(other.list.len(), Interval::default);
        }
        for (ours, theirs) in self.list.iter_mut().zip(&other.list) {
            ours.counts.add(&theirs.counts);
            ours.response.merge(&theirs.response);
            ours.service.merge(&theirs.service);
        }
    }
}

/// Fills intervals. Nothing is allocated but once per interval.
#[derive(Debug)]
pub(super) struct IntervalRecorder {
    intervals: Intervals,
    length_ns: u64,
    /// When the interval ends that is being filled.
    ends_ns: u64,
    pub(super) counts: Counts,
    response: Histogram<u64>,
    service: Histogram<u64>,
}

impl IntervalRecorder {
    /// With room for a load of `duration`.
    #[expect(clippy::expect_used, reason = "the bounds are constants, and the tests build one")]
    pub(super) fn new(length: Duration, duration: Duration) -> IntervalRecorder {
        let length = length.max(Duration::from_millis(1));
        let histogram = || {
            Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, DIGITS)
                .expect("bounds that HdrHistogram accepts")
        };
        // More than a million is not foreseen, but grows.
        let room = (duration.as_nanos() / length.as_nanos()).min(1 << 20) as usize + 2;
        let length_ns = nanoseconds(length);
        IntervalRecorder {
            intervals: Intervals { length, list: Vec::with_capacity(room) },
            length_ns,
            ends_ns: length_ns,
            counts: Counts::default(),
            response: histogram(),
            service: histogram(),
        }
    }

    /// Time has come to `now_ns`: intervals before it are closed.
    pub(super) fn advance(&mut self, now_ns: u64) {
        while now_ns >= self.ends_ns {
            self.close();
        }
    }

    fn close(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        let (response, service) = (Sparse::of(&self.response), Sparse::of(&self.service));
        self.intervals.list.push(Interval { counts, response, service });
        if !self.response.is_empty() {
            self.response.reset();
            self.service.reset();
        }
        self.ends_ns = self.ends_ns.saturating_add(self.length_ns);
    }

    pub(super) fn record(&mut self, response_ns: u64, service_ns: Option<u64>) {
        let within = |value: u64| value.clamp(SHORTEST_NS, LONGEST_NS);
        self.response.saturating_record(within(response_ns));
        if let Some(service_ns) = service_ns {
            self.service.saturating_record(within(service_ns));
        }
    }

    pub(super) fn finish(mut self) -> Intervals {
        if self.counts != Counts::default() {
            self.close();
        }
        self.intervals
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn recorded(values: &[(u64, u64)]) -> Intervals {
        let mut recorder = IntervalRecorder::new(Duration::from_secs(1), Duration::from_secs(4));
        for &(at, value) in values {
            recorder.advance(at);
            recorder.counts.answered += 1;
            recorder.record(value, Some(value));
        }
        recorder.finish()
    }

    #[test]
    fn values_are_in_the_interval_in_which_they_came() {
        let intervals = recorded(&[(0, 5), (999_999_999, 7), (1_000_000_000, 100), (3_100_000_000, 9)]);
        let answered: Vec<u64> = intervals.list.iter().map(|interval| interval.counts.answered).collect();
        assert_eq!(answered, [2, 1, 0, 1]);
        assert_eq!(intervals.list[0].response.max(), Some(7));
        assert_eq!(intervals.list[2].response.quantile(0.5), None);
        assert_eq!(intervals.list[3].service.quantile(0.99), Some(9));
    }

    proptest! {
        #[test]
        fn merging_is_recording_both(
            ours in proptest::collection::vec((0_u64..5_000_000_000, 1_u64..1_000_000), 0..40),
            theirs in proptest::collection::vec((0_u64..5_000_000_000, 1_u64..1_000_000), 0..40),
        ) {
            let sorted = |values: &[(u64, u64)]| {
                let mut values = values.to_vec();
                values.sort_unstable();
                values
            };
            let mut merged = recorded(&sorted(&ours));
            merged.merge(&recorded(&sorted(&theirs)));
            prop_assert_eq!(merged, recorded(&sorted(&[ours, theirs].concat())));
        }

        #[test]
        fn quantiles_are_within_a_hundredth(values in proptest::collection::vec(1_u64..100_000_000_000, 1..50)) {
            let intervals = recorded(&values.iter().map(|&value| (0, value)).collect::<Vec<_>>());
            let mut sorted = values;
            sorted.sort_unstable();
            for quantile in [0.0, 0.5, 0.99, 1.0] {
                let rank = ((quantile * sorted.len() as f64).ceil() as usize).max(1);
                let (exact, kept) =
                    (sorted[rank - 1], intervals.list[0].response.quantile(quantile).unwrap());
                prop_assert!(kept.abs_diff(exact) <= exact / 100 + 1, "{} kept as {}", exact, kept);
            }
        }
    }
}
