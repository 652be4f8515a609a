//! A sync as well as the kernel allows: every kind of object in one program or a few system calls, and only what differs.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use netns_setup::ipvs::{Key, Request};

use super::super::{Action, AddressRequest, Expect, Node, Phase, Program, Step, Sync, Way};
use super::servers::{self, Server};
use super::sets::{self, Entries, Entry, Filled, Set};
use super::{DUMMY, SYSCTLS, rules};
use crate::scale::{Diff, ServiceSet};
use crate::service::Service;

/// Every step of a sync. Stale entries of the connection-tracking table are left to the process that syncs, as the newest
/// kube-proxy does it: no program is run for them.
pub fn steps(node: &Node, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Vec<Step> {
    let cold = from.is_empty();
    let mut steps = Vec::new();
    if sync == Sync::Full {
        if !cold {
            steps.extend(listing(node, from));
        }
        steps.extend(SYSCTLS.map(|(key, value)| Step::asks(Phase::Setup, Action::Sysctl { key, value })));
    }
    if cold {
        steps.push(Step::asks(Phase::Setup, Action::Link { name: DUMMY, way: Way::Batched }));
    }
    let change = Change::between(node, from, to);
    // What comes, comes from the inside out, and goes the other way: no packet finds an address without its server.
    put_requests(change.made, &mut steps);
    let mut input = String::new();
    if cold {
        Set::ALL.iter().for_each(|set| put_line(&mut input, &set.create().join(" ")));
    }
    change
        .entries_removed
        .iter()
        .for_each(|(set, entry)| put_line(&mut input, &format!("del {} {entry}", set.name())));
    change
        .entries_added
        .iter()
        .for_each(|(set, entry)| put_line(&mut input, &format!("add {} {entry}", set.name())));
    if !input.is_empty() {
        let restore = Step::new(Phase::Sets, Program::Ipset, &["restore"], Expect::Success);
        steps.push(restore.with_input(input.into_bytes()));
    }
    put_addresses(change.bound, AddressRequest::Add, &mut steps);
    let filled = Filled::by(to);
    if cold {
        steps.push(rules::restored_with_jumps(node, filled));
    } else if filled != Filled::by(from) {
        steps.push(rules::restored(node, filled));
    }
    put_addresses(change.unbound, AddressRequest::Remove, &mut steps);
    put_requests(change.removed, &mut steps);
    steps
}

fn put_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn put_requests(requests: Vec<Request>, steps: &mut Vec<Step>) {
    if !requests.is_empty() {
        steps.push(Step::asks(Phase::Servers, Action::Ipvs { way: Way::Batched, requests }));
    }
}

fn put_addresses(
    addresses: Vec<IpAddr>,
    request: impl FnOnce(Vec<IpAddr>) -> AddressRequest,
    steps: &mut Vec<Step>,
) {
    if !addresses.is_empty() {
        let request = request(addresses);
        let action = Action::Addresses { device: DUMMY, way: Way::Batched, request };
        steps.push(Step::asks(Phase::Addresses, action));
    }
}

/// What a restarted process must read to know what is there: everything once.
fn listing(node: &Node, from: &ServiceSet) -> Vec<Step> {
    let read = |program, args: &[&str]| Step::new(Phase::Listing, program, args, Expect::Success);
    let keys = servers::of(node, from.services().iter().map(AsRef::as_ref));
    // IPVS dumps the real servers of one virtual server at a time (ip_vs_genl_dump_dests).
    let dests = keys.iter().map(|server| Request::ListDests(server.server.key));
    let requests = std::iter::once(Request::ListServices).chain(dests).collect();
    vec![
        read(Program::IptablesSave, &[]),
        read(Program::Ipset, &["save"]),
        Step::asks(
            Phase::Listing,
            Action::Addresses { device: DUMMY, way: Way::Batched, request: AddressRequest::List },
        ),
        Step::asks(Phase::Listing, Action::Ipvs { way: Way::KubeProxy, requests }),
    ]
}

/// The difference of two sets of Services.
#[derive(Default)]
struct Change {
    /// Virtual servers and real servers that come, differ, or - real servers only - go.
    made: Vec<Request>,
    /// Virtual servers that go.
    removed: Vec<Request>,
    entries_added: Vec<(Set, Entry)>,
    entries_removed: Vec<(Set, Entry)>,
    bound: Vec<IpAddr>,
    unbound: Vec<IpAddr>,
}

impl Change {
    fn between(node: &Node, from: &ServiceSet, to: &ServiceSet) -> Self {
        let diff = Diff::between(from, to);
        let old: Vec<&Arc<Service>> = diff.touched(from, to).collect();
        let new: Vec<&Arc<Service>> = diff.changed.iter().map(|&index| &to.services()[index]).collect();
        let mut change = Self::default();
        change.servers(
            &servers::of(node, old.iter().map(|s| s.as_ref())),
            &servers::of(node, new.iter().map(|s| s.as_ref())),
        );
        change.entries(&old, &new, &untouched(to, &diff));
        change
    }

    fn servers(&mut self, old: &[Server], new: &[Server]) {
        let before = servers::by_key(old);
        for server in new {
            let key = server.server.key;
            let Some(before) = before.get(&key) else {
                self.made.extend(server.requests());
                continue;
            };
            if before.server != server.server {
                self.made.push(Request::SetService(server.server));
            }
            let (added, removed) = servers::difference(&before.endpoints, &server.endpoints);
            self.made.extend(added.into_iter().map(|endpoint| Request::NewDest(key, endpoint)));
            self.made.extend(removed.into_iter().map(|endpoint| Request::DelDest(key, endpoint)));
        }
        let kept: HashSet<Key> = new.iter().map(|server| server.server.key).collect();
        let gone = old.iter().map(|server| server.server.key).filter(|key| !kept.contains(key));
        self.removed = gone.map(Request::DelService).collect();
    }

    /// Entries, and the addresses to bind, which are those of one set.
    fn entries(&mut self, old: &[&Arc<Service>], new: &[&Arc<Service>], untouched: &[&Arc<Service>]) {
        let before = sets::of(old.iter().map(|service| service.as_ref()));
        let after = sets::of(new.iter().map(|service| service.as_ref()));
        let mut added: Entries = after.difference(&before).copied().collect();
        let mut removed: Entries = before.difference(&after).copied().collect();
        // A Service that stays may share an address, or an endpoint, with one that comes or goes.
        let nothing = added.is_empty() && removed.is_empty();
        for service in untouched.iter().filter(|_| !nothing) {
            sets::each_of(service, |set, entry| {
                added.remove(&(set, entry));
                removed.remove(&(set, entry));
            });
        }
        let addresses = |entries: &Entries| -> Vec<IpAddr> {
            let address = |&(set, entry): &(Set, Entry)| match (set, entry) {
                (Set::IpvsIps, Entry::Ip(address)) => Some(address),
                _ => None,
            };
            entries.iter().filter_map(address).collect()
        };
        (self.bound, self.unbound) = (addresses(&added), addresses(&removed));
        (self.entries_added, self.entries_removed) =
            (added.into_iter().collect(), removed.into_iter().collect());
    }
}

/// Services that stay as they are.
fn untouched<'a>(to: &'a ServiceSet, diff: &Diff) -> Vec<&'a Arc<Service>> {
    let changed: HashSet<usize> = diff.changed.iter().copied().collect();
    to.services()
        .iter()
        .enumerate()
        .filter(|(index, _)| !changed.contains(index))
        .map(|(_, service)| service)
        .collect()
}
