//! Which chains a sync deletes.

use std::collections::HashSet;
use std::sync::Arc;

use services::service::Service;
use services::service_set::{Diff, ServiceSet};

use super::form::Form;

/// Chains of `from` that no Service of `to` uses.
pub(crate) fn stale_chains(form: &impl Form, from: &ServiceSet, to: &ServiceSet, diff: &Diff) -> Vec<String> {
    if from.is_empty() {
        // Spares every cold sync the names of all of `to`.
        return Vec::new();
    }
    let mut stale: Vec<String> =
        diff.touched(from, to).flat_map(|service| chains_of(form, service)).collect();
    if stale.is_empty() {
        return stale;
    }
    let used: HashSet<String> =
        diff.changed.iter().flat_map(|&index| chains_of(form, &to.services()[index])).collect();
    stale.retain(|chain| !used.contains(chain));
    stale.sort_unstable();
    stale.dedup();
    stale
}

fn chains_of(form: &impl Form, service: &Arc<Service>) -> Vec<String> {
    let mut lines = Vec::new();
    form.chain_lines(&form.ports(std::slice::from_ref(service), |_| true), &mut lines);
    let lines = String::from_utf8_lossy(&lines);
    lines.lines().filter_map(|line| line.strip_prefix(':')?.split(' ').next()).map(str::to_owned).collect()
}
