//! How long something will take, from how long it took at smaller scales in the same run.

use std::collections::HashMap;
use std::hash::Hash;

/// Steepest growth that is believed: the cube of the number of Services.
const STEEPEST: f64 = 3.0;
/// Growth taken for granted until a second rung shows it.
const ASSUMED: f64 = 1.0;

/// Times seen, by kind of thing and number of Services.
#[derive(Clone, Debug)]
pub struct Predictor<K> {
    seen: HashMap<K, Vec<(u32, f64)>>,
}

impl<K> Default for Predictor<K> {
    fn default() -> Self {
        Self { seen: HashMap::new() }
    }
}

impl<K: Eq + Hash> Predictor<K> {
    /// Notes that something took so many seconds; the latest time at a scale counts.
    pub fn note(&mut self, kind: K, services: u32, seconds: f64) {
        let seen = self.seen.entry(kind).or_default();
        seen.retain(|(at, _)| *at != services);
        seen.push((services, seconds.max(1e-6)));
        seen.sort_by_key(|(at, _)| *at);
    }

    /// Seconds seen at a scale.
    pub fn seen(&self, kind: &K, services: u32) -> Option<f64> {
        let seen = self.seen.get(kind)?;
        seen.iter().find(|(at, _)| *at == services).map(|(_, seconds)| *seconds)
    }

    /// Seconds expected at a scale: what was seen there, or a power law through the two largest smaller
    /// rungs, never falling and at most cubic. `None` without any smaller rung.
    pub fn predict(&self, kind: &K, services: u32) -> Option<f64> {
        if let Some(seconds) = self.seen(kind, services) {
            return Some(seconds);
        }
        let seen = self.seen.get(kind)?;
        let smaller: Vec<_> = seen.iter().filter(|(at, _)| *at < services).collect();
        let (at, seconds) = **smaller.last()?;
        let growth = match smaller.len() {
            1 => ASSUMED,
            count => {
                let (before, earlier) = *smaller[count - 2];
                let slope = (seconds / earlier).ln() / (f64::from(at) / f64::from(before)).ln();
                slope.clamp(0.0, STEEPEST)
            }
        };
        Some(seconds * (f64::from(services) / f64::from(at)).powf(growth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_law_is_continued() {
        let mut predictor = Predictor::default();
        assert_eq!(predictor.predict(&"cold", 10), None);
        predictor.note("cold", 100, 0.01);
        assert!((predictor.predict(&"cold", 10_000).unwrap() - 1.0).abs() < 1e-9, "assumed growth");
        predictor.note("cold", 1000, 1.0);
        assert!((predictor.predict(&"cold", 10_000).unwrap() - 100.0).abs() < 1e-6, "quadratic");
        assert_eq!(predictor.predict(&"cold", 1000), Some(1.0), "what was seen");
        assert_eq!((predictor.seen(&"cold", 1000), predictor.seen(&"cold", 10_000)), (Some(1.0), None));
        assert_eq!(predictor.predict(&"cold", 50), None, "nothing smaller was seen");
        assert_eq!(predictor.predict(&"warm", 1000), None);
    }

    #[test]
    fn growth_is_bounded_both_ways() {
        let mut predictor = Predictor::default();
        predictor.note("x", 10, 1.0);
        predictor.note("x", 100, 0.5);
        assert_eq!(predictor.predict(&"x", 1000), Some(0.5));
        predictor.note("x", 100, 1e9);
        assert!(predictor.predict(&"x", 1000).unwrap() <= 1e12 * 1.001);
    }
}
