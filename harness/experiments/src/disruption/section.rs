//! Section `[disruption]` of a sweep.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::Deserialize;
use services::addresses::MAX_SERVICES;
use services::bounded::{any_services, default_limit, distinct, seconds, within};
use workloads::load::Workload;

use super::change::{Config, RuleChange};

/// What loads feel while rules change.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// What requests are.
    #[serde(deserialize_with = "distinct")]
    pub workloads: Vec<Workload>,
    /// What happens meanwhile.
    #[serde(deserialize_with = "distinct")]
    pub events: Vec<RuleChange>,
    /// Requests per second. 10 to 1,000,000.
    #[serde(deserialize_with = "within::<_, 10, 1_000_000>")]
    pub rate: u32,
    /// Load before the first change and after the last.
    #[serde(deserialize_with = "seconds")]
    pub margin_seconds: f64,
    /// Changes of a churn, each in a sync of its own. 1 to 1,000.
    #[serde(default = "default_changes", deserialize_with = "within::<_, 1, 1000>")]
    pub changes: u32,
    /// As in [`lookup::Section::blocks`](crate::lookup::Section::blocks).
    #[serde(deserialize_with = "within::<_, 1, 1000>")]
    pub blocks: u32,
    /// As `limit_seconds` of the whole sweep, for each sync.
    #[serde(default = "default_limit", deserialize_with = "seconds")]
    pub limit_seconds: f64,
    /// Scales with more Services than this are left out.
    #[serde(default = "any_services", deserialize_with = "within::<_, 1, MAX_SERVICES>")]
    pub most_services: u32,
}

impl Section {
    /// Seconds that one cell should take, if a partial and a full sync take so many.
    pub fn expected_seconds(&self, change: RuleChange, partial: f64, full: f64) -> f64 {
        let each = match change {
            RuleChange::FullSync | RuleChange::Restart => full,
            RuleChange::PartialSync => partial,
            RuleChange::EndpointChurn | RuleChange::ServiceChurn => f64::from(self.changes) * (partial + 0.2),
        };
        if each > self.limit_seconds { 0.1 } else { 0.5 + 2.0 * self.margin_seconds + each }
    }

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

const fn default_changes() -> u32 {
    5
}
