//! What a comparison could have shown.

use std::collections::HashMap;

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::gamma::ln_gamma;

use super::difference::{Difference, ErrorPart};
use super::student::two_sided;

/// Chance at which a difference counts as one that could have been shown.
const POWER: f64 = 0.8;
/// Points at which the estimated scatter of a side is looked at, and at which critical values are kept.
const POINTS: usize = 25;
/// Points that weigh less are left out.
const NEGLIGIBLE: f64 = 1e-7;
/// How near to [`POWER`] the smallest difference is sought.
const NEAR: f64 = 2e-4;
/// Steps after which the search ends; ten do.
const MOST_STEPS: usize = 60;

/// Power of the tests that [`Difference`] makes, and the smallest differences that they can show.
///
/// What scatters is estimated on both sides, independently of the difference, and with it Welch's degrees of freedom and
/// critical value. So power is the integral over both estimates of the chance that the difference passes. The usual
/// shortcut, the noncentral t distribution with Welch's degrees of freedom, promises some 10% too much for five blocks
/// and the small levels that many figures leave. For pairs, and on one side only, this is the noncentral t.
#[derive(Debug, Default)]
pub struct Power {
    /// Critical values by level and degrees of both sides.
    tables: HashMap<[u64; 3], Option<CriticalValues>>,
}

impl Power {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chance that a true difference of `size` (not negative) is shown at the two-sided level `alpha` and is, as measured,
    /// above `limit`, if all scatters as it did in `found`. None for an alpha outside (0, 1), and where nothing scatters.
    pub fn chance(&mut self, found: &Difference, size: f64, alpha: f64, limit: f64) -> Option<f64> {
        Some(self.test(found, alpha, limit)?.chance(size / found.standard_error))
    }

    /// The smallest true difference that has a [`Power::chance`] of 80%: at least `limit`, and `limit` where nothing
    /// scatters. None for an alpha outside (0, 1).
    pub fn detectable(&mut self, found: &Difference, alpha: f64, limit: f64) -> Option<f64> {
        if found.degrees.is_none() {
            return Some(limit);
        }
        let test = self.test(found, alpha, limit)?;
        Some(test.least() * found.standard_error)
    }

    fn test(&mut self, found: &Difference, alpha: f64, limit: f64) -> Option<Test> {
        found.degrees?;
        let [one, other] = found.parts;
        let key = [alpha, one.degrees, other.degrees].map(f64::to_bits);
        let table =
            self.tables.entry(key).or_insert_with(|| CriticalValues::new(alpha, found.parts)).as_ref()?;
        let whole = one.error_squared + other.error_squared;
        let share = |part: ErrorPart| part.error_squared / whole;
        let [one_scatters, other_scatters] = [one, other].map(scatter);
        let mut hurdles = Vec::with_capacity(one_scatters.len() * other_scatters.len());
        for (first, first_weight) in &one_scatters {
            for (second, second_weight) in &other_scatters {
                let weight = first_weight * second_weight;
                let squares = [first * share(one), second * share(other)];
                let estimate = squares[0] + squares[1];
                if weight > NEGLIGIBLE && estimate > 0.0 {
                    let degrees = ErrorPart::welch([(squares[0], one.degrees), (squares[1], other.degrees)]);
                    let critical = table.critical(degrees) * estimate.sqrt();
                    hurdles.push((critical.max(limit / found.standard_error), weight));
                }
            }
        }
        // What the cut ends leave out.
        let all: f64 = hurdles.iter().map(|(_, weight)| weight).sum();
        hurdles.iter_mut().for_each(|(_, weight)| *weight /= all);
        Some(Test { normal: Normal::standard(), hurdles })
    }
}

/// A test in units of the standard error: what the difference must pass, and how likely that hurdle is.
struct Test {
    normal: Normal,
    hurdles: Vec<(f64, f64)>,
}

impl Test {
    fn chance(&self, difference: f64) -> f64 {
        self.hurdles.iter().map(|(hurdle, weight)| weight * self.normal.cdf(difference - hurdle)).sum()
    }

    /// The difference with a chance of [`POWER`]: false position, the end that stays put weighing half each time (the
    /// Illinois algorithm).
    fn least(&self) -> f64 {
        let highest = self.hurdles.iter().map(|(hurdle, _)| *hurdle).fold(0.0, f64::max);
        let (mut low, mut high) = ((0.0, -POWER), (highest + 6.0, 1.0 - POWER));
        let mut middle = high.0;
        for _ in 0..MOST_STEPS {
            middle = (low.0 * high.1 - high.0 * low.1) / (high.1 - low.1);
            let error = self.chance(middle) - POWER;
            if error.abs() < NEAR {
                break;
            }
            if error < 0.0 {
                (low, high.1) = ((middle, error), high.1 / 2.0);
            } else {
                (high, low.1) = ((middle, error), low.1 / 2.0);
            }
        }
        middle
    }
}

/// Estimated over true variance of a side, with weights: chi-square over its degrees of freedom, by the trapezoid rule
/// over its root, which is exact for what falls to nothing at both ends.
fn scatter(part: ErrorPart) -> Vec<(f64, f64)> {
    if part.error_squared == 0.0 {
        return vec![(1.0, 1.0)];
    }
    let degrees = part.degrees;
    let spread = 6.0 / degrees.sqrt();
    // From just above zero, where the logarithm ends.
    let from = (1.0 - spread).max(1e-9);
    let step = (1.0 + spread - from) / (POINTS - 1) as f64;
    let constant = std::f64::consts::LN_2 + degrees / 2.0 * (degrees / 2.0).ln() - ln_gamma(degrees / 2.0);
    let density = |s: f64| (constant + (degrees - 1.0) * s.ln() - degrees * s * s / 2.0).exp();
    let weight = |index: usize| if index == 0 || index == POINTS - 1 { step / 2.0 } else { step };
    let point = |index: usize| {
        let s = from + step * index as f64;
        (s * s, weight(index) * density(s))
    };
    (0..POINTS).map(point).collect()
}

/// Critical values of one level for all degrees of freedom that Welch's test can come to.
#[derive(Debug)]
struct CriticalValues {
    /// Inverse degrees of freedom: the first, and the distance to the next.
    from: f64,
    step: f64,
    logarithms: Vec<f64>,
}

impl CriticalValues {
    fn new(alpha: f64, parts: [ErrorPart; 2]) -> Option<Self> {
        let scattering = parts.iter().filter(|part| part.error_squared > 0.0).map(|part| part.degrees);
        let fewest = scattering.clone().fold(f64::INFINITY, f64::min);
        let (from, to) = (1.0 / scattering.sum::<f64>(), 1.0 / fewest);
        let step = (to - from) / (POINTS - 1) as f64;
        let value = |index| Some(two_sided(1.0 / (from + step * index as f64), alpha)?.ln());
        Some(CriticalValues { from, step, logarithms: (0..POINTS).map(value).collect::<Option<_>>()? })
    }

    /// Interpolated, linear in the logarithm against inverse degrees.
    fn critical(&self, degrees: f64) -> f64 {
        let place = if self.step > 0.0 { (1.0 / degrees - self.from) / self.step } else { 0.0 };
        let place = place.clamp(0.0, (POINTS - 1) as f64);
        let index = (place as usize).min(POINTS - 2);
        let [low, high] =
            [index, index + 1].map(|index| self.logarithms.get(index).copied().unwrap_or_default());
        (low + (place - index as f64) * (high - low)).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Interval;

    /// What scatters with these squared errors and degrees of freedom.
    fn noise(parts: [(f64, f64); 2]) -> Difference {
        let [one, other] = parts;
        Difference {
            effect: 0.0,
            standard_error: (one.0 + other.0).sqrt(),
            degrees: Some(ErrorPart::welch(parts)),
            interval: Interval::point(0.0),
            p: 1.0,
            parts: parts.map(|(error_squared, degrees)| ErrorPart { error_squared, degrees }),
        }
    }

    #[test]
    fn published_powers() {
        // Two groups of n that share their standard deviation of 1, and one estimate of it.
        let pooled = |n: f64, size: f64| {
            let noise = noise([(2.0 / n, 2.0 * n - 2.0), (0.0, 1.0)]);
            Power::new().chance(&noise, size, 0.05, 0.0).unwrap()
        };
        // R 4, ?power.t.test: n = 20, delta = 1, sd = 1 has power 0.8689528; power 0.90 takes n = 22.02110.
        assert!((pooled(20.0, 1.0) - 0.8689528).abs() < 1e-5, "{}", pooled(20.0, 1.0));
        assert!((pooled(22.02110, 1.0) - 0.9).abs() < 1e-5);
        // G*Power 3.1 manual, difference of two independent means: d = 0.5, 105 each, power 0.9501287.
        assert!((pooled(105.0, 0.5) - 0.9501287).abs() < 1e-5);
    }

    #[test]
    fn the_smallest_difference_has_its_power() {
        let mut power = Power::new();
        for parts in [[(1e-4, 4.0), (0.0, 1.0)], [(1e-4, 2.0), (1e-4, 4.0)], [(1e-4, 4.0), (2e-6, 4.0)]] {
            for alpha in [0.05, 1e-3, 1e-5] {
                for limit in [0.0, 0.02, 0.5] {
                    let noise = noise(parts);
                    let found = power.detectable(&noise, alpha, limit).unwrap();
                    let back = power.chance(&noise, found, alpha, limit).unwrap();
                    assert!((back - 0.8).abs() < 1e-3, "{parts:?} {alpha} {limit}: {found} {back}");
                    assert!(found > limit);
                }
            }
        }
    }

    #[test]
    fn what_is_exact_is_limited_by_the_limit_alone() {
        let exact = Difference { standard_error: 0.0, degrees: None, ..noise([(0.0, 4.0); 2]) };
        let mut power = Power::new();
        assert_eq!(power.detectable(&exact, 0.05, 0.001), Some(0.001));
        assert_eq!(power.chance(&exact, 1.0, 0.05, 0.001), None);
        assert_eq!(power.detectable(&noise([(1.0, 4.0); 2]), 0.0, 0.0), None);
    }
}
