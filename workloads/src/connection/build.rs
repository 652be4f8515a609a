//! The bytes of a segment.

use std::net::SocketAddrV4;

use super::script::Segment;
use crate::wire::checksum::{pseudo_sum_ipv4, write_checksum};
use crate::wire::ip::{IPV4_HEADER, write_ipv4};
use crate::wire::transport::{SYN_OPTIONS, TCP_HEADER, write_tcp};
use crate::wire::{ACK, FIN, SYN, WireProtocol};

/// Padding and a timestamp (RFC 7323), as Linux puts them into every segment after the SYNs.
const OPTIONS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1];

/// Where a connection stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    /// What the client sends next.
    pub(super) client: u32,
    /// What the server sends next.
    pub(super) server: u32,
}

/// Bytes that a segment takes up in sequence numbers.
pub(super) fn length(segment: &Segment) -> u32 {
    let flag = |bit| u32::from(segment.flags & bit != 0);
    u32::from(segment.payload) + flag(SYN) + flag(FIN)
}

/// Bytes of the IP packet that holds it.
pub(super) fn size(segment: &Segment) -> usize {
    IPV4_HEADER + TCP_HEADER + options(segment).len() + usize::from(segment.payload)
}

fn options(segment: &Segment) -> &'static [u8] {
    if segment.flags & SYN != 0 { &SYN_OPTIONS } else { &OPTIONS }
}

/// Writes the IP packet with right checksums.
pub(super) fn build(
    packet: &mut Vec<u8>,
    segment: &Segment,
    (from, to): (SocketAddrV4, SocketAddrV4),
    (sequence, acknowledgement): (u32, u32),
    identification: u16,
) {
    let (size, addresses) = (size(segment), (*from.ip(), *to.ip()));
    let acknowledgement = if segment.flags & ACK != 0 { acknowledgement } else { 0 };
    packet.clear();
    write_ipv4(packet, WireProtocol::Tcp, addresses, identification, size - IPV4_HEADER);
    let numbers = (sequence, acknowledgement);
    write_tcp(packet, (from.port(), to.port()), segment.flags, numbers, options(segment));
    packet.resize(size, b' ');
    let pseudo_sum = pseudo_sum_ipv4(addresses.0, addresses.1);
    write_checksum(WireProtocol::Tcp, pseudo_sum, &mut packet[IPV4_HEADER..]);
}
