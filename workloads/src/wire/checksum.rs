//! The checksums of IP and of what it carries.

use std::net::{IpAddr, Ipv4Addr};

use super::bytes::put;
use super::crc32c::crc32c;
use super::protocol::WireProtocol;
use super::transport::SCTP_HEADER;

/// The Internet checksum (RFC 1071) of `bytes` and of what `start` already sums up; 0 if `bytes` hold a right one.
pub(crate) fn checksum(bytes: &[u8], start: u32) -> u16 {
    // An IP packet has at most 65,535 bytes, so this sum cannot pass 32 bits.
    let (words, odd) = bytes.as_chunks::<2>();
    let sum = words.iter().fold(start, |sum, word| sum + u32::from(u16::from_be_bytes(*word)));
    let sum = odd.iter().fold(sum, |sum, &last| sum + (u32::from(last) << 8));
    let once = (sum >> 16) + (sum & 0xffff);
    !((once >> 16) + once) as u16
}

/// The addresses' part of the pseudo header (RFC 9293, section 3.1; RFC 8200, section 8.1), summed up.
pub(crate) fn pseudo_sum(from: IpAddr, to: IpAddr) -> u32 {
    let words = |address: IpAddr| match address {
        IpAddr::V4(address) => sum_of(address.to_bits()),
        IpAddr::V6(address) => address.segments().into_iter().map(u32::from).sum(),
    };
    words(from) + words(to)
}

/// As [`pseudo_sum`].
pub(crate) fn pseudo_sum_ipv4(from: Ipv4Addr, to: Ipv4Addr) -> u32 {
    sum_of(from.to_bits()) + sum_of(to.to_bits())
}

fn sum_of(words: u32) -> u32 {
    (words >> 16) + (words & 0xffff)
}

/// The checksum of UDP, TCP or ICMPv6 behind a [`pseudo_sum`]; 0 if `payload` holds a right one.
pub(crate) fn transport_checksum(protocol: u8, pseudo_sum: u32, payload: &[u8]) -> u16 {
    checksum(payload, pseudo_sum + u32::from(protocol) + payload.len() as u32)
}

/// The checksum of SCTP: over all of it, with zeros where the checksum stands.
pub(super) fn sctp_checksum(payload: &[u8]) -> [u8; 4] {
    let (ports_and_tag, rest) = payload.split_at(8.min(payload.len()));
    crc32c([ports_and_tag, &[0; 4], rest.get(4..).unwrap_or_default()])
}

/// Writes the checksum of what comes after the IP header; its place must be all zero.
pub(crate) fn write_checksum(protocol: WireProtocol, pseudo_sum: u32, payload: &mut [u8]) {
    match protocol {
        WireProtocol::Sctp => {
            let sum = sctp_checksum(payload);
            payload[8..SCTP_HEADER].copy_from_slice(&sum);
        }
        WireProtocol::Tcp => {
            let sum = transport_checksum(protocol.number(), pseudo_sum, payload);
            put(payload, 16, sum);
        }
        WireProtocol::Udp => {
            let sum = transport_checksum(protocol.number(), pseudo_sum, payload);
            // In UDP 0 means "no checksum", so a sum of 0 is sent as its other form (RFC 768).
            put(payload, 6, if sum == 0 { u16::MAX } else { sum });
        }
    }
}
