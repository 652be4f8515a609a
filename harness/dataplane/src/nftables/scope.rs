//! Which Services a partial sync writes.

use std::collections::HashSet;

use services::service::Service;
use services::service_set::{Diff, ServiceSet};

/// Indices in `to`, ascending. kube-proxy marks Service objects as changed, not their ports: a change of one port, or of
/// its endpoints, writes the chains of all of them (`UpdatedServices` in pkg/proxy/servicechangetracker.go).
pub(crate) fn written(from: &ServiceSet, to: &ServiceSet, diff: &Diff) -> Vec<usize> {
    if diff.changed.len() == to.len() {
        return diff.changed.clone();
    }
    let changed = diff.changed.iter().map(|&index| object(&to.services()[index]));
    let removed = diff.removed.iter().map(|&index| object(&from.services()[index]));
    let objects: HashSet<(&str, &str)> = changed.chain(removed).collect();
    if objects.is_empty() {
        return Vec::new();
    }
    let services = to.services().iter().enumerate();
    services.filter(|(_, service)| objects.contains(&object(service))).map(|(index, _)| index).collect()
}

fn object(service: &Service) -> (&str, &str) {
    (&service.namespace, &service.name)
}
