//! The packet oracle against rules written by hand: it says what they do, and something else once they are changed.

mod ipvs;
mod rules;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use conformance::oracle::{Delivered, Location, Oracle, OracleError, PacketOutcome, Refusal, SentPacket};
use netns_setup::single_node::Topology;
use netns_setup::{Conntrack, Need};
use services::service::{Family, Protocol};
use trials::Test;

use self::rules::{Rule, To, Tool, Verdict, install};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn topology() -> Topology {
    let nets = |texts: [&str; 2]| texts.map(|text| text.parse().unwrap()).to_vec();
    Topology {
        label: "oracle".into(),
        node: vec![ip("192.0.2.1"), ip("2001:db8::1")],
        local_pods: nets(["10.244.0.0/24", "fd00:244::/64"]),
        remote_pods: nets(["10.244.1.0/24", "fd00:244:0:1::/64"]),
    }
}

/// Who is who in one family.
struct Cast {
    node: IpAddr,
    stranger: IpAddr,
    pod: IpAddr,
    other_pod: IpAddr,
    remote: IpAddr,
    other_remote: IpAddr,
    service: SocketAddr,
}

fn cast(family: Family) -> Cast {
    let [node, stranger, pod, other_pod, remote, other_remote, service] = match family {
        Family::Ipv4 => {
            ["192.0.2.1", "203.0.113.9", "10.244.0.5", "10.244.0.6", "10.244.1.5", "10.244.1.6", "10.96.0.10"]
        }
        Family::Ipv6 => [
            "2001:db8::1",
            "2001:db8:9::9",
            "fd00:244::5",
            "fd00:244::6",
            "fd00:244:0:1::5",
            "fd00:244:0:1::6",
            "fd00:96::10",
        ],
    }
    .map(ip);
    Cast { node, stranger, pod, other_pod, remote, other_remote, service: SocketAddr::new(service, 80) }
}

/// Tells which case it is if a test fails in it.
struct Case(String);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in case {}", self.0);
        }
    }
}

/// For every family, protocol and tool, in one single_node.
fn everywhere(mut test: impl FnMut(&mut Oracle, &Cast, Protocol, &dyn Fn(&Oracle, &[Rule]))) {
    let mut oracle = Oracle::build(&topology()).unwrap();
    for tool in Tool::ALL {
        for family in Family::ALL {
            for protocol in Protocol::ALL {
                let rules = |oracle: &Oracle, rules: &[Rule]| install(oracle, tool, family, protocol, rules);
                let _case = Case(format!("{tool:?} {} {}", family.name(), protocol.name()));
                test(&mut oracle, &cast(family), protocol, &rules);
                rules(&oracle, &[]);
                oracle.forget_flows().unwrap();
            }
        }
    }
}

fn delivered(outcome: PacketOutcome) -> Delivered {
    *outcome.delivered().unwrap_or_else(|| panic!("{outcome}"))
}

/// Sends, and has the answer come back.
fn conversation(oracle: &mut Oracle, packet: SentPacket, origin: Location) -> (Location, SocketAddr, IpAddr) {
    let there = delivered(oracle.send(packet, origin).unwrap());
    let back = oracle.reply(&there).unwrap();
    assert!(there.is_answered_by(&back), "{packet}: {there}; back: {back}");
    (there.at, there.destination, there.source.ip())
}

/// Where packets come from, and from whom.
fn senders(cast: &Cast) -> [(Location, IpAddr); 4] {
    [
        (Location::Outside, cast.stranger),
        (Location::LocalPod, cast.other_pod),
        (Location::RemotePod, cast.other_remote),
        (Location::Node, cast.node),
    ]
}

fn routed() {
    let mut oracle = Oracle::build(&topology()).unwrap();
    for family in Family::ALL {
        let cast = cast(family);
        let receivers = [
            (Location::Outside, cast.stranger),
            (Location::LocalPod, cast.pod),
            (Location::RemotePod, cast.remote),
            // An address that nobody has.
            (Location::Outside, cast.service.ip()),
        ];
        for protocol in Protocol::ALL {
            for (origin, from) in senders(&cast) {
                for (at, to) in receivers {
                    let to = SocketAddr::new(to, 8080);
                    let packet = SentPacket::new(protocol, from, to);
                    assert_eq!(conversation(&mut oracle, packet, origin), (at, to, from), "{packet}");
                }
                let packet = SentPacket::new(protocol, from, SocketAddr::new(cast.node, 9));
                let there = delivered(oracle.send(packet, origin).unwrap());
                assert_eq!(
                    (there.at, there.destination, there.source),
                    (Location::Node, packet.to, there.sent.from)
                );
                // Nobody listens there, and nobody at all speaks SCTP.
                let back = oracle.reply(&there).unwrap();
                match protocol {
                    Protocol::Udp => assert!(is_port_unreachable(&back), "{back}"),
                    Protocol::Tcp => assert_eq!(back.rejected().unwrap().how, Refusal::Reset),
                    Protocol::Sctp => assert_eq!(back, PacketOutcome::Dropped),
                }
            }
        }
    }
}

fn is_port_unreachable(outcome: &PacketOutcome) -> bool {
    outcome.rejected().is_some_and(|rejected| rejected.how.is_port_unreachable())
}

fn translated() {
    everywhere(|oracle, cast, protocol, rules| {
        let to = To::Address(cast.service);
        let [endpoint, other] = [cast.remote, cast.pod].map(|pod| SocketAddr::new(pod, 8080));
        for (origin, from) in senders(cast) {
            let packet = SentPacket::new(protocol, from, cast.service);
            rules(oracle, &[Rule::Dnat(to, endpoint)]);
            assert_eq!(conversation(oracle, packet, origin), (Location::RemotePod, endpoint, from));
            rules(oracle, &[Rule::Dnat(to, other)]);
            assert_eq!(conversation(oracle, packet, origin), (Location::LocalPod, other, from));
            rules(oracle, &[Rule::Dnat(to, endpoint), Rule::Masquerade(endpoint.ip())]);
            assert_eq!(conversation(oracle, packet, origin), (Location::RemotePod, endpoint, cast.node));
            rules(oracle, &[]);
            assert_eq!(conversation(oracle, packet, origin), (Location::Outside, cast.service, from));
        }
    });
}

fn refused() {
    everywhere(|oracle, cast, protocol, rules| {
        // On the way through the node, or out of it; and on the way into it.
        for to in [cast.service, SocketAddr::new(cast.node, 30_080)] {
            for (origin, from) in senders(cast) {
                let packet = SentPacket::new(protocol, from, to);
                let mut under = |verdict| {
                    rules(oracle, &[Rule::Filter(To::Address(to), verdict)]);
                    oracle.send(packet, origin).unwrap()
                };
                assert_eq!(under(Verdict::Drop), PacketOutcome::Dropped, "{packet}");
                let rejected = under(Verdict::Reject);
                assert!(is_port_unreachable(&rejected), "{packet}: {rejected}");
                assert_eq!(rejected.rejected().unwrap().from, cast.node);
                if protocol == Protocol::Tcp {
                    let reset = under(Verdict::Reset);
                    let PacketOutcome::Rejected(rejected) = reset else { panic!("{packet}: {reset}") };
                    assert_eq!((rejected.how, rejected.from), (Refusal::Reset, to.ip()));
                }
                rules(oracle, &[]);
                assert!(oracle.send(packet, origin).unwrap().delivered().is_some());
            }
        }
    });
}

fn hairpin() {
    everywhere(|oracle, cast, protocol, rules| {
        let endpoint = SocketAddr::new(cast.pod, 8080);
        let dnat = Rule::Dnat(To::Address(cast.service), endpoint);
        let packet = SentPacket::new(protocol, cast.pod, cast.service);
        rules(oracle, &[dnat, Rule::MasqueradeHairpin(cast.pod)]);
        assert_eq!(
            conversation(oracle, packet, Location::LocalPod),
            (Location::LocalPod, endpoint, cast.node)
        );
        let other = SentPacket::new(protocol, cast.other_pod, cast.service);
        let seen = conversation(oracle, other, Location::LocalPod);
        assert_eq!(seen, (Location::LocalPod, endpoint, cast.other_pod));
        // Without masquerade the pod seems to be asked by itself, and would never answer through the node.
        rules(oracle, &[dnat]);
        let there = delivered(oracle.send(packet, Location::LocalPod).unwrap());
        assert_eq!((there.destination, there.source.ip()), (endpoint, cast.pod));
    });
}

fn node_ports() {
    everywhere(|oracle, cast, protocol, rules| {
        let endpoint = SocketAddr::new(cast.remote, 8080);
        let (dnat, masquerade) = (Rule::Dnat(To::NodePort(30_080), endpoint), Rule::Masquerade(cast.remote));
        for (origin, from) in senders(cast) {
            let packet = SentPacket::new(protocol, from, SocketAddr::new(cast.node, 30_080));
            rules(oracle, &[dnat, masquerade]);
            assert_eq!(conversation(oracle, packet, origin), (Location::RemotePod, endpoint, cast.node));
            rules(oracle, &[dnat]);
            assert_eq!(conversation(oracle, packet, origin), (Location::RemotePod, endpoint, from));
            rules(oracle, &[]);
            assert_eq!(delivered(oracle.send(packet, origin).unwrap()).at, Location::Node);
        }
        if cast.node.is_ipv6() {
            return;
        }
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let packet = SentPacket::new(protocol, localhost, SocketAddr::new(localhost, 30_080));
        let mut under = |route_localnet, list: &[Rule]| {
            oracle.node().set_sysctl("net.ipv4.conf.all.route_localnet", route_localnet).unwrap();
            rules(oracle, list);
            let outcome = oracle.send(packet, Location::Node).unwrap();
            oracle.node().set_sysctl("net.ipv4.conf.all.route_localnet", "0").unwrap();
            outcome
        };
        assert_eq!(under("0", &[dnat, masquerade]), PacketOutcome::Dropped);
        assert_eq!(delivered(under("1", &[])).at, Location::Node);
        // Nobody on another host could answer this one.
        assert_eq!(delivered(under("1", &[dnat])).source.ip(), localhost);
        assert_eq!(delivered(under("1", &[dnat, masquerade])).source.ip(), cast.node);
        oracle.node().set_sysctl("net.ipv4.conf.all.route_localnet", "1").unwrap();
        assert_eq!(conversation(oracle, packet, Location::Node), (Location::RemotePod, endpoint, cast.node));
        oracle.node().set_sysctl("net.ipv4.conf.all.route_localnet", "0").unwrap();
    });
}

fn onto_the_node() {
    everywhere(|oracle, cast, protocol, rules| {
        let endpoint = SocketAddr::new(cast.node, 6443);
        for (origin, from) in senders(cast) {
            let packet = SentPacket::new(protocol, from, cast.service);
            rules(oracle, &[Rule::Dnat(To::Address(cast.service), endpoint)]);
            let there = delivered(oracle.send(packet, origin).unwrap());
            assert_eq!((there.at, there.destination, there.source.ip()), (Location::Node, endpoint, from));
            assert!(there.is_translated() && there.masquerade().is_none());
            // A refusal by the stack comes from where the packet was sent to.
            match (protocol, oracle.reply(&there).unwrap()) {
                (Protocol::Sctp, back) => assert_eq!(back, PacketOutcome::Dropped),
                (_, PacketOutcome::Rejected(rejected)) if protocol == Protocol::Tcp => {
                    assert_eq!((rejected.how, rejected.from), (Refusal::Reset, cast.service.ip()));
                }
                (_, back) => assert!(is_port_unreachable(&back), "{back}"),
            }
        }
    });
}

fn flows() {
    everywhere(|oracle, cast, protocol, rules| {
        let [first, second] = [cast.remote, cast.pod].map(|pod| SocketAddr::new(pod, 8080));
        for (origin, from) in senders(cast) {
            let packet = SentPacket::new(protocol, from, cast.service).from_port(4_000);
            let dnat = |endpoint| [Rule::Dnat(To::Address(cast.service), endpoint)];
            rules(oracle, &dnat(first));
            assert_eq!(conversation(oracle, packet, origin).1, first);
            rules(oracle, &dnat(second));
            if protocol == Protocol::Udp {
                assert_eq!(conversation(oracle, packet, origin).1, first, "a flow that is known");
            }
            assert_eq!(conversation(oracle, packet.from_port(0), origin).1, second, "a new flow");
            oracle.forget_flows().unwrap();
            assert_eq!(oracle.node().run(Conntrack::count).unwrap(), 0);
            let there = delivered(oracle.send(packet, origin).unwrap());
            assert_eq!(there.destination, second, "a flow that was forgotten");
            // Nobody remembers whose address the answer should come from.
            if origin != Location::Node {
                oracle.forget_flows().unwrap();
                let back = oracle.reply(&there).unwrap();
                assert!(!there.is_answered_by(&back), "{back}");
            }
        }
    });
}

/// By default the kernel tells one sender no once a second, and all of them together a thousand times.
fn without_limits() {
    everywhere(|oracle, cast, protocol, rules| {
        rules(oracle, &[Rule::Filter(To::Address(cast.service), Verdict::Reject)]);
        for (origin, from) in senders(cast) {
            for _ in 0..300 {
                let outcome = oracle.send(SentPacket::new(protocol, from, cast.service), origin).unwrap();
                assert!(is_port_unreachable(&outcome), "{outcome}");
            }
        }
    });
}

/// What the node sends to itself, and its answers, may wait in its loopback. Here it does: 2 kB pass at once, then 10 kB/s.
fn slow_loopback() {
    let mut oracle = Oracle::build(&topology()).unwrap();
    let tc = netns_setup::find_program("tc").expect("tc, of package iproute2");
    let limit = "qdisc add dev lo root tbf rate 80kbit burst 2kb limit 100kb";
    let mut child = oracle.node().spawn(Command::new(tc).args(limit.split(' '))).unwrap();
    assert!(child.wait().unwrap().success());
    for family in Family::ALL {
        let cast = cast(family);
        for protocol in Protocol::ALL {
            let _case = Case(format!("{} {}", family.name(), protocol.name()));
            let own = SentPacket::new(protocol, cast.node, SocketAddr::new(cast.node, 9));
            let other = SentPacket::new(protocol, cast.node, cast.service);
            let reject = [Rule::Filter(To::Address(cast.service), Verdict::Reject)];
            install(&oracle, Tool::Nft, family, protocol, &reject);
            for _ in 0..10 {
                assert_eq!(delivered(oracle.send(own, Location::Node).unwrap()).at, Location::Node);
                let rejected = oracle.send(other, Location::Node).unwrap();
                assert!(is_port_unreachable(&rejected), "{rejected}");
            }
            install(&oracle, Tool::Nft, family, protocol, &[]);
        }
    }
}

fn limits() {
    let mut oracle = Oracle::build(&topology()).unwrap();
    let [ipv4, ipv6] = Family::ALL.map(cast);
    let mixed = SentPacket::new(Protocol::Udp, ipv4.pod, ipv6.service);
    let error = oracle.send(mixed, Location::LocalPod).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no packet goes from 10.244.0.5:0 to [fd00:96::10]:80: choose addresses of one family"
    );

    let foreign = SentPacket::new(Protocol::Udp, ipv4.stranger, ipv4.service).from_port(7);
    let error = oracle.send(foreign, Location::Node).unwrap_err();
    assert_eq!(
        error.to_string(),
        "udp from 203.0.113.9:7 to 10.96.0.10:80: cannot bind a socket of the node: EADDRNOTAVAIL: Cannot assign \
         requested address; is the source an address of the node, and is there a route?"
    );

    for protocol in Protocol::ALL {
        let packet = SentPacket::new(protocol, ipv4.node, SocketAddr::new(ipv4.remote, 80));
        let both = [(); 2].map(|()| delivered(oracle.send(packet, Location::Node).unwrap()));
        for there in &both {
            assert!(there.is_answered_by(&oracle.reply(there).unwrap()), "each socket has its own answer");
        }
    }
    let packet = SentPacket::new(Protocol::Tcp, ipv4.node, SocketAddr::new(ipv4.remote, 80));
    let first = delivered(oracle.send(packet, Location::Node).unwrap());
    for _ in 0..64 {
        delivered(oracle.send(packet, Location::Node).unwrap());
    }
    let error = oracle.reply(&first).unwrap_err();
    assert!(matches!(error, OracleError::SocketClosed { .. }), "{error}");

    let packet = SentPacket::new(Protocol::Udp, ipv6.pod, ipv6.service);
    let error = (0..).find_map(|_| oracle.send(packet, Location::LocalPod).err()).unwrap();
    assert!(matches!(error, OracleError::PortsUsedUp { count: 49_152 }), "{error}");
    oracle.forget_flows().unwrap();
    delivered(oracle.send(packet, Location::LocalPod).unwrap());
}

pub(crate) fn tests() -> Vec<Test> {
    let needs =
        [Need::Root, Need::MountNamespace, Need::Tun, Need::Conntrack, Need::Nft, Need::IptablesLegacy];
    let of = |name: &str, body: fn()| Test {
        name: format!("the_oracle_{name}"),
        needs: needs.to_vec(),
        body: Box::new(body),
    };
    let in_ipvs = |name: &str, body: fn()| {
        let mut test = of(name, body);
        test.needs.extend([Need::IpVs, Need::Dummy]);
        test
    };
    vec![
        in_ipvs("sees_what_ipvs_balances", ipvs::balanced),
        in_ipvs("forgets_connections_of_ipvs", ipvs::forgotten),
        of("sees_what_is_routed_and_what_is_for_the_node", routed),
        of("sees_destinations_and_sources_translated_there_and_back", translated),
        of("tells_a_reject_from_a_reset_from_a_drop", refused),
        of("sees_a_pod_reach_itself", hairpin),
        of("sees_node_ports_from_everywhere", node_ports),
        of("sees_what_ends_on_the_node_itself", onto_the_node),
        of("sees_flows_kept_and_forgotten", flows),
        of("is_refused_as_often_as_it_asks", without_limits),
        of("waits_for_a_slow_loopback", slow_loopback),
        of("says_why_it_is_silent", limits),
    ]
}
