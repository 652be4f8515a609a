//! Whether two runs were measured alike: which facts of an environment record must agree.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::environment::{Condition, Environment};
use crate::record::Clock;

/// A fact that two runs do not have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mismatch {
    /// The field that `--accept` names: one of [`FIELDS`].
    pub field: &'static str,
    /// The field, and which of its entries: `mitigations.retbleed`.
    pub what: String,
    /// What it is in BASE; empty where it is unknown.
    pub base: String,
    /// What it is in NEW.
    pub new: String,
}

impl Mismatch {
    /// `kernel differs: 6.1 / 6.12`.
    pub fn in_words(&self) -> String {
        // What is beside kube-proxy's rules is always known.
        let absent = if ["background", "injected"].contains(&self.field) { "none" } else { "not known" };
        let known = |value: &str| if value.is_empty() { absent.to_owned() } else { value.to_owned() };
        format!("{} differs: {} / {}", self.what, known(&self.base), known(&self.new))
    }
}

/// Fields that a difference can be accepted in: those of `environment.json` by their names there, what the sweep
/// installs, and `passport` where a lane has none.
pub const FIELDS: [&str; 23] = [
    "kernel",
    "kernel_version",
    "command_line",
    "machine",
    "cpu_model",
    "cores",
    "hypervisor",
    "emulator",
    "guest_memory_bytes",
    "virtualisation",
    "mitigations",
    "governor",
    "smt",
    "measuring_core",
    "programs",
    "sysctls",
    "kube_proxy",
    "background",
    "injected",
    "condition",
    "seed",
    "setup",
    "passport",
];

/// Names that fields had before, which are accepted for ever, and today's.
pub const OLD_FIELDS: [(&str, &str); 2] = [("neighbours", "background"), ("planted", "injected")];

/// Whether `accepted` names a field, by its name of today or of before.
pub(super) fn accepts(accepted: &BTreeSet<String>, field: &str) -> bool {
    let old = OLD_FIELDS.iter().find(|(_, new)| *new == field).map(|(old, _)| *old);
    [Some(field), old].into_iter().flatten().any(|name| accepted.contains(name))
}

/// One fact: field, entry of it (or empty), value.
type Fact = (&'static str, String, String);

/// The facts of `environment` that figures of `clock` depend on. Taking it apart makes every new field a decision.
fn facts(environment: &Environment, clock: Clock) -> Vec<Fact> {
    let Environment {
        // Another version is what is compared; so are other rules.
        tool_version: _,
        // When, which, and why: no figure depends on it.
        started: _,
        run: _,
        question: _,
        elapsed_seconds: _,
        seed,
        kernel,
        kernel_version,
        command_line,
        machine,
        cpu_model,
        cores,
        // What the firmware leaves differs from boot to boot; conntrack's sizes, which follow from it, are sysctls, and a
        // guest's memory has a field of its own.
        memory_bytes: _,
        // Lanes of different clocks are never paired.
        clock: _,
        hypervisor,
        emulator,
        guest_memory_bytes,
        virtualisation,
        mitigations,
        governor,
        smt,
        measuring_core,
        // Measured, not set.
        load_average: _,
        timer_overhead_ns: _,
        steal_ticks: _,
        programs,
        sysctls,
        kube_proxy,
        background,
        injected,
        condition,
        // They follow from the other facts.
        warnings: _,
        // Each lane has its own environment record.
        guests: _,
    } = environment;
    let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    let mut facts: Vec<Fact> = [
        ("kernel", kernel.clone()),
        ("kernel_version", kernel_version.clone()),
        ("command_line", command_line.clone()),
        ("machine", machine.clone()),
        ("cpu_model", cpu_model.clone()),
        ("cores", number(Some(u64::from(*cores)).filter(|cores| *cores > 0))),
        ("hypervisor", hypervisor.clone()),
        ("emulator", emulator.clone()),
        ("guest_memory_bytes", number(*guest_memory_bytes)),
        ("governor", governor.clone()),
        ("smt", smt.clone()),
        ("kube_proxy", kube_proxy.clone()),
        ("background", background.clone()),
        ("injected", injected.clone()),
    ]
    .map(|(field, value)| (field, String::new(), value))
    .into();
    for (field, entries) in [("mitigations", mitigations), ("programs", programs), ("sysctls", sysctls)] {
        facts.extend(entries.iter().map(|(name, value)| (field, name.clone(), value.clone())));
    }
    match clock {
        Clock::Wall => {
            facts.push(("virtualisation", String::new(), virtualisation.clone()));
            facts.push(("measuring_core", String::new(), number(measuring_core.map(u64::from))));
            facts.extend(set(condition).map(|(name, value)| ("condition", name.to_owned(), value)));
        }
        // A guest's names the host's too, which cannot reach its instructions. Its seed can: it draws the Services.
        Clock::Instructions => facts.push(("seed", String::new(), seed.to_string())),
    }
    facts
}

/// What of a machine's condition somebody has set, by its names in `environment.json`.
fn set(condition: &Condition) -> impl Iterator<Item = (&'static str, String)> {
    let Condition {
        clock_source,
        turbo,
        frequency_driver,
        governors,
        siblings,
        idle_states,
        preemption,
        kernel_debug,
        irqbalance,
        // Seen, not set.
        swap_used_bytes: _,
        conntrack_entries: _,
        throttled: _,
        power,
    } = condition;
    let flag = |value: &Option<bool>| value.map_or_else(String::new, |value| value.to_string());
    [
        ("clock_source", clock_source.clone()),
        ("turbo", flag(turbo)),
        ("frequency_driver", frequency_driver.clone()),
        ("governors", joined(governors.iter().map(|(name, cores)| format!("{name} {cores}")))),
        ("siblings", joined(siblings.iter().map(u32::to_string))),
        ("idle_states", joined(idle_states.iter().map(|(name, leave)| format!("{name} {leave}")))),
        ("preemption", preemption.clone()),
        ("kernel_debug", kernel_debug.join(", ")),
        ("irqbalance", flag(irqbalance)),
        ("power", power.clone()),
    ]
    .into_iter()
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// One lane of one run, as far as it decides whether runs may be compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditions<'a> {
    /// Its environment record, if there is one.
    pub environment: Option<&'a Environment>,
    /// The environment record of the machine that it is a guest of.
    pub host: &'a Environment,
    /// What the sweep installs, in words.
    pub setup: &'a BTreeMap<String, String>,
    pub clock: Clock,
}

impl Conditions<'_> {
    fn facts(self) -> BTreeMap<(&'static str, String), String> {
        let Some(environment) = self.environment else {
            return [(("passport", String::new()), "none in environment.json".to_owned())].into();
        };
        let mut all = facts(environment, self.clock);
        // By the wall clock a guest is as fast as its host.
        if self.clock == Clock::Wall && !std::ptr::eq(environment, self.host) {
            let host = facts(self.host, self.clock).into_iter();
            all.extend(host.map(|(field, entry, value)| (field, format!("{entry} of the host"), value)));
        }
        all.extend(self.setup.iter().map(|(name, value)| ("setup", name.clone(), value.clone())));
        all.into_iter().map(|(field, entry, value)| ((field, entry), value)).collect()
    }
}

/// What `base` and `new` do not have in common, whether accepted or not.
pub(super) fn mismatches(base: Conditions<'_>, new: Conditions<'_>) -> Vec<Mismatch> {
    let (base, new) = (base.facts(), new.facts());
    // Where a lane has no environment record there is nothing else to say.
    let none = [&base, &new].iter().any(|facts| facts.keys().any(|(field, _)| *field == "passport"));
    let keys: BTreeSet<_> = base.keys().chain(new.keys()).collect();
    let mut found = Vec::new();
    for key in keys.into_iter().filter(|(field, _)| !none || *field == "passport") {
        let value = |facts: &BTreeMap<_, String>| facts.get(key).cloned().unwrap_or_default();
        let (base, new) = (value(&base), value(&new));
        // Two lanes without an environment record are not known to be alike.
        if base != new || key.0 == "passport" {
            let (field, entry) = key;
            let what = match (entry.as_str(), entry.strip_prefix(" of the host")) {
                ("", _) => (*field).to_owned(),
                (_, Some("")) => format!("{field}{entry}"),
                _ => format!("{field}.{entry}"),
            };
            found.push(Mismatch { field, what, base, new });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        let text = |value: &str| value.to_owned();
        Environment {
            kernel: text("6.1"),
            cpu_model: text("A"),
            cores: 2,
            virtualisation: text("tcg on A"),
            mitigations: [(text("retbleed"), text("IBRS"))].into(),
            programs: [(text("nft"), text("v1.0.6"))].into(),
            ..Environment::default()
        }
    }

    fn differences(clock: Clock, change: impl FnOnce(&mut Environment)) -> Vec<String> {
        let (base, mut new) = (environment(), environment());
        change(&mut new);
        let setup = BTreeMap::new();
        let of = |host| Conditions { environment: Some(host), host, setup: &setup, clock };
        mismatches(of(&base), of(&new)).iter().map(Mismatch::in_words).collect()
    }

    #[test]
    fn what_decides_figures_must_agree() {
        assert!(differences(Clock::Wall, |_| ()).is_empty());
        assert_eq!(
            differences(Clock::Wall, |new| new.kernel = "6.12".into()),
            ["kernel differs: 6.1 / 6.12"]
        );
        let change = |new: &mut Environment| {
            new.mitigations.insert("retbleed".into(), "Vulnerable".into());
            new.programs.clear();
            new.governor = "performance".into();
        };
        assert_eq!(
            differences(Clock::Wall, change),
            [
                "governor differs: not known / performance",
                "mitigations.retbleed differs: IBRS / Vulnerable",
                "programs.nft differs: v1.0.6 / not known"
            ]
        );
    }

    #[test]
    fn what_is_compared_or_measured_may_differ() {
        for clock in Clock::ALL {
            let change = |new: &mut Environment| {
                new.tool_version = "9.9".into();
                new.started = "2027".into();
                new.run = "other".into();
                new.load_average = "9".into();
                new.timer_overhead_ns = Some(1);
                new.steal_ticks = Some(99);
                new.elapsed_seconds = Some(1.0);
                new.memory_bytes = 1;
            };
            assert!(differences(clock, change).is_empty());
        }
    }

    #[test]
    fn the_clock_decides_what_can_reach_a_figure() {
        let host = |new: &mut Environment| new.virtualisation = "tcg on B".into();
        assert!(differences(Clock::Instructions, host).is_empty());
        assert_eq!(differences(Clock::Wall, host).len(), 1);
        let seed = |new: &mut Environment| new.seed = 8;
        assert_eq!(differences(Clock::Instructions, seed), ["seed differs: 0 / 8"]);
        assert!(differences(Clock::Wall, seed).is_empty());
    }

    #[test]
    fn a_guest_by_the_wall_clock_is_as_fast_as_its_host() {
        let (guest, setup) = (environment(), BTreeMap::new());
        let (base, mut new) = (environment(), environment());
        new.cpu_model = "B".into();
        let of = |host, clock| Conditions { environment: Some(&guest), host, setup: &setup, clock };
        let found = mismatches(of(&base, Clock::Wall), of(&new, Clock::Wall));
        assert_eq!(
            found.iter().map(Mismatch::in_words).collect::<Vec<_>>(),
            ["cpu_model of the host differs: A / B"]
        );
        assert!(mismatches(of(&base, Clock::Instructions), of(&new, Clock::Instructions)).is_empty());
    }

    #[test]
    fn a_lane_without_a_passport_is_not_known_to_be_alike() {
        let (host, setup) = (environment(), BTreeMap::new());
        let without = Conditions { environment: None, host: &host, setup: &setup, clock: Clock::Wall };
        let with = Conditions { environment: Some(&host), ..without };
        for (base, new) in [(without, with), (with, without), (without, without)] {
            let found = mismatches(base, new);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].field, "passport");
        }
    }

    #[test]
    fn an_old_name_of_a_field_accepts_it_too() {
        for (old, new) in OLD_FIELDS {
            assert!(FIELDS.contains(&new) && !FIELDS.contains(&old));
            let accepted = |name: &str| accepts(&[name.to_owned()].into(), new);
            assert!(accepted(old) && accepted(new) && !accepted("kernel"));
        }
    }

    #[test]
    fn every_fact_has_a_name_to_accept_it_by() {
        for clock in Clock::ALL {
            for (field, _, _) in facts(&environment(), clock) {
                assert!(FIELDS.contains(&field), "{field}");
            }
        }
    }
}
