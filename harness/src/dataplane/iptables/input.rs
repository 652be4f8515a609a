//! The text for `iptables-restore --noflush`.

use super::ports::Ports;
use super::{filter, fixed, rules, v1_20};
use crate::dataplane::kube_proxy::KubeProxy;
use crate::dataplane::node::Node;
use crate::dataplane::text::put;
use crate::scale::ServiceSet;

/// One sync's: the linear lists (KUBE-SERVICES, KUBE-NODEPORTS, the whole filter table) are always written; chains of single
/// Services only within the scope.
pub fn input(node: &Node, ports: &Ports<'_>, comments: bool, stale: &[String]) -> Vec<u8> {
    let mut out = Vec::with_capacity(ports.capacity(node, comments));
    filter_table(node, ports, false, &mut out);
    fixed::nat_head(node, false, &mut out);
    chain_lines(node, ports, &mut out);
    for chain in stale {
        put!(out, ":", chain, " - [0:0]\n");
    }
    fixed::nat_rules(&mut out);
    service_rules(node, ports, comments, &mut out);
    for chain in stale {
        put!(out, "-X ", chain, "\n");
    }
    fixed::nat_tail(node, &mut out);
    out
}

/// One transaction with everything that is there once, one for each chunk of Services, and the rule
/// that must be last.
pub fn inputs_in_pieces(node: &Node, to: &ServiceSet, chunk: usize, comments: bool) -> Vec<Vec<u8>> {
    let mut first = Vec::new();
    filter_table(node, &Ports::new(node.kube_proxy, to.services(), |_| false), true, &mut first);
    fixed::nat_head(node, true, &mut first);
    fixed::nat_rules(&mut first);
    put!(first, "COMMIT\n");
    let mut inputs = vec![first];
    for services in to.services().chunks(chunk) {
        let ports = Ports::new(node.kube_proxy, services, |_| true);
        let mut out = Vec::with_capacity(ports.capacity(node, comments));
        put!(out, "*nat\n");
        let mut lines = Vec::new();
        chain_lines(node, &ports, &mut lines);
        // iptables-nft keeps its chains in a sorted list that it searches from the front: in reverse
        // order each new one is first. A quarter of the time at 10,000 Services.
        let mut lines: Vec<&[u8]> = lines.split_inclusive(|&byte| byte == b'\n').collect();
        lines.sort_unstable_by(|one, other| other.cmp(one));
        lines.iter().for_each(|line| put!(out, line));
        service_rules(node, &ports, comments, &mut out);
        put!(out, "COMMIT\n");
        inputs.push(out);
    }
    let mut last = b"*nat\n".to_vec();
    fixed::nat_tail(node, &mut last);
    inputs.push(last);
    inputs
}

/// Flushes and deletes chains.
pub fn delete_chains(chains: &[String]) -> Vec<u8> {
    let mut out = b"*nat\n".to_vec();
    for chain in chains {
        put!(out, ":", chain, " - [0:0]\n");
    }
    for chain in chains {
        put!(out, "-X ", chain, "\n");
    }
    put!(out, "COMMIT\n");
    out
}

fn filter_table(node: &Node, ports: &Ports<'_>, all_chains: bool, out: &mut Vec<u8>) {
    fixed::filter_head(node, all_chains, out);
    match node.kube_proxy {
        KubeProxy::V1_20 => v1_20::filter_rules(node, ports, out),
        KubeProxy::V1_30 | KubeProxy::Current => filter::rules(node, ports, out),
    }
    fixed::filter_tail(node.kube_proxy, out);
}

/// Writes the chain lines of Service ports in scope.
pub fn chain_lines(node: &Node, ports: &Ports<'_>, out: &mut Vec<u8>) {
    match node.kube_proxy {
        KubeProxy::V1_20 => v1_20::chain_lines(node, ports, out),
        KubeProxy::V1_30 | KubeProxy::Current => rules::chain_lines(ports, out),
    }
}

fn service_rules(node: &Node, ports: &Ports<'_>, comments: bool, out: &mut Vec<u8>) {
    match node.kube_proxy {
        KubeProxy::V1_20 => v1_20::rules(node, ports, comments, out),
        KubeProxy::V1_30 | KubeProxy::Current => rules::rules(node, ports, comments, out),
    }
}
