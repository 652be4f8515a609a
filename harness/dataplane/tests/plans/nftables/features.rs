//! What a Service puts into the table, feature by feature: one snapshot each, with both versions.

use crate::paper::random_services;
use std::fmt::Write as _;

use dataplane::{KubeProxy, Node, Sync};
use services::service::{Condition, Endpoint, Family, Policy, Protocol, Service};
use services::service_set::ServiceSet;

use super::{VERSIONS, ip, nftables_on, set, transaction, web};

/// What the Services add to the transaction of a first sync.
fn added(node: Node, services: &ServiceSet) -> String {
    let of = |to: &ServiceSet| transaction(&nftables_on(node).plan(&ServiceSet::default(), to, Sync::Full));
    of(services).strip_prefix(&of(&ServiceSet::default())).unwrap().to_owned()
}

fn shown_on(node: Node, services: &ServiceSet) -> String {
    VERSIONS.iter().fold(String::new(), |mut text, &kube_proxy| {
        write!(text, "## kube-proxy {}\n{}", kube_proxy.name(), added(Node { kube_proxy, ..node }, services))
            .unwrap();
        text
    })
}

fn shown(services: impl IntoIterator<Item = Service>) -> String {
    let services = set(services);
    shown_on(random_services::node(services.family(), KubeProxy::NEWEST), &services)
}

/// Endpoints 1 and 3 run elsewhere, 2 and 4 here.
fn changed(endpoints: &[u8], change: impl FnOnce(&mut Service)) -> Service {
    let mut service = web(Family::Ipv4, endpoints);
    change(&mut service);
    service
}

fn everything(service: &mut Service) {
    let family = service.family();
    service.node_port = Some(30_080);
    service.external_ips = vec![ip(family, "198.51.100.1", "2001:db8:51:100::1")];
    service.load_balancer_ips = vec![ip(family, "203.0.113.1", "2001:db8:203:113::1")];
}

#[test]
fn cluster_ip() {
    insta::assert_snapshot!(shown([web(Family::Ipv4, &[1, 2])]));
}

#[test]
fn node_port() {
    insta::assert_snapshot!(shown([changed(&[1], |service| service.node_port = Some(30_080))]));
}

#[test]
fn external_ips() {
    insta::assert_snapshot!(shown([changed(&[1], |service| {
        service.external_ips = ["198.51.100.1", "198.51.100.2"].map(|ip| ip.parse().unwrap()).into();
    })]));
}

#[test]
fn load_balancer_with_source_ranges() {
    insta::assert_snapshot!(shown([changed(&[1], |service| {
        service.load_balancer_ips = ["203.0.113.1", "203.0.113.2"].map(|ip| ip.parse().unwrap()).into();
        service.source_ranges = ["198.18.0.0/15", "198.18.7.0/24"].map(|range| range.parse().unwrap()).into();
    })]));
}

/// Then the balancer's own addresses may use it, too: they are the source where the balancer is on the node.
#[test]
fn source_ranges_with_the_node_in_them() {
    insta::assert_snapshot!(shown([changed(&[1], |service| {
        service.load_balancer_ips = ["203.0.113.1", "203.0.113.2"].map(|ip| ip.parse().unwrap()).into();
        service.source_ranges = vec!["192.0.2.0/24".parse().unwrap()];
    })]));
}

#[test]
fn external_policy_local() {
    insta::assert_snapshot!(shown([changed(&[1, 2], |service| {
        everything(service);
        service.external_policy = Policy::Local;
    })]));
}

#[test]
fn external_policy_local_without_local_endpoints() {
    insta::assert_snapshot!(shown([changed(&[1], |service| {
        everything(service);
        service.external_policy = Policy::Local;
    })]));
}

#[test]
fn internal_policy_local() {
    insta::assert_snapshot!(shown([changed(&[1, 2], |service| service.internal_policy = Policy::Local)]));
}

#[test]
fn internal_policy_local_without_local_endpoints() {
    insta::assert_snapshot!(shown([changed(&[1], |service| {
        service.node_port = Some(30_080);
        service.internal_policy = Policy::Local;
    })]));
}

#[test]
fn session_affinity() {
    insta::assert_snapshot!(shown([changed(&[1, 2], |service| service.affinity_seconds = Some(10_800))]));
}

#[test]
fn session_affinity_under_both_policies() {
    insta::assert_snapshot!(shown([changed(&[1, 2], |service| {
        service.node_port = Some(30_080);
        service.external_policy = Policy::Local;
        service.affinity_seconds = Some(60);
    })]));
}

#[test]
fn three_ports_of_one_service() {
    let port = |name: &str, protocol| {
        let mut service = web(Family::Ipv4, &[1]);
        (service.port_name, service.protocol) = (name.to_owned(), protocol);
        service
    };
    // An unnamed port can only be alone; its name in chains ends with a slash.
    let mut alone = port("", Protocol::Tcp);
    (alone.name, alone.cluster) = ("alone".into(), "10.96.0.11:80".parse().unwrap());
    let ports = [port("tcp", Protocol::Tcp), port("udp", Protocol::Udp), port("sctp", Protocol::Sctp)];
    insta::assert_snapshot!(shown(ports.into_iter().chain([alone])));
}

#[test]
fn no_endpoints() {
    insta::assert_snapshot!(shown([changed(&[], |service| {
        everything(service);
        service.source_ranges = vec!["198.18.0.0/15".parse().unwrap()];
        service.external_policy = Policy::Local;
    })]));
}

/// The local endpoint terminates: it is used from outside, where no other is local, and not from inside.
#[test]
fn terminating_endpoints() {
    insta::assert_snapshot!(shown([changed(&[1, 2], |service| {
        service.node_port = Some(30_080);
        service.external_policy = Policy::Local;
        let endpoints = service.endpoints().iter().map(|&endpoint| Endpoint {
            condition: if endpoint.local { Condition::Terminating } else { Condition::Ready },
            ..endpoint
        });
        service.set_endpoints(endpoints.collect());
    })]));
}

#[test]
fn ipv6() {
    let mut service = web(Family::Ipv6, &[1, 2]);
    everything(&mut service);
    service.source_ranges = vec!["2001:db8::/64".parse().unwrap(), "fd00::/8".parse().unwrap()];
    service.external_policy = Policy::Local;
    service.affinity_seconds = Some(10_800);
    insta::assert_snapshot!(shown([service]));
}

/// Nothing is masqueraded for where it comes from, and nobody is known as a pod.
#[test]
fn without_a_cluster_cidr() {
    let service = changed(&[1, 2], |service| {
        service.node_port = Some(30_080);
        service.external_policy = Policy::Local;
    });
    let node = Node { cluster_cidr: None, ..random_services::node(Family::Ipv4, KubeProxy::NEWEST) };
    insta::assert_snapshot!(shown_on(node, &set([service])));
}

#[test]
fn names_of_240_characters() {
    let mut service = web(Family::Ipv6, &[]);
    service.namespace = "s".repeat(63);
    (service.name, service.port_name) = ("n".repeat(63), "p".repeat(63));
    let address = "[fd00:1111:2222:3333:4444:5555:6666:7777]:65535".parse().unwrap();
    service.set_endpoints(vec![Endpoint::ready(address, false)]);
    insta::assert_snapshot!(shown([service]));
}

/// kube-proxy answers health checks itself; the iptables modes only accept the packets.
#[test]
fn health_check_node_ports_leave_nothing() {
    let with = |port| {
        changed(&[2], |service| {
            everything(service);
            service.external_policy = Policy::Local;
            service.health_check_node_port = port;
        })
    };
    assert_eq!(shown([with(Some(31_000))]), shown([with(None)]));
}
