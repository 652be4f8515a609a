//! ICMP and ICMPv6 errors, and the packets that they quote.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::error::Malformed;
use super::ip::{self, Header};
use super::protocol::WireProtocol;
use super::transport;

/// IANA's number of ICMP.
pub(super) const ICMP: u8 = 1;
/// IANA's number of ICMPv6.
pub(super) const ICMPV6: u8 = 58;
/// Type, code, checksum and four bytes that depend on the type; what is quoted comes after.
const HEADER: usize = 8;

/// An ICMP or ICMPv6 error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IcmpError {
    /// Who sends it. Its family says which of the two it is.
    pub from: IpAddr,
    /// Whom it is sent to.
    pub to: IpAddr,
    /// Type (RFC 792, RFC 4443).
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// What could not be delivered.
    pub about: Quoted,
}

/// The start of a packet, as an ICMP error has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quoted {
    /// Transport protocol.
    pub protocol: WireProtocol,
    /// Source address and port.
    pub from: SocketAddr,
    /// Destination address and port.
    pub to: SocketAddr,
    /// Its number, as of [`Packet::number`](super::Packet::number), if enough of it is quoted; in TCP always the sequence
    /// number.
    pub number: Option<u32>,
}

/// Why a packet could not be delivered, the same for both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No route: ICMP 3/0, ICMPv6 1/0.
    NetworkUnreachable,
    /// No answer on the last link: ICMP 3/1, ICMPv6 1/3.
    HostUnreachable,
    /// Nobody speaks the protocol there: ICMP 3/2, ICMPv6 4/1.
    ProtocolUnreachable,
    /// Nobody listens there: ICMP 3/3, ICMPv6 1/4.
    PortUnreachable,
    /// Forbidden: ICMP 3/9, 3/10 and 3/13, ICMPv6 1/1.
    Prohibited,
    /// Anything else.
    Other,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Reason::NetworkUnreachable => "network unreachable",
            Reason::HostUnreachable => "host unreachable",
            Reason::ProtocolUnreachable => "protocol unreachable",
            Reason::PortUnreachable => "port unreachable",
            Reason::Prohibited => "prohibited",
            Reason::Other => "another error",
        })
    }
}

impl Reason {
    /// What type and code mean in ICMPv6 or, if it is not `v6`, in ICMP.
    pub const fn of(v6: bool, kind: u8, code: u8) -> Reason {
        match (v6, kind, code) {
            (false, 3, 0) | (true, 1, 0) => Reason::NetworkUnreachable,
            (false, 3, 1) | (true, 1, 3) => Reason::HostUnreachable,
            (false, 3, 2) | (true, 4, 1) => Reason::ProtocolUnreachable,
            (false, 3, 3) | (true, 1, 4) => Reason::PortUnreachable,
            (false, 3, 9 | 10 | 13) | (true, 1, 1) => Reason::Prohibited,
            _ => Reason::Other,
        }
    }
}

impl IcmpError {
    /// Why.
    pub const fn reason(&self) -> Reason {
        Reason::of(self.from.is_ipv6(), self.kind, self.code)
    }
}

/// Whether this type is an error: in ICMP those of RFC 792 that quote a packet, in ICMPv6 all below 128.
const fn is_error(v6: bool, kind: u8) -> bool {
    if v6 { kind < 128 } else { matches!(kind, 3 | 4 | 11 | 12) }
}

/// Reads what comes after the IP header; its checksum has been seen to.
pub(super) fn parse(from: IpAddr, to: IpAddr, body: &[u8]) -> Result<IcmpError, Malformed> {
    let &[kind, code, ..] = body else { return Err(Malformed::Truncated(body.len())) };
    if !is_error(from.is_ipv6(), kind) {
        return Err(Malformed::NoError(kind));
    }
    let quoted = body.get(HEADER..).ok_or(Malformed::Truncated(body.len()))?;
    Ok(IcmpError { from, to, kind, code, about: quote(quoted)? })
}

/// Reads as much as there is: an error quotes only the start of a packet, and routers have changed its hop limit.
fn quote(bytes: &[u8]) -> Result<Quoted, Malformed> {
    let Header { from, to, protocol, start, .. } = ip::header(bytes)?;
    let truncated = Malformed::Truncated(bytes.len());
    let rest = bytes.get(start..).ok_or(truncated)?;
    let protocol = WireProtocol::of(protocol).ok_or(Malformed::QuotedProtocol(protocol))?;
    let &[a, b, c, d, ..] = rest else { return Err(truncated) };
    Ok(Quoted {
        protocol,
        from: SocketAddr::new(from, u16::from_be_bytes([a, b])),
        to: SocketAddr::new(to, u16::from_be_bytes([c, d])),
        number: number(protocol, rest),
    })
}

/// Of the quoted packet. A TCP sequence number is among the eight bytes that every router quotes.
fn number(protocol: WireProtocol, rest: &[u8]) -> Option<u32> {
    match protocol {
        WireProtocol::Tcp => rest.get(4..8)?.try_into().ok().map(u32::from_be_bytes),
        WireProtocol::Udp | WireProtocol::Sctp => transport::segment(protocol, rest).ok()?.number(),
    }
}
