//! What is sent, and what becomes of it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use services::service::Protocol;
use workloads::wire;

/// Where a packet comes from, or comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// Anywhere beyond the node that is no pod, by the default route. What comes out here may have an address that nobody
    /// has, such as a Service that the dataplane does not know.
    Outside,
    /// A pod on this node.
    LocalPod,
    /// A pod on another node.
    RemotePod,
    /// The node itself: sent by a socket there; or received by its stack, past all rules, whether a socket listens or not.
    Node,
}

impl Location {
    /// All of them.
    pub const ALL: [Location; 4] =
        [Location::Outside, Location::LocalPod, Location::RemotePod, Location::Node];
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Location::Outside => "outside",
            Location::LocalPod => "a local pod",
            Location::RemotePod => "a remote pod",
            Location::Node => "the node",
        })
    }
}

/// The first packet of a flow: a UDP datagram, a TCP SYN or an SCTP INIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SentPacket {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Source. Port 0 stands for a fresh one, from 16,384 up and never given since flows were last forgotten; ports that are
    /// chosen are best below. Of the node's packets, an unspecified address stands for the one that the kernel chooses.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
}

impl SentPacket {
    /// From an address, at a fresh port.
    pub const fn new(protocol: Protocol, from: IpAddr, to: SocketAddr) -> Self {
        Self { protocol, from: SocketAddr::new(from, 0), to }
    }

    /// The same from this port: sent again, it belongs to the same flow.
    pub fn from_port(mut self, port: u16) -> Self {
        self.from.set_port(port);
        self
    }
}

impl fmt::Display for SentPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} to {}", self.protocol.name(), self.from, self.to)
    }
}

/// What became of a packet.
#[expect(clippy::large_enum_variant, reason = "one at a time, and copying is what makes it handy")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketOutcome {
    /// It came out.
    Delivered(Delivered),
    /// Its sender got a refusal.
    Rejected(Rejected),
    /// It is gone, and nobody got an error.
    Dropped,
}

impl PacketOutcome {
    /// What came out, if it did.
    pub const fn delivered(&self) -> Option<&Delivered> {
        match self {
            PacketOutcome::Delivered(delivered) => Some(delivered),
            _ => None,
        }
    }

    /// How it was refused to its sender, if it was.
    pub const fn rejected(&self) -> Option<&Rejected> {
        match self {
            PacketOutcome::Rejected(rejected) => Some(rejected),
            _ => None,
        }
    }
}

impl fmt::Display for PacketOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PacketOutcome::Delivered(delivered) => delivered.fmt(f),
            PacketOutcome::Rejected(rejected) => rejected.fmt(f),
            PacketOutcome::Dropped => f.write_str("dropped"),
        }
    }
}

/// A packet that came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delivered {
    /// What was sent, with the port and address that it was really sent from.
    pub sent: SentPacket,
    /// Where it was sent.
    pub origin: Location,
    /// Where it came out.
    pub at: Location,
    /// The destination that it came out with.
    pub destination: SocketAddr,
    /// The source that its receiver sees.
    pub source: SocketAddr,
    /// As it came out: what its receiver would answer to.
    pub(super) received: wire::Packet,
    /// What the node's own stack answered at once, if that received it.
    pub(super) answer: Option<Answer>,
}

/// What the node's stack answers to a packet that came out there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// It came out, where and as what.
    SentPacket(Location, wire::Packet),
    /// It refuses.
    Rejected(Rejected),
}

impl Delivered {
    /// Whether it has another destination than it was sent to.
    pub fn is_translated(&self) -> bool {
        self.destination != self.sent.to
    }

    /// The address in place of the sender's, if there is one.
    pub fn masquerade(&self) -> Option<IpAddr> {
        (self.source.ip() != self.sent.from.ip()).then_some(self.source.ip())
    }

    /// Whether this is what a client takes for the answer: it came out where the packet was sent, from the address that the
    /// packet was sent to, for the address that it was sent from.
    pub fn is_answered_by(&self, reply: &PacketOutcome) -> bool {
        reply.delivered().is_some_and(|reply| {
            (reply.at, reply.source, reply.destination) == (self.origin, self.sent.to, self.sent.from)
        })
    }
}

impl fmt::Display for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delivered at {} to {} from {}", self.at, self.destination, self.source)
    }
}

/// That it was refused to its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rejected {
    /// How.
    pub how: Refusal,
    /// By whom, as the sender sees it.
    pub from: IpAddr,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rejected by {} ({})", self.from, self.how)
    }
}

/// How a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// ICMP (RFC 792).
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// ICMPv6 (RFC 4443).
    Icmpv6 {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// A TCP RST.
    Reset,
    /// An SCTP ABORT.
    Abort,
}

impl Refusal {
    /// What the error means, the same for both families; none for RST and ABORT.
    pub const fn reason(self) -> Option<wire::Reason> {
        match self {
            Refusal::Icmp { kind, code } => Some(wire::Reason::of(false, kind, code)),
            Refusal::Icmpv6 { kind, code } => Some(wire::Reason::of(true, kind, code)),
            Refusal::Reset | Refusal::Abort => None,
        }
    }

    /// Whether it is ICMP's or ICMPv6's "port unreachable", which kube-proxy rejects with.
    pub const fn is_port_unreachable(self) -> bool {
        matches!(self.reason(), Some(wire::Reason::PortUnreachable))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.reason()) {
            (Refusal::Icmp { kind, code }, Some(reason)) => write!(f, "ICMP {kind}/{code}, {reason}"),
            (Refusal::Icmpv6 { kind, code }, Some(reason)) => write!(f, "ICMPv6 {kind}/{code}, {reason}"),
            (Refusal::Abort, _) => f.write_str("SCTP ABORT"),
            _ => f.write_str("TCP RST"),
        }
    }
}
