//! What labs take, known before any is made: which of them are not to be tried.

use std::collections::BTreeMap;
use std::time::Duration;

use dataplane::Mode;
use services::service_set::Scale;

use super::footprint::{Footprint, Installing, Machine, Refusal};

/// What each lab of a run takes.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    capacities: BTreeMap<(Mode, Scale), Footprint>,
    limit: Option<Duration>,
}

impl Admission {
    /// Of no lab yet. `limit`: how long one thing may take; `None`: however long, or nothing is known of this clock's seconds.
    pub const fn new(limit: Option<Duration>) -> Self {
        Self { capacities: BTreeMap::new(), limit }
    }

    /// Notes what a lab takes.
    pub fn note(&mut self, mode: Mode, scale: Scale, capacity: Footprint) {
        self.capacities.insert((mode, scale), capacity);
    }

    /// Why a lab cannot be, or be filled in some way, on a machine as it is now, however long it takes.
    pub fn too_large(
        &self,
        mode: Mode,
        scale: Scale,
        installing: Installing,
        now: &Machine,
    ) -> Option<Refusal> {
        self.capacities.get(&(mode, scale))?.refusal(installing, now, None)
    }

    /// Why filling it takes too long, if nothing better than constants tells.
    pub fn too_long(&self, mode: Mode, scale: Scale, installing: Installing) -> Option<Refusal> {
        let endless = Machine { available: None, cpus: 1 };
        self.capacities.get(&(mode, scale))?.refusal(installing, &endless, Some(self.limit?))
    }
}
