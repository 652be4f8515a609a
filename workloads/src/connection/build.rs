//! The bytes of a segment.

use std::net::SocketAddrV4;

use super::script::Segment;
use crate::packet::transport_checksum;
use crate::packet::{ACK, FIN, IP_HEADER, SYN, SYN_OPTIONS, TCP_HEADER, TCP_NUMBER, checksum, put};

/// Padding and a timestamp (RFC 7323), as Linux puts them into every segment after the SYNs.
const OPTIONS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1];
/// Hops that a packet may make.
pub const TIME_TO_LIVE: u8 = 64;

/// Where a connection stands.
#[derive(Debug, Clone, Copy)]
pub struct Numbers {
    /// What the client sends next.
    pub client: u32,
    /// What the server sends next.
    pub server: u32,
}

/// Bytes that a segment takes up in sequence numbers.
pub fn length(segment: &Segment) -> u32 {
    let flag = |bit| u32::from(segment.flags & bit != 0);
    u32::from(segment.payload) + flag(SYN) + flag(FIN)
}

/// Bytes of the IP packet that holds it.
pub fn size(segment: &Segment) -> usize {
    let options = if segment.flags & SYN != 0 { SYN_OPTIONS.len() } else { OPTIONS.len() };
    IP_HEADER + TCP_HEADER + options + usize::from(segment.payload)
}

/// Writes the IP packet with right checksums.
pub fn build(
    packet: &mut Vec<u8>,
    segment: &Segment,
    (from, to): (SocketAddrV4, SocketAddrV4),
    (sequence, acknowledgement): (u32, u32),
    identification: u16,
) {
    let options: &[u8] = if segment.flags & SYN != 0 { &SYN_OPTIONS } else { &OPTIONS };
    packet.clear();
    packet.resize(size(segment), 0);
    let total = packet.len() as u16;
    packet[0] = 0x45; // version 4, five words of header
    put(packet, 2, total);
    put(packet, 4, identification);
    packet[6] = 0x40; // don't fragment
    packet[8] = TIME_TO_LIVE;
    packet[9] = TCP_NUMBER;
    packet[12..16].copy_from_slice(&from.ip().octets());
    packet[16..20].copy_from_slice(&to.ip().octets());
    let sum = checksum(&packet[..IP_HEADER], 0);
    put(packet, 10, sum);

    put(packet, IP_HEADER, from.port());
    put(packet, IP_HEADER + 2, to.port());
    packet[IP_HEADER + 4..IP_HEADER + 8].copy_from_slice(&sequence.to_be_bytes());
    if segment.flags & ACK != 0 {
        packet[IP_HEADER + 8..IP_HEADER + 12].copy_from_slice(&acknowledgement.to_be_bytes());
    }
    packet[IP_HEADER + 12] = ((TCP_HEADER + options.len()) << 2) as u8; // words << 4
    packet[IP_HEADER + 13] = segment.flags;
    put(packet, IP_HEADER + 14, u16::MAX); // window
    let start = IP_HEADER + TCP_HEADER;
    packet[start..start + options.len()].copy_from_slice(options);
    packet[start + options.len()..].fill(b' ');
    let sum = transport_checksum(packet, IP_HEADER);
    put(packet, IP_HEADER + 16, sum);
}
