//! Transport protocols.

use std::fmt;

/// Transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WireProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl WireProtocol {
    /// All of them.
    pub const ALL: [WireProtocol; 3] = [WireProtocol::Tcp, WireProtocol::Udp, WireProtocol::Sctp];

    /// IANA's protocol number.
    pub const fn number(self) -> u8 {
        match self {
            WireProtocol::Tcp => 6,
            WireProtocol::Udp => 17,
            WireProtocol::Sctp => 132,
        }
    }

    /// The one with this number.
    pub const fn of(number: u8) -> Option<WireProtocol> {
        match number {
            6 => Some(WireProtocol::Tcp),
            17 => Some(WireProtocol::Udp),
            132 => Some(WireProtocol::Sctp),
            _ => None,
        }
    }
}

impl fmt::Display for WireProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            WireProtocol::Tcp => "TCP",
            WireProtocol::Udp => "UDP",
            WireProtocol::Sctp => "SCTP",
        })
    }
}
