//! What is wrong with a packet.

/// The first thing found wrong with a packet.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Neither IPv4 nor IPv6.
    #[error("IP version {0} in place of 4 or 6")]
    Version(u8),
    /// Another protocol (IANA protocol numbers), such as multicast listener reports.
    #[error("IP protocol {0} in place of TCP (6), UDP (17), SCTP (132), ICMP (1) or ICMPv6 (58)")]
    Protocol(u8),
    /// An ICMP or ICMPv6 message that is no error about a packet, such as a router solicitation.
    #[error("ICMP type {0}, which is no error")]
    NoError(u8),
    /// An ICMP error about a packet of another protocol.
    #[error("an ICMP error about IP protocol {0}")]
    QuotedProtocol(u8),
    /// A piece of a larger packet.
    #[error("a fragment")]
    Fragment,
    /// Shorter than its headers.
    #[error("{0} bytes do not hold the headers")]
    Truncated(usize),
    /// The IPv4 header's length, TCP's data offset or an SCTP chunk's length cannot be.
    #[error("a header length that cannot be")]
    HeaderLength,
    /// The length in the IP or UDP header is not the length of the packet.
    #[error("a length field of {field} in a packet of {actual} bytes")]
    Length {
        /// What the header says, counted from where it counts.
        field: usize,
        /// What there is.
        actual: usize,
    },
    /// The time to live (in IPv6 the hop limit) ran out but the packet was sent on.
    #[error("a time to live of 0")]
    TimeToLive,
    /// The IPv4 header's checksum is wrong.
    #[error("a wrong IP header checksum")]
    HeaderChecksum,
    /// The UDP or TCP checksum is wrong, or a UDP checksum that was sent is gone.
    #[error("a wrong UDP or TCP checksum")]
    TransportChecksum,
    /// The SCTP checksum is wrong.
    #[error("a wrong SCTP checksum")]
    SctpChecksum,
    /// The ICMP or ICMPv6 checksum is wrong.
    #[error("a wrong ICMP checksum")]
    IcmpChecksum,
}

impl Malformed {
    /// Whether the packet is simply someone else's: nothing that is built here can turn into it.
    pub fn is_foreign(self) -> bool {
        matches!(
            self,
            Malformed::Version(_)
                | Malformed::Protocol(_)
                | Malformed::NoError(_)
                | Malformed::QuotedProtocol(_)
                | Malformed::Fragment
        )
    }
}
