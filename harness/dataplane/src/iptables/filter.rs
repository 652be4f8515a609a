//! The filter table, since 1.25: what is rejected or dropped, and who may ask for a node's health.

use std::net::IpAddr;

use services::service::Family;

use super::fixed;
use super::ports::{Port, Ports};
use super::words::Words;
use crate::kube_proxy::KubeProxy;
use crate::node::Node;
use crate::text::put;

/// Chains that kube-proxy fills, in its order.
const FILTER: [&str; 5] =
    ["KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL"];
/// Those, and KUBE-FIREWALL, which is there even if nothing is written into it.
pub(crate) const CHAINS: usize = FILTER.len() + 1;

/// Counters of nfacct.
pub(crate) const COUNTERS: [&str; 2] = ["ct_state_invalid_dropped_pkts", "localhost_nps_accepted_pkts"];
const INVALID_COUNTER: &str = " -m nfacct --nfacct-name ct_state_invalid_dropped_pkts";

/// Rules that are there once, without jumps.
pub(crate) fn fixed_rules(node: &Node) -> u64 {
    3 + u64::from(serves_on_loopback(node))
}

/// Whether node ports are served on 127.0.0.1. Then packets for 127/8 get in, and those from elsewhere are dropped.
pub(crate) fn serves_on_loopback(node: &Node) -> bool {
    node.family() == Family::Ipv4 && node.localhost_node_ports
}

/// Whether rules count what they match (`nfAcctCounters` in pkg/proxy/iptables/proxier.go).
pub(crate) fn counts(node: &Node) -> bool {
    node.nfacct && node.kube_proxy >= KubeProxy::V1_34
}

/// Whether packets for node ports on 127.0.0.1 have rules of their own, which count them.
pub(crate) fn counts_loopback(node: &Node) -> bool {
    counts(node) && serves_on_loopback(node)
}

/// Writes the table; it is part of every sync. `all_chains`: with those, too, that only the jumps make.
pub(crate) fn table(node: &Node, ports: &Ports<'_>, all_chains: bool, out: &mut Vec<u8>) {
    put!(out, "*filter\n");
    fixed::chain_lines(&FILTER, out);
    if serves_on_loopback(node) || all_chains {
        fixed::chain_lines(&["KUBE-FIREWALL"], out);
    }
    if serves_on_loopback(node) {
        put!(
            out,
            "-A KUBE-FIREWALL -m comment --comment \"block incoming localnet connections\" -d 127.0.0.0/8"
        );
        put!(out, " ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP\n");
    }
    rules(node, ports, out);
    let counted = if counts(node) { INVALID_COUNTER } else { "" };
    fixed::filter_tail(counted, &["conntrack rule"], out);
}

/// Writes those of all Service ports.
fn rules(node: &Node, ports: &Ports<'_>, out: &mut Vec<u8>) {
    let mut words = Words::new(node, "");
    for port in ports.iter() {
        let refused = Refused::of(port);
        let has_health_check = port.service.health_check_node_port.is_some();
        if refused.is_nothing() && !has_health_check && !port.has_firewall() {
            continue;
        }
        words.next(port.service);
        refused.internal(&words, out);
        refused.external(port, &words, out);
        if let Some(health_check) = port.service.health_check_node_port {
            put!(out, "-A KUBE-NODEPORTS -m comment --comment \"", words.name, " health check node port\"");
            put!(out, " -m tcp -p tcp --dport ", health_check.to_string(), " -j ACCEPT\n");
        }
    }
}

/// Which traffic of a Service port finds nobody.
pub(crate) struct Refused {
    /// To its cluster IP.
    pub(crate) internal: bool,
    /// To all else, from outside the cluster.
    pub(crate) external: bool,
    /// Whether there are endpoints that it could not go to.
    any: bool,
}

impl Refused {
    /// Of a Service port.
    pub(crate) fn of(port: &Port<'_>) -> Self {
        let (service, routes) = (port.service, &port.routes);
        Self {
            internal: routes.internal(service).is_empty(),
            external: service.is_externally_accessible() && routes.external(service).is_empty(),
            any: routes.any,
        }
    }

    const fn is_nothing(&self) -> bool {
        !self.internal && !self.external
    }

    /// Comment and target: without any endpoint the sender gets an error; without a local one where one is wanted it gets
    /// none, so that it may try another node.
    const fn reason(&self) -> (&'static str, &'static str) {
        match self.any {
            true => (" has no local endpoints\"", " -j DROP\n"),
            false => (" has no endpoints\"", " -j REJECT\n"),
        }
    }

    fn internal(&self, words: &Words, out: &mut Vec<u8>) {
        if self.internal {
            let (comment, target) = self.reason();
            put!(
                out,
                "-A KUBE-SERVICES -m comment --comment \"",
                words.name,
                comment,
                words.to_cluster_ip,
                target
            );
        }
    }

    fn external(&self, port: &Port<'_>, words: &Words, out: &mut Vec<u8>) {
        let (comment, target) = self.reason();
        let service = port.service;
        let refuse = |out: &mut Vec<u8>, ips: &[IpAddr]| {
            for &ip in if self.external { ips } else { &[] } {
                put!(out, "-A KUBE-EXTERNAL-SERVICES -m comment --comment \"", words.name, comment);
                put!(out, words.to(ip), target);
            }
        };
        refuse(out, &service.external_ips);
        if port.has_firewall() {
            for &ip in &service.load_balancer_ips {
                put!(out, "-A KUBE-PROXY-FIREWALL -m comment --comment \"", words.name);
                put!(out, " traffic not accepted by KUBE-FW-", port.hash, "\"", words.to(ip), " -j DROP\n");
            }
        }
        refuse(out, &service.load_balancer_ips);
        if let (true, Some(node_port)) = (self.external, service.node_port) {
            put!(out, "-A KUBE-EXTERNAL-SERVICES -m comment --comment \"", words.name, comment);
            put!(
                out,
                " -m addrtype --dst-type LOCAL",
                words.of_protocol,
                " --dport ",
                node_port.to_string(),
                target
            );
        }
    }
}
