//! Student's t distribution, and the mean and variance of a few values.

use statrs::distribution::{Continuous, ContinuousCDF, StudentsT};

use super::interval::CONFIDENCE;

/// The t of `degrees` of freedom that is exceeded, on both sides together, with probability `alpha`. None for
/// degrees that are not positive or an alpha outside (0, 1).
pub(crate) fn two_sided(degrees: f64, alpha: f64) -> Option<f64> {
    if !(alpha > 0.0 && alpha < 1.0) {
        return None;
    }
    let distribution = StudentsT::new(0.0, 1.0, degrees).ok()?;
    // By symmetry; the lower tail keeps its digits where alpha is tiny.
    let mut t = -distribution.inverse_cdf(alpha / 2.0);
    // statrs 0.19 ends its search early far out, where few degrees need it: Newton's steps between logarithms.
    for _ in 0..6 {
        let tail = distribution.sf(t);
        let slope = distribution.pdf(t) * t / tail;
        let step = (2.0 * tail / alpha).ln() / slope;
        if !step.is_finite() || step.abs() < 1e-12 {
            break;
        }
        t *= step.exp();
    }
    Some(t)
}

/// The multiplier of a standard error that gives half of a 95% interval.
pub(super) fn half_width(degrees: f64) -> Option<f64> {
    two_sided(degrees, 1.0 - CONFIDENCE)
}

/// Probability of a t at least this far from zero, on both sides together.
pub(super) fn p_value(t: f64, degrees: f64) -> Option<f64> {
    Some((2.0 * StudentsT::new(0.0, 1.0, degrees).ok()?.sf(t.abs())).min(1.0))
}

/// Mean and unbiased variance of some values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moments {
    pub n: f64,
    pub mean: f64,
    pub variance: f64,
}

impl Moments {
    /// None below two values. Equal values have exactly the variance 0.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let (first, rest) = values.split_first().filter(|(_, rest)| !rest.is_empty())?;
        let n = values.len() as f64;
        if rest.iter().all(|value| value == first) {
            return Some(Moments { n, mean: *first, variance: 0.0 });
        }
        // Deviations from the first value: what all have in common costs no digits.
        let mean = rest.iter().map(|value| value - first).sum::<f64>() / n;
        let squares = values.iter().map(|value| (value - first - mean).powi(2)).sum::<f64>();
        Some(Moments { n, mean: first + mean, variance: squares / (n - 1.0) })
    }

    /// Square of the mean's standard error.
    pub(crate) fn error_squared(self) -> f64 {
        self.variance / self.n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Student's t, two-sided 5%: any textbook's table.
        for (degrees, expected) in [(1.0, 12.706), (2.0, 4.303), (4.0, 2.776), (8.0, 2.306), (30.0, 2.042)] {
            assert!((half_width(degrees).unwrap() - expected).abs() < 5e-4, "{degrees}");
        }
        assert_eq!((two_sided(0.0, 0.05), two_sided(4.0, 0.0), two_sided(4.0, 1.0)), (None, None, None));
    }

    #[test]
    fn tails_are_exact_far_out() {
        for degrees in [1.0, 2.5, 4.0, 8.0, 17.776, 200.0] {
            for alpha in [0.5, 0.05, 1e-3, 1e-5, 1e-8] {
                let t = two_sided(degrees, alpha).unwrap();
                let back = p_value(t, degrees).unwrap();
                assert!((back / alpha - 1.0).abs() < 1e-6, "{degrees} {alpha}: {back}");
            }
        }
    }

    #[test]
    fn moments_keep_their_digits() {
        let moments = Moments::of(&[1e12 + 1.0, 1e12 + 2.0, 1e12 + 3.0]).unwrap();
        assert_eq!((moments.mean, moments.variance, moments.n), (1e12 + 2.0, 1.0, 3.0));
        assert_eq!(Moments::of(&[0.1; 7]).unwrap().variance, 0.0);
        assert!(Moments::of(&[1.0]).is_none());
    }
}
