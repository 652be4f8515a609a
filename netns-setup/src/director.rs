//! A load balancer as LVS has it: a client, a director that owns a virtual address, and real servers, wired so that one
//! of the three forwarding methods works. What the director does there is programmed with [`crate::ipvs`].
//!
//! ```text
//! Masquerade                       DirectRouting                     Tunnel
//!
//! client -- director -- server     client  director  server          client -- router -- server (ipip)
//!                   `-- server          \    |     / server                      |   `-- server (ipip)
//!                                     -- one link --                          director
//!
//! servers route back through       servers own the virtual address   servers, in another network, take packets
//! the director                     on lo, silently to ARP, and       out of their tunnel, own the virtual address
//!                                  answer the client themselves      on it, and answer the client themselves
//! ```
//!
//! Besides, packets can be written into the director from a TUN, `probe-in`, and read from one TUN for each real server,
//! so that what the director does with a packet can be seen, and timed, without anybody else's work.

mod wiring;

use std::net::Ipv4Addr;
use std::thread;

use ipnet::Ipv4Net;

use crate::lab::{INGRESS, check_prefixes, quiet_namespace};
use crate::{
    Counters, Egress, Links, Namespace, Route, TopologyError, Tun, TunOptions, VethEnd, WorldError, ipvs,
};
use wiring::{Cable, Machine, Wiring};

/// How packets get from the director to a real server, and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// NAT: the director rewrites addresses both ways.
    Masquerade,
    /// The director changes nothing but the link-layer address; director and real servers share a link.
    DirectRouting,
    /// The director puts each packet into another (IPIP); real servers may be anywhere.
    Tunnel,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 3] = [Method::Masquerade, Method::DirectRouting, Method::Tunnel];

    /// Whether the real servers' packets go to the client without passing the director.
    pub fn spares_the_way_back(self) -> bool {
        self != Method::Masquerade
    }
}

impl From<Method> for ipvs::Forwarding {
    fn from(method: Method) -> Self {
        match method {
            Method::Masquerade => ipvs::Forwarding::Masquerade,
            Method::DirectRouting => ipvs::Forwarding::DirectRouting,
            Method::Tunnel => ipvs::Forwarding::Tunnel,
        }
    }
}

/// Who has which addresses. Pure data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Name in messages and thread names.
    pub label: String,
    /// What is to work.
    pub method: Method,
    /// Sources of packets written into `probe-in`; the director routes them back to it.
    pub probe_prefix: Ipv4Net,
    /// The client has its first address, a router the second.
    pub client_prefix: Ipv4Net,
    /// The real servers have its first addresses.
    pub server_prefix: Ipv4Net,
    /// The director's own address, on all its links.
    pub director: Ipv4Addr,
    /// The address that clients connect to.
    pub virtual_address: Ipv4Addr,
    /// How many real servers.
    pub servers: u8,
}

/// Most real servers: their links need distinct addresses.
const MOST_SERVERS: u8 = 100;

impl Topology {
    /// Checks that every address has one meaning and that there is room for all.
    ///
    /// # Errors
    /// The first fields that overlap, a field in a block that is not forwarded, or a prefix that is too small.
    pub fn validate(&self) -> Result<(), TopologyError> {
        check_prefixes(&[
            ("probe_prefix", self.probe_prefix),
            ("client_prefix", self.client_prefix),
            ("server_prefix", self.server_prefix),
            ("director", Ipv4Net::from(self.director)),
            ("virtual_address", Ipv4Net::from(self.virtual_address)),
        ])?;
        let room = |field, prefix: Ipv4Net, least: usize| match prefix.hosts().take(least).count() == least {
            true => Ok(()),
            false => Err(TopologyError::TooSmall { field, prefix, least }),
        };
        room("client_prefix", self.client_prefix, 2)?;
        match self.servers {
            1..=MOST_SERVERS => room("server_prefix", self.server_prefix, self.servers.into()),
            servers => Err(TopologyError::Servers { servers, most: MOST_SERVERS }),
        }
    }

    /// The client's address.
    pub fn client(&self) -> Ipv4Addr {
        host(self.client_prefix, 0)
    }

    /// The real servers' addresses.
    pub fn real_servers(&self) -> impl Iterator<Item = Ipv4Addr> {
        let prefix = self.server_prefix;
        (0..usize::from(self.servers)).map(move |index| host(prefix, index))
    }

    fn router(&self) -> Ipv4Addr {
        host(self.client_prefix, 1)
    }
}

/// [`Topology::validate`] has seen to it that there is one.
fn host(prefix: Ipv4Net, index: usize) -> Ipv4Addr {
    prefix.hosts().nth(index).unwrap_or(prefix.network())
}

/// The namespaces, wired. Dropping it removes all of it.
pub struct Director {
    /// Where clients connect from.
    pub client: Namespace,
    /// Where IPVS is programmed.
    pub director: Namespace,
    /// Where the real servers listen: at their own address for masquerading, else at the virtual one.
    pub servers: Vec<Namespace>,
    /// Switch or router. Kept, not used.
    _between: Vec<Namespace>,
    ingress: Tun,
    exits: Vec<Tun>,
    links: Vec<String>,
    to_servers: Vec<Route>,
    to_tuns: Vec<Route>,
}

impl Director {
    /// Builds the namespaces and wires them; real servers are reached over their links ([`Egress::Server`]).
    ///
    /// # Errors
    /// [`WorldError::Topology`] for addresses that cannot work, else what the kernel refused: direct routing needs
    /// bridges, tunnels need ipip. Nothing is left behind.
    pub fn build(topology: &Topology) -> Result<Director, WorldError> {
        topology.validate()?;
        let wiring = Wiring::of(topology);
        let mut namespaces = namespaces(&topology.label, &wiring.machines)?;
        for cable in &wiring.cables {
            lay(cable, &namespaces)?;
        }
        for (machine, namespace) in namespaces.iter().enumerate() {
            set_up(&wiring, machine, namespace)?;
        }

        let director = &namespaces[wiring::DIRECTOR];
        let options = TunOptions { nonblocking: true, ..TunOptions::default() };
        let ingress = Tun::open(director, INGRESS, options)?;
        let names = (0..topology.servers).map(|index| format!("probe-out-{index}"));
        let exits = names.map(|name| Tun::open(director, &name, options)).collect::<Result<Vec<_>, _>>()?;
        director.links(|links| {
            for tun in exits.iter().chain([&ingress]) {
                // What a tunnelled packet is sent from.
                links.add_address(tun.name(), Ipv4Net::from(topology.director))?;
                links.set_mtu(tun.name(), wiring::TUNNELLED_MTU)?;
            }
            links.add_route(&Route::device(topology.probe_prefix, INGRESS))
        })?;
        let to_tuns = topology.real_servers().zip(&exits);
        let to_tuns = to_tuns.map(|(server, tun)| Route::device(Ipv4Net::from(server), tun.name())).collect();

        let between = namespaces.split_off(wiring::FIRST_SERVER + usize::from(topology.servers));
        let servers = namespaces.split_off(wiring::FIRST_SERVER);
        let director = namespaces.remove(wiring::DIRECTOR);
        let client = namespaces.remove(wiring::CLIENT);
        Ok(Director {
            client,
            director,
            servers,
            _between: between,
            ingress,
            exits,
            links: wiring.links_of_director(),
            to_servers: wiring.to_servers,
            to_tuns,
        })
    }

    /// Packets written here arrive at the director from a client of `probe_prefix`; answers to it are read here.
    pub fn ingress(&self) -> &Tun {
        &self.ingress
    }

    /// One for each real server: packets to it are read here, and its own written here, while steered to
    /// [`Egress::Tun`].
    pub fn exits(&self) -> &[Tun] {
        &self.exits
    }

    /// Sends what is for the real servers to their TUNs or over their links; in force when it returns, for known
    /// connections too.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn steer(&self, egress: Egress) -> Result<(), WorldError> {
        let routes = match egress {
            Egress::Tun => &self.to_tuns,
            Egress::Server => &self.to_servers,
        };
        self.director.links(|links| routes.iter().try_for_each(|route| links.replace_route(route)))
    }

    /// What has passed each of the director's links; the first is the one by which clients' packets arrive.
    ///
    /// # Errors
    /// If the kernel refuses the dump.
    pub fn counters(&self) -> Result<Vec<Counters>, WorldError> {
        let all = self.director.links(Links::counters)?;
        let of = |name: &String| all.iter().find(|(found, _)| found == name).map(|(_, counters)| *counters);
        Ok(self.links.iter().map(|name| of(name).unwrap_or_default()).collect())
    }
}

/// Side by side: creating a network namespace mostly waits for the kernel.
fn namespaces(label: &str, machines: &[Machine]) -> Result<Vec<Namespace>, WorldError> {
    thread::scope(|scope| {
        let make =
            |machine: &Machine| quiet_namespace(&format!("{label}/{}", machine.name), machine.settings);
        let threads: Vec<_> = machines.iter().map(|machine| scope.spawn(move || make(machine))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    })
}

/// Both ends of a cable, down.
fn lay(cable: &Cable, namespaces: &[Namespace]) -> Result<(), WorldError> {
    let [near, far] = cable.ends.each_ref().map(|end| VethEnd { name: &end.link, mac: end.mac });
    let [here, there] = cable.ends.each_ref().map(|end| &namespaces[end.machine]);
    here.links(|links| links.add_veth(near, far, there.fd()))
}

/// Links up, then addresses, neighbours and routes.
fn set_up(wiring: &Wiring, index: usize, namespace: &Namespace) -> Result<(), WorldError> {
    let Machine { bridge, tunnel, addresses, routes, .. } = &wiring.machines[index];
    namespace.links(|links| {
        if let Some(bridge) = bridge {
            links.add_bridge(bridge)?;
            links.set_up(bridge)?;
        }
        if let Some((tunnel, local)) = tunnel {
            links.add_ipip(tunnel, *local)?;
            links.set_up(tunnel)?;
        }
        for (near, far, mtu) in wiring.ends_of(index) {
            links.set_mtu(&near.link, mtu)?;
            links.set_gso_segments(&near.link, 1)?;
            if let Some(bridge) = bridge {
                links.set_bridge(&near.link, bridge)?;
            }
            links.set_up(&near.link)?;
            if let Some(address) = far.address {
                links.add_neighbour(&near.link, address, far.mac)?;
            }
        }
        addresses.iter().try_for_each(|(link, address)| links.add_address(link, *address))?;
        routes.iter().try_for_each(|route| links.add_route(route))
    })?;
    let mut asking = wiring.ends_of(index).filter(|(_, far, _)| bridge.is_none() && far.address.is_none());
    asking.try_for_each(|(near, ..)| remember_neighbours(namespace, &near.link))
}

/// A neighbour once found is not asked again for days, whatever the clock does: its packets would be counted.
fn remember_neighbours(namespace: &Namespace, link: &str) -> Result<(), WorldError> {
    const DAY: &str = "86400000";
    namespace.set_sysctl(&format!("net/ipv4/neigh/{link}/base_reachable_time_ms"), DAY)
}

#[cfg(test)]
mod tests;
