//! Chains of one table, and what several of them say.

use super::super::ruleset::{Hook, PlannedTable};
use super::rules::{Rule, hashed};

/// Pods of a namespace.
pub(super) const NAMESPACE: u32 = 10;
/// Comment and match of VXLAN packets.
pub(super) const VXLAN: &str = "-p 17 -m multiport --destination-ports 4789";
/// Match of packets of known flows.
pub(super) const KNOWN: &str = "-m conntrack --ctstate RELATED,ESTABLISHED";
/// Type of the sets of networks.
pub(super) const NETS: &str = "hash:net family inet maxelem 1048576";

/// Chains of one table, hashed as they are added.
#[derive(Default)]
pub(super) struct Chains(pub(super) Vec<(String, Vec<String>)>);

impl Chains {
    pub(super) fn add(&mut self, name: impl Into<String>, rules: &[Rule]) {
        let name = name.into();
        let rules = hashed(&name, rules);
        self.0.push((name, rules));
    }

    /// Chains for what this node does not have, named without `cali-`.
    pub(super) fn add_empty(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.add(format!("cali-{name}"), &[]));
    }

    pub(super) fn table(self, name: &'static str, hooks: Vec<Hook>) -> PlannedTable {
        PlannedTable { name, chains: self.0, hooks }
    }
}
