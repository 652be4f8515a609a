//! Addresses for the lab of a cluster: none that it uses itself, and probes from where its pods are.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::chosen::Chosen;
use crate::address_blocks::{ELSEWHERE, LabBlocks, PROBES, free, host, own};
use crate::service_set::ServiceSet;
use crate::unused::Unused;

/// The addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabAddresses {
    /// What the lab is built on. Probes come from inside the cluster CIDR, if there is one, so that nothing is masqueraded. The
    /// node is not the cluster's: some of its endpoints are on the node itself, and no packet would leave for them.
    pub blocks: LabBlocks,
    /// Addresses that no Service has.
    pub unused: Unused,
    /// What is routed like endpoints: the cluster's, and spare ones. No Service address is in it.
    pub endpoints: Vec<Ipv4Net>,
}

/// Why there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Inside the cluster CIDR.
    #[error(
        "endpoints fill the cluster CIDR so that no block of 16 addresses is left, from which packets could be sent as if by \
         pods; give a wider --cluster-cidr"
    )]
    Cidr,
    /// Anywhere.
    #[error("the cluster uses so many addresses that none are left for a lab")]
    Everything,
}

impl LabAddresses {
    /// Chooses.
    ///
    /// # Errors
    /// [`Full`].
    pub fn choose(chosen: &Chosen) -> Result<Self, Full> {
        let endpoints = endpoints(&chosen.set);
        let used: BTreeSet<u32> = services(&chosen.set).chain(endpoints.iter().copied()).collect();
        let cidr = match chosen.cluster_cidr {
            Some(IpNet::V4(cidr)) => Some(cidr.trunc()),
            _ => None,
        };
        let probes = match cidr {
            Some(cidr) => free(cidr, PROBES, &used).ok_or(Full::Cidr)?,
            None => free(ELSEWHERE, PROBES, &used).ok_or(Full::Everything)?,
        };
        let taken: Vec<Ipv4Net> = cidr.into_iter().chain([probes]).collect();
        // Half for spare endpoints; of the rest five small blocks.
        let own = own((16, 18), &used, &taken).find_map(|block| {
            let halves: Vec<Ipv4Net> = block.subnets(block.prefix_len() + 1).ok()?.collect();
            let [spare, rest] = halves.try_into().ok()?;
            let small: Vec<Ipv4Net> = rest.subnets(24).ok()?.take(5).collect();
            Some((spare, <[Ipv4Net; 5]>::try_from(small).ok()?))
        });
        let (spare, [clients, of_services, of_endpoints, spare_services, node]) =
            own.ok_or(Full::Everything)?;
        let mut routed = routes(&endpoints, &used);
        routed.push(spare);
        Ok(Self {
            blocks: LabBlocks { probes, node: host(node), own: [clients, of_services, of_endpoints] },
            unused: Unused::Blocks { endpoints: spare, services: spare_services },
            endpoints: routed,
        })
    }
}

/// Addresses that Services are reached at.
fn services(set: &ServiceSet) -> impl Iterator<Item = u32> {
    set.services().iter().flat_map(|service| {
        let external = service.external_addresses().map(|address| address.ip());
        external.chain([service.cluster.ip()]).filter_map(v4)
    })
}

fn endpoints(set: &ServiceSet) -> BTreeSet<u32> {
    let all = set.services().iter().flat_map(|service| service.endpoints());
    all.filter_map(|endpoint| v4(endpoint.address.ip())).collect()
}

fn v4(address: IpAddr) -> Option<u32> {
    match address {
        IpAddr::V4(address) => Some(address.into()),
        IpAddr::V6(_) => None,
    }
}

/// Prefixes that hold all endpoints and no other address in use: a /24 where that can be.
fn routes(endpoints: &BTreeSet<u32>, used: &BTreeSet<u32>) -> Vec<Ipv4Net> {
    let mut routes = Vec::new();
    let mut rest = endpoints.iter().copied().peekable();
    while let Some(&first) = rest.peek() {
        let block = Ipv4Net::new_assert(Ipv4Addr::from(first), 24).trunc();
        let last = u32::from(block.broadcast());
        let own: Vec<u32> = std::iter::from_fn(|| rest.next_if(|&address| address <= last)).collect();
        if used.range(u32::from(block.network())..=last).count() == own.len() {
            routes.push(block);
        } else {
            routes.extend(own.into_iter().map(|address| Ipv4Net::from(Ipv4Addr::from(address))));
        }
    }
    Ipv4Net::aggregate(&routes)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::service::{Endpoint, Family, Protocol, Service};

    fn chosen(cidr: Option<&str>, services: &[u32], endpoints: &[u32]) -> Chosen {
        let at = |address: u32, port| SocketAddr::new(Ipv4Addr::from(address).into(), port);
        let endpoints: Vec<Endpoint> =
            endpoints.iter().map(|&ip| Endpoint::ready(at(ip, 8080), false)).collect();
        let service = |(number, &ip): (usize, &u32)| {
            Service::new("n", format!("s{number}"), "", Protocol::Tcp, at(ip, 80), endpoints.clone())
        };
        Chosen {
            set: services.iter().enumerate().map(service).collect(),
            family: Family::Ipv4,
            address: Ipv4Addr::LOCALHOST.into(),
            cluster_cidr: cidr.map(|cidr| cidr.parse().unwrap()),
            assumed: Vec::new(),
        }
    }

    fn check(chosen: &Chosen) -> LabAddresses {
        let addresses = LabAddresses::choose(chosen).unwrap();
        let Unused::Blocks { endpoints: spare, services: spare_services } = addresses.unused else {
            panic!()
        };
        let lab = [
            addresses.blocks.probes,
            addresses.blocks.own[0],
            addresses.blocks.own[1],
            addresses.blocks.own[2],
            spare,
            spare_services,
            addresses.blocks.node.into(),
        ];
        for (index, one) in lab.iter().enumerate() {
            let meets = |other: &Ipv4Net| one.contains(other) || other.contains(one);
            assert!(!lab[..index].iter().any(meets), "{lab:?}");
        }
        for service in chosen.set.services() {
            let IpAddr::V4(ip) = service.cluster.ip() else { panic!() };
            assert!(
                lab.iter().chain(&addresses.endpoints).all(|block| !block.contains(&ip)),
                "{ip} in {addresses:?}"
            );
            for endpoint in service.endpoints() {
                let IpAddr::V4(ip) = endpoint.address.ip() else { panic!() };
                assert!(
                    addresses.endpoints.iter().any(|block| block.contains(&ip)),
                    "{ip} not in {addresses:?}"
                );
                assert!(lab.iter().all(|block| !block.contains(&ip)), "{ip} in {addresses:?}");
            }
        }
        addresses
    }

    #[test]
    fn probes_are_pods_beside_the_endpoints() {
        let pods: Vec<u32> = (0..3000).map(|low| 0x0af4_0000 + low).collect();
        let addresses = check(&chosen(Some("10.244.0.0/16"), &[0x0a60_0001], &pods));
        assert_eq!(addresses.blocks.probes.to_string(), "10.244.192.0/18");
        assert_eq!(addresses.blocks.node.to_string(), "198.19.132.1");
        let routes: Vec<String> = addresses.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(routes, ["10.244.0.0/21", "10.244.8.0/22", "198.19.0.0/17"]);
        assert!(
            !check(&chosen(None, &[0x0a60_0001], &pods)).blocks.probes.contains(&Ipv4Addr::from(pods[0]))
        );
    }

    #[test]
    fn a_service_among_endpoints_is_not_routed_with_them() {
        let addresses = check(&chosen(None, &[0x0a00_0001], &[0x0a00_0002, 0x0a00_0003, 0x0a00_0100]));
        let routes: Vec<String> = addresses.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(routes, ["10.0.0.2/31", "10.0.1.0/24", "198.19.0.0/17"]);
    }

    #[test]
    fn a_full_cidr_is_reported() {
        let all: Vec<u32> = (0..256).map(|low| 0x0af4_0000 + low).collect();
        assert_eq!(LabAddresses::choose(&chosen(Some("10.244.0.0/24"), &[1 << 28], &all)), Err(Full::Cidr));
        let most: Vec<u32> = all.iter().copied().filter(|address| address & 0xf0 != 0x50).collect();
        assert_eq!(
            check(&chosen(Some("10.244.0.0/24"), &[1 << 28], &most)).blocks.probes.to_string(),
            "10.244.0.80/28"
        );
    }

    proptest! {
        #[test]
        fn lab_and_cluster_share_no_address(
            services in prop::collection::btree_set(0x0a00_0000_u32..0x0b00_0000, 1..20),
            pods in prop::collection::btree_set(prop_oneof![0x0af4_0000_u32..0x0af4_f000, 0xc612_0000_u32..0xc613_0000, 0xac1e_0000_u32..0xac1e_0100], 0..40),
        ) {
            let outside = |address: &u32| !pods.contains(address) && address >> 16 != 0x0af4;
            let services: Vec<u32> = services.into_iter().filter(outside).collect();
            let pods: Vec<u32> = pods.iter().copied().collect();
            check(&chosen(Some("10.244.0.0/16"), &services, &pods));
        }
    }
}
