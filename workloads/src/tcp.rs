//! TCP load against real sockets: `tcp_crr` (connect, request, response, close) and the server that answers it.
//!
//! Both speak the least HTTP/1.1 there is, so that the answer names the endpoint that gave it, and so that other
//! tools (`wrk -H 'Connection: close'`) can drive the very same server.
//!
//! Every connection ends in an orderly way: the server sends its answer and its FIN, the client reads to the end
//! of file and closes. No `SO_LINGER`, no RST: those would spare TIME_WAIT, and conntrack's view of it, and so
//! change what is measured. TIME_WAIT stays with the server, where it holds no port back; a server namespace
//! keeps up to `net.ipv4.tcp_max_tw_buckets` of them for 60 s, and drops those beyond at once.

mod crr;
mod outcome;
mod server;
mod transaction;

pub use crr::{CrrLoad, TIMEOUT, TcpCrr};
pub use outcome::{CrrSummary, TcpFault};
pub use server::{Served, Server, Stopper};

use nix::errno::Errno;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Length of a client's request, in bytes.
pub const REQUEST_LENGTH: usize = transaction::REQUEST.len();

/// Why TCP load, or its server, had to stop. What happens to a single transaction is a [`TcpFault`] instead.
#[derive(Debug, thiserror::Error)]
pub enum TcpError {
    /// The runtime of the client could not be built.
    #[error("cannot start the tokio runtime: {0}; are there file descriptors left (ulimit -n)?")]
    Runtime(std::io::Error),
    /// A system call of the client failed for a reason that is no answer of the system under test.
    #[error("cannot {call} for a connection to {to}: {why}{}", advice(*.why))]
    Client {
        /// What was tried.
        call: &'static str,
        /// The target.
        to: SocketAddrV4,
        /// What the kernel said.
        why: Errno,
    },
    /// The source address cannot be bound.
    #[error("cannot bind to source {address}: {why}; is it an address, or a local route, of this namespace?")]
    Source {
        /// The address.
        address: Ipv4Addr,
        /// What the kernel said.
        why: Errno,
    },
    /// The server could not be set up, or cannot go on.
    #[error("the server on {address} cannot {call}: {why}")]
    Server {
        /// Where it listens, or should.
        address: SocketAddrV4,
        /// What was tried.
        call: &'static str,
        /// What the kernel said.
        why: std::io::Error,
    },
    /// A pick is no index into the targets.
    #[error("pick {pick} of {targets} targets; picks are indices from 0")]
    Pick {
        /// The pick.
        pick: u32,
        /// How many targets there are.
        targets: usize,
    },
    /// The target is not one of TCP.
    #[error("{to} is a UDP target; tcp_crr needs TCP")]
    NotTcp {
        /// The target.
        to: SocketAddrV4,
    },
}

fn advice(why: Errno) -> &'static str {
    match why {
        Errno::EADDRNOTAVAIL => "; no port is left: give more source addresses or widen ip_local_port_range",
        Errno::EMFILE | Errno::ENFILE => {
            "; raise the limit of open files (ulimit -n) or lower the concurrency"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests;
