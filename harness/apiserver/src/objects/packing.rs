//! Endpoints into slices of at most 100, so that few slices change: what the EndpointSlice controller does
//! (k8s.io/endpointslice, reconciler).

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use services::service::Family;

use super::slice::{Group, Slice, SliceEndpoint};

/// `--max-endpoints-per-slice` of the controller, by default.
pub(super) const MOST: usize = 100;

/// The slices of a Service after a change. `last` is the highest number that a slice of it ever had.
pub(super) fn pack(
    before: &[Slice],
    mut wanted: BTreeMap<Group, Vec<SliceEndpoint>>,
    families: &[Family],
    last: &mut u32,
) -> Vec<Slice> {
    let mut slices: Vec<Slice> = before.to_vec();
    let mut missing: Vec<(Group, Vec<SliceEndpoint>)> = Vec::new();
    // Those that have what is not wanted any more lose it.
    for slice in slices.iter_mut().filter(|slice| !wanted.contains_key(&slice.group)) {
        slice.endpoints.clear();
    }
    while let Some((group, endpoints)) = wanted.pop_first() {
        let left = fill(&mut slices, before, &group, endpoints);
        if !left.is_empty() {
            missing.push((group, left));
        }
    }
    for (group, endpoints) in missing {
        for part in endpoints.chunks(MOST) {
            let slice = Slice { number: 0, group: group.clone(), endpoints: part.to_vec() };
            place(&mut slices, slice, last);
        }
    }
    // A family without endpoints has one slice that says so.
    for &family in families {
        let has_any = slices.iter().any(|slice| slice.group.family == family && !slice.endpoints.is_empty());
        let mut spare = !has_any;
        slices.retain(|slice| {
            slice.group.family != family || !slice.endpoints.is_empty() || std::mem::take(&mut spare)
        });
        if spare {
            *last += 1;
            let group = Group { family, ports: Vec::new() };
            slices.push(Slice { number: *last, group, endpoints: Vec::new() });
        }
    }
    slices.retain(|slice| families.contains(&slice.group.family));
    slices
}

/// Keeps what a group's slices have and shall have, and adds what is new where there is room: first in slices that change
/// anyway. Returns what found no room.
fn fill(
    slices: &mut [Slice],
    before: &[Slice],
    group: &Group,
    endpoints: Vec<SliceEndpoint>,
) -> Vec<SliceEndpoint> {
    let mut wanted: HashMap<IpAddr, SliceEndpoint> =
        endpoints.iter().map(|endpoint| (endpoint.ip, *endpoint)).collect();
    for slice in slices.iter_mut().filter(|slice| slice.group == *group) {
        slice.endpoints.retain_mut(|endpoint| match wanted.remove(&endpoint.ip) {
            Some(now) => {
                *endpoint = now;
                true
            }
            None => false,
        });
    }
    let mut new: Vec<SliceEndpoint> =
        endpoints.into_iter().filter(|endpoint| wanted.contains_key(&endpoint.ip)).collect();
    let is_changed = |slice: &Slice| {
        before.iter().any(|old| old.number == slice.number && old.endpoints != slice.endpoints)
    };
    let mut order: Vec<usize> = (0..slices.len())
        .filter(|&at| slices[at].group == *group && slices[at].endpoints.len() < MOST)
        .collect();
    // Among equals the fullest first, so that others stay free for more.
    order.sort_by_key(|&at| (!is_changed(&slices[at]), MOST - slices[at].endpoints.len()));
    for at in order {
        let room = MOST - slices[at].endpoints.len();
        let taken = new.len().min(room);
        slices[at].endpoints.extend(new.drain(..taken));
        if new.is_empty() {
            break;
        }
    }
    new
}

/// A slice that has become empty is used again; else there is a new one.
fn place(slices: &mut Vec<Slice>, slice: Slice, last: &mut u32) {
    let is_free = |old: &&mut Slice| old.endpoints.is_empty() && old.group.family == slice.group.family;
    match slices.iter_mut().find(is_free) {
        Some(old) => *old = Slice { number: old.number, ..slice },
        None => {
            *last += 1;
            slices.push(Slice { number: *last, ..slice });
        }
    }
}

#[cfg(test)]
mod tests;
