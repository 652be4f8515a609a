//! Load against real sockets: `tcp_crr`, `tcp_rr`, `tcp_stream`, `udp_rr`, and HTTP with and without keep-alive; open loop at
//! a rate, or closed loop at saturation; and the [`Server`] that answers all of them.
//!
//! One thread runs one event loop over one epoll set, and allocates nothing for a request. It makes its system calls
//! itself: a socket that tokio watches costs two allocations and more system calls, which is much for a connection that
//! lives for microseconds.
//!
//! Every connection ends in an orderly way: the server closes after the last response, the client reads to the end of file
//! and closes. No `SO_LINGER`, no RST: those would spare TIME_WAIT, and conntrack's view of it, and so change what is
//! measured. TIME_WAIT stays with the server, where it holds no port back.

mod counts;
mod destination;
mod dns;
mod engine;
mod error;
mod flow;
mod frame;
mod http;
mod intervals;
mod outcome;
mod ramp;
mod reply;
mod request;
mod seen;
mod server;
mod settings;
mod socket;
mod waits;
mod workload;

pub use crate::schedule::Rhythm;
pub use counts::{Counts, Fate, RequestFault};
pub use destination::{Choice, Destination};
pub use error::LoadError;
pub use intervals::{Interval, Intervals, Sparse};
pub use outcome::{LoadOutcome, Traced};
pub use ramp::{Bound, Highest, Trial, highest_rate};
pub use seen::{Answers, Seen};
pub use server::{Served, Server, Stall, Stopper};
pub use settings::{LATE, LATE_SHARE, Load, Pace, TIMEOUT};
pub use workload::Workload;

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Length of an HTTP request to `to` that is the last of its connection, bytes.
pub fn http_request_length(to: SocketAddr) -> usize {
    http::request(to, false).len()
}

/// Runs one thread's share of a load on the calling thread, which should be in the namespace of the client.
///
/// All threads are given the same `began`, from which times count; a load that is given a moment to come waits for it. When
/// `halt` becomes true no more requests begin, as at the end of the duration; those under way are waited for in both cases.
///
/// # Errors
/// [`LoadError`] for bad input, and for failures on this side: sockets, source addresses, ports.
pub fn run(load: &Load, thread: u32, began: Instant, halt: &AtomicBool) -> Result<LoadOutcome, LoadError> {
    load.check()?;
    engine::Engine::new(load, thread, began)?.run(halt)
}

#[cfg(test)]
mod tests;
