//! Histograms of durations, in nanoseconds.

use hdrhistogram::Histogram;

/// The smallest duration that a histogram tells apart, in nanoseconds.
pub const SHORTEST_NS: u64 = 1;

/// The longest duration that a histogram tells apart, in nanoseconds: 100 s.
pub const LONGEST_NS: u64 = 100_000_000_000;

/// Significant decimal digits kept: a recorded value is within 0.1% of the true one.
pub const SIGNIFICANT_DIGITS: u8 = 3;

/// An HDR histogram of durations from 1 ns to 100 s that counts every value, those out of range too.
///
/// All its memory (some 230 kB) is allocated by [`Times::new`]; recording allocates nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    histogram: Histogram<u64>,
    out_of_range: u64,
}

impl Times {
    /// An empty histogram.
    #[expect(clippy::expect_used, reason = "the bounds are constants, and the tests build one")]
    pub fn new() -> Times {
        let histogram = Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, SIGNIFICANT_DIGITS)
            .expect("bounds that HdrHistogram accepts");
        Times { histogram, out_of_range: 0 }
    }

    /// Counts one duration. One below 1 ns or above 100 s counts as the nearest bound, and once more in
    /// [`Times::out_of_range`]: a dropped time-out would make an overloaded system look fast.
    pub fn record(&mut self, nanoseconds: u64) {
        let kept = nanoseconds.clamp(SHORTEST_NS, LONGEST_NS);
        self.out_of_range += u64::from(kept != nanoseconds);
        self.histogram.saturating_record(kept);
    }

    /// Adds everything that `other` has counted.
    pub fn merge(&mut self, other: &Times) {
        // `+=` panics if a value of `other` cannot be held; all `Times` have the same bounds.
        self.histogram += &other.histogram;
        self.out_of_range += other.out_of_range;
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.histogram.reset();
        self.out_of_range = 0;
    }

    /// The values counted so far, those out of range included.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// How many values were below 1 ns or above 100 s.
    pub fn out_of_range(&self) -> u64 {
        self.out_of_range
    }

    /// The histogram itself, for quantiles and for serialisation.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }
}

impl Default for Times {
    fn default() -> Times {
        Times::new()
    }
}

/// Response and service time of the same requests, side by side.
///
/// The two are equal in a closed loop. In an open loop they part when a request starts later than it was due:
/// response time then holds what the client waited, service time what the system took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorder {
    /// From the moment when a request was due to its end.
    pub response: Times,
    /// From the moment when a request really started to its end.
    pub service: Times,
}

impl Recorder {
    /// Two empty histograms.
    pub fn new() -> Recorder {
        Recorder::default()
    }

    /// Counts one request, by nanoseconds on one common clock. A start before the intended one is taken as it
    /// is; an end before a start counts as a duration of 0, out of range.
    pub fn record(&mut self, intended_ns: u64, started_ns: u64, ended_ns: u64) {
        self.response.record(ended_ns.saturating_sub(intended_ns));
        self.service.record(ended_ns.saturating_sub(started_ns));
    }

    /// Adds everything that `other` has counted.
    pub fn merge(&mut self, other: &Recorder) {
        self.response.merge(&other.response);
        self.service.merge(&other.service);
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.response.clear();
        self.service.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn out_of_range_values_are_counted_at_the_bounds() {
        let mut times = Times::new();
        for value in [0, 1, LONGEST_NS, LONGEST_NS + 1, u64::MAX] {
            times.record(value);
        }
        assert_eq!((times.count(), times.out_of_range()), (5, 3));
        assert_eq!(times.histogram().min(), SHORTEST_NS);
        let longest = times.histogram().equivalent(LONGEST_NS, times.histogram().max());
        assert!(longest, "the longest is kept as {}", times.histogram().max());
        times.clear();
        assert_eq!(times, Times::new());
    }

    #[test]
    fn response_counts_from_when_it_was_due_and_service_from_when_it_began() {
        let mut recorder = Recorder::new();
        recorder.record(100, 700, 1_000);
        assert_eq!((recorder.response.histogram().max(), recorder.service.histogram().max()), (900, 300));
    }

    #[test]
    fn a_stall_shows_in_response_time_and_hides_in_service_time() {
        // One stall of 100 ms at a rate of 1,000 per second delays the 100 requests behind it.
        let mut recorder = Recorder::new();
        let (mut free, millisecond) = (0, 1_000_000);
        for i in 0..1_000 {
            let due = i * millisecond;
            let start = due.max(free);
            free = start + if i == 500 { 100 * millisecond } else { millisecond / 100 };
            recorder.record(due, start, free);
        }
        assert!(recorder.service.histogram().value_at_quantile(0.99) < millisecond);
        assert!(recorder.response.histogram().value_at_quantile(0.99) > 80 * millisecond);
    }

    proptest! {
        #[test]
        fn merging_is_recording_both(ours: Vec<u64>, theirs: Vec<u64>) {
            let recorded = |values: &[u64]| {
                let mut times = Times::new();
                values.iter().for_each(|&value| times.record(value));
                times
            };
            let mut merged = recorded(&ours);
            merged.merge(&recorded(&theirs));
            prop_assert_eq!(merged, recorded(&[ours, theirs].concat()));
        }

        #[test]
        fn a_value_is_kept_to_three_digits(value in SHORTEST_NS..LONGEST_NS) {
            let mut times = Times::new();
            times.record(value);
            let kept = times.histogram().value_at_quantile(0.5);
            prop_assert!(kept.abs_diff(value) <= value / 1_000, "{} kept as {}", value, kept);
        }
    }
}
