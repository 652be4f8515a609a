//! One Service for each feature, of either family: what plans are shown for, and what is put into kernels.

use std::net::{IpAddr, SocketAddr};

use dataplane::{KubeProxy, Node};
use netns_setup::ipvs::Scheduler;
use services::service::{Condition, Endpoint, Family, Policy, Protocol, Service};

/// The node whose proxier it is.
pub(crate) fn node(family: Family, kube_proxy: KubeProxy) -> Node {
    let (address, cidr) = match family {
        Family::Ipv4 => ("172.30.0.1", "10.128.0.0/9"),
        Family::Ipv6 => ("2001:db8:30::1", "2001:db8:a::/48"),
    };
    Node {
        address: address.parse().unwrap(),
        cluster_cidr: Some(cidr.parse().unwrap()),
        scheduler: Scheduler::Rr,
        ..Node::lab(kube_proxy)
    }
}

/// Number `last` of a kind of addresses.
fn ip(family: Family, v4: &str, v6: &str, last: u8) -> IpAddr {
    match family {
        Family::Ipv4 => format!("{v4}.{last}").parse().unwrap(),
        Family::Ipv6 => format!("{v6}::{last:x}").parse().unwrap(),
    }
}

fn endpoint(family: Family, last: u8, local: bool) -> Endpoint {
    Endpoint::ready(SocketAddr::new(ip(family, "10.244.0", "2001:db8:a:1", last), 8080), local)
}

pub(crate) fn external(family: Family, last: u8) -> IpAddr {
    ip(family, "198.51.100", "2001:db8:51", last)
}

pub(crate) fn load_balancer(family: Family, last: u8) -> IpAddr {
    ip(family, "203.0.113", "2001:db8:113", last)
}

/// A TCP Service with an endpoint on the node and one elsewhere. Numbers set Services apart.
pub(crate) fn plain(family: Family, number: u8, protocol: Protocol) -> Service {
    let cluster = SocketAddr::new(ip(family, "10.96.0", "2001:db8:96", number), 80);
    let endpoints = vec![endpoint(family, 2 * number, true), endpoint(family, 2 * number + 1, false)];
    Service::new("test", format!("service-{number}"), "main", protocol, cluster, endpoints)
}

fn elsewhere(service: &mut Service) {
    let endpoints = service.endpoints().iter().map(|&endpoint| Endpoint { local: false, ..endpoint });
    service.set_endpoints(endpoints.collect());
}

type Feature = (&'static str, Protocol, fn(&mut Service, u8));

/// What sets a Service apart from [`plain`]; the number makes its addresses and ports its own.
const FEATURES: [Feature; 24] = [
    ("node_port", Protocol::Tcp, |service, number| service.node_port = Some(node_port(number))),
    ("node_port_udp", Protocol::Udp, |service, number| service.node_port = Some(node_port(number))),
    ("node_port_sctp", Protocol::Sctp, |service, number| service.node_port = Some(node_port(number))),
    ("node_port_local", Protocol::Tcp, local_node_port),
    ("node_port_local_udp", Protocol::Udp, local_node_port),
    ("node_port_local_sctp", Protocol::Sctp, local_node_port),
    ("node_port_local_without_local_endpoints", Protocol::Tcp, |service, number| {
        local_node_port(service, number);
        elsewhere(service);
    }),
    ("external_ip", Protocol::Tcp, |service, number| {
        service.external_ips = vec![external(service.family(), number)];
    }),
    ("external_ip_local", Protocol::Udp, |service, number| {
        service.external_ips = vec![external(service.family(), number)];
        service.external_policy = Policy::Local;
    }),
    ("external_ip_of_the_node", Protocol::Tcp, |service, _| {
        service.external_ips = vec![node(service.family(), KubeProxy::NEWEST).address];
    }),
    ("load_balancer", Protocol::Tcp, balancer),
    ("load_balancer_local", Protocol::Tcp, |service, number| {
        balancer(service, number);
        service.external_policy = Policy::Local;
        service.health_check_node_port = Some(31_000 + u16::from(number));
    }),
    ("load_balancer_two_ips", Protocol::Sctp, |service, number| {
        balancer(service, number);
        service.load_balancer_ips.push(load_balancer(service.family(), 100 + number));
    }),
    ("source_ranges", Protocol::Tcp, |service, number| {
        ranges(service, number, ["192.0.2.0/24", "2001:db8:2::/48"])
    }),
    ("source_ranges_with_the_node", Protocol::Udp, |service, number| {
        ranges(service, number, ["172.16.0.0/12", "2001:db8:30::/48"]);
    }),
    ("source_ranges_of_one_address", Protocol::Tcp, |service, number| {
        ranges(service, number, ["192.0.2.7/32", "2001:db8:2::7/128"]);
    }),
    ("source_ranges_of_everything", Protocol::Tcp, |service, number| {
        ranges(service, number, ["0.0.0.0/0", "::/0"]);
    }),
    ("affinity", Protocol::Tcp, |service, number| {
        service.affinity_seconds = Some(10_800);
        service.node_port = Some(node_port(number));
    }),
    ("internal_local", Protocol::Tcp, |service, _| service.internal_policy = Policy::Local),
    ("internal_local_without_local_endpoints", Protocol::Tcp, |service, _| {
        service.internal_policy = Policy::Local;
        elsewhere(service);
    }),
    ("terminating_beside_ready", Protocol::Tcp, |service, _| terminate(service, 1)),
    ("all_terminating", Protocol::Tcp, |service, _| terminate(service, 2)),
    ("no_endpoints", Protocol::Tcp, |service, number| {
        service.node_port = Some(node_port(number));
        service.set_endpoints(Vec::new());
    }),
    ("everything", Protocol::Tcp, |service, number| {
        ranges(service, number, ["192.0.2.0/24", "2001:db8:2::/48"]);
        service.external_ips =
            vec![external(service.family(), number), external(service.family(), 100 + number)];
        service.external_policy = Policy::Local;
        service.internal_policy = Policy::Local;
        service.affinity_seconds = Some(60);
        service.health_check_node_port = Some(31_000 + u16::from(number));
    }),
];

fn node_port(number: u8) -> u16 {
    30_000 + u16::from(number)
}

fn local_node_port(service: &mut Service, number: u8) {
    service.node_port = Some(node_port(number));
    service.external_policy = Policy::Local;
}

fn balancer(service: &mut Service, number: u8) {
    service.node_port = Some(node_port(number));
    service.load_balancer_ips = vec![load_balancer(service.family(), number)];
}

fn ranges(service: &mut Service, number: u8, [v4, v6]: [&str; 2]) {
    balancer(service, number);
    let range = match service.family() {
        Family::Ipv4 => v4,
        Family::Ipv6 => v6,
    };
    service.source_ranges = vec![range.parse().unwrap()];
}

fn terminate(service: &mut Service, count: usize) {
    let mut endpoints = service.endpoints().to_vec();
    endpoints.iter_mut().take(count).for_each(|endpoint| endpoint.condition = Condition::Terminating);
    service.set_endpoints(endpoints);
}

/// Name and Service of each; Service number 1 and up, so that all of them can be in one set.
pub(crate) fn all(family: Family) -> Vec<(&'static str, Service)> {
    let made = |(number, &(name, protocol, change)): (u8, &Feature)| {
        let mut service = plain(family, number, protocol);
        change(&mut service, number);
        (name, service)
    };
    (1..).zip(&FEATURES).map(made).collect()
}
