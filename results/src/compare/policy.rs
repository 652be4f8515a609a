//! What decides a comparison.

use std::collections::{BTreeMap, BTreeSet};

use crate::groups::GroupKey;
use crate::names::current_mode;

/// The threshold where nobody has given one, percent.
pub const DEFAULT_THRESHOLD: f64 = 5.0;

/// What decides, and from when on. Thresholds are in percent: 5 is a factor of 1.05, up or down.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The metrics that decide; None: times and rates of whole operations, where there are three blocks.
    pub metrics: Option<BTreeSet<String>>,
    /// The modes that decide; None: all.
    pub modes: Option<BTreeSet<String>>,
    /// Look at these metrics only, and let them decide; empty: at all.
    pub only_metrics: BTreeSet<String>,
    /// Look at these modes only; empty: at all.
    pub only_modes: BTreeSet<String>,
    /// Smaller differences are not claimed.
    pub threshold: f64,
    /// The same for single metrics.
    pub thresholds: BTreeMap<String, f64>,
    /// Fields of [`super::comparability::FIELDS`] in which runs may differ.
    pub accept: BTreeSet<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            metrics: None,
            modes: None,
            only_metrics: BTreeSet::new(),
            only_modes: BTreeSet::new(),
            threshold: DEFAULT_THRESHOLD,
            thresholds: BTreeMap::new(),
            accept: BTreeSet::new(),
        }
    }
}

impl Policy {
    pub(super) fn threshold(&self, metric: &str) -> f64 {
        self.thresholds.get(metric).copied().unwrap_or(self.threshold)
    }

    pub(super) fn looks_at(&self, key: &GroupKey<'_>) -> bool {
        let chosen = |only: &BTreeSet<String>, name: &str| only.is_empty() || only.contains(name);
        chosen(&self.only_metrics, key.metric)
            && (self.only_modes.is_empty() || has_mode(&self.only_modes, key.mode))
    }

    /// Whether this mode may decide.
    pub(super) fn may_decide(&self, mode: &str) -> bool {
        self.modes.as_ref().is_none_or(|modes| has_mode(modes, mode))
    }

    /// The metrics that somebody has named as deciding.
    pub(super) fn named(&self) -> Option<&BTreeSet<String>> {
        if self.only_metrics.is_empty() { self.metrics.as_ref() } else { Some(&self.only_metrics) }
    }
}

/// Whether `modes` has `mode`, by its name of today or of before.
fn has_mode(modes: &BTreeSet<String>, mode: &str) -> bool {
    modes.iter().any(|name| current_mode(name) == mode)
}
