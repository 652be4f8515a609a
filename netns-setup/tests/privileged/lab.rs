//! Three namespaces, wired.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use netns_setup::{Conntrack, Egress, Lab, Namespace, Tun, TunOptions, UdpFlow, VethEnd};

use crate::helpers::{ENDPOINT, PROBE, Udp, lab, next_packet, nft, parse, topology, udp};
use crate::support::TIMEOUT;

/// Long enough for a packet on its way to arrive: here that takes microseconds.
const QUIET: Duration = Duration::from_millis(50);

fn probe(port: u16) -> Vec<u8> {
    udp((PROBE, port), (ENDPOINT, 53), b"question")
}

pub(crate) fn sockets() {
    let lab = lab();
    lab.steer(Egress::Server).unwrap();
    let first = topology().endpoint_prefix.hosts().next().unwrap();
    for (client, endpoint) in [
        (Ipv4Addr::new(172, 16, 0, 1), first),
        (Ipv4Addr::new(172, 16, 0, 9), ENDPOINT),
        (Ipv4Addr::new(172, 16, 255, 254), Ipv4Addr::new(10, 255, 255, 254)),
    ] {
        let server = lab.server.run(|| UdpSocket::bind((endpoint, 53))).unwrap();
        let asker = lab.client.run(|| UdpSocket::bind((client, 0))).unwrap();
        server.set_read_timeout(Some(TIMEOUT)).unwrap();
        asker.set_read_timeout(Some(TIMEOUT)).unwrap();
        asker.send_to(b"question", (endpoint, 53)).unwrap();
        let mut buffer = [0; 64];
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from.ip()), (&b"question"[..], client.into()));
        server.send_to(b"answer", from).unwrap();
        let (length, from) = asker.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from.ip()), (&b"answer"[..], endpoint.into()));
    }
    // Everyone's neighbours were written down beforehand (ATF_COM | ATF_PERM in if_arp.h): no ARP in measurements.
    for namespace in [&lab.client, &lab.node, &lab.server] {
        let table = namespace.run(|| fs::read_to_string("/proc/thread-self/net/arp")).unwrap();
        let flags: Vec<_> = table.lines().skip(1).map(|line| line.split_whitespace().nth(2)).collect();
        assert!(!flags.is_empty() && flags.iter().all(|&flags| flags == Some("0x6")), "{table}");
    }
    // One listener answers for the whole prefix; an unbound client gets an address of its prefix.
    let listener = lab.server.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80))).unwrap();
    let address = SocketAddrV4::new(ENDPOINT, 80);
    let mut stream = lab.client.run(|| TcpStream::connect_timeout(&address.into(), TIMEOUT)).unwrap();
    let (mut accepted, peer) = listener.accept().unwrap();
    assert_eq!(accepted.local_addr().unwrap(), address.into());
    let std::net::IpAddr::V4(source) = peer.ip() else { panic!("{peer}") };
    assert!(topology().client_prefix.contains(&source), "{source}");
    stream.write_all(b"x").unwrap();
    accepted.read_exact(&mut [0]).unwrap();
}

/// What is sent before the kernel has noticed a carrier is lost, so nobody gets a lab before.
pub(crate) fn carriers() {
    let lab = lab();
    let ends = [
        (&lab.client, "to-node"),
        (&lab.server, "to-node"),
        (&lab.node, "to-client"),
        (&lab.node, "to-server"),
    ];
    for (namespace, name) in ends {
        assert!(namespace.links(|links| links.link(name)).unwrap().operational, "{name}");
    }

    let [near, far] = ["near", "far"].map(|label| Namespace::create(&format!("test/{label}")).unwrap());
    let end = |name, last| VethEnd { name, mac: [2, 0, 0, 0, 0, last] };
    near.links(|links| links.add_veth(end("link", 1), end("peer", 2), far.fd())).unwrap();
    near.links(|links| links.set_up("link")).unwrap();
    assert!(!near.links(|links| links.link("link")).unwrap().operational, "the other end is down");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| near.links(|links| links.wait_until_operational(["link"])));
        far.links(|links| links.set_up("peer")).unwrap();
        waiting.join().unwrap().unwrap();
    });
    assert!(near.links(|links| links.link("link")).unwrap().operational);
}

pub(crate) fn tun_to_tun() {
    let lab = lab();
    lab.ingress().send(&probe(1000)).unwrap();
    let there = next_packet(lab.egress(), TIMEOUT).expect("forwarded to the egress TUN");
    assert_eq!(
        parse(&there),
        Udp { ttl: 63, source: (PROBE, 1000), target: (ENDPOINT, 53), payload: b"question".to_vec() }
    );
    lab.egress().send(&udp((ENDPOINT, 53), (PROBE, 1000), b"answer")).unwrap();
    let back = next_packet(lab.ingress(), TIMEOUT).expect("routed back to the ingress TUN");
    assert_eq!(parse(&back).payload, b"answer");
    assert_eq!(lab.egress().receive(&mut [0; 64]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

pub(crate) fn silence() {
    let lab = lab();
    for namespace in [&lab.client, &lab.node, &lab.server] {
        let addresses = namespace.run(|| fs::read_to_string("/proc/thread-self/net/if_inet6"));
        assert_eq!(addresses.unwrap_or_default(), "", "{}", namespace.label());
    }
    // Time enough for the first router solicitation, which IPv6 sends within a second of a link coming up.
    assert_eq!(next_packet(lab.egress(), Duration::from_millis(1500)), None);
    assert_eq!(next_packet(lab.ingress(), Duration::ZERO), None);
}

pub(crate) fn steering() {
    let lab = lab();
    let server = lab.server.run(|| UdpSocket::bind((ENDPOINT, 53))).unwrap();
    server.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut buffer = [0; 64];
    for round in 0..3 {
        lab.steer(Egress::Server).unwrap();
        lab.steer(Egress::Server).unwrap();
        lab.ingress().send(&probe(2000)).unwrap();
        assert_eq!(server.recv_from(&mut buffer).unwrap().1.ip(), PROBE, "round {round}");
        assert_eq!(next_packet(lab.egress(), QUIET), None, "round {round}");
        // The server knows the way back to the probe.
        server.send_to(b"answer", (PROBE, 2000)).unwrap();
        let answer = next_packet(lab.ingress(), TIMEOUT).expect("an answer from the server");
        assert_eq!(parse(&answer).payload, b"answer");

        lab.steer(Egress::Tun).unwrap();
        lab.ingress().send(&probe(2000)).unwrap();
        assert!(next_packet(lab.egress(), TIMEOUT).is_some(), "round {round}");
        server.set_nonblocking(true).unwrap();
        assert!(server.recv_from(&mut buffer).is_err(), "round {round}");
        server.set_nonblocking(false).unwrap();
    }
}

pub(crate) fn two_labs() {
    let (one, two) = (lab(), lab());
    for (a, b) in [(&one, &two), (&two, &one)] {
        a.ingress().send(&probe(3000)).unwrap();
        assert!(next_packet(a.egress(), TIMEOUT).is_some());
        assert_eq!(next_packet(b.egress(), QUIET), None);
    }
    drop(one);
    two.ingress().send(&probe(3001)).unwrap();
    assert!(next_packet(two.egress(), TIMEOUT).is_some(), "the other lab lives on");
}

fn one_rule(base: &str, rule: &str) -> String {
    format!("add table ip t\nadd chain ip t c {{ type {base}; }}\nadd rule ip t c {rule}\n")
}

pub(crate) fn masquerade() {
    let lab = lab();
    nft(&lab, &one_rule("nat hook postrouting priority 100", "masquerade"));
    lab.ingress().send(&probe(4000)).unwrap();
    let there = parse(&next_packet(lab.egress(), TIMEOUT).expect("not dropped for want of an address"));
    assert_eq!(there.source.0, topology().node_address);
    lab.egress().send(&udp(there.target, there.source, b"answer")).unwrap();
    let back = parse(&next_packet(lab.ingress(), TIMEOUT).expect("translated back"));
    assert_eq!(back.target, (PROBE, 4000));
}

fn entries(lab: &Lab) -> u64 {
    lab.node.run(Conntrack::count).unwrap()
}

pub(crate) fn flush() {
    let (lab, other) = (crate::helpers::lab(), crate::helpers::lab());
    for lab in [&lab, &other] {
        nft(lab, &one_rule("filter hook forward priority 0", "ct state new accept"));
        for port in 1..=100 {
            lab.ingress().send(&probe(port)).unwrap();
        }
        assert_eq!(entries(lab), 100);
    }
    let mut conntrack = lab.node.run(Conntrack::open).unwrap();
    conntrack.flush().unwrap();
    assert_eq!((entries(&lab), entries(&other)), (0, 100), "used from outside the namespace");
    conntrack.flush().unwrap();
    netns_setup::flush(&other.node).unwrap();
    assert_eq!(entries(&other), 0);
}

pub(crate) fn filled() {
    let lab = lab();
    let flow = |number: u16| UdpFlow {
        client: SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 1), 1024 + number),
        to: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 53), 53),
        answered_by: SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 1), 53),
    };
    let mut conntrack = lab.node.run(Conntrack::open).unwrap();
    // More than one batch.
    assert_eq!(conntrack.insert((0..3_000).map(flow)).unwrap(), 3_000);
    assert_eq!(entries(&lab), 3_000);
    let error = conntrack.insert([flow(3_000), flow(7), flow(3_001)]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::errno::Errno::EEXIST as i32), "{error}");
    assert_eq!(entries(&lab), 3_002, "the others are there");
    conntrack.flush().unwrap();
    assert_eq!(entries(&lab), 0);
    assert!(Conntrack::limit().unwrap() > 3_000);
}

pub(crate) fn taken() {
    let lab = lab();
    let error = Tun::open(&lab.node, "probe-in", TunOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "create TUN probe-in in test/node (/dev/net/tun, module tun): Device or resource busy"
    );
    let queue = lab.node.links(|links| links.link("probe-out")).unwrap().queue;
    assert_eq!(queue, TunOptions::default().queue);
}
