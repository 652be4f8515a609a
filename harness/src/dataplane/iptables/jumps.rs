//! Top-level chains and the jumps to them, created with one program run each.

use super::tools::iptables;
use crate::dataplane::kube_proxy::KubeProxy;
use crate::dataplane::node::Node;
use crate::dataplane::plan::{Expect, Phase, Step};

/// What marks that nobody has flushed the rules, in this order.
const CANARY: &str = "KUBE-PROXY-CANARY";
const CANARY_TABLES: [&str; 3] = ["mangle", "nat", "filter"];

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

const EXTERNAL: &str = "kubernetes externally-visible service portals";
const HEALTH_CHECKS: &str = "kubernetes health check service ports";
const PORTALS: &str = "kubernetes service portals";
const FORWARDING: &str = "kubernetes forwarding rules";
const FIREWALL: &str = "kubernetes load balancer firewall";
const POSTROUTING: &str = "kubernetes postrouting rules";

/// In order of creation, as observed on 1.30.5; the same in both families. Each is prepended, so a listing shows the reverse.
const JUMPS: [Jump; 14] = [
    jump("filter", "INPUT", "KUBE-EXTERNAL-SERVICES", true, EXTERNAL),
    jump("filter", "FORWARD", "KUBE-EXTERNAL-SERVICES", true, EXTERNAL),
    jump("filter", "INPUT", "KUBE-NODEPORTS", false, HEALTH_CHECKS),
    jump("filter", "FORWARD", "KUBE-SERVICES", true, PORTALS),
    jump("filter", "OUTPUT", "KUBE-SERVICES", true, PORTALS),
    jump("filter", "FORWARD", "KUBE-FORWARD", false, FORWARDING),
    jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", true, FIREWALL),
    jump("filter", "OUTPUT", "KUBE-PROXY-FIREWALL", true, FIREWALL),
    jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", true, FIREWALL),
    jump("nat", "OUTPUT", "KUBE-SERVICES", false, PORTALS),
    jump("nat", "PREROUTING", "KUBE-SERVICES", false, PORTALS),
    jump("nat", "POSTROUTING", "KUBE-POSTROUTING", false, POSTROUTING),
    jump("filter", "INPUT", "KUBE-FIREWALL", false, ""),
    jump("filter", "OUTPUT", "KUBE-FIREWALL", false, ""),
];

/// The same of 1.20.2.
const JUMPS_1_20: [Jump; 8] = [
    jump("filter", "INPUT", "KUBE-EXTERNAL-SERVICES", true, EXTERNAL),
    jump("filter", "FORWARD", "KUBE-EXTERNAL-SERVICES", true, EXTERNAL),
    jump("filter", "FORWARD", "KUBE-SERVICES", true, PORTALS),
    jump("filter", "OUTPUT", "KUBE-SERVICES", true, PORTALS),
    jump("filter", "FORWARD", "KUBE-FORWARD", false, FORWARDING),
    jump("nat", "OUTPUT", "KUBE-SERVICES", false, PORTALS),
    jump("nat", "PREROUTING", "KUBE-SERVICES", false, PORTALS),
    jump("nat", "POSTROUTING", "KUBE-POSTROUTING", false, POSTROUTING),
];

const fn jumps(kube_proxy: KubeProxy) -> &'static [Jump] {
    match kube_proxy {
        KubeProxy::V1_20 => &JUMPS_1_20,
        KubeProxy::V1_30 | KubeProxy::Current => &JUMPS,
    }
}

/// Number of jump rules.
pub const fn count(kube_proxy: KubeProxy) -> u64 {
    jumps(kube_proxy).len() as u64
}

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

/// The canaries that a kube-proxy makes as it starts.
pub fn canaries(node: &Node, present: Present) -> impl Iterator<Item = Step> {
    let family = node.family();
    let made = if present == Present::Everything { Expect::One } else { Expect::Success };
    CANARY_TABLES
        .into_iter()
        .map(move |table| iptables(family, Phase::Canary, "-N", CANARY, table, &[], made))
}

/// For each jump: make the chain, look for the rule, insert it if it is not there.
pub fn steps(node: &Node, present: Present) -> Vec<Step> {
    let run = |operation, chain, table, rule: &[&str], expect| {
        iptables(node.family(), Phase::Jumps, operation, chain, table, rule, expect)
    };
    let mut made: Vec<(&str, &str)> = Vec::new();
    let mut make = |chain: &'static str, table: &'static str| {
        let exists = present != Present::Nothing || made.contains(&(chain, table));
        made.push((chain, table));
        run("-N", chain, table, &[], if exists { Expect::One } else { Expect::Success })
    };
    let mut steps = Vec::new();
    for jump in jumps(node.kube_proxy) {
        steps.push(make(jump.to, jump.table));
        let mut rule = Vec::new();
        if jump.new_only {
            rule.extend(["-m", "conntrack", "--ctstate", "NEW"]);
        }
        if !jump.comment.is_empty() {
            rule.extend(["-m", "comment", "--comment", jump.comment]);
        }
        rule.extend(["-j", jump.to]);
        let installed = present == Present::Everything;
        steps.push(run(
            "-C",
            jump.from,
            jump.table,
            &rule,
            if installed { Expect::Success } else { Expect::One },
        ));
        if !installed {
            steps.push(run("-I", jump.from, jump.table, &rule, Expect::Success));
        }
    }
    if node.kube_proxy == KubeProxy::V1_20 {
        // kubelet fills it.
        steps.push(make("KUBE-MARK-DROP", "nat"));
    }
    steps
}
