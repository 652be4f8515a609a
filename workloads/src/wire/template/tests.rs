//! Round trips, checksums against a naive twin, and bytes that are no packet.

use proptest::prelude::*;

use super::*;
use crate::wire::bytes::get;
use crate::wire::checksum::{pseudo_sum_ipv4, transport_checksum};
use crate::wire::tests::naive_sum;
use crate::wire::{Ipv4Packet, Malformed, parse_ipv4};

const FORMS: [Form; 4] = [Form::Udp, Form::Syn, Form::SynAck, Form::Data];

fn stamps() -> impl Strategy<Value = Stamp> {
    let at = || any::<(u32, u16)>().prop_map(|(ip, port)| SocketAddrV4::new(Ipv4Addr::from_bits(ip), port));
    (at(), at(), any::<(u64, u32, u32)>()).prop_map(|(from, to, (number, sequence, acknowledgement))| Stamp {
        from,
        to,
        number,
        sequence,
        acknowledgement,
    })
}

proptest! {
    #[test]
    fn what_is_built_is_what_is_parsed(form in prop::sample::select(&FORMS[..]), first in stamps(), stamp in stamps()) {
        let mut template = Template::new(form);
        template.stamp(&first); // nothing of an earlier stamp may remain
        let packet = parse_ipv4(template.stamp(&stamp)).unwrap();
        let Stamp { from, to, number, sequence, .. } = stamp;
        let tcp = |flags, acknowledgement, number| Segment::Tcp { flags, sequence, acknowledgement, number };
        let segment = match form {
            Form::Udp => Segment::Udp { number: Some(number) },
            Form::Syn => tcp(SYN, 0, None),
            Form::SynAck => tcp(SYN | ACK, stamp.acknowledgement, None),
            Form::Data => tcp(PSH | ACK, stamp.acknowledgement, Some(number)),
        };
        prop_assert_eq!(packet, Ipv4Packet { from, to, segment });
    }

    #[test]
    fn checksums_equal_the_naive_ones(bytes in prop::collection::vec(any::<u8>(), 0..3_000)) {
        prop_assert_eq!(checksum(&bytes, 0), naive_sum(&bytes));
    }

    #[test]
    fn one_wrong_bit_is_always_found(form in prop::sample::select(&FORMS[..]), stamp in stamps(), bit in 0_usize..36 * 8) {
        let mut template = Template::new(form);
        let mut bytes = template.stamp(&stamp).to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(parse_ipv4(&bytes).is_err(), "bit {} of {:?}", bit, form);
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = parse_ipv4(&bytes);
    }

    #[test]
    fn a_broken_packet_is_parsed_or_refused(
        form in prop::sample::select(&FORMS[..]), stamp in stamps(), cut in 0_usize..60, at in 0_usize..60, byte: u8, start in 5_usize..16,
    ) {
        // Right length and right header checksum, so that the parser gets past them.
        let mut template = Template::new(form);
        let mut bytes = template.stamp(&stamp).to_vec();
        bytes.truncate(cut.max(20));
        let last = bytes.len() - 1;
        bytes[at.min(last)] = byte;
        bytes[0] = 0x40 | start as u8;
        let length = bytes.len() as u16;
        put(&mut bytes, 2, length);
        put(&mut bytes, 10, 0);
        if let Some(header) = bytes.get(..start * 4) {
            let sum = checksum(header, 0);
            put(&mut bytes, 10, sum);
        }
        let _ = parse_ipv4(&bytes);
    }
}

fn udp() -> Vec<u8> {
    let (from, to) = (SocketAddrV4::new([10, 0, 0, 1].into(), 1), SocketAddrV4::new([10, 0, 0, 2].into(), 2));
    Template::new(Form::Udp).stamp(&Stamp { from, to, number: 1, sequence: 0, acknowledgement: 0 }).to_vec()
}

/// The packet with one byte changed and the IP header checksum made right again.
fn with(at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = udp();
    bytes[at] = byte;
    put(&mut bytes, 10, 0);
    let sum = naive_sum(&bytes[..20]);
    put(&mut bytes, 10, sum);
    bytes
}

#[test]
fn every_defect_has_its_name() {
    let refused = |bytes: &[u8]| parse_ipv4(bytes).unwrap_err();
    assert_eq!(refused(&[]), Malformed::Truncated(0));
    assert_eq!(refused(&udp()[..19]), Malformed::Truncated(19));
    assert_eq!(refused(&[0x60; 40]), Malformed::Version(6));
    assert_eq!(refused(&udp()[..43]), Malformed::Length { field: 44, actual: 43 });
    assert_eq!(refused(&with(0, 0x44)), Malformed::HeaderLength);
    assert_eq!(refused(&with(9, 1)), Malformed::Protocol(1));
    assert_eq!(refused(&with(6, 0x20)), Malformed::Fragment);
    assert_eq!(refused(&with(7, 1)), Malformed::Fragment);
    assert_eq!(refused(&with(8, 0)), Malformed::TimeToLive);
    assert_eq!(refused(&with(25, 23)), Malformed::Length { field: 23, actual: 24 });
    assert_eq!(refused(&with(43, 9)), Malformed::TransportChecksum);
    let mut bytes = udp();
    bytes[11] ^= 1;
    assert_eq!(refused(&bytes), Malformed::HeaderChecksum);
    let mut bytes = udp();
    put(&mut bytes, 26, 0);
    assert_eq!(refused(&bytes), Malformed::TransportChecksum, "a lost UDP checksum");
    let foreign = [Malformed::Version(6), Malformed::Protocol(1), Malformed::Fragment];
    assert!(foreign.iter().all(|defect| defect.is_foreign()) && !Malformed::HeaderChecksum.is_foreign());
}

#[test]
fn a_udp_checksum_is_never_zero() {
    // One of 65,535 tags gives a sum of 0; find it, and see the other form.
    let mut template = Template::new(Form::Udp);
    let (from, to) = (SocketAddrV4::new([10, 0, 0, 1].into(), 1), SocketAddrV4::new([10, 0, 0, 2].into(), 2));
    let sums = (0..65_536).map(|number| {
        let packet = template.stamp(&Stamp { from, to, number, sequence: 0, acknowledgement: 0 });
        assert!(parse_ipv4(packet).is_ok());
        let sum = get(packet, 26);
        if sum == u16::MAX {
            let mut zero = packet.to_vec();
            put(&mut zero, 26, 0);
            assert_eq!(parse_ipv4(&zero), Err(Malformed::TransportChecksum), "NAT must not send 0 either");
        }
        sum
    });
    let sums: Vec<u16> = sums.collect();
    assert!(sums.contains(&u16::MAX) && !sums.contains(&0));
}

#[test]
fn a_payload_that_is_not_ours_has_no_number() {
    let mut bytes = udp();
    bytes[28] ^= 1; // the first letter of the magic
    put(&mut bytes, 26, 0);
    let [from, to] = [12, 16].map(|at| Ipv4Addr::from([0, 1, 2, 3].map(|i| bytes[at + i])));
    let sum = transport_checksum(17, pseudo_sum_ipv4(from, to), &bytes[20..]);
    put(&mut bytes, 26, sum);
    assert_eq!(parse_ipv4(&bytes).unwrap().segment, Segment::Udp { number: None });
}
