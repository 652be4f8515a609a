//! Which synthetic Service has which features.

use ipnet::IpNet;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::service::{synthetic_endpoint, synthetic_service};
use crate::addresses::{self, SCTP_PORTS, TCP_PORTS, UDP_PORTS, nth};
use crate::service::{Condition, Policy, Protocol, Service};
use crate::service_set::Scale;
use crate::shape::{NODE_PORTS, Shape, Share, Spread};

/// Seconds of session affinity by default (`DefaultClientIPServiceAffinitySeconds`).
const AFFINITY_SECONDS: u32 = 10_800;

/// One of a Service's exclusive kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalIp,
    Headless,
}

/// What every Service of a set has, by its number.
pub(super) struct Features {
    kinds: Vec<Kind>,
    endpoints: Vec<u32>,
    sctp: Vec<bool>,
    second_ports: Vec<bool>,
    source_ranges: Vec<bool>,
    external_local: Vec<bool>,
    internal_local: Vec<bool>,
    affinity: Vec<bool>,
    /// The next endpoint of the cluster, node port, load-balancer and external IP.
    next_endpoint: u32,
    next_node_port: u16,
    next_address: u32,
    local: Spaced,
    terminating: Spaced,
    /// Number of the Service before, whose address a second port shares.
    before: Option<u32>,
}

/// Counts endpoints, and tells which have a share.
struct Spaced {
    share: Share,
    seen: u32,
}

impl Spaced {
    const fn new(share: Share) -> Self {
        Self { share, seen: 0 }
    }

    fn next(&mut self) -> bool {
        self.seen += 1;
        self.share.has(self.seen - 1)
    }
}

impl Features {
    /// Draws them: exact shares, at random places.
    pub(super) fn draw(scale: Scale, shape: &Shape, seed: u64) -> Self {
        let services = scale.services;
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x5ba9_e5ee_d000_0001);
        let mut places = |share: Share| -> Vec<bool> {
            let chosen = share.of(services);
            let mut places: Vec<bool> = (0..services).map(|index| index < chosen).collect();
            if chosen > 0 && chosen < services {
                places.shuffle(&mut random);
            }
            places
        };
        let sctp = places(shape.sctp);
        let second_ports = places(shape.second_ports);
        let source_ranges = places(shape.source_ranges);
        let external_local = places(shape.external_local);
        let internal_local = places(shape.internal_local);
        let affinity = places(shape.affinity);
        let nobody = places(shape.no_endpoints);
        let mut kinds = Vec::with_capacity(services as usize);
        for (share, kind) in [
            (shape.node_ports, Kind::NodePort),
            (shape.load_balancers, Kind::LoadBalancer),
            (shape.external_ips, Kind::ExternalIp),
            (shape.headless, Kind::Headless),
        ] {
            kinds.extend(std::iter::repeat_n(kind, share.of(services) as usize));
        }
        let all_alike = kinds.is_empty();
        kinds.resize(services as usize, Kind::ClusterIp);
        if !all_alike {
            kinds.shuffle(&mut random);
        }
        let mut endpoints = shape.endpoints.counts(services, scale.endpoints);
        if shape.endpoints != Spread::Uniform {
            endpoints.shuffle(&mut random);
        }
        endpoints.iter_mut().zip(nobody).filter(|(_, nobody)| *nobody).for_each(|(count, _)| *count = 0);
        Self {
            kinds,
            endpoints,
            sctp,
            second_ports,
            source_ranges,
            external_local,
            internal_local,
            affinity,
            next_endpoint: 0,
            next_node_port: *NODE_PORTS.start(),
            next_address: 0,
            local: Spaced::new(shape.local_endpoints),
            terminating: Spaced::new(shape.terminating),
            before: None,
        }
    }

    /// The Service at this position of the list; `None` if it leaves nothing in the kernel.
    pub(super) fn service(&mut self, position: u32, number: u32, shape: &Shape) -> Option<Service> {
        let at = number as usize;
        let kind = self.kinds.get(at).copied().unwrap_or_default();
        if kind == Kind::Headless {
            return None;
        }
        // The protocol follows the position, not the number: both kinds stand at both ends.
        let protocol = match (shape.udp.has(position), self.sctp[at]) {
            (true, _) => Protocol::Udp,
            (false, true) => Protocol::Sctp,
            (false, false) => Protocol::Tcp,
        };
        let count = self.endpoints[at];
        let mut service = match shape.endpoints {
            Spread::Uniform => synthetic_service(number, protocol, count),
            // Numbers alone do not say how many endpoints came before.
            Spread::Zipf(_) => {
                let mut service = synthetic_service(number, protocol, 0);
                let target = match protocol {
                    Protocol::Tcp => TCP_PORTS.1,
                    Protocol::Udp => UDP_PORTS.1,
                    Protocol::Sctp => SCTP_PORTS.1,
                };
                let first = self.next_endpoint;
                self.next_endpoint += count;
                service
                    .set_endpoints((first..first + count).map(|k| synthetic_endpoint(k, target)).collect());
                service
            }
        };
        self.mark_endpoints(&mut service);
        self.join_address(&mut service, number);
        self.open(&mut service, kind, at);
        if self.internal_local[at] {
            service.internal_policy = Policy::Local;
        }
        if self.affinity[at] {
            service.affinity_seconds = Some(AFFINITY_SECONDS);
        }
        Some(service)
    }

    fn mark_endpoints(&mut self, service: &mut Service) {
        let mut endpoints = service.endpoints().to_vec();
        let mut changed = false;
        for endpoint in &mut endpoints {
            endpoint.local = self.local.next();
            if self.terminating.next() {
                endpoint.condition = Condition::Terminating;
            }
            changed |= endpoint.local || endpoint.condition == Condition::Terminating;
        }
        if changed {
            service.set_endpoints(endpoints);
        }
    }

    /// A second port has the address, and the name, of the Service before it in the list.
    fn join_address(&mut self, service: &mut Service, number: u32) {
        let joined = self.before.take().filter(|_| self.second_ports[number as usize]);
        match joined {
            Some(first) => {
                let other = synthetic_service(first, service.protocol, 0);
                service.name = other.name;
                service.cluster.set_ip(other.cluster.ip());
                // Whatever the first one's is.
                service.cluster.set_port(9_100);
                service.port_name = "second".into();
            }
            None => self.before = Some(number),
        }
    }

    /// What can be reached from outside the cluster.
    fn open(&mut self, service: &mut Service, kind: Kind, at: usize) {
        let mut node_port = || {
            let port = self.next_node_port;
            self.next_node_port += 1;
            Some(port)
        };
        let mut address = |prefix| {
            self.next_address += 1;
            nth(prefix, self.next_address)
        };
        match kind {
            Kind::ClusterIp | Kind::Headless => return,
            Kind::NodePort => service.node_port = node_port(),
            Kind::ExternalIp => service.external_ips.push(address(addresses::EXTERNAL)),
            Kind::LoadBalancer => {
                service.node_port = node_port();
                service.load_balancer_ips.push(address(addresses::LOAD_BALANCERS));
                if self.source_ranges[at] {
                    service.source_ranges = vec![IpNet::V4(addresses::PODS)];
                }
            }
        }
        if self.external_local[at] {
            service.external_policy = Policy::Local;
            if kind == Kind::LoadBalancer {
                service.health_check_node_port = node_port();
            }
        }
    }
}
