//! Rows of what a kube-proxy says of itself, of where its time goes, and of what it costs.

use results::names::metric;
use results::record::{CellKey, Unit};

use super::cost::{Cost, Own};
use super::phases::Phases;
use super::program_phase::ProgramPhase;
use crate::rows::Rows;

impl Rows {
    /// What kube-proxy says of itself, and what it costs. What is not known is absent, not zero.
    pub(super) fn kube_proxy_cost(&mut self, key: &CellKey, cost: &Cost) {
        for (metric, own) in [
            (metric::OWN_SYNC, cost.syncs),
            (metric::OWN_FULL_SYNC, cost.full),
            (metric::OWN_PARTIAL_SYNC, cost.partial),
            (metric::OWN_NETWORK_PROGRAMMING, cost.network_programming),
            (metric::OWN_CONNTRACK, cost.conntrack),
        ] {
            if let Some(Own { count, mean, at_most }) = own {
                let mut row = key.scalar(metric, Unit::Ns, mean);
                let most = at_most.map_or_else(
                    || "some beyond its highest limit".to_owned(),
                    |most| format!("none above {} ms", most / 1_000_000),
                );
                row.note = format!("mean of {count} by kube-proxy's own metric, {most}").into();
                self.records.push(row);
            }
        }
        let mut failures = key.scalar(metric::OWN_FAILURES, Unit::Count, cost.failures());
        let each: Vec<String> = cost.failures.iter().map(|(what, count)| format!("{count} {what}")).collect();
        failures.note = each.join(", ").into();
        self.records.push(failures);
        for (metric, unit, value) in [
            (metric::OWN_QUEUED, Unit::Ns, cost.queued),
            (metric::OWN_CONNTRACK_DELETED, Unit::Count, cost.conntrack_deleted),
            (metric::PROCESS_CPU, Unit::Ns, Some(cost.process_cpu)),
            (metric::PROCESS_CPU_USER, Unit::Ns, cost.process_split.map(|split| split.user)),
            (metric::PROCESS_CPU_SYSTEM, Unit::Ns, cost.process_split.map(|split| split.system)),
            (metric::PROCESS_PEAK_RSS, Unit::Bytes, Some(cost.process_peak)),
            (metric::PROGRAMS_CPU, Unit::Ns, cost.programs_cpu),
            (metric::PROGRAMS_CPU_USER, Unit::Ns, cost.programs_split.map(|split| split.user)),
            (metric::PROGRAMS_CPU_SYSTEM, Unit::Ns, cost.programs_split.map(|split| split.system)),
            (metric::PROGRAMS_PEAK_RSS, Unit::Bytes, cost.programs_peak),
            (metric::GOROUTINES, Unit::Count, cost.goroutines),
            (metric::HEAP, Unit::Bytes, cost.heap),
        ] {
            self.records.extend(value.map(|value| key.scalar(metric, unit, value)));
        }
        self.programs(key, cost);
        if let Some(phases) = &cost.phases {
            self.phases(key, phases);
        }
    }

    fn programs(&mut self, key: &CellKey, cost: &Cost) {
        let Some(programs) = &cost.programs else { return };
        for (metric, phase) in [
            (metric::PROGRAM_LISTING, ProgramPhase::Listing),
            (metric::PROGRAM_WRITING, ProgramPhase::Writing),
            (metric::PROGRAM_OTHER, ProgramPhase::Other),
        ] {
            let each: Vec<u64> =
                programs.iter().filter(|(own, _)| *own == phase).map(|(_, duration)| *duration).collect();
            if !each.is_empty() {
                self.records.push(key.samples(metric, Unit::Ns, &each));
            }
        }
    }

    /// A sample for each sync. A phase in which no sync was ever seen has no row; for the lock, that nobody waited is known.
    fn phases(&mut self, key: &CellKey, phases: &Phases) {
        let Phases { whole, own, listing, writing, other, lock_wait, mixed } = phases;
        let is_seen = |each: &&Vec<u64>| each.iter().any(|time| *time > 0);
        for (metric, each) in [
            (metric::SYNC_DURATION, Some(whole)),
            (metric::SYNC_OWN_WORK, Some(own)),
            (metric::SYNC_LISTING, Some(listing).filter(is_seen)),
            (metric::SYNC_WRITING, Some(writing).filter(is_seen)),
            (metric::SYNC_OTHER_PROGRAMS, Some(other).filter(is_seen)),
            (metric::SYNC_LOCK_WAIT, lock_wait.as_ref()),
        ] {
            let Some(each) = each.filter(|each| !each.is_empty()) else { continue };
            let mut row = key.samples(metric, Unit::Ns, each);
            if *mixed > 0 {
                row.note = format!(
                    "without {mixed} syncs whose programs cannot be told from those of IPv6 at the same time"
                )
                .into();
            }
            self.records.push(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use results::record::Clock;

    use super::*;

    #[test]
    fn what_is_not_seen_has_no_row() {
        let key = CellKey {
            run: "r".into(),
            block: 1,
            order: 2,
            mode: "iptables-legacy".into(),
            services: 10,
            endpoints: 1,
            position: "".into(),
            workload: "kube_proxy_changes".into(),
            contenders: 0,
            clock: Clock::Wall,
            kernel: "6.1".into(),
            hypervisor: "none".into(),
            system: "".into(),
        };
        let rows = |cost: &Cost| {
            let mut rows = Rows::new(key.clone(), "", metric::FIRST_SYNC_ENDED);
            rows.kube_proxy_cost(&key, cost);
            rows.into_result().records
        };
        let names = |cost: &Cost| rows(cost).iter().map(|row| row.metric.to_string()).collect::<Vec<_>>();
        let few = names(&Cost::default());
        assert_eq!(few, [metric::OWN_FAILURES, metric::PROCESS_CPU, metric::PROCESS_PEAK_RSS]);
        let phases = Phases {
            whole: vec![12, 15],
            own: vec![5, 6],
            listing: vec![0, 0],
            writing: vec![7, 8],
            other: vec![0, 1],
            lock_wait: Some(vec![0, 0]),
            mixed: 3,
        };
        let cost = Cost {
            phases: Some(phases),
            failures: vec![("syncs of nftables", 2), ("clean-ups of nftables", 1)],
            ..Cost::default()
        };
        let all = names(&cost);
        let wanted = [
            metric::SYNC_DURATION,
            metric::SYNC_OWN_WORK,
            metric::SYNC_WRITING,
            metric::SYNC_OTHER_PROGRAMS,
            metric::SYNC_LOCK_WAIT,
        ];
        assert_eq!(all[3..], wanted);
        let rows = rows(&cost);
        assert!(rows[5].note.contains("without 3 syncs") && rows[5].max == Some(8), "{:?}", rows[5]);
        assert_eq!(rows[0].max, Some(3));
        assert_eq!(rows[0].note, "2 syncs of nftables, 1 clean-ups of nftables");
    }
}
