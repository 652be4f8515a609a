//! Sections about traffic: `[load]` and `[disruption]`.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use workloads::load::Workload;

use crate::cells::Offered;
use crate::disruption::{Config, Happening};
use services::addresses::MAX_SERVICES;
use services::bounded::{any_services, counts, default_limit, distinct, seconds, within, yes};

/// Loads through the labs of lookups, to Services chosen uniformly.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadCells {
    /// What requests are.
    #[serde(deserialize_with = "distinct")]
    pub workloads: Vec<Workload>,
    /// Open loop, at each of these: requests per second. 1 to 10,000,000; absent: none.
    #[serde(default, deserialize_with = "rates")]
    pub rates: Vec<u32>,
    /// Whether there is a closed loop, too, at saturation.
    #[serde(default = "yes")]
    pub saturation: bool,
    /// Flows of the closed loop. 1 to 100,000.
    #[serde(default = "default_flows", deserialize_with = "within::<_, 1, 100_000>")]
    pub flows: u32,
    /// How long each is.
    #[serde(deserialize_with = "seconds")]
    pub seconds: f64,
    /// As in [`super::Lookup::blocks`].
    #[serde(deserialize_with = "within::<_, 1, 1000>")]
    pub blocks: u32,
}

impl LoadCells {
    /// What each workload is offered: rates, and as much as it takes.
    pub fn offered(&self) -> impl Iterator<Item = Offered> + '_ {
        let rates = self.rates.iter().map(|&rate| Offered::PerSecond(rate));
        rates.chain(self.saturation.then_some(Offered::Saturation))
    }
}

/// What loads feel while rules change.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisruptionCells {
    /// What requests are.
    #[serde(deserialize_with = "distinct")]
    pub workloads: Vec<Workload>,
    /// What happens meanwhile.
    #[serde(deserialize_with = "distinct")]
    pub events: Vec<Happening>,
    /// Requests per second. 10 to 1,000,000.
    #[serde(deserialize_with = "within::<_, 10, 1_000_000>")]
    pub rate: u32,
    /// Load before the first change and after the last.
    #[serde(deserialize_with = "seconds")]
    pub margin_seconds: f64,
    /// Changes of a churn, each in a sync of its own. 1 to 1,000.
    #[serde(default = "default_changes", deserialize_with = "within::<_, 1, 1000>")]
    pub changes: u32,
    /// As in [`super::Lookup::blocks`].
    #[serde(deserialize_with = "within::<_, 1, 1000>")]
    pub blocks: u32,
    /// As [`super::Sweep::limit_seconds`], for each sync.
    #[serde(default = "default_limit", deserialize_with = "seconds")]
    pub limit_seconds: f64,
    /// Scales with more Services than this are left out.
    #[serde(default = "any_services", deserialize_with = "within::<_, 1, MAX_SERVICES>")]
    pub most_services: u32,
}

impl DisruptionCells {
    /// How one cell is measured; `limited`: syncs are ended at the limit.
    pub fn config(&self, workload: Workload, limited: bool, seed: u64) -> Config {
        Config {
            workload,
            per_second: NonZeroU64::new(self.rate.into()).unwrap_or(NonZeroU64::MIN),
            margin: Duration::from_secs_f64(self.margin_seconds),
            changes: self.changes,
            limit: limited.then(|| Duration::from_secs_f64(self.limit_seconds)),
            seed,
        }
    }
}

fn rates<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u32>, D::Error> {
    counts(input, 10_000_000)
}

const fn default_flows() -> u32 {
    32
}

const fn default_changes() -> u32 {
    5
}
