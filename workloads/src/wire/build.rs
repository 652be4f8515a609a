//! Packets to bytes, with every length and checksum.

use std::net::{IpAddr, SocketAddr};

use super::checksum::{pseudo_sum, write_checksum};
use super::ip::{write_ipv4, write_ipv6};
use super::packet::Packet;
use super::transport;

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
        let mut packet = Vec::new();
        let payload = self.build_payload();
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let identification = self.number().unwrap_or_default() as u16;
                write_ipv4(&mut packet, self.protocol(), (from, to), identification, payload.len());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                write_ipv6(&mut packet, self.protocol(), (from, to), payload.len());
            }
            _ => return Err(MixedFamilies { from: self.from, to: self.to }),
        }
        packet.extend(payload);
        Ok(packet)
    }

    /// What comes after the IP header when a raw socket writes that (raw(7)); with its checksum.
    pub fn build_payload(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        transport::write(&mut payload, (self.from.port(), self.to.port()), &self.segment);
        write_checksum(self.protocol(), pseudo_sum(self.from.ip(), self.to.ip()), &mut payload);
        payload
    }
}
