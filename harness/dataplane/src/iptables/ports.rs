//! Service ports as the planner looks at them: which endpoints get traffic, and what their chains are called.

use std::sync::Arc;

use services::routes::Routes;
use services::service::{Endpoint, Service};

use crate::names::hash;
use crate::node::Node;
use crate::text::{AddressText, put};

/// What follows `KUBE-SVC-` and the like in the name of a chain.
pub(crate) type HashName = [u8; 16];

/// Where traffic of a Service goes, as a version of kube-proxy sees it.
pub(crate) struct Traffic<'a> {
    /// Which of its endpoints get traffic.
    pub(crate) routes: Routes<'a>,
    /// Whether external traffic goes to endpoints on this node only.
    pub(crate) is_local: bool,
}

/// One Service port.
pub(crate) struct Port<'a> {
    /// The Service port.
    pub(crate) service: &'a Service,
    /// Which of its endpoints get traffic.
    pub(crate) routes: Routes<'a>,
    /// Whether external traffic goes to endpoints on this node only.
    pub(crate) is_local: bool,
    /// What its own chains are called; zeros if it has none.
    pub(crate) hash: HashName,
    /// Whether its own chains are written.
    pub(crate) in_scope: bool,
    /// Where the names of its endpoints start.
    first: usize,
}

impl Port<'_> {
    /// Whether its load-balancer IPs are open to some only, and somebody is behind them.
    pub(crate) fn has_firewall(&self) -> bool {
        let Self { service, routes, .. } = self;
        routes.any && !service.source_ranges.is_empty() && !service.load_balancer_ips.is_empty()
    }
}

/// Service ports in order, with each name made once.
pub(crate) struct Ports<'a> {
    ports: Vec<Port<'a>>,
    names: Vec<HashName>,
}

impl<'a> Ports<'a> {
    /// Those of `services`; `in_scope`: whether the own chains of the one at an index are written.
    pub(crate) fn new(
        services: &'a [Arc<Service>],
        traffic: impl Fn(&'a Service) -> Traffic<'a>,
        in_scope: impl Fn(usize) -> bool,
    ) -> Self {
        let mut all = Self { ports: Vec::with_capacity(services.len()), names: Vec::new() };
        let mut input = Vec::with_capacity(256);
        for (index, service) in services.iter().enumerate() {
            all.push(service, traffic(service), in_scope(index), &mut input);
        }
        all
    }

    fn push(&mut self, service: &'a Service, traffic: Traffic<'a>, in_scope: bool, input: &mut Vec<u8>) {
        let Traffic { routes, is_local } = traffic;
        let (mut hash_name, first) = ([0; 16], self.names.len());
        if routes.any || is_local {
            input.clear();
            put_display_name(input, service);
            put!(input, service.protocol.name());
            hash_name = hash(input);
            if in_scope {
                let prefix = input.len();
                self.names.reserve(routes.reachable.len());
                for endpoint in &*routes.reachable {
                    input.truncate(prefix);
                    put!(input, AddressText::new(endpoint.address).whole());
                    self.names.push(hash(input));
                }
            }
        }
        self.ports.push(Port { service, routes, is_local, hash: hash_name, in_scope, first });
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Port<'a>> {
        self.ports.iter()
    }

    /// What the chains of a port's reachable endpoints are called, in their order; nothing unless it is in scope.
    pub(crate) fn names(&self, port: &Port<'_>) -> &[HashName] {
        let count = if port.in_scope { port.routes.reachable.len() } else { 0 };
        &self.names[port.first..port.first + count]
    }

    /// Bytes that the text of all of them takes, a little above the truth: one allocation, no copy on growth.
    pub(crate) fn capacity(&self, node: &Node, comments: bool) -> usize {
        // The longest address, twice in each rule of an endpoint, with its prefix length.
        let address = if node.family().bits() == 32 { 20 } else { 48 };
        let of_one = |port: &Port<'_>| {
            let Service { namespace, name, port_name, .. } = port.service;
            let name = namespace.len() + name.len() + port_name.len() + 2;
            let rule = 130 + name + address;
            let external = port.service.external_ips.len() + port.service.load_balancer_ips.len();
            let externally =
                if port.service.is_externally_accessible() { 3 + 2 * external } else { 0 } * (rule + 60);
            if !port.in_scope {
                return rule + externally;
            }
            let ranges = port.service.source_ranges.len() * external.max(1) * rule;
            let comment = if comments { 3 * (name + 23) + address } else { 0 };
            let affinity = if port.service.affinity_seconds.is_some() { 200 + comment } else { 0 };
            let endpoint = 305 + 2 * (address - 20) + comment + affinity;
            let endpoints = port.routes.reachable.len() * endpoint + port.routes.local.len() * (endpoint / 2);
            400 + 2 * rule + 2 * externally + ranges + endpoints
        };
        4096 + self.iter().map(of_one).sum::<usize>()
    }
}

/// `namespace/name:port`, as in [`Service::display_name`].
pub(crate) fn put_display_name(out: &mut Vec<u8>, service: &Service) {
    put!(out, service.namespace, "/", service.name);
    if !service.port_name.is_empty() {
        put!(out, ":", service.port_name);
    }
}

/// Some endpoints with their names, out of all; both are in the same order.
pub(crate) fn chosen<'a>(
    some: &'a [Endpoint],
    all: &'a [Endpoint],
    names: &'a [HashName],
) -> impl Iterator<Item = (&'a Endpoint, &'a HashName)> {
    let is_all = some.len() == all.len();
    let mut rest = all.iter().zip(names);
    some.iter()
        .filter_map(move |endpoint| rest.find(|(other, _)| is_all || other.address == endpoint.address))
}
