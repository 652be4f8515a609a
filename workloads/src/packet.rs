//! The probe's IPv4 packets: built once, restamped per flow, parsed and checked when they come back.
//!
//! Pure. Formats: RFC 791 (IPv4), RFC 768 (UDP), RFC 9293 (TCP), RFC 1071 (checksum).

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::target::Protocol;

/// The longest packet built here, in bytes.
pub const LONGEST: usize = IP_HEADER + TCP_HEADER + SYN_OPTIONS.len();

/// TCP flag bits (RFC 9293, section 3.1).
pub const SYN: u8 = 0x02;
/// The sender has no more to send.
pub const FIN: u8 = 0x01;
/// The connection is given up.
pub const RST: u8 = 0x04;
/// The segment carries data that should be handed on at once.
pub const PSH: u8 = 0x08;
/// The acknowledgement number is valid.
pub const ACK: u8 = 0x10;

pub(crate) const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
pub(crate) const TCP_HEADER: usize = 20;
pub(crate) const MAGIC: [u8; 8] = *b"svcbench";
const PAYLOAD: usize = MAGIC.len() + size_of::<u64>();
pub(crate) const TCP_NUMBER: u8 = 6;
const UDP_NUMBER: u8 = 17;

/// The options of a Linux client's SYN: MSS 1460, SACK permitted, timestamps, window scale 7. Conntrack parses
/// them (`tcp_options`, net/netfilter/nf_conntrack_proto_tcp.c), so a bare SYN would look cheaper than real ones.
pub(crate) const SYN_OPTIONS: [u8; 20] = [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];

/// The kinds of packet that a probe sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A UDP datagram whose payload carries the tag.
    Udp,
    /// A TCP SYN without payload.
    Syn,
    /// The answer to a SYN, without payload.
    SynAck,
    /// A TCP segment whose payload carries the tag.
    Data,
    /// A TCP segment without payload that gives the connection up.
    Reset,
}

/// What differs between two packets of one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Source address and port.
    pub from: SocketAddrV4,
    /// Destination address and port.
    pub to: SocketAddrV4,
    /// Number of the packet: in the payload if the form has one; its low 16 bits are the IP identification.
    pub tag: u64,
    /// TCP sequence number; UDP ignores it.
    pub sequence: u32,
    /// TCP acknowledgement number; forms without ACK, and UDP, ignore it.
    pub acknowledgement: u32,
}

/// A packet of one form, to be stamped again and again.
#[derive(Debug, Clone)]
pub struct Frame {
    form: Form,
    bytes: [u8; LONGEST],
    length: usize,
}

impl Frame {
    /// A packet of this form, all zero where a [`Stamp`] goes.
    pub fn new(form: Form) -> Frame {
        let (protocol, transport, options, payload, flags): (_, _, &[u8], _, _) = match form {
            Form::Udp => (UDP_NUMBER, UDP_HEADER, &[], PAYLOAD, 0),
            Form::Syn => (TCP_NUMBER, TCP_HEADER, &SYN_OPTIONS, 0, SYN),
            Form::SynAck => (TCP_NUMBER, TCP_HEADER, &SYN_OPTIONS, 0, SYN | ACK),
            Form::Data => (TCP_NUMBER, TCP_HEADER, &[], PAYLOAD, PSH | ACK),
            Form::Reset => (TCP_NUMBER, TCP_HEADER, &[], 0, RST | ACK),
        };
        let header = IP_HEADER + transport + options.len();
        let length = header + payload;
        let mut bytes = [0; LONGEST];
        bytes[0] = 0x45; // version 4, five words of header
        put(&mut bytes, 2, length as u16);
        bytes[6] = 0x40; // don't fragment
        bytes[8] = 64; // hops
        bytes[9] = protocol;
        if protocol == TCP_NUMBER {
            bytes[IP_HEADER + 12] = ((transport + options.len()) << 2) as u8; // words << 4
            bytes[IP_HEADER + 13] = flags;
            put(&mut bytes, IP_HEADER + 14, u16::MAX); // window
            bytes[header - options.len()..header].copy_from_slice(options);
        } else {
            put(&mut bytes, IP_HEADER + 4, (length - IP_HEADER) as u16);
        }
        if payload > 0 {
            bytes[header..header + MAGIC.len()].copy_from_slice(&MAGIC);
        }
        Frame { form, bytes, length }
    }

    /// Writes addresses, numbers and checksums; returns the finished packet.
    ///
    /// Checksums are computed anew: over at most 60 bytes that costs what an incremental update (RFC 1624)
    /// would, and cannot carry an error from one packet to the next.
    pub fn stamp(&mut self, stamp: &Stamp) -> &[u8] {
        let packet = &mut self.bytes[..self.length];
        put(packet, 4, stamp.tag as u16);
        packet[12..16].copy_from_slice(&stamp.from.ip().octets());
        packet[16..20].copy_from_slice(&stamp.to.ip().octets());
        put(packet, IP_HEADER, stamp.from.port());
        put(packet, IP_HEADER + 2, stamp.to.port());
        if self.form != Form::Udp {
            packet[IP_HEADER + 4..IP_HEADER + 8].copy_from_slice(&stamp.sequence.to_be_bytes());
        }
        if matches!(self.form, Form::SynAck | Form::Data | Form::Reset) {
            packet[IP_HEADER + 8..IP_HEADER + 12].copy_from_slice(&stamp.acknowledgement.to_be_bytes());
        }
        if matches!(self.form, Form::Udp | Form::Data) {
            let end = packet.len();
            packet[end - 8..].copy_from_slice(&stamp.tag.to_be_bytes());
        }
        put(packet, 10, 0);
        let sum = checksum(&packet[..IP_HEADER], 0);
        put(packet, 10, sum);
        let at = IP_HEADER + if self.form == Form::Udp { 6 } else { 16 };
        put(packet, at, 0);
        let sum = transport_checksum(packet, IP_HEADER);
        // In UDP 0 means "no checksum", so a sum of 0 is sent as its other form (RFC 768).
        put(packet, at, if self.form == Form::Udp && sum == 0 { u16::MAX } else { sum });
        packet
    }
}

/// A packet that has passed every check of [`parse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Source address and port.
    pub from: SocketAddrV4,
    /// Destination address and port.
    pub to: SocketAddrV4,
    /// The transport protocol.
    pub protocol: Protocol,
    /// TCP flags; 0 in UDP.
    pub flags: u8,
    /// TCP sequence number; 0 in UDP.
    pub sequence: u32,
    /// TCP acknowledgement number; 0 in UDP.
    pub acknowledgement: u32,
    /// The number in the payload, if the payload is a probe's.
    pub tag: Option<u64>,
}

/// What is wrong with a packet.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Not IPv4; 6 on a TUN is mostly the kernel's own IPv6 autoconfiguration.
    #[error("IP version {0} in place of 4")]
    Version(u8),
    /// Neither UDP nor TCP (numbers: IANA protocol numbers).
    #[error("IP protocol {0} in place of UDP (17) or TCP (6)")]
    Protocol(u8),
    /// A piece of a larger packet.
    #[error("a fragment")]
    Fragment,
    /// Shorter than its headers.
    #[error("{0} bytes do not hold the headers")]
    Truncated(usize),
    /// The IP header's length is below 20 bytes, or the data offset of TCP does not fit.
    #[error("a header length that cannot be")]
    HeaderLength,
    /// The length in the IP or UDP header is not the length of the packet.
    #[error("a length field of {field} in a packet of {actual} bytes")]
    Length {
        /// What the header says, counted from where it counts.
        field: usize,
        /// What there is.
        actual: usize,
    },
    /// The hop limit ran out but the packet was sent on.
    #[error("a time to live of 0")]
    TimeToLive,
    /// The IP header's checksum is wrong.
    #[error("a wrong IP header checksum")]
    HeaderChecksum,
    /// The UDP or TCP checksum is wrong, or a UDP checksum that was sent is gone.
    #[error("a wrong UDP or TCP checksum")]
    TransportChecksum,
}

impl Malformed {
    /// Whether the packet is simply someone else's: nothing that a probe sends can turn into it.
    pub fn is_foreign(self) -> bool {
        matches!(self, Malformed::Version(_) | Malformed::Protocol(_) | Malformed::Fragment)
    }
}

/// Reads a UDP or TCP packet over IPv4, and checks lengths and both checksums.
///
/// The checksums are a real check of the kernel: NAT rewrites them incrementally.
///
/// # Errors
/// [`Malformed`], the first thing found wrong.
pub fn parse(packet: &[u8]) -> Result<Packet, Malformed> {
    let truncated = Malformed::Truncated(packet.len());
    let version = packet.first().ok_or(truncated)? >> 4;
    if version != 4 {
        return Err(Malformed::Version(version));
    }
    let ip: &[u8; IP_HEADER] = packet.first_chunk().ok_or(truncated)?;
    let start = usize::from(ip[0] & 0xf) * 4;
    if start < IP_HEADER {
        return Err(Malformed::HeaderLength);
    }
    if packet.len() < start {
        return Err(truncated);
    }
    let field = usize::from(get(ip, 2));
    if field != packet.len() {
        return Err(Malformed::Length { field, actual: packet.len() });
    }
    if checksum(&packet[..start], 0) != 0 {
        return Err(Malformed::HeaderChecksum);
    }
    // More fragments to come, or an offset: all but the reserved and the don't-fragment bit.
    if get(ip, 6) & 0x3fff != 0 {
        return Err(Malformed::Fragment);
    }
    if ip[8] == 0 {
        return Err(Malformed::TimeToLive);
    }
    let rest = &packet[start..];
    let (protocol, header) = match ip[9] {
        UDP_NUMBER => (Protocol::Udp, UDP_HEADER),
        TCP_NUMBER => (Protocol::Tcp, TCP_HEADER),
        other => return Err(Malformed::Protocol(other)),
    };
    if rest.len() < header {
        return Err(truncated);
    }
    if protocol == Protocol::Udp {
        let field = usize::from(get(rest, 4));
        if field != rest.len() {
            return Err(Malformed::Length { field, actual: rest.len() });
        }
        if get(rest, 6) == 0 {
            return Err(Malformed::TransportChecksum);
        }
    }
    if transport_checksum(packet, start) != 0 {
        return Err(Malformed::TransportChecksum);
    }
    let (header, flags, sequence, acknowledgement) = match protocol {
        Protocol::Udp => (header, 0, 0, 0),
        Protocol::Tcp => (usize::from(rest[12] >> 4) * 4, rest[13], get32(rest, 4), get32(rest, 8)),
    };
    if header < UDP_HEADER || (protocol == Protocol::Tcp && header < TCP_HEADER) || header > rest.len() {
        return Err(Malformed::HeaderLength);
    }
    let address = |at| Ipv4Addr::from_bits(get32(ip, at));
    Ok(Packet {
        from: SocketAddrV4::new(address(12), get(rest, 0)),
        to: SocketAddrV4::new(address(16), get(rest, 2)),
        protocol,
        flags,
        sequence,
        acknowledgement,
        tag: tag(&rest[header..]),
    })
}

/// The number in a probe's payload.
fn tag(payload: &[u8]) -> Option<u64> {
    let payload: &[u8; PAYLOAD] = payload.try_into().ok()?;
    let (magic, number) = payload.split_first_chunk()?;
    (*magic == MAGIC).then_some(u64::from_be_bytes(number.try_into().ok()?))
}

/// The Internet checksum (RFC 1071) of `bytes` and of what `start` already sums up; 0 if `bytes` hold a right one.
pub(crate) fn checksum(bytes: &[u8], start: u32) -> u16 {
    // An IP packet has at most 65,535 bytes, so this sum cannot pass 32 bits.
    let (words, odd) = bytes.as_chunks::<2>();
    let sum = words.iter().fold(start, |sum, word| sum + u32::from(u16::from_be_bytes(*word)));
    let sum = odd.iter().fold(sum, |sum, &last| sum + (u32::from(last) << 8));
    let once = (sum >> 16) + (sum & 0xffff);
    !((once >> 16) + once) as u16
}

/// The UDP or TCP checksum of a packet whose IP header is `start` bytes long, with the pseudo header.
pub(crate) fn transport_checksum(packet: &[u8], start: usize) -> u16 {
    let words = |at: usize| u32::from(get(packet, at)) + u32::from(get(packet, at + 2));
    let pseudo = words(12) + words(16) + u32::from(packet[9]) + (packet.len() - start) as u32;
    checksum(&packet[start..], pseudo)
}

pub(crate) fn get(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn get32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests;
