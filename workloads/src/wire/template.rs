//! The packets of the packet probe: built once, stamped again for every flow.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::bytes::put;
use super::checksum::{checksum, pseudo_sum_ipv4, write_checksum};
use super::ip::{IPV4_HEADER, write_ipv4};
use super::packet::{ACK, PSH, SYN, Segment};
use super::protocol::WireProtocol;
use super::transport::{self, SYN_OPTIONS, TCP_HEADER};

/// The longest template, in bytes.
const LONGEST: usize = IPV4_HEADER + TCP_HEADER + SYN_OPTIONS.len();

/// The kinds of packet that a probe sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A UDP datagram whose payload carries the number.
    Udp,
    /// A TCP SYN without payload.
    Syn,
    /// The answer to a SYN, without payload.
    SynAck,
    /// A TCP segment whose payload carries the number.
    Data,
}

/// What differs between two packets of one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Source address and port.
    pub from: SocketAddrV4,
    /// Destination address and port.
    pub to: SocketAddrV4,
    /// Number of the packet: in the payload if the form has one; its low 16 bits are the IP identification.
    pub number: u64,
    /// TCP sequence number; UDP ignores it.
    pub sequence: u32,
    /// TCP acknowledgement number; a SYN, and UDP, ignore it.
    pub acknowledgement: u32,
}

/// An IPv4 packet of one form, to be stamped again and again.
#[derive(Debug, Clone)]
pub struct Template {
    form: Form,
    bytes: [u8; LONGEST],
    length: usize,
}

impl Form {
    const fn protocol(self) -> WireProtocol {
        match self {
            Form::Udp => WireProtocol::Udp,
            Form::Syn | Form::SynAck | Form::Data => WireProtocol::Tcp,
        }
    }

    /// With all zero where a [`Stamp`] goes.
    const fn segment(self) -> Segment {
        let (flags, number) = match self {
            Form::Udp => return Segment::Udp { number: Some(0) },
            Form::Syn => (SYN, None),
            Form::SynAck => (SYN | ACK, None),
            Form::Data => (PSH | ACK, Some(0)),
        };
        Segment::Tcp { flags, sequence: 0, acknowledgement: 0, number }
    }
}

impl Template {
    /// A packet of this form, all zero where a [`Stamp`] goes.
    pub fn new(form: Form) -> Template {
        let (mut packet, mut payload) = (Vec::new(), Vec::new());
        transport::write(&mut payload, (0, 0), &form.segment());
        let nowhere = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED);
        write_ipv4(&mut packet, form.protocol(), nowhere, 0, payload.len());
        packet.append(&mut payload);
        let (mut bytes, length) = ([0; LONGEST], packet.len());
        bytes[..length].copy_from_slice(&packet);
        Template { form, bytes, length }
    }

    /// Writes addresses, numbers and checksums; returns the finished packet.
    ///
    /// Checksums are computed anew: over at most 60 bytes that costs what an incremental update (RFC 1624)
    /// would, and cannot carry an error from one packet to the next.
    pub fn stamp(&mut self, stamp: &Stamp) -> &[u8] {
        let packet = &mut self.bytes[..self.length];
        let (header, payload) = packet.split_at_mut(IPV4_HEADER);
        put(header, 4, stamp.number as u16);
        put(header, 10, 0);
        header[12..16].copy_from_slice(&stamp.from.ip().octets());
        header[16..20].copy_from_slice(&stamp.to.ip().octets());
        let sum = checksum(header, 0);
        put(header, 10, sum);

        put(payload, 0, stamp.from.port());
        put(payload, 2, stamp.to.port());
        if self.form == Form::Udp {
            put(payload, 6, 0);
        } else {
            payload[4..8].copy_from_slice(&stamp.sequence.to_be_bytes());
            put(payload, 16, 0);
        }
        if matches!(self.form, Form::SynAck | Form::Data) {
            payload[8..12].copy_from_slice(&stamp.acknowledgement.to_be_bytes());
        }
        if matches!(self.form, Form::Udp | Form::Data) {
            let end = payload.len();
            payload[end - 8..].copy_from_slice(&stamp.number.to_be_bytes());
        }
        let pseudo_sum = pseudo_sum_ipv4(*stamp.from.ip(), *stamp.to.ip());
        write_checksum(self.form.protocol(), pseudo_sum, payload);
        packet
    }
}

#[cfg(test)]
mod tests;
