//! Where requests go, and who may answer them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use rand::distr::Distribution;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rand_distr::Zipf;

/// An address to send requests to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    to: SocketAddr,
    endpoints: Box<[SocketAddr]>,
}

impl Destination {
    /// Requests to `to` may be answered by these endpoints; without any, by anyone, who need not say who it is.
    pub fn new(to: SocketAddr, endpoints: impl IntoIterator<Item = SocketAddr>) -> Destination {
        let mut endpoints: Vec<SocketAddr> = endpoints.into_iter().collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        Destination { to, endpoints: endpoints.into() }
    }

    /// Where requests go.
    pub fn to(&self) -> SocketAddr {
        self.to
    }

    /// Who may answer, sorted; empty: anyone.
    pub fn endpoints(&self) -> &[SocketAddr] {
        &self.endpoints
    }
}

/// Which destination each request has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// The first, always.
    First,
    /// The last, always.
    Last,
    /// Each as often as any other.
    Uniform,
    /// The *k*th in proportion to 1 / *k*^exponent.
    Zipf {
        /// Above 0; 1 is what the popularity of names and pages is usually found to follow.
        exponent: f64,
    },
}

impl Choice {
    /// `count` indices of `destinations` destinations, decided by the seed. An exponent that is no exponent is taken as 1.
    pub fn picks(self, destinations: NonZeroUsize, count: usize, seed: u64) -> Vec<u32> {
        let last = u32::try_from(destinations.get() - 1).unwrap_or(u32::MAX);
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        match self {
            Choice::First => vec![0; count],
            Choice::Last => vec![last; count],
            Choice::Uniform => (0..count).map(|_| random.random_range(0..=last)).collect(),
            Choice::Zipf { exponent } => {
                let zipf = |exponent| Zipf::new(destinations.get() as f64, exponent);
                let Ok(zipf) = zipf(exponent).or_else(|_| zipf(1.0)) else { return vec![0; count] };
                (0..count).map(|_| (zipf.sample(&mut random) as u32).saturating_sub(1).min(last)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(choice: Choice, destinations: usize) -> Vec<usize> {
        let mut counts = vec![0; destinations];
        choice
            .picks(destinations.try_into().unwrap(), 60_000, 3)
            .iter()
            .for_each(|&pick| counts[pick as usize] += 1);
        counts
    }

    #[test]
    fn choices_have_their_shares() {
        assert_eq!(counts(Choice::First, 3), [60_000, 0, 0]);
        assert_eq!(counts(Choice::Last, 3), [0, 0, 60_000]);
        assert!(counts(Choice::Uniform, 3).iter().all(|count| count.abs_diff(20_000) < 600));
        // 1 : 1/2 : 1/3.
        let zipf = counts(Choice::Zipf { exponent: 1.0 }, 3);
        for (count, share) in zipf.iter().zip([32_727, 16_363, 10_909]) {
            assert!(count.abs_diff(share) < 600, "{zipf:?}");
        }
        let invalid = Choice::Zipf { exponent: f64::NAN }.picks(NonZeroUsize::MIN, 2, 1);
        assert_eq!(invalid, [0, 0]);
    }

    #[test]
    fn endpoints_are_sorted_and_distinct() {
        let at = |text: &str| text.parse().unwrap();
        let destination =
            Destination::new(at("10.0.0.9:80"), [at("10.0.0.2:1"), at("10.0.0.1:1"), at("10.0.0.2:1")]);
        assert_eq!(destination.endpoints(), [at("10.0.0.1:1"), at("10.0.0.2:1")]);
    }
}
