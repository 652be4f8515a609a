//! Section `[lock]` of a sweep.

use serde::Deserialize;
use services::addresses::MAX_SERVICES;
use services::bounded::{any_services, contender_counts, default_limit, seconds, some_seconds, within};

/// Contention for the xtables lock.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Numbers of contenders. Each 1 to 64.
    #[serde(deserialize_with = "contender_counts")]
    pub contenders: Vec<u32>,
    /// How long a cell lasts at least; it always has one partial and one full sync.
    #[serde(deserialize_with = "seconds")]
    pub seconds: f64,
    /// As `limit_seconds` of the whole sweep, for a partial and a full sync against contenders: where they are predicted to take longer
    /// together, they are not waited for, and only contenders are measured.
    #[serde(default = "default_limit", deserialize_with = "seconds")]
    pub limit_seconds: f64,
    /// How long contenders are measured against a sync that is not waited for: one predicted to take longer than
    /// `limit_seconds`, or one that may never end, as there is no lock and it starts over when contenders have changed the
    /// ruleset. It is then ended, if contenders have done [`LEAST_OPERATIONS`], or else at `limit_seconds`. At most
    /// `limit_seconds`; absent: see [`Section::patience`].
    ///
    /// [`LEAST_OPERATIONS`]: super::patience::LEAST_OPERATIONS
    #[serde(default, deserialize_with = "some_seconds")]
    pub patience_seconds: Option<f64>,
    /// Scales with more Services than this are left out. Replayed rulesets and clusters are as large as they are.
    #[serde(default = "any_services", deserialize_with = "within::<_, 1, MAX_SERVICES>")]
    pub most_services: u32,
}

impl Section {
    /// Seconds that one cell should take, if a partial and a full sync together take `alone`; `takes_lock`: with the lock,
    /// each of a sync's programs queues behind those of all contenders.
    pub fn expected_seconds(&self, alone: f64, takes_lock: bool) -> f64 {
        let round = if takes_lock { alone * 8.0 } else { alone * 3.0 };
        let waited = if round > self.limit_seconds { self.patience() } else { round };
        waited.max(self.seconds) + 0.5
    }

    /// `patience_seconds`; a tenth of the limit if it is not given, but no less than the `seconds` of a cell.
    pub fn patience(&self) -> f64 {
        self.patience_seconds.unwrap_or((self.limit_seconds / 10.0).max(self.seconds).min(self.limit_seconds))
    }
}
