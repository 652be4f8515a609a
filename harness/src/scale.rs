//! What is installed: Services and their endpoints, as pure data from a seed.
//!
//! One [`Service`] here is what kube-proxy calls a *service port*: one (namespace, name, port name,
//! protocol) with its cluster IP. Two Services of a Kubernetes object with two ports are two of them.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use ipnet::Ipv4Net;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Number of Services and of endpoints behind each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Scale {
    /// Services (service ports), at least 1.
    pub services: u32,
    /// Endpoints per Service, at least 1.
    pub endpoints: u32,
}

/// Transport protocol of a Service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Lower-case name, as kube-proxy writes it into rules and hashes.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

/// One endpoint of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Address and target port.
    pub address: SocketAddrV4,
    /// Whether it runs on the node under test.
    pub local: bool,
}

/// One Service port with its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Namespace of the Service object.
    pub namespace: String,
    /// Name of the Service object.
    pub name: String,
    /// Port name; empty when the object leaves it out.
    pub port_name: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Cluster IP and Service port.
    pub cluster: SocketAddrV4,
    /// Node port, for Services of type NodePort.
    pub node_port: Option<u16>,
    endpoints: Vec<Endpoint>,
}

/// The identity of a Service port: what kube-proxy calls a `ServicePortName`.
pub type ServiceKey<'a> = (&'a str, &'a str, &'a str, Protocol);

impl Service {
    /// A Service port; its endpoints in any order.
    pub fn new(
        namespace: String,
        name: String,
        port_name: String,
        protocol: Protocol,
        cluster: SocketAddrV4,
        node_port: Option<u16>,
        endpoints: Vec<Endpoint>,
    ) -> Self {
        let mut service =
            Self { namespace, name, port_name, protocol, cluster, node_port, endpoints: Vec::new() };
        service.set_endpoints(endpoints);
        service
    }

    /// Endpoints in kube-proxy's order: lexicographic by their `ip:port` text, so that
    /// `10.0.0.10:80` stands before `10.0.0.2:80` (observed on kube-proxy 1.30).
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Replaces the endpoints; sorts them and drops duplicates.
    pub fn set_endpoints(&mut self, mut endpoints: Vec<Endpoint>) {
        endpoints.sort_by_cached_key(|endpoint| endpoint.address.to_string());
        endpoints.dedup_by_key(|endpoint| endpoint.address);
        self.endpoints = endpoints;
    }

    /// Identity within a [`ServiceSet`].
    pub fn key(&self) -> ServiceKey<'_> {
        (&self.namespace, &self.name, &self.port_name, self.protocol)
    }

    /// `namespace/name:port`, or `namespace/name` for an unnamed port: kube-proxy's display string.
    pub fn display_name(&self) -> String {
        let separator = if self.port_name.is_empty() { "" } else { ":" };
        format!("{}/{}{separator}{}", self.namespace, self.name, self.port_name)
    }
}

/// A place in the list of Services, and so in every list of rules made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// The first Service.
    First,
    /// The one half-way.
    Middle,
    /// The last Service.
    Last,
    /// Every Service equally often, in seeded random order.
    Uniform,
    /// An address that is no Service: the packet passes every rule unmatched.
    Miss,
}

impl Position {
    /// All positions, in reading order.
    pub const ALL: [Position; 5] =
        [Position::First, Position::Middle, Position::Last, Position::Uniform, Position::Miss];

    /// Lower-case name, as in the sweep file and the rows.
    pub const fn name(self) -> &'static str {
        match self {
            Position::First => "first",
            Position::Middle => "middle",
            Position::Last => "last",
            Position::Uniform => "uniform",
            Position::Miss => "miss",
        }
    }
}

/// Where synthetic Services and endpoints take their addresses from.
///
/// The prefixes are private (RFC 1918) and live only inside namespaces that the harness made.
pub mod addresses {
    use super::{Ipv4Addr, Ipv4Net};

    /// Cluster IPs: 10.96.0.0/12, kubeadm's default Service range.
    pub const SERVICES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 12);
    /// All pods, kube-proxy's cluster CIDR: clients and endpoints.
    pub const PODS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 128, 0, 0), 9);
    /// Pods that send packet probes.
    pub const PROBES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 128, 0, 0), 17);
    /// Pods that open sockets.
    pub const CLIENTS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 128, 128, 0), 17);
    /// Endpoints, and addresses that are no Service: everything in [`PODS`] above the clients.
    pub const ENDPOINTS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 192, 0, 0), 10);
    /// The node itself.
    pub const NODE: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
}

/// Largest number of Services: what fits 10.96.0.0/12.
pub const MAX_SERVICES: u32 = 1_000_000;
/// Largest number of endpoints in all: what fits the endpoint prefix, with room for spare ones.
pub const MAX_ENDPOINTS: u64 = 3_000_000;

/// Port on which synthetic TCP Services listen and their endpoints answer.
pub const TCP_PORTS: (u16, u16) = (80, 8080);
/// Port on which synthetic UDP Services listen and their endpoints answer.
pub const UDP_PORTS: (u16, u16) = (53, 5353);

/// An ordered list of Services; the order is the order of the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSet {
    services: Vec<Arc<Service>>,
}

impl FromIterator<Service> for ServiceSet {
    fn from_iter<T: IntoIterator<Item = Service>>(services: T) -> Self {
        Self { services: services.into_iter().map(Arc::new).collect() }
    }
}

impl ServiceSet {
    /// N Services x M endpoints, alternately UDP and TCP, in a list order drawn from `seed`.
    ///
    /// kube-proxy walks a Go map, so its order differs at every sync; here it is fixed, so that a
    /// position is a position. Scales beyond [`MAX_SERVICES`] or [`MAX_ENDPOINTS`] are refused by the
    /// sweep and the command line before they come here.
    pub fn synthetic(scale: Scale, seed: u64) -> Self {
        let mut order: Vec<u32> = (0..scale.services).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        order
            .into_iter()
            .enumerate()
            .map(|(position, number)| {
                // The protocol follows the position, not the number: both kinds stand at both ends.
                let protocol = if position % 2 == 0 { Protocol::Udp } else { Protocol::Tcp };
                synthetic_service(number, protocol, scale.endpoints)
            })
            .collect()
    }

    /// The Services, in rule order.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// Number of Services.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Endpoints of all Services together (an endpoint of two Services counts twice).
    pub fn total_endpoints(&self) -> usize {
        self.services.iter().map(|service| service.endpoints.len()).sum()
    }

    /// The set with one more Service at the end.
    pub fn with_added(&self, service: Service) -> Self {
        let mut services = self.services.clone();
        services.push(Arc::new(service));
        Self { services }
    }

    /// The set without the Service at `index`; unchanged if there is none.
    pub fn without(&self, index: usize) -> Self {
        let mut services = self.services.clone();
        if index < services.len() {
            services.remove(index);
        }
        Self { services }
    }

    /// The set in which the Service at `index` is another; unchanged if there is none.
    pub fn with_replaced(&self, index: usize, service: Service) -> Self {
        let mut services = self.services.clone();
        if let Some(slot) = services.get_mut(index) {
            *slot = Arc::new(service);
        }
        Self { services }
    }

    /// Index of the Service of `protocol` nearest to a position; `None` for uniform and miss, which
    /// are no single Service, and when the set has no Service of that protocol.
    pub fn index_at(&self, position: Position, protocol: Protocol) -> Option<usize> {
        let wanted = match position {
            Position::First => 0,
            Position::Middle => self.len() / 2,
            Position::Last => self.len().checked_sub(1)?,
            Position::Uniform | Position::Miss => return None,
        };
        (0..self.len())
            .filter(|&index| self.services[index].protocol == protocol)
            .min_by_key(|&index| index.abs_diff(wanted))
    }
}

/// Synthetic Service `number`: its addresses depend on nothing else but the number of endpoints.
pub fn synthetic_service(number: u32, protocol: Protocol, endpoints: u32) -> Service {
    let (port_name, (port, target_port)) = match protocol {
        Protocol::Tcp => ("http", TCP_PORTS),
        Protocol::Udp => ("dns", UDP_PORTS),
    };
    // The first addresses of a Service range belong to the API server and DNS; start above them.
    let cluster = SocketAddrV4::new(nth(addresses::SERVICES, number + 256), port);
    let first = number * endpoints;
    let endpoints = (first..first + endpoints).map(|k| synthetic_endpoint(k, target_port)).collect();
    Service::new(
        "svcbench".into(),
        format!("svc-{number:05}"),
        port_name.into(),
        protocol,
        cluster,
        None,
        endpoints,
    )
}

/// Endpoint number `k` of the cluster, on some other node.
pub fn synthetic_endpoint(k: u32, target_port: u16) -> Endpoint {
    // The lower quarter of the prefix is kept for spare endpoints and for addresses that are no Service.
    let offset = 1 << 20;
    Endpoint { address: SocketAddrV4::new(nth(addresses::ENDPOINTS, offset + k), target_port), local: false }
}

/// An address in the endpoint prefix that no Service ever uses: `number` below 2^20.
pub fn spare_address(number: u32) -> Ipv4Addr {
    nth(addresses::ENDPOINTS, number % (1 << 20))
}

fn nth(prefix: Ipv4Net, index: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(prefix.network()).wrapping_add(index))
}

/// What changed between two sets, as indices: what kube-proxy's change trackers would hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Indices (in `to`) of Services that are new or differ.
    pub changed: Vec<usize>,
    /// Indices (in `from`) of Services that are gone.
    pub removed: Vec<usize>,
}

impl Diff {
    /// Compares two sets by Service identity; the order of Services does not count as a change.
    pub fn between(from: &ServiceSet, to: &ServiceSet) -> Self {
        let mut old: HashMap<ServiceKey<'_>, (usize, &Arc<Service>)> = from
            .services
            .iter()
            .enumerate()
            .map(|(index, service)| (service.key(), (index, service)))
            .collect();
        let mut diff = Self::default();
        for (index, service) in to.services.iter().enumerate() {
            match old.remove(&service.key()) {
                Some((_, before)) if Arc::ptr_eq(before, service) || before == service => {}
                _ => diff.changed.push(index),
            }
        }
        diff.removed = old.into_values().map(|(index, _)| index).collect();
        diff.removed.sort_unstable();
        diff
    }

    /// Services of `from` that are gone or differ: those whose rules may have to go.
    pub fn touched<'a>(
        &self,
        from: &'a ServiceSet,
        to: &ServiceSet,
    ) -> impl Iterator<Item = &'a Arc<Service>> {
        let changed: HashSet<ServiceKey<'_>> =
            self.changed.iter().map(|&index| to.services[index].key()).collect();
        let before = from.services.iter().filter(move |service| changed.contains(&service.key()));
        let before: Vec<_> = if self.changed.is_empty() { Vec::new() } else { before.collect() };
        before.into_iter().chain(self.removed.iter().map(|&index| &from.services[index]).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_stand_in_text_order() {
        let mut service = synthetic_service(0, Protocol::Tcp, 1);
        let endpoint =
            |last| Endpoint { address: SocketAddrV4::new(Ipv4Addr::new(10, 1, 0, last), 80), local: false };
        service.set_endpoints(vec![endpoint(2), endpoint(10), endpoint(1), endpoint(2)]);
        let order: Vec<u8> = service.endpoints().iter().map(|e| e.address.ip().octets()[3]).collect();
        assert_eq!(order, [10, 1, 2]);
    }

    #[test]
    fn a_seed_fixes_the_order_and_another_changes_it() {
        let scale = Scale { services: 100, endpoints: 3 };
        assert_eq!(ServiceSet::synthetic(scale, 7), ServiceSet::synthetic(scale, 7));
        assert_ne!(ServiceSet::synthetic(scale, 7), ServiceSet::synthetic(scale, 8));
    }

    #[test]
    fn positions_find_the_nearest_service_of_the_protocol() {
        let set = ServiceSet::synthetic(Scale { services: 10, endpoints: 1 }, 1);
        assert_eq!(set.index_at(Position::First, Protocol::Udp), Some(0));
        assert_eq!(set.index_at(Position::First, Protocol::Tcp), Some(1));
        assert_eq!(set.index_at(Position::Last, Protocol::Tcp), Some(9));
        assert_eq!(set.index_at(Position::Last, Protocol::Udp), Some(8));
        assert_eq!(set.index_at(Position::Miss, Protocol::Udp), None);
    }

    #[test]
    fn the_largest_scale_stays_inside_its_prefixes() {
        let last = synthetic_service(MAX_SERVICES - 1, Protocol::Udp, 1);
        assert!(addresses::SERVICES.contains(last.cluster.ip()));
        let endpoint = synthetic_endpoint(u32::try_from(MAX_ENDPOINTS).unwrap() - 1, 1);
        assert!(addresses::ENDPOINTS.contains(endpoint.address.ip()));
        assert!(addresses::ENDPOINTS.contains(&spare_address(u32::MAX)));
    }

    #[test]
    fn a_diff_names_what_changed_and_nothing_else() {
        let set = ServiceSet::synthetic(Scale { services: 5, endpoints: 2 }, 1);
        assert_eq!(Diff::between(&set, &set), Diff::default());
        let more = set.with_added(synthetic_service(99, Protocol::Tcp, 2));
        assert_eq!(Diff::between(&set, &more), Diff { changed: vec![5], removed: vec![] });
        assert_eq!(Diff::between(&more, &set), Diff { changed: vec![], removed: vec![5] });
        let mut other = (*set.services()[2]).clone();
        other.set_endpoints(vec![synthetic_endpoint(77, 5353)]);
        assert_eq!(
            Diff::between(&set, &set.with_replaced(2, other)),
            Diff { changed: vec![2], removed: vec![] }
        );
    }
}
