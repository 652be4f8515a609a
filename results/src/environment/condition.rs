//! The state that a machine was in when a run began, as far as it decides figures, and what of it makes them unreliable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// State of the machine at the beginning. What is empty or absent is unknown: virtual machines hide most of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Condition {
    /// What the kernel reads the time from, such as `tsc`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub clock_source: String,
    /// Whether processors may go beyond their nominal frequency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turbo: Option<bool>,
    /// Driver of the processor's frequency, such as `intel_pstate`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub frequency_driver: String,
    /// Frequency governor to number of cores, where they have one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub governors: BTreeMap<String, u32>,
    /// Other threads of the measuring core that are online.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub siblings: Vec<u32>,
    /// Idle states that the measuring core may enter, with the microseconds that leaving each takes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub idle_states: BTreeMap<String, u64>,
    /// How the kernel may be preempted, such as `PREEMPT_DYNAMIC`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preemption: String,
    /// Debug options of the kernel that make it slow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kernel_debug: Vec<String>,
    /// Whether irqbalance was running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub irqbalance: Option<bool>,
    /// Memory that had been swapped out, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_used_bytes: Option<u64>,
    /// Entries of the host's own connection tracking table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conntrack_entries: Option<u64>,
    /// How often processors had been throttled for heat since they were started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<u64>,
    /// `mains` or `battery`, where the machine has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub power: String,
}

impl Condition {
    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Condition::default()
    }

    /// Name and value of what is known, in words.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let counted = |all: &BTreeMap<String, u32>| {
            let each = all.iter().map(|(name, cores)| format!("{name} on {cores} cores"));
            each.collect::<Vec<_>>().join(", ")
        };
        let on = |is: Option<bool>, on: &str, off: &str| {
            is.map_or_else(String::new, |is| if is { on.to_owned() } else { off.to_owned() })
        };
        let number = |value: Option<u64>| value.map_or_else(String::new, crate::text::thousands);
        let states = self.idle_states.iter().map(|(name, exit)| format!("{name} {exit} µs"));
        let siblings = self.siblings.iter().map(u32::to_string);
        let facts = [
            ("clock source", self.clock_source.clone()),
            ("frequency driver", self.frequency_driver.clone()),
            ("governors", counted(&self.governors)),
            ("turbo", on(self.turbo, "on", "off")),
            ("threads beside the measuring core", siblings.collect::<Vec<_>>().join(", ")),
            ("idle states, time to leave", states.collect::<Vec<_>>().join(", ")),
            ("preemption", self.preemption.clone()),
            ("kernel debug options", self.kernel_debug.join(", ")),
            ("irqbalance", on(self.irqbalance, "running", "not running")),
            (
                "swap used",
                self.swap_used_bytes
                    .map_or_else(String::new, |bytes| crate::text::Quantity::Bytes.show(bytes as f64)),
            ),
            ("connections tracked by the host", number(self.conntrack_entries)),
            ("times throttled for heat", number(self.throttled)),
            ("power", self.power.clone()),
        ];
        facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// How much a warning matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Figures of the wall clock are noisy or biased by it; instructions of an emulated guest are not.
    #[serde(alias = "spoils")]
    Unreliable,
    /// Figures are good, but only comparable with runs where it was the same.
    Differs,
}

/// Something about a machine that a reader of its figures must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warning {
    /// Short name, such as `governor`.
    pub name: String,
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// What it does to figures.
    pub why: String,
    /// How to fix it.
    pub how: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_told() {
        assert!(Condition::default().is_unknown() && Condition::default().facts().is_empty());
        let known = Condition {
            turbo: Some(false),
            governors: [("performance".to_owned(), 8)].into(),
            swap_used_bytes: Some(0),
            ..Condition::default()
        };
        let facts = known.facts().into_iter().map(|(name, value)| format!("{name}: {value}"));
        assert_eq!(
            facts.collect::<Vec<_>>(),
            ["governors: performance on 8 cores", "turbo: off", "swap used: 0 B"]
        );
    }
}
