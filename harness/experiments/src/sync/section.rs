//! Section `[sync]` of a sweep.

use serde::Deserialize;
use services::addresses::MAX_SERVICES;
use services::bounded::{any_services, distinct, seconds, within};

/// Which syncs are measured.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// What changes.
    #[serde(deserialize_with = "distinct")]
    pub operations: Vec<Operation>,
    /// At most so many blocks. 1 to 1,000.
    #[serde(deserialize_with = "within::<_, 1, 1000>")]
    pub blocks: u32,
    /// What comes after the first visits of the first block runs only as far as it fits into this many seconds, all counted.
    #[serde(deserialize_with = "seconds")]
    pub budget_seconds: f64,
    /// Scales with more Services than this are left out. Replayed rulesets and clusters are as large as they are.
    #[serde(default = "any_services", deserialize_with = "within::<_, 1, MAX_SERVICES>")]
    pub most_services: u32,
}

/// What changes in a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Empty kernel -> everything.
    Cold,
    /// A kube-proxy starts anew over what another has left: everything -> the same.
    Restart,
    /// The full sync that comes with time, without any change.
    Resync,
    /// One Service more.
    AddService,
    /// One Service less.
    RemoveService,
    /// One endpoint of one Service is another.
    ReplaceEndpoint,
    /// Nothing.
    Noop,
    /// One rule or element, by the tool's own command.
    Append,
}

impl Operation {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Operation::Cold => "cold sync",
            Operation::Restart => "kube-proxy restarted",
            Operation::Resync => "periodic full sync",
            Operation::AddService => "one Service added",
            Operation::RemoveService => "one Service removed",
            Operation::ReplaceEndpoint => "one endpoint replaced",
            Operation::Noop => "nothing changed",
            Operation::Append => "one rule appended",
        }
    }
}

/// Seconds that the first visit of a scale should take, if a partial and a full sync take so many; what is over the limit is
/// skipped. Later visits run within a budget.
pub fn expected_seconds(partial: f64, full: f64, limit: f64) -> f64 {
    let capped = |seconds: f64| if seconds > limit { 0.0 } else { seconds };
    0.3 + capped(full) + 4.0 * capped(partial).max(0.08)
}
