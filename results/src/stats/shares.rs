//! Whether traffic is spread evenly.

use statrs::distribution::{ChiSquared, ContinuousCDF};

/// Chi-square goodness of fit: the probability of shares at least this uneven if every endpoint is equally
/// likely. None with fewer than two endpoints or an expected count below 5, where the approximation fails.
pub fn uniform_share_p_value(counts: &[u64]) -> Option<f64> {
    let total: f64 = counts.iter().map(|count| *count as f64).sum();
    let expected = total / counts.len() as f64;
    if counts.len() < 2 || expected < 5.0 {
        return None;
    }
    let statistic: f64 = counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    Some(ChiSquared::new(counts.len() as f64 - 1.0).ok()?.sf(statistic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspicious_die() {
        // 60 throws of 5, 8, 9, 8, 10, 20: chi-square 13.4 with 5 degrees of freedom, p = 0.0199.
        let p = uniform_share_p_value(&[5, 8, 9, 8, 10, 20]).unwrap();
        assert!((p - 0.0199).abs() < 0.0001, "{p}");
        assert!(uniform_share_p_value(&[10, 10, 10]).unwrap() > 0.999);
        assert_eq!(uniform_share_p_value(&[100]), None);
        assert_eq!(uniform_share_p_value(&[1, 2, 3]), None);
        assert_eq!(uniform_share_p_value(&[]), None);
    }
}
