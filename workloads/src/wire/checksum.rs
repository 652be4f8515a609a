//! The checksums of IP and of what it carries.

use std::net::IpAddr;

use super::bytes::put;
use super::crc32c::crc32c;
use super::protocol::Protocol;
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

/// The checksum of UDP, TCP or ICMPv6 with its pseudo header (RFC 9293, section 3.1; RFC 8200, section 8.1); 0 if
/// `payload` holds a right one.
pub(crate) fn transport_checksum(protocol: u8, from: IpAddr, to: IpAddr, payload: &[u8]) -> u16 {
    let sum = |bytes: &[u8]| -> u32 {
        let (words, _) = bytes.as_chunks::<2>();
        words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum()
    };
    let words = |address: IpAddr| match address {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    };
    checksum(payload, words(from) + words(to) + u32::from(protocol) + payload.len() as u32)
}

/// The checksum of SCTP: over all of it, with zeros where the checksum stands.
pub(super) fn sctp_checksum(payload: &[u8]) -> [u8; 4] {
    let (ports_and_tag, rest) = payload.split_at(8.min(payload.len()));
    crc32c([ports_and_tag, &[0; 4], rest.get(4..).unwrap_or_default()])
}

/// Writes the checksum of what comes after the IP header; its place must be all zero.
pub(crate) fn write_checksum(protocol: Protocol, from: IpAddr, to: IpAddr, payload: &mut [u8]) {
    match protocol {
        Protocol::Sctp => {
            let sum = sctp_checksum(payload);
            payload[8..SCTP_HEADER].copy_from_slice(&sum);
        }
        Protocol::Tcp => {
            let sum = transport_checksum(protocol.number(), from, to, payload);
            put(payload, 16, sum);
        }
        Protocol::Udp => {
            let sum = transport_checksum(protocol.number(), from, to, payload);
            // In UDP 0 means "no checksum", so a sum of 0 is sent as its other form (RFC 768).
            put(payload, 6, if sum == 0 { u16::MAX } else { sum });
        }
    }
}
