//! Synthetic Services, from a seed.

mod features;
mod service;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use self::features::Features;
pub use self::service::{synthetic_endpoint, synthetic_service, unused_service};
use crate::service_set::{Scale, ServiceSet};
use crate::shape::Shape;

impl ServiceSet {
    /// N Services x M endpoints, alternately UDP and TCP, in a list order drawn from `seed`.
    ///
    /// kube-proxy walks a Go map, so its order differs at every sync; here it is fixed, so that a
    /// position is a position. Scales beyond [`MAX_SERVICES`](crate::addresses::MAX_SERVICES) or [`MAX_ENDPOINTS`](crate::addresses::MAX_ENDPOINTS) are refused by the
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use ipnet::Ipv4Net;

    use super::*;
    use crate::addresses::{self, MAX_ENDPOINTS, MAX_SERVICES, unused_address};
    use crate::service::{Protocol, Service};

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
        assert!(contains(addresses::ENDPOINTS, unused_address(u32::MAX)));
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
        let spare = unused_service(39, 1_000);
        assert!(contains(addresses::SERVICES, spare.cluster.ip()));
        assert!(
            spare.endpoints().iter().all(|endpoint| contains(addresses::ENDPOINTS, endpoint.address.ip()))
        );
        assert!(spare.cluster.ip() > synthetic_service(MAX_SERVICES - 1, Protocol::Udp, 1).cluster.ip());
        assert!(spare.endpoints().iter().all(|endpoint| endpoint.address < synthetic_endpoint(0, 1).address));
    }
}
