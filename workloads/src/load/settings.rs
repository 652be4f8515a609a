//! What a load is to do.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use super::destination::Destination;
use super::error::LoadError;
use super::frame;
use super::workload::Workload;
use crate::schedule::Rhythm;

/// A request that begins so much after it was due is late.
pub const LATE: Duration = Duration::from_millis(1);
/// An open loop with a larger share of late requests has not held its schedule.
pub const LATE_SHARE: f64 = 0.001;
/// How long a request may take by default.
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
    pub destinations: Arc<[Destination]>,
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
    /// Length of the intervals of [`LoadOutcome::intervals`](super::LoadOutcome::intervals).
    pub interval: Duration,
    /// Requests of each thread to keep one by one, in [`LoadOutcome::trace`](super::LoadOutcome::trace); memory for them is set aside.
    pub trace: usize,
    /// Look for events without pause instead of sleeping until there is one: a thread's wake-up from idle, microseconds
    /// even on a quiet machine, is then in no figure; but it needs a core to itself.
    pub busy_poll: bool,
}

impl Load {
    /// A closed loop of one flow on one thread for ten seconds, against one target after another.
    pub fn new(workload: Workload, destinations: impl Into<Arc<[Destination]>>) -> Load {
        let destinations = destinations.into();
        let picks = (0..u32::try_from(destinations.len()).unwrap_or(u32::MAX)).collect();
        Load {
            workload,
            destinations,
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
        let length = self.request_bytes.unwrap_or(self.workload.default_request_bytes());
        length.clamp(frame::SHORTEST_REQUEST, frame::LONGEST)
    }

    /// Length of a response of `tcp_*` in bytes.
    pub fn response_bytes(&self) -> u32 {
        self.response_bytes.unwrap_or(64).clamp(frame::SHORTEST_RESPONSE, frame::LONGEST)
    }

    /// Flows of one thread.
    pub(super) fn flows_of(&self, thread: u32) -> usize {
        let (flows, threads) = (self.flows.get(), self.threads.get() as usize);
        let one_more = usize::from((thread as usize) < flows % threads);
        (flows / threads + one_more).max(1)
    }

    pub(super) fn check(&self) -> Result<(), LoadError> {
        let destinations = self.destinations.len();
        if self.picks.is_empty() || destinations == 0 {
            return Err(LoadError::Nothing);
        }
        match self.picks.iter().find(|&&pick| pick as usize >= destinations) {
            Some(&pick) => Err(LoadError::Pick { pick, destinations }),
            None => Ok(()),
        }
    }
}
