//! How long each test has taken: where to look if a suite has become slow.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many are named.
const NAMED: usize = 12;

/// What each test took, of those that have ended.
#[derive(Debug, Default)]
pub(crate) struct Durations(Mutex<Vec<(Duration, String)>>);

impl Durations {
    /// Notes what one test took, whether it passed or not.
    pub(crate) fn note(&self, name: &str, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((took, name.to_owned()));
    }

    /// The slowest, one line each; nothing if no test has ended.
    pub(crate) fn slowest(&self) -> String {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_by(|one, other| other.cmp(one));
        let lines =
            all.iter().take(NAMED).map(|(took, name)| format!("  {:>6.1} s  {name}\n", took.as_secs_f64()));
        let lines: String = lines.collect();
        if lines.is_empty() { lines } else { format!("the slowest of {}:\n{lines}", all.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_come_first_and_are_few() {
        let durations = Durations::default();
        assert_eq!(durations.slowest(), "");
        for tenths in 0..20 {
            durations.note(&format!("of {tenths}"), Duration::from_millis(100 * tenths));
        }
        let text = durations.slowest();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + NAMED);
        assert_eq!(lines[..2], ["the slowest of 20:", "     1.9 s  of 19"]);
    }
}
