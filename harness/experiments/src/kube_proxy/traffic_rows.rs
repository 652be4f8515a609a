//! Rows of a load beside what happens to a kube-proxy: the same figures as of disruptions, under the workload of what happened.

use results::names::metric;
use results::record::{Status, Unit};
use results::timeline::ImpactRow;

use super::traffic::Felt;
use crate::disruption::Bin;
use crate::rows::Rows;

impl Rows {
    /// What the load felt, and over time.
    pub(super) fn kube_proxy_traffic(&mut self, felt: &Felt) {
        let Felt { outcome, impact, syncs } = felt;
        let mut remarks = Vec::new();
        if !outcome.held_schedule() {
            remarks.push(format!(
                "{:.2}% of requests began more than 1 ms late, the latest by {} ms",
                outcome.late_share() * 100.0,
                outcome.latest_ns / 1_000_000
            ));
        }
        remarks.extend((impact.lost_before > 0).then(|| format!("{} were lost before", impact.lost_before)));
        self.times_of_part(metric::RESPONSE_BEFORE, &impact.before);
        self.times_of_part(metric::RESPONSE_DURING, &impact.during);
        if let Some(record) = self.records.last_mut().filter(|record| record.status == Status::Ok) {
            record.note = remarks.join("; ").into();
        }
        let of = format!("of {} requests", outcome.counts.started);
        for (metric, unit, value) in [
            (metric::LOST_REQUESTS, Unit::Count, impact.lost),
            (metric::RESET_CONNECTIONS, Unit::Count, impact.reset),
            (metric::BLOCKED_TIME, Unit::Ns, impact.blocked_ns),
        ] {
            let mut row = self.key.scalar(metric, unit, value);
            if unit == Unit::Count {
                row.note = of.as_str().into();
            }
            self.records.push(row);
        }
        for (index, &(start, end)) in syncs.iter().enumerate() {
            // How many changes it carried, and with how many bytes, kube-proxy does not say.
            let row = self.timeline_row(index, start, end, 0, 0);
            self.timeline.push(row);
        }
        let part = |bin: &Bin| ImpactRow {
            cell: self.key.clone(),
            from: bin.from_ns,
            length: bin.length_ns,
            due: bin.due,
            lost: bin.lost,
            p50: bin.p50_ns,
            p99: bin.p99_ns,
            max: bin.max_ns,
        };
        let parts: Vec<ImpactRow> = impact.bins.iter().map(part).collect();
        self.impact.extend(parts);
    }
}
