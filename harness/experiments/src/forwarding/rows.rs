//! Rows of forwarding methods.

use netns_setup::Volume;
use results::names::metric;
use results::record::Unit;

use super::Forwarding;
use crate::rows::Rows;

impl Rows {
    /// Connections through a director.
    pub fn forwarding(&mut self, found: &Forwarding) {
        for (volumes, packets, bytes) in [
            (&found.received, metric::DIRECTOR_PACKETS_IN, metric::DIRECTOR_BYTES_IN),
            (&found.sent, metric::DIRECTOR_PACKETS_OUT, metric::DIRECTOR_BYTES_OUT),
        ] {
            let of = |part: fn(&Volume) -> u64| volumes.iter().map(part).collect::<Vec<u64>>();
            self.records.push(self.key.samples(packets, Unit::Count, &of(|volume| volume.packets)));
            self.records.push(self.key.samples(bytes, Unit::Bytes, &of(|volume| volume.bytes)));
        }
        self.times(metric::DIRECTOR_CPU, &found.costs.connection);
        self.times(metric::LOOKUP_FIRST_PACKET, &found.costs.first);
        self.times(metric::LOOKUP_ESTABLISHED, &found.costs.later);
        self.times(metric::RESPONSE_TIME, &found.response);
    }
}
