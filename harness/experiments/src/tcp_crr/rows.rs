//! Rows of connections.

use results::names::metric;
use results::record::Unit;
use workloads::load;

use crate::rows::Rows;

impl Rows {
    /// Connections.
    pub fn connect(&mut self, found: &load::LoadOutcome) {
        self.times(metric::RESPONSE_TIME, &found.times.response);
        let rate = found.per_second().round() as u64;
        self.records.push(self.key.scalar(metric::TRANSACTIONS_PER_SECOND, Unit::PerSecond, rate));
    }
}
