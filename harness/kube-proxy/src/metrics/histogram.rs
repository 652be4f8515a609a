//! Histograms of Prometheus: how many observations were at most so large, for a few limits.

/// Observations by the buckets that they fell into.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Upper limit of each bucket, rising, the last one infinite; observations in it and all below.
    buckets: Vec<(f64, u64)>,
    sum: f64,
}

/// Where a quantile lies: above the one, and at most at the other. More is not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// 0, if it lies in the lowest bucket.
    pub lower: f64,
    /// Infinite, if it lies above the highest limit.
    pub upper: f64,
}

impl Histogram {
    /// From limits and counts of several series with the same limits, which are added up. `None` without buckets.
    pub(super) fn of(buckets: impl Iterator<Item = (f64, f64)>, sum: f64, count: f64) -> Option<Self> {
        let mut added: Vec<(f64, f64)> = Vec::new();
        for (limit, value) in buckets.filter(|(limit, _)| !limit.is_nan()) {
            match added.iter_mut().find(|(own, _)| *own == limit) {
                Some((_, own)) => *own += value,
                None => added.push((limit, value)),
            }
        }
        if added.is_empty() {
            return None;
        }
        added.retain(|(limit, _)| limit.is_finite());
        added.push((f64::INFINITY, count));
        added.sort_by(|one, other| one.0.total_cmp(&other.0));
        // Read from a process that goes on counting, a bucket may be behind the one below it.
        let mut most = 0;
        let buckets = added.into_iter().map(|(limit, value)| {
            most = most.max(value as u64);
            (limit, most)
        });
        Some(Self { buckets: buckets.collect(), sum })
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.last().map_or(0, |(_, count)| *count)
    }

    /// All of them together.
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// Their mean, which is exact; `None` of none.
    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum / self.count() as f64)
    }

    /// What was observed since an earlier one of the same series; `None` if it is not earlier, or has other limits.
    pub fn since(&self, before: &Histogram) -> Option<Histogram> {
        if self.buckets.len() != before.buckets.len() || self.sum < before.sum {
            return None;
        }
        let pairs = self.buckets.iter().zip(&before.buckets);
        let buckets: Option<Vec<_>> = pairs
            .map(|(&(limit, after), &(other, before))| {
                (limit == other).then(|| Some((limit, after.checked_sub(before)?)))?
            })
            .collect();
        let mut buckets = buckets?;
        let mut most = 0;
        for (_, count) in &mut buckets {
            most = most.max(*count);
            *count = most;
        }
        Some(Histogram { buckets, sum: self.sum - before.sum })
    }

    /// Between which limits the smallest value lies that at least this share of them (0 to 1) does not exceed. `None` of none.
    pub fn quantile(&self, share: f64) -> Option<Bounds> {
        let count = self.count();
        if count == 0 || !(0.0..=1.0).contains(&share) {
            return None;
        }
        let rank = ((share * count as f64).ceil() as u64).clamp(1, count);
        let at = self.buckets.iter().position(|(_, below)| *below >= rank)?;
        let lower = at.checked_sub(1).map_or(0.0, |below| self.buckets[below].0);
        Some(Bounds { lower, upper: self.buckets[at].0 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: [f64; 4] = [0.001, 0.01, 0.1, 1.0];

    fn histogram(values: &[f64]) -> Histogram {
        let below = |limit: f64| values.iter().filter(|value| **value <= limit).count() as f64;
        let buckets = LIMITS.into_iter().map(|limit| (limit, below(limit)));
        let infinite = [(f64::INFINITY, values.len() as f64)];
        Histogram::of(buckets.chain(infinite), values.iter().sum(), values.len() as f64).unwrap()
    }

    #[test]
    fn quantiles_are_limits_and_no_guess() {
        let bounds = |values: &[f64], share| histogram(values).quantile(share).map(|b| (b.lower, b.upper));
        assert_eq!(bounds(&[0.05], 0.5), Some((0.01, 0.1)));
        assert_eq!(bounds(&[0.0005, 0.05, 0.05], 0.3), Some((0.0, 0.001)));
        assert_eq!(bounds(&[0.0005, 0.05, 7.0], 1.0), Some((1.0, f64::INFINITY)));
        assert_eq!(bounds(&[], 0.5), None);
        assert_eq!(bounds(&[0.05], 1.5), None);
        assert_eq!(histogram(&[0.25, 0.75]).mean(), Some(0.5));
        assert_eq!(Histogram::of(std::iter::empty(), 0.0, 0.0), None);
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(0.0..2.0_f64, 0..40)
    }

    proptest! {
        #[test]
        fn the_true_quantile_lies_within_its_bounds(values in values(), share in 0.0..=1.0_f64) {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            match histogram(&values).quantile(share) {
                None => prop_assert!(values.is_empty()),
                Some(bounds) => {
                    let rank = ((share * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
                    let value = sorted[rank - 1];
                    prop_assert!(value <= bounds.upper && (value > bounds.lower || bounds.lower == 0.0));
                }
            }
        }

        #[test]
        fn a_difference_is_what_came_between(before in values(), between in values()) {
            let after = histogram(&[&before[..], &between].concat());
            let since = after.since(&histogram(&before)).unwrap();
            prop_assert_eq!(&since.buckets, &histogram(&between).buckets);
            prop_assert!((since.sum() - between.iter().sum::<f64>()).abs() < 1e-9);
            prop_assert!(between.is_empty() || histogram(&before).since(&after).is_none());
        }

        #[test]
        fn any_figures_are_read(buckets in prop::collection::vec((any::<f64>(), any::<f64>()), 0..8), sum: f64, count: f64) {
            if let Some(histogram) = Histogram::of(buckets.into_iter(), sum, count) {
                let _ = (histogram.quantile(0.5), histogram.mean(), histogram.since(&histogram));
            }
        }
    }
}
