//! What of a metric is better, and which metrics decide a comparison.

use crate::names::{is_control, metric, workload};
use crate::record::Unit;

/// What of a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Less of it: times, memory, losses.
    Lower,
    /// More of it: rates.
    Higher,
    /// Exact and equal to the model that is under test: rules, chains, bytes sent. A release may trade rules for sets, so
    /// neither is better, but that it changed is worth knowing.
    Structure,
    /// Conditions of the measurement, such as how many requests were due.
    Neither,
}

/// What of `metric` is better.
pub(crate) fn of(metric: &str, unit: Unit) -> Direction {
    match (metric, unit) {
        (metric::THROUGHPUT, _) | (_, Unit::PerSecond) => Direction::Higher,
        (
            metric::RULES
            | metric::CHAINS
            | metric::ELEMENTS
            | metric::VIRTUAL_SERVERS
            | metric::REAL_SERVERS
            | metric::BOUND_ADDRESSES
            | metric::BYTES,
            _,
        ) => Direction::Structure,
        (
            metric::LOST_REQUESTS
            | metric::LATE_REQUESTS
            | metric::LOST_PACKETS
            | metric::STALE_PACKETS
            | metric::OWN_FAILURES
            | metric::RESET_CONNECTIONS
            | metric::LOCK_TIMEOUTS
            | metric::LOCK_OVERTAKEN
            | metric::CONTEXT_SWITCHES
            | metric::DIRECTOR_PACKETS_IN
            | metric::DIRECTOR_PACKETS_OUT,
            _,
        )
        | (_, Unit::Ns | Unit::Bytes) => Direction::Lower,
        (_, Unit::Count) => Direction::Neither,
    }
}

/// The metrics that decide unless a sweep or a flag names others: times and rates of whole operations.
const DECISIVE: [&str; 17] = [
    metric::LOOKUP_FIRST_PACKET,
    metric::LOOKUP_ESTABLISHED,
    metric::RESPONSE_TIME,
    metric::RESPONSE_DURING,
    metric::SERVICE_TIME,
    metric::TRANSACTIONS_PER_SECOND,
    metric::THROUGHPUT,
    metric::APPLY,
    metric::CONTENDER_OPERATION,
    metric::LOCK_WAIT,
    metric::HOLDER_FULL_SYNC,
    metric::HOLDER_PARTIAL_SYNC,
    metric::BUSY,
    metric::PROGRAMMING_LATENCY,
    metric::BLOCKED_TIME,
    metric::STALE_WINDOW,
    metric::DIRECTOR_CPU,
];

/// Whether a figure decides by default. Each one that does makes all others harder to show, so those are left out that tell
/// nothing of their own: parts of a whole (the phases of a sync, holds of the lock), controls (what `direct` costs is in every
/// mode), the rate of a closed loop of one (`tcp_crr`), which is the inverse of its response time; and `generate`, our
/// planner's time.
pub(super) fn is_decisive(workload: &str, metric: &str, mode: &str) -> bool {
    let inverse = workload == workload::TCP_CRR && metric == metric::TRANSACTIONS_PER_SECOND;
    DECISIVE.contains(&metric) && !inverse && !is_control(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_is_less_unless_it_is_a_rate() {
        assert_eq!(of(metric::APPLY, Unit::Ns), Direction::Lower);
        assert_eq!(of("unknown_time", Unit::Ns), Direction::Lower);
        assert_eq!(of(metric::TRANSACTIONS_PER_SECOND, Unit::PerSecond), Direction::Higher);
        // Bytes per second are in a column of bytes.
        assert_eq!(of(metric::THROUGHPUT, Unit::Bytes), Direction::Higher);
        assert_eq!(of(metric::KERNEL_MEMORY, Unit::Bytes), Direction::Lower);
        assert_eq!(of(metric::BYTES, Unit::Bytes), Direction::Structure);
        assert_eq!(of(metric::LOST_REQUESTS, Unit::Count), Direction::Lower);
        assert_eq!(of(metric::REQUESTS, Unit::Count), Direction::Neither);
        assert_eq!(of("unknown_count", Unit::Count), Direction::Neither);
    }

    #[test]
    fn what_is_told_already_does_not_decide() {
        let lookup = |mode| is_decisive(workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET, mode);
        assert!(lookup("ipvs") && lookup("ipvs-dr") && lookup("replay") && !lookup("direct"));
        let rate = |name| is_decisive(name, metric::TRANSACTIONS_PER_SECOND, "ipvs");
        assert!(rate("load_http") && !rate(workload::TCP_CRR));
        assert!(!is_decisive(workload::FULL_SYNC_COLD, metric::APPLY_RESTORE, "ipvs"));
        assert!(!is_decisive(workload::FULL_SYNC_COLD, metric::GENERATE, "ipvs"));
    }
}
