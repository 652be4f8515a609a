//! Many questions at once.

/// p values corrected for their number by Holm's step-down procedure (*A simple sequentially rejective multiple test
/// procedure*, Scandinavian Journal of Statistics 6, 1979), in the order given: a family in which those at most 5% are
/// claimed makes a false claim in at most 5% of cases, whatever its members have to do with one another.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut corrected = vec![1.0; p_values.len()];
    let mut floor = 0.0_f64;
    for (rank, index) in order.into_iter().enumerate() {
        floor = floor.max(p_values[index] * (p_values.len() - rank) as f64).min(1.0);
        corrected[index] = floor;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_published_example() {
        // Wikipedia, "Holm-Bonferroni method": of 0.01, 0.04, 0.03 and 0.005, the first and the last are rejected at 5%.
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in corrected.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[]), Vec::<f64>::new());
        assert_eq!(holm(&[0.0, 1.0, 0.6]), [0.0, 1.0, 1.0]);
    }

    proptest! {
        #[test]
        fn between_nothing_and_bonferroni(values in proptest::collection::vec(0.0..=1.0, 1..20)) {
            for (p, corrected) in values.iter().zip(holm(&values)) {
                prop_assert!(*p <= corrected && corrected <= (p * values.len() as f64).min(1.0) + 1e-12);
            }
        }
    }
}
