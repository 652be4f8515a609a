//! The iptables side of IPVS mode: chains, jumps, and rules that match sets. Rules for a set are there only while it has
//! entries. Their number does not depend on that of Services, but for one: it grows with the load-balancer IPs whose
//! source ranges leave the node out.
//!
//! Source of every line: what kube-proxy 1.30.5 wrote (shared/golden/ipvs), and `writeIptablesRules` in
//! pkg/proxy/ipvs/proxier.go for the sets that were empty there. Both versions write the same, and so do both families, but
//! for the names of sets and the address of the loopback.

use services::service::Family;

use super::entries::Filled;
use super::sets::Set;
use crate::iptables::tools;
use crate::iptables::words::MARK;
use crate::node::Node;
use crate::plan::{Expect, Phase, Step};
use crate::text::put;

/// Chains of the nat table, in kube-proxy's order.
const NAT: [&str; 5] =
    ["KUBE-SERVICES", "KUBE-POSTROUTING", "KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-MARK-MASQ"];
/// Chains of the filter table.
const FILTER: [&str; 6] = [
    "KUBE-FORWARD",
    "KUBE-NODE-PORT",
    "KUBE-PROXY-FIREWALL",
    "KUBE-SOURCE-RANGES-FIREWALL",
    "KUBE-IPVS-FILTER",
    "KUBE-IPVS-OUT-FILTER",
];

struct Jump {
    table: &'static str,
    from: &'static str,
    to: &'static str,
    comment: &'static str,
}

const fn jump(table: &'static str, from: &'static str, to: &'static str, comment: &'static str) -> Jump {
    Jump { table, from, to, comment }
}

/// In order of creation. Each is prepended, so a listing shows the reverse.
const JUMPS: [Jump; 9] = [
    jump("nat", "OUTPUT", "KUBE-SERVICES", "kubernetes service portals"),
    jump("nat", "PREROUTING", "KUBE-SERVICES", "kubernetes service portals"),
    jump("nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules"),
    jump("filter", "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules"),
    jump("filter", "INPUT", "KUBE-NODE-PORT", "kubernetes health check rules"),
    jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules"),
    jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules"),
    jump("filter", "INPUT", "KUBE-IPVS-FILTER", "kubernetes ipvs access filter"),
    jump("filter", "OUTPUT", "KUBE-IPVS-OUT-FILTER", "kubernetes ipvs access filter"),
];

struct Match {
    set: Set,
    from: &'static str,
    protocol: Option<&'static str>,
    directions: &'static str,
    to: &'static str,
}

const fn on(
    set: Set,
    from: &'static str,
    protocol: Option<&'static str>,
    directions: &'static str,
    to: &'static str,
) -> Match {
    Match { set, from, protocol, directions, to }
}

/// The first part of `ipsetWithIptablesChain`. A set of policy Local stands before the one that has its entries too.
const NAT_MATCHES: [Match; 9] = [
    on(Set::LoopBack, "KUBE-POSTROUTING", None, "dst,dst,src", "MASQUERADE"),
    on(Set::LoadBalancer, "KUBE-SERVICES", None, "dst,dst", "KUBE-LOAD-BALANCER"),
    on(Set::LoadBalancerLocal, "KUBE-LOAD-BALANCER", None, "dst,dst", "RETURN"),
    on(Set::NodePortLocalTcp, "KUBE-NODE-PORT", Some("tcp"), "dst", "RETURN"),
    on(Set::NodePortTcp, "KUBE-NODE-PORT", Some("tcp"), "dst", "KUBE-MARK-MASQ"),
    on(Set::NodePortLocalUdp, "KUBE-NODE-PORT", Some("udp"), "dst", "RETURN"),
    on(Set::NodePortUdp, "KUBE-NODE-PORT", Some("udp"), "dst", "KUBE-MARK-MASQ"),
    on(Set::NodePortLocalSctp, "KUBE-NODE-PORT", Some("sctp"), "dst,dst", "RETURN"),
    on(Set::NodePortSctp, "KUBE-NODE-PORT", Some("sctp"), "dst,dst", "KUBE-MARK-MASQ"),
];

/// The rest of it.
const FILTER_MATCHES: [Match; 3] = [
    on(Set::LoadBalancerFirewall, "KUBE-PROXY-FIREWALL", None, "dst,dst", "KUBE-SOURCE-RANGES-FIREWALL"),
    on(Set::LoadBalancerSourceCidr, "KUBE-SOURCE-RANGES-FIREWALL", None, "dst,dst,src", "RETURN"),
    on(Set::LoadBalancerSourceIp, "KUBE-SOURCE-RANGES-FIREWALL", None, "dst,dst,src", "RETURN"),
];

/// Chains that the kernel shows: 4 built into nat, 3 into filter, and kube-proxy's.
pub(crate) const CHAINS: u64 = (4 + 3 + NAT.len() + FILTER.len()) as u64;

/// Rules that the kernel shows.
pub(crate) fn count(filled: &Filled) -> u64 {
    // nat: the loopback, the jump to KUBE-NODE-PORT, one in KUBE-LOAD-BALANCER, three in KUBE-POSTROUTING, one in
    // KUBE-MARK-MASQ; filter: one in KUBE-SOURCE-RANGES-FIREWALL, two in KUBE-FORWARD, one in KUBE-NODE-PORT, six in
    // KUBE-IPVS-FILTER.
    let fixed = JUMPS.len() as u64 + 7 + 10;
    let matches = NAT_MATCHES.iter().chain(&FILTER_MATCHES).filter(|rule| filled.has(rule.set)).count();
    let others = [
        (Set::ClusterIp, 2),
        // Beside its jump.
        (Set::LoadBalancer, 1),
        (Set::ExternalIp, 3),
        (Set::ExternalIpLocal, 2),
    ];
    let others: u64 = others.iter().filter(|(set, _)| filled.has(*set)).map(|(_, rules)| rules).sum();
    fixed + matches as u64 + others + filled.forbidden.len() as u64
}

/// One program for each chain, then one or two for each jump, at every sync.
pub(crate) fn steps(node: &Node, present: bool) -> Vec<Step> {
    let run = |operation: &str, chain: &str, table: &str, rule: &[&str], expect| {
        tools::iptables(node, Phase::Jumps, operation, chain, table, rule, expect)
    };
    let chains = NAT.map(|chain| ("nat", chain)).into_iter().chain(FILTER.map(|chain| ("filter", chain)));
    let made = if present { Expect::One } else { Expect::Success };
    let mut steps: Vec<Step> = chains.map(|(table, chain)| run("-N", chain, table, &[], made)).collect();
    for Jump { table, from, to, comment } in &JUMPS {
        let rule = ["-m", "comment", "--comment", comment, "-j", to];
        let found = if present { Expect::Success } else { Expect::One };
        steps.push(run("-C", from, table, &rule, found));
        if !present {
            steps.push(run("-I", from, table, &rule, Expect::Success));
        }
    }
    steps
}

/// The one `iptables-restore` of a sync.
pub(crate) fn restored(node: &Node, filled: &Filled) -> Step {
    restore(node, filled, false)
}

/// The same with the jumps in it: chains, jumps and rules in one program.
pub(crate) fn restored_with_jumps(node: &Node, filled: &Filled) -> Step {
    restore(node, filled, true)
}

fn restore(node: &Node, filled: &Filled, with_jumps: bool) -> Step {
    let mut out = Vec::with_capacity(8192 + 128 * filled.forbidden.len());
    head("nat", &NAT, with_jumps, &mut out);
    Rules { node, family: node.family(), filled, out: &mut out }.nat();
    head("filter", &FILTER, with_jumps, &mut out);
    Rules { node, family: node.family(), filled, out: &mut out }.filter();
    tools::restore(node, Phase::Restore, out)
}

fn head(table: &str, chains: &[&str], with_jumps: bool, out: &mut Vec<u8>) {
    put!(out, "*", table, "\n");
    for chain in chains {
        put!(out, ":", chain, " - [0:0]\n");
    }
    for jump in JUMPS.iter().filter(|jump| with_jumps && jump.table == table) {
        put!(out, "-I ", jump.from, " -m comment --comment \"", jump.comment, "\" -j ", jump.to, "\n");
    }
}

struct Rules<'a> {
    node: &'a Node,
    family: Family,
    filled: &'a Filled,
    out: &'a mut Vec<u8>,
}

impl Rules<'_> {
    /// A rule for packets that a set has, up to its target.
    fn matched(&mut self, chain: &str, protocol: Option<&str>, set: Set, directions: &str) {
        let out = &mut *self.out;
        put!(out, "-A ", chain);
        if let Some(protocol) = protocol {
            put!(out, " -p ", protocol);
        }
        put!(out, " -m comment --comment \"", set.comment(), "\" -m set --match-set ");
        put!(out, set.name(self.family), " ", directions);
    }

    fn matches(&mut self, matches: &[Match]) {
        for Match { set, from, protocol, directions, to } in matches {
            if self.filled.has(*set) {
                self.matched(from, *protocol, *set, directions);
                put!(self.out, " -j ", to, "\n");
            }
        }
    }

    fn nat(&mut self) {
        let loopback = match self.family {
            Family::Ipv4 => "127.0.0.0/8",
            Family::Ipv6 => "::1/128",
        };
        put!(self.out, "-A KUBE-SERVICES -s ", loopback, " -j RETURN\n");
        self.matches(&NAT_MATCHES);
        self.cluster_ips();
        for set in [Set::ExternalIp, Set::ExternalIpLocal] {
            self.external_ips(set);
        }
        put!(self.out, "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT\n");
        put!(self.out, "-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ\n");
        for set in [Set::ClusterIp, Set::LoadBalancer] {
            if self.filled.has(set) {
                let name = set.name(self.family);
                put!(self.out, "-A KUBE-SERVICES -m set --match-set ", name, " dst,dst -j ACCEPT\n");
            }
        }
        let out = &mut *self.out;
        put!(out, "-A KUBE-POSTROUTING -m mark ! --mark ", MARK, "/", MARK, " -j RETURN\n");
        put!(out, "-A KUBE-POSTROUTING -j MARK --xor-mark ", MARK, "\n");
        put!(out, "-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\"");
        put!(out, " -j MASQUERADE --random-fully\n");
        put!(out, "-A KUBE-MARK-MASQ -j MARK --or-mark ", MARK, "\nCOMMIT\n");
    }

    /// What comes to a cluster IP from elsewhere than a pod is masqueraded.
    fn cluster_ips(&mut self) {
        if !self.filled.has(Set::ClusterIp) {
            return;
        }
        match self.node.cluster_cidr {
            Some(cidr) => {
                self.matched("KUBE-SERVICES", None, Set::ClusterIp, "dst,dst");
                put!(self.out, " ! -s ", cidr.to_string());
            }
            // What the node itself sends to a Service has a Service address for its source.
            None => self.matched("KUBE-SERVICES", None, Set::ClusterIp, "src,dst"),
        }
        put!(self.out, " -j KUBE-MARK-MASQ\n");
    }

    /// What comes to an external IP from outside the node, or finds the address on it, is let through.
    fn external_ips(&mut self, set: Set) {
        if !self.filled.has(set) {
            return;
        }
        let mut targets = vec![
            " -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT\n",
            " -m addrtype --dst-type LOCAL -j ACCEPT\n",
        ];
        if set == Set::ExternalIp {
            targets.insert(0, " -j KUBE-MARK-MASQ\n");
        }
        for target in targets {
            self.matched("KUBE-SERVICES", None, set, "dst,dst");
            put!(self.out, target);
        }
    }

    fn filter(&mut self) {
        self.matches(&FILTER_MATCHES);
        put!(self.out, "-A KUBE-SOURCE-RANGES-FIREWALL -j DROP\n");
        for (ip, protocol, port) in &self.filled.forbidden {
            // What the node sends to an address of its own has that address for a source.
            let (ip, port) = (ip.to_string(), port.to_string());
            put!(self.out, "-A KUBE-IPVS-OUT-FILTER -s ", ip, " -m ipvs --vaddr ", ip, " --vproto ");
            put!(self.out, protocol.name(), " --vport ", port, " -j DROP\n");
        }
        let out = &mut *self.out;
        put!(out, "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark --mark ");
        put!(out, MARK, "/", MARK, " -j ACCEPT\n");
        put!(out, "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack rule\"");
        put!(out, " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n");
        self.matched("KUBE-NODE-PORT", None, Set::HealthCheckNodePort, "dst");
        put!(self.out, " -j ACCEPT\n");
        for (set, directions) in [
            (Set::LoadBalancer, "dst,dst"),
            (Set::ClusterIp, "dst,dst"),
            (Set::ExternalIp, "dst,dst"),
            (Set::ExternalIpLocal, "dst,dst"),
            (Set::HealthCheckNodePort, "dst"),
        ] {
            let name = set.name(self.family);
            put!(self.out, "-A KUBE-IPVS-FILTER -m set --match-set ", name, " ", directions, " -j RETURN\n");
        }
        put!(self.out, "-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set ");
        put!(self.out, Set::IpvsIps.name(self.family), " dst -j REJECT\nCOMMIT\n");
    }
}
