//! Bytes to packets, with every length and checksum looked at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::build::{IPV6_HEADER, SCTP_HEADER, datagram, sctp_sum, transport_sum};
use super::{Chunk, Malformed, Message, Packet, Protocol, Segment, icmp};
use crate::packet::{IP_HEADER, TCP_HEADER, checksum, get, get32};

const UDP_HEADER: usize = 8;

/// Whether the checksums of UDP, TCP, SCTP and ICMP are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    /// Yes. NAT rewrites them incrementally, so they are a real check of the kernel.
    Verify,
    /// No: the packet was never on a wire, so that its sender may have left them to a device (`CHECKSUM_PARTIAL` in
    /// include/linux/skbuff.h).
    Skip,
}

/// Reads an IPv4 or IPv6 packet of UDP, TCP or SCTP, or an ICMP error about one.
///
/// Extension headers of IPv6 count as foreign protocols.
///
/// # Errors
/// [`Malformed`], the first thing found wrong.
pub fn parse(packet: &[u8], checksums: Checksums) -> Result<Message, Malformed> {
    let Header { from, to, protocol, start, end, fragment, hops } = header(packet)?;
    if end != packet.len() {
        return Err(Malformed::Length { field: end, actual: packet.len() });
    }
    if from.is_ipv4() && checksum(&packet[..start], 0) != 0 {
        return Err(Malformed::HeaderChecksum);
    }
    if fragment {
        return Err(Malformed::Fragment);
    }
    if hops == 0 {
        return Err(Malformed::HopLimit);
    }
    parse_payload(from, to, protocol, &packet[start..], checksums)
}

/// Reads what comes after the IP header, as raw sockets of IPv6 give it (ipv6(7)). `protocol` is IANA's number.
///
/// # Errors
/// As [`parse`].
pub fn parse_payload(
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    payload: &[u8],
    checksums: Checksums,
) -> Result<Message, Malformed> {
    let verify = checksums == Checksums::Verify;
    let wrong = |right: bool| if verify && !right { Err(Malformed::TransportChecksum) } else { Ok(()) };
    let Some(transport) = Protocol::of(protocol) else {
        match (from, protocol) {
            (IpAddr::V4(_), icmp::ICMP) => wrong(checksum(payload, 0) == 0)?,
            (IpAddr::V6(_), icmp::ICMPV6) => wrong(transport_sum(protocol, from, to, payload) == 0)?,
            _ => return Err(Malformed::Protocol(protocol)),
        }
        return icmp::parse(from, to, payload).map(Message::Error);
    };
    let segment = segment(transport, payload)?;
    if transport == Protocol::Udp {
        let field = usize::from(get(payload, 4));
        if field != payload.len() {
            return Err(Malformed::Length { field, actual: payload.len() });
        }
        wrong(get(payload, 6) != 0)?;
    }
    wrong(match transport {
        Protocol::Sctp => payload[8..SCTP_HEADER] == sctp_sum(payload),
        _ => transport_sum(protocol, from, to, payload) == 0,
    })?;
    let port = |at| get(payload, at);
    let (from, to) = (SocketAddr::new(from, port(0)), SocketAddr::new(to, port(2)));
    Ok(Message::Packet(Packet { from, to, segment }))
}

/// What an IP header says.
pub(super) struct Header {
    pub from: IpAddr,
    pub to: IpAddr,
    pub protocol: u8,
    /// Where the payload starts: at most at the end of the bytes that were read.
    pub start: usize,
    /// Where it should end.
    pub end: usize,
    pub fragment: bool,
    pub hops: u8,
}

/// Reads an IP header, of which all must be there; of the payload nothing need be.
pub(super) fn header(packet: &[u8]) -> Result<Header, Malformed> {
    let truncated = Malformed::Truncated(packet.len());
    match packet.first().ok_or(truncated)? >> 4 {
        4 => {
            let ip: &[u8; IP_HEADER] = packet.first_chunk().ok_or(truncated)?;
            let start = usize::from(ip[0] & 0xf) * 4;
            if start < IP_HEADER {
                return Err(Malformed::HeaderLength);
            }
            if packet.len() < start {
                return Err(truncated);
            }
            let address = |at| IpAddr::V4(Ipv4Addr::from_bits(get32(ip, at)));
            Ok(Header {
                from: address(12),
                to: address(16),
                protocol: ip[9],
                start,
                end: usize::from(get(ip, 2)),
                // More fragments to come, or an offset: all but the reserved and the don't-fragment bit.
                fragment: get(ip, 6) & 0x3fff != 0,
                hops: ip[8],
            })
        }
        6 => {
            let ip: &[u8; IPV6_HEADER] = packet.first_chunk().ok_or(truncated)?;
            let address = |at| IpAddr::V6(Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|i| ip[at + i])));
            /// The extension header of fragments (RFC 8200, section 4.5).
            const FRAGMENT: u8 = 44;
            Ok(Header {
                from: address(8),
                to: address(24),
                protocol: ip[6],
                start: IPV6_HEADER,
                end: IPV6_HEADER + usize::from(get(ip, 4)),
                fragment: ip[6] == FRAGMENT,
                hops: ip[7],
            })
        }
        version => Err(Malformed::Version(version)),
    }
}

/// Reads headers and the number of a datagram. Neither checksums nor UDP's length are looked at.
pub(super) fn segment(protocol: Protocol, payload: &[u8]) -> Result<Segment, Malformed> {
    let truncated = Malformed::Truncated(payload.len());
    match protocol {
        Protocol::Udp => {
            let data = payload.get(UDP_HEADER..).ok_or(truncated)?;
            let number = data.last_chunk().map(|&last| u64::from_be_bytes(last));
            Ok(Segment::Udp { number: number.filter(|&number| datagram(number) == data) })
        }
        Protocol::Tcp => {
            let tcp: &[u8; TCP_HEADER] = payload.first_chunk().ok_or(truncated)?;
            let header = usize::from(tcp[12] >> 4) * 4;
            if header < TCP_HEADER || header > payload.len() {
                return Err(Malformed::HeaderLength);
            }
            Ok(Segment::Tcp { flags: tcp[13], sequence: get32(tcp, 4), acknowledgement: get32(tcp, 8) })
        }
        Protocol::Sctp => {
            let chunk = payload.get(SCTP_HEADER..).ok_or(truncated)?;
            let &[kind, _, high, low, ..] = chunk else { return Err(truncated) };
            let length = usize::from(u16::from_be_bytes([high, low]));
            if length < 4 || length > chunk.len() {
                return Err(Malformed::HeaderLength);
            }
            // INIT and INIT ACK have 16 bytes after the chunk's header, and may have parameters.
            let initiate = || match length {
                20.. => Ok(get32(chunk, 4)),
                _ => Err(Malformed::HeaderLength),
            };
            let chunk = match kind {
                1 => Chunk::Init { initiate: initiate()? },
                2 => Chunk::InitAck { initiate: initiate()? },
                6 => Chunk::Abort,
                other => Chunk::Other(other),
            };
            Ok(Segment::Sctp { tag: get32(payload, 4), chunk })
        }
    }
}
