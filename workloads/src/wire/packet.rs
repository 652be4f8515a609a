//! What two ends of a flow send each other.

use std::net::SocketAddr;

use super::protocol::WireProtocol;

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

/// A packet of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Source address and port.
    pub from: SocketAddr,
    /// Destination address and port, of the same family.
    pub to: SocketAddr,
    /// What it carries.
    pub segment: Segment,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A datagram.
    Udp {
        /// The number in its payload; none: no payload, or somebody else's.
        number: Option<u64>,
    },
    /// A segment. With [`SYN`] it has the options of a Linux host.
    Tcp {
        /// [`SYN`], [`ACK`], [`RST`], [`FIN`], [`PSH`].
        flags: u8,
        /// Sequence number.
        sequence: u32,
        /// Acknowledgement number; it means something only with [`ACK`].
        acknowledgement: u32,
        /// The number in its payload; none: no payload, or somebody else's.
        number: Option<u64>,
    },
    /// A packet with one chunk; of several, the first.
    Sctp {
        /// Verification tag.
        tag: u32,
        /// Its first chunk.
        chunk: Chunk,
    },
}

impl Segment {
    /// See [`Packet::number`].
    pub(super) const fn number(&self) -> Option<u32> {
        match *self {
            Segment::Udp { number: Some(number) } => Some(number as u32),
            Segment::Tcp { flags, sequence, .. } if flags & SYN != 0 => Some(sequence),
            Segment::Sctp { chunk: Chunk::Init { initiate } | Chunk::InitAck { initiate }, .. } => {
                Some(initiate)
            }
            _ => None,
        }
    }
}

/// A chunk of SCTP (RFC 9260, section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chunk {
    /// INIT: asks for an association.
    Init {
        /// What answers must have as their verification tag; not 0.
        initiate: u32,
    },
    /// INIT ACK: agrees. Built with a state cookie of four bytes.
    InitAck {
        /// What packets to its sender must have as their verification tag; not 0.
        initiate: u32,
    },
    /// ABORT: refuses.
    Abort,
    /// Any other, by its type; built without content.
    Other(u8),
}

impl Packet {
    /// The first packet of a flow: a UDP datagram, a TCP SYN or an SCTP INIT.
    ///
    /// Number 0 is no initiate tag of SCTP: count from 1.
    pub const fn first(protocol: WireProtocol, from: SocketAddr, to: SocketAddr, number: u32) -> Packet {
        let segment = match protocol {
            WireProtocol::Udp => Segment::Udp { number: Some(number as u64) },
            WireProtocol::Tcp => {
                Segment::Tcp { flags: SYN, sequence: number, acknowledgement: 0, number: None }
            }
            WireProtocol::Sctp => Segment::Sctp { tag: 0, chunk: Chunk::Init { initiate: number } },
        };
        Packet { from, to, segment }
    }

    /// What the receiver of a first packet sends back: a UDP datagram, a TCP SYN-ACK or an SCTP INIT ACK with a number of
    /// its own. None if this is no first packet.
    pub const fn answer(&self, number: u32) -> Option<Packet> {
        let segment = match self.segment {
            Segment::Udp { .. } => Segment::Udp { number: Some(number as u64) },
            Segment::Tcp { flags: SYN, sequence, .. } => {
                let acknowledgement = sequence.wrapping_add(1);
                Segment::Tcp { flags: SYN | ACK, sequence: number, acknowledgement, number: None }
            }
            Segment::Sctp { chunk: Chunk::Init { initiate }, .. } => {
                Segment::Sctp { tag: initiate, chunk: Chunk::InitAck { initiate: number } }
            }
            _ => return None,
        };
        Some(Packet { from: self.to, to: self.from, segment })
    }

    /// The transport protocol.
    pub const fn protocol(&self) -> WireProtocol {
        match self.segment {
            Segment::Udp { .. } => WireProtocol::Udp,
            Segment::Tcp { .. } => WireProtocol::Tcp,
            Segment::Sctp { .. } => WireProtocol::Sctp,
        }
    }

    /// The number by which a first packet or an answer is known again; none for others.
    pub const fn number(&self) -> Option<u32> {
        self.segment.number()
    }

    /// The number of the first packet that this one refuses, if it does: a TCP RST or an SCTP ABORT.
    pub const fn refuses(&self) -> Option<u32> {
        match self.segment {
            // A SYN takes up one number (RFC 9293, section 3.10.7.1).
            Segment::Tcp { flags, acknowledgement, .. } if flags & RST != 0 && flags & ACK != 0 => {
                Some(acknowledgement.wrapping_sub(1))
            }
            Segment::Sctp { tag, chunk: Chunk::Abort } => Some(tag),
            _ => None,
        }
    }

    /// The number of the first packet that this one answers, if it says so: a TCP SYN-ACK or an SCTP INIT ACK.
    pub const fn answers(&self) -> Option<u32> {
        match self.segment {
            Segment::Tcp { flags, acknowledgement, .. } if flags == SYN | ACK => {
                Some(acknowledgement.wrapping_sub(1))
            }
            Segment::Sctp { tag, chunk: Chunk::InitAck { .. } } => Some(tag),
            _ => None,
        }
    }

    /// Whether it opens a flow: a datagram, a SYN or an INIT.
    pub const fn is_first(&self) -> bool {
        matches!(
            self.segment,
            Segment::Udp { .. }
                | Segment::Tcp { flags: SYN, .. }
                | Segment::Sctp { chunk: Chunk::Init { .. }, .. }
        )
    }
}
