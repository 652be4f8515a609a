//! The difference between two sets of blocks.

use super::interval::Interval;
use super::student::{Moments, half_width, p_value};

/// How far the second of two sets lies above the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Second mean minus first. Of logarithms it is the logarithm of a ratio.
    pub effect: f64,
    /// Its standard error; 0 where nothing scatters.
    pub standard_error: f64,
    /// Degrees of freedom of the standard error; absent where nothing scatters and the difference is exact.
    pub degrees: Option<f64>,
    /// 95% interval of `effect`.
    pub interval: Interval,
    /// Probability of an effect at least this far from zero if there were none.
    pub p: f64,
    /// What each side adds to the standard error.
    pub(super) parts: [ErrorPart; 2],
}

/// What a side adds to a standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ErrorPart {
    pub error_squared: f64,
    pub degrees: f64,
}

impl ErrorPart {
    fn of(moments: Moments) -> Self {
        ErrorPart { error_squared: moments.error_squared(), degrees: moments.n - 1.0 }
    }

    /// Satterthwaite's degrees of freedom of squared errors with their own.
    pub(super) fn welch(parts: [(f64, f64); 2]) -> f64 {
        let whole = parts[0].0 + parts[1].0;
        whole.powi(2) / parts.iter().map(|(error, degrees)| error.powi(2) / degrees).sum::<f64>()
    }
}

impl Difference {
    fn of(effect: f64, parts: [ErrorPart; 2]) -> Option<Self> {
        let error_squared = parts[0].error_squared + parts[1].error_squared;
        if error_squared == 0.0 {
            let p = if effect == 0.0 { 1.0 } else { 0.0 };
            let interval = Interval::point(effect);
            return Some(Difference { effect, standard_error: 0.0, degrees: None, interval, p, parts });
        }
        let degrees = ErrorPart::welch(parts.map(|part| (part.error_squared, part.degrees)));
        let standard_error = error_squared.sqrt();
        let half = half_width(degrees)? * standard_error;
        Some(Difference {
            effect,
            standard_error,
            degrees: Some(degrees),
            interval: Interval { low: effect - half, high: effect + half },
            p: p_value(effect / standard_error, degrees)?,
            parts,
        })
    }
}

/// Two independent sets, by Welch's t with Satterthwaite's degrees of freedom (Welch, *The generalization of Student's
/// problem when several different population variances are involved*, Biometrika 34, 1947): it does not ask the sets to
/// scatter alike. None if either has fewer than two values, or values that are not finite.
pub fn welch(first: &[f64], second: &[f64]) -> Option<Difference> {
    let (one, other) = (Moments::of(first)?, Moments::of(second)?);
    Difference::of(other.mean - one.mean, [one, other].map(ErrorPart::of))
        .filter(|found| found.effect.is_finite())
}

/// Pairs that have their block in common, the first of each pair first, by Student's t of their differences. None for
/// fewer than two pairs, or values that are not finite.
pub fn paired(pairs: &[(f64, f64)]) -> Option<Difference> {
    let differences: Vec<f64> = pairs.iter().map(|(first, second)| second - first).collect();
    let moments = Moments::of(&differences)?;
    let none = ErrorPart { error_squared: 0.0, degrees: 1.0 };
    Difference::of(moments.mean, [ErrorPart::of(moments), none]).filter(|found| found.effect.is_finite())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Cushny and Peebles' patients in Student, "The probable error of a mean", Biometrika 6, 1908; `sleep` in R.
    const FIRST: [f64; 10] = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
    const SECOND: [f64; 10] = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];

    #[test]
    fn two_groups_as_r_compares_them() {
        // R 4, t.test(extra ~ group, sleep): t = -1.8608, df = 17.776, p-value = 0.07939, -3.3654832 to 0.2054832.
        let found = welch(&FIRST, &SECOND).unwrap();
        assert!((found.effect / found.standard_error - 1.8608).abs() < 5e-5, "{found:?}");
        assert!((found.degrees.unwrap() - 17.776).abs() < 5e-4, "{found:?}");
        assert!((found.p - 0.07939).abs() < 5e-6, "{found:?}");
        assert!((found.interval.low + 0.2054832).abs() < 1e-7, "{found:?}");
        assert!((found.interval.high - 3.3654832).abs() < 1e-7, "{found:?}");
    }

    #[test]
    fn the_same_patients_twice() {
        // R 4, paired: t = -4.0621, df = 9, p-value = 0.002833, -2.4598858 to -0.7001142.
        let pairs: Vec<_> = FIRST.into_iter().zip(SECOND).collect();
        let found = paired(&pairs).unwrap();
        assert!((found.effect / found.standard_error - 4.0621).abs() < 5e-5, "{found:?}");
        assert!((found.p - 0.002833).abs() < 5e-7 && found.degrees == Some(9.0), "{found:?}");
        assert!((found.interval.low - 0.7001142).abs() < 1e-7, "{found:?}");
    }

    #[test]
    fn what_does_not_scatter_differs_exactly() {
        let same = welch(&[0.1; 5], &[0.1; 5]).unwrap();
        assert_eq!((same.effect, same.p, same.degrees), (0.0, 1.0, None));
        let other = welch(&[0.1; 5], &[0.3; 3]).unwrap();
        assert_eq!((other.p, other.interval), (0.0, Interval::point(0.3 - 0.1)));
        // One of the two scatters: its blocks alone show how much.
        let half = welch(&[0.0; 5], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(half.degrees, Some(2.0));
        assert_eq!((welch(&[1.0], &[1.0, 2.0]), paired(&[(1.0, 2.0)])), (None, None));
        assert_eq!(welch(&[1.0, f64::NAN], &[1.0, 2.0]), None);
    }

    proptest! {
        #[test]
        fn the_other_way_round_is_the_same_difference(
            first in proptest::collection::vec(-1e6..1e6, 2..8),
            second in proptest::collection::vec(-1e6..1e6, 2..8),
        ) {
            let (there, back) = (welch(&first, &second).unwrap(), welch(&second, &first).unwrap());
            prop_assert!((there.effect + back.effect).abs() < 1e-6 && (there.p - back.p).abs() < 1e-9);
            prop_assert!(there.interval.holds(there.effect));
            // p and interval agree about zero.
            prop_assert!(there.interval.holds(0.0) == (there.p > 0.05) || (there.p - 0.05).abs() < 1e-6);
        }
    }
}
