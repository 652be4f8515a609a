//! Addresses that no Service of a lab has: for what syncs add, and for packets that are to match nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::Ipv4Net;

use crate::addresses::{UDP_PORTS, unused_address};
use crate::service::{Endpoint, Protocol, Service};
use crate::synthetic::unused_service;

/// Where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// Beside those of synthetic Services.
    Synthetic,
    /// In blocks that a cluster leaves free.
    Blocks {
        /// Endpoints, routed like others.
        endpoints: Ipv4Net,
        /// Services.
        services: Ipv4Net,
    },
}

impl Unused {
    /// The address of an endpoint that no Service has.
    pub fn endpoint(self, number: u32) -> IpAddr {
        match self {
            Unused::Synthetic => unused_address(number),
            Unused::Blocks { endpoints, .. } => nth(endpoints, number),
        }
    }

    /// A UDP Service that is in no set: `number` below 250, at most 1,000 endpoints.
    pub fn service(self, number: u32, endpoints: u32) -> Service {
        let Unused::Blocks { endpoints: block, services } = self else {
            return unused_service(number, endpoints);
        };
        let cluster = SocketAddr::new(nth(services, number), UDP_PORTS.0);
        // The upper half: `endpoint` is asked for small numbers.
        let first = 1 << (31 - u32::from(block.prefix_len()));
        let endpoint = |k| Endpoint::ready(SocketAddr::new(nth(block, first + k), UDP_PORTS.1), false);
        let endpoints = (0..endpoints.min(1000)).map(endpoint).collect();
        Service::new("svcbench", format!("spare-{number:03}"), "dns", Protocol::Udp, cluster, endpoints)
    }
}

/// An address of a block that is neither its first nor its last; numbers come round.
fn nth(block: Ipv4Net, number: u32) -> IpAddr {
    let hosts = (1_u64 << (32 - block.prefix_len())).saturating_sub(2).max(1);
    let host = 1 + u64::from(number) % hosts;
    Ipv4Addr::from(u32::from(block.network()).wrapping_add(host as u32)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_give_what_is_in_them() {
        let blocks = Unused::Blocks {
            endpoints: "198.18.0.0/16".parse().unwrap(),
            services: "198.19.0.0/24".parse().unwrap(),
        };
        assert_eq!(blocks.endpoint(0).to_string(), "198.18.0.1");
        assert_eq!(blocks.endpoint(65_534).to_string(), "198.18.0.1", "they come round");
        let service = blocks.service(39, 1000);
        assert_eq!(service.cluster.to_string(), "198.19.0.40:53");
        assert_eq!(service.endpoints().len(), 1000);
        let in_block = |endpoint: &Endpoint| endpoint.address.ip() > blocks.endpoint(20_000);
        assert!(service.endpoints().iter().all(in_block));
        assert_eq!(Unused::Synthetic.endpoint(7), unused_address(7));
        assert_eq!(Unused::Synthetic.service(7, 2), unused_service(7, 2));
    }
}
