//! What kube-proxy does while a load runs, and how that is measured.

use std::num::NonZeroU64;
use std::time::Duration;

use results::names::workload;
use serde::{Deserialize, Serialize};
use workloads::load::Workload;

/// What kube-proxy does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleChange {
    /// The full sync that comes with time.
    FullSync,
    /// One endpoint of one Service is another.
    PartialSync,
    /// One endpoint after another of one Service is replaced, as in a rolling update.
    EndpointChurn,
    /// Services come and go.
    ServiceChurn,
    /// A kube-proxy starts anew over what another has left.
    Restart,
}

impl RuleChange {
    /// The name of a load meanwhile, as rows have it.
    pub fn workload(self, load: Workload) -> String {
        format!("{}{}.{load}", workload::DISRUPTION, self.name().replace('-', "_"))
    }

    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::FullSync, Self::PartialSync, Self::EndpointChurn, Self::ServiceChurn, Self::Restart];

    /// As in sweeps.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FullSync => "full-sync",
            Self::PartialSync => "partial-sync",
            Self::EndpointChurn => "endpoint-churn",
            Self::ServiceChurn => "service-churn",
            Self::Restart => "restart",
        }
    }

    /// How many syncs it has if a churn has `changes`.
    pub(super) const fn syncs(self, changes: u32) -> u32 {
        match self {
            Self::EndpointChurn => changes,
            // Each that comes goes again, so that the lab ends as it began.
            Self::ServiceChurn => changes.next_multiple_of(2),
            Self::FullSync | Self::PartialSync | Self::Restart => 1,
        }
    }
}

/// How it is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// The load.
    pub workload: Workload,
    /// Requests per second.
    pub per_second: NonZeroU64,
    /// Load before the first sync, and after the last.
    pub margin: Duration,
    /// Changes of a churn.
    pub changes: u32,
    /// A sync may take so long; `None`: as long as it takes.
    pub limit: Option<Duration>,
    /// Decides which Services the load goes to.
    pub seed: u64,
}
