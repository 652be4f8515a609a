//! Kinds of time that are predicted from smaller scales.

use dataplane::Mode;
use experiments::churn::scenario::Scenario;
use experiments::disruption::RuleChange;

/// Kinds of time that are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum TimeKind {
    /// A cold full sync.
    Cold(Mode),
    /// Any small sync: they list the same and differ little in what they write.
    Small(Mode),
    /// A full sync over what is installed.
    Restart(Mode),
    /// One rule or element.
    Append(Mode),
    SyncCell(Mode),
    /// A partial and a full sync against so many contenders.
    LockRound(Mode, u32),
    /// All syncs of a scenario together.
    Churn(Mode, Scenario),
    /// The longest sync beside a load.
    Disruption(Mode, RuleChange),
}
