//! Bytes to packets, with every length and checksum looked at.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use super::bytes::get;
use super::checksum::{checksum, pseudo_sum, pseudo_sum_ipv4, sctp_checksum, transport_checksum};
use super::error::Malformed;
use super::icmp::{self, IcmpError};
use super::ip::{checked_header, checked_ipv4_header};
use super::packet::{Packet, Segment};
use super::protocol::WireProtocol;
use super::transport::{SCTP_HEADER, segment};

/// Whether the checksums of UDP, TCP, SCTP and ICMP are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    /// Yes. NAT rewrites them incrementally, so they are a real check of the kernel.
    Verify,
    /// No: the packet was never on a wire, so that its sender may have left them to a device (`CHECKSUM_PARTIAL` in
    /// include/linux/skbuff.h).
    Skip,
}

/// What is read from a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// A packet of a flow.
    Packet(Packet),
    /// An ICMP or ICMPv6 error about one.
    Error(IcmpError),
}

/// A UDP or TCP packet over IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ipv4Packet {
    /// Source address and port.
    pub from: SocketAddrV4,
    /// Destination address and port.
    pub to: SocketAddrV4,
    /// What it carries.
    pub segment: Segment,
}

/// Reads an IPv4 or IPv6 packet of UDP, TCP or SCTP, or an ICMP error about one.
///
/// Extension headers of IPv6 count as foreign protocols.
///
/// # Errors
/// [`Malformed`], the first thing found wrong.
pub fn parse(packet: &[u8], checksums: Checksums) -> Result<Message, Malformed> {
    let header = checked_header(packet)?;
    parse_payload(header.from, header.to, header.protocol, &packet[header.start..], checksums)
}

/// Reads a UDP or TCP packet over IPv4, and checks everything; all else is foreign.
///
/// # Errors
/// As [`parse`].
pub fn parse_ipv4(packet: &[u8]) -> Result<Ipv4Packet, Malformed> {
    let header = checked_ipv4_header(packet)?;
    let Some(protocol @ (WireProtocol::Udp | WireProtocol::Tcp)) = WireProtocol::of(header.protocol) else {
        return Err(Malformed::Protocol(header.protocol));
    };
    let payload = &packet[header.start..];
    let pseudo_sum = pseudo_sum_ipv4(header.from, header.to);
    let segment = checked_segment(protocol, pseudo_sum, payload, Checksums::Verify)?;
    let from = SocketAddrV4::new(header.from, get(payload, 0));
    let to = SocketAddrV4::new(header.to, get(payload, 2));
    Ok(Ipv4Packet { from, to, segment })
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
    let Some(transport) = WireProtocol::of(protocol) else {
        let right = match (from, protocol) {
            (IpAddr::V4(_), icmp::ICMP) => checksum(payload, 0) == 0,
            (IpAddr::V6(_), icmp::ICMPV6) => transport_checksum(protocol, pseudo_sum(from, to), payload) == 0,
            _ => return Err(Malformed::Protocol(protocol)),
        };
        if !right && checksums == Checksums::Verify {
            return Err(Malformed::IcmpChecksum);
        }
        return icmp::parse(from, to, payload).map(Message::Error);
    };
    let segment = checked_segment(transport, pseudo_sum(from, to), payload, checksums)?;
    let (from, to) = (SocketAddr::new(from, get(payload, 0)), SocketAddr::new(to, get(payload, 2)));
    Ok(Message::Packet(Packet { from, to, segment }))
}

/// Reads what comes after the IP header, and checks the length of UDP and the checksum.
fn checked_segment(
    protocol: WireProtocol,
    pseudo_sum: u32,
    payload: &[u8],
    checksums: Checksums,
) -> Result<Segment, Malformed> {
    let segment = segment(protocol, payload)?;
    if protocol == WireProtocol::Udp {
        let field = usize::from(get(payload, 4));
        if field != payload.len() {
            return Err(Malformed::Length { field, actual: payload.len() });
        }
    }
    if checksums == Checksums::Skip {
        return Ok(segment);
    }
    match protocol {
        WireProtocol::Sctp if payload[8..SCTP_HEADER] != sctp_checksum(payload) => {
            Err(Malformed::SctpChecksum)
        }
        // In UDP 0 means "no checksum", and every packet here was sent with one.
        WireProtocol::Udp if get(payload, 6) == 0 => Err(Malformed::TransportChecksum),
        WireProtocol::Udp | WireProtocol::Tcp
            if transport_checksum(protocol.number(), pseudo_sum, payload) != 0 =>
        {
            Err(Malformed::TransportChecksum)
        }
        _ => Ok(segment),
    }
}
