//! The packets of this crate: IPv4 and IPv6 with UDP, TCP and SCTP, and the ICMP errors about them; built, read and checked.
//!
//! Pure. Formats: RFC 791 (IPv4), RFC 8200 (IPv6), RFC 768 (UDP), RFC 9293 (TCP), RFC 9260 (SCTP), RFC 792 (ICMP),
//! RFC 4443 (ICMPv6), RFC 1071 (checksum).
//!
//! Every first packet of a flow carries a number that no address translation changes, so that it is known again wherever
//! it turns up, also inside an ICMP error: the payload in UDP, the sequence number in TCP, the initiate tag in SCTP.
//!
//! Two callers send the same few packets again and again: [`Template`] is a packet that is built once and then stamped, and
//! [`parse_ipv4`] takes UDP and TCP over IPv4 only. Neither allocates.

pub(crate) mod build;
pub(crate) mod bytes;
pub(crate) mod checksum;
mod crc32c;
mod error;
mod icmp;
pub(crate) mod ip;
mod packet;
mod parse;
mod protocol;
mod template;
pub(crate) mod transport;

pub use self::build::MixedFamilies;
pub use self::error::Malformed;
pub use self::icmp::{IcmpError, Quoted, Reason};
pub use self::packet::{ACK, Chunk, FIN, PSH, Packet, RST, SYN, Segment};
pub use self::parse::{Checksums, Ipv4Packet, Message, parse, parse_ipv4, parse_payload};
pub use self::protocol::WireProtocol;
pub use self::template::{Form, Stamp, Template};

#[cfg(test)]
mod tests;
