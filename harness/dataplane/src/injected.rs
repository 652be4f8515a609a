//! An artificial slowdown of one mode, to see whether a gate in CI finds it: `svcbench run --inject MODE:RULES`.
//!
//! So many rules that match no packet stand where the first packet of every flow walks through them on its way to a
//! Service: in table nat before KUBE-SERVICES, as an agent on the node may have put them there. Packets of known flows
//! do not come that way. In iptables and IPVS modes they are a chain of the mode's own variant of iptables, with a jump at
//! the head of PREROUTING; in nftables mode a chain of type nat in a table of its own, with a priority just before
//! kube-proxy's. They are there before kube-proxy and are counted by verification, as background rules are.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::background::{Hook, HookPosition, PlannedTable, Ruleset, restore};
use crate::{Counts, Expect, Mode, Phase, Plan, Program, Step};

/// Most rules: some thousand times what one would notice.
pub const MOST_RULES: u32 = 100_000;

/// Name of the chain, and of its table in nftables mode.
const NAME: &str = "svcbench-injected";
/// What a packet's source never is: the limited broadcast address (RFC 1122, 3.2.1.3).
const NEVER: &str = "255.255.255.255";

/// So many rules in one mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injected {
    /// The mode.
    pub mode: Mode,
    /// Rules that match nothing, 1 to [`MOST_RULES`].
    pub rules: u32,
}

impl Injected {
    /// Installs it, before kube-proxy starts. In other modes there is nothing to install.
    pub fn install(&self, mode: Mode) -> Plan {
        let step = match mode {
            _ if mode != self.mode => None,
            Mode::Dnat | Mode::Nftables => Some(self.nft()),
            _ => Some(restore(self.ruleset().text())),
        };
        Plan { steps: step.into_iter().collect(), cleanup: Vec::new(), expect: self.counts(mode) }
    }

    /// After kube-proxy's first sync, which has put its jumps before all others: the injected one goes before them again.
    pub fn settle(&self, mode: Mode) -> Plan {
        let step = match mode {
            _ if mode != self.mode => None,
            Mode::Dnat | Mode::Nftables => None,
            _ => Some(restore(self.ruleset().text_of_hooks())),
        };
        Plan { steps: step.into_iter().collect(), cleanup: Vec::new(), expect: self.counts(mode) }
    }

    /// What it adds to what the kernel holds.
    pub fn counts(&self, mode: Mode) -> Counts {
        match mode {
            _ if mode != self.mode => Counts::default(),
            Mode::Dnat | Mode::Nftables => {
                Counts { rules: self.rules.into(), chains: 1, ..Counts::default() }
            }
            // Table nat and its built-in chains are kube-proxy's anyway, or the control's.
            _ => self.ruleset().counts(),
        }
    }

    fn ruleset(&self) -> Ruleset {
        let rule = format!("-s {NEVER}/32 -j RETURN");
        let nat = PlannedTable {
            name: "nat",
            chains: vec![(NAME.into(), vec![rule; self.rules as usize])],
            hooks: vec![Hook {
                chain: "PREROUTING",
                place: HookPosition::Top,
                rules: vec![format!("-m comment --comment {NAME} -j {NAME}")],
            }],
        };
        Ruleset { sets: Vec::new(), tables: vec![nat] }
    }

    fn nft(&self) -> Step {
        // kube-proxy's chain, and that of the DNAT control, has priority -100.
        let mut text = format!(
            "add table ip {NAME}\nadd chain ip {NAME} prerouting {{ type nat hook prerouting priority -101 ; }}\n"
        );
        for _ in 0..self.rules {
            text += &format!("add rule ip {NAME} prerouting ip saddr {NEVER} return\n");
        }
        Step::new(Phase::Restore, Program::Nft, &["-f", "-"], Expect::Success).with_input(text.into_bytes())
    }
}

impl fmt::Display for Injected {
    /// `iptables-legacy: 60 rules that match nothing, before kube-proxy's`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} rules that match nothing, before kube-proxy's", self.mode, self.rules)
    }
}

impl FromStr for Injected {
    type Err = String;

    /// `MODE:RULES`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mode, rules) = text.split_once(':').ok_or("it is MODE:RULES, such as nftables:20")?;
        let mode = Mode::from_str(mode, false).map_err(|_| {
            let names = Mode::ALL.map(Mode::name).join(", ");
            format!("{mode:?} is no mode; modes are: {names}")
        })?;
        if matches!(mode, Mode::Direct | Mode::Conntrack) {
            return Err(format!("control {mode} stands for a kernel in which no packet meets such rules"));
        }
        match rules.parse() {
            Ok(rules) if (1..=MOST_RULES).contains(&rules) => Ok(Self { mode, rules }),
            _ => Err(format!("{rules:?} is no number of rules from 1 to {MOST_RULES}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(plan: &Plan) -> String {
        let inputs = plan
            .steps
            .iter()
            .map(|step| String::from_utf8_lossy(step.input().unwrap_or_default()).into_owned());
        inputs.collect::<Vec<_>>().join("----\n")
    }

    #[test]
    fn it_stands_before_kube_proxys_rules_in_its_mode_and_nowhere_else() {
        let legacy = Injected { mode: Mode::IptablesLegacy, rules: 2 };
        let nftables = Injected { mode: Mode::Nftables, rules: 2 };
        let shown =
            [legacy.install(legacy.mode), legacy.settle(legacy.mode), nftables.install(nftables.mode)];
        insta::assert_snapshot!(shown.iter().map(text).collect::<Vec<_>>().join("====\n"));
        assert!(nftables.settle(nftables.mode).steps.is_empty());
        for mode in Mode::ALL.into_iter().filter(|mode| *mode != legacy.mode) {
            let (install, settle) = (legacy.install(mode), legacy.settle(mode));
            assert!(install.steps.is_empty() && settle.steps.is_empty(), "{mode}");
            assert_eq!(legacy.counts(mode), Counts::default());
        }
    }

    #[test]
    fn what_is_no_slowdown_says_why() {
        let errors = ["nftables", "nftables:", "nftables:0", "ebpf:3", "direct:3", "ipvs:100001", ":"];
        let messages = errors.map(|text| format!("{text:?}: {}", text.parse::<Injected>().unwrap_err()));
        insta::assert_snapshot!(messages.join("\n"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_slowdown_or_an_error(text in "\\PC{0,40}") {
            let _ = text.parse::<Injected>();
        }

        #[test]
        fn it_reads_what_people_write(index in 2..Mode::ALL.len(), rules in 1..=MOST_RULES) {
            let mode = Mode::ALL[index];
            prop_assert_eq!(format!("{mode}:{rules}").parse(), Ok(Injected { mode, rules }));
        }
    }
}
