//! One synthetic Service by its number: the same in every set.

use std::net::SocketAddr;

use crate::addresses::{self, MAX_SERVICES, SCTP_PORTS, TCP_PORTS, UDP_PORTS, nth, unused_address};
use crate::service::{Endpoint, Protocol, Service};

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
pub fn unused_service(number: u32, endpoints: u32) -> Service {
    let cluster = SocketAddr::new(nth(addresses::SERVICES, MAX_SERVICES + 512 + number), UDP_PORTS.0);
    let first = (1 << 19) + number * endpoints;
    let endpoint = |k| Endpoint::ready(SocketAddr::new(unused_address(k), UDP_PORTS.1), false);
    let endpoints = (first..first + endpoints).map(endpoint).collect();
    Service::new("svcbench", format!("spare-{number:03}"), "dns", Protocol::Udp, cluster, endpoints)
}

/// Endpoint number `k` of the cluster, on some other node.
pub fn synthetic_endpoint(k: u32, target_port: u16) -> Endpoint {
    // The lower quarter of the prefix is kept for spare endpoints and for addresses that are no Service.
    let offset = 1 << 20;
    Endpoint::ready(SocketAddr::new(nth(addresses::ENDPOINTS, offset + k), target_port), false)
}
