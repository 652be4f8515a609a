//! Top-level chains and the jumps to them: created with one program run each, only at full syncs.

use super::super::{Expect, Phase, Step};
use super::iptables;

/// Chains of the filter table that kube-proxy fills, in the order of its restore input.
pub const FILTER_CHAINS: [&str; 6] = [
    "KUBE-SERVICES",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-FORWARD",
    "KUBE-NODEPORTS",
    "KUBE-PROXY-FIREWALL",
    "KUBE-FIREWALL",
];

/// Number of jump rules.
pub const COUNT: u64 = JUMPS.len() as u64;

struct Jump {
    table: &'static str,
    from: &'static str,
    to: &'static str,
    new_only: bool,
    comment: &'static str,
}

const fn jump(
    table: &'static str,
    from: &'static str,
    to: &'static str,
    new_only: bool,
    comment: &'static str,
) -> Jump {
    Jump { table, from, to, new_only, comment }
}

/// In order of creation, as observed on 1.30.5. Each is prepended, so a listing shows the reverse.
const JUMPS: [Jump; 14] = [
    jump("filter", "INPUT", "KUBE-EXTERNAL-SERVICES", true, "kubernetes externally-visible service portals"),
    jump(
        "filter",
        "FORWARD",
        "KUBE-EXTERNAL-SERVICES",
        true,
        "kubernetes externally-visible service portals",
    ),
    jump("filter", "INPUT", "KUBE-NODEPORTS", false, "kubernetes health check service ports"),
    jump("filter", "FORWARD", "KUBE-SERVICES", true, "kubernetes service portals"),
    jump("filter", "OUTPUT", "KUBE-SERVICES", true, "kubernetes service portals"),
    jump("filter", "FORWARD", "KUBE-FORWARD", false, "kubernetes forwarding rules"),
    jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", true, "kubernetes load balancer firewall"),
    jump("filter", "OUTPUT", "KUBE-PROXY-FIREWALL", true, "kubernetes load balancer firewall"),
    jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", true, "kubernetes load balancer firewall"),
    jump("nat", "OUTPUT", "KUBE-SERVICES", false, "kubernetes service portals"),
    jump("nat", "PREROUTING", "KUBE-SERVICES", false, "kubernetes service portals"),
    jump("nat", "POSTROUTING", "KUBE-POSTROUTING", false, "kubernetes postrouting rules"),
    jump("filter", "INPUT", "KUBE-FIREWALL", false, ""),
    jump("filter", "OUTPUT", "KUBE-FIREWALL", false, ""),
];

/// What an earlier writer has left in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// Nothing.
    Nothing,
    /// The chains that jumps lead to, but neither jumps nor canaries.
    Chains,
    /// Everything: an earlier kube-proxy was here.
    Everything,
}

/// Canaries, then for each jump: make the chain, look for the rule, insert it if it is not there.
pub fn steps(present: Present) -> Vec<Step> {
    let mut made: Vec<(&str, &str)> = Vec::new();
    let mut make = |phase, chain: &'static str, table: &'static str, exists: bool| {
        let exists = exists || made.contains(&(chain, table));
        made.push((chain, table));
        iptables(phase, "-N", chain, table, &[], if exists { Expect::One } else { Expect::Success })
    };
    let installed = present == Present::Everything;
    let canary = |table| make(Phase::Canary, "KUBE-PROXY-CANARY", table, installed);
    let mut steps: Vec<Step> = ["mangle", "nat", "filter"].map(canary).into();
    for jump in &JUMPS {
        steps.push(make(Phase::Jumps, jump.to, jump.table, present != Present::Nothing));
        let mut rule = Vec::new();
        if jump.new_only {
            rule.extend(["-m", "conntrack", "--ctstate", "NEW"]);
        }
        if !jump.comment.is_empty() {
            rule.extend(["-m", "comment", "--comment", jump.comment]);
        }
        rule.extend(["-j", jump.to]);
        let check = if installed { Expect::Success } else { Expect::One };
        steps.push(iptables(Phase::Jumps, "-C", jump.from, jump.table, &rule, check));
        if !installed {
            steps.push(iptables(Phase::Jumps, "-I", jump.from, jump.table, &rule, Expect::Success));
        }
    }
    steps
}
