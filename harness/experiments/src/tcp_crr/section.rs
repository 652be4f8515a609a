//! Section `[connect]` of a sweep.

use serde::Deserialize;
use services::bounded::{distinct, within};
use services::service_set::Position;

/// What `tcp_crr` measures.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// As in [`lookup::Section::blocks`](crate::lookup::Section::blocks).
    #[serde(deserialize_with = "within::<_, 1, 1000>")]
    pub blocks: u32,
    /// As in [`lookup::Section::positions`](crate::lookup::Section::positions).
    #[serde(deserialize_with = "distinct")]
    pub positions: Vec<Position>,
    /// Transactions per visit. 10 to 1,000,000.
    #[serde(deserialize_with = "within::<_, 10, 1_000_000>")]
    pub transactions: u32,
}

impl Section {
    /// Seconds that one visit should take.
    pub fn expected_seconds(&self) -> f64 {
        0.02 + f64::from(self.transactions) * 150e-6
    }
}
