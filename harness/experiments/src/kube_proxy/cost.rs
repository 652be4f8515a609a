//! What a kube-proxy says of itself, and what it and its programs cost, over some time.

use kube_proxy::System;
use kube_proxy::metrics::{Histogram, Snapshot, names};
use kube_proxy::programs::ProgramRun;
use kube_proxy::usage::Usage;
use workloads::clock::nanoseconds;

use super::parts::SyncRun;

/// A look at a kube-proxy that runs.
pub(super) struct Look {
    metrics: Snapshot,
    usage: Usage,
    /// How many lines it had logged.
    pub(super) lines: u64,
}

/// What its programs do in a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ProgramPhase {
    /// Reading what is installed.
    Listing,
    /// Writing what shall be.
    Writing,
    /// Looking after jumps, canaries and versions, deleting connections.
    Other,
}

/// What happened between two looks. What is not known is absent, not zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Cost {
    /// All syncs, by its own metric.
    pub syncs: Option<Own>,
    /// Full ones.
    pub full: Option<Own>,
    /// Partial ones.
    pub partial: Option<Own>,
    /// From the annotation of an EndpointSlice to the end of its sync.
    pub network_programming: Option<Own>,
    /// Syncs and restores that failed.
    pub failures: u64,
    /// Goroutines at the end.
    pub goroutines: Option<u64>,
    /// Bytes of heap in use at the end.
    pub heap: Option<u64>,
    /// Processor time of the process itself, nanoseconds.
    pub process_cpu: u64,
    /// Most memory that it had in use since its start, bytes.
    pub process_peak: u64,
    /// Processor time of its programs, nanoseconds; known where the kernel says when they begin and end.
    pub programs_cpu: Option<u64>,
    /// Most memory of one of them, bytes.
    pub programs_peak: Option<u64>,
    /// How long each program ran, nanoseconds; known where the kernel says so.
    pub programs: Option<Vec<(ProgramPhase, u64)>>,
    /// Syncs of IPv4 by its log, and what they were made of.
    pub sync_runs: Vec<SyncRun>,
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

/// Counters of what failed, in whichever mode.
const FAILURES: [&str; 3] =
    [names::IPTABLES_FAILURES, names::IPTABLES_PARTIAL_FAILURES, names::NFTABLES_FAILURES];

impl Look {
    /// Looks, and forgets the programs that have ended so far if `anew`.
    ///
    /// # Errors
    /// If it does not answer, or has ended.
    pub(super) fn at(system: &mut System, anew: bool) -> anyhow::Result<Self> {
        if anew {
            system.programs();
        }
        system.check()?;
        let process = system.process()?;
        let metrics = process.metrics()?;
        let usage = process.usage().ok_or_else(|| anyhow::anyhow!("kube-proxy has ended"))?;
        let lines = process.log().position();
        Ok(Self { metrics, usage, lines })
    }

    /// What has happened since an earlier look; none: since the start of the process. `programs`: those that ran meanwhile.
    pub(super) fn since(&self, before: Option<&Look>, programs: Option<&[ProgramRun]>) -> Cost {
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
            full: own(names::FULL_SYNC_DURATION),
            partial: own(names::PARTIAL_SYNC_DURATION),
            network_programming: own(names::NETWORK_PROGRAMMING),
            failures: FAILURES.iter().filter_map(|name| counter(name)).sum::<f64>() as u64,
            goroutines: gauge(names::GOROUTINES),
            heap: gauge(names::HEAP_IN_USE),
            process_cpu: usage.cpu_ns,
            process_peak: usage.peak_rss,
            programs_cpu: used.as_ref().map(|used| used.iter().map(|used| used.cpu_ns).sum()),
            programs_peak: used.and_then(|used| used.iter().map(|used| used.peak_rss).max()),
            programs: programs.map(ran),
            sync_runs: Vec::new(),
        }
    }
}

/// What a program was started for, by its name and arguments (pkg/util/iptables and sigs.k8s.io/knftables).
pub(super) fn phase(run: &ProgramRun) -> ProgramPhase {
    let has = |word: &str| run.command.split(' ').any(|own| own == word);
    match run.name.as_str() {
        name if name.ends_with("-save") => ProgramPhase::Listing,
        name if name.ends_with("-restore") => ProgramPhase::Writing,
        "nft" if has("list") => ProgramPhase::Listing,
        "nft" if has("-f") && !has("--check") => ProgramPhase::Writing,
        "ipset" if has("list") || has("save") => ProgramPhase::Listing,
        "ipset" if !has("--version") && !has("version") => ProgramPhase::Writing,
        _ => ProgramPhase::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn run(command: &str) -> ProgramRun {
        ProgramRun {
            pid: 1,
            command: command.to_owned(),
            name: command.split(' ').next().unwrap().rsplit('/').next().unwrap().to_owned(),
            started: Instant::now(),
            executed: None,
            ended: None,
            status: None,
            used: None,
        }
    }

    #[test]
    fn programs_are_told_by_what_they_are_asked() {
        for (command, expected) in [
            ("iptables-save -t nat", ProgramPhase::Listing),
            ("ip6tables-restore -w 5 -W 100000 --noflush --counters", ProgramPhase::Writing),
            ("iptables -w 5 -W 100000 -C OUTPUT -t nat -j KUBE-SERVICES", ProgramPhase::Other),
            ("nft --json list map ip kube-proxy service-ips", ProgramPhase::Listing),
            ("nft -f -", ProgramPhase::Writing),
            ("nft --check -f -", ProgramPhase::Other),
            ("nft --version", ProgramPhase::Other),
            ("ipset create KUBE-CLUSTER-IP hash:ip,port family inet", ProgramPhase::Writing),
            ("ipset list -n", ProgramPhase::Listing),
            ("conntrack -D", ProgramPhase::Other),
        ] {
            assert_eq!(phase(&run(command)), expected, "{command}");
        }
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
            Look { metrics, usage, lines: 0 }
        };
        let (before, after) = (snapshot(2, 0.125), snapshot(4, 0.25));
        let cost = after.since(Some(&before), None);
        let own = Own { count: 2, mean: 62_500_000, at_most: Some(100_000_000) };
        assert_eq!((cost.syncs, cost.full, cost.process_cpu), (Some(own), None, 20));
        assert_eq!((cost.programs_cpu, cost.goroutines), (None, None));
        assert_eq!(after.since(None, Some(&[])).syncs.unwrap().count, 4);
    }
}
