//! Synthetic Services, from a seed.

mod features;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::Ipv4Net;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use self::features::Features;
use crate::scale::{Scale, ServiceSet};
use crate::service::{Endpoint, Protocol, Service};
use crate::shape::Shape;

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
    /// Ingress IPs of load balancers, as many as are in 198.18.0.0/16 (RFC 2544: for benchmarks).
    pub const LOAD_BALANCERS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 16);
    /// External IPs.
    pub const EXTERNAL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 19, 0, 0), 16);
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
/// Port on which synthetic SCTP Services listen and their endpoints answer.
pub const SCTP_PORTS: (u16, u16) = (3868, 3868);

impl ServiceSet {
    /// N Services x M endpoints, alternately UDP and TCP, in a list order drawn from `seed`.
    ///
    /// kube-proxy walks a Go map, so its order differs at every sync; here it is fixed, so that a
    /// position is a position. Scales beyond [`MAX_SERVICES`] or [`MAX_ENDPOINTS`] are refused by the
    /// sweep and the command line before they come here.
    pub fn synthetic(scale: Scale, seed: u64) -> Self {
        Self::shaped(scale, &Shape::default(), seed)
    }

    /// The same with features: each Service gets its own by the shares of the shape, drawn from `seed`. A shape that does
    /// not [`check`](Shape::check) is refused by the sweep before it comes here.
    pub fn shaped(scale: Scale, shape: &Shape, seed: u64) -> Self {
        let mut order: Vec<u32> = (0..scale.services).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let mut features = Features::draw(scale, shape, seed);
        let service = |(position, number)| features.service(position as u32, number, shape);
        order.into_iter().enumerate().filter_map(service).collect()
    }
}

/// Synthetic Service `number`: its addresses depend on nothing else but the number of endpoints.
pub fn synthetic_service(number: u32, protocol: Protocol, endpoints: u32) -> Service {
    let (port_name, (port, target_port)) = match protocol {
        Protocol::Tcp => ("http", TCP_PORTS),
        Protocol::Udp => ("dns", UDP_PORTS),
        Protocol::Sctp => ("diameter", SCTP_PORTS),
    };
    // The first addresses of a Service range belong to the API server and DNS; start above them.
    let cluster = SocketAddr::new(nth(addresses::SERVICES, number + 256), port);
    let first = number * endpoints;
    let endpoints = (first..first + endpoints).map(|k| synthetic_endpoint(k, target_port)).collect();
    Service::new("svcbench", format!("svc-{number:05}"), port_name, protocol, cluster, endpoints)
}

/// A UDP Service that no synthetic set has: `number` below 1,000.
pub fn spare_service(number: u32, endpoints: u32) -> Service {
    let cluster = SocketAddr::new(nth(addresses::SERVICES, MAX_SERVICES + 512 + number), UDP_PORTS.0);
    let first = (1 << 19) + number * endpoints;
    let endpoint = |k| Endpoint::ready(SocketAddr::new(spare_address(k), UDP_PORTS.1), false);
    let endpoints = (first..first + endpoints).map(endpoint).collect();
    Service::new("svcbench", format!("spare-{number:03}"), "dns", Protocol::Udp, cluster, endpoints)
}

/// Endpoint number `k` of the cluster, on some other node.
pub fn synthetic_endpoint(k: u32, target_port: u16) -> Endpoint {
    // The lower quarter of the prefix is kept for spare endpoints and for addresses that are no Service.
    let offset = 1 << 20;
    Endpoint::ready(SocketAddr::new(nth(addresses::ENDPOINTS, offset + k), target_port), false)
}

/// An address in the endpoint prefix that no Service ever uses: `number` below 2^20.
pub fn spare_address(number: u32) -> IpAddr {
    nth(addresses::ENDPOINTS, number % (1 << 20))
}

fn nth(prefix: Ipv4Net, index: u32) -> IpAddr {
    Ipv4Addr::from(u32::from(prefix.network()).wrapping_add(index)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_fixes_the_order_and_another_changes_it() {
        let scale = Scale { services: 100, endpoints: 3 };
        assert_eq!(ServiceSet::synthetic(scale, 7), ServiceSet::synthetic(scale, 7));
        assert_ne!(ServiceSet::synthetic(scale, 7), ServiceSet::synthetic(scale, 8));
    }

    #[test]
    fn the_largest_scale_stays_inside_its_prefixes() {
        let last = synthetic_service(MAX_SERVICES - 1, Protocol::Udp, 1);
        assert!(contains(addresses::SERVICES, last.cluster.ip()));
        let endpoint = synthetic_endpoint(u32::try_from(MAX_ENDPOINTS).unwrap() - 1, 1);
        assert!(contains(addresses::ENDPOINTS, endpoint.address.ip()));
        assert!(contains(addresses::ENDPOINTS, spare_address(u32::MAX)));
    }

    fn contains(prefix: Ipv4Net, address: IpAddr) -> bool {
        ipnet::IpNet::from(prefix).contains(&address)
    }

    fn shape(text: &str) -> Shape {
        toml::from_str(text).unwrap()
    }

    /// Every feature has its exact share, and no two Services have the same address, port and protocol.
    #[test]
    fn a_shape_is_kept_exactly() {
        let shape = shape(
            "endpoints = { zipf = 1.0 }\nudp = 0.3\nnode_ports = 0.1\nload_balancers = 0.05\nexternal_ips = 0.02\n\
             headless = 0.1\nno_endpoints = 0.03\nexternal_local = 0.5\ninternal_local = 0.04\naffinity = 0.05\n\
             source_ranges = 1.0\nsecond_ports = 0.2\nlocal_endpoints = 0.1\nterminating = 0.01\nsctp = 0.1",
        );
        let set = ServiceSet::shaped(Scale { services: 1_000, endpoints: 10 }, &shape, 5);
        assert_eq!(set, ServiceSet::shaped(Scale { services: 1_000, endpoints: 10 }, &shape, 5));
        let count =
            |has: &dyn Fn(&Service) -> bool| set.services().iter().filter(|service| has(service)).count();
        assert_eq!(set.len(), 900, "headless ones leave nothing");
        assert_eq!(count(&|service| !service.load_balancer_ips.is_empty()), 50);
        assert_eq!(count(&|service| service.node_port.is_some()), 150);
        assert_eq!(count(&|service| !service.external_ips.is_empty()), 20);
        assert_eq!(count(&|service| !service.source_ranges.is_empty()), 50);
        let local = set.services().iter().flat_map(|service| service.endpoints()).filter(|e| e.local).count();
        assert!((local as f64 / set.total_endpoints() as f64 - 0.1).abs() < 0.001);
        let mut addresses: Vec<_> =
            set.services().iter().map(|service| (service.cluster, service.protocol)).collect();
        let mut node_ports: Vec<u16> =
            set.services().iter().filter_map(|service| service.node_port).collect();
        node_ports.extend(set.services().iter().filter_map(|service| service.health_check_node_port));
        let endpoints: Vec<_> =
            set.services().iter().flat_map(|s| s.endpoints()).map(|e| e.address).collect();
        let distinct = endpoints.iter().collect::<std::collections::HashSet<_>>().len();
        assert_eq!(distinct, endpoints.len());
        let distinct: std::collections::HashSet<u16> = node_ports.iter().copied().collect();
        assert_eq!(distinct.len(), node_ports.len());
        let before = addresses.len();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), before);
    }

    #[test]
    fn spare_services_are_in_no_synthetic_set() {
        let spare = spare_service(39, 1_000);
        assert!(contains(addresses::SERVICES, spare.cluster.ip()));
        assert!(
            spare.endpoints().iter().all(|endpoint| contains(addresses::ENDPOINTS, endpoint.address.ip()))
        );
        assert!(spare.cluster.ip() > synthetic_service(MAX_SERVICES - 1, Protocol::Udp, 1).cluster.ip());
        assert!(spare.endpoints().iter().all(|endpoint| endpoint.address < synthetic_endpoint(0, 1).address));
    }
}
