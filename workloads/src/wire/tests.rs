//! Round trips, checksums against independent sums, and bytes that are no packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::prelude::*;

use super::*;

fn address(v6: bool) -> impl Strategy<Value = SocketAddr> {
    any::<(u32, u128, u16)>().prop_map(move |(ipv4, ipv6, port)| match v6 {
        false => SocketAddr::new(Ipv4Addr::from(ipv4).into(), port),
        true => SocketAddr::new(Ipv6Addr::from(ipv6).into(), port),
    })
}

fn chunk() -> impl Strategy<Value = Chunk> {
    prop_oneof![
        any::<u32>().prop_map(|initiate| Chunk::Init { initiate }),
        any::<u32>().prop_map(|initiate| Chunk::InitAck { initiate }),
        Just(Chunk::Abort),
        (7_u8..).prop_map(Chunk::Other),
    ]
}

fn segment() -> impl Strategy<Value = Segment> {
    prop_oneof![
        any::<Option<u64>>().prop_map(|number| Segment::Udp { number }),
        any::<(u8, u32, u32, Option<u64>)>().prop_map(|(flags, sequence, acknowledgement, number)| {
            Segment::Tcp { flags, sequence, acknowledgement, number }
        }),
        (any::<u32>(), chunk()).prop_map(|(tag, chunk)| Segment::Sctp { tag, chunk }),
    ]
}

fn packet() -> impl Strategy<Value = Packet> {
    any::<bool>().prop_flat_map(|v6| {
        (address(v6), address(v6), segment()).prop_map(|(from, to, segment)| Packet { from, to, segment })
    })
}

/// RFC 1071, section 4.1, word by word, with the end-around carry at every step.
pub(super) fn naive_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u16;
    for pair in bytes.chunks(2) {
        let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        let (next, carry) = sum.overflowing_add(word);
        sum = next + u16::from(carry);
    }
    !sum
}

/// The pseudo header written out (RFC 9293, section 3.1; RFC 8200, section 8.1), and the payload.
fn naive_transport(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> u16 {
    let mut bytes = Vec::new();
    for address in [from, to] {
        match address {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
    }
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend([0, 0, 0, protocol]);
    bytes.extend(payload);
    naive_sum(&bytes)
}

/// RFC 9260, appendix A, bit by bit and without reflection.
fn naive_crc32c(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(byte.reverse_bits()) << 24;
        for _ in 0..8 {
            sum = if sum >> 31 == 1 { sum << 1 ^ 0x1edc_6f41 } else { sum << 1 };
        }
    }
    !sum.reverse_bits()
}

fn headers(packet: &Packet) -> usize {
    if packet.from.is_ipv4() { 20 } else { 40 }
}

/// An error about the first `quoted` bytes of a packet, written by hand.
fn error_about(packet: &Packet, kind: u8, code: u8, quoted: usize) -> Vec<u8> {
    let about = packet.build().unwrap();
    let mut body = vec![kind, code, 0, 0, 0, 0, 0, 0];
    body.extend(&about[..quoted.min(about.len())]);
    let (from, to) = (packet.to.ip(), packet.from.ip());
    let sum = match from {
        IpAddr::V4(_) => naive_sum(&body),
        IpAddr::V6(_) => naive_transport(from, to, 58, &body),
    };
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    // The header of any packet that goes back will do, with another length and protocol.
    let back = Packet { from: packet.to, to: packet.from, segment: packet.segment };
    let mut header = back.build().unwrap()[..headers(packet)].to_vec();
    match from {
        IpAddr::V4(_) => {
            header[2..4].copy_from_slice(&(20 + body.len() as u16).to_be_bytes());
            header[9] = 1;
            header[10..12].fill(0);
            let sum = naive_sum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        IpAddr::V6(_) => {
            header[4..6].copy_from_slice(&(body.len() as u16).to_be_bytes());
            header[6] = 58;
        }
    }
    [header, body].concat()
}

proptest! {
    #[test]
    fn what_is_built_is_what_is_parsed(packet in packet()) {
        let bytes = packet.build().unwrap();
        for checksums in [Checksums::Verify, Checksums::Skip] {
            prop_assert_eq!(parse(&bytes, checksums), Ok(Message::Packet(packet)));
        }
        prop_assert_eq!(&bytes[headers(&packet)..], packet.build_payload());
    }

    #[test]
    fn checksums_are_right(packet in packet()) {
        let bytes = packet.build().unwrap();
        let (header, payload) = bytes.split_at(headers(&packet));
        if packet.from.is_ipv4() {
            prop_assert_eq!(naive_sum(header), 0);
        }
        match packet.protocol() {
            WireProtocol::Sctp => {
                let mut zeroed = payload.to_vec();
                zeroed[8..12].fill(0);
                prop_assert_eq!(&payload[8..12], naive_crc32c(&zeroed).to_le_bytes());
            }
            protocol => {
                let (from, to) = (packet.from.ip(), packet.to.ip());
                prop_assert_eq!(naive_transport(from, to, protocol.number(), payload), 0);
            }
        }
    }

    /// Nothing covers traffic class, flow label and hop limit of IPv6, nor in SCTP the addresses.
    #[test]
    fn one_wrong_bit_is_found(packet in packet(), bit: prop::sample::Index) {
        let mut bytes = packet.build().unwrap();
        let bit = bit.index(bytes.len() * 8);
        let covered = match bit / 8 {
            _ if packet.from.is_ipv4() => true,
            0 => bit < 4,
            1..4 | 7 => false,
            8..40 => packet.protocol() != WireProtocol::Sctp,
            _ => true,
        };
        bytes[bit / 8] ^= 0x80 >> (bit % 8);
        prop_assert!(parse(&bytes, Checksums::Verify).is_err() || !covered, "bit {}", bit);
    }

    #[test]
    fn errors_say_what_they_are_about(packet in packet(), code: u8, quoted in 0_usize..120) {
        let v6 = packet.from.is_ipv6();
        let kind = if v6 { 1 } else { 3 };
        let whole = packet.build().unwrap().len();
        let read = parse(&error_about(&packet, kind, code, quoted), Checksums::Verify);
        // Every router quotes the ports at least; only the kernel's own errors are sure to have the number.
        if quoted < headers(&packet) + 4 {
            prop_assert!(matches!(read, Err(Malformed::Truncated(_))), "{:?}", read);
        } else {
            let Ok(Message::Error(error)) = read else { panic!("{read:?}") };
            let about = error.about;
            prop_assert_eq!((error.from, error.to), (packet.to.ip(), packet.from.ip()));
            prop_assert_eq!((error.kind, error.code), (kind, code));
            prop_assert_eq!((about.protocol, about.from, about.to), (packet.protocol(), packet.from, packet.to));
            if quoted >= whole {
                let number = match packet.segment {
                    Segment::Tcp { sequence, .. } => Some(sequence),
                    _ => packet.number(),
                };
                prop_assert_eq!(about.number, number);
            }
        }
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(
        mut bytes in prop::collection::vec(any::<u8>(), 0..120), start in prop::option::of(prop::sample::select(&[0x45, 0x46, 0x60][..])),
    ) {
        // Those that seem to be of IP get further.
        if let (Some(first), Some(start)) = (bytes.first_mut(), start) {
            *first = start;
        }
        let _ = parse(&bytes, Checksums::Verify);
        let _ = parse(&bytes, Checksums::Skip);
        let (from, to) = (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
        for protocol in [6, 17, 58, 132] {
            let _ = parse_payload(from, to, protocol, &bytes, Checksums::Skip);
        }
    }

    #[test]
    fn a_broken_packet_is_parsed_or_refused(
        packet in packet(), error: bool, cut in 0_usize..140, at in 0_usize..140, byte: u8,
    ) {
        // Right length and right header checksum, so that the parser gets past them.
        let start = headers(&packet);
        let mut bytes = if error { error_about(&packet, 3, 3, 200) } else { packet.build().unwrap() };
        bytes.truncate(cut.max(start));
        let last = bytes.len() - 1;
        bytes[at.min(last)] = byte;
        let length = bytes.len() as u16;
        if packet.from.is_ipv4() {
            bytes[0] = 0x45;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[10..12].fill(0);
            let sum = naive_sum(&bytes[..20]);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        } else {
            bytes[0] = 0x60;
            bytes[4..6].copy_from_slice(&(length - 40).to_be_bytes());
        }
        let _ = parse(&bytes, Checksums::Verify);
        let _ = parse(&bytes, Checksums::Skip);
    }

    #[test]
    fn answers_and_refusals_belong_to_their_first_packet(
        protocol in prop::sample::select(&WireProtocol::ALL[..]), from in address(true), to in address(true), number: u32, own: u32,
    ) {
        let first = Packet::first(protocol, from, to, number);
        prop_assert!(first.is_first());
        prop_assert_eq!((first.number(), first.answers(), first.refuses()), (Some(number), None, None));
        let answer = first.answer(own).unwrap();
        prop_assert_eq!((answer.from, answer.to, answer.number()), (to, from, Some(own)));
        if protocol != WireProtocol::Udp {
            prop_assert_eq!((answer.is_first(), answer.answers()), (false, Some(number)));
            prop_assert_eq!(answer.answer(1), None);
        }
        let refusal = match protocol {
            WireProtocol::Udp => return Ok(()),
            WireProtocol::Tcp => Segment::Tcp { flags: RST | ACK, sequence: 0, acknowledgement: number.wrapping_add(1), number: None },
            WireProtocol::Sctp => Segment::Sctp { tag: number, chunk: Chunk::Abort },
        };
        let refusal = Packet { from: to, to: from, segment: refusal };
        prop_assert_eq!((refusal.refuses(), refusal.number()), (Some(number), None));
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn udp(v6: bool) -> Packet {
    let (from, to) = if v6 { ("[fd00::1]:1", "[fd00::2]:2") } else { ("10.0.0.1:1", "10.0.0.2:2") };
    Packet::first(WireProtocol::Udp, at(from), at(to), 1)
}

#[test]
fn crc32c_gives_the_known_values() {
    // RFC 3720, appendix B.4, and the check value of every catalogue.
    let of = |bytes: &[u8]| u32::from_le_bytes(crc32c::crc32c([bytes, &[], &[]]));
    assert_eq!(of(&[0; 32]), 0x8a91_36aa);
    assert_eq!(of(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(of(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c::crc32c([b"123", b"456", b"789"]), crc32c::crc32c([b"123456789", &[], &[]]));
}

#[test]
fn families_are_not_mixed() {
    let packet = Packet { to: at("[fd00::2]:2"), ..udp(false) };
    assert_eq!(
        packet.build().unwrap_err().to_string(),
        "no packet goes from 10.0.0.1:1 to [fd00::2]:2: choose addresses of one family"
    );
}

#[test]
fn every_defect_has_its_name() {
    /// The packet with one byte changed and the IP header's checksum made right again.
    fn with(v6: bool, at: usize, byte: u8) -> Vec<u8> {
        let mut bytes = udp(v6).build().unwrap();
        bytes[at] = byte;
        if !v6 {
            bytes[10..12].fill(0);
            let sum = naive_sum(&bytes[..20]);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }
    let refused = |bytes: &[u8]| parse(bytes, Checksums::Verify).unwrap_err();
    assert_eq!(refused(&[]), Malformed::Truncated(0));
    assert_eq!(refused(&[0x50; 60]), Malformed::Version(5));
    assert_eq!(refused(&udp(false).build().unwrap()[..19]), Malformed::Truncated(19));
    assert_eq!(refused(&udp(true).build().unwrap()[..39]), Malformed::Truncated(39));
    assert_eq!(refused(&udp(false).build().unwrap()[..43]), Malformed::Length { field: 44, actual: 43 });
    assert_eq!(refused(&udp(true).build().unwrap()[..63]), Malformed::Length { field: 64, actual: 63 });
    assert_eq!(refused(&with(false, 0, 0x44)), Malformed::HeaderLength);
    assert_eq!(refused(&with(false, 9, 2)), Malformed::Protocol(2));
    assert_eq!(refused(&with(true, 6, 0)), Malformed::Protocol(0), "an extension header");
    assert_eq!(refused(&with(true, 6, 1)), Malformed::Protocol(1), "ICMP over IPv6");
    assert_eq!(refused(&with(false, 7, 1)), Malformed::Fragment);
    assert_eq!(refused(&with(true, 6, 44)), Malformed::Fragment);
    assert_eq!(refused(&with(false, 8, 0)), Malformed::TimeToLive);
    assert_eq!(refused(&with(true, 7, 0)), Malformed::TimeToLive);
    assert_eq!(refused(&with(false, 25, 23)), Malformed::Length { field: 23, actual: 24 });
    assert_eq!(refused(&with(false, 43, 9)), Malformed::TransportChecksum);
    assert_eq!(refused(&with(true, 63, 9)), Malformed::TransportChecksum);
    let mut bytes = udp(false).build().unwrap();
    bytes[11] ^= 1;
    assert_eq!(refused(&bytes), Malformed::HeaderChecksum);
    let sctp = Packet::first(WireProtocol::Sctp, udp(true).from, udp(true).to, 1);
    let mut bytes = sctp.build().unwrap();
    bytes[60] ^= 1;
    assert_eq!(refused(&bytes), Malformed::SctpChecksum);
    for v6 in [false, true] {
        let mut bytes = udp(v6).build().unwrap();
        let header = headers(&udp(v6));
        bytes[header + 6..header + 8].fill(0);
        assert_eq!(refused(&bytes), Malformed::TransportChecksum, "a lost UDP checksum");
        assert!(parse(&bytes, Checksums::Skip).is_ok());
        let mut error = error_about(&udp(v6), if v6 { 1 } else { 3 }, 3, 100);
        error[header + 4] ^= 1;
        assert_eq!(refused(&error), Malformed::IcmpChecksum);
    }
    assert_eq!(refused(&error_about(&udp(false), 8, 0, 100)), Malformed::NoError(8), "an echo request");
    assert_eq!(refused(&error_about(&udp(true), 133, 0, 100)), Malformed::NoError(133), "a solicitation");
    let foreign = [
        Malformed::Version(5),
        Malformed::Protocol(0),
        Malformed::NoError(133),
        Malformed::QuotedProtocol(1),
        Malformed::Fragment,
    ];
    assert!(foreign.iter().all(|defect| defect.is_foreign()));
    assert!(!Malformed::HeaderChecksum.is_foreign() && !Malformed::Truncated(3).is_foreign());
}

#[test]
fn errors_about_other_protocols_are_foreign() {
    let mut error = error_about(&udp(false), 3, 3, 100);
    error[20 + 8 + 9] = 1;
    assert_eq!(parse(&error, Checksums::Skip), Err(Malformed::QuotedProtocol(1)));
}

#[test]
fn all_but_udp_and_tcp_over_ipv4_is_foreign_where_only_those_are_read() {
    let first = |protocol, v6| Packet::first(protocol, udp(v6).from, udp(v6).to, 1).build().unwrap();
    for protocol in WireProtocol::ALL {
        assert_eq!(parse_ipv4(&first(protocol, true)), Err(Malformed::Version(6)));
        assert_eq!(parse_ipv4(&first(protocol, false)).is_ok(), protocol != WireProtocol::Sctp, "{protocol}");
    }
    assert_eq!(parse_ipv4(&first(WireProtocol::Sctp, false)), Err(Malformed::Protocol(132)));
    assert_eq!(parse_ipv4(&error_about(&udp(false), 3, 3, 100)), Err(Malformed::Protocol(1)));
}

#[test]
fn reasons_are_the_same_in_both_families() {
    let both = |v4: (u8, u8), v6: (u8, u8)| [Reason::of(false, v4.0, v4.1), Reason::of(true, v6.0, v6.1)];
    assert_eq!(both((3, 0), (1, 0)), [Reason::NetworkUnreachable; 2]);
    assert_eq!(both((3, 1), (1, 3)), [Reason::HostUnreachable; 2]);
    assert_eq!(both((3, 2), (4, 1)), [Reason::ProtocolUnreachable; 2]);
    assert_eq!(both((3, 3), (1, 4)), [Reason::PortUnreachable; 2]);
    assert_eq!(both((3, 13), (1, 1)), [Reason::Prohibited; 2]);
    assert_eq!(both((11, 0), (3, 0)), [Reason::Other; 2], "time exceeded");
}

#[test]
fn a_udp_checksum_is_never_zero() {
    for v6 in [false, true] {
        let sums: Vec<[u8; 2]> = (0..65_536)
            .map(|number| {
                let bytes =
                    Packet { segment: Segment::Udp { number: Some(number) }, ..udp(v6) }.build().unwrap();
                bytes[headers(&udp(v6)) + 6..][..2].try_into().unwrap()
            })
            .collect();
        assert!(sums.contains(&[0xff; 2]) && !sums.contains(&[0; 2]), "one of 65,535 gives a sum of 0");
    }
}

#[test]
fn a_payload_that_is_not_ours_has_no_number() {
    let mut bytes = udp(false).build().unwrap();
    bytes[28] ^= 1; // the first letter of the magic
    let Message::Packet(packet) = parse(&bytes, Checksums::Skip).unwrap() else { panic!() };
    assert_eq!(packet.segment, Segment::Udp { number: None });
}
