//! Chains and rules of Services in the nat table, in 1.20.

use super::super::ports::{HashName, Port, Ports};
use super::super::words::Words;
use super::external;
use super::words::words;
use crate::node::Node;
use crate::text::{AddressText, put};

/// Writes the chain lines of all Service ports: in kube-proxy's order, KUBE-FW-* for each load-balancer IP again.
pub(crate) fn chain_lines(ports: &Ports<'_>, out: &mut Vec<u8>) {
    for port in ports.iter() {
        let any = port.routes.any;
        if any {
            put!(out, ":KUBE-SVC-", port.hash, " - [0:0]\n");
        }
        // Made even if nothing leads to it.
        if port.is_local {
            put!(out, ":KUBE-XLB-", port.hash, " - [0:0]\n");
        }
        for _ in port.service.load_balancer_ips.iter().filter(|_| any) {
            put!(out, ":KUBE-FW-", port.hash, " - [0:0]\n");
        }
        for name in ports.names(port) {
            put!(out, ":KUBE-SEP-", name, " - [0:0]\n");
        }
    }
}

/// Writes the rules of all Service ports.
pub(crate) fn rules(node: &Node, ports: &Ports<'_>, comments: bool, out: &mut Vec<u8>) {
    let mut rules = Rules { node, out, comments, words: words(node) };
    for port in ports.iter().filter(|port| port.routes.any) {
        rules.port(port, ports.names(port));
    }
}

struct Rules<'a> {
    node: &'a Node,
    out: &'a mut Vec<u8>,
    /// Whether rules of KUBE-SVC-* and KUBE-SEP-* carry comments; those of KUBE-XLB-* always do.
    comments: bool,
    words: Words,
}

impl Rules<'_> {
    fn port(&mut self, port: &Port<'_>, names: &[HashName]) {
        self.words.next(port.service);
        let (out, words) = (&mut *self.out, &self.words);
        let mut entry = |from: &str, to: &str, hash: &[u8]| {
            put!(out, "-A KUBE-SERVICES -m comment --comment \"", words.name, " cluster IP\"");
            put!(out, words.to_cluster_ip, from, " -j ", to, hash, "\n");
        };
        // Two rules for each cluster IP in the list that packets walk.
        if let Some(from_pods) = &words.from_pods {
            entry(&format!(" !{from_pods}"), "KUBE-MARK-MASQ", b"");
        }
        entry("", "KUBE-SVC-", &port.hash);
        if port.service.is_externally_accessible() {
            external::entrances(self.node, port, &self.words, self.out);
        }
        self.affinity(port, names);
        self.endpoints(port, names);
        if port.is_local {
            external::chain(port, names, &mut self.words, self.out);
        }
    }

    fn affinity(&mut self, port: &Port<'_>, names: &[HashName]) {
        let Some(seconds) = port.service.affinity_seconds else { return };
        for name in names {
            self.start("KUBE-SVC-", &port.hash);
            put!(self.out, " -m recent --name KUBE-SEP-", name, " --rcheck --seconds ", seconds.to_string());
            put!(self.out, " --reap -j KUBE-SEP-", name, "\n");
        }
    }

    /// The rule that leads to each endpoint, followed by those of its chain.
    fn endpoints(&mut self, port: &Port<'_>, names: &[HashName]) {
        let endpoints = &port.routes.cluster;
        for (index, (endpoint, name)) in endpoints.iter().zip(names).enumerate() {
            self.start("KUBE-SVC-", &port.hash);
            let remaining = endpoints.len() - index;
            if remaining > 1 {
                put!(
                    self.out,
                    " -m statistic --mode random --probability ",
                    self.words.probability(remaining)
                );
            }
            put!(self.out, " -j KUBE-SEP-", name, "\n");
            let address = AddressText::new(endpoint.address);
            self.start("KUBE-SEP-", name);
            put!(self.out, " -s ", address.ip(), self.words.bits, " -j KUBE-MARK-MASQ\n");
            self.start("KUBE-SEP-", name);
            if port.service.affinity_seconds.is_some() {
                put!(self.out, " -m recent --name KUBE-SEP-", name, " --set");
            }
            put!(self.out, self.words.of_protocol, " -j DNAT --to-destination ", address.whole(), "\n");
        }
    }

    fn start(&mut self, chain: &str, hash: &[u8]) {
        put!(self.out, "-A ", chain, hash);
        if self.comments {
            put!(self.out, " -m comment --comment ", self.words.name);
        }
    }
}
