//! Rules that are there once, whatever the Services.

use super::words::MARK;
use crate::dataplane::kube_proxy::KubeProxy;
use crate::dataplane::node::Node;
use crate::dataplane::text::put;
use crate::service::Family;

/// Heads of the tables of the restore input: chains that kube-proxy fills, in its order.
const NAT: [&str; 4] = ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"];
const FILTER: [&str; 5] =
    ["KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL"];

/// Chains that the kernel shows: 12 built in (filter 3, mangle 5, nat 4), 3 canaries, and those here. KUBE-FIREWALL is
/// there even if nothing is written into it.
pub const fn chains(kube_proxy: KubeProxy) -> u64 {
    let of_version = match kube_proxy {
        // Three in filter; four in nat, and KUBE-MARK-DROP.
        KubeProxy::V1_20 => 3 + NAT.len() + 1,
        KubeProxy::V1_30 | KubeProxy::Current => FILTER.len() + 1 + NAT.len(),
    };
    12 + 3 + of_version as u64
}

/// Rules that the kernel shows, without jumps.
pub fn rules(node: &Node) -> u64 {
    let nat = 5;
    match node.kube_proxy {
        KubeProxy::V1_20 => nat + 4,
        KubeProxy::V1_30 | KubeProxy::Current => nat + 3 + u64::from(guards_loopback(node)),
    }
}

/// Whether packets for 127/8 from elsewhere are dropped: where they could get in.
fn guards_loopback(node: &Node) -> bool {
    node.family() == Family::Ipv4 && node.localhost_node_ports
}

/// The filter table up to the rules of Services. `all_chains`: those, too, that only the jumps make.
pub fn filter_head(node: &Node, all_chains: bool, out: &mut Vec<u8>) {
    let old = node.kube_proxy == KubeProxy::V1_20;
    put!(out, "*filter\n");
    for chain in if old { &FILTER[..3] } else { &FILTER[..] } {
        put!(out, ":", chain, " - [0:0]\n");
    }
    if !old && (guards_loopback(node) || all_chains) {
        put!(out, ":KUBE-FIREWALL - [0:0]\n");
    }
    if !old && guards_loopback(node) {
        put!(
            out,
            "-A KUBE-FIREWALL -m comment --comment \"block incoming localnet connections\" -d 127.0.0.0/8"
        );
        put!(out, " ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP\n");
    }
}

/// What follows the rules of Services in the filter table.
pub fn filter_tail(kube_proxy: KubeProxy, out: &mut Vec<u8>) {
    put!(out, "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n");
    put!(out, "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark --mark ");
    put!(out, MARK, "/", MARK, " -j ACCEPT\n");
    let answers: &[&str] = match kube_proxy {
        // Twice the same: they had cluster CIDRs once.
        KubeProxy::V1_20 => &["conntrack pod source rule", "conntrack pod destination rule"],
        KubeProxy::V1_30 | KubeProxy::Current => &["conntrack rule"],
    };
    for answer in answers {
        put!(out, "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding ", answer, "\"");
        put!(out, " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n");
    }
    put!(out, "COMMIT\n");
}

/// The nat table up to the chains of Services. `all_chains`: as in [`filter_head`].
pub fn nat_head(node: &Node, all_chains: bool, out: &mut Vec<u8>) {
    put!(out, "*nat\n");
    for chain in NAT {
        put!(out, ":", chain, " - [0:0]\n");
    }
    if all_chains && node.kube_proxy == KubeProxy::V1_20 {
        put!(out, ":KUBE-MARK-DROP - [0:0]\n");
    }
}

/// What stands between the chains of Services and their rules.
pub fn nat_rules(out: &mut Vec<u8>) {
    put!(out, "-A KUBE-POSTROUTING -m mark ! --mark ", MARK, "/", MARK, " -j RETURN\n");
    put!(out, "-A KUBE-POSTROUTING -j MARK --xor-mark ", MARK, "\n");
    put!(out, "-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\"");
    put!(out, " -j MASQUERADE --random-fully\n");
    put!(out, "-A KUBE-MARK-MASQ -j MARK --or-mark ", MARK, "\n");
}

/// The rule that must stand behind all Services, and the end of the nat table.
pub fn nat_tail(node: &Node, out: &mut Vec<u8>) {
    put!(
        out,
        "-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule"
    );
    put!(out, " in this chain\" -m addrtype --dst-type LOCAL");
    // Node ports on the loopback need route_localnet, which there is for IPv4 only.
    match (node.kube_proxy, node.family()) {
        (KubeProxy::V1_20, _) => {}
        (_, Family::Ipv6) => put!(out, " ! -d ::1/128"),
        (_, Family::Ipv4) if !node.localhost_node_ports => put!(out, " ! -d 127.0.0.0/8"),
        _ => {}
    }
    put!(out, " -j KUBE-NODEPORTS\nCOMMIT\n");
}
