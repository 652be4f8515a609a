//! From the requests of a load and the moments of syncs to the impact of the syncs on the load. Pure.

use std::net::SocketAddr;

use workloads::load::{Fate, Traced};
use workloads::recorder::Times;

/// Requests that are due so long after a sync has begun are counted as during it, even if it was shorter: with fewer there
/// would be no percentile.
const SHORTEST_NS: u64 = 100_000_000;
/// How many parts a timeline has at most.
const BINS: u64 = 150;
/// The shortest part, nanoseconds.
const SHORTEST_BIN_NS: u64 = 10_000_000;

/// One sync. Nanoseconds since the load began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When kube-proxy began to plan it.
    pub decided_ns: u64,
    /// When the kernel had it.
    pub applied_ns: u64,
    /// Bytes given to programs.
    pub bytes: u64,
    /// Endpoints of the changing Service that came.
    pub added: Vec<SocketAddr>,
    /// Those that went.
    pub removed: Vec<SocketAddr>,
}

/// Impact of syncs on a load.
#[derive(Debug, Default)]
pub struct Impact {
    /// Response times of requests that were due before the first sync.
    pub before: Times,
    /// Of those that were due during a sync, or within 100 ms after its beginning.
    pub during: Times,
    /// Requests due during syncs.
    pub due_during: u64,
    /// Requests without a response, of those due before the first sync.
    pub lost_before: u64,
    /// Of those due during syncs or later.
    pub lost: u64,
    /// Of those: connections that were reset.
    pub reset: u64,
    /// `lost` over the rate: how long the load was as good as stopped, nanoseconds.
    pub blocked_ns: u64,
    /// For each endpoint that went: from when the kernel had that until the last new flow to it began; 0 if there was none
    /// after it.
    pub stale_ns: Vec<u64>,
    /// For each endpoint that came: from the decision until the first request began that reached it. Requests choose among
    /// all endpoints, so that it is at most some E / rate too long.
    pub programming_ns: Vec<u64>,
    /// Over time.
    pub bins: Vec<Bin>,
}

/// Part of a timeline: the requests that were due in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// From the start of the load, nanoseconds.
    pub from_ns: u64,
    /// How long.
    pub length_ns: u64,
    /// Requests that were due.
    pub due: u64,
    /// Those without a response.
    pub lost: u64,
    /// Response times of the others, and of those that timed out, nanoseconds; absent: there were none.
    pub p50_ns: Option<u64>,
    /// See `p50_ns`.
    pub p99_ns: Option<u64>,
    /// See `p50_ns`.
    pub max_ns: Option<u64>,
}

/// Reads a trace. `endpoints` are those of the Service that changes, which is target 0, in the order of their indices.
pub fn impact_of(trace: &[Traced], steps: &[Step], per_second: u64, endpoints: &[SocketAddr]) -> Impact {
    let mut impact = Impact { bins: bins(trace), ..Impact::default() };
    let first = steps.iter().map(|step| step.decided_ns).min().unwrap_or(u64::MAX);
    for one in trace {
        let is_timed = !matches!(one.fate, Fate::Refused | Fate::Reset);
        let is_during = steps.iter().any(|step| {
            let until = step.applied_ns.max(step.decided_ns.saturating_add(SHORTEST_NS));
            (step.decided_ns..=until).contains(&one.intended_ns)
        });
        let lost = u64::from(one.fate.is_lost());
        if one.intended_ns < first {
            impact.lost_before += lost;
            // One that was still under way when it began is not undisturbed.
            if is_timed && one.ended_ns < first {
                impact.before.record(one.response_ns());
            }
        } else {
            impact.lost += lost;
            impact.reset += u64::from(one.fate == Fate::Reset);
        }
        if is_during {
            impact.due_during += 1;
            if is_timed {
                impact.during.record(one.response_ns());
            }
        }
    }
    impact.blocked_ns = (u128::from(impact.lost) * 1_000_000_000 / u128::from(per_second.max(1))) as u64;
    for step in steps {
        let of = |address: &SocketAddr| endpoints.binary_search(address).ok().map(|index| index as u32);
        for gone in step.removed.iter().filter_map(of) {
            let last = reached(trace, gone).map(|one| one.started_ns).max().unwrap_or(0);
            impact.stale_ns.push(last.saturating_sub(step.applied_ns));
        }
        for new in step.added.iter().filter_map(of) {
            let first = reached(trace, new).map(|one| one.started_ns).min();
            impact.programming_ns.extend(first.map(|first| first.saturating_sub(step.decided_ns)));
        }
    }
    impact
}

/// New flows to the changing Service that an endpoint has answered.
fn reached(trace: &[Traced], endpoint: u32) -> impl Iterator<Item = &Traced> {
    trace
        .iter()
        .filter(move |one| one.destination == 0 && one.is_new && one.fate == Fate::Answered(Some(endpoint)))
}

fn bins(trace: &[Traced]) -> Vec<Bin> {
    let Some(end) = trace.iter().map(|one| one.intended_ns).max() else { return Vec::new() };
    let length_ns = round_up((end / BINS + 1).max(SHORTEST_BIN_NS));
    let count = (end / length_ns + 1) as usize;
    let mut bins: Vec<Bin> = (0..count as u64)
        .map(|index| Bin { from_ns: index * length_ns, length_ns, ..Bin::default() })
        .collect();
    let mut times: Vec<Vec<u64>> = vec![Vec::new(); count];
    for one in trace {
        let index = (one.intended_ns / length_ns) as usize;
        bins[index].due += 1;
        bins[index].lost += u64::from(one.fate.is_lost());
        if !matches!(one.fate, Fate::Refused | Fate::Reset) {
            times[index].push(one.response_ns());
        }
    }
    for (bin, mut times) in bins.iter_mut().zip(times) {
        times.sort_unstable();
        let rank = |quantile: f64| {
            let rank = (quantile * times.len() as f64).ceil().max(1.0) as usize;
            times.get(rank - 1).copied()
        };
        (bin.p50_ns, bin.p99_ns, bin.max_ns) = (rank(0.5), rank(0.99), times.last().copied());
    }
    bins
}

/// To one significant digit: 10, 20, 50 ms, ...
fn round_up(nanoseconds: u64) -> u64 {
    let decade = 10_u64.pow(nanoseconds.max(1).ilog10());
    [1, 2, 5, 10]
        .map(|step| step * decade)
        .into_iter()
        .find(|&step| step >= nanoseconds)
        .unwrap_or(nanoseconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    /// A request of 1 ms, due every millisecond.
    fn request(due_ms: u64, fate: Fate) -> Traced {
        let due = due_ms * MS;
        Traced { intended_ns: due, started_ns: due, ended_ns: due + MS, destination: 0, is_new: true, fate }
    }

    fn step(decided_ms: u64, applied_ms: u64) -> Step {
        Step {
            decided_ns: decided_ms * MS,
            applied_ns: applied_ms * MS,
            bytes: 1,
            added: vec![at(2)],
            removed: vec![at(1)],
        }
    }

    #[test]
    fn what_was_lost_late_and_stale_is_found() {
        // Endpoint 0 goes and 1 comes with a sync from 1,000 to 1,300 ms; 0 is reached for 20 ms longer. Ten requests are
        // lost, one was before.
        let trace: Vec<Traced> = (0..2_000)
            .map(|due| {
                let endpoint = u32::from(due > 1_320);
                let mut one = request(due, Fate::Answered(Some(endpoint)));
                match due {
                    500 => one.fate = Fate::Refused,
                    1_100..1_105 => one.fate = Fate::Reset,
                    1_105..1_110 => (one.fate, one.ended_ns) = (Fate::TimedOut, one.intended_ns + 4_000 * MS),
                    1_110..1_290 => one.ended_ns = 1_300 * MS,
                    _ => {}
                }
                one
            })
            .collect();
        let impact = impact_of(&trace, &[step(1_000, 1_300)], 1_000, &[at(1), at(2)]);
        assert_eq!((impact.lost_before, impact.lost, impact.reset), (1, 10, 5));
        assert_eq!(impact.blocked_ns, 10 * MS);
        assert_eq!(impact.due_during, 301);
        // 499 that were refused or under way are not among them.
        assert_eq!(impact.before.count(), 1_000 - 2);
        assert_eq!(impact.during.count(), 301 - 5);
        assert!(impact.during.histogram().max() >= 3_990 * MS);
        assert_eq!(impact.stale_ns, [20 * MS]);
        assert_eq!(impact.programming_ns, [321 * MS]);
        assert_eq!(impact.bins.iter().map(|bin| bin.lost).sum::<u64>(), 11);
    }

    #[test]
    fn a_short_sync_still_has_requests() {
        let trace: Vec<Traced> = (0..2_000).map(|due| request(due, Fate::Answered(None))).collect();
        let impact = impact_of(&trace, &[step(1_000, 1_001)], 1_000, &[at(1), at(2)]);
        assert_eq!(impact.due_during, 101);
        assert_eq!((impact.stale_ns, impact.programming_ns), (vec![0], vec![]));
    }

    proptest! {
        #[test]
        fn every_request_is_in_one_part(dues in proptest::collection::vec(0_u64..100_000, 0..300)) {
            let trace: Vec<Traced> = dues.iter().map(|&due| request(due, Fate::Answered(None))).collect();
            let impact = impact_of(&trace, &[step(10, 20)], 1_000, &[]);
            prop_assert_eq!(impact.bins.iter().map(|bin| bin.due).sum::<u64>(), dues.len() as u64);
            prop_assert!(impact.bins.len() <= BINS as usize + 1);
            let lengths = impact.bins.windows(2).all(|two| two[0].from_ns + two[0].length_ns == two[1].from_ns);
            prop_assert!(lengths);
        }
    }
}
