//! What was found, for machines and in words.

mod words;

use dataplane::{KubeProxy, Mode};
use ruleset::compare::{Difference, Side};
use serde::Serialize;
use services::service::Family;

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The real program: `kube-proxy v1.37.2 sha256:...`.
    pub kube_proxy: String,
    /// Version of the plans.
    pub planned: KubeProxy,
    /// What was installed, in words.
    pub installed: String,
    /// Mode by mode, in the order in which they were asked for.
    pub modes: Vec<ModeReport>,
}

/// Of one mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModeReport {
    /// The mode.
    pub mode: Mode,
    /// Why nothing was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Sets that were looked at.
    pub sets: usize,
    /// What was compared, of each family that the kernel has.
    pub families: Vec<FamilyReport>,
    /// What differs.
    pub differences: Vec<Found>,
    /// Sets that were not compared to their end.
    pub failures: Vec<Failure>,
}

/// What was compared of a family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FamilyReport {
    /// The family.
    pub family: Family,
    /// Numbers.
    #[serde(flatten)]
    pub counts: Counts,
}

/// How much was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// States of the kernel, each after a change.
    pub states: usize,
    /// Those among them that a kube-proxy came to that had just been started: cold, or over what was there.
    pub starts: usize,
    /// Service ports in all of these states together.
    pub services: usize,
    /// Rules, elements, entries, servers and addresses in them.
    pub rules: usize,
    /// Programs with their inputs, compared with the plan's.
    pub programs: usize,
    /// States that kube-proxy came to by several syncs, since events came apart: there only the state was compared.
    pub several_syncs: usize,
    /// States that were not yet as planned after the sync of a change, and were after the next one.
    pub late: usize,
    /// Sets that were compared again from their beginning, with another process, since kube-proxy had missed the zone of its Node.
    pub missed_zone: usize,
}

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// Only kube-proxy has it.
    KubeProxy,
    /// Only the plan has it.
    Plan,
    /// Both have it, in another order.
    Order,
}

/// Where in a sequence something was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct At {
    /// The set: `seed 17`.
    pub set: String,
    /// The step: `change 2`.
    pub step: String,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Found {
    /// Where.
    #[serde(flatten)]
    pub at: At,
    /// In which family.
    pub family: Family,
    /// The Service whose rule it is, as kube-proxy shows it, if that is known.
    pub service: Option<String>,
    /// Chain, set, list of programs, or input.
    pub place: String,
    /// Whose.
    pub whose: Whose,
    /// The rule, element or program in normal form. Empty where only the order differs.
    pub line: String,
}

/// A set that was not compared to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Where.
    #[serde(flatten)]
    pub at: At,
    /// What happened, with kube-proxy's last lines where it was kube-proxy's.
    pub reason: String,
}

impl Found {
    /// Of a comparison in which the first is kube-proxy's.
    pub(crate) fn of(at: &At, family: Family, difference: Difference) -> Self {
        let Difference { service, place, side, line } = difference;
        let whose = match side {
            Side::First => Whose::KubeProxy,
            Side::Second => Whose::Plan,
            Side::Order => Whose::Order,
        };
        Self { at: at.clone(), family, service, place, whose, line }
    }
}

impl Report {
    /// All differences of all modes.
    pub fn differences(&self) -> usize {
        self.modes.iter().map(|mode| mode.differences.len()).sum()
    }

    /// All sets that were not compared to their end.
    pub fn failures(&self) -> usize {
        self.modes.iter().map(|mode| mode.failures.len()).sum()
    }

    /// Whether not a single mode could run.
    pub fn is_empty(&self) -> bool {
        self.modes.iter().all(|mode| mode.skipped.is_some())
    }
}

#[cfg(test)]
mod tests;
