//! The machines of a topology, their cables, addresses and routes, as data.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::topology::{Method, Topology};
use crate::lab::{CLIENT as MANY_PORTS, ROUTER as FORWARDS, mac};
use crate::link::{Mac, Route};

/// Machines come in this order: client, director, real servers, and what is between.
pub(super) const CLIENT: usize = 0;
pub(super) const DIRECTOR: usize = 1;
pub(super) const FIRST_SERVER: usize = 2;

const ETHERNET_MTU: u32 = 1500;
/// Room for an outer header (RFC 2003) around a packet of the client's that fills its link.
pub(super) const TUNNELLED_MTU: u32 = ETHERNET_MTU + 20;

/// The only link of a machine.
const LINK: &str = "eth0";
/// The director's link to the clients when it has others.
const FRONT: &str = "front";
const BRIDGE: &str = "switch";
const TUNNEL: &str = "tunnel";

/// Direct routing: an address on `lo` must not be answered for, nor asked from (arp_ignore and arp_announce in
/// ip-sysctl.rst). Else clients would find a real server in the director's place.
const ARP_QUIET: [(&str, &str); 2] =
    [("net.ipv4.conf.all.arp_ignore", "1"), ("net.ipv4.conf.all.arp_announce", "2")];

pub(super) struct Machine {
    pub name: String,
    pub settings: &'static [(&'static str, &'static str)],
    pub bridge: Option<&'static str>,
    /// Name and local address of an ipip link.
    pub tunnel: Option<(&'static str, Ipv4Addr)>,
    pub addresses: Vec<(String, Ipv4Net)>,
    pub routes: Vec<Route>,
}

/// One end of a cable.
pub(super) struct End {
    pub machine: usize,
    pub link: String,
    pub mac: Mac,
    /// Whom the other end may take it for, for good; none if there are several beyond it.
    pub address: Option<Ipv4Addr>,
}

pub(super) struct Cable {
    pub ends: [End; 2],
    pub mtu: u32,
}

pub(super) struct Wiring {
    pub machines: Vec<Machine>,
    pub cables: Vec<Cable>,
    /// The director's routes to the real servers, one for each.
    pub to_servers: Vec<Route>,
}

impl Wiring {
    /// `topology` is valid.
    pub(super) fn of(topology: &Topology) -> Wiring {
        let mut wiring = Wiring { machines: Vec::new(), cables: Vec::new(), to_servers: Vec::new() };
        wiring.add("client", &MANY_PORTS);
        wiring.add("director", if topology.method == Method::Masquerade { &FORWARDS } else { &[] });
        for index in 0..topology.servers {
            let quiet = topology.method == Method::DirectRouting;
            wiring.add(&format!("server-{index}"), if quiet { &ARP_QUIET } else { &[] });
        }
        match topology.method {
            Method::Masquerade => wiring.masquerade(topology),
            Method::DirectRouting => wiring.direct_routing(topology),
            Method::Tunnel => wiring.tunnel(topology),
        }
        let to_servers = wiring.to_servers.clone();
        wiring.machines[DIRECTOR].routes.extend(to_servers);
        wiring
    }

    /// The director in the middle: everything passes it.
    fn masquerade(&mut self, topology: &Topology) {
        let (client, director) = (topology.client(), topology.director);
        self.plug((CLIENT, LINK, Some(client)), (DIRECTOR, FRONT, Some(director)), ETHERNET_MTU);
        self.address(CLIENT, LINK, client);
        for address in [director, topology.virtual_address] {
            self.address(DIRECTOR, FRONT, address);
        }
        for reached in [Ipv4Net::from(topology.virtual_address), topology.server_prefix] {
            self.machines[CLIENT].routes.push(Route::via(reached, director, LINK));
        }
        self.machines[DIRECTOR].routes.push(Route::via(topology.client_prefix, client, FRONT));
        for (index, server) in topology.real_servers().enumerate() {
            let (machine, back) = (FIRST_SERVER + index, format!("back-{index}"));
            self.plug((DIRECTOR, &back, Some(director)), (machine, LINK, Some(server)), ETHERNET_MTU);
            self.address(DIRECTOR, &back, director);
            self.address(machine, LINK, server);
            self.machines[machine].routes.push(Route::via(everywhere(), director, LINK));
            self.to_servers.push(Route::device(Ipv4Net::from(server), &back));
        }
    }

    /// All on one link: who has which address is found by ARP.
    fn direct_routing(&mut self, topology: &Topology) {
        let switch = self.add("switch", &[]);
        self.machines[switch].bridge = Some(BRIDGE);
        for machine in 0..switch {
            self.plug((machine, LINK, None), (switch, &format!("port-{machine}"), None), ETHERNET_MTU);
        }
        let here = |prefix: Ipv4Net| Route::device(prefix, LINK);
        let virtual_address = topology.virtual_address;
        self.address(CLIENT, LINK, topology.client());
        self.machines[CLIENT].routes.extend([here(virtual_address.into()), here(topology.server_prefix)]);
        self.address(DIRECTOR, LINK, topology.director);
        self.address(DIRECTOR, LINK, virtual_address);
        self.machines[DIRECTOR].routes.push(here(topology.client_prefix));
        for (index, server) in topology.real_servers().enumerate() {
            let machine = FIRST_SERVER + index;
            self.address(machine, LINK, server);
            self.address(machine, "lo", virtual_address);
            self.machines[machine].routes.push(here(topology.client_prefix));
            self.to_servers.push(here(server.into()));
        }
    }

    /// A router in the middle: the director hangs on it by one link.
    fn tunnel(&mut self, topology: &Topology) {
        let (client, director, router) = (topology.client(), topology.director, topology.router());
        let middle = self.add("router", &FORWARDS);
        let mut hang = |machine, address, link: &str, mtu| {
            self.plug((machine, LINK, Some(address)), (middle, link, Some(router)), mtu);
            self.address(machine, LINK, address);
            self.address(middle, link, router);
            self.machines[middle].routes.push(Route::device(Ipv4Net::from(address), link));
            if machine != DIRECTOR {
                self.machines[machine].routes.push(Route::via(everywhere(), router, LINK));
            }
        };
        hang(CLIENT, client, "to-client", ETHERNET_MTU);
        hang(DIRECTOR, director, "to-director", TUNNELLED_MTU);
        for (index, server) in topology.real_servers().enumerate() {
            hang(FIRST_SERVER + index, server, &format!("to-server-{index}"), TUNNELLED_MTU);
        }
        let virtual_address = topology.virtual_address;
        self.address(DIRECTOR, LINK, virtual_address);
        self.machines[DIRECTOR].routes.push(Route::via(topology.client_prefix, router, LINK));
        let to_director = Route::via(Ipv4Net::from(virtual_address), director, "to-director");
        self.machines[middle].routes.push(to_director);
        for (index, server) in topology.real_servers().enumerate() {
            let machine = FIRST_SERVER + index;
            self.machines[machine].tunnel = Some((TUNNEL, server));
            self.address(machine, TUNNEL, virtual_address);
            self.to_servers.push(Route::via(Ipv4Net::from(server), router, LINK));
        }
    }

    fn add(&mut self, name: &str, settings: &'static [(&'static str, &'static str)]) -> usize {
        self.machines.push(Machine {
            name: name.to_owned(),
            settings,
            bridge: None,
            tunnel: None,
            addresses: Vec::new(),
            routes: Vec::new(),
        });
        self.machines.len() - 1
    }

    fn address(&mut self, machine: usize, link: &str, address: Ipv4Addr) {
        self.machines[machine].addresses.push((link.to_owned(), address.into()));
    }

    fn plug(
        &mut self,
        near: (usize, &str, Option<Ipv4Addr>),
        far: (usize, &str, Option<Ipv4Addr>),
        mtu: u32,
    ) {
        let mut last = 2 * self.cables.len() as u8;
        let ends = [near, far].map(|(machine, link, address)| {
            last += 1;
            End { machine, link: link.to_owned(), mac: mac(last), address }
        });
        self.cables.push(Cable { ends, mtu });
    }

    /// A machine's ends with their far ends and MTUs.
    pub(super) fn ends_of(&self, machine: usize) -> impl Iterator<Item = (&End, &End, u32)> {
        self.cables.iter().flat_map(move |Cable { ends: [one, other], mtu }| {
            let both = [(one, other, *mtu), (other, one, *mtu)];
            both.into_iter().filter(move |(end, ..)| end.machine == machine)
        })
    }

    /// The director's links, the one towards clients first.
    pub(super) fn links_of_director(&self) -> Vec<String> {
        self.ends_of(DIRECTOR).map(|(end, ..)| end.link.clone()).collect()
    }
}

fn everywhere() -> Ipv4Net {
    Ipv4Net::default()
}
