//! Why a load stops.

use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;

/// Why a load, or its server, had to stop. What happens to a single request is a [`RequestFault`](super::RequestFault) instead.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no target.
    #[error("there is nothing to send to: no target, or no pick of one")]
    Nothing,
    /// A pick is no index into the targets.
    #[error("pick {pick} of {destinations} targets; picks are indices from 0")]
    Pick {
        /// The pick.
        pick: u32,
        /// How many targets there are.
        destinations: usize,
    },
    /// A system call of the client failed for a reason that is no answer of the system under test.
    #[error("cannot {call} for a flow to {to}: {why}{}", advice(*.why))]
    Client {
        /// What was tried.
        call: &'static str,
        /// The target.
        to: SocketAddr,
        /// What the kernel said.
        why: Errno,
    },
    /// The event loop could not be set up, or cannot go on.
    #[error("cannot {call} for the event loop: {why}{}", advice(*.why))]
    Loop {
        /// What was tried.
        call: &'static str,
        /// What the kernel said.
        why: Errno,
    },
    /// The source address cannot be bound.
    #[error("cannot bind to source {address}: {why}; is it an address, or a local route, of this namespace?")]
    Source {
        /// The address.
        address: IpAddr,
        /// What the kernel said.
        why: Errno,
    },
    /// The server could not be set up, or cannot go on.
    #[error("the server on {address} cannot {call}: {why}")]
    Server {
        /// Where it listens, or should.
        address: SocketAddr,
        /// What was tried.
        call: &'static str,
        /// What the kernel said.
        why: std::io::Error,
    },
}

fn advice(why: Errno) -> &'static str {
    match why {
        Errno::EADDRNOTAVAIL => "; no port is left: give more source addresses or widen ip_local_port_range",
        Errno::EMFILE | Errno::ENFILE => "; raise the limit of open files (ulimit -n) or lower the flows",
        _ => "",
    }
}
