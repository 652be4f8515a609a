//! What a kube-proxy measures of itself: read over HTTP, in Prometheus' text format, and compared.

mod histogram;
pub mod names;
mod text;

use std::time::Instant;

pub use self::histogram::{Bounds, Histogram};
use self::text::Samples;
pub use self::text::TextError;

/// All metrics at one time.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When they were asked for.
    pub at: Instant,
    samples: Samples,
}

/// Labels that a series must have, with their values; those that are not named may be anything.
pub type Labels<'l> = &'l [(&'l str, &'l str)];

impl Snapshot {
    /// Reads what `/metrics` answers.
    ///
    /// # Errors
    /// If it is not Prometheus' text format, version 0.0.4.
    pub fn parse(text: &str, at: Instant) -> Result<Self, TextError> {
        Ok(Self { at, samples: text::parse(text)? })
    }

    /// Value of a gauge or counter, summed over all series with these labels. `None` if there is none, as when kube-proxy has
    /// had no occasion to count.
    pub fn value(&self, name: &str, labels: Labels<'_>) -> Option<f64> {
        let mut values = self.samples.series(name, labels).map(|(_, value)| value).peekable();
        values.peek()?;
        Some(values.sum())
    }

    /// Latest value of a gauge over all series with these labels: for times, of which a sum says nothing.
    pub fn latest(&self, name: &str, labels: Labels<'_>) -> Option<f64> {
        self.samples.series(name, labels).map(|(_, value)| value).reduce(f64::max)
    }

    /// A histogram, over all series with these labels.
    pub fn histogram(&self, name: &str, labels: Labels<'_>) -> Option<Histogram> {
        let part = |suffix: &'static str| self.samples.series_of(name, suffix, labels);
        Histogram::of(
            part("_bucket").filter_map(|(labels, value)| Some((labels.get("le")?.parse().ok()?, value))),
            part("_sum").map(|(_, value)| value).sum(),
            part("_count").map(|(_, value)| value).sum(),
        )
    }

    /// All values that a label has in the series of a metric: which `ip_family` there are.
    pub fn label_values(&self, name: &str, label: &str) -> Vec<String> {
        let all = ["", "_count"].into_iter().flat_map(|suffix| self.samples.series_of(name, suffix, &[]));
        let mut values: Vec<String> = all.filter_map(|(labels, _)| labels.get(label).cloned()).collect();
        values.sort();
        values.dedup();
        values
    }

    /// What has changed since an earlier one of the same process.
    pub fn since<'s>(&'s self, before: &'s Snapshot) -> Change<'s> {
        Change { before, after: self }
    }
}

/// Two snapshots of one process, compared.
#[derive(Debug, Clone, Copy)]
pub struct Change<'s> {
    before: &'s Snapshot,
    after: &'s Snapshot,
}

impl Change<'_> {
    /// By how much a counter has grown; one that was not there before began at 0. `None` if it is not there now, or has
    /// become less, as when the process was started anew.
    pub fn counter(&self, name: &str, labels: Labels<'_>) -> Option<f64> {
        let growth = self.after.value(name, labels)? - self.before.value(name, labels).unwrap_or(0.0);
        (growth >= 0.0).then_some(growth)
    }

    /// What was observed between the two; as [`counter`](Change::counter).
    pub fn histogram(&self, name: &str, labels: Labels<'_>) -> Option<Histogram> {
        let after = self.after.histogram(name, labels)?;
        match self.before.histogram(name, labels) {
            Some(before) => after.since(&before),
            None => Some(after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = include_str!("metrics/before.txt");
    const AFTER: &str = include_str!("metrics/after.txt");

    fn snapshot(text: &str) -> Snapshot {
        Snapshot::parse(text, Instant::now()).unwrap()
    }

    #[test]
    fn series_are_chosen_by_their_labels() {
        let after = snapshot(AFTER);
        assert_eq!(after.value(names::IPTABLES_TOTAL, &[("table", "nat")]), Some(77.0));
        assert_eq!(after.value(names::IPTABLES_TOTAL, &[]), Some(101.0));
        assert_eq!(after.value(names::IPTABLES_TOTAL, &[("table", "mangle")]), None);
        assert_eq!(after.value(names::GOROUTINES, &[]), Some(96.0));
        assert_eq!(after.latest(names::LAST_SYNC, &[]), Some(1.7960712e9));
        assert_eq!(after.label_values(names::SYNC_DURATION, "ip_family"), ["IPv4", "IPv6"]);
    }

    #[test]
    fn changes_are_those_between_two_snapshots() {
        let (before, after) = (snapshot(BEFORE), snapshot(AFTER));
        let change = after.since(&before);
        let v4 = change.histogram(names::SYNC_DURATION, &[("ip_family", "IPv4")]).unwrap();
        assert_eq!((v4.count(), v4.sum()), (3, 0.25));
        assert_eq!(v4.quantile(0.5), Some(Bounds { lower: 0.064, upper: 0.128 }));
        let both = change.histogram(names::SYNC_DURATION, &[]).unwrap();
        assert_eq!(both.count(), 4, "the other family had none before");
        assert_eq!(change.counter(names::PROCESSOR_SECONDS, &[]), Some(0.5));
        assert_eq!(before.since(&after).counter(names::PROCESSOR_SECONDS, &[]), None);
        assert!(before.since(&after).histogram(names::SYNC_DURATION, &[]).is_none());
    }
}
