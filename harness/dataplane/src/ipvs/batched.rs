//! A sync as well as the kernel allows: every kind of object in one program or a few system calls, and only what differs.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use netns_setup::ipvs::{Key, Request};
use services::service::Service;
use services::service_set::{Diff, ServiceSet};

use super::entries::{self, Entries, Entry, Filled};
use super::rules;
use super::servers::{self, Server};
use super::sets::Set;
use super::settings::{DUMMY, SYSCTLS};
use crate::contract::Sync;
use crate::drain::Drain;
use crate::node::Node;
use crate::plan::{Action, AddressRequest, Expect, Phase, Program, Step};
use crate::way::Way;

/// Every step of a sync. Stale entries of the connection-tracking table are left to the process that syncs, as the newest
/// kube-proxy does it: no program is run for them.
pub(crate) fn steps(node: &Node, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Vec<Step> {
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
    if !change.drained.is_empty() {
        let drain = Drain { way: Way::Batched, servers: change.drained, again: false };
        steps.push(Step::asks(Phase::Servers, Action::Drain(drain)));
    }
    let input = set_lines(node, cold, &change.entries_removed, &change.entries_added);
    if !input.is_empty() {
        let restore = Step::new(Phase::Sets, Program::Ipset, &["restore"], Expect::Success);
        steps.push(restore.with_input(input.into_bytes()));
    }
    put_addresses(change.bound, AddressRequest::Add, &mut steps);
    let filled = Filled::by(node, to);
    if cold {
        steps.push(rules::restored_with_jumps(node, &filled));
    } else if filled != Filled::by(node, from) {
        steps.push(rules::restored(node, &filled));
    }
    put_addresses(change.unbound, AddressRequest::Remove, &mut steps);
    put_requests(change.removed, &mut steps);
    steps
}

/// What `ipset restore` reads.
fn set_lines(node: &Node, cold: bool, removed: &[(Set, Entry)], added: &[(Set, Entry)]) -> String {
    let family = node.family();
    let mut lines = String::new();
    // Writing to a string does not fail.
    for set in Set::ALL.iter().filter(|_| cold) {
        let _ = writeln!(lines, "{}", set.create(family).join(" "));
    }
    for (verb, entries) in [("del", removed), ("add", added)] {
        for (set, entry) in entries {
            let _ = writeln!(lines, "{verb} {} {entry}", set.name(family));
        }
    }
    lines
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
    let servers = servers::of(node, from);
    // IPVS dumps the real servers of one virtual server at a time (ip_vs_genl_dump_dests).
    let dests = servers.iter().map(|server| Request::ListDests(server.server.key));
    let requests = std::iter::once(Request::ListServices).chain(dests).collect();
    vec![
        read(Program::iptables_save(node.family()), &[]),
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
    /// Virtual servers and real servers that come or differ, and real servers that go at once.
    made: Vec<Request>,
    /// Real servers that go when their connections have gone.
    drained: Vec<(Key, Vec<SocketAddr>)>,
    /// Virtual servers that go.
    removed: Vec<Request>,
    entries_added: Vec<(Set, Entry)>,
    entries_removed: Vec<(Set, Entry)>,
    bound: Vec<IpAddr>,
    unbound: Vec<IpAddr>,
}

impl Change {
    fn between(node: &Node, from: &ServiceSet, to: &ServiceSet) -> Self {
        let mut change = Self::default();
        if from.is_empty() {
            change.made = servers::of(node, to).iter().flat_map(Server::requests).collect();
            let entries = entries::of(node, services(to.services()));
            change.entries(Entries::new(), entries);
            return change;
        }
        let diff = Diff::between(from, to);
        let old: Vec<&Arc<Service>> = diff.touched(from, to).collect();
        let new: Vec<&Arc<Service>> = diff.changed.iter().map(|&index| &to.services()[index]).collect();
        let keys: HashSet<Key> = old
            .iter()
            .chain(&new)
            .flat_map(|service| {
                servers::places(node, service).map(|place| servers::key(place.address, service.protocol))
            })
            .collect();
        change.servers(&servers::with_keys(node, from, &keys), &servers::with_keys(node, to, &keys));
        let before = entries::of(node, services(old));
        let after = entries::of(node, services(new));
        let mut added: Entries = after.difference(&before).copied().collect();
        let mut removed: Entries = before.difference(&after).copied().collect();
        // A Service that stays may share an address, or an endpoint, with one that comes or goes.
        if !(added.is_empty() && removed.is_empty()) {
            for service in untouched(to, &diff) {
                entries::each_of(node, service, |set, entry| {
                    added.remove(&(set, entry));
                    removed.remove(&(set, entry));
                });
            }
        }
        change.entries(removed, added);
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
            match Drain::is_for(key) {
                true if removed.is_empty() => {}
                true => self.drained.push((key, removed)),
                false => {
                    self.made.extend(removed.into_iter().map(|endpoint| Request::DelDest(key, endpoint)))
                }
            }
        }
        let kept: HashSet<Key> = new.iter().map(|server| server.server.key).collect();
        let gone = old.iter().map(|server| server.server.key).filter(|key| !kept.contains(key));
        self.removed = gone.map(Request::DelService).collect();
    }

    /// Entries, and the addresses to bind, which are those of one set.
    fn entries(&mut self, removed: Entries, added: Entries) {
        let addresses = |entries: &Entries| -> Vec<IpAddr> {
            let address = |&(set, entry): &(Set, Entry)| match (set, entry) {
                (Set::IpvsIps, Entry::Ip(address)) => Some(address),
                _ => None,
            };
            entries.iter().filter_map(address).collect()
        };
        (self.bound, self.unbound) = (addresses(&added), addresses(&removed));
        let taken = |entries: Entries| entries.into_iter().filter(|(_, entry)| entry.is_taken()).collect();
        (self.entries_added, self.entries_removed) = (taken(added), taken(removed));
    }
}

fn services<'a>(services: impl IntoIterator<Item = &'a Arc<Service>>) -> impl Iterator<Item = &'a Service> {
    services.into_iter().map(AsRef::as_ref)
}

/// Services that stay as they are.
fn untouched<'a>(to: &'a ServiceSet, diff: &Diff) -> impl Iterator<Item = &'a Arc<Service>> {
    let changed: HashSet<usize> = diff.changed.iter().copied().collect();
    let all = to.services().iter().enumerate();
    all.filter(move |(index, _)| !changed.contains(index)).map(|(_, service)| service)
}
