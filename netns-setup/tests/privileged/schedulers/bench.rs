//! A virtual server in a lab, and TCP connections to it, made and ended by hand.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

use ipnet::Ipv4Net;
use netns_setup::ipvs::{
    Dest, Forwarding, Ipvs, IpvsProtocol, Key, RealServer, Request, Scheduler, VirtualServer,
};
use netns_setup::{Lab, Route, Tun, find_program};

use crate::helpers::{self, next_packet, tcp};
use crate::support::TIMEOUT;

const VIRTUAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 96, 0, 10), 80);
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// Long enough for a packet that comes: it is there when the write returns.
const QUIET: Duration = Duration::from_millis(20);

/// An address of a client.
pub(super) fn client(host: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 0, 0)) + u32::from(host))
}

/// The real server with this number.
fn real(server: usize) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 128, 1, server as u8 + 1), 8080)
}

type Client = (Ipv4Addr, u16);

pub(super) struct Bench {
    pub lab: Lab,
    ipvs: Ipvs,
    key: Key,
    next: u16,
    /// Open connections: who has them.
    open: BTreeMap<Client, usize>,
}

impl Bench {
    /// Real servers with these weights.
    pub(super) fn new(scheduler: Scheduler, weights: &[u32]) -> Bench {
        Bench::with(scheduler, 0, None, weights)
    }

    pub(super) fn with(scheduler: Scheduler, flags: u32, persistence: Option<u32>, weights: &[u32]) -> Bench {
        let lab = helpers::lab();
        let ipvs = lab.node.run(Ipvs::open).unwrap();
        let key = Key { address: VIRTUAL.into(), protocol: IpvsProtocol::Tcp };
        let mut bench = Bench { lab, ipvs, key, next: 0, open: BTreeMap::new() };
        bench.add_virtual_server(VIRTUAL, scheduler, flags, persistence, weights);
        bench
    }

    /// Another one, with real servers of its own at the same addresses.
    pub(super) fn add_virtual_server(
        &mut self,
        address: SocketAddrV4,
        scheduler: Scheduler,
        flags: u32,
        persistence: Option<u32>,
        weights: &[u32],
    ) {
        let own = Route::local(Ipv4Net::from(*address.ip()));
        self.lab.node.links(|links| links.replace_route(&own)).unwrap();
        let key = Key { address: address.into(), protocol: IpvsProtocol::Tcp };
        let mut requests = vec![Request::NewService(VirtualServer { key, scheduler, persistence, flags })];
        requests
            .extend((0..).zip(weights).map(|(server, &weight)| Request::NewDest(key, dest(server, weight))));
        self.ipvs.batch(&requests).unwrap();
    }

    pub(super) fn set_weight(&mut self, server: usize, weight: u32) {
        self.ipvs.one(&Request::SetDest(self.key, dest(server, weight))).unwrap();
    }

    pub(super) fn remove(&mut self, server: usize) {
        self.ipvs.one(&Request::DelDest(self.key, real(server).into())).unwrap();
    }

    /// Servers in the order in which the scheduler walks them, and what the kernel knows of them.
    pub(super) fn dests(&mut self) -> Vec<(usize, Dest)> {
        let number = |address: SocketAddr| (0..).find(|&server| SocketAddr::from(real(server)) == address);
        let dests = self.ipvs.dests(&self.key).unwrap();
        dests.into_iter().map(|dest| (number(dest.server.address).unwrap(), dest)).collect()
    }

    pub(super) fn order(&mut self) -> Vec<usize> {
        self.dests().into_iter().map(|(server, _)| server).collect()
    }

    /// A connection from a client that has none.
    pub(super) fn open_next(&mut self) -> Option<usize> {
        self.next += 1;
        self.open((client(self.next), 5000))
    }

    /// Handshake with the virtual server; who was chosen, if anyone.
    pub(super) fn open(&mut self, client: Client) -> Option<usize> {
        self.open_to(VIRTUAL, client)
    }

    pub(super) fn open_to(&mut self, to: SocketAddrV4, client: Client) -> Option<usize> {
        let server = self.begin(to, client)?;
        let (from, to) = (real(server), (*to.ip(), to.port()));
        // The answer must come back from the address that was asked.
        self.lab.egress().send(&tcp((*from.ip(), from.port()), client, SYN | ACK)).unwrap();
        let back = received(self.lab.ingress(), TIMEOUT).expect("the answer comes back");
        assert_eq!((back.0, back.1), (to, client));
        self.lab.ingress().send(&tcp(client, to, ACK)).unwrap();
        let ack = received(self.lab.egress(), TIMEOUT).expect("a known connection goes on");
        assert_eq!(ack.1, (*from.ip(), from.port()), "to the same server");
        self.open.insert(client, server);
        Some(server)
    }

    /// The first packet only.
    fn begin(&mut self, to: SocketAddrV4, client: Client) -> Option<usize> {
        self.lab.ingress().send(&tcp(client, (*to.ip(), to.port()), SYN)).unwrap();
        let Some((from, (address, port))) = received(self.lab.egress(), QUIET) else {
            // The client hears it by ICMP.
            while next_packet(self.lab.ingress(), Duration::ZERO).is_some() {}
            return None;
        };
        assert_eq!(from, client, "masquerading hides servers, not clients");
        let to = SocketAddrV4::new(address, port);
        Some((0..).find(|&server| real(server) == to).unwrap())
    }

    /// Ends a connection: it is inactive from then on.
    pub(super) fn close(&mut self, client: Client) {
        let server = self.open.remove(&client).unwrap();
        self.lab.ingress().send(&tcp(client, (*VIRTUAL.ip(), VIRTUAL.port()), RST | ACK)).unwrap();
        let (_, to) = received(self.lab.egress(), TIMEOUT).expect("the end of it arrives");
        assert_eq!(to, (*real(server).ip(), real(server).port()));
    }

    pub(super) fn connections(&self) -> Vec<Client> {
        self.open.keys().copied().collect()
    }

    pub(super) fn close_all_of(&mut self, server: usize) {
        let mut theirs: Vec<_> = self.open.iter().map(|(&client, &server)| (client, server)).collect();
        theirs.retain(|(_, other)| *other == server);
        theirs.into_iter().for_each(|(client, _)| self.close(client));
    }
}

fn dest(server: usize, weight: u32) -> RealServer {
    RealServer { address: real(server).into(), weight, forwarding: Forwarding::Masquerade }
}

/// Where the next TCP packet comes from and goes to.
fn received(tun: &Tun, timeout: Duration) -> Option<(Client, Client)> {
    let packet = next_packet(tun, timeout)?;
    assert_eq!((packet[0], packet[9]), (0x45, 6), "TCP: {packet:?}");
    let address = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    Some(((address(12), port(20)), (address(16), port(22))))
}

/// A virtual server for a packet mark, with real servers of weight 100, made by `ipvsadm` and a rule of nftables.
pub(super) struct Marked {
    lab: Lab,
}

impl Marked {
    /// Everything to 10.96.1.0/24 is its.
    pub(super) fn new(scheduler: Scheduler, servers: usize) -> Marked {
        let lab = helpers::lab();
        let own = Route::local("10.96.1.0/24".parse::<Ipv4Net>().unwrap());
        lab.node.links(|links| links.add_route(&own)).unwrap();
        helpers::nft(
            &lab,
            "add table ip t\nadd chain ip t c { type filter hook prerouting priority -150; }\n\
             add rule ip t c ip daddr 10.96.1.0/24 meta mark set 1\n",
        );
        let ipvsadm = |arguments: &str| {
            let mut command = Command::new(find_program("ipvsadm").unwrap());
            let mut child = lab.node.spawn(command.args(arguments.split(' '))).unwrap();
            assert!(child.wait().unwrap().success(), "ipvsadm {arguments}");
        };
        ipvsadm(&format!("-A -f 1 -s {scheduler}"));
        (0..servers).for_each(|server| ipvsadm(&format!("-a -f 1 -r {} -m -w 100", real(server).ip())));
        Marked { lab }
    }

    /// The first packet of a connection; who gets it, at the port that it was sent to.
    pub(super) fn open(&mut self, to: SocketAddrV4, client: Client) -> usize {
        self.lab.ingress().send(&tcp(client, (*to.ip(), to.port()), SYN)).unwrap();
        let (from, (address, port)) = received(self.lab.egress(), TIMEOUT).expect("a server is chosen");
        assert_eq!((from, port), (client, to.port()));
        (0..).find(|&server| *real(server).ip() == address).unwrap()
    }
}
