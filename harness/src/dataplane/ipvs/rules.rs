//! The iptables side of IPVS mode: chains, jumps, and rules that match sets. Their number does not depend on the number
//! of Services, but rules for a set are there only while it has entries.
//!
//! Source of every line: what kube-proxy 1.30.5 wrote (shared/golden/ipvs), and `writeIptablesRules` in
//! pkg/proxy/ipvs/proxier.go for the sets that were empty there.

use super::super::iptables::MARK;
use super::super::iptables::tools::{iptables, restore};
use super::super::text::put;
use super::super::{Expect, Node, Phase, Step};
use super::sets::{Filled, Set};
use crate::service::Family;

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

/// Chains that the kernel shows: 4 built into nat, 3 into filter, and kube-proxy's.
pub const CHAINS: u64 = (4 + 3 + NAT.len() + FILTER.len()) as u64;

/// Rules that the kernel shows.
pub fn count(filled: Filled) -> u64 {
    // nat: the loopback, the jump to KUBE-NODE-PORT, one in KUBE-LOAD-BALANCER, three in KUBE-POSTROUTING, one in
    // KUBE-MARK-MASQ; filter: one in KUBE-SOURCE-RANGES-FIREWALL, two in KUBE-FORWARD, one in KUBE-NODE-PORT, six in
    // KUBE-IPVS-FILTER.
    let fixed = JUMPS.len() as u64 + 7 + 10;
    let Filled { loop_back, cluster_ip, node_port_tcp, node_port_udp } = filled;
    fixed
        + u64::from(loop_back)
        + 2 * u64::from(cluster_ip)
        + u64::from(node_port_tcp)
        + u64::from(node_port_udp)
}

/// One program for each chain, then one or two for each jump, at every sync.
pub fn steps(present: bool) -> Vec<Step> {
    let chains = NAT.map(|chain| ("nat", chain)).into_iter().chain(FILTER.map(|chain| ("filter", chain)));
    let made = if present { Expect::One } else { Expect::Success };
    let mut steps: Vec<Step> = chains
        .map(|(table, chain)| iptables(Family::Ipv4, Phase::Jumps, "-N", chain, table, &[], made))
        .collect();
    for Jump { table, from, to, comment } in &JUMPS {
        let rule = ["-m", "comment", "--comment", comment, "-j", to];
        let found = if present { Expect::Success } else { Expect::One };
        steps.push(iptables(Family::Ipv4, Phase::Jumps, "-C", from, table, &rule, found));
        if !present {
            steps.push(iptables(Family::Ipv4, Phase::Jumps, "-I", from, table, &rule, Expect::Success));
        }
    }
    steps
}

/// The one `iptables-restore` of a sync.
pub fn restored(node: &Node, filled: Filled) -> Step {
    restore(Family::Ipv4, Phase::Restore, input(node, filled, false))
}

/// The same with the jumps in it: chains, jumps and rules in one program.
pub fn restored_with_jumps(node: &Node, filled: Filled) -> Step {
    restore(Family::Ipv4, Phase::Restore, input(node, filled, true))
}

fn input(node: &Node, filled: Filled, with_jumps: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    let head = |out: &mut Vec<u8>, table: &str, chains: &[&str]| {
        put!(out, "*", table, "\n");
        for chain in chains {
            put!(out, ":", chain, " - [0:0]\n");
        }
        for jump in JUMPS.iter().filter(|jump| with_jumps && jump.table == table) {
            put!(out, "-I ", jump.from, " -m comment --comment \"", jump.comment, "\" -j ", jump.to, "\n");
        }
    };
    head(&mut out, "nat", &NAT);
    nat(node, filled, &mut out);
    head(&mut out, "filter", &FILTER);
    filter(&mut out);
    out
}

fn nat(node: &Node, filled: Filled, out: &mut Vec<u8>) {
    put!(out, "-A KUBE-SERVICES -s 127.0.0.0/8 -j RETURN\n");
    let matched = |out: &mut Vec<u8>, chain: &str, comment: &str, set: Set, directions: &str| {
        put!(out, "-A ", chain, " -m comment --comment \"", comment, "\" -m set --match-set ", set.name());
        put!(out, " ", directions);
    };
    if filled.loop_back {
        let comment = "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose";
        matched(out, "KUBE-POSTROUTING", comment, Set::LoopBack, "dst,dst,src");
        put!(out, " -j MASQUERADE\n");
    }
    for (filled, protocol, set, name) in [
        (filled.node_port_tcp, "tcp", Set::NodePortTcp, "TCP"),
        (filled.node_port_udp, "udp", Set::NodePortUdp, "UDP"),
    ] {
        if filled {
            let chain = format!("KUBE-NODE-PORT -p {protocol}");
            let comment = format!("Kubernetes nodeport {name} port for masquerade purpose");
            matched(out, &chain, &comment, set, "dst");
            put!(out, " -j KUBE-MARK-MASQ\n");
        }
    }
    if filled.cluster_ip {
        let comment = "Kubernetes service cluster ip + port for masquerade purpose";
        match node.cluster_cidr {
            Some(cidr) => {
                matched(out, "KUBE-SERVICES", comment, Set::ClusterIp, "dst,dst");
                put!(out, " ! -s ", cidr.to_string());
            }
            // What the node itself sends to a Service has a Service address for its source.
            None => matched(out, "KUBE-SERVICES", comment, Set::ClusterIp, "src,dst"),
        }
        put!(out, " -j KUBE-MARK-MASQ\n");
    }
    put!(out, "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT\n");
    put!(out, "-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ\n");
    if filled.cluster_ip {
        let set = Set::ClusterIp.name();
        put!(out, "-A KUBE-SERVICES -m set --match-set ", set, " dst,dst -j ACCEPT\n");
    }
    put!(out, "-A KUBE-POSTROUTING -m mark ! --mark ", MARK, "/", MARK, " -j RETURN\n");
    put!(out, "-A KUBE-POSTROUTING -j MARK --xor-mark ", MARK, "\n");
    put!(out, "-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\"");
    put!(out, " -j MASQUERADE --random-fully\n");
    put!(out, "-A KUBE-MARK-MASQ -j MARK --or-mark ", MARK, "\nCOMMIT\n");
}

fn filter(out: &mut Vec<u8>) {
    put!(out, "-A KUBE-SOURCE-RANGES-FIREWALL -j DROP\n");
    put!(out, "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark --mark ");
    put!(out, MARK, "/", MARK, " -j ACCEPT\n");
    put!(out, "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack rule\"");
    put!(out, " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n");
    put!(out, "-A KUBE-NODE-PORT -m comment --comment \"Kubernetes health check node port\"");
    put!(out, " -m set --match-set ", Set::HealthCheckNodePort.name(), " dst -j ACCEPT\n");
    for (set, directions) in [
        (Set::LoadBalancer, "dst,dst"),
        (Set::ClusterIp, "dst,dst"),
        (Set::ExternalIp, "dst,dst"),
        (Set::ExternalIpLocal, "dst,dst"),
        (Set::HealthCheckNodePort, "dst"),
    ] {
        put!(out, "-A KUBE-IPVS-FILTER -m set --match-set ", set.name(), " ", directions, " -j RETURN\n");
    }
    put!(out, "-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set ", Set::IpvsIps.name());
    put!(out, " dst -j REJECT\nCOMMIT\n");
}
