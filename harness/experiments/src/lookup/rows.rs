//! Rows of packet probes.

use results::names::{metric, position, workload};
use results::record::{CellKey, Unit};

use super::Lookup;
use crate::rows::Rows;

impl Rows {
    /// Packet probes.
    pub fn lookup(&mut self, found: Lookup) {
        self.times(metric::LOOKUP_FIRST_PACKET, &found.first);
        self.times(metric::LOOKUP_ESTABLISHED, &found.established);
    }

    /// How many packets each endpoint of one Service got, before the lab was measured.
    pub fn shares(&mut self, shares: &[u64]) {
        let key = CellKey {
            workload: workload::TRAFFIC_SHARES.into(),
            position: position::NONE.into(),
            ..self.key.clone()
        };
        self.records.push(key.samples(metric::ENDPOINT_PACKETS, Unit::Count, shares));
        if let Some(p_value) = results::stats::uniform_share_p_value(shares) {
            self.records.push(key.scalar(metric::SHARE_P_VALUE, Unit::Count, (p_value * 1e6) as u64));
        }
    }
}
