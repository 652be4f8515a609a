//! Which Services get their own chains written by a sync.

use std::sync::Arc;

use services::service::Service;
use services::service_set::{Diff, ServiceSet};

use crate::contract::Sync;

/// Which Service ports get their own chains written.
pub(crate) enum Scope<'a> {
    /// All of them.
    All,
    /// Those of these Service objects, by namespace and name, sorted: when one port of an object changes, all are written
    /// (`UpdatedServices`, pkg/proxy/servicechangetracker.go).
    Of(Vec<(&'a str, &'a str)>),
}

impl<'a> Scope<'a> {
    /// Of a sync.
    pub(crate) fn of(sync: Sync, from: &'a ServiceSet, to: &'a ServiceSet, diff: &Diff) -> Self {
        if sync == Sync::Full {
            return Scope::All;
        }
        let object = |service: &'a Arc<Service>| (&*service.namespace, &*service.name);
        let changed = diff.changed.iter().map(|&index| object(&to.services()[index]));
        let mut objects: Vec<_> =
            changed.chain(diff.removed.iter().map(|&index| object(&from.services()[index]))).collect();
        objects.sort_unstable();
        objects.dedup();
        Scope::Of(objects)
    }

    /// Whether a Service port is among them.
    pub(crate) fn has(&self, service: &Service) -> bool {
        match self {
            Scope::All => true,
            Scope::Of(objects) => objects.binary_search(&(&service.namespace, &service.name)).is_ok(),
        }
    }
}
