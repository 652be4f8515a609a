//! A node and its surroundings, and a loopback that has nothing left to deliver.

use std::net::{IpAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use netns_setup::single_node::{SingleNode, Topology};
use netns_setup::{Loopback, Namespace, Tun, find_program};

use crate::helpers::{next_packet, parse, udp};

fn topology() -> Topology {
    let nets = |texts: [&str; 2]| texts.map(|text| text.parse().unwrap()).to_vec();
    Topology {
        label: "single_node".into(),
        node: ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"]
            .map(|text| text.parse().unwrap())
            .to_vec(),
        local_pods: nets(["10.244.0.0/24", "fd00:244::/64"]),
        remote_pods: nets(["10.244.1.0/24", "fd00:244:0:1::/64"]),
    }
}

fn devices(single_node: &SingleNode) -> [&Tun; 3] {
    [&single_node.outside, &single_node.local_pods, &single_node.remote_pods]
}

pub(crate) fn silence() {
    let single_node = SingleNode::build(&topology()).unwrap();
    // Time enough for the first router solicitation and the first report of multicast groups.
    assert_eq!(next_packet(&single_node.outside, Duration::from_millis(1500)), None);
    assert_eq!(devices(&single_node).map(|device| next_packet(device, Duration::ZERO)), [None, None, None]);
    let listed = single_node.node.run(|| std::fs::read_to_string("/proc/thread-self/net/if_inet6")).unwrap();
    assert_eq!(listed.lines().filter(|line| line.starts_with("fe80")).count(), 0, "{listed}");
}

pub(crate) fn addresses() {
    let single_node = SingleNode::build(&topology()).unwrap();
    single_node.node.run(|| {
        for address in topology().node {
            // No address is still being looked for.
            UdpSocket::bind((address, 0)).unwrap();
        }
        // What the kernel chooses itself, and so what masqueraded packets carry.
        for (far, near) in [
            ("203.0.113.1", 0),
            ("10.244.0.1", 0),
            ("10.244.1.1", 0),
            ("2001:db8:9::1", 1),
            ("fd00:244::1", 1),
            ("fd00:244:0:1::1", 1),
        ] {
            let unspecified = if near == 0 { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(unspecified).unwrap();
            socket.connect((far.parse::<IpAddr>().unwrap(), 9)).unwrap();
            assert_eq!(socket.local_addr().unwrap().ip(), topology().node[near], "to {far}");
        }
    });
}

pub(crate) fn between_all() {
    let single_node = SingleNode::build(&topology()).unwrap();
    let places = ["203.0.113.9", "10.244.0.5", "10.244.1.5"].map(|text| text.parse().unwrap());
    for (from, here) in places.into_iter().zip(devices(&single_node)) {
        for (to, there) in places.into_iter().zip(devices(&single_node)) {
            here.send(&udp((from, 1000), (to, 53), b"question")).unwrap();
            let mut buffer = [0; 64];
            // It has come out when the write has returned.
            let length = there.receive(&mut buffer).unwrap();
            let packet = parse(&buffer[..length]);
            assert_eq!((packet.source.0, packet.target.0, packet.ttl), (from, to, 63));
            assert_eq!(
                devices(&single_node).map(|device| next_packet(device, Duration::ZERO)),
                [None, None, None]
            );
        }
    }
}

/// So often is tried to look at a slow loopback before it has delivered.
const ROUNDS: u32 = 10;

/// Makes a loopback slow: 2 kB at once, then 10 kB/s (tc-tbf(8)).
fn slow(namespace: &Namespace) {
    let tc = find_program("tc").expect("tc, of package iproute2");
    let limit = "qdisc add dev lo root tbf rate 80kbit burst 2kb limit 100kb";
    let mut child = namespace.spawn(Command::new(tc).args(limit.split(' '))).unwrap();
    assert!(child.wait().unwrap().success());
}

pub(crate) fn settled() {
    let namespace = Namespace::create("test/loopback").unwrap();
    slow(&namespace);
    namespace.run(|| {
        let mut loopback = Loopback::open().unwrap();
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_nonblocking(true).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        let mut received = [0; 1500];
        let mut next = || receiver.recv(&mut received).ok();
        // On a slow machine they may have come before anybody looks.
        let waited = (0..ROUNDS).filter(|_| {
            for length in [1500, 1000, 4] {
                sender.send(&[0; 1500][..length]).unwrap();
            }
            let before: Vec<usize> = std::iter::from_fn(&mut next).collect();
            loopback.settle().unwrap();
            let after: Vec<usize> = std::iter::from_fn(&mut next).collect();
            assert_eq!([&before[..], &after].concat(), [1500, 1000, 4]);
            !after.is_empty()
        });
        assert!(waited.count() > 0, "some still waited");
    });
    // Nothing comes out of a loopback that is down, and that is said.
    namespace.links(|links| links.set_down("lo")).unwrap();
    let error = namespace.run(|| Loopback::open().unwrap().settle()).unwrap_err();
    assert_eq!(error.to_string(), "wait for a marker on lo: Network is down");
}

/// What comes of a packet waits as well: here, that nobody listens.
pub(crate) fn settled_in_turn() {
    let namespace = Namespace::create("test/loopback").unwrap();
    slow(&namespace);
    namespace.run(|| {
        let mut loopback = Loopback::open().unwrap();
        let waited = (0..ROUNDS).filter(|_| {
            let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
            sender.send_to(&[0; 1500], sender.local_addr().unwrap()).unwrap();
            sender.connect("127.0.0.1:9").unwrap();
            sender.send(&[0; 1000]).unwrap();
            let before = sender.take_error().unwrap();
            loopback.settle().unwrap();
            let waited = before.is_none();
            let error = before.or_else(|| sender.take_error().unwrap()).unwrap();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
            waited
        });
        assert!(waited.count() > 0, "it still waited");
    });
}
