//! Which Services get their own chains written by a sync, and which chains it deletes.

use std::collections::HashSet;
use std::sync::Arc;

use super::input::chain_lines;
use super::ports::Ports;
use crate::dataplane::contract::Sync;
use crate::dataplane::node::Node;
use crate::scale::{Diff, ServiceSet};
use crate::service::Service;

/// Which Service ports get their own chains written.
pub enum Scope<'a> {
    /// All of them.
    All,
    /// Those of these Service objects, by namespace and name, sorted: when one port of an object changes, all are written
    /// (`UpdatedServices`, pkg/proxy/servicechangetracker.go).
    Of(Vec<(&'a str, &'a str)>),
}

impl<'a> Scope<'a> {
    /// Of a sync.
    pub fn of(sync: Sync, from: &'a ServiceSet, to: &'a ServiceSet, diff: &Diff) -> Self {
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
    pub fn has(&self, service: &Service) -> bool {
        match self {
            Scope::All => true,
            Scope::Of(objects) => objects.binary_search(&(&service.namespace, &service.name)).is_ok(),
        }
    }
}

/// Chains of `from` that no Service of `to` uses.
pub fn stale_chains(node: &Node, from: &ServiceSet, to: &ServiceSet, diff: &Diff) -> Vec<String> {
    if from.is_empty() {
        // Spares every cold sync the names of all of `to`.
        return Vec::new();
    }
    let mut stale: Vec<String> =
        diff.touched(from, to).flat_map(|service| chains_of(node, service)).collect();
    if stale.is_empty() {
        return stale;
    }
    let used: HashSet<String> =
        diff.changed.iter().flat_map(|&index| chains_of(node, &to.services()[index])).collect();
    stale.retain(|chain| !used.contains(chain));
    stale.sort_unstable();
    stale.dedup();
    stale
}

fn chains_of(node: &Node, service: &Arc<Service>) -> Vec<String> {
    let mut lines = Vec::new();
    chain_lines(node, &Ports::new(node.kube_proxy, std::slice::from_ref(service), |_| true), &mut lines);
    let lines = String::from_utf8_lossy(&lines);
    lines.lines().filter_map(|line| line.strip_prefix(':')?.split(' ').next()).map(str::to_owned).collect()
}
