//! Elements of the named sets and maps: the part of the table that lookups hash into.

use std::net::{IpAddr, SocketAddr};

use services::service::{Endpoint, Protocol, Service};

use super::container::Container;
use super::form::Form;
use super::layout::{Chain, Layout};
use super::words::Words;
use crate::text::{AddressText, put};

/// Whether the elements of a container carry the name of the Service as a comment.
const fn is_commented(container: Container, form: &Form) -> bool {
    match container {
        Container::NoEndpointServices | Container::NoEndpointNodeports => true,
        Container::FirewallIps => form.is_1_30,
        _ => false,
    }
}

/// What an element is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Service(SocketAddr, Protocol),
    NodePort(u16, Protocol),
    Hairpin(SocketAddr, Protocol),
}

/// What there can be only one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    /// Where it is.
    pub(crate) container: Container,
    key: Key,
}

impl Slot {
    /// Address, protocol and port as a person reads them.
    pub(crate) fn describe(&self) -> String {
        match self.key {
            Key::Address(address) => address.to_string(),
            Key::Service(address, protocol) => format!("{address}/{}", protocol.name()),
            Key::NodePort(port, protocol) => format!("node port {port}/{}", protocol.name()),
            Key::Hairpin(address, protocol) => format!("endpoint {address}/{}", protocol.name()),
        }
    }

    fn put_key(&self, out: &mut Vec<u8>) {
        match self.key {
            Key::Address(address) => put!(out, AddressText::new(SocketAddr::new(address, 0)).ip()),
            Key::Service(address, protocol) => {
                let address = AddressText::new(address);
                put!(out, address.ip(), " . ", protocol.name(), " . ", address.port());
            }
            Key::NodePort(port, protocol) => put!(out, protocol.name(), " . ", port.to_string()),
            Key::Hairpin(address, protocol) => {
                let address = AddressText::new(address);
                put!(out, address.ip(), " . ", address.ip(), " . ", protocol.name(), " . ", address.port());
            }
        }
    }

    /// Writes the command that deletes the element.
    pub(crate) fn put_delete(&self, words: &Words, out: &mut Vec<u8>) {
        put!(out, words.delete_element, self.container.name(), " { ");
        self.put_key(out);
        put!(out, " }\n");
    }
}

/// What is done with a packet that an element matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// A set has none.
    None,
    Goto(Chain),
    Reject,
    Drop,
}

/// One element of one set or map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    /// What it is found by.
    pub(crate) slot: Slot,
    /// The Service that it is there for.
    pub(crate) service: &'a Service,
    verdict: Verdict,
}

impl Element<'_> {
    /// Whether both lead to the same place. kube-proxy compares no comments: an element that goes from one Service to
    /// another with the same verdict keeps the name of the first.
    pub(crate) fn has_value_of(&self, other: &Element<'_>) -> bool {
        self.verdict == other.verdict
            && (!matches!(self.verdict, Verdict::Goto(_)) || self.service.key() == other.service.key())
    }

    /// Writes the command that adds the element. `base`: the Service's name in chains.
    pub(crate) fn put_add(&self, words: &Words, form: &Form, base: &[u8], out: &mut Vec<u8>) {
        put!(out, words.add_element, self.slot.container.name(), " { ");
        self.slot.put_key(out);
        if is_commented(self.slot.container, form) {
            let name = self.service.display_name();
            let length = name.len().min(form.longest_comment);
            put!(out, " comment \"", &name.as_bytes()[..length], "\"");
        }
        match self.verdict {
            Verdict::None => {}
            Verdict::Goto(chain) => put!(out, " : goto ", chain.prefix(), base),
            Verdict::Reject => put!(out, " : goto reject-chain"),
            Verdict::Drop => put!(out, " : drop"),
        }
        put!(out, " }\n");
    }
}

/// Elements of a Service, in the order in which kube-proxy adds them.
pub(crate) fn of<'a>(form: &Form, layout: &Layout<'a>, each: &mut impl FnMut(Element<'a>)) {
    if form.has_hairpins() {
        layout
            .routes
            .reachable
            .iter()
            .filter_map(|endpoint| of_hairpin(layout, endpoint))
            .for_each(&mut *each);
    }
    of_cluster_and_external_ips(layout, each);
    of_balancers_and_node_port(layout, each);
}

/// The element of one of its endpoints, if that is on this node.
pub(crate) fn of_hairpin<'a>(layout: &Layout<'a>, endpoint: &Endpoint) -> Option<Element<'a>> {
    let Layout { service, .. } = *layout;
    let key = Key::Hairpin(endpoint.address, service.protocol);
    let slot = Slot { container: Container::HairpinConnections, key };
    endpoint.local.then_some(Element { slot, service, verdict: Verdict::None })
}

/// Those of addresses: those that kube-proxy adds before it makes the firewall chain.
pub(crate) fn of_cluster_and_external_ips<'a>(layout: &Layout<'a>, each: &mut impl FnMut(Element<'a>)) {
    let Layout { service, .. } = *layout;
    let mut put = |container, key, verdict| each(Element { slot: Slot { container, key }, service, verdict });
    put(Container::ClusterIps, Key::Address(service.cluster.ip()), Verdict::None);
    let cluster = Key::Service(service.cluster, service.protocol);
    match layout.internal {
        true => put(Container::ServiceIps, cluster, Verdict::Goto(layout.internal_chain())),
        false => put(Container::NoEndpointServices, cluster, no_endpoints(layout)),
    }
    for &ip in &service.external_ips {
        let key = Key::Service(SocketAddr::new(ip, service.cluster.port()), service.protocol);
        if layout.routes.any {
            put(Container::ServiceIps, key, Verdict::Goto(Chain::External));
        }
        if !layout.external {
            put(Container::NoEndpointServices, key, no_endpoints(layout));
        }
    }
}

/// Those that it adds behind.
pub(crate) fn of_balancers_and_node_port<'a>(layout: &Layout<'a>, each: &mut impl FnMut(Element<'a>)) {
    let Layout { service, .. } = *layout;
    let mut put = |container, key, verdict| each(Element { slot: Slot { container, key }, service, verdict });
    let balancers = service.load_balancer_ips.iter();
    let balancers =
        balancers.map(|&ip| Key::Service(SocketAddr::new(ip, service.cluster.port()), service.protocol));
    for key in balancers.clone() {
        if layout.routes.any {
            put(Container::ServiceIps, key, Verdict::Goto(Chain::External));
        }
        if layout.has(Chain::Firewall) {
            put(Container::FirewallIps, key, Verdict::Goto(Chain::Firewall));
        }
    }
    if !layout.external {
        for key in balancers {
            put(Container::NoEndpointServices, key, no_endpoints(layout));
        }
    }
    if let Some(port) = service.node_port {
        let key = Key::NodePort(port, service.protocol);
        if layout.routes.any {
            put(Container::ServiceNodeports, key, Verdict::Goto(Chain::External));
        }
        if !layout.external {
            put(Container::NoEndpointNodeports, key, no_endpoints(layout));
        }
    }
}

/// Without endpoints anywhere a packet is rejected; without a local one where one is needed it is dropped, so that
/// the sender tries again.
const fn no_endpoints(layout: &Layout<'_>) -> Verdict {
    if layout.routes.any { Verdict::Drop } else { Verdict::Reject }
}
