//! Why the oracle is silent.

use std::io;

use lab::connection_tables::FlowsError;
use netns_setup::SetupError;
use nix::errno::Errno;
use workloads::wire::{Malformed, MixedFamilies};

use super::{Location, SentPacket};

/// Why nothing can be said about a packet.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// The kernel refused.
    #[error(transparent)]
    Testbed(#[from] SetupError),
    /// Flows could not be forgotten.
    #[error(transparent)]
    Flows(#[from] FlowsError),
    /// Source and destination do not go together.
    #[error(transparent)]
    MixedFamilies(#[from] MixedFamilies),
    /// A device or a socket that listens on the node failed.
    #[error("cannot {call} at {place}: {why}")]
    Device {
        /// What was tried.
        call: &'static str,
        /// Where.
        place: Location,
        /// The kernel's answer.
        why: io::Error,
    },
    /// A socket of the node could not be had, or not be sent from.
    #[error(
        "{packet}: cannot {call} a socket of the node: {why}; is the source an address of the node, and is there a route?"
    )]
    Socket {
        /// What was to be sent.
        packet: SentPacket,
        /// What was tried.
        call: &'static str,
        /// The kernel's answer.
        why: Errno,
    },
    /// Something came out that is no proper packet any more.
    #[error("at {place} a damaged packet came out: {defect}")]
    Damaged {
        /// Where.
        place: Location,
        /// What is wrong with it.
        defect: Malformed,
    },
    /// What came out does not make sense.
    #[error("{packet} from {origin}: {what}; heard: {heard}")]
    Unexplained {
        /// What was sent.
        packet: SentPacket,
        /// Where.
        origin: Location,
        /// What is strange.
        what: &'static str,
        /// All that came out, where.
        heard: String,
    },
    /// Fresh ports have run out.
    #[error("all {count} fresh ports are used up, and one that comes back is no new flow; call forget_flows")]
    PortsUsedUp {
        /// How many there were.
        count: u16,
    },
    /// The socket that a reply is for was closed meanwhile.
    #[error(
        "{packet}: its socket is closed; reply before {most} more packets are sent from the node, and before flows are forgotten"
    )]
    SocketClosed {
        /// What was sent.
        packet: SentPacket,
        /// How many sockets are kept.
        most: usize,
    },
}
