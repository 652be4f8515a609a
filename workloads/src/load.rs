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

mod aim;
mod dns;
mod engine;
mod flow;
mod frame;
mod http;
mod outcome;
mod ramp;
mod reply;
mod request;
mod seen;
mod series;
mod server;
mod socket;
mod waits;
mod workload;

pub use crate::schedule::Rhythm;
pub use aim::{Aim, Choice};
pub use outcome::{Counts, Fate, Fault, Outcome, Traced};
pub use ramp::{Bound, Highest, Trial, highest_rate};
pub use seen::{Answers, Seen};
pub use series::{Interval, Series, Sparse};
pub use server::{Served, Server, Stall, Stopper};
pub use workload::Workload;

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use nix::errno::Errno;

/// A request that begins so much after it was due is late.
pub const LATE: Duration = Duration::from_millis(1);
/// An open loop with a larger share of late requests has not held its schedule.
pub const LATE_SHARE: f64 = 0.001;
/// How long a request may take, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// When requests begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Closed loop: each flow begins its next request when its last has ended.
    Closed {
        /// No more than so many requests in all.
        requests: Option<u64>,
    },
    /// Open loop: when they are due, whether or not others have been answered. Those that find no free flow begin late, and
    /// their response time counts from when they were due.
    Open {
        /// Requests per second of all threads together.
        per_second: NonZeroU64,
        /// How they follow one another.
        rhythm: Rhythm,
    },
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Load {
    /// What a request is.
    pub workload: Workload,
    /// Targets.
    pub aims: Arc<[Aim]>,
    /// Indices of targets, for one flow after another, over and over.
    pub picks: Arc<[u32]>,
    /// Addresses of flows, in turn, so that ports never limit; if empty, the kernel chooses.
    pub sources: Arc<[IpAddr]>,
    /// When requests begin.
    pub pace: Pace,
    /// Flows of all threads together: of a closed loop all busy, of an open loop those that may be busy at once.
    pub flows: NonZeroUsize,
    /// Threads that share the load.
    pub threads: NonZeroU32,
    /// Requests on each connection or UDP port; `None`: as many as come.
    pub requests_per_flow: Option<NonZeroU32>,
    /// Length of requests and responses of `tcp_*` in bytes; `None`: 64, and 1 MiB for a block of `tcp_stream`. Kept within
    /// what a frame may have.
    pub request_bytes: Option<u32>,
    /// See `request_bytes`.
    pub response_bytes: Option<u32>,
    /// No request begins after so long.
    pub duration: Duration,
    /// How long one request may take.
    pub timeout: Duration,
    /// Length of the intervals of [`Outcome::series`].
    pub interval: Duration,
    /// Requests of each thread to keep one by one, in [`Outcome::trace`]; memory for them is set aside.
    pub trace: usize,
    /// Look for events without pause instead of sleeping until there is one: a thread's wake-up from idle, microseconds
    /// even on a quiet machine, is then in no figure; but it needs a core to itself.
    pub busy_poll: bool,
}

impl Load {
    /// A closed loop of one flow on one thread for ten seconds, against one target after another.
    pub fn new(workload: Workload, aims: impl Into<Arc<[Aim]>>) -> Load {
        let aims = aims.into();
        let picks = (0..u32::try_from(aims.len()).unwrap_or(u32::MAX)).collect();
        Load {
            workload,
            aims,
            picks,
            sources: Arc::new([]),
            pace: Pace::Closed { requests: None },
            flows: NonZeroUsize::MIN,
            threads: NonZeroU32::MIN,
            requests_per_flow: workload.requests_per_flow(),
            request_bytes: None,
            response_bytes: None,
            duration: Duration::from_secs(10),
            timeout: TIMEOUT,
            interval: Duration::from_secs(1),
            trace: 0,
            busy_poll: false,
        }
    }

    /// Length of a request of `tcp_*` in bytes.
    pub fn request_bytes(&self) -> u32 {
        let length = self.request_bytes.unwrap_or(request::default_request(self.workload));
        length.clamp(frame::SHORTEST_REQUEST, frame::LONGEST)
    }

    /// Length of a response of `tcp_*` in bytes.
    pub fn response_bytes(&self) -> u32 {
        self.response_bytes.unwrap_or(64).clamp(frame::SHORTEST_RESPONSE, frame::LONGEST)
    }

    /// Flows of one thread.
    fn flows_of(&self, thread: u32) -> usize {
        let (flows, threads) = (self.flows.get(), self.threads.get() as usize);
        let one_more = usize::from((thread as usize) < flows % threads);
        (flows / threads + one_more).max(1)
    }

    fn check(&self) -> Result<(), LoadError> {
        let aims = self.aims.len();
        if self.picks.is_empty() || aims == 0 {
            return Err(LoadError::Nothing);
        }
        match self.picks.iter().find(|&&pick| pick as usize >= aims) {
            Some(&pick) => Err(LoadError::Pick { pick, aims }),
            None => Ok(()),
        }
    }
}

/// Why a load, or its server, had to stop. What happens to a single request is a [`Fault`] instead.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no target.
    #[error("there is nothing to send to: no target, or no pick of one")]
    Nothing,
    /// A pick is no index into the targets.
    #[error("pick {pick} of {aims} targets; picks are indices from 0")]
    Pick {
        /// The pick.
        pick: u32,
        /// How many targets there are.
        aims: usize,
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

/// Length of an HTTP request to `to` that is the last of its connection, bytes.
pub fn http_request_length(to: SocketAddr) -> usize {
    http::request(to, false).len()
}

fn advice(why: Errno) -> &'static str {
    match why {
        Errno::EADDRNOTAVAIL => "; no port is left: give more source addresses or widen ip_local_port_range",
        Errno::EMFILE | Errno::ENFILE => "; raise the limit of open files (ulimit -n) or lower the flows",
        _ => "",
    }
}

/// Runs one thread's share of a load on the calling thread, which should be in the namespace of the client.
///
/// All threads are given the same `began`, from which times count; a load that is given a moment to come waits for it. When
/// `halt` becomes true no more requests begin, as at the end of the duration; those under way are waited for in both cases.
///
/// # Errors
/// [`LoadError`] for bad input, and for failures on this side: sockets, source addresses, ports.
pub fn run(load: &Load, thread: u32, began: Instant, halt: &AtomicBool) -> Result<Outcome, LoadError> {
    load.check()?;
    engine::Engine::new(load, thread, began)?.run(halt)
}

#[cfg(test)]
mod tests;
