//! Section `[churn]` of a sweep.

use serde::Deserialize;
use services::bounded::{default_limit, distinct, seconds, within};

use super::scenario::Scenario;

/// Which sequences of changes are played.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// What happens.
    #[serde(deserialize_with = "distinct")]
    pub scenarios: Vec<Scenario>,
    /// Pods of the Deployment, or on the node that is lost. 2 to 10,000.
    #[serde(deserialize_with = "within::<_, 2, 10_000>")]
    pub pods: u32,
    /// As in [`lookup::Section::blocks`](crate::lookup::Section::blocks); each plays another draw of the moments.
    #[serde(deserialize_with = "within::<_, 1, 1000>")]
    pub blocks: u32,
    /// As `limit_seconds` of the whole sweep, for all syncs of a scenario together.
    #[serde(default = "default_limit", deserialize_with = "seconds")]
    pub limit_seconds: f64,
}

impl Section {
    /// Seconds that a scenario should take, if a partial sync takes so many: a sync a second or so, while it lasts.
    pub fn expected_seconds(&self, scenario: Scenario, partial: f64) -> f64 {
        let syncs = match scenario {
            Scenario::RollingUpdate => 20.0,
            Scenario::NodeLoss => 16.0,
            Scenario::ScaleUp => 4.0 + f64::from(self.pods) / 20.0,
            Scenario::Idle => 10.0,
        };
        let seconds = syncs * partial;
        if seconds > self.limit_seconds { 0.1 } else { 0.5 + seconds }
    }
}
