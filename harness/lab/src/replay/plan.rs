//! What is run to check and to install a ruleset, each by the tool that printed it.

use dataplane::{Counts, Dataplane, Expect, Phase, Plan, Program, Step, Sync};
use ruleset::Format;
use ruleset::Variant;
use services::service_set::ServiceSet;

use super::Replay;

impl Replay {
    /// What installs it, into an empty kernel or over itself: in one transaction for each table of iptables-legacy, one for
    /// each family of iptables-nft, and one for all of nftables.
    pub fn install(&self) -> Plan {
        Plan { steps: self.steps(false), cleanup: Vec::new(), expect: self.counts() }
    }

    /// What has the tool read and check it, without installing a rule. ipsets are made, or rules would refer to nothing.
    pub fn check(&self) -> Plan {
        Plan { steps: self.steps(true), cleanup: Vec::new(), expect: Counts::default() }
    }

    fn steps(&self, only_check: bool) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(sets) = &self.sets {
            let step = Step::new(Phase::Sets, Program::Ipset, &["restore", "-exist"], Expect::Success);
            steps.push(step.with_input(sets.as_bytes().to_vec()));
        }
        for (family, text) in &self.texts {
            let (program, args): (_, &[&str]) = match (self.format(), only_check) {
                (Format::Nft, true) => (Program::Nft, &["--check", "-f", "-"]),
                (Format::Nft, false) => (Program::Nft, &["-f", "-"]),
                (_, true) => (Program::iptables_restore(*family), &["-w", "5", "--test"]),
                (_, false) => (Program::iptables_restore(*family), &["-w", "5"]),
            };
            let mut input = Vec::with_capacity(text.len() + FLUSH.len());
            if self.format() == Format::Nft {
                // A listing adds to what is there, unlike a dump of iptables. On the same line, so that errors tell the
                // lines of the file.
                input.extend(FLUSH.as_bytes());
            }
            input.extend(text.as_bytes());
            steps.push(Step::new(Phase::Restore, program, args, Expect::Success).with_input(input));
        }
        steps
    }

    /// What the kernel holds then, by the file.
    pub fn counts(&self) -> Counts {
        let (rules, chains, elements) = self.inspection.totals();
        Counts { rules, chains, elements, ..Counts::default() }
    }

    /// The program that installs it, by the name that it has on this machine.
    pub fn tool(&self) -> String {
        let (infix, program) = match (self.format(), self.variant) {
            (Format::Nft, _) => return Program::Nft.name().into(),
            (_, Variant::Legacy) => ("-legacy", "restore"),
            (_, Variant::Nft) => ("-nft", "restore"),
        };
        format!("iptables{infix}-{program}")
    }
}

const FLUSH: &str = "flush ruleset;";

/// A replayed ruleset among the modes: it is what it is, whatever Services there should be.
pub struct Replayed(pub std::sync::Arc<Replay>);

impl Dataplane for Replayed {
    fn plan(&self, _: &ServiceSet, _: &ServiceSet, _: Sync) -> Plan {
        self.0.install()
    }

    fn load(&self, _: &ServiceSet) -> Plan {
        self.0.install()
    }

    fn append(&self, _: &ServiceSet) -> Option<Plan> {
        None
    }

    fn counts(&self, _: &ServiceSet) -> Counts {
        self.0.counts()
    }
}
