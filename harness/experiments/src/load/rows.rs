//! Rows of a load.

use lab::usage::Share;
use results::names::metric;
use results::record::{Status, Unit};
use workloads::load::Workload;

use super::{LoadResult, Offered};
use crate::rows::Rows;

impl Rows {
    /// A load.
    pub fn load(&mut self, through: &LoadResult, workload: Workload, offered: Offered) {
        let LoadResult { outcome: found, cost, tables } = through;
        let first = self.records.len();
        self.times(metric::RESPONSE_TIME, &found.times.response);
        self.times(metric::SERVICE_TIME, &found.times.service);
        let counts = &found.counts;
        let mut push = |metric, unit, value| self.records.push(self.key.scalar(metric, unit, value));
        push(metric::TRANSACTIONS_PER_SECOND, Unit::PerSecond, found.per_second().round() as u64);
        push(metric::REQUESTS, Unit::Count, counts.started);
        push(metric::LOST_REQUESTS, Unit::Count, counts.lost());
        if workload == Workload::TcpStream {
            let per_second = found.bytes as f64 / found.elapsed.as_secs_f64().max(1e-9);
            push(metric::THROUGHPUT, Unit::Bytes, per_second.round() as u64);
        }
        let share = cost.as_ref().and_then(|cost| cost.per(counts.answered));
        let class = |class: fn(&Share) -> Option<u64>| share.as_ref().and_then(class);
        for (metric, unit, value) in [
            (metric::REQUEST_CPU_USER, Unit::Ns, class(|share| share.user_ns)),
            (metric::REQUEST_CPU_SYSTEM, Unit::Ns, class(|share| share.system_ns)),
            (metric::REQUEST_CPU_SOFTIRQ, Unit::Ns, class(|share| share.softirq_ns)),
            (metric::REQUEST_CPU_IRQ, Unit::Ns, class(|share| share.irq_ns)),
            (metric::CONTEXT_SWITCHES, Unit::Count, cost.as_ref().map(|cost| cost.context_switches)),
            (metric::CONNTRACK_ENTRIES, Unit::Count, tables.conntrack),
            (metric::IPVS_CONNECTIONS, Unit::Count, tables.ipvs),
        ] {
            if let Some(value) = value {
                push(metric, unit, value);
            }
        }
        let mut remarks = Vec::new();
        if let Offered::PerSecond(_) = offered {
            push(metric::LATE_REQUESTS, Unit::Count, counts.late);
            if !found.held_schedule() {
                remarks.push(format!(
                    "the client did not hold its schedule: {:.2}% of requests began more than 1 ms late",
                    found.late_share() * 100.0
                ));
            }
        }
        remarks.extend(found.first_fault.map(|fault| format!("{} lost, the first: {fault}", counts.lost())));
        for record in &mut self.records[first..] {
            if record.status == Status::Ok {
                record.note = remarks.join("; ").into();
            }
        }
    }
}
