//! What is published of a set is what a reader of a cluster reads.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use apiserver::objects::{NodeSpec, Published, node, service_cidr, with_agreeing_ports};
use apiserver::{Change, Options, Server};
use ipnet::IpNet;
use proptest::prelude::*;
use services::cluster::ClusterInput;
use services::service::{Endpoint, Family, Service};
use services::service_set::{Scale, ServiceSet};
use services::shape::Shape;

use crate::support::{get, server};

const NODE: &str = "node1";

/// What the server lists, as kubectl would print it, read back.
fn read_back(server: &Server) -> ClusterInput {
    let mut text = Vec::new();
    for path in ["/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices", "/api/v1/nodes"] {
        text.extend(get(server, path).body);
    }
    ClusterInput::read_from(&text[..], "the server's lists", Some(NODE)).unwrap()
}

type Sorted<'a> = BTreeMap<(String, String, String, &'static str), &'a Service>;

fn sorted(set: &ServiceSet) -> Sorted<'_> {
    let key = |service: &Service| {
        (service.namespace.clone(), service.name.clone(), service.port_name.clone(), service.protocol.name())
    };
    set.services().iter().map(|service| (key(service), &**service)).collect()
}

/// The same Services with the addresses of the other family.
fn as_ipv6(set: &ServiceSet) -> ServiceSet {
    let ip = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets().map(u16::from);
            IpAddr::from(Ipv6Addr::new(0xfd00, 0, 0, 0, a, b, c, d))
        }
        IpAddr::V6(v6) => (*v6).into(),
    };
    let socket = |address: &SocketAddr| SocketAddr::new(ip(&address.ip()), address.port());
    let other = |service: &std::sync::Arc<Service>| {
        let mut other = Service::clone(service);
        other.cluster = socket(&service.cluster);
        other.external_ips = service.external_ips.iter().map(ip).collect();
        other.load_balancer_ips = service.load_balancer_ips.iter().map(ip).collect();
        let ranges = service.source_ranges.iter();
        other.source_ranges =
            ranges.map(|range| IpNet::new(ip(&range.addr()), 64).unwrap().trunc()).collect();
        let endpoints = service.endpoints().iter();
        other.set_endpoints(endpoints.map(|e| Endpoint { address: socket(&e.address), ..*e }).collect());
        other
    };
    set.services().iter().map(other).collect()
}

fn shape() -> impl Strategy<Value = Shape> {
    let share = || prop::sample::select(vec!["0.0", "0.1", "0.5"]);
    let kinds = prop::array::uniform5(prop::sample::select(vec!["0.0", "0.1", "0.2"]));
    let others = prop::collection::vec(share(), 9);
    (kinds, others, any::<bool>()).prop_map(|(kinds, others, zipf)| {
        let kind_names = ["node_ports", "load_balancers", "external_ips", "headless", "no_endpoints"];
        let other_names = [
            "udp",
            "sctp",
            "external_local",
            "internal_local",
            "affinity",
            "source_ranges",
            "second_ports",
            "local_endpoints",
            "terminating",
        ];
        let lines = kind_names.iter().zip(kinds).chain(other_names.iter().zip(others));
        let mut text: String = lines.map(|(name, share)| format!("{name} = {share}\n")).collect();
        if zipf {
            text += "endpoints = { zipf = 1.0 }\n";
        }
        toml::from_str(&text).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_set_is_read_back_as_it_was(
        shapes in prop::collection::vec((shape(), 1_u32..25, 1_u32..15), 1..4),
        seed: u64,
        dual in any::<bool>(),
    ) {
        let server = server(Options::default());
        let mut published = Published::new(NODE);
        server.apply([Change::Put(node(&NodeSpec {
            name: NODE.into(),
            addresses: vec!["172.30.0.1".parse().unwrap()],
            pod_cidrs: vec!["10.128.0.0/9".parse().unwrap()],
            has_zone: true,
            version: "v1.37.2".into(),
        }).into())]).unwrap();
        // One after another: the way from set to set must lead to the same.
        for (shape, services, endpoints) in shapes {
            let set = ServiceSet::shaped(Scale { services, endpoints }, &shape, seed);
            let set = with_agreeing_ports(&set);
            let other = if dual { as_ipv6(&set) } else { ServiceSet::default() };
            server.apply(published.change_to(&[&set, &other], None).unwrap()).unwrap();
            if set.is_empty() {
                prop_assert_eq!(server.count(apiserver::Resource::Services), 0);
                prop_assert_eq!(server.count(apiserver::Resource::EndpointSlices), 0);
                continue;
            }
            let found = read_back(&server);
            prop_assert_eq!(sorted(found.set(Family::Ipv4)), sorted(&set));
            prop_assert_eq!(sorted(found.set(Family::Ipv6)), sorted(&other));
            prop_assert_eq!(found.cluster_cidr(Family::Ipv4), Some("10.128.0.0/9".parse().unwrap()));
            prop_assert_eq!(found.node_address(Family::Ipv4), Some("172.30.0.1".parse().unwrap()));
        }
    }
}

#[test]
fn many_endpoints_are_several_slices() {
    let server = server(Options::default());
    let mut published = Published::new(NODE);
    let set = ServiceSet::synthetic(Scale { services: 2, endpoints: 250 }, 1);
    let ranges = ["10.96.0.0/12".parse().unwrap()];
    server.apply([Change::Put(service_cidr(&ranges).into())]).unwrap();
    server.apply(published.change_to(&[&set], None).unwrap()).unwrap();
    assert_eq!(server.count(apiserver::Resource::EndpointSlices), 6);
    let exchanged = set.with_endpoint_replaced(0, "10.200.0.1".parse().unwrap());
    let applied = server.apply(published.change_to(&[&exchanged], None).unwrap()).unwrap();
    assert_eq!(applied.changes, 1);
    assert_eq!(sorted(read_back(&server).set(Family::Ipv4)), sorted(&exchanged));
}
