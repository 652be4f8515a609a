//! Random Services with everything that kube-proxy knows of them, for property tests of all modes.
//!
//! The numbers that they are made from are few, so that two sets drawn one after the other share Services, node ports and
//! addresses: as many changes as additions and removals. No two Services of one set are in each other's way: each
//! cluster IP, external IP, load-balancer IP and node port has one Service for a port and protocol, as the API server and
//! those who assign addresses see to it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dataplane::{KubeProxy, Node};
use ipnet::IpNet;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use services::service::{Condition, Endpoint, Family, Policy, Protocol, Service};
use services::service_set::ServiceSet;

/// Objects in one set at most; each has up to three ports.
const OBJECTS: usize = 6;
/// Names of objects. Few, so that they come again.
const NAMES: u8 = 8;
const NODE_PORTS: u16 = 6;
const PODS: u8 = 10;

/// The node of these Services: pods with even numbers run on it.
pub fn node(family: Family, kube_proxy: KubeProxy) -> Node {
    let (address, pods) = match family {
        Family::Ipv4 => ("192.0.2.1", "10.244.0.0/16"),
        Family::Ipv6 => ("2001:db8::1", "fd00:244::/56"),
    };
    Node {
        address: address.parse().unwrap(),
        cluster_cidr: Some(pods.parse().unwrap()),
        ..Node::lab(kube_proxy)
    }
}

/// Up to six objects with up to three ports each, in any order.
pub fn sets(family: Family) -> impl Strategy<Value = ServiceSet> {
    vec(object(), 0..=OBJECTS)
        .prop_map(move |objects| without_conflicts(family, objects))
        .prop_shuffle()
        .prop_map(|services| services.into_iter().collect())
}

/// Either family, and a set of it.
pub fn sets_of_either_family() -> impl Strategy<Value = (Family, ServiceSet)> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
        .prop_flat_map(|family| sets(family).prop_map(move |set| (family, set)))
}

/// What a Service object is, as numbers; addresses follow from them and the family.
#[derive(Clone, Debug)]
struct Object {
    number: u8,
    /// Deleted and made again, with another cluster IP.
    again: bool,
    kind: Kind,
    ports: Vec<Port>,
    external_ips: BTreeSet<u8>,
    external_policy: Policy,
    internal_policy: Policy,
    affinity_seconds: Option<u32>,
    pods: BTreeSet<(u8, Terminating)>,
}

type Terminating = bool;

#[derive(Clone, Debug)]
enum Kind {
    ClusterIp,
    NodePort,
    LoadBalancer { ips: BTreeSet<u8>, ranges: BTreeSet<usize>, with_node_ports: bool },
}

#[derive(Clone, Debug)]
struct Port {
    protocol: Protocol,
    number: u16,
    node_port: u16,
}

fn object() -> impl Strategy<Value = Object> {
    let identity = (0..NAMES, prop::bool::weighted(0.1), vec(port(), 1..=3));
    let policy = || prop_oneof![2 => Just(Policy::Cluster), 1 => Just(Policy::Local)];
    let affinity = option::weighted(0.3, prop_oneof![Just(10_800), 1..=86_400_u32]);
    // Seldom many: with one or none, most has been seen.
    let pods =
        prop_oneof![1 => Just(BTreeSet::new()), 4 => btree_set((0..PODS, prop::bool::weighted(0.3)), 0..5)];
    (identity, kind(), btree_set(0..3_u8, 0..=2), (policy(), policy()), affinity, pods).prop_map(
        |(
            (number, again, ports),
            kind,
            external_ips,
            (external, internal_policy),
            affinity_seconds,
            pods,
        )| {
            let accessible = !matches!(kind, Kind::ClusterIp) || !external_ips.is_empty();
            let external_policy = if accessible { external } else { Policy::Cluster };
            Object {
                number,
                again,
                kind,
                ports,
                external_ips,
                external_policy,
                internal_policy,
                affinity_seconds,
                pods,
            }
        },
    )
}

fn kind() -> impl Strategy<Value = Kind> {
    let balanced =
        (btree_set(0..3_u8, 0..=2), btree_set(0..ranges(Family::Ipv4).len(), 0..=2), any::<bool>());
    prop_oneof![
        Just(Kind::ClusterIp),
        Just(Kind::NodePort),
        balanced.prop_map(|(ips, ranges, with_node_ports)| Kind::LoadBalancer {
            ips,
            ranges,
            with_node_ports
        }),
    ]
}

fn port() -> impl Strategy<Value = Port> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    (protocol, 0..4_u16, 0..NODE_PORTS).prop_map(|(protocol, number, node_port)| Port {
        protocol,
        number: 8000 + number,
        node_port,
    })
}

fn without_conflicts(family: Family, objects: Vec<Object>) -> Vec<Service> {
    let mut taken = Taken::default();
    objects.into_iter().flat_map(|object| taken.services(family, object)).collect()
}

/// What the Services before have taken.
#[derive(Default)]
struct Taken {
    names: BTreeSet<u8>,
    node_ports: BTreeSet<(Protocol, u16)>,
    addresses: BTreeSet<(Protocol, SocketAddr)>,
}

impl Taken {
    fn services(&mut self, family: Family, object: Object) -> Vec<Service> {
        if !self.names.insert(object.number) {
            return Vec::new();
        }
        let mut ports = BTreeSet::new();
        let of_its_own: Vec<&Port> =
            object.ports.iter().filter(|port| ports.insert((port.protocol, port.number))).collect();
        let named = of_its_own.len() > 1 || object.number.is_multiple_of(2);
        of_its_own.into_iter().map(|port| self.service(family, &object, port, named)).collect()
    }

    fn service(&mut self, family: Family, object: &Object, port: &Port, named: bool) -> Service {
        let protocol = port.protocol;
        let name = if named { format!("{}-{}", protocol.name(), port.number) } else { String::new() };
        let cluster = u16::from(object.number) + if object.again { 100 } else { 0 };
        let cluster = SocketAddr::new(address(family, Net::Cluster, cluster), port.number);
        let endpoints = endpoints(family, &object.pods, port.number + 1000);
        let mut service =
            Service::new("random", format!("service-{}", object.number), name, protocol, cluster, endpoints);
        let mut free = |net, numbers: &BTreeSet<u8>| -> Vec<IpAddr> {
            let all = numbers.iter().map(|&number| address(family, net, u16::from(number)));
            all.filter(|&ip| self.addresses.insert((protocol, SocketAddr::new(ip, port.number)))).collect()
        };
        service.external_ips = free(Net::External, &object.external_ips);
        let mut has_node_port = false;
        match &object.kind {
            Kind::ClusterIp => {}
            Kind::NodePort => has_node_port = true,
            Kind::LoadBalancer { ips, ranges: chosen, with_node_ports } => {
                service.load_balancer_ips = free(Net::LoadBalancer, ips);
                service.source_ranges = chosen.iter().map(|&index| ranges(family)[index]).collect();
                has_node_port = *with_node_ports;
                if object.external_policy == Policy::Local {
                    // One for the whole object.
                    service.health_check_node_port = Some(31_000 + u16::from(object.number));
                }
            }
        }
        let node_port = 30_000 + port.node_port;
        if has_node_port && self.node_ports.insert((protocol, node_port)) {
            service.node_port = Some(node_port);
        }
        service.external_policy = object.external_policy;
        service.internal_policy = object.internal_policy;
        service.affinity_seconds = object.affinity_seconds;
        service
    }
}

fn endpoints(family: Family, pods: &BTreeSet<(u8, Terminating)>, port: u16) -> Vec<Endpoint> {
    let mut seen = BTreeSet::new();
    let pods = pods.iter().filter(|(pod, _)| seen.insert(*pod));
    pods.map(|&(pod, terminating)| {
        let local = pod % 2 == 0;
        let net = if local { Net::LocalPods } else { Net::RemotePods };
        let address = SocketAddr::new(address(family, net, u16::from(pod) + 2), port);
        let condition = if terminating { Condition::Terminating } else { Condition::Ready };
        Endpoint { address, local, condition }
    })
    .collect()
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

fn address(family: Family, net: Net, number: u16) -> IpAddr {
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
            Ipv4Addr::new(a, b, c, low).into()
        }
        Family::Ipv6 => {
            let [a, b, c, d] = match net {
                Net::Cluster => [0xfd00, 0x10, 0x96, 0],
                Net::LocalPods => [0xfd00, 0x244, 0, 0],
                Net::RemotePods => [0xfd00, 0x244, 0, 1],
                Net::External => [0x2001, 0xdb8, 0x51, 0x100],
                Net::LoadBalancer => [0x2001, 0xdb8, 0x203, 0x113],
            };
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, number).into()
        }
    }
}

/// Source ranges: one that leaves the node out, one that has it, everybody, and one address.
fn ranges(family: Family) -> [IpNet; 4] {
    let ranges = match family {
        Family::Ipv4 => ["198.18.0.0/15", "192.0.2.0/24", "0.0.0.0/0", "198.18.0.7/32"],
        Family::Ipv6 => ["2001:db8:18::/48", "2001:db8::/64", "::/0", "2001:db8:18::7/128"],
    };
    ranges.map(|range| range.parse().unwrap())
}
