//! kube-proxy's nftables mode: the rules of each feature, what changes send, and what the model counts, on paper.

mod changes;
mod features;
mod properties;

use crate::paper::random_services;
use std::net::{IpAddr, SocketAddr};

use dataplane::{Dataplane, KubeProxy, Mode, Node, Phase, Plan, planner};
use services::service::{Endpoint, Family, Protocol, Service};
use services::service_set::ServiceSet;

/// Each form of the table; 1.35 has that of 1.34.
const VERSIONS: [KubeProxy; 4] = [KubeProxy::V1_30, KubeProxy::V1_34, KubeProxy::V1_36, KubeProxy::V1_37];

/// Node 192.0.2.1 or 2001:db8::1; pods 10.244.0.0/16 or fd00:244::/56.
fn nftables(family: Family, version: KubeProxy) -> Box<dyn Dataplane> {
    nftables_on(random_services::node(family, version))
}

fn nftables_on(node: Node) -> Box<dyn Dataplane> {
    planner(Mode::Nftables, node)
}

/// Service demo/web, port http, with endpoints on this node (those with an even last number) and others.
fn web(family: Family, endpoints: &[u8]) -> Service {
    let cluster = SocketAddr::new(ip(family, "10.96.0.10", "fd00:10:96::a"), 80);
    let endpoints = endpoints.iter().map(|&last| endpoint(family, last)).collect();
    Service::new("demo", "web", "http", Protocol::Tcp, cluster, endpoints)
}

fn endpoint(family: Family, last: u8) -> Endpoint {
    let local = last.is_multiple_of(2);
    let node = if local { 0 } else { 1 };
    let address = ip(family, &format!("10.244.{node}.{last}"), &format!("fd00:244:0:{node}::{last:x}"));
    Endpoint::ready(SocketAddr::new(address, 8080), local)
}

fn ip(family: Family, v4: &str, v6: &str) -> IpAddr {
    match family {
        Family::Ipv4 => v4,
        Family::Ipv6 => v6,
    }
    .parse()
    .unwrap()
}

fn set(services: impl IntoIterator<Item = Service>) -> ServiceSet {
    services.into_iter().collect()
}

/// Input of the one transaction that a sync has.
fn transaction(plan: &Plan) -> String {
    let mut inputs =
        plan.steps.iter().filter(|step| step.phase == Phase::Restore).map(|step| step.input().unwrap());
    let input = String::from_utf8(inputs.next().unwrap().to_vec()).unwrap();
    assert_eq!(inputs.next(), None);
    input
}
