//! What is asked of a load; where it goes is another matter.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use services::service::Protocol;
use workloads::load::{self, Choice, Destination, Load, LoadError, Pace, Workload};

/// Flows that may be busy at once in an open loop, unless told otherwise.
pub const OPEN_FLOWS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// Indices drawn for a choice; after that they come again.
const PICKS: usize = 1 << 16;

/// What is asked of a load; where it goes is another matter.
#[derive(Debug, Clone)]
pub struct LoadSpec {
    /// What a request is.
    pub workload: Workload,
    /// Which Service each flow goes to.
    pub choice: Choice,
    /// When requests begin.
    pub pace: Pace,
    /// Flows of all threads; `None`: one for each thread in a closed loop, [`OPEN_FLOWS`] in an open one.
    pub flows: Option<NonZeroUsize>,
    /// Threads of the client, and of the server.
    pub threads: NonZeroU32,
    /// See [`Load::requests_per_flow`]; `None`: as the workload has it.
    pub requests_per_flow: Option<NonZeroU32>,
    /// See [`Load::request_bytes`].
    pub request_bytes: Option<u32>,
    /// See [`Load::response_bytes`].
    pub response_bytes: Option<u32>,
    /// See [`Load::duration`].
    pub duration: Duration,
    /// See [`Load::timeout`].
    pub timeout: Duration,
    /// See [`Load::interval`].
    pub interval: Duration,
    /// See [`Load::busy_poll`].
    pub busy_poll: bool,
    /// Decides which Services are chosen.
    pub seed: u64,
    /// Instead of a choice: indices of targets.
    pub picks: Option<Vec<u32>>,
    /// See [`Load::trace`].
    pub trace: usize,
}

impl LoadSpec {
    /// A closed loop of one flow over all Services for ten seconds.
    pub fn new(workload: Workload) -> LoadSpec {
        LoadSpec {
            workload,
            choice: Choice::Uniform,
            pace: Pace::Closed { requests: None },
            flows: None,
            threads: NonZeroU32::MIN,
            requests_per_flow: None,
            request_bytes: None,
            response_bytes: None,
            duration: Duration::from_secs(10),
            timeout: load::TIMEOUT,
            interval: Duration::from_secs(1),
            busy_poll: false,
            seed: 1,
            picks: None,
            trace: 0,
        }
    }

    /// Flows of all threads.
    pub fn flows(&self) -> NonZeroUsize {
        let threads = NonZeroUsize::try_from(self.threads).unwrap_or(NonZeroUsize::MIN);
        self.flows.unwrap_or(match self.pace {
            Pace::Closed { .. } => threads,
            Pace::Open { .. } => OPEN_FLOWS.max(threads),
        })
    }

    /// The load against these targets.
    ///
    /// # Errors
    /// [`LoadError::Nothing`] if there is none.
    pub fn against(&self, targets: Vec<Destination>, sources: Vec<IpAddr>) -> Result<Load, LoadError> {
        let count = NonZeroUsize::new(targets.len()).ok_or(LoadError::Nothing)?;
        let picks = match (&self.picks, self.choice) {
            (Some(picks), _) => picks.clone(),
            (None, Choice::First | Choice::Last) => self.choice.picks(count, 1, self.seed),
            (None, Choice::Uniform | Choice::Zipf { .. }) => self.choice.picks(count, PICKS, self.seed),
        };
        let base = Load::new(self.workload, targets);
        Ok(Load {
            picks: picks.into(),
            sources: sources.into(),
            pace: self.pace,
            flows: self.flows(),
            threads: self.threads,
            requests_per_flow: self.requests_per_flow.or(base.requests_per_flow),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            duration: self.duration,
            timeout: self.timeout,
            interval: self.interval,
            trace: self.trace,
            busy_poll: self.busy_poll,
            ..base
        })
    }

    /// The transport protocol of the Services that it needs.
    pub fn protocol(&self) -> Protocol {
        if self.workload.is_udp() { Protocol::Udp } else { Protocol::Tcp }
    }
}
