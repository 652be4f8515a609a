//! The probe against a fake dataplane: socket pairs in place of TUNs, and threads that translate - or misbehave.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::thread;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use proptest::prelude::*;

use super::*;
use crate::target::tests::at;
use crate::wire::{self, ACK, Ipv4Packet, Malformed, PSH, SYN, Segment};

const SERVICE: &str = "10.96.0.1:80";
const ENDPOINTS: [&str; 3] = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"];

fn endpoints() -> [SocketAddrV4; 3] {
    ENDPOINTS.map(at)
}

fn service(endpoints: &[SocketAddrV4], protocol: ProbeProtocol) -> ProbeTarget<'_> {
    ProbeTarget::new(at(SERVICE), protocol, endpoints).unwrap()
}

fn sources() -> Sources {
    Sources::new([10, 1, 0, 0].into(), 16, 1_024..=65_535, 1).unwrap()
}

/// One end for the probe, one for the fake. SOCK_SEQPACKET keeps packets apart and tells of a closed peer.
fn device() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
}

/// A probe whose packets go through `forward`, with their number from 0, and whose replies go through `reverse`.
fn probe_through(
    forward: impl FnMut(usize, Vec<u8>) -> Vec<Vec<u8>> + Send + 'static,
    reverse: impl FnMut(usize, Vec<u8>) -> Vec<Vec<u8>> + Send + 'static,
) -> Probe {
    fn run(from: OwnedFd, to: OwnedFd, mut act: impl FnMut(usize, Vec<u8>) -> Vec<Vec<u8>>) {
        let mut buffer = [0; BUFFER];
        for number in 0.. {
            let Ok(length @ 1..) = read(&from, &mut buffer) else { return };
            for packet in act(number, buffer[..length].to_vec()) {
                write(&to, &packet).unwrap();
            }
        }
    }
    let ((ingress, fake_ingress), (egress, fake_egress)) = (device(), device());
    let ends = (fake_ingress.try_clone().unwrap(), fake_egress.try_clone().unwrap());
    thread::spawn(move || run(fake_ingress, fake_egress, forward));
    thread::spawn(move || run(ends.1, ends.0, reverse));
    let mut probe = Probe::new(ingress, egress, sources()).unwrap();
    // The fake's threads may have to wait for a processor.
    probe.set_timeout(Duration::from_secs(120));
    probe
}

/// So long what is lost is waited for: a fake that is not starved is quicker.
const SHORT: Duration = Duration::from_secs(1);

/// A probe through a dataplane that drops replies.
fn probe_into(forward: impl FnMut(usize, Vec<u8>) -> Vec<Vec<u8>> + Send + 'static) -> Probe {
    probe_through(forward, |_, _| vec![])
}

const SOURCE: usize = 12;
const DESTINATION: usize = 16;

/// Rewrites an address and port as NAT does, with checksums updated by RFC 1624, equation 3.
fn translated(mut packet: Vec<u8>, field: usize, new: SocketAddrV4) -> Vec<u8> {
    let [a, b, c, d] = new.ip().octets();
    let [e, f] = new.port().to_be_bytes();
    let port = 20 + (field - SOURCE) / 2;
    let transport = if packet[9] == 17 { 26 } else { 36 };
    for (place, word, sums) in [
        (field, [a, b], &[10, transport][..]),
        (field + 2, [c, d], &[10, transport]),
        (port, [e, f], &[transport]),
    ] {
        let old = [packet[place], packet[place + 1]];
        for &sum in sums {
            let check = u16::from_be_bytes([packet[sum], packet[sum + 1]]);
            let total =
                u32::from(!check) + u32::from(!u16::from_be_bytes(old)) + u32::from(u16::from_be_bytes(word));
            let once = (total >> 16) + (total & 0xffff);
            let folded = !((once + (once >> 16)) as u16);
            packet[sum..sum + 2].copy_from_slice(&folded.to_be_bytes());
        }
        packet[place..place + 2].copy_from_slice(&word);
    }
    packet
}

fn to_endpoint(number: usize, packet: Vec<u8>) -> Vec<u8> {
    translated(packet, DESTINATION, endpoints()[number % 3])
}

/// Sends `count` first packets to one Service and returns what came of them.
fn first(probe: &mut Probe, protocol: ProbeProtocol, count: usize) -> (Summary, Times, Shares) {
    let endpoints = endpoints();
    let targets = [service(&endpoints, protocol)];
    let (mut times, mut shares) = (Times::new(), Shares::new(&targets));
    let summary = probe.first_packets(&targets, &vec![0; count], &mut times, Some(&mut shares)).unwrap();
    assert_eq!(summary.sent, count as u64);
    adds_up(&summary, &times);
    (summary, times, shares)
}

fn adds_up(summary: &Summary, times: &Times) {
    let bad = summary.lost + summary.wrong_destination + summary.wrong_source + summary.damaged;
    assert_eq!(summary.sent, summary.verified + bad, "{summary:?}");
    assert_eq!(times.count(), summary.timed, "{summary:?}");
    assert_eq!(bad > 0, summary.all_verified().is_err(), "{summary:?}");
}

#[test]
fn sound_packets_are_timed_and_their_endpoints_counted() {
    for protocol in [ProbeProtocol::Udp, ProbeProtocol::Tcp] {
        let mut probe = probe_into(|number, packet| vec![to_endpoint(number, packet)]);
        let (summary, times, shares) = first(&mut probe, protocol, 100);
        assert_eq!((summary.verified, summary.timed, summary.stray, summary.late), (100, 100, 0, 0));
        assert_eq!(shares.of(0), [34, 33, 33]);
        assert_eq!(times.count(), 100);
        assert!(!summary.busy.is_zero());
        assert_eq!(probe.sources_mut().left(), sources().flows() - 100);
    }
}

#[test]
fn every_packet_is_a_new_flow_with_the_next_number() {
    let (see, seen) = std::sync::mpsc::channel();
    let mut probe = probe_into(move |number, packet| {
        see.send(wire::parse_ipv4(&packet).unwrap()).unwrap();
        vec![to_endpoint(number, packet)]
    });
    first(&mut probe, ProbeProtocol::Udp, 50);
    let seen: Vec<_> = seen.try_iter().collect();
    assert_eq!(
        seen.iter().map(|packet| packet.segment).collect::<Vec<_>>(),
        (1..=50).map(|number| Segment::Udp { number: Some(number) }).collect::<Vec<_>>()
    );
    assert_eq!(
        seen.iter().map(|packet| packet.from).collect::<Vec<_>>(),
        sources().take(50).collect::<Vec<_>>()
    );
}

#[test]
fn drops_are_counted_and_not_timed() {
    let mut probe = probe_into(|number, packet| match number % 3 {
        0 => vec![],
        _ => vec![to_endpoint(number, packet)],
    });
    probe.set_timeout(SHORT);
    let (summary, ..) = first(&mut probe, ProbeProtocol::Udp, 9);
    assert_eq!((summary.lost, summary.verified, summary.timed), (3, 6, 6));
    let fault = summary.all_verified().unwrap_err();
    assert!(matches!(fault, PacketFault::Lost { tag: 1, .. }), "{fault:?}");
    assert!(fault.to_string().contains("10.96.0.1:80: nothing came out within 1s"), "{fault}");
}

#[test]
fn a_packet_that_comes_too_late_is_not_taken_for_the_next() {
    for protocol in [ProbeProtocol::Udp, ProbeProtocol::Tcp] {
        let mut held = None;
        let mut probe = probe_into(move |number, packet| {
            let packet = to_endpoint(number, packet);
            match number {
                1 => {
                    held = Some(packet);
                    vec![]
                }
                _ => held.take().into_iter().chain([packet]).collect(),
            }
        });
        probe.set_timeout(SHORT);
        let (summary, ..) = first(&mut probe, protocol, 5);
        assert_eq!((summary.lost, summary.late, summary.verified), (1, 1, 4));
    }
}

#[test]
fn a_packet_that_comes_twice_counts_once() {
    let mut probe = probe_into(|number, packet| {
        let packet = to_endpoint(number, packet);
        vec![packet.clone(), packet]
    });
    let (summary, ..) = first(&mut probe, ProbeProtocol::Udp, 5);
    assert_eq!((summary.verified, summary.late), (5, 4));
}

#[test]
fn an_unknown_endpoint_is_a_fault() {
    for (protocol, stranger) in [(ProbeProtocol::Udp, "10.0.0.4:8080"), (ProbeProtocol::Tcp, "10.0.0.1:8081")]
    {
        let mut probe = probe_into(move |number, packet| {
            let destination = if number == 2 { at(stranger) } else { endpoints()[0] };
            vec![translated(packet, DESTINATION, destination)]
        });
        let (summary, _, shares) = first(&mut probe, protocol, 4);
        assert_eq!((summary.wrong_destination, summary.timed), (1, 3));
        let fault = PacketFault::WrongDestination { tag: 3, to: at(SERVICE), got: at(stranger) };
        assert_eq!(summary.first_fault, Some(fault));
        assert_eq!(shares.of(0), [3, 0, 0], "{fault}");
    }
}

#[test]
fn an_untranslated_packet_is_a_fault_unless_it_is_the_control() {
    let mut probe = probe_into(|_, packet| vec![packet]);
    let (summary, ..) = first(&mut probe, ProbeProtocol::Udp, 3);
    assert_eq!((summary.wrong_destination, summary.timed), (3, 0));
    let control = at(SERVICE);
    let targets = [ProbeTarget::untranslated(&control, ProbeProtocol::Udp)];
    let summary = probe.first_packets(&targets, &[0; 3], &mut Times::new(), None).unwrap();
    assert_eq!((summary.verified, summary.all_verified()), (3, Ok(())));
}

#[test]
fn a_source_must_be_masqueraded_exactly_when_expected() {
    const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    for (does, expects) in [(false, true), (true, false), (true, true)] {
        let mut probe = probe_into(move |number, packet| {
            let packet = to_endpoint(number, packet);
            vec![if does { translated(packet, SOURCE, SocketAddrV4::new(NODE, 7)) } else { packet }]
        });
        let endpoints = endpoints();
        let target = service(&endpoints, ProbeProtocol::Udp);
        let targets = [if expects { target.masqueraded_as(NODE) } else { target }];
        let mut times = Times::new();
        let summary = probe.first_packets(&targets, &[0; 4], &mut times, None).unwrap();
        adds_up(&summary, &times);
        let expected = if does == expects { (4, 0) } else { (0, 4) };
        assert_eq!((summary.verified, summary.wrong_source), expected);
    }
}

#[test]
fn damage_is_found_wherever_it_is() {
    for (place, defect) in [
        (10, Malformed::HeaderChecksum),
        (26, Malformed::TransportChecksum),
        (40, Malformed::TransportChecksum),
    ] {
        let mut probe = probe_into(move |number, packet| {
            let mut packet = to_endpoint(number, packet);
            packet[place] ^= 0x10;
            vec![packet]
        });
        let (summary, ..) = first(&mut probe, ProbeProtocol::Udp, 2);
        assert_eq!((summary.damaged, summary.timed), (2, 0));
        assert_eq!(summary.first_fault, Some(PacketFault::Damaged { tag: 1, to: at(SERVICE), defect }));
    }
}

#[test]
fn strays_are_skipped_and_counted() {
    let mut probe = probe_into(|number, packet| {
        let router_solicitation = [&[0x60, 0, 0, 0, 0, 8, 58, 255][..], &[0; 40]].concat();
        let stranger = Stamp {
            from: at("10.9.9.9:9"),
            to: endpoints()[0],
            number: 1 << 60,
            sequence: 0,
            acknowledgement: 0,
        };
        let stranger = Template::new(Form::Udp).stamp(&stranger).to_vec();
        vec![router_solicitation, stranger, to_endpoint(number, packet)]
    });
    let (summary, ..) = first(&mut probe, ProbeProtocol::Udp, 10);
    assert_eq!((summary.verified, summary.stray, summary.late), (10, 20, 0));
}

#[test]
fn what_lies_in_the_devices_beforehand_is_drained() {
    let ((ingress, fake_ingress), (egress, fake_egress)) = (device(), device());
    let mut probe = Probe::new(ingress, egress, sources()).unwrap();
    for fake in [&fake_ingress, &fake_egress] {
        write(fake, &[0x60; 48]).unwrap();
    }
    let summary = probe.first_packets(&[], &[], &mut Times::new(), None).unwrap();
    assert_eq!((summary.stray, summary.sent), (2, 0));
}

/// Remembers nothing: one Service, so a reply's source becomes the Service and its destination stays.
fn reversed(packet: Vec<u8>) -> Vec<u8> {
    translated(packet, SOURCE, at(SERVICE))
}

fn established(probe: &mut Probe, protocol: ProbeProtocol, flows: usize, per_flow: u32) -> Summary {
    let endpoints = endpoints();
    let mut times = Times::new();
    let targets = [service(&endpoints, protocol)];
    let summary = probe.established_packets(&targets, &vec![0; flows], per_flow, &mut times).unwrap();
    adds_up(&summary, &times);
    summary
}

#[test]
fn established_flows_are_opened_answered_and_followed() {
    for protocol in [ProbeProtocol::Udp, ProbeProtocol::Tcp] {
        // Six packets per flow go in: stay with an endpoint per flow.
        let mut probe = probe_through(
            |number, packet| vec![to_endpoint(number / 6, packet)],
            |_, packet| vec![reversed(packet)],
        );
        let summary = established(&mut probe, protocol, 4, 5);
        assert_eq!((summary.sent, summary.verified, summary.timed), (4 * 7, 4 * 7, 4 * 5));
    }
}

#[test]
fn tcp_flows_obey_the_numbers_that_conntrack_checks() {
    let (see, seen) = std::sync::mpsc::channel();
    let see_reply = see.clone();
    let mut probe = probe_through(
        move |_, packet| {
            see.send(wire::parse_ipv4(&packet).unwrap()).unwrap();
            vec![to_endpoint(0, packet)]
        },
        move |_, packet| {
            see_reply.send(wire::parse_ipv4(&packet).unwrap()).unwrap();
            vec![reversed(packet)]
        },
    );
    established(&mut probe, ProbeProtocol::Tcp, 1, 2);
    let numbers = |packet: Ipv4Packet| match packet.segment {
        Segment::Tcp { flags, sequence, acknowledgement, .. } => (flags, sequence, acknowledgement),
        other => panic!("no TCP: {other:?}"),
    };
    let numbers: Vec<_> = seen.try_iter().map(numbers).collect();
    let expected = [(SYN, 1, 0), (SYN | ACK, 2, 2), (PSH | ACK, 2, 3), (PSH | ACK, 18, 3)];
    assert_eq!(numbers, expected);
}

#[test]
fn a_reply_without_reverse_translation_is_a_fault_and_ends_the_flow() {
    let mut probe = probe_through(|_, packet| vec![to_endpoint(0, packet)], |_, packet| vec![packet]);
    let summary = established(&mut probe, ProbeProtocol::Udp, 2, 5);
    assert_eq!((summary.sent, summary.wrong_source, summary.timed), (4, 2, 0));
}

#[test]
fn a_lost_reply_is_a_fault_and_ends_the_flow() {
    let mut probe = probe_into(|_, packet| vec![to_endpoint(0, packet)]);
    probe.set_timeout(SHORT);
    let summary = established(&mut probe, ProbeProtocol::Tcp, 2, 5);
    assert_eq!((summary.sent, summary.lost, summary.timed), (4, 2, 0));
}

#[test]
fn a_flow_that_changes_its_endpoint_is_a_fault() {
    let mut probe =
        probe_through(|number, packet| vec![to_endpoint(number, packet)], |_, packet| vec![reversed(packet)]);
    let summary = established(&mut probe, ProbeProtocol::Udp, 1, 6);
    // Packets 0 to 6 go to endpoints 0 1 2 0 1 2 0; only 0 is right.
    assert_eq!((summary.wrong_destination, summary.timed), (4, 2));
}

#[test]
fn a_masqueraded_flow_is_answered_at_its_new_address() {
    const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    let client = sources().next().unwrap();
    let mut probe = probe_through(
        |_, packet| vec![translated(to_endpoint(0, packet), SOURCE, SocketAddrV4::new(NODE, 7))],
        move |_, packet| {
            assert_eq!(wire::parse_ipv4(&packet).unwrap().to, SocketAddrV4::new(NODE, 7));
            vec![translated(reversed(packet), DESTINATION, client)]
        },
    );
    let endpoints = endpoints();
    let targets = [service(&endpoints, ProbeProtocol::Udp).masqueraded_as(NODE)];
    let summary = probe.established_packets(&targets, &[0], 3, &mut Times::new()).unwrap();
    assert_eq!((summary.verified, summary.timed, summary.all_verified()), (5, 3, Ok(())));
}

#[test]
fn what_cannot_be_probed_is_refused_with_the_reason() {
    let address = at(SERVICE);
    let targets = [ProbeTarget::untranslated(&address, ProbeProtocol::Tcp)];
    let times = &mut Times::new();

    let mut probe = probe_into(|_, packet| vec![packet]);
    let refused = probe.first_packets(&targets, &[0, 1], times, None).unwrap_err();
    assert_eq!(refused, ProbeError::Pick { pick: 1, targets: 1 });
    let per_flow = LONGEST_TCP_FLOW + 1;
    let refused = probe.established_packets(&targets, &[0], per_flow, times).unwrap_err();
    assert_eq!(refused, ProbeError::FlowTooLong { per_flow });

    *probe.sources_mut() = Sources::new([10, 1, 0, 1].into(), 32, 1..=2, 1).unwrap();
    let refused = probe.first_packets(&targets, &[0; 3], times, None).unwrap_err();
    assert_eq!((refused, times.count()), (ProbeError::SourcesUsedUp { flows: 2 }, 2));
    probe.sources_mut().restart();
    assert!(probe.first_packets(&targets, &[0; 2], times, None).is_ok());

    let ((ingress, _), (egress, _)) = (device(), device());
    let refused = Probe::new(ingress, egress, sources()).unwrap().first_packets(&targets, &[0], times, None);
    assert!(matches!(refused, Err(ProbeError::Device(DeviceError { device: "ingress", .. }))), "{refused:?}");
}

proptest! {
    #[test]
    fn the_fake_translates_checksums_rightly(from: (u32, u16), to: (u32, u16), tag: u64) {
        let [from, to] = [from, to].map(|(ip, port)| SocketAddrV4::new(ip.into(), port));
        let stamp = Stamp { from: at("10.1.0.1:1"), to: at(SERVICE), number: tag, sequence: tag as u32, acknowledgement: 0 };
        for form in [Form::Udp, Form::Syn] {
            let packet = Template::new(form).stamp(&stamp).to_vec();
            let packet = translated(translated(packet, SOURCE, from), DESTINATION, to);
            // A UDP checksum that comes to 0 is the one case that RFC 1624 alone does not cover.
            prop_assume!(form != Form::Udp || packet[26..28] != [0, 0]);
            let packet = wire::parse_ipv4(&packet).unwrap();
            prop_assert_eq!((packet.from, packet.to), (from, to));
        }
    }
}
