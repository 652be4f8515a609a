//! What a comparison could have shown.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::gamma::ln_gamma;

use super::student::two_sided;

/// Chance at which a difference counts as one that could have been shown.
const POWER: f64 = 0.8;
/// Intervals of Simpson's rule.
const STEPS: usize = 96;

/// Chance that a true `difference` (not negative) is shown by a t test at the two-sided level `alpha` and is, as
/// measured, above `limit`. `standard_error` is that of the measured difference, with so many `degrees` of freedom.
/// None for what is no t test: degrees or a standard error that are not positive, an alpha outside (0, 1).
///
/// The measured difference d and the estimated standard error s are independent, so this is the integral over s of the
/// chance that d passes both; without a limit it is the noncentral t distribution's tail.
pub fn power(difference: f64, standard_error: f64, degrees: f64, alpha: f64, limit: f64) -> Option<f64> {
    let test = Test::new(standard_error, degrees, alpha, limit)?;
    Some(test.power(difference / standard_error))
}

/// The smallest true difference that has 80% [`power`]; with a standard error of 0, `limit`. None as there.
pub fn detectable(standard_error: f64, degrees: Option<f64>, alpha: f64, limit: f64) -> Option<f64> {
    let Some(degrees) = degrees.filter(|_| standard_error > 0.0) else { return Some(limit) };
    let test = Test::new(standard_error, degrees, alpha, limit)?;
    // Both hurdles at their highest, and six standard deviations beyond.
    let (mut low, mut high) = (0.0, test.limit + test.critical * (1.0 + test.spread) + 6.0);
    while high - low > 1e-5 * high {
        let middle = low + (high - low) / 2.0;
        if test.power(middle) < POWER { low = middle } else { high = middle }
    }
    Some(high * standard_error)
}

/// A t test in units of the standard error.
struct Test {
    normal: Normal,
    critical: f64,
    limit: f64,
    /// How far the estimated standard error may be from the true one, as a share of it: beyond is next to nothing.
    spread: f64,
    /// Estimated over true standard error, and its weight in the integral.
    nodes: Vec<(f64, f64)>,
}

impl Test {
    fn new(standard_error: f64, degrees: f64, alpha: f64, limit: f64) -> Option<Self> {
        if !(standard_error > 0.0 && degrees > 0.0 && degrees.is_finite()) {
            return None;
        }
        let critical = two_sided(degrees, alpha)?;
        let spread = 6.0 / degrees.sqrt();
        // s is chi over the root of its degrees; from just above zero, where the logarithm ends.
        let from = (1.0 - spread).max(1e-9);
        let step = (1.0 + spread - from) / STEPS as f64;
        let constant =
            std::f64::consts::LN_2 + degrees / 2.0 * (degrees / 2.0).ln() - ln_gamma(degrees / 2.0);
        let density = |s: f64| (constant + (degrees - 1.0) * s.ln() - degrees * s * s / 2.0).exp();
        let nodes = (0..=STEPS).map(|index| {
            let s = from + step * index as f64;
            let simpson = if index == 0 || index == STEPS { 1.0 } else { 2.0 + 2.0 * (index % 2) as f64 };
            (s, simpson * step / 3.0 * density(s))
        });
        let nodes: Vec<_> = nodes.collect();
        // What Simpson's rule and the cut ends leave out.
        let whole: f64 = nodes.iter().map(|(_, weight)| weight).sum();
        Some(Test {
            normal: Normal::standard(),
            critical,
            limit: limit / standard_error,
            spread,
            nodes: nodes.into_iter().map(|(s, weight)| (s, weight / whole)).collect(),
        })
    }

    fn power(&self, difference: f64) -> f64 {
        let shown = |s: f64| self.normal.cdf(difference - (self.critical * s).max(self.limit));
        self.nodes.iter().map(|(s, weight)| weight * shown(*s)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two groups of `n` with a standard deviation of 1.
    fn two_groups(n: f64, difference: f64) -> f64 {
        power(difference, (2.0 / n).sqrt(), 2.0 * n - 2.0, 0.05, 0.0).unwrap()
    }

    #[test]
    fn published_powers() {
        // R 4, ?power.t.test: n = 20, delta = 1, sd = 1 has power 0.8689528; power 0.90 takes n = 22.02110.
        assert!((two_groups(20.0, 1.0) - 0.8689528).abs() < 1e-5, "{}", two_groups(20.0, 1.0));
        assert!((two_groups(22.02110, 1.0) - 0.9).abs() < 1e-5);
        // G*Power 3.1 manual, difference of two independent means: d = 0.5, 105 each, power 0.9501287.
        assert!((two_groups(105.0, 0.5) - 0.9501287).abs() < 1e-5);
    }

    #[test]
    fn the_smallest_difference_has_its_power() {
        for (degrees, alpha) in
            [(1.0, 0.05), (2.0, 0.01), (4.0, 1e-3), (8.0, 2e-4), (8.0, 0.05), (40.0, 1e-6)]
        {
            for limit in [0.0, 0.02, 0.5] {
                let found = detectable(0.01, Some(degrees), alpha, limit).unwrap();
                let back = power(found, 0.01, degrees, alpha, limit).unwrap();
                assert!((back - 0.8).abs() < 1e-3, "{degrees} {alpha} {limit}: {found} {back}");
                assert!(found > limit);
            }
        }
    }

    #[test]
    fn what_is_exact_is_limited_by_the_limit_alone() {
        assert_eq!(detectable(0.0, None, 0.05, 0.001), Some(0.001));
        assert_eq!(detectable(0.01, Some(4.0), 0.0, 0.0), None);
        assert_eq!(power(1.0, 0.0, 4.0, 0.05, 0.0), None);
    }
}
