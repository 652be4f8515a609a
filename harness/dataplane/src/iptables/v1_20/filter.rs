//! The filter table, in 1.20: what is rejected.

use super::super::fixed;
use super::super::ports::Ports;
use super::words::words;
use crate::node::Node;
use crate::text::put;

/// Chains that kube-proxy fills, in its order.
pub(crate) const CHAINS: [&str; 3] = ["KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD"];
/// Rules that are there once, without jumps.
pub(crate) const FIXED_RULES: u64 = 4;
/// Comments of the rules that let answers pass. Twice the same rule: they had cluster CIDRs once.
const ANSWERS: [&str; 2] = ["conntrack pod source rule", "conntrack pod destination rule"];

/// Writes the table.
pub(crate) fn table(node: &Node, ports: &Ports<'_>, out: &mut Vec<u8>) {
    put!(out, "*filter\n");
    fixed::chain_lines(&CHAINS, out);
    rules(node, ports, out);
    fixed::filter_tail("", &ANSWERS, out);
}

/// Writes them for all Service ports without endpoints. Those that have some, but none on this node, are dropped by
/// KUBE-MARK-DROP.
fn rules(node: &Node, ports: &Ports<'_>, out: &mut Vec<u8>) {
    let mut words = words(node);
    for port in ports.iter().filter(|port| !port.routes.any) {
        words.next(port.service);
        let words = &words;
        let mut reject = |chain: &str, matches: &[u8]| {
            put!(out, "-A ", chain, " -m comment --comment \"", words.name, " has no endpoints\"");
            put!(out, matches, " -j REJECT\n");
        };
        reject("KUBE-SERVICES", &words.to_cluster_ip);
        for address in port.service.external_addresses() {
            reject("KUBE-EXTERNAL-SERVICES", &words.to(address.ip()));
        }
        if let Some(node_port) = port.service.node_port {
            let node_port = node_port.to_string();
            let matches: [&[u8]; 4] =
                [b" -m addrtype --dst-type LOCAL", &words.of_protocol, b" --dport ", node_port.as_bytes()];
            reject("KUBE-EXTERNAL-SERVICES", &matches.concat());
        }
    }
}
