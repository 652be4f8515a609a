//! Rows of a real kube-proxy.

use dataplane::Counts;
use results::names::{LARGEST_OFFERED, metric, workload};
use results::record::{CellKey, Unit};

use super::cost::Cost;
use super::held::Held;
use super::join::Join;
use super::latency::{Latency, Sample};
use super::outage::{Felt, Outage};
use super::rate::{Knee, Steady, Verdict};
use super::rolling::Rolling;
use crate::rows::Rows;

/// Parts of a cell: what fails is a row of its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Join,
    Changes,
    RollingUpdate,
    Rate(u32),
    Knee,
    Outage(Outage),
    Restart,
}

impl Rows {
    /// Whose rules these rows are about, as the column `system` has it.
    pub fn of_system(&mut self, system: &str) {
        self.key.system = system.into();
    }

    /// What comes next.
    pub(super) fn part(&mut self, part: Part) {
        self.key.workload = match part {
            Part::Join => workload::KUBE_PROXY_JOIN,
            Part::Changes => workload::KUBE_PROXY_CHANGES,
            Part::RollingUpdate => workload::KUBE_PROXY_ROLLING_UPDATE,
            Part::Rate(rate) => {
                self.key.workload = format!("{}{rate}", workload::KUBE_PROXY_RATE).into();
                return;
            }
            Part::Knee => workload::KUBE_PROXY_KNEE,
            Part::Outage(Outage::Away(_)) => workload::KUBE_PROXY_API_AWAY,
            Part::Outage(Outage::Relist) => workload::KUBE_PROXY_RELIST,
            Part::Restart => workload::KUBE_PROXY_RESTART,
        }
        .into();
    }

    /// A node that joins. `served`: processor time that the API server took, nanoseconds.
    pub(super) fn kube_proxy_join(&mut self, joined: &Join, cost: &Cost, served: u64) {
        let key = self.key.clone();
        self.start(&key, joined);
        for &(position, answered, resolution) in &joined.answered {
            let key = CellKey { position: position.name().into(), ..key.clone() };
            self.records.push(key.scalar(metric::FIRST_ANSWER, Unit::Ns, answered));
            self.records.push(key.scalar(metric::PROBE_RESOLUTION, Unit::Ns, resolution));
        }
        self.records.push(key.scalar(metric::API_SERVER_CPU, Unit::Ns, served));
        self.kube_proxy_cost(&key, cost);
    }

    /// What a node that has joined has in its kernel.
    pub(super) fn kube_proxy_held(&mut self, held: &Held) {
        let Counts { rules, chains, elements, virtual_servers, real_servers, addresses } = held.counts;
        for (metric, count) in [
            (metric::RULES, Some(rules)),
            (metric::CHAINS, Some(chains)),
            (metric::ELEMENTS, Some(elements)),
            (metric::ANONYMOUS_MAPS, held.anonymous_maps),
            (metric::VIRTUAL_SERVERS, Some(virtual_servers).filter(|count| *count > 0)),
            (metric::REAL_SERVERS, Some(real_servers).filter(|count| *count > 0)),
            (metric::BOUND_ADDRESSES, Some(addresses).filter(|count| *count > 0)),
        ] {
            self.records.extend(count.map(|count| self.key.scalar(metric, Unit::Count, count)));
        }
    }

    /// A kube-proxy that starts over what another has left: its Services answer all the time, but for packets that are lost.
    pub(super) fn kube_proxy_restart(&mut self, joined: &Join, cost: &Cost) {
        let key = self.key.clone();
        self.start(&key, joined);
        self.kube_proxy_cost(&key, cost);
    }

    fn start(&mut self, key: &CellKey, joined: &Join) {
        if let Some(listed) = joined.listed {
            self.records.push(key.scalar(metric::LISTED, Unit::Ns, listed));
        }
        self.records.push(key.scalar(metric::FIRST_SYNC_ENDED, Unit::Ns, joined.first_sync_ended));
        self.records.push(key.scalar(metric::OWN_FIRST_SYNC, Unit::Ns, joined.first_sync));
        let mut lost = key.scalar(metric::LOST_PACKETS, Unit::Count, joined.lost);
        lost.note = format!("of {} packets", joined.packets).into();
        self.records.push(lost);
    }

    /// Changes: each kind for itself, and all together.
    pub(super) fn kube_proxy_changes(&mut self, found: &Latency, cost: &Cost, stall: Option<u32>) {
        let mut kinds: Vec<_> = found.samples.iter().map(|sample| sample.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let key = CellKey { workload: kind.workload().into(), ..self.key.clone() };
            let samples: Vec<&Sample> = found.samples.iter().filter(|sample| sample.kind == kind).collect();
            self.latency(&key, &samples, stall);
        }
        let key = self.key.clone();
        let all: Vec<&Sample> = found.samples.iter().collect();
        self.latency(&key, &all, stall);
        self.records.push(key.scalar(metric::LOST_PACKETS, Unit::Count, found.lost));
        self.difference(&key, found, cost);
        self.kube_proxy_cost(&key, cost);
    }

    /// A rolling update: its steps, and the packets meanwhile.
    pub(super) fn kube_proxy_rolling(&mut self, found: &Rolling, cost: &Cost) {
        let key = self.key.clone();
        self.latency(&key, &found.samples.iter().collect::<Vec<_>>(), None);
        for (metric, count) in [(metric::LOST_PACKETS, found.lost), (metric::STALE_PACKETS, found.stale)] {
            let mut row = key.scalar(metric, Unit::Count, count);
            row.note = format!("of {} packets", found.packets).into();
            self.records.push(row);
        }
        self.kube_proxy_cost(&key, cost);
    }

    /// A steady rate of changes.
    pub(super) fn kube_proxy_rate(&mut self, steady: &Steady, cost: &Cost) {
        let key = self.key.clone();
        let samples: Vec<&Sample> = steady.latency.samples.iter().collect();
        if !samples.is_empty() {
            self.latency(&key, &samples, None);
        }
        let mut late = key.scalar(metric::LATE_REQUESTS, Unit::Count, steady.latency.late as u64);
        late.note = remark(steady).into();
        self.records.push(late);
        self.difference(&key, &steady.latency, cost);
        self.kube_proxy_cost(&key, cost);
    }

    /// The rate up to which it keeps up.
    pub(super) fn kube_proxy_knee(&mut self, knee: &Knee) {
        let key = self.key.clone();
        let tried: Vec<String> =
            knee.tried.iter().map(|steady| format!("{}/s: {}", steady.rate, remark(steady))).collect();
        let mut row = match knee.keeps_up {
            Some(rate) => key.scalar(metric::KNEE, Unit::PerSecond, rate.into()),
            None => key.scalar(metric::KNEE, Unit::PerSecond, 0),
        };
        let above = knee
            .falls_behind
            .map_or_else(|| LARGEST_OFFERED.to_owned(), |rate| format!("it falls behind at {rate}/s"));
        row.note = format!("{above}; tried: {}", tried.join("; ")).into();
        self.records.push(row);
    }

    /// An outage of the API server.
    pub(super) fn kube_proxy_outage(&mut self, felt: &Felt, cost: &Cost) {
        let key = self.key.clone();
        self.records.push(key.scalar(metric::RECOVERED, Unit::Ns, felt.recovered));
        self.records.push(key.scalar(metric::PROBE_RESOLUTION, Unit::Ns, felt.resolution));
        let mut lost = key.scalar(metric::LOST_PACKETS, Unit::Count, felt.lost);
        lost.note = format!("of {} packets", felt.packets).into();
        self.records.push(lost);
        self.kube_proxy_cost(&key, cost);
    }

    fn latency(&mut self, key: &CellKey, samples: &[&Sample], stall: Option<u32>) {
        let of = |value: fn(&Sample) -> u64| samples.iter().map(|sample| value(sample)).collect::<Vec<_>>();
        let mut row = key.samples(metric::PROGRAMMING_LATENCY, Unit::Ns, &of(|sample| sample.latency));
        if let Some(stall) = stall.filter(|_| samples.iter().any(|sample| sample.stalled)) {
            row.note =
                format!("kube-proxy was stopped for {stall} ms before one of the changes, on purpose").into();
        }
        self.records.push(row);
        self.records.push(key.samples(metric::PROBE_RESOLUTION, Unit::Ns, &of(|sample| sample.resolution)));
    }

    /// Our programming latency against its own, of the changes that both count.
    fn difference(&mut self, key: &CellKey, found: &Latency, cost: &Cost) {
        let ours: Vec<u64> = found
            .samples
            .iter()
            .filter(|sample| sample.kind.is_of_endpoints())
            .map(|sample| sample.latency)
            .collect();
        let (Some(own), Some(count)) = (cost.network_programming, u64::try_from(ours.len()).ok()) else {
            return;
        };
        let Some(mean) = ours.iter().sum::<u64>().checked_div(count) else { return };
        let mut row = key.scalar(metric::OWN_DIFFERENCE, Unit::Ns, mean.abs_diff(own.mean));
        let which = if own.mean >= mean { "longer" } else { "shorter" };
        row.note = format!(
            "kube-proxy's own mean, of {} changes until the end of their sync, is {which} than that of {count} changes until \
             the first packet that obeys",
            own.count
        )
        .into();
        self.records.push(row);
        // A sum of different changes says nothing of the others.
        let bound = cost.longest_sync.filter(|_| own.count == count);
        if let Some(longest_sync) = bound {
            // Rules are not written before their sync has begun, which ends when kube-proxy stops counting, or later.
            let least = own.mean.saturating_sub(longest_sync.saturating_add(found.longest_delivery));
            self.records.push(key.scalar(metric::OWN_LEAST, Unit::Ns, least));
        }
    }
}

fn remark(steady: &Steady) -> String {
    let Latency { late, not_offered, most_open, given_up, .. } = &steady.latency;
    let what = match steady.verdict {
        Verdict::KeepsUp => "it keeps up",
        Verdict::FallsBehind => "it falls behind",
        Verdict::NotOffered => "the rate was not offered",
    };
    let why = given_up.as_ref().map_or_else(String::new, |why| format!(", {why}"));
    format!("{what} ({late} late, {not_offered} not offered, at most {most_open} under way{why})")
}

#[cfg(test)]
mod tests {
    use results::record::{Clock, Record};

    use super::*;
    use crate::kube_proxy::changes::ChangeKind;
    use crate::kube_proxy::cost::Own;

    fn rows() -> Rows {
        let key = CellKey {
            run: "r".into(),
            block: 1,
            order: 2,
            mode: "nftables".into(),
            services: 10,
            endpoints: 1,
            position: "".into(),
            workload: workload::KUBE_PROXY_JOIN.into(),
            contenders: 0,
            clock: Clock::Wall,
            kernel: "6.1".into(),
            hypervisor: "none".into(),
            system: "".into(),
        };
        let mut rows = Rows::new(key, "", metric::FIRST_SYNC_ENDED);
        rows.of_system("kube-proxy v1.37.2 sha256:00");
        rows
    }

    fn found(records: &[Record], workload: &str, metric: &str) -> (Option<u64>, String) {
        let is_it = |row: &&Record| row.cell.workload == workload && row.metric == metric;
        let row = records.iter().find(is_it).unwrap_or_else(|| panic!("no {workload} {metric}"));
        (row.max, row.note.to_string())
    }

    #[test]
    fn a_stall_is_named_in_its_rows_only() {
        let sample = |kind, latency, stalled| Sample { kind, latency, resolution: 5, stalled };
        let latency = Latency {
            samples: vec![
                sample(ChangeKind::AddService, 30, false),
                sample(ChangeKind::ReplaceEndpoint, 500, true),
                sample(ChangeKind::RemoveService, 9_000, false),
            ],
            most_open: 1,
            longest_delivery: 50,
            ..Latency::default()
        };
        let own = Own { count: 2, mean: 300, at_most: None };
        let cost = Cost {
            network_programming: Some(own),
            longest_sync: Some(100),
            programs: Some(Vec::new()),
            ..Cost::default()
        };
        let mut rows = rows();
        rows.part(Part::Changes);
        rows.kube_proxy_changes(&latency, &cost, Some(500));
        let records = rows.into_result().records;
        assert!(records.iter().all(|row| row.cell.system == "kube-proxy v1.37.2 sha256:00"));
        let (max, note) = found(&records, workload::KUBE_PROXY_REPLACE_ENDPOINT, metric::PROGRAMMING_LATENCY);
        assert!(max == Some(500) && note.contains("stopped for 500 ms"), "{note}");
        let (_, note) = found(&records, workload::KUBE_PROXY_ADD_SERVICE, metric::PROGRAMMING_LATENCY);
        assert_eq!(note, "");
        let (max, note) = found(&records, workload::KUBE_PROXY_CHANGES, metric::PROGRAMMING_LATENCY);
        assert!(max == Some(9_000) && note.contains("stopped"));
        // Of those that both count: 30 and 500 against 300.
        let (max, note) = found(&records, workload::KUBE_PROXY_CHANGES, metric::OWN_DIFFERENCE);
        assert!(max == Some(35) && note.contains("is longer than that of 2 changes"), "{note}");
        let (least, _) = found(&records, workload::KUBE_PROXY_CHANGES, metric::OWN_LEAST);
        assert_eq!(least, Some(150));
        let (_, note) = found(&records, workload::KUBE_PROXY_CHANGES, metric::OWN_NETWORK_PROGRAMMING);
        assert!(note.contains("mean of 2") && note.contains("beyond its highest limit"), "{note}");
        assert!(!records.iter().any(|row| row.metric == metric::PROGRAM_LISTING));
    }

    #[test]
    fn what_fails_is_a_row_of_its_part() {
        let mut rows = rows();
        rows.part(Part::Restart);
        rows.fail("gone");
        let records = rows.into_result().records;
        assert_eq!(records[0].cell.workload, workload::KUBE_PROXY_RESTART);
        assert_eq!(records[0].note, "gone");
    }
}
