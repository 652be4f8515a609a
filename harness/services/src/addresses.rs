//! Where synthetic Services and endpoints take their addresses and ports from.
//!
//! The prefixes are private (RFC 1918) and live only inside namespaces that the harness made.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

/// Cluster IPs: 10.96.0.0/12, kubeadm's default Service range.
pub const SERVICES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 12);
/// All pods, kube-proxy's cluster CIDR: clients and endpoints.
pub const PODS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 128, 0, 0), 9);
/// Pods that send packet probes.
pub const PROBES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 128, 0, 0), 17);
/// Pods that open sockets.
pub const CLIENTS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 128, 128, 0), 17);
/// Endpoints, and addresses that are no Service: everything in [`PODS`] above the clients.
pub const ENDPOINTS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 192, 0, 0), 10);
/// Ingress IPs of load balancers, as many as are in 198.18.0.0/16 (RFC 2544: for benchmarks).
pub const LOAD_BALANCERS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 16);
/// External IPs.
pub const EXTERNAL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 19, 0, 0), 16);
/// The node itself.
pub const NODE: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);

/// Largest number of Services: what fits 10.96.0.0/12.
pub const MAX_SERVICES: u32 = 1_000_000;
/// Largest number of endpoints in all: what fits the endpoint prefix, with room for spare ones.
pub const MAX_ENDPOINTS: u64 = 3_000_000;

/// Port on which synthetic TCP Services listen and their endpoints answer.
pub const TCP_PORTS: (u16, u16) = (80, 8080);
/// Port on which synthetic UDP Services listen and their endpoints answer.
pub const UDP_PORTS: (u16, u16) = (53, 5353);
/// Port on which synthetic SCTP Services listen and their endpoints answer.
pub const SCTP_PORTS: (u16, u16) = (3868, 3868);

/// An address in the endpoint prefix that no Service ever uses: `number` below 2^20.
pub fn unused_address(number: u32) -> IpAddr {
    nth(ENDPOINTS, number % (1 << 20))
}

/// Address number `index` of a prefix.
pub(crate) fn nth(prefix: Ipv4Net, index: u32) -> IpAddr {
    Ipv4Addr::from(u32::from(prefix.network()).wrapping_add(index)).into()
}
