//! Text of one Service after another, in the order of `syncProxyRules` in pkg/proxy/nftables/proxier.go.

use std::sync::Arc;

use services::service::{Endpoint, Family, Policy, Service};

use super::elements::{self, Element};
use super::form::{Endpoints, Form};
use super::layout::{Chain, Layout};
use super::names::Names;
use super::present::{Before, Present};
use super::restart::Kept;
use super::words::Words;
use crate::node::Node;
use crate::text::{AddressText, put};

/// Which elements of a Service are written.
pub(crate) enum Added<'p, 'a> {
    /// All.
    All,
    /// None: they are there.
    None,
    /// Those that are not there or lead elsewhere.
    Missing(&'p mut Present<'a>),
}

/// Writes the chains, elements and rules of Services.
pub(crate) struct Writer<'n> {
    node: &'n Node,
    form: &'static Form,
    words: &'static Words,
    /// Tail of the rule that masquerades what comes from outside the cluster, if a CIDR is known.
    not_from_pods: Option<String>,
    /// Match of what comes from pods, if a CIDR is known.
    from_pods: Option<String>,
    /// Decimal text of n at index n.
    numbers: Vec<String>,
    names: Names,
    out: Vec<u8>,
}

impl<'n> Writer<'n> {
    /// A writer with room for so many bytes.
    pub(crate) fn new(node: &'n Node, capacity: usize) -> Self {
        let words = Words::of(node.family());
        let (ip, cidr) = (words.ip, node.cluster_cidr);
        Self {
            node,
            form: Form::of(node.kube_proxy),
            words,
            not_from_pods: cidr.map(|cidr| format!(" {ip} saddr != {cidr} jump mark-for-masquerade\n")),
            from_pods: cidr.map(|cidr| format!(" {ip} saddr {cidr}")),
            numbers: Vec::new(),
            names: Names::default(),
            out: Vec::with_capacity(capacity),
        }
    }

    /// What has been written so far, to be written to.
    pub(crate) const fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// What has been written.
    pub(crate) fn into_input(self) -> Vec<u8> {
        self.out
    }

    /// One Service. `kept`: chains of endpoints that are left as they are.
    pub(crate) fn service<'a>(&mut self, layout: &Layout<'a>, kept: &Kept, mut added: Added<'_, 'a>) {
        let reachable = &*layout.routes.reachable;
        let has_chains = self.form.has_endpoint_chains(layout.service);
        self.names.make(layout.service, if has_chains { reachable } else { &[] });
        for (index, endpoint) in reachable.iter().enumerate() {
            if has_chains && kept.is_other(endpoint) {
                put_fresh(self.words, "endpoint-", self.names.endpoint(index), &mut self.out);
            }
            if self.form.has_hairpins()
                && let Some(element) = elements::of_hairpin(layout, endpoint)
            {
                self.element(&element, &mut added);
            }
        }
        for chain in [Chain::Cluster, Chain::Local, Chain::External] {
            if layout.has(chain) {
                self.fresh(chain);
            }
        }
        elements::of_cluster_and_external_ips(layout, &mut |element| self.element(&element, &mut added));
        // 1.30 wrote the rule as soon as the chain was there.
        let early = self.form.is_1_30;
        if layout.has(Chain::Firewall) {
            self.fresh(Chain::Firewall);
            if early {
                self.firewall(layout.service);
            }
        }
        elements::of_balancers_and_node_port(layout, &mut |element| self.element(&element, &mut added));
        if layout.internal && !self.form.base.marks_strangers {
            self.masquerade(layout);
        }
        if layout.has(Chain::External) {
            self.external(layout);
        }
        if layout.has(Chain::Firewall) && !early {
            self.firewall(layout.service);
        }
        if let Some(seconds) = layout.service.affinity_seconds {
            self.affinity_sets(seconds);
        }
        for (chain, endpoints) in
            [(Chain::Cluster, &layout.routes.cluster), (Chain::Local, &layout.routes.local)]
        {
            match has_chains {
                _ if endpoints.is_empty() => {}
                true => self.dispatch(chain, layout, endpoints),
                false => self.translate(chain, layout, endpoints),
            }
        }
        if has_chains {
            self.endpoints(layout, kept);
        }
    }

    /// Makes one of the Service's own chains, empty.
    fn fresh(&mut self, chain: Chain) {
        put_fresh(self.words, chain.prefix(), self.names.base(), &mut self.out);
    }

    /// Begins a rule in one of the Service's own chains.
    fn rule(&mut self, chain: Chain) -> &mut Vec<u8> {
        put!(self.out, self.words.add_rule, chain.prefix(), self.names.base());
        &mut self.out
    }

    fn element<'a>(&mut self, element: &Element<'a>, added: &mut Added<'_, 'a>) {
        let before = match added {
            Added::All => Before::Nothing,
            Added::None => Before::Same,
            Added::Missing(present) => present.ensure(element),
        };
        match before {
            Before::Same => return,
            // nft adds no second element with the same key: the old one goes first.
            Before::Another => element.slot.put_delete(self.words, &mut self.out),
            Before::Nothing => {}
        }
        element.put_add(self.words, self.form, self.names.base(), &mut self.out);
    }

    /// What comes to the cluster IP from outside the cluster may go on to another node.
    fn masquerade(&mut self, layout: &Layout<'_>) {
        if self.not_from_pods.is_none() {
            return;
        }
        let cluster = AddressText::new(layout.service.cluster);
        let (daddr, early) = (self.words.daddr, self.form.is_1_30);
        let out = self.rule(layout.internal_chain());
        put!(out, daddr, cluster.ip());
        if early {
            put!(out, " ", layout.service.protocol.name(), " dport ", cluster.port());
        }
        if let Some(tail) = &self.not_from_pods {
            put!(self.out, tail);
        }
    }

    fn external(&mut self, layout: &Layout<'_>) {
        match layout.service.external_policy {
            // It may go on to another node.
            Policy::Cluster => {
                let Form { mark, comment_of_mark, .. } = *self.form;
                let out = self.rule(Chain::External);
                put!(out, " ", mark, comment_of_mark, "\n");
            }
            // The node's own traffic and that of its pods is under neither policy, as if it had gone out to a load
            // balancer and come in again.
            Policy::Local => {
                if self.from_pods.is_some() {
                    self.rule(Chain::External);
                    put!(self.out, self.from_pods.as_deref().unwrap_or_default());
                    self.goto(Chain::Cluster, " comment \"short-circuit pod traffic\"");
                }
                let mark = self.form.mark;
                let out = self.rule(Chain::External);
                put!(out, " fib saddr type local ", mark, " comment \"masquerade local traffic\"\n");
                put!(self.rule(Chain::External), " fib saddr type local");
                self.goto(Chain::Cluster, " comment \"short-circuit local traffic\"");
            }
        }
        if layout.external {
            self.rule(Chain::External);
            self.goto(layout.external_policy_chain(), "");
        }
    }

    /// Ends a rule that leads to one of the Service's own chains.
    fn goto(&mut self, chain: Chain, comment: &str) {
        put!(self.out, " goto ", chain.prefix(), self.names.base(), comment, "\n");
    }

    fn firewall(&mut self, service: &Service) {
        let (saddr, node) = (self.words.saddr, self.node.address);
        let out = self.rule(Chain::Firewall);
        put!(out, saddr, "!= {");
        let mut separator = " ";
        let mut put = |source: &str| {
            put!(out, separator, source);
            separator = " , ";
        };
        service.source_ranges.iter().for_each(|range| put(&range.to_string()));
        // Where the balancer's address is one of the node's own, the node's packets to it have it as their source.
        if service.source_ranges.iter().any(|range| range.contains(&node)) {
            service.load_balancer_ips.iter().for_each(|ip| put(&ip.to_string()));
        }
        put!(out, " } drop\n");
    }

    fn affinity_sets(&mut self, seconds: u32) {
        let Words { add_set, address_type, .. } = self.words;
        let tail = format!(" {{ type {address_type} ; flags dynamic,timeout ; timeout {seconds}s ; }}\n");
        for index in 0..self.names.len() {
            put!(self.out, add_set, "affinity-", self.names.endpoint(index), tail);
        }
    }

    /// The decimal texts up to a number.
    fn count_to(&mut self, last: usize) {
        for number in self.numbers.len()..=last {
            self.numbers.push(number.to_string());
        }
    }

    /// The rule that chooses among `endpoints` and translates the address at once.
    fn translate(&mut self, chain: Chain, layout: &Layout<'_>, endpoints: &[Endpoint]) {
        self.count_to(endpoints.len());
        let (ip, numbers, protocol) = (self.words.ip, &self.numbers, layout.service.protocol.name());
        let out = &mut self.out;
        put!(out, self.words.add_rule, chain.prefix(), self.names.base(), " meta l4proto ", protocol);
        if let ([one], Endpoints::Addresses { single: true }) = (endpoints, self.form.endpoints) {
            put!(out, " dnat to ", AddressText::new(one.address).whole(), "\n");
            return;
        }
        put!(out, " dnat ", ip, " addr . port to numgen random mod ", numbers[endpoints.len()], " map {");
        let mut separator = " ";
        for (number, endpoint) in numbers.iter().zip(endpoints) {
            let address = AddressText::new(endpoint.address);
            put!(out, separator, number, " : ", address.ip(), " . ", address.port());
            separator = " , ";
        }
        put!(out, " }\n");
    }

    /// Rules that choose among the chains of `endpoints`, which are some of those that the names were made for.
    fn dispatch(&mut self, chain: Chain, layout: &Layout<'_>, endpoints: &[Endpoint]) {
        self.count_to(endpoints.len());
        let Self { words, names, numbers, out, .. } = self;
        let indices = || positions(endpoints, &layout.routes.reachable);
        if layout.service.affinity_seconds.is_some() {
            for name in indices().map(|index| names.endpoint(index)) {
                put!(out, words.add_rule, chain.prefix(), names.base(), words.saddr, "@affinity-", name);
                put!(out, " goto endpoint-", name, "\n");
            }
        }
        put!(out, words.add_rule, chain.prefix(), names.base());
        put!(out, " numgen random mod ", numbers[endpoints.len()], " vmap {");
        let mut separator = " ";
        for (number, index) in numbers.iter().zip(indices()) {
            put!(out, separator, number, " : goto endpoint-", names.endpoint(index));
            separator = " , ";
        }
        put!(out, " }\n");
    }

    fn endpoints(&mut self, layout: &Layout<'_>, kept: &Kept) {
        let Self { words, names, out, .. } = self;
        let protocol = layout.service.protocol.name();
        let is_marked = !self.form.has_hairpins();
        for index in kept.others(&layout.routes.reachable) {
            let (name, address) = (names.endpoint(index), names.address(index));
            if is_marked {
                // An endpoint that asks its own Service would get an answer from itself without a detour.
                put!(out, words.add_rule, "endpoint-", name, words.saddr, address.ip());
                put!(out, " jump mark-for-masquerade\n");
            }
            put!(out, words.add_rule, "endpoint-", name);
            if layout.service.affinity_seconds.is_some() {
                put!(out, " update @affinity-", name, " {", words.saddr, "}\n");
                put!(out, words.add_rule, "endpoint-", name);
            }
            put!(out, " meta l4proto ", protocol, " dnat to ", address.whole(), "\n");
        }
    }
}

fn put_fresh(words: &Words, prefix: &str, name: &[u8], out: &mut Vec<u8>) {
    put!(out, words.add_chain, prefix, name, "\n", words.flush_chain, prefix, name, "\n");
}

/// Where each of `some` stands in `all`; both are in the same order.
fn positions<'a>(some: &'a [Endpoint], all: &'a [Endpoint]) -> impl Iterator<Item = usize> {
    let mut all = all.iter().enumerate();
    some.iter().map_while(move |endpoint| Some(all.find(|(_, other)| *other == endpoint)?.0))
}

/// An upper bound of the text's length, a little above the truth: one allocation, no copy on growth.
pub(crate) fn capacity<'a>(services: impl Iterator<Item = &'a Arc<Service>>) -> usize {
    services.map(|service| length(service)).sum()
}

fn length(service: &Service) -> usize {
    let ip = match service.family() {
        Family::Ipv4 => 15,
        Family::Ipv6 => 39,
    };
    let of = |policy| service.internal_policy == policy || service.external_policy == policy;
    // "firewall-", the hash, "sctp", dashes and slashes; "__", a slash and the port.
    let name = 26 + service.namespace.len() + service.name.len() + service.port_name.len();
    let endpoint = name + ip + 8;
    let (begin, element) = (24, 3 * (55 + ip + 25 + 2 * name));
    let own_chains = 4 * 2 * (2 + begin + name);
    let own_rules = (begin + name + 2 * ip + 90) + 4 * (begin + 2 * name + ip + 75);
    let firewall =
        begin + name + 40 + (service.source_ranges.len() + service.load_balancer_ips.len()) * (ip + 7);
    let addresses = 2 + service.external_ips.len() + service.load_balancer_ips.len();
    let choices = if of(Policy::Local) { 2 } else { 1 };
    let affinity = match service.affinity_seconds {
        Some(_) => {
            begin + endpoint + 75 + choices * (begin + name + 26 + 2 * endpoint) + begin + 2 * endpoint + 36
        }
        None => 0,
    };
    // Two lines for its chain, two for its rules, one or two choices.
    let each = 2 * (2 + begin + endpoint)
        + (2 * begin + 2 * endpoint + 2 * ip + 85)
        + choices * (endpoint + 18)
        + affinity;
    own_chains + own_rules + firewall + addresses * element + 100 + service.endpoints().len() * each
}
