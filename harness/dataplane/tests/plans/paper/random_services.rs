//! Random Services with everything that kube-proxy knows of them, for property tests of all modes: [`services::objects`], drawn
//! so that what fails becomes small.

use dataplane::{KubeProxy, Node};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use services::objects::{self, Kind, Object, Pod, Port, RANGES};
use services::service::{Condition, Family, Hints, Policy, Protocol};
use services::service_set::ServiceSet;

/// Objects in one set at most; each has up to three ports.
const OBJECTS: usize = 6;
/// Names of objects. Few, so that they come again.
const NAMES: u8 = 8;
const NODE_PORTS: u16 = 6;
const PODS: u8 = 10;

/// The node of these Services: pods with even numbers run on it.
pub(crate) fn node(family: Family, kube_proxy: KubeProxy) -> Node {
    Node {
        address: objects::node(family),
        cluster_cidr: Some(objects::cluster_cidr(family)),
        ..Node::lab(kube_proxy)
    }
}

/// Up to six objects with up to three ports each, in any order.
pub(crate) fn sets(family: Family) -> impl Strategy<Value = ServiceSet> {
    vec(object(), 0..=OBJECTS)
        .prop_map(move |objects| objects::services(family, &objects).services().to_vec())
        .prop_shuffle()
        .prop_map(|services| services.into_iter().collect())
}

/// Either family, and a set of it.
pub(crate) fn sets_of_either_family() -> impl Strategy<Value = (Family, ServiceSet)> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
        .prop_flat_map(|family| sets(family).prop_map(move |set| (family, set)))
}

fn object() -> impl Strategy<Value = Object> {
    let identity = (0..NAMES, prop::bool::weighted(0.1), vec(port(), 1..=3));
    let policy = || prop_oneof![2 => Just(Policy::Cluster), 1 => Just(Policy::Local)];
    let affinity = option::weighted(0.3, prop_oneof![Just(10_800), 1..=86_400_u32]);
    // Seldom many: with one or none, most has been seen.
    let pods = prop_oneof![1 => Just(Vec::new()), 4 => vec(pod(), 0..5)];
    (identity, kind(), btree_set(0..3_u8, 0..=2), (policy(), policy()), affinity, pods).prop_map(
        |(
            (number, again, ports),
            kind,
            external_ips,
            (external_policy, internal_policy),
            affinity_seconds,
            pods,
        )| Object {
            number,
            again,
            families: Family::ALL.to_vec(),
            kind,
            ports,
            external_ips,
            external_policy,
            internal_policy,
            affinity_seconds,
            pods,
        },
    )
}

/// Without hints, which are a matter of which endpoints there are to route to.
fn pod() -> impl Strategy<Value = Pod> {
    (0..PODS, prop::bool::weighted(0.3)).prop_map(|(number, terminates)| Pod {
        number,
        condition: if terminates { Condition::Terminating } else { Condition::Ready },
        hints: Hints::NONE,
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    let balanced = (btree_set(0..3_u8, 0..=2), btree_set(0..RANGES, 0..=2), any::<bool>());
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
