//! The false-alarm floor: how far apart two measurements of the same thing are.

/// What A/A pairs say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    /// 95% of the A/A differences were at most this, in the unit of the differences; below 20 of them all were.
    pub difference: f64,
    /// How many there were.
    pub n: usize,
}

/// The floor from A/A differences, one for each figure that was measured twice in the same blocks; their signs do not
/// matter. None if there are none.
///
/// A quantile and not the largest: one that grows with the number of pairs would punish whoever measures more of them.
pub fn floor(differences: &[f64]) -> Option<Floor> {
    let mut sorted: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (0.95 * sorted.len() as f64).ceil() as usize;
    let difference = *sorted.get(rank.max(1) - 1)?;
    Some(Floor { difference, n: sorted.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nineteen_of_twenty() {
        assert_eq!(floor(&[]), None);
        assert_eq!(floor(&[-0.5]), Some(Floor { difference: 0.5, n: 1 }));
        let mut all: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(floor(&all[..19]).map(|floor| floor.difference), Some(19.0));
        all.reverse();
        assert_eq!(floor(&all), Some(Floor { difference: 19.0, n: 20 }));
    }
}
