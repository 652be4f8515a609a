//! What comes by a node port, an external or a load-balancer IP, in 1.20.

use std::net::IpAddr;

use services::service::Family;

use super::super::ports::{HashName, Port, chosen};
use super::super::words::Words;
use crate::node::Node;
use crate::text::put;

/// Entries of the lists, and the firewall of each load-balancer IP right behind its own.
pub(crate) fn entrances(node: &Node, port: &Port<'_>, words: &Words, out: &mut Vec<u8>) {
    let chain = if port.is_local { "KUBE-XLB-" } else { "KUBE-SVC-" };
    for &ip in &port.service.external_ips {
        external_ip(port, ip, chain, words, out);
    }
    for &ip in &port.service.load_balancer_ips {
        put!(out, "-A KUBE-SERVICES -m comment --comment \"", words.name, " loadbalancer IP\"");
        put!(out, words.to(ip), " -j KUBE-FW-", port.hash, "\n");
        firewall(node, port, ip, chain, words, out);
    }
    if let Some(node_port) = port.service.node_port {
        let mut entry = |from: &str, to: &str, hash: &[u8]| {
            put!(out, "-A KUBE-NODEPORTS -m comment --comment ", words.name, words.of_protocol);
            put!(out, " --dport ", node_port.to_string(), from, " -j ", to, hash, "\n");
        };
        // Nobody elsewhere answers to a loopback address.
        let from = match (port.is_local, node.family()) {
            (false, _) => "",
            (true, Family::Ipv4) => " -s 127.0.0.0/8",
            (true, Family::Ipv6) => " -s ::1/128",
        };
        entry(from, "KUBE-MARK-MASQ", b"");
        entry("", chain, &port.hash);
    }
}

fn external_ip(port: &Port<'_>, ip: IpAddr, chain: &str, words: &Words, out: &mut Vec<u8>) {
    let to = words.to(ip);
    let mut entry = |matches: &str, to_chain: &str, hash: &[u8]| {
        put!(out, "-A KUBE-SERVICES -m comment --comment \"", words.name, " external IP\"");
        put!(out, to, matches, " -j ", to_chain, hash, "\n");
    };
    if !port.is_local {
        entry("", "KUBE-MARK-MASQ", b"");
    }
    // From another machine, as far as bridges and addresses tell; and what the node has for an address of its own.
    entry(" -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL", chain, &port.hash);
    entry(" -m addrtype --dst-type LOCAL", chain, &port.hash);
}

/// Written anew for each load-balancer IP, and matching all of them each time.
fn firewall(node: &Node, port: &Port<'_>, ip: IpAddr, chain: &str, words: &Words, out: &mut Vec<u8>) {
    let service = port.service;
    let mut rule = |source: &str, to: &str, hash: &[u8]| {
        put!(out, "-A KUBE-FW-", port.hash, " -m comment --comment \"", words.name, " loadbalancer IP\"");
        put!(out, source, " -j ", to, hash, "\n");
    };
    if !port.is_local {
        rule("", "KUBE-MARK-MASQ", b"");
    }
    if service.source_ranges.is_empty() {
        rule("", chain, &port.hash);
    }
    for range in &service.source_ranges {
        rule(&format!(" -s {range}"), chain, &port.hash);
    }
    // What the node sends to an address of its own has that address for a source.
    if service.source_ranges.iter().any(|range| range.contains(&node.address)) {
        rule(&format!(" -s {ip}{}", words.bits), chain, &port.hash);
    }
    rule("", "KUBE-MARK-DROP", b"");
}

/// The chain of external traffic under policy Local.
pub(crate) fn chain(port: &Port<'_>, names: &[HashName], words: &mut Words, out: &mut Vec<u8>) {
    // Names of the chains of endpoints on this node.
    let locals: Vec<&HashName> =
        chosen(&port.routes.local, &port.routes.reachable, names).map(|(_, name)| name).collect();
    let start = |out: &mut Vec<u8>, comment: &[&[u8]]| {
        put!(out, "-A KUBE-XLB-", port.hash, " -m comment --comment \"", comment.concat(), "\"");
    };
    if let Some(from_pods) = &words.from_pods {
        start(out, &[b"Redirect pods trying to reach external loadbalancer VIP to clusterIP"]);
        put!(out, from_pods, " -j KUBE-SVC-", port.hash, "\n");
    }
    start(out, &[b"masquerade LOCAL traffic for ", &words.name, b" LB IP"]);
    put!(out, " -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ\n");
    start(out, &[b"route LOCAL traffic for ", &words.name, b" LB IP to service chain"]);
    put!(out, " -m addrtype --src-type LOCAL -j KUBE-SVC-", port.hash, "\n");
    if locals.is_empty() {
        start(out, &[&words.name, b" has no local endpoints"]);
        put!(out, " -j KUBE-MARK-DROP\n");
    }
    if let Some(seconds) = port.service.affinity_seconds {
        for name in &locals {
            put!(
                out,
                "-A KUBE-XLB-",
                port.hash,
                " -m comment --comment ",
                words.name,
                " -m recent --name KUBE-SEP-"
            );
            put!(out, name, " --rcheck --seconds ", seconds.to_string(), " --reap -j KUBE-SEP-", name, "\n");
        }
    }
    for (index, name) in locals.iter().enumerate() {
        start(out, &[b"Balancing rule ", index.to_string().as_bytes(), b" for ", &words.name]);
        let remaining = locals.len() - index;
        if remaining > 1 {
            put!(out, " -m statistic --mode random --probability ", words.probability(remaining));
        }
        put!(out, " -j KUBE-SEP-", name, "\n");
    }
}
