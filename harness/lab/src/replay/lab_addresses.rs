//! Addresses for the lab of a ruleset: none that it uses itself, and probes from where its own pods are.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use ruleset::Fault;
use ruleset::search::FoundServices;
use services::address_blocks::{ELSEWHERE, LabBlocks, PROBES, free, host, own};
use services::service::Family;

/// The addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayAddresses {
    /// What the lab is built on.
    pub blocks: LabBlocks,
    /// Whether probes come from inside the ruleset's cluster CIDR.
    pub are_pods: bool,
    /// An address that is no Service and no endpoint: inside the cluster CIDR, if there is room.
    pub miss: Ipv4Addr,
}

impl ReplayAddresses {
    /// Chooses.
    ///
    /// # Errors
    /// If the ruleset uses up all private addresses.
    pub fn choose(services: &FoundServices) -> Result<Self, Fault> {
        let used: BTreeSet<u32> = services
            .addresses(Family::Ipv4)
            .filter_map(|address| match address {
                IpAddr::V4(address) => Some(u32::from(address)),
                IpAddr::V6(_) => None,
            })
            .collect();
        let cidr = match services.cluster_cidr(Family::Ipv4) {
            Some(IpNet::V4(cidr)) => Some(cidr.trunc()),
            _ => None,
        };
        let full = || Fault::whole("its Services use so many addresses that none are left for a lab");
        let in_cidr = cidr.and_then(|cidr| free(cidr, PROBES, &used));
        let probes = in_cidr.or_else(|| free(ELSEWHERE, PROBES, &used)).ok_or_else(full)?;
        let taken: Vec<Ipv4Net> = cidr.into_iter().chain([probes]).collect();
        // A block of four: clients, Services and endpoints of the lab, and the node.
        let own = own((22, 22), &used, &taken).find_map(|block| {
            let quarters: Vec<Ipv4Net> = block.subnets(24).ok()?.collect();
            <[Ipv4Net; 4]>::try_from(quarters).ok()
        });
        let [clients, of_services, endpoints, node] = own.ok_or_else(full)?;
        let miss =
            [cidr.unwrap_or(ELSEWHERE), ELSEWHERE].into_iter().find_map(|within| miss(within, probes, &used));
        Ok(Self {
            blocks: LabBlocks { probes, node: host(node), own: [clients, of_services, endpoints] },
            are_pods: in_cidr.is_some(),
            miss: miss.ok_or_else(full)?,
        })
    }
}

/// An address in the middle of what is left.
fn miss(within: Ipv4Net, probes: Ipv4Net, used: &BTreeSet<u32>) -> Option<Ipv4Addr> {
    let (first, last) = (u32::from(within.network()), u32::from(within.broadcast()));
    let half = first + (last - first) / 2;
    let is_free = |address: &u32| !used.contains(address) && !probes.contains(&Ipv4Addr::from(*address));
    // Not the first and last address, which may be the network's and the broadcast address.
    let hosts = (half.max(first + 1)..last).chain(first + 1..half);
    // Probes take up to half of it.
    let after_probes = u32::from(probes.broadcast()).saturating_add(1)..last;
    hosts.take(used.len() + 2).chain(after_probes).find(is_free).map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use ruleset::search::{FoundService, Frontend};
    use services::service::Protocol;

    fn services(cidr: Option<&str>, addresses: &[u32]) -> FoundServices {
        let found = |&address: &u32| FoundService {
            name: "n/s".into(),
            protocol: Protocol::Tcp,
            entry: (Ipv4Addr::from(address), 80).into(),
            frontend: Frontend::Cluster,
            answers: vec![(Ipv4Addr::from(address), 8080).into()],
            is_certain: true,
            line: 1,
            position: 0,
        };
        FoundServices {
            found: addresses.iter().map(found).collect(),
            cluster_cidrs: cidr.map(|cidr| cidr.parse().unwrap()).into_iter().collect(),
            ..FoundServices::default()
        }
    }

    fn is_sound(addresses: &ReplayAddresses, services: &FoundServices) {
        crate::cluster::topology(&addresses.blocks, "test".into()).validate().unwrap();
        let LabBlocks { probes, node, own } = addresses.blocks;
        let all = [probes, own[0], own[1], own[2], node.into()];
        for address in services.addresses(Family::Ipv4) {
            let IpAddr::V4(address) = address else { continue };
            assert!(all.iter().all(|block| !block.contains(&address)), "{address} in {addresses:?}");
            assert_ne!(address, addresses.miss);
        }
        assert!(all.iter().all(|block| !block.contains(&addresses.miss)), "{addresses:?}");
    }

    #[test]
    fn probes_are_pods_where_there_is_room() {
        let pods: Vec<u32> = (0..3000).map(|low| 0x0af4_0000 + low).collect();
        let services = services(Some("10.244.0.0/16"), &pods);
        let addresses = ReplayAddresses::choose(&services).unwrap();
        is_sound(&addresses, &services);
        assert!(addresses.are_pods);
        assert_eq!(addresses.blocks.probes.to_string(), "10.244.192.0/18");
        assert_eq!(addresses.miss.to_string(), "10.244.127.255");
        assert_eq!(addresses.blocks.node.to_string(), "198.19.255.1");
    }

    #[test]
    fn without_a_cidr_or_room_they_come_from_elsewhere() {
        let addresses = ReplayAddresses::choose(&services(None, &[])).unwrap();
        assert!(
            !addresses.are_pods
                && ELSEWHERE.contains(&addresses.blocks.probes)
                && ELSEWHERE.contains(&addresses.miss)
        );
        let all: Vec<u32> = (0..256).map(|low| 0x0af4_0000 + low).collect();
        let crowded = services(Some("10.244.0.0/24"), &all);
        let addresses = ReplayAddresses::choose(&crowded).unwrap();
        is_sound(&addresses, &crowded);
        assert!(!addresses.are_pods);
    }

    proptest! {
        #[test]
        fn no_address_has_two_meanings(
            blocks in prop::collection::vec((prop::sample::select(&[0x0a00_0000_u32, 0x6440_0000, 0xc612_0000, 0xac10_0000][..]), 0_u32..1 << 20), 0..60),
            cidr in prop::option::of((0_u32..1 << 24, 8_u8..=30)),
        ) {
            let used: Vec<u32> = blocks.iter().map(|(block, low)| block + low).collect();
            let cidr = cidr.map(|(low, length)| Ipv4Net::new((0x0a00_0000 + low).into(), length).unwrap().trunc().to_string());
            let services = services(cidr.as_deref(), &used);
            is_sound(&ReplayAddresses::choose(&services).unwrap(), &services);
        }
    }
}
