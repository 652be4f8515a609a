//! Chains and rules of Services in the nat table, in the form used since 1.25.

use services::service::{Endpoint, Family, Policy};

use super::filter::{self, Refused};
use super::ports::{HashName, Port, Ports, chosen};
use super::words::Words;
use crate::node::Node;
use crate::text::{AddressText, put};

/// Writes the chain lines of Service ports in scope: in the order in which their rules come.
pub(crate) fn chain_lines(ports: &Ports<'_>, out: &mut Vec<u8>) {
    for port in ports.iter().filter(|port| port.in_scope && port.routes.any) {
        if port.service.is_externally_accessible() {
            put!(out, ":KUBE-EXT-", port.hash, " - [0:0]\n");
        }
        if port.has_firewall() {
            put!(out, ":KUBE-FW-", port.hash, " - [0:0]\n");
        }
        if !port.routes.cluster.is_empty() {
            put!(out, ":KUBE-SVC-", port.hash, " - [0:0]\n");
        }
        if !port.routes.local.is_empty() {
            put!(out, ":KUBE-SVL-", port.hash, " - [0:0]\n");
        }
        for name in ports.names(port) {
            put!(out, ":KUBE-SEP-", name, " - [0:0]\n");
        }
    }
}

/// Writes the rules: those of the lists that packets walk for every Service port, the rest for those in scope.
pub(crate) fn rules(node: &Node, ports: &Ports<'_>, comments: bool, out: &mut Vec<u8>) {
    let mut rules = Rules { node, out, comments, words: Words::new(node, "") };
    for port in ports.iter().filter(|port| port.routes.any) {
        rules.port(port, ports.names(port));
    }
}

struct Rules<'a> {
    node: &'a Node,
    out: &'a mut Vec<u8>,
    /// Whether dispatch and endpoint rules carry comments.
    comments: bool,
    words: Words,
}

impl Rules<'_> {
    fn port(&mut self, port: &Port<'_>, names: &[HashName]) {
        self.words.next(port.service);
        let refused = Refused::of(port);
        let is_external = port.service.is_externally_accessible();
        if !refused.internal {
            let (out, words) = (&mut *self.out, &self.words);
            put!(out, "-A KUBE-SERVICES -m comment --comment \"", words.name, " cluster IP\"");
            put!(out, words.to_cluster_ip, " -j ", internal_chain(port), port.hash, "\n");
        }
        if is_external {
            self.entrances(port);
        }
        if !port.in_scope {
            return;
        }
        if let (false, Some(from_pods)) = (refused.internal, &self.words.from_pods) {
            let (out, words) = (&mut *self.out, &self.words);
            put!(out, "-A ", internal_chain(port), port.hash, " -m comment --comment \"", words.name);
            put!(out, " cluster IP\"", words.to_cluster_ip, " !", from_pods, " -j KUBE-MARK-MASQ\n");
        }
        if is_external {
            self.external(port, &refused);
        }
        if port.has_firewall() {
            self.firewall(port);
        }
        let routes = &port.routes;
        self.dispatch("KUBE-SVC-", port, &routes.cluster, names);
        self.dispatch("KUBE-SVL-", port, &routes.local, names);
        self.endpoints(port, names);
    }

    /// Entries of the lists for external IPs, load-balancer IPs and the node port.
    fn entrances(&mut self, port: &Port<'_>) {
        let (out, words, service) = (&mut *self.out, &self.words, port.service);
        for &ip in &service.external_ips {
            put!(out, "-A KUBE-SERVICES -m comment --comment \"", words.name, " external IP\"");
            put!(out, words.to(ip), " -j KUBE-EXT-", port.hash, "\n");
        }
        let chain = if port.has_firewall() { "KUBE-FW-" } else { "KUBE-EXT-" };
        for &ip in &service.load_balancer_ips {
            put!(out, "-A KUBE-SERVICES -m comment --comment \"", words.name, " loadbalancer IP\"");
            put!(out, words.to(ip), " -j ", chain, port.hash, "\n");
        }
        if let Some(node_port) = service.node_port {
            if filter::counts_loopback(self.node) {
                put!(out, "-A KUBE-NODEPORTS -m comment --comment ", words.name, words.of_protocol);
                put!(out, " -d 127.0.0.0/8 --dport ", node_port.to_string(), " -m nfacct --nfacct-name ");
                put!(out, filter::COUNTERS[1], " -j KUBE-EXT-", port.hash, "\n");
            }
            put!(out, "-A KUBE-NODEPORTS -m comment --comment ", words.name, words.of_protocol);
            put!(out, " --dport ", node_port.to_string(), " -j KUBE-EXT-", port.hash, "\n");
        }
    }

    /// The chain of everything that comes by those.
    fn external(&mut self, port: &Port<'_>, refused: &Refused) {
        let (out, words) = (&mut *self.out, &self.words);
        let mut rule = |what: &str, matches: &str, chain: &str, hash: &[u8]| {
            put!(
                out,
                "-A KUBE-EXT-",
                port.hash,
                " -m comment --comment \"",
                what,
                " traffic for ",
                words.name
            );
            put!(out, " external destinations\"", matches, " -j ", chain, hash, "\n");
        };
        if port.is_local {
            // Neither pods nor the node need a local endpoint; the node's packets have the address that they are for.
            if let Some(from_pods) = &words.from_pods {
                rule("pod", from_pods, "KUBE-SVC-", &port.hash);
            }
            let from_node = " -m addrtype --src-type LOCAL";
            rule("masquerade LOCAL", from_node, "KUBE-MARK-MASQ", b"");
            rule("route LOCAL", from_node, "KUBE-SVC-", &port.hash);
        } else {
            rule("masquerade", "", "KUBE-MARK-MASQ", b"");
        }
        if !refused.external {
            let chain = if port.is_local { "KUBE-SVL-" } else { "KUBE-SVC-" };
            put!(self.out, "-A KUBE-EXT-", port.hash, " -j ", chain, port.hash, "\n");
        }
    }

    /// The chain of load-balancer IPs with source ranges. What falls through it meets KUBE-PROXY-FIREWALL.
    fn firewall(&mut self, port: &Port<'_>) {
        let (out, words, service) = (&mut *self.out, &self.words, port.service);
        let mut allow = |source: &str| {
            put!(out, "-A KUBE-FW-", port.hash, " -m comment --comment \"", words.name, " loadbalancer IP\"");
            put!(out, " -s ", source, " -j KUBE-EXT-", port.hash, "\n");
        };
        for range in &service.source_ranges {
            allow(&range.trunc().to_string());
        }
        // What the node sends to an address of its own has that address for a source.
        if service.source_ranges.iter().any(|range| range.contains(&self.node.address)) {
            service.load_balancer_ips.iter().for_each(|ip| allow(&ip.to_string()));
        }
        put!(self.out, "-A KUBE-FW-", port.hash, " -m comment --comment \"other traffic to ", words.name);
        put!(self.out, " will be dropped by KUBE-PROXY-FIREWALL\"\n");
    }

    /// From a policy's chain to its endpoints, some of those that are reachable; `names` are those of all.
    fn dispatch(&mut self, chain: &str, port: &Port<'_>, endpoints: &[Endpoint], names: &[HashName]) {
        let chosen = || chosen(endpoints, &port.routes.reachable, names);
        if let Some(seconds) = port.service.affinity_seconds {
            let seconds = seconds.to_string();
            for (endpoint, name) in chosen() {
                self.jump_to_endpoint(chain, port, endpoint);
                put!(self.out, " -m recent --name KUBE-SEP-", name, " --rcheck --seconds ", seconds);
                put!(self.out, " --reap -j KUBE-SEP-", name, "\n");
            }
        }
        for (index, (endpoint, name)) in chosen().enumerate() {
            self.jump_to_endpoint(chain, port, endpoint);
            let remaining = endpoints.len() - index;
            if remaining > 1 {
                put!(
                    self.out,
                    " -m statistic --mode random --probability ",
                    self.words.probability(remaining)
                );
            }
            put!(self.out, " -j KUBE-SEP-", name, "\n");
        }
    }

    fn jump_to_endpoint(&mut self, chain: &str, port: &Port<'_>, endpoint: &Endpoint) {
        put!(self.out, "-A ", chain, port.hash);
        if self.comments {
            let address = AddressText::new(endpoint.address);
            put!(self.out, " -m comment --comment \"", self.words.name, " -> ", address.whole(), "\"");
        }
    }

    fn endpoints(&mut self, port: &Port<'_>, names: &[HashName]) {
        let (out, words) = (&mut *self.out, &self.words);
        let has_affinity = port.service.affinity_seconds.is_some();
        for (endpoint, name) in port.routes.reachable.iter().zip(names) {
            let address = AddressText::new(endpoint.address);
            put!(out, "-A KUBE-SEP-", name);
            if self.comments {
                put!(out, " -m comment --comment ", words.name);
            }
            put!(out, " -s ", address.ip(), " -j KUBE-MARK-MASQ\n-A KUBE-SEP-", name);
            if self.comments {
                put!(out, " -m comment --comment ", words.name);
            }
            if has_affinity {
                put!(out, " -m recent --name KUBE-SEP-", name, " --set");
            }
            put!(out, words.of_protocol, " -j DNAT --to-destination ", address.whole(), "\n");
        }
    }
}

/// The chain of traffic to the cluster IP.
pub(crate) const fn internal_chain(port: &Port<'_>) -> &'static str {
    match port.service.internal_policy {
        Policy::Local => "KUBE-SVL-",
        Policy::Cluster => "KUBE-SVC-",
    }
}

/// What packets for node ports must not be for: addresses of the loopback, unless node ports are served there. That needs
/// route_localnet, which there is for IPv4 only.
pub(crate) fn not_for_node_ports(node: &Node) -> &'static str {
    match node.family() {
        Family::Ipv6 => " ! -d ::1/128",
        Family::Ipv4 if !node.localhost_node_ports => " ! -d 127.0.0.0/8",
        Family::Ipv4 => "",
    }
}
