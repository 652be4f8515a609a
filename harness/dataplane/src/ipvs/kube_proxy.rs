//! A sync as kube-proxy does it: a complete reconciliation every time, one object after another.
//!
//! Order of everything: `syncProxyRules` in pkg/proxy/ipvs/proxier.go; the trial at the start: `CanUseIPVSProxier` in
//! supported.go; a removed endpoint: `GracefulDeleteRS` in graceful_termination.go; entries: `syncIPSetEntries` in ipset.go.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use netns_setup::ipvs::{Key, Request};
use services::service::Protocol;
use services::service_set::ServiceSet;

use super::entries::{self, Entries, Entry, Filled};
use super::rules;
use super::servers::{self, Server};
use super::sets::Set;
use super::settings::{DUMMY, SYSCTLS};
use crate::conntrack;
use crate::contract::Sync;
use crate::drain::Drain;
use crate::kube_proxy::KubeProxy;
use crate::node::Node;
use crate::plan::{Action, AddressRequest, Expect, Phase, Program, Step};
use crate::way::Way;

/// Where kube-proxy tries out whether IPVS works (TEST-NET-2).
const TRIAL: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 0), 20_000));

/// Every step of a sync.
pub(crate) fn steps(node: &Node, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Vec<Step> {
    let present = !from.is_empty();
    let (before, after) = (servers::of(node, from), servers::of(node, to));
    let mut steps = Vec::new();
    if sync == Sync::Full {
        steps.push(trial(node, present));
        steps.extend(SYSCTLS.map(|(key, value)| Step::asks(Phase::Setup, Action::Sysctl { key, value })));
    }
    steps.extend(rules::steps(node, present));
    steps.push(Step::asks(Phase::Setup, Action::Link { name: DUMMY, way: Way::KubeProxy }));
    steps.extend(Set::ALL.map(|set| ipset(&set.create(node.family()), Expect::Success)));
    // Since 1.37 it reads the addresses of all other links in one dump.
    let once = node.kube_proxy >= KubeProxy::V1_37;
    steps.extend([AddressRequest::List, AddressRequest::ListOthers { once }].map(addresses));

    let bound: HashSet<IpAddr> = before.iter().filter_map(|server| server.binds).collect();
    put_servers(&before, &after, &bound, &mut steps);
    let entries = |set: &ServiceSet| entries::of(node, set.services().iter().map(AsRef::as_ref));
    put_entries(node, &entries(from), &entries(to), &mut steps);
    steps.push(rules::restored(node, &Filled::by(node, to)));

    let wanted: HashSet<IpAddr> = after.iter().filter_map(|server| server.binds).collect();
    let mut superfluous: Vec<IpAddr> = bound.difference(&wanted).copied().collect();
    if !superfluous.is_empty() {
        superfluous.sort_unstable();
        steps.push(addresses(AddressRequest::Remove(superfluous)));
    }
    steps.push(leftovers(&before, &after));
    if node.kube_proxy == KubeProxy::V1_30 {
        // A kube-proxy that has just been started takes every Service for a new one.
        let known = if sync == Sync::Full { &ServiceSet::default() } else { from };
        steps.extend(conntrack::cleanup(known, to));
    }
    steps
}

fn ask(phase: Phase, requests: Vec<Request>) -> Step {
    Step::asks(phase, Action::Ipvs { way: Way::KubeProxy, requests })
}

fn addresses(request: AddressRequest) -> Step {
    Step::asks(Phase::Addresses, Action::Addresses { device: DUMMY, way: Way::KubeProxy, request })
}

fn ipset(args: &[&str], expect: Expect) -> Step {
    Step::new(Phase::Sets, Program::Ipset, args, expect)
}

/// A virtual server that comes and goes; skipped where some with the same scheduler are there already.
fn trial(node: &Node, present: bool) -> Step {
    if present {
        return ask(Phase::Setup, vec![Request::ListServices]);
    }
    let mut server = servers::virtual_server(node.scheduler, servers::key(TRIAL, Protocol::Tcp), None);
    server.flags = 0;
    let list = Request::ListServices;
    ask(Phase::Setup, vec![list, Request::NewService(server), list, Request::DelService(server.key)])
}

/// Service after Service; what follows without an address in between is one step.
fn put_servers(before: &[Server], after: &[Server], bound: &HashSet<IpAddr>, steps: &mut Vec<Step>) {
    let present = servers::by_key(before);
    let mut requests = Vec::new();
    for server in after {
        let key = server.server.key;
        let before = present.get(&key);
        requests.push(Request::GetService(key));
        match before {
            None => requests.push(Request::NewService(server.server)),
            Some(before) if before.server != server.server => {
                requests.push(Request::SetService(server.server))
            }
            Some(_) => {}
        }
        // What this sync itself has bound it does not remember: a second port of an address binds it again.
        if let Some(address) = server.binds.filter(|address| !bound.contains(address)) {
            steps.push(ask(Phase::Servers, std::mem::take(&mut requests)));
            steps.push(addresses(AddressRequest::Add(vec![address])));
        }
        requests.extend([Request::GetService(key), Request::ListDests(key)]);
        let (added, removed) =
            servers::difference(before.map_or(&[], |before| &before.endpoints), &server.endpoints);
        requests.extend(added.into_iter().map(|endpoint| Request::NewDest(key, endpoint)));
        for endpoint in removed {
            if Drain::is_for(key) {
                steps.push(ask(Phase::Servers, std::mem::take(&mut requests)));
                let drain = Drain { way: Way::KubeProxy, servers: vec![(key, vec![endpoint])], again: false };
                steps.push(Step::asks(Phase::Servers, Action::Drain(drain)));
            } else {
                // Listed once more, for its connections, which then do not matter.
                requests.extend([Request::ListDests(key), Request::DelDest(key, endpoint)]);
            }
        }
    }
    steps.push(ask(Phase::Servers, requests));
    steps.retain(|step| !matches!(&step.action, Action::Ipvs { requests, .. } if requests.is_empty()));
}

/// Lists every set; one program for each entry that is too many, then for each that is missing.
fn put_entries(node: &Node, before: &Entries, after: &Entries, steps: &mut Vec<Step>) {
    for set in Set::ALL {
        let name = set.name(node.family());
        steps.push(ipset(&["list", name], Expect::Success));
        let of = |entry: &&(Set, Entry)| entry.0 == set;
        // What is listed in other words than it was given in is taken for another entry.
        let misread: Vec<&(Set, Entry)> =
            after.intersection(before).filter(of).filter(|(_, entry)| entry.is_misread()).collect();
        let removed = before.difference(after).filter(of).filter(|(_, entry)| entry.is_taken());
        let removed = removed.chain(misread.iter().copied());
        steps.extend(removed.map(|(_, entry)| ipset(&["del", name, &entry.listed()], Expect::Success)));
        // What the kernel refuses is never there, and tried anew every time.
        let refused = after.intersection(before).filter(of).filter(|(_, entry)| !entry.is_taken());
        let added = after.difference(before).filter(of).chain(refused).chain(misread.iter().copied());
        steps.extend(added.map(|(_, entry)| {
            let end = if entry.is_taken() { Expect::Success } else { Expect::One };
            ipset(&["add", name, &entry.to_string(), "-exist"], end)
        }));
    }
}

/// Lists all virtual servers, and removes those that no Service has.
fn leftovers(before: &[Server], after: &[Server]) -> Step {
    let kept: HashSet<Key> = after.iter().map(|server| server.server.key).collect();
    let gone = before.iter().map(|server| server.server.key).filter(|key| !kept.contains(key));
    let requests = std::iter::once(Request::ListServices).chain(gone.map(Request::DelService));
    ask(Phase::Servers, requests.collect())
}
