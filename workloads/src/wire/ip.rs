//! Headers of IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bytes::{get, get32, put};
use super::checksum::checksum;
use super::error::Malformed;
use super::protocol::WireProtocol;

/// Bytes of an IPv4 header without options.
pub(crate) const IPV4_HEADER: usize = 20;
/// Bytes of an IPv6 header.
const IPV6_HEADER: usize = 40;
/// The hops that a packet may make.
pub(crate) const TIME_TO_LIVE: u8 = 64;

/// Appends the header of a packet with `payload` more bytes.
pub(crate) fn write_ipv4(
    packet: &mut Vec<u8>,
    protocol: WireProtocol,
    (from, to): (Ipv4Addr, Ipv4Addr),
    identification: u16,
    payload: usize,
) {
    let start = packet.len();
    packet.resize(start + IPV4_HEADER, 0);
    let header = &mut packet[start..];
    header[0] = 0x45; // version 4, five words of header
    put(header, 2, (IPV4_HEADER + payload) as u16);
    put(header, 4, identification);
    header[6] = 0x40; // don't fragment
    header[8] = TIME_TO_LIVE;
    header[9] = protocol.number();
    header[12..16].copy_from_slice(&from.octets());
    header[16..20].copy_from_slice(&to.octets());
    let sum = checksum(header, 0);
    put(header, 10, sum);
}

/// As [`write_ipv4`].
pub(super) fn write_ipv6(
    packet: &mut Vec<u8>,
    protocol: WireProtocol,
    (from, to): (Ipv6Addr, Ipv6Addr),
    payload: usize,
) {
    let start = packet.len();
    packet.resize(start + IPV6_HEADER, 0);
    let header = &mut packet[start..];
    header[0] = 0x60; // version 6, no traffic class, no flow label
    put(header, 4, payload as u16);
    header[6] = protocol.number();
    header[7] = TIME_TO_LIVE;
    header[8..24].copy_from_slice(&from.octets());
    header[24..40].copy_from_slice(&to.octets());
}

/// What an IP header says.
pub(super) struct Header<A> {
    pub(super) from: A,
    pub(super) to: A,
    pub(super) protocol: u8,
    /// Where the payload starts: at most at the end of the bytes that were read.
    pub(super) start: usize,
    /// Where it should end.
    pub(super) end: usize,
    pub(super) fragment: bool,
    pub(super) hops: u8,
}

impl<A> Header<A> {
    fn map<B>(self, address: impl Fn(A) -> B) -> Header<B> {
        let Header { from, to, protocol, start, end, fragment, hops } = self;
        Header { from: address(from), to: address(to), protocol, start, end, fragment, hops }
    }

    /// Checks what it says of the whole packet.
    fn check(self, packet: &[u8], has_checksum: bool) -> Result<Header<A>, Malformed> {
        if self.end != packet.len() {
            return Err(Malformed::Length { field: self.end, actual: packet.len() });
        }
        if has_checksum && checksum(&packet[..self.start], 0) != 0 {
            return Err(Malformed::HeaderChecksum);
        }
        if self.fragment {
            return Err(Malformed::Fragment);
        }
        if self.hops == 0 {
            return Err(Malformed::TimeToLive);
        }
        Ok(self)
    }
}

/// Reads an IP header, of which all must be there; of the payload nothing need be.
pub(super) fn header(packet: &[u8]) -> Result<Header<IpAddr>, Malformed> {
    match packet.first().ok_or(Malformed::Truncated(0))? >> 4 {
        4 => Ok(ipv4_header(packet)?.map(IpAddr::V4)),
        6 => Ok(ipv6_header(packet)?.map(IpAddr::V6)),
        version => Err(Malformed::Version(version)),
    }
}

/// Reads the header of a whole packet, and checks what it says of the packet.
pub(super) fn checked_header(packet: &[u8]) -> Result<Header<IpAddr>, Malformed> {
    let header = header(packet)?;
    let has_checksum = header.from.is_ipv4();
    header.check(packet, has_checksum)
}

/// As [`checked_header`], where there is only IPv4.
pub(super) fn checked_ipv4_header(packet: &[u8]) -> Result<Header<Ipv4Addr>, Malformed> {
    match packet.first().ok_or(Malformed::Truncated(0))? >> 4 {
        4 => ipv4_header(packet)?.check(packet, true),
        version => Err(Malformed::Version(version)),
    }
}

fn ipv4_header(packet: &[u8]) -> Result<Header<Ipv4Addr>, Malformed> {
    let truncated = Malformed::Truncated(packet.len());
    let ip: &[u8; IPV4_HEADER] = packet.first_chunk().ok_or(truncated)?;
    let start = usize::from(ip[0] & 0xf) * 4;
    if start < IPV4_HEADER {
        return Err(Malformed::HeaderLength);
    }
    if packet.len() < start {
        return Err(truncated);
    }
    Ok(Header {
        from: Ipv4Addr::from_bits(get32(ip, 12)),
        to: Ipv4Addr::from_bits(get32(ip, 16)),
        protocol: ip[9],
        start,
        end: usize::from(get(ip, 2)),
        // More fragments to come, or an offset: all but the reserved and the don't-fragment bit.
        fragment: get(ip, 6) & 0x3fff != 0,
        hops: ip[8],
    })
}

fn ipv6_header(packet: &[u8]) -> Result<Header<Ipv6Addr>, Malformed> {
    /// The extension header of fragments (RFC 8200, section 4.5).
    const FRAGMENT: u8 = 44;
    let ip: &[u8; IPV6_HEADER] = packet.first_chunk().ok_or(Malformed::Truncated(packet.len()))?;
    let address = |at| Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|i| ip[at + i]));
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
