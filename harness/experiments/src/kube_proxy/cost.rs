//! What a kube-proxy says of itself, and what it and its programs cost, over some time.

use std::collections::BTreeMap;
use std::time::Duration;

use kube_proxy::System;
use kube_proxy::log::SyncEnded;
use kube_proxy::metrics::{Histogram, Snapshot, names};
use kube_proxy::programs::{ProgramRun, Used};
use kube_proxy::usage::Usage;
use nix::time::{ClockId, clock_getres};
use workloads::clock::nanoseconds;

use super::phases::{self, Phases};
use super::program_phase::{ProgramPhase, phase};

/// A look at a kube-proxy that runs.
pub(super) struct Look {
    metrics: Snapshot,
    usage: Usage,
    /// Lines of the log so far.
    pub position: u64,
}

/// What is known from elsewhere of the time between two looks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meanwhile<'a> {
    /// The programs that ran; `None`: the kernel did not tell.
    pub programs: Option<&'a [ProgramRun]>,
    /// The syncs that ended, by the log.
    pub syncs: &'a [SyncEnded],
    /// How long processes waited for the xtables lock.
    pub lock_waits: Option<&'a BTreeMap<u32, Duration>>,
}

/// What happened between two looks. What is not known is absent, not zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Cost {
    /// All syncs, by its own metric.
    pub syncs: Option<Own>,
    /// The longest sync of IPv4, by its log, nanoseconds.
    pub longest_sync: Option<u64>,
    /// Full ones.
    pub full: Option<Own>,
    /// Partial ones.
    pub partial: Option<Own>,
    /// From the annotation of an EndpointSlice to the end of its sync.
    pub network_programming: Option<Own>,
    /// From the last time that a sync of IPv4 was asked for until the end of the one that followed, nanoseconds; absent while
    /// it has not followed.
    pub queued: Option<u64>,
    /// Its search for connections that have become stale, which is a part of a sync.
    pub conntrack: Option<Own>,
    /// Connections that it has deleted; absent where it does not count.
    pub conntrack_deleted: Option<u64>,
    /// What failed, and how often; only what did.
    pub failures: Vec<(&'static str, u64)>,
    /// Goroutines at the end.
    pub goroutines: Option<u64>,
    /// Bytes of heap in use at the end.
    pub heap: Option<u64>,
    /// Processor time of the process itself, nanoseconds.
    pub process_cpu: u64,
    /// Of that in the program and in the kernel, by ticks; known where there were enough of them.
    pub process_split: Option<Split>,
    /// Most memory that it had in use since its start, bytes.
    pub process_peak: u64,
    /// Processor time of its programs, nanoseconds; known where the kernel says when they begin and end.
    pub programs_cpu: Option<u64>,
    /// As `process_split`.
    pub programs_split: Option<Split>,
    /// Most memory of one of them, bytes.
    pub programs_peak: Option<u64>,
    /// How long each program ran, nanoseconds; known where the kernel says so.
    pub programs: Option<Vec<(ProgramPhase, u64)>>,
    /// Phases of syncs; known where its programs are.
    pub phases: Option<Phases>,
}

/// Processor time in a program and in the kernel on its behalf, nanoseconds.
///
/// The sum is exact. How it is split is a sample: the kernel looks once per tick where a processor is
/// (account_process_tick in kernel/sched/cputime.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub user: u64,
    pub system: u64,
}

/// Ticks below which a split says nothing: of 20, the standard error is about 11 of 100.
const LEAST_TICKS: u64 = 20;

impl Split {
    /// `total` in the proportion in which ticks were seen; `None`, if there were too few.
    fn of(total: u64, user_ticks_ns: u64, system_ticks_ns: u64) -> Option<Self> {
        let ticks = u128::from(user_ticks_ns) + u128::from(system_ticks_ns);
        if ticks < u128::from(LEAST_TICKS) * u128::from(tick_ns()?) {
            return None;
        }
        let user = u128::from(total) * u128::from(user_ticks_ns) / ticks;
        let user = u64::try_from(user).ok()?;
        Some(Self { user, system: total - user })
    }
}

/// The kernel's tick: what its coarse clocks move by (KTIME_LOW_RES in include/linux/hrtimer_defs.h). `/proc` counts in
/// longer steps, which lose less than what a sample of so few is uncertain by.
fn tick_ns() -> Option<u64> {
    let tick = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).ok()?;
    u64::try_from(Duration::from(tick).as_nanos()).ok().filter(|tick| *tick > 0)
}

/// What a histogram of kube-proxy's has exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// Observations.
    pub count: u64,
    /// Their mean, nanoseconds.
    pub mean: u64,
    /// No observation was above this, nanoseconds; `None`: above its highest limit.
    pub at_most: Option<u64>,
}

impl Own {
    fn of(histogram: &Histogram) -> Option<Self> {
        let at_most = histogram.quantile(1.0)?.upper;
        let at_most = at_most.is_finite().then_some((at_most * 1e9) as u64);
        Some(Self { count: histogram.count(), mean: (histogram.mean()? * 1e9) as u64, at_most })
    }
}

/// Counters of what failed, in whichever mode, and what they count.
const FAILURES: [(&str, &str); 4] = [
    (names::IPTABLES_FAILURES, "runs of iptables-restore"),
    (names::IPTABLES_PARTIAL_FAILURES, PARTIAL_SYNCS),
    (names::NFTABLES_FAILURES, "syncs of nftables"),
    (names::NFTABLES_CLEANUP_FAILURES, "clean-ups of nftables"),
];

/// A partial sync whose run of iptables-restore fails is counted twice, as the one and as the other (syncProxyRules in
/// pkg/proxy/iptables).
const PARTIAL_SYNCS: &str = "partial syncs of iptables";

impl Cost {
    /// All that failed, each thing once.
    pub(super) fn failures(&self) -> u64 {
        let of = |partial: bool| {
            let own = self.failures.iter().filter(move |(what, _)| (*what == PARTIAL_SYNCS) == partial);
            own.map(|(_, count)| *count).sum::<u64>()
        };
        of(false).max(of(true))
    }
}

impl Look {
    /// Looks, and forgets the programs that have ended so far if `anew`.
    ///
    /// # Errors
    /// If it does not answer, or has ended.
    pub(super) fn at(system: &mut System, anew: bool) -> anyhow::Result<Self> {
        if anew {
            system.programs();
            system.lock_waits(&[]);
        }
        system.check()?;
        let process = system.process()?;
        let position = process.log().position();
        let metrics = process.metrics()?;
        let usage = process.usage().ok_or_else(|| anyhow::anyhow!("kube-proxy has ended"))?;
        Ok(Self { metrics, usage, position })
    }

    /// What has happened since an earlier look; none: since the start of the process.
    pub(super) fn since(&self, before: Option<&Look>, meanwhile: Meanwhile<'_>) -> Cost {
        let Meanwhile { programs, syncs, lock_waits } = meanwhile;
        let own = |name| {
            let histogram = match before {
                Some(before) => self.metrics.since(&before.metrics).histogram(name, &[]),
                None => self.metrics.histogram(name, &[]),
            };
            Own::of(&histogram?)
        };
        let counter = |name| match before {
            Some(before) => self.metrics.since(&before.metrics).counter(name, &[]),
            None => self.metrics.value(name, &[]),
        };
        let gauge = |name| self.metrics.value(name, &[]).map(|value| value as u64);
        let usage = before.map_or(self.usage, |before| self.usage.since(&before.usage));
        let used = |runs: &[ProgramRun]| runs.iter().filter_map(|run| run.used).collect::<Vec<_>>();
        let used = programs.map(used);
        let ran = |runs: &[ProgramRun]| {
            let each = runs.iter().filter_map(|run| Some((phase(run), nanoseconds(run.duration()?))));
            each.collect()
        };
        Cost {
            syncs: own(names::SYNC_DURATION),
            longest_sync: syncs.iter().filter(|sync| !sync.ipv6).map(|sync| nanoseconds(sync.took)).max(),
            full: own(names::FULL_SYNC_DURATION),
            partial: own(names::PARTIAL_SYNC_DURATION),
            network_programming: own(names::NETWORK_PROGRAMMING),
            queued: self.queued(),
            conntrack: own(names::CONNTRACK_DURATION),
            conntrack_deleted: counter(names::CONNTRACK_DELETED).map(|deleted| deleted as u64),
            failures: FAILURES
                .iter()
                .filter_map(|&(name, what)| Some((what, counter(name)? as u64)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            goroutines: gauge(names::GOROUTINES),
            heap: gauge(names::HEAP_IN_USE),
            process_cpu: usage.cpu_ns,
            process_split: Split::of(usage.cpu_ns, usage.user_ns, usage.system_ns),
            process_peak: usage.peak_rss,
            programs_cpu: used.as_ref().map(|used| used.iter().map(|used| used.cpu_ns).sum()),
            programs_split: used.as_ref().and_then(|used| {
                let sum = |of: fn(&Used) -> u64| -> u64 { used.iter().map(of).sum() };
                Split::of(sum(|used| used.cpu_ns), sum(|used| used.user_ns), sum(|used| used.system_ns))
            }),
            programs_peak: used.and_then(|used| used.iter().map(|used| used.peak_rss).max()),
            programs: programs.map(ran),
            phases: programs.map(|programs| phases::of(syncs, programs, lock_waits)),
        }
    }

    fn queued(&self) -> Option<u64> {
        let of_ipv4 = |name| {
            let families = self.metrics.label_values(name, "ip_family");
            let labels: &[_] = if families.is_empty() { &[] } else { &[("ip_family", "IPv4")] };
            self.metrics.latest(name, labels)
        };
        let seconds = of_ipv4(names::LAST_SYNC)? - of_ipv4(names::LAST_QUEUED)?;
        (seconds >= 0.0).then_some((seconds * 1e9) as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_sum_is_split_as_ticks_are_if_there_are_enough() {
        let tick = tick_ns().unwrap();
        assert_eq!(Split::of(1_000, 15 * tick, 5 * tick), Some(Split { user: 750, system: 250 }));
        assert_eq!(Split::of(1_000, 14 * tick, 5 * tick), None);
        assert_eq!(Split::of(u64::MAX, u64::MAX, 0), Some(Split { user: u64::MAX, system: 0 }));
    }

    #[test]
    fn what_was_observed_between_two_looks_is_counted() {
        let snapshot = |count: u32, sum: f64| {
            let name = names::SYNC_DURATION;
            let text = format!(
                "# TYPE {name} histogram\n{name}_bucket{{le=\"0.1\"}} {count}\n{name}_bucket{{le=\"+Inf\"}} {count}\n\
                 {name}_sum {sum}\n{name}_count {count}\n"
            );
            let metrics = Snapshot::parse(&text, Instant::now()).unwrap();
            let usage = Usage { cpu_ns: u64::from(count) * 10, peak_rss: 7, ..Usage::default() };
            Look { metrics, usage, position: 0 }
        };
        let (before, after) = (snapshot(2, 0.125), snapshot(4, 0.25));
        let cost = after.since(Some(&before), Meanwhile::default());
        let own = Own { count: 2, mean: 62_500_000, at_most: Some(100_000_000) };
        assert_eq!((cost.syncs, cost.full, cost.process_cpu), (Some(own), None, 20));
        assert_eq!((cost.programs_cpu, cost.goroutines, cost.phases), (None, None, None));
        assert_eq!((cost.queued, cost.conntrack_deleted, cost.failures), (None, None, Vec::new()));
        let all = Meanwhile { programs: Some(&[]), ..Meanwhile::default() };
        assert_eq!(after.since(None, all).syncs.unwrap().count, 4);
    }

    #[test]
    fn what_was_asked_for_and_what_failed_is_told_by_family_and_kind() {
        let (queued, synced) = (names::LAST_QUEUED, names::LAST_SYNC);
        let failed = names::NFTABLES_FAILURES;
        let text = format!(
            "# TYPE {queued} gauge\n{queued}{{ip_family=\"IPv4\"}} 1.7e9\n{queued}{{ip_family=\"IPv6\"}} 1.9e9\n\
             # TYPE {synced} gauge\n{synced}{{ip_family=\"IPv4\"}} 1700000000.25\n{synced}{{ip_family=\"IPv6\"}} 1.8e9\n\
             # TYPE {failed} counter\n{failed}{{ip_family=\"IPv4\"}} 2\n"
        );
        let look = |text: &str| Look {
            metrics: Snapshot::parse(text, Instant::now()).unwrap(),
            usage: Usage::default(),
            position: 0,
        };
        let cost = look(&text).since(None, Meanwhile::default());
        assert_eq!((cost.queued, cost.failures), (Some(250_000_000), vec![("syncs of nftables", 2)]));
        // What was asked for after the last sync has not been done.
        let waiting = look(&text.replace("1700000000.25", "1.6e9"));
        assert_eq!(waiting.since(None, Meanwhile::default()).queued, None);
    }
}
