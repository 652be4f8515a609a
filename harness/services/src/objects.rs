//! Service objects as a few small numbers, with everything that kube-proxy knows of a Service: what random sets are made of.
//!
//! The numbers are few, so that two sets that are made one after the other share Services, node ports and addresses: as many
//! changes as additions and removals. No two Services of one set are in each other's way: each cluster IP, external IP,
//! load-balancer IP and node port has one Service for a port and protocol, as the API server and those who assign addresses
//! see to it; and all ports of an object have what an object has once.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::service::{Condition, Endpoint, Family, Hints, Policy, Protocol, Service};
use crate::service_set::ServiceSet;

/// Namespace of the Services.
pub const NAMESPACE: &str = "random";
/// Source ranges there are to choose from: one that leaves the node out, one that has it, everybody, and one address.
pub const RANGES: usize = 4;

/// What a Service object is; addresses follow from its numbers and the family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name and addresses.
    pub number: u8,
    /// Deleted and made again, with another cluster IP.
    pub again: bool,
    /// Families it has: one or both.
    pub families: Vec<Family>,
    /// Its type.
    pub kind: Kind,
    /// Its ports. Those that are there twice count once.
    pub ports: Vec<Port>,
    /// External IPs, by number.
    pub external_ips: BTreeSet<u8>,
    /// `externalTrafficPolicy`, if it can be reached from outside.
    pub external_policy: Policy,
    /// `internalTrafficPolicy`.
    pub internal_policy: Policy,
    /// Session affinity, seconds.
    pub affinity_seconds: Option<u32>,
    /// Its endpoints. Of those with one number the first counts.
    pub pods: Vec<Pod>,
}

/// `type` of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ClusterIP`.
    ClusterIp,
    /// `NodePort`.
    NodePort,
    /// `LoadBalancer`.
    LoadBalancer {
        /// Its IPs, by number.
        ips: BTreeSet<u8>,
        /// Source ranges, by number, below [`RANGES`].
        ranges: BTreeSet<usize>,
        /// `allocateLoadBalancerNodePorts`.
        with_node_ports: bool,
    },
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number; endpoints listen 1,000 above.
    pub number: u16,
    /// Its node port, above 30,000, unless somebody has it.
    pub node_port: u16,
}

/// An endpoint of all ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its address. Those with even numbers are on the node.
    pub number: u8,
    /// Whether it is ready.
    pub condition: Condition,
    /// For whom it is meant.
    pub hints: Hints,
}

/// Address of the node that these Services are for.
pub const fn node(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    }
}

/// All pods.
pub const fn cluster_cidr(family: Family) -> IpNet {
    match family {
        Family::Ipv4 => IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 244, 0, 0), 16)),
        Family::Ipv6 => IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x244, 0, 0, 0, 0, 0, 0), 56)),
    }
}

/// The Service ports of a family. Objects whose name is taken are left out, and so are addresses and node ports: whatever
/// the family, each object gets the same, so that one of two families is one object.
pub fn services(family: Family, objects: &[Object]) -> ServiceSet {
    let mut taken = Taken::default();
    let all = objects.iter().flat_map(|object| {
        let services = taken.services(family, object);
        if object.families.contains(&family) { services } else { Vec::new() }
    });
    all.collect()
}

/// What the Services before have taken.
#[derive(Default)]
struct Taken {
    names: BTreeSet<u8>,
    node_ports: BTreeSet<(Protocol, u16)>,
    addresses: BTreeSet<(Protocol, SocketAddr)>,
}

impl Taken {
    fn services(&mut self, family: Family, object: &Object) -> Vec<Service> {
        if !self.names.insert(object.number) {
            return Vec::new();
        }
        let mut seen = BTreeSet::new();
        let ports: Vec<&Port> =
            object.ports.iter().filter(|port| seen.insert((port.protocol, port.number))).collect();
        let mut free = |net, numbers: &BTreeSet<u8>| -> Vec<IpAddr> {
            let all = numbers.iter().map(|&number| address(family, net, u16::from(number)));
            all.filter(|&ip| self.is_free(ip, &ports)).collect()
        };
        let external_ips = free(Net::External, &object.external_ips);
        let (load_balancer_ips, source_ranges) = match &object.kind {
            Kind::LoadBalancer { ips, ranges: chosen, .. } => {
                let ranges = ranges(family);
                let chosen = chosen.iter().filter_map(|&index| ranges.get(index).copied()).collect();
                (free(Net::LoadBalancer, ips), chosen)
            }
            Kind::ClusterIp | Kind::NodePort => (Vec::new(), Vec::new()),
        };
        let is_accessible = object.kind != Kind::ClusterIp || !object.external_ips.is_empty();
        let external_policy = if is_accessible { object.external_policy } else { Policy::Cluster };
        let is_balanced = matches!(object.kind, Kind::LoadBalancer { .. });
        // One for the whole object.
        let health_check =
            (is_balanced && external_policy == Policy::Local).then(|| 31_000 + u16::from(object.number));
        let is_named = ports.len() > 1 || object.number.is_multiple_of(2);
        let each = ports.iter().map(|port| {
            let mut service = object.service(family, port, is_named);
            service.node_port = self.node_port(&object.kind, port);
            service.external_ips.clone_from(&external_ips);
            service.load_balancer_ips.clone_from(&load_balancer_ips);
            service.source_ranges.clone_from(&source_ranges);
            service.external_policy = external_policy;
            service.internal_policy = object.internal_policy;
            service.health_check_node_port = health_check;
            service.affinity_seconds = object.affinity_seconds;
            service
        });
        each.collect()
    }

    /// Takes an address for all ports of an object, if nobody has it for any of them.
    fn is_free(&mut self, ip: IpAddr, ports: &[&Port]) -> bool {
        let entries = || ports.iter().map(|port| (port.protocol, SocketAddr::new(ip, port.number)));
        let is_free = entries().all(|entry| !self.addresses.contains(&entry));
        if is_free {
            self.addresses.extend(entries());
        }
        is_free
    }

    fn node_port(&mut self, kind: &Kind, port: &Port) -> Option<u16> {
        let has_one = match kind {
            Kind::ClusterIp => false,
            Kind::NodePort => true,
            Kind::LoadBalancer { with_node_ports, .. } => *with_node_ports,
        };
        let node_port = 30_000 + port.node_port;
        (has_one && self.node_ports.insert((port.protocol, node_port))).then_some(node_port)
    }
}

impl Object {
    /// With nothing but its cluster IP and endpoints.
    fn service(&self, family: Family, port: &Port, is_named: bool) -> Service {
        let name = if is_named { format!("{}-{}", port.protocol.name(), port.number) } else { String::new() };
        let cluster = u16::from(self.number) + if self.again { 100 } else { 0 };
        let cluster = SocketAddr::new(address(family, Net::Cluster, cluster), port.number);
        let mut seen = BTreeSet::new();
        let pods = self.pods.iter().filter(|pod| seen.insert(pod.number));
        let endpoints = pods.map(|pod| pod.endpoint(family, port.number + 1000)).collect();
        Service::new(NAMESPACE, format!("service-{}", self.number), name, port.protocol, cluster, endpoints)
    }
}

impl Pod {
    fn endpoint(self, family: Family, port: u16) -> Endpoint {
        let local = self.number.is_multiple_of(2);
        let net = if local { Net::LocalPods } else { Net::RemotePods };
        let address = SocketAddr::new(address(family, net, u16::from(self.number) + 2), port);
        Endpoint { address, local, condition: self.condition, hints: self.hints }
    }
}

/// Who has addresses.
#[derive(Clone, Copy, Debug)]
enum Net {
    Cluster,
    LocalPods,
    RemotePods,
    External,
    LoadBalancer,
}

const fn address(family: Family, net: Net, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    match family {
        Family::Ipv4 => {
            let [a, b, c] = match net {
                Net::Cluster => [10, 96, high],
                Net::LocalPods => [10, 244, 0],
                Net::RemotePods => [10, 244, 1],
                Net::External => [198, 51, 100],
                Net::LoadBalancer => [203, 0, 113],
            };
            IpAddr::V4(Ipv4Addr::new(a, b, c, low))
        }
        Family::Ipv6 => {
            let [a, b, c, d] = match net {
                Net::Cluster => [0xfd00, 0x10, 0x96, 0],
                Net::LocalPods => [0xfd00, 0x244, 0, 0],
                Net::RemotePods => [0xfd00, 0x244, 0, 1],
                Net::External => [0x2001, 0xdb8, 0x51, 0x100],
                Net::LoadBalancer => [0x2001, 0xdb8, 0x203, 0x113],
            };
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, number))
        }
    }
}

const fn ranges(family: Family) -> [IpNet; RANGES] {
    const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> IpNet {
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits))
    }
    const fn v6(c: u16, h: u16, bits: u8) -> IpNet {
        IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, c, 0, 0, 0, 0, h), bits))
    }
    match family {
        Family::Ipv4 => {
            [v4(198, 18, 0, 0, 15), v4(192, 0, 2, 0, 24), v4(0, 0, 0, 0, 0), v4(198, 18, 0, 7, 32)]
        }
        Family::Ipv6 => [
            v6(0x18, 0, 48),
            v6(0, 0, 64),
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
            v6(0x18, 7, 128),
        ],
    }
}
