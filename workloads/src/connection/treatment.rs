//! What a load balancer does with packets.

use std::net::Ipv4Addr;

/// What the machine between does with packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It routes them, both ways: the client addresses a real server itself. The control.
    Routed,
    /// It gives the client's a real server's address, and takes it from the server's.
    Rewritten,
    /// It sends the client's to a real server as they are; the server's do not pass.
    Redirected,
    /// It puts the client's into packets to a real server; the server's do not pass.
    Encapsulated {
        /// Source of the outer packets.
        from: Ipv4Addr,
    },
}

impl Treatment {
    /// Whether the server's packets pass.
    pub fn both_ways(self) -> bool {
        matches!(self, Treatment::Routed | Treatment::Rewritten)
    }
}
