//! What became of connections.

use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use super::judge::Flaw;
use super::script::Side;
use crate::recorder::Times;

/// What went wrong with a connection.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionFault {
    /// Number of the packet in the script, from 0.
    pub packet: usize,
    /// Who sent it.
    pub side: Side,
    /// The client.
    pub client: SocketAddrV4,
    /// Where it connects to.
    pub to: SocketAddrV4,
    /// What happened.
    pub what: Mishap,
}

/// What happened to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// Nothing came out.
    Lost {
        /// How long it was waited for after `write(2)` had returned.
        waited: Duration,
    },
    /// It came out on the way to another server than the packets before.
    Strayed {
        /// That server.
        server: SocketAddrV4,
    },
    /// It came out, but not as it should.
    Flawed(Flaw),
}

impl fmt::Display for ConnectionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConnectionFault { packet, client, to, .. } = self;
        let side = if self.side == Side::Client { "client" } else { "server" };
        write!(f, "packet {packet} of the connection from {client} to {to}, sent by the {side}: ")?;
        match self.what {
            Mishap::Lost { waited } => write!(f, "nothing came out within {waited:?}"),
            Mishap::Strayed { server } => write!(f, "it went to {server}, unlike those before"),
            Mishap::Flawed(flaw) => write!(f, "{flaw}"),
        }
    }
}

/// What connections cost, in nanoseconds. Only sound ones count.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Costs {
    /// All packets of a connection together.
    pub connection: Times,
    /// The first packet of a connection: the one for which a real server is chosen.
    pub first: Times,
    /// Each later packet of the client's.
    pub later: Times,
}

/// What became of a series of connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections begun.
    pub begun: u64,
    /// Connections each of whose packets came out as it should.
    pub sound: u64,
    /// Packets written for those, and their bytes with IP headers.
    pub packets: u64,
    /// See [`Tally::packets`].
    pub bytes: u64,
    /// How many sound connections each real server got, in the order of the exits.
    pub shares: Vec<u64>,
    /// The first fault, as an example.
    pub first_fault: Option<ConnectionFault>,
}

impl Tally {
    /// That every packet of every connection came out as it should.
    ///
    /// # Errors
    /// The first fault, if there is any.
    pub fn all_sound(&self) -> Result<(), ConnectionFault> {
        self.first_fault.map_or(Ok(()), Err)
    }
}
