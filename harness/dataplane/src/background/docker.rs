//! Docker: bridge networks with containers that publish a port each.
//!
//! Source: Docker Engine 29 with its iptables backend; moby keeps a listing of what it installs in
//! `integration/network/bridge/iptablesdoc/generated` (`new-daemon.md`, `usernet-portmap.md`), which a test here
//! repeats. Engine 28 has DOCKER-ISOLATION-STAGE-1 and -2 where 29 has DOCKER-INTERNAL; before 28 there were no
//! DOCKER-FORWARD, DOCKER-CT and DOCKER-BRIDGE. Engine 29's nftables backend is experimental and not the default.
//!
//! The policy of FORWARD stays ACCEPT: Docker makes it DROP only where it has to switch on `ip_forward` itself, which
//! nodes of Kubernetes have on before Docker starts.
//!
//! What a packet of a lab meets: in raw PREROUTING one rule for each container, every packet; in FORWARD, unless
//! kube-proxy has accepted it before, two rules for each network, none of which matches; in nat, chain DOCKER only if
//! it is sent to an address of the node.

use std::net::Ipv4Addr;

use serde::Deserialize;
use services::bounded::within;

use super::ruleset::{Hook, HookPosition, PlannedTable, Ruleset};

/// Its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Docker {
    /// Containers, each with one published TCP port. 0 to 1,000.
    #[serde(deserialize_with = "within::<_, 0, 1000>")]
    pub containers: u32,
    /// User-defined bridge networks, over which the containers are spread; none: all are on `docker0`. 0 to 31.
    #[serde(default = "one", deserialize_with = "within::<_, 0, 31>")]
    pub networks: u32,
}

fn one() -> u32 {
    1
}

/// The first published port: below those that Kubernetes gives to Services.
const FIRST_PORT: u32 = 20_000;
/// The port of every container.
const CONTAINER_PORT: u16 = 80;

/// A bridge network.
struct Network {
    bridge: String,
    /// Of 172.17.0.0/16 and the networks behind it, which is where Docker begins.
    subnet: Ipv4Addr,
}

impl Docker {
    /// `docker0`, which is there always, and the user-defined ones.
    fn networks(self) -> Vec<Network> {
        (0..=self.networks)
            .map(|number| Network {
                // Docker takes the first digits of a random id.
                bridge: if number == 0 {
                    "docker0".into()
                } else {
                    format!("br-{:012x}", u64::from(number) << 24)
                },
                subnet: Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 17, 0, 0)) + (number << 16)),
            })
            .collect()
    }

    /// Its rules.
    pub fn ruleset(self) -> Ruleset {
        let networks = self.networks();
        let user_defined = if networks.len() > 1 { &networks[1..] } else { &networks[..] };
        let containers: Vec<Container<'_>> = (0..self.containers)
            .map(|number| {
                let network = &user_defined[number as usize % user_defined.len()];
                // The first address is the bridge's.
                let host = 2 + number / user_defined.len() as u32;
                let address = Ipv4Addr::from(u32::from(network.subnet) + host);
                Container { bridge: &network.bridge, address, port: FIRST_PORT + number }
            })
            .collect();
        Ruleset {
            sets: Vec::new(),
            tables: vec![raw(&containers), nat(&networks, &containers), filter(&networks, &containers)],
        }
    }
}

struct Container<'a> {
    bridge: &'a str,
    address: Ipv4Addr,
    port: u32,
}

/// Nobody but its own network may address a container directly.
fn raw(containers: &[Container<'_>]) -> PlannedTable {
    let drop = |c: &Container<'_>| format!("-d {}/32 ! -i {} -j DROP", c.address, c.bridge);
    let rules = containers.iter().map(drop).collect();
    PlannedTable {
        name: "raw",
        chains: Vec::new(),
        hooks: vec![Hook { chain: "PREROUTING", place: HookPosition::Bottom, rules }],
    }
}

fn nat(networks: &[Network], containers: &[Container<'_>]) -> PlannedTable {
    let publish = |c: &Container<'_>| {
        let (bridge, port, address) = (c.bridge, c.port, c.address);
        format!(
            "! -i {bridge} -p tcp -m tcp --dport {port} -j DNAT --to-destination {address}:{CONTAINER_PORT}"
        )
    };
    let masquerade = |n: &Network| format!("-s {}/16 ! -o {} -j MASQUERADE", n.subnet, n.bridge);
    let hook = |chain, place, rules| Hook { chain, place, rules };
    PlannedTable {
        name: "nat",
        chains: vec![("DOCKER".into(), containers.iter().map(publish).collect())],
        hooks: vec![
            hook("PREROUTING", HookPosition::Bottom, vec!["-m addrtype --dst-type LOCAL -j DOCKER".into()]),
            hook(
                "OUTPUT",
                HookPosition::Bottom,
                vec!["! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER".into()],
            ),
            // The newest network is first.
            hook("POSTROUTING", HookPosition::Top, networks.iter().rev().map(masquerade).collect()),
        ],
    }
}

fn filter(networks: &[Network], containers: &[Container<'_>]) -> PlannedTable {
    let of_networks = |rule: fn(&str) -> String| networks.iter().map(move |network| rule(&network.bridge));
    let accept = |c: &Container<'_>| {
        let (address, bridge) = (c.address, c.bridge);
        format!("-d {address}/32 ! -i {bridge} -o {bridge} -p tcp -m tcp --dport {CONTAINER_PORT} -j ACCEPT")
    };
    let jumps = ["-j DOCKER-CT", "-j DOCKER-INTERNAL", "-j DOCKER-BRIDGE"].map(str::to_owned);
    let chains = [
        // The newest container is first; networks drop the rest, the oldest first.
        (
            "DOCKER",
            containers
                .iter()
                .rev()
                .map(accept)
                .chain(of_networks(|bridge| format!("! -i {bridge} -o {bridge} -j DROP")))
                .collect(),
        ),
        ("DOCKER-BRIDGE", of_networks(|bridge| format!("-o {bridge} -j DOCKER")).collect()),
        (
            "DOCKER-CT",
            of_networks(|bridge| format!("-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"))
                .collect(),
        ),
        (
            "DOCKER-FORWARD",
            jumps.into_iter().chain(of_networks(|bridge| format!("-i {bridge} -j ACCEPT"))).collect(),
        ),
        ("DOCKER-INTERNAL", Vec::new()),
        ("DOCKER-USER", Vec::new()),
    ];
    let rules = ["-j DOCKER-USER", "-j DOCKER-FORWARD"].map(str::to_owned).into();
    PlannedTable {
        name: "filter",
        chains: chains.into_iter().map(|(name, rules)| (name.to_owned(), rules)).collect(),
        hooks: vec![Hook { chain: "FORWARD", place: HookPosition::Top, rules }],
    }
}
