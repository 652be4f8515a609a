//! What is asked of a load; where it goes is another matter.

use std::net::IpAddr;
use std::num::NonZeroUsize;

use services::service::Protocol;
use workloads::load::{Choice, Destination, Load, LoadError, Pace, Workload};

/// Flows that may be busy at once in an open loop, unless a number is given.
pub const OPEN_FLOWS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// Indices drawn for a choice; after that they come again.
const PICKS: usize = 1 << 16;

/// What is asked of a load; where it goes is another matter.
#[derive(Debug, Clone)]
pub struct LoadSpec {
    /// All but where it goes, and its flows.
    pub template: Load,
    /// Which Service each flow goes to.
    pub choice: Choice,
    /// Flows of all threads; `None`: one for each thread in a closed loop, [`OPEN_FLOWS`] in an open one.
    pub flows: Option<NonZeroUsize>,
    /// Decides which Services are chosen.
    pub seed: u64,
    /// Instead of a choice: indices of targets.
    pub picks: Option<Vec<u32>>,
}

impl LoadSpec {
    /// A closed loop of one flow over all Services for ten seconds.
    pub fn new(workload: Workload) -> LoadSpec {
        Self::of(Load::new(workload, []))
    }

    /// A load over all Services.
    pub const fn of(template: Load) -> LoadSpec {
        LoadSpec { template, choice: Choice::Uniform, flows: None, seed: 1, picks: None }
    }

    /// Flows of all threads.
    pub fn flows(&self) -> NonZeroUsize {
        let threads = NonZeroUsize::try_from(self.template.threads).unwrap_or(NonZeroUsize::MIN);
        self.flows.unwrap_or(match self.template.pace {
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
        Ok(Load {
            destinations: targets.into(),
            picks: picks.into(),
            sources: sources.into(),
            flows: self.flows(),
            ..self.template.clone()
        })
    }

    /// The transport protocol of the Services that it needs.
    pub fn protocol(&self) -> Protocol {
        if self.template.workload.is_udp() { Protocol::Udp } else { Protocol::Tcp }
    }
}
