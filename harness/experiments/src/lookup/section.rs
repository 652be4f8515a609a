//! Section `[lookup]` of a sweep.

use serde::Deserialize;
use services::bounded::{distinct, within};
use services::service_set::Position;

/// What the packet probe measures.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Each block visits every cell, those of A/A pairs twice, in an order of its own. 1 to 1,000.
    #[serde(deserialize_with = "within::<_, 1, 1000>")]
    pub blocks: u32,
    /// Where in the list of Services.
    #[serde(deserialize_with = "distinct")]
    pub positions: Vec<Position>,
    /// First packets per visit, and as many packets of known flows. 10 to 1,000,000.
    #[serde(deserialize_with = "within::<_, 10, 1_000_000>")]
    pub probes: u32,
}

impl Section {
    /// Seconds that one visit should take.
    pub fn expected_seconds(&self) -> f64 {
        0.02 + f64::from(self.probes) * 15e-6
    }
}
