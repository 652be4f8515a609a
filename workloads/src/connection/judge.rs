//! What came out of a load balancer, held against what went in.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::script::Side;
use super::treatment::Treatment;
use crate::wire::checksum::checksum;
use crate::wire::ip::IPV4_HEADER;
use crate::wire::{self, Malformed};

/// The number of IP in IP (RFC 2003).
pub(super) const IP_IN_IP: u8 = 4;

/// What is wrong with a packet that came out.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It is no proper packet.
    #[error("it is damaged: {0}")]
    Damaged(#[from] Malformed),
    /// It is not inside another packet, or that one's header is wrong.
    #[error("it is not in an IPIP packet with a sound header")]
    NoTunnel,
    /// The outer packet has other ends.
    #[error("its outer packet goes from {from} to {to}")]
    Tunnel {
        /// Outer source.
        from: Ipv4Addr,
        /// Outer destination.
        to: Ipv4Addr,
    },
    /// It has other addresses or ports than it should.
    #[error("it goes from {from} to {to}")]
    Addresses {
        /// Source.
        from: SocketAddrV4,
        /// Destination.
        to: SocketAddrV4,
    },
    /// Something else was changed than addresses, ports, checksums and the time to live.
    #[error("byte {at} is not what it was")]
    Altered {
        /// Where, from the start of the IP header.
        at: usize,
    },
}

/// What a packet must have become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    /// As it was written.
    pub(super) sent: &'a [u8],
    pub(super) side: Side,
    pub(super) treatment: Treatment,
    pub(super) client: SocketAddrV4,
    /// Where the client connects to.
    pub(super) to: SocketAddrV4,
    /// The real server by whose exit it came, or into whose exit it was written.
    pub(super) server: SocketAddrV4,
}

impl Expected<'_> {
    pub(super) fn judge(&self, got: &[u8]) -> Result<(), Flaw> {
        let got = match (self.side, self.treatment) {
            (Side::Client, Treatment::Encapsulated { from }) => inner(got, from, *self.server.ip())?,
            _ => got,
        };
        let packet = wire::parse_ipv4(got)?;
        let (from, to) = match (self.side, self.treatment) {
            (Side::Client, Treatment::Rewritten) => (self.client, self.server),
            (Side::Client, _) => (self.client, self.to),
            (Side::Server, _) => (self.to, self.client),
        };
        if (packet.from, packet.to) != (from, to) {
            return Err(Flaw::Addresses { from: packet.from, to: packet.to });
        }
        let same = |at: &usize| match at {
            8 => got[8] == self.sent[8] - 1,
            // Checksums are known to be right; addresses and ports too.
            10..24 | 36 | 37 => true,
            &at => got.get(at) == self.sent.get(at),
        };
        match (0..got.len().max(self.sent.len())).find(|at| !same(at)) {
            Some(at) => Err(Flaw::Altered { at }),
            None => Ok(()),
        }
    }
}

/// What an IPIP packet holds.
fn inner(outer: &[u8], from: Ipv4Addr, to: Ipv4Addr) -> Result<&[u8], Flaw> {
    let header: &[u8; IPV4_HEADER] = outer.first_chunk().ok_or(Flaw::NoTunnel)?;
    let whole = usize::from(u16::from_be_bytes([header[2], header[3]])) == outer.len();
    if header[0] != 0x45 || header[9] != IP_IN_IP || header[8] == 0 || !whole || checksum(header, 0) != 0 {
        return Err(Flaw::NoTunnel);
    }
    let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    if (address(12), address(16)) != (from, to) {
        return Err(Flaw::Tunnel { from: address(12), to: address(16) });
    }
    Ok(&outer[IPV4_HEADER..])
}
