//! Rows of a clean-up of connections.

use results::names::{metric, workload};
use results::record::Unit;

use super::conntrack::{CleanUp, Fate, Filled};
use crate::rows::Rows;

impl Rows {
    /// A clean-up comes next.
    pub(super) fn kube_proxy_conntrack_part(&mut self, filled: &Filled) {
        let name = match filled.fate {
            Fate::Replaced => workload::KUBE_PROXY_CONNTRACK_REPLACED,
            Fate::Lost => workload::KUBE_PROXY_CONNTRACK_LOST,
        };
        self.key.workload = format!("{name}{}", filled.entries).into();
    }

    /// What it came to. A flow that never ended has no time.
    pub(super) fn kube_proxy_conntrack(&mut self, filled: &Filled, found: &CleanUp) {
        let key = self.key.clone();
        if let Some((ended, resolution)) = found.ended {
            self.records.push(key.scalar(metric::STALE_FLOW_ENDED, Unit::Ns, ended));
            self.records.push(key.scalar(metric::PROBE_RESOLUTION, Unit::Ns, resolution));
        }
        let mut before = key.scalar(metric::TRACKED_BEFORE, Unit::Count, found.before);
        before.note = format!("{} of them go to the Service", filled.own + 1).into();
        self.records.push(before);
        let mut after = key.scalar(metric::TRACKED_AFTER, Unit::Count, found.after);
        if found.ended.is_none() {
            after.note =
                "packets of an old flow still went to an endpoint that is gone when the clean-up had ended"
                    .into();
        }
        self.records.push(after);
        for (metric, unit, value) in [
            (metric::OWN_CONNTRACK, Unit::Ns, found.own),
            (metric::OWN_CONNTRACK_DELETED, Unit::Count, found.own_deleted),
            (metric::PROCESS_CPU, Unit::Ns, Some(found.cpu)),
            (metric::PROCESS_RSS_BEFORE, Unit::Bytes, Some(found.rss)),
            (metric::PROCESS_PEAK_RSS, Unit::Bytes, Some(found.peak)),
        ] {
            self.records.extend(value.map(|value| key.scalar(metric, unit, value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use results::record::{CellKey, Clock};

    use super::*;

    #[test]
    fn a_flow_that_stays_has_a_note_and_no_time() {
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
            clock: Clock::Instructions,
            kernel: "6.1".into(),
            hypervisor: "tcg".into(),
            system: "kube-proxy v1.36.3 sha256:00".into(),
        };
        let filled = Filled { fate: Fate::Lost, entries: 1_000, own: 100 };
        let records = |found: &CleanUp| {
            let mut rows = Rows::new(key.clone(), "", metric::FIRST_SYNC_ENDED);
            rows.kube_proxy_conntrack_part(&filled);
            rows.kube_proxy_conntrack(&filled, found);
            rows.into_result().records
        };
        let ended = records(&CleanUp { ended: Some((7, 2)), own: Some(3), ..CleanUp::default() });
        assert!(ended.iter().all(|row| row.cell.workload == "kube_proxy_conntrack_lost_1000"));
        let has = |records: &[results::record::Record], metric: &str| {
            records.iter().find(|row| row.metric == metric).map(|row| row.note.to_string())
        };
        assert_eq!(has(&ended, metric::STALE_FLOW_ENDED), Some(String::new()));
        assert_eq!(has(&ended, metric::TRACKED_AFTER), Some(String::new()));
        assert_eq!(has(&ended, metric::TRACKED_BEFORE).unwrap(), "101 of them go to the Service");
        let stays = records(&CleanUp::default());
        assert_eq!(has(&stays, metric::STALE_FLOW_ENDED), None);
        assert!(has(&stays, metric::TRACKED_AFTER).unwrap().contains("still went"));
        assert_eq!(has(&stays, metric::OWN_CONNTRACK), None);
    }
}
