//! Top-level chains and the jumps to them, created with one program run each.

use super::tools::iptables;
use crate::node::Node;
use crate::plan::{Expect, Phase, Step};

/// What marks that nobody has flushed the rules, in this order.
const CANARY: &str = "KUBE-PROXY-CANARY";
const CANARY_TABLES: [&str; 3] = ["mangle", "nat", "filter"];

/// A jump to a top-level chain, and how kube-proxy looks for it.
pub(crate) struct Jump {
    table: &'static str,
    from: &'static str,
    to: &'static str,
    new_only: bool,
    comment: &'static str,
}

/// One of them. `new_only`: only packets that begin a flow follow it.
pub(crate) const fn jump(
    table: &'static str,
    from: &'static str,
    to: &'static str,
    new_only: bool,
    comment: &'static str,
) -> Jump {
    Jump { table, from, to, new_only, comment }
}

/// Comments of jumps.
pub(crate) const EXTERNAL: &str = "kubernetes externally-visible service portals";
pub(crate) const HEALTH_CHECKS: &str = "kubernetes health check service ports";
pub(crate) const PORTALS: &str = "kubernetes service portals";
pub(crate) const FORWARDING: &str = "kubernetes forwarding rules";
pub(crate) const FIREWALL: &str = "kubernetes load balancer firewall";
pub(crate) const POSTROUTING: &str = "kubernetes postrouting rules";

/// What an earlier writer has left in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Present {
    /// Nothing.
    Nothing,
    /// The chains that jumps lead to, but neither jumps nor canaries.
    Chains,
    /// Everything: an earlier kube-proxy was here.
    Everything,
}

/// The canaries that a kube-proxy makes as it starts.
pub(crate) fn canaries(node: &Node, present: Present) -> impl Iterator<Item = Step> {
    let exists = present == Present::Everything;
    CANARY_TABLES.into_iter().map(move |table| make(node, Phase::Canary, CANARY, table, exists))
}

/// Makes a chain, which may be there already.
pub(crate) fn make(node: &Node, phase: Phase, chain: &str, table: &str, exists: bool) -> Step {
    let expect = if exists { Expect::One } else { Expect::Success };
    iptables(node, phase, "-N", chain, table, &[], expect)
}

/// For each jump: make the chain, look for the rule, insert it if it is not there.
pub(crate) fn steps(node: &Node, jumps: &[Jump], present: Present) -> Vec<Step> {
    let run = |operation, jump: &Jump, rule: &[&str], expect| {
        iptables(node, Phase::Jumps, operation, jump.from, jump.table, rule, expect)
    };
    let mut made: Vec<(&str, &str)> = Vec::new();
    let mut steps = Vec::new();
    for jump in jumps {
        let exists = present != Present::Nothing || made.contains(&(jump.to, jump.table));
        made.push((jump.to, jump.table));
        steps.push(make(node, Phase::Jumps, jump.to, jump.table, exists));
        let mut rule = Vec::new();
        if jump.new_only {
            rule.extend(["-m", "conntrack", "--ctstate", "NEW"]);
        }
        if !jump.comment.is_empty() {
            rule.extend(["-m", "comment", "--comment", jump.comment]);
        }
        rule.extend(["-j", jump.to]);
        let installed = present == Present::Everything;
        steps.push(run("-C", jump, &rule, if installed { Expect::Success } else { Expect::One }));
        if !installed {
            steps.push(run("-I", jump, &rule, Expect::Success));
        }
    }
    steps
}
