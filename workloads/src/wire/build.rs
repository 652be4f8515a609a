//! Packets to bytes, with every length and checksum.

use std::net::{IpAddr, SocketAddr};

use super::crc32c::crc32c;
use super::{Chunk, Packet, Protocol, SYN, Segment};
use crate::packet::{IP_HEADER, MAGIC, SYN_OPTIONS, TCP_HEADER, checksum, put};

/// Bytes of an IPv6 header.
pub(super) const IPV6_HEADER: usize = 40;
/// Bytes of SCTP's common header; chunks follow.
pub(super) const SCTP_HEADER: usize = 12;
const HOPS: u8 = 64;

/// The two addresses of a packet are of different families.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("no packet goes from {from} to {to}: choose addresses of one family")]
pub struct MixedFamilies {
    /// Source.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
}

impl Packet {
    /// The packet as it stands on a wire, from the IP header on.
    ///
    /// # Errors
    /// [`MixedFamilies`].
    pub fn build(&self) -> Result<Vec<u8>, MixedFamilies> {
        let mut payload = self.payload();
        finish(self.protocol(), self.from.ip(), self.to.ip(), &mut payload);
        let mut packet = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut header = vec![0; IP_HEADER];
                header[0] = 0x45; // version 4, five words of header
                put(&mut header, 2, (IP_HEADER + payload.len()) as u16);
                put(&mut header, 4, self.number().unwrap_or_default() as u16);
                header[6] = 0x40; // don't fragment
                header[8] = HOPS;
                header[9] = self.protocol().number();
                header[12..16].copy_from_slice(&from.octets());
                header[16..20].copy_from_slice(&to.octets());
                let sum = checksum(&header, 0);
                put(&mut header, 10, sum);
                header
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut header = vec![0; IPV6_HEADER];
                header[0] = 0x60; // version 6, no traffic class, no flow label
                put(&mut header, 4, payload.len() as u16);
                header[6] = self.protocol().number();
                header[7] = HOPS;
                header[8..24].copy_from_slice(&from.octets());
                header[24..40].copy_from_slice(&to.octets());
                header
            }
            _ => return Err(MixedFamilies { from: self.from, to: self.to }),
        };
        packet.append(&mut payload);
        Ok(packet)
    }

    /// What comes after the IP header when a raw socket writes that (raw(7)); with its checksum.
    pub fn build_payload(&self) -> Vec<u8> {
        let mut payload = self.payload();
        finish(self.protocol(), self.from.ip(), self.to.ip(), &mut payload);
        payload
    }

    /// All but the checksum.
    fn payload(&self) -> Vec<u8> {
        let mut bytes = [self.from.port().to_be_bytes(), self.to.port().to_be_bytes()].concat();
        match self.segment {
            Segment::Udp { number } => {
                bytes.extend([0; 4]);
                if let Some(number) = number {
                    bytes.extend(datagram(number));
                }
                let length = bytes.len() as u16;
                put(&mut bytes, 4, length);
            }
            Segment::Tcp { flags, sequence, acknowledgement } => {
                let options: &[u8] = if flags & SYN != 0 { &SYN_OPTIONS } else { &[] };
                bytes.extend(sequence.to_be_bytes());
                bytes.extend(acknowledgement.to_be_bytes());
                bytes.extend([((TCP_HEADER + options.len()) << 2) as u8, flags]); // words << 4
                bytes.extend([0xff, 0xff, 0, 0, 0, 0]); // window, checksum, urgent pointer
                bytes.extend(options);
            }
            Segment::Sctp { tag, chunk } => {
                bytes.extend(tag.to_be_bytes());
                bytes.extend([0; 4]);
                bytes.extend(chunk_bytes(chunk));
            }
        }
        bytes
    }
}

/// The payload of a datagram with this number.
pub(super) fn datagram(number: u64) -> [u8; 16] {
    let mut payload = [0; 16];
    payload[..8].copy_from_slice(&MAGIC);
    payload[8..].copy_from_slice(&number.to_be_bytes());
    payload
}

fn chunk_bytes(chunk: Chunk) -> Vec<u8> {
    /// Receive window, streams out and in, initial sequence number.
    const ASSOCIATION: [u8; 12] = [0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1];
    /// Parameter 7: a state cookie of four bytes.
    const COOKIE: [u8; 8] = [0, 7, 0, 8, 1, 2, 3, 4];
    let (kind, content): (u8, Vec<u8>) = match chunk {
        Chunk::Init { initiate } => (1, [&initiate.to_be_bytes()[..], &ASSOCIATION].concat()),
        Chunk::InitAck { initiate } => (2, [&initiate.to_be_bytes()[..], &ASSOCIATION, &COOKIE].concat()),
        Chunk::Abort => (6, Vec::new()),
        Chunk::Other(kind) => (kind, Vec::new()),
    };
    let length = (4 + content.len()) as u16;
    [&[kind, 0][..], &length.to_be_bytes(), &content].concat()
}

/// Writes the checksum, whose place is all zero.
fn finish(protocol: Protocol, from: IpAddr, to: IpAddr, payload: &mut [u8]) {
    match protocol {
        Protocol::Sctp => {
            let sum = sctp_sum(payload);
            payload[8..SCTP_HEADER].copy_from_slice(&sum);
        }
        Protocol::Tcp => {
            let sum = transport_sum(protocol.number(), from, to, payload);
            put(payload, 16, sum);
        }
        Protocol::Udp => {
            let sum = transport_sum(protocol.number(), from, to, payload);
            // 0 means "no checksum", so a sum of 0 is sent as its other form (RFC 768).
            put(payload, 6, if sum == 0 { u16::MAX } else { sum });
        }
    }
}

/// The checksum of UDP, TCP or ICMPv6 with its pseudo header (RFC 9293, section 3.1; RFC 8200, section 8.1); 0 if
/// `payload` holds a right one.
pub(super) fn transport_sum(protocol: u8, from: IpAddr, to: IpAddr, payload: &[u8]) -> u16 {
    let words = |address: IpAddr| -> u32 {
        let sum =
            |bytes: &[u8]| bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        match address {
            IpAddr::V4(address) => sum(&address.octets()),
            IpAddr::V6(address) => sum(&address.octets()),
        }
    };
    checksum(payload, words(from) + words(to) + u32::from(protocol) + payload.len() as u32)
}

/// The checksum of SCTP: over all of it, with zeros where the checksum stands.
pub(super) fn sctp_sum(payload: &[u8]) -> [u8; 4] {
    let (ports_and_tag, rest) = payload.split_at(8.min(payload.len()));
    crc32c([ports_and_tag, &[0; 4], rest.get(4..).unwrap_or_default()])
}
