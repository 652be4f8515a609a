//! The oracle where kube-proxy is in IPVS mode: Service addresses are the node's own, so that what is sent to them comes by
//! the input path, and is taken from there.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use conformance::oracle::{Location, Oracle, SentPacket};
use netns_setup::ipvs::{self, Forwarding, Ipvs, Key, RealServer, Request, Scheduler, VirtualServer};
use netns_setup::{Addresses, Conntrack};
use services::service::{Family, Protocol};

use super::rules::{Rule, Tool, install};
use super::{Case, Cast, cast, conversation, delivered, is_port_unreachable, senders, topology};

fn key(address: SocketAddr, protocol: Protocol) -> Key {
    let protocol = match protocol {
        Protocol::Tcp => ipvs::IpvsProtocol::Tcp,
        Protocol::Udp => ipvs::IpvsProtocol::Udp,
        Protocol::Sctp => ipvs::IpvsProtocol::Sctp,
    };
    Key { address, protocol }
}

fn real_server(address: SocketAddr) -> RealServer {
    RealServer { address, weight: 1, forwarding: Forwarding::Masquerade }
}

/// A node with kube-proxy's link and sysctls, and both families' Service address on it.
fn node() -> (Oracle, Ipvs) {
    let oracle = Oracle::build(&topology()).unwrap();
    for key in ["conntrack", "expire_nodest_conn"] {
        oracle.node().set_sysctl(&format!("net.ipv4.vs.{key}"), "1").unwrap();
    }
    let ipvs = oracle.node().run(|| {
        let mut addresses = Addresses::open().unwrap();
        addresses.add_dummy("kube-ipvs0").unwrap();
        let link = addresses.index("kube-ipvs0").unwrap().unwrap();
        for family in Family::ALL {
            addresses.add(link, cast(family).service.ip()).unwrap();
        }
        Ipvs::open().unwrap()
    });
    (oracle, ipvs)
}

fn everywhere(mut test: impl FnMut(&mut Oracle, &mut Ipvs, &Cast, Family, Protocol)) {
    let (mut oracle, mut ipvs) = node();
    for family in Family::ALL {
        for protocol in Protocol::ALL {
            let _case = Case(format!("{} {}", family.name(), protocol.name()));
            test(&mut oracle, &mut ipvs, &cast(family), family, protocol);
            ipvs.batch(&[Request::Flush]).unwrap();
            install(&oracle, Tool::Nft, family, protocol, &[]);
            oracle.forget_flows().unwrap();
        }
    }
}

fn served(
    ipvs: &mut Ipvs,
    cast: &Cast,
    protocol: Protocol,
    servers: &[SocketAddr],
    persistence: Option<u32>,
) {
    let key = key(cast.service, protocol);
    let server = VirtualServer { key, scheduler: Scheduler::Rr, persistence, flags: 0 };
    let dests = servers.iter().map(|&address| Request::NewDest(key, real_server(address)));
    ipvs.batch(&std::iter::once(Request::NewService(server)).chain(dests).collect::<Vec<_>>()).unwrap();
}

fn endpoints(cast: &Cast) -> [SocketAddr; 2] {
    [cast.remote, cast.pod].map(|pod| SocketAddr::new(pod, 8080))
}

fn connections(oracle: &Oracle) -> usize {
    let read = || std::fs::read_to_string("/proc/thread-self/net/ip_vs_conn").unwrap();
    oracle.node().run(read).lines().count() - 1
}

pub(super) fn balanced() {
    everywhere(|oracle, ipvs, cast, family, protocol| {
        let [remote, local] = endpoints(cast);
        // Nobody listens at the Service's address, which is the node's.
        let packet = SentPacket::new(protocol, cast.stranger, cast.service);
        assert_eq!(delivered(oracle.send(packet, Location::Outside).unwrap()).at, Location::Node);
        served(ipvs, cast, protocol, &[], None);
        let rejected = oracle.send(packet, Location::Outside).unwrap();
        assert!(is_port_unreachable(&rejected), "{rejected}");
        ipvs.batch(&[Request::Flush]).unwrap();
        served(ipvs, cast, protocol, &[remote, local], None);
        for masquerade in [false, true] {
            let rules = [Rule::Masquerade(cast.remote), Rule::Masquerade(cast.pod)];
            install(oracle, Tool::Nft, family, protocol, if masquerade { &rules } else { &[] });
            for (origin, from) in senders(cast) {
                let packet = SentPacket::new(protocol, from, cast.service);
                let seen: BTreeSet<_> = (0..2).map(|_| conversation(oracle, packet, origin)).collect();
                let source = if masquerade { cast.node } else { from };
                let expected = [(Location::RemotePod, remote, source), (Location::LocalPod, local, source)];
                assert_eq!(seen, BTreeSet::from(expected), "{packet}, masquerade: {masquerade}");
            }
        }
        // The kernel takes the Service's own address for what is sent there, so that it must be masqueraded.
        let unspecified: IpAddr = match family {
            Family::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let packet = SentPacket::new(protocol, unspecified, cast.service);
        let there = delivered(oracle.send(packet, Location::Node).unwrap());
        assert_eq!((there.sent.from.ip(), there.masquerade()), (cast.service.ip(), Some(cast.node)));
        assert!(there.is_answered_by(&oracle.reply(&there).unwrap()));
    });
}

pub(super) fn forgotten() {
    everywhere(|oracle, ipvs, cast, family, protocol| {
        let servers = endpoints(cast);
        // Rules of any kind have connections tracked.
        install(oracle, Tool::Nft, family, protocol, &[Rule::Masquerade(cast.remote)]);
        served(ipvs, cast, protocol, &servers, Some(10_800));
        let ask = |oracle: &mut Oracle, client: IpAddr| {
            let packet = SentPacket::new(protocol, client, cast.service);
            delivered(oracle.send(packet, Location::LocalPod).unwrap()).destination
        };
        for round in 0..3 {
            let kept = ask(oracle, cast.other_pod);
            for _ in 0..5 {
                assert_eq!(ask(oracle, cast.other_pod), kept, "round {round}: affinity");
            }
            // Another client is next in turn.
            assert_ne!(ask(oracle, cast.pod), kept, "round {round}");
            let counts = (connections(oracle), oracle.node().run(Conntrack::count).unwrap());
            assert!(counts.0 >= 7 && counts.1 >= 7, "{counts:?}");
            oracle.forget_flows().unwrap();
            assert_eq!((connections(oracle), oracle.node().run(Conntrack::count).unwrap()), (0, 0));
            let of = ipvs.dests(&key(cast.service, protocol)).unwrap();
            let left: BTreeSet<SocketAddr> = of.iter().map(|dest| dest.server.address).collect();
            assert_eq!(left, BTreeSet::from(servers), "servers stay");
        }
    });
}
