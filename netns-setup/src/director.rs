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

mod topology;
mod wiring;

use std::thread;

use ipnet::Ipv4Net;

use crate::error::SetupError;
use crate::lab::{Egress, INGRESS, quiet_namespace};
use crate::link::counters::Counters;
use crate::link::{Links, Route, VethEnd};
use crate::namespace::Namespace;
use crate::tun::{Tun, TunOptions};
pub use topology::{Method, Topology};
use wiring::{Cable, Machine, Wiring};

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
    /// [`SetupError::Topology`] for addresses that cannot work, else what the kernel refused: direct routing needs
    /// bridges, tunnels need ipip. Nothing is left behind.
    pub fn build(topology: &Topology) -> Result<Director, SetupError> {
        topology.validate()?;
        let wiring = Wiring::of(topology);
        let mut namespaces = namespaces(&topology.label, &wiring.machines)?;
        for cable in &wiring.cables {
            lay(cable, &namespaces)?;
        }
        for (machine, namespace) in namespaces.iter().enumerate() {
            set_up(&wiring, machine, namespace)?;
        }
        for (machine, namespace) in namespaces.iter().enumerate() {
            let ends = || wiring.ends_of(machine).map(|(near, ..)| near.link.as_str());
            namespace.links(|links| links.wait_until_operational(ends()))?;
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
    pub fn steer(&self, egress: Egress) -> Result<(), SetupError> {
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
    pub fn counters(&self) -> Result<Vec<Counters>, SetupError> {
        let all = self.director.links(Links::counters)?;
        let of = |name: &String| all.iter().find(|(found, _)| found == name).map(|(_, counters)| *counters);
        Ok(self.links.iter().map(|name| of(name).unwrap_or_default()).collect())
    }
}

/// Side by side: creating a network namespace mostly waits for the kernel.
fn namespaces(label: &str, machines: &[Machine]) -> Result<Vec<Namespace>, SetupError> {
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
fn lay(cable: &Cable, namespaces: &[Namespace]) -> Result<(), SetupError> {
    let [near, far] = cable.ends.each_ref().map(|end| VethEnd { name: &end.link, mac: end.mac });
    let [here, there] = cable.ends.each_ref().map(|end| &namespaces[end.machine]);
    here.links(|links| links.add_veth(near, far, there.fd()))
}

/// Links up, then addresses, neighbours and routes.
fn set_up(wiring: &Wiring, index: usize, namespace: &Namespace) -> Result<(), SetupError> {
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
fn remember_neighbours(namespace: &Namespace, link: &str) -> Result<(), SetupError> {
    const DAY: &str = "86400000";
    namespace.set_sysctl(&format!("net/ipv4/neigh/{link}/base_reachable_time_ms"), DAY)
}

#[cfg(test)]
mod tests;
