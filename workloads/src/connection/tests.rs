//! A machine that forwards as it should, and machines that do not.

use std::net::Ipv4Addr;
use std::thread;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use proptest::prelude::*;

use super::*;
use crate::recorder::Times;
use crate::target::tests::at;
use crate::wire::bytes::put;
use crate::wire::checksum::{checksum, pseudo_sum_ipv4, write_checksum};
use crate::wire::ip::IPV4_HEADER;
use crate::wire::{ACK, SYN, Segment as Carried, WireProtocol};

const VIRTUAL: &str = "203.0.113.80:80";
const DIRECTOR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn servers() -> [SocketAddrV4; 2] {
    [at("198.19.0.1:8080"), at("198.19.0.2:8080")]
}

const TREATMENTS: [Treatment; 4] = [
    Treatment::Routed,
    Treatment::Rewritten,
    Treatment::Redirected,
    Treatment::Encapsulated { from: DIRECTOR },
];

fn sources() -> Sources {
    Sources::new([100, 64, 0, 0].into(), 16, 1_024..=65_535, 1).unwrap()
}

fn address(packet: &mut [u8], (ip, port): (usize, usize), to: SocketAddrV4) {
    packet[ip..ip + 4].copy_from_slice(&to.ip().octets());
    packet[port..port + 2].copy_from_slice(&to.port().to_be_bytes());
}

/// Both checksums anew.
fn sealed(mut packet: Vec<u8>) -> Vec<u8> {
    put(&mut packet, 10, 0);
    let sum = checksum(&packet[..IPV4_HEADER], 0);
    put(&mut packet, 10, sum);
    put(&mut packet, IPV4_HEADER + 16, 0);
    let [from, to] = [12, 16].map(|at| Ipv4Addr::from([0, 1, 2, 3].map(|i| packet[at + i])));
    write_checksum(WireProtocol::Tcp, pseudo_sum_ipv4(from, to), &mut packet[IPV4_HEADER..]);
    packet
}

/// What a sound machine makes of a packet.
fn treated(treatment: Treatment, side: Side, server: SocketAddrV4, sent: &[u8]) -> Vec<u8> {
    let mut packet = sent.to_vec();
    packet[8] -= 1;
    match (treatment, side) {
        (Treatment::Rewritten, Side::Client) => address(&mut packet, (16, IPV4_HEADER + 2), server),
        (Treatment::Rewritten, Side::Server) => address(&mut packet, (12, IPV4_HEADER), at(VIRTUAL)),
        _ => {}
    }
    let packet = sealed(packet);
    match (treatment, side) {
        (Treatment::Encapsulated { from }, Side::Client) => {
            let mut outer = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 63, 4, 0, 0];
            put(&mut outer, 2, (packet.len() + IPV4_HEADER) as u16);
            outer.extend(from.octets());
            outer.extend(server.ip().octets());
            let sum = checksum(&outer, 0);
            put(&mut outer, 10, sum);
            [outer, packet].concat()
        }
        _ => packet,
    }
}

/// Where a packet comes out, and what it is then; or that it does not.
type Output = Option<(usize, Vec<u8>)>;

/// A probe through a machine that gives each new client the next server, and does `also` with what comes out: the number
/// of the packet, the exit or none for the ingress, and the packet. `also` may return nothing.
fn probe(
    treatment: Treatment,
    mut also: impl FnMut(usize, usize, Vec<u8>) -> Output + Send + 'static,
) -> ConnectionProbe {
    let pair = || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let ((ingress, near), (exit, far)) =
        (pair(), [pair(), pair()].into_iter().unzip::<_, _, Vec<_>, Vec<_>>());
    for (index, end) in far.iter().enumerate() {
        let (end, near) = (end.try_clone().unwrap(), near.try_clone().unwrap());
        thread::spawn(move || {
            let mut buffer = [0; BUFFER];
            while let Ok(length @ 1..) = read(&end, &mut buffer) {
                let back = treated(treatment, Side::Server, servers()[index], &buffer[..length]);
                let _ = write(&near, &back);
            }
        });
    }
    thread::spawn(move || {
        let (mut known, mut buffer) = (Vec::new(), [0; BUFFER]);
        for number in 0.. {
            let Ok(length @ 1..) = read(&near, &mut buffer) else { return };
            let sent = &buffer[..length];
            let packet = wire::parse_ipv4(sent).unwrap();
            let place = known.iter().position(|client| *client == packet.from).unwrap_or_else(|| {
                known.push(packet.from);
                known.len() - 1
            });
            let server = servers().iter().position(|server| *server == packet.to).unwrap_or(place % 2);
            let out = treated(treatment, Side::Client, servers()[server], sent);
            if let Some((exit, packet)) = also(number, server, out) {
                let _ = write(&far[exit], &packet);
            }
        }
    });
    let exits = exit.into_iter().zip(servers()).map(|(device, server)| Exit { device, server }).collect();
    let mut probe = ConnectionProbe::new(ingress, exits, sources(), treatment).unwrap();
    // The machine's threads may have to wait for a processor.
    probe.set_timeout(Duration::from_secs(120));
    probe
}

fn script() -> Vec<Segment> {
    Exchange { request: 52, response: 7_000 }.script()
}

#[test]
fn sound_connections_are_timed_packet_by_packet() {
    for treatment in TREATMENTS {
        let mut probe = probe(treatment, |_, exit, packet| Some((exit, packet)));
        let mut costs = Costs::default();
        let tally = probe.run(at(VIRTUAL), &script(), 10, &mut costs).unwrap();
        assert_eq!(tally.all_sound(), Ok(()));
        let packets = if treatment.both_ways() { 6 + 8 } else { 6 };
        let bytes =
            if treatment.both_ways() { (6 * 52 + 8 + 52) + (8 * 52 + 8 + 7_000) } else { 6 * 52 + 8 + 52 };
        assert_eq!(
            (tally.begun, tally.sound, tally.packets, tally.bytes),
            (10, 10, 10 * packets, 10 * bytes)
        );
        assert_eq!(tally.shares, [5, 5], "{treatment:?}");
        let counts = [&costs.connection, &costs.first, &costs.later].map(Times::count);
        assert_eq!(counts, [10, 10, 50]);
        let least = costs.first.histogram().min() + 5 * costs.later.histogram().min();
        assert!(costs.connection.histogram().min() >= least - least / 500);
    }
}

const SHORT: Duration = Duration::from_secs(1);

#[test]
fn what_is_lost_strays_or_is_flawed_is_a_fault_and_is_not_timed() {
    let outcome = |treatment, also: fn(usize, usize, Vec<u8>) -> Output| {
        let mut probe = probe(treatment, also);
        // So long what is lost is waited for: a machine that is not starved is quicker.
        probe.set_timeout(SHORT);
        let mut costs = Costs::default();
        let tally = probe.run(at(VIRTUAL), &script(), 2, &mut costs).unwrap();
        assert_eq!((tally.begun, tally.sound, costs.connection.count(), costs.later.count()), (2, 1, 1, 5));
        tally.all_sound().unwrap_err()
    };
    let lost = outcome(Treatment::Redirected, |number, exit, packet| (number != 2).then_some((exit, packet)));
    assert_eq!((lost.packet, lost.side), (3, Side::Client));
    assert_eq!(lost.what, Mishap::Lost { waited: SHORT });
    let strayed = outcome(Treatment::Encapsulated { from: DIRECTOR }, |number, exit, packet| {
        Some((if number == 3 { 1 - exit } else { exit }, packet))
    });
    assert_eq!(strayed.what, Mishap::Strayed { server: servers()[1] });
    let flawed = outcome(Treatment::Rewritten, |number, exit, mut packet| {
        if number == 1 {
            packet[30] ^= 1;
        }
        Some((exit, packet))
    });
    assert_eq!(flawed.what, Mishap::Flawed(Flaw::Damaged(Malformed::TransportChecksum)));
    assert_eq!(
        flawed.to_string(),
        format!(
            "packet 2 of the connection from {} to {VIRTUAL}, sent by the client: it is damaged: a wrong UDP or TCP \
             checksum",
            flawed.client
        )
    );
}

#[test]
fn a_fault_does_not_affect_the_next_connection() {
    // Twice in a row: the second packet would be taken for the next one's.
    let mut probe = probe(Treatment::Redirected, |number, exit, mut packet| {
        if number == 0 {
            packet[40] ^= 1;
        }
        Some((exit, packet))
    });
    let tally = probe.run(at(VIRTUAL), &script(), 5, &mut Costs::default()).unwrap();
    assert_eq!((tally.begun, tally.sound), (5, 4));
}

fn expected(treatment: Treatment, side: Side, sent: &[u8]) -> Expected<'_> {
    let to = if treatment == Treatment::Routed { servers()[0] } else { at(VIRTUAL) };
    Expected { sent, side, treatment, client: at("100.64.0.1:5"), to, server: servers()[0] }
}

fn packet_of(treatment: Treatment, side: Side, payload: u16) -> Vec<u8> {
    let Expected { client, to, server, .. } = expected(treatment, side, &[]);
    let ends = if side == Side::Client { (client, to) } else { (server, client) };
    let mut packet = Vec::new();
    build::build(&mut packet, &Segment { side, flags: ACK, payload }, ends, (1, 2), 77);
    packet
}

#[test]
fn each_flaw_has_its_name() {
    let judged = |treatment, change: fn(&mut Vec<u8>)| {
        let sent = packet_of(treatment, Side::Client, 10);
        let mut out = treated(treatment, Side::Client, servers()[0], &sent);
        change(&mut out);
        expected(treatment, Side::Client, &sent).judge(&out).unwrap_err()
    };
    let other = at("198.19.0.2:8080");
    let changed = |out: &mut Vec<u8>| {
        address(out, (16, IPV4_HEADER + 2), at("198.19.0.2:8080"));
        *out = sealed(std::mem::take(out));
    };
    for treatment in &TREATMENTS[..3] {
        let from = at("100.64.0.1:5");
        assert_eq!(judged(*treatment, changed), Flaw::Addresses { from, to: other });
    }
    let tunnel = TREATMENTS[3];
    assert_eq!(judged(tunnel, |out| *out = out.split_off(IPV4_HEADER)), Flaw::NoTunnel);
    assert_eq!(judged(tunnel, |out| out[11] ^= 1), Flaw::NoTunnel);
    assert_eq!(judged(tunnel, |out| out.truncate(15)), Flaw::NoTunnel);
    let elsewhere = judged(tunnel, |out| {
        out[19] = 9;
        put(out, 10, 0);
        let sum = checksum(&out[..IPV4_HEADER], 0);
        put(out, 10, sum);
    });
    assert_eq!(elsewhere, Flaw::Tunnel { from: DIRECTOR, to: [198, 19, 0, 9].into() });
    // A hop too many, another window, a payload that lost a byte.
    for (at, change) in [
        (8, (|out: &mut Vec<u8>| out[8] -= 1) as fn(&mut Vec<u8>)),
        (35, |out| out[35] = 1),
        (2, |out| {
            out.pop();
            let length = out.len() as u16;
            put(out, 2, length);
        }),
    ] {
        let sent = packet_of(Treatment::Redirected, Side::Client, 10);
        let mut out = treated(Treatment::Redirected, Side::Client, servers()[0], &sent);
        change(&mut out);
        let judged = expected(Treatment::Redirected, Side::Client, &sent).judge(&sealed(out));
        assert_eq!(judged, Err(if at == 2 { Flaw::Altered { at: 3 } } else { Flaw::Altered { at } }));
    }
}

proptest! {
    #[test]
    fn sound_packets_pass_and_one_wrong_bit_does_not(
        which in 0..TREATMENTS.len(), from_server: bool, payload in 0_u16..=1_448, bit: prop::sample::Index,
    ) {
        let treatment = TREATMENTS[which];
        let side = if from_server && treatment.both_ways() { Side::Server } else { Side::Client };
        let sent = packet_of(treatment, side, payload);
        let mut out = treated(treatment, side, servers()[0], &sent);
        prop_assert_eq!(expected(treatment, side, &sent).judge(&out), Ok(()));
        let bit = bit.index(out.len() * 8);
        out[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(expected(treatment, side, &sent).judge(&out).is_err(), "bit {}", bit);
    }

    #[test]
    fn any_bytes_are_judged_without_panic(which in 0..TREATMENTS.len(), got in prop::collection::vec(any::<u8>(), 0..100)) {
        let sent = packet_of(TREATMENTS[which], Side::Client, 10);
        let _ = expected(TREATMENTS[which], Side::Client, &sent).judge(&got);
    }

    #[test]
    fn what_is_built_is_a_sound_packet(payload in 0_u16..=1_448, syn: bool, numbers: (u32, u32)) {
        let flags = if syn { SYN } else { ACK };
        let segment = Segment { side: Side::Client, flags, payload: if syn { 0 } else { payload } };
        let mut bytes = vec![9; 5];
        build::build(&mut bytes, &segment, (at("10.0.0.1:1"), at("10.0.0.2:2")), numbers, 3);
        let packet = wire::parse_ipv4(&bytes).unwrap();
        let acknowledgement = if syn { 0 } else { numbers.1 };
        let carried = Carried::Tcp { flags, sequence: numbers.0, acknowledgement, number: None };
        prop_assert_eq!(packet.segment, carried);
        prop_assert_eq!(bytes.len(), 52 + usize::from(segment.payload) + if syn { 8 } else { 0 });
    }
}
