//! Elements that are there before a sync and while it is written: `nftElementStorage` in
//! pkg/proxy/nftables/proxier.go, as far as a change reaches.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use services::service::Service;
use services::service_set::{Diff, ServiceSet};

use super::elements::{self, Element, Slot};
use super::form::Form;
use super::layout::Layout;
use super::words::Words;

/// What there was at the place of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing.
    Nothing,
    /// The same; no matter with which comment.
    Same,
    /// One that leads elsewhere.
    Another,
}

/// Elements at places that a change may concern. kube-proxy goes through those of all Services at every sync, and writes
/// nothing about the others.
pub(crate) struct Present<'a> {
    form: &'static Form,
    slots: HashMap<Slot, (Element<'a>, Wanted)>,
    /// Those of Services that are gone or differ, in their order.
    old: Vec<Slot>,
    claims: Claims,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    No,
    Yes,
}

impl<'a> Present<'a> {
    /// Before the sync from one set to another.
    pub(crate) fn before(form: &'static Form, from: &'a ServiceSet, to: &ServiceSet, diff: &Diff) -> Self {
        let mut present = Self { form, slots: HashMap::new(), old: Vec::new(), claims: Claims::default() };
        if from.is_empty() {
            // Most Services have two elements.
            present.slots.reserve(2 * to.len());
            return present;
        }
        let touched: Vec<&'a Arc<Service>> = diff.touched(from, to).collect();
        let changed = diff.changed.iter().map(|&index| &to.services()[index]);
        touched.iter().copied().chain(changed).for_each(|service| present.claims.add(form, service));
        let Self { slots, old, claims, .. } = &mut present;
        for service in claims.background(from) {
            elements::of(form, &Layout::of(service), &mut |element| {
                slots.insert(element.slot, (element, Wanted::No));
            });
        }
        for service in touched {
            elements::of(form, &Layout::of(service), &mut |element| old.push(element.slot));
        }
        present
    }

    /// Notes that a Service wants an element, and tells what there was before.
    pub(crate) fn ensure(&mut self, element: &Element<'a>) -> Before {
        match self.slots.insert(element.slot, (*element, Wanted::Yes)) {
            None => Before::Nothing,
            Some((before, _)) if before.has_value_of(element) => Before::Same,
            Some(_) => Before::Another,
        }
    }

    /// Deletes elements that no Service needs any more, container by container.
    pub(crate) fn delete_leftovers(mut self, to: &ServiceSet, words: &Words, out: &mut Vec<u8>) {
        if self.old.is_empty() {
            return;
        }
        // A Service that has not changed may have a place in common with one that has: two ports share a cluster IP.
        for service in self.claims.background(to) {
            elements::of(self.form, &Layout::of(service), &mut |element| {
                if let Some((_, wanted)) = self.slots.get_mut(&element.slot) {
                    *wanted = Wanted::Yes;
                }
            });
        }
        let slots = &mut self.slots;
        // Each can go only once.
        self.old.retain(|slot| slots.remove(slot).is_some_and(|(_, wanted)| wanted == Wanted::No));
        for &container in self.form.containers {
            for slot in self.old.iter().filter(|slot| slot.container == container) {
                slot.put_delete(words, out);
            }
        }
    }
}

/// Addresses and node ports of the Services that a change concerns, and of their endpoints on this node where these have
/// elements.
#[derive(Default)]
struct Claims {
    addresses: HashSet<IpAddr>,
    ports: HashSet<u16>,
    endpoints: HashSet<SocketAddr>,
}

impl Claims {
    fn add(&mut self, form: &Form, service: &Service) {
        self.addresses.extend(addresses(service));
        self.ports.extend(service.node_port);
        if form.has_hairpins() {
            self.endpoints.extend(local_endpoints(service));
        }
    }

    /// Services that have one of them.
    fn background<'a>(&self, set: &'a ServiceSet) -> impl Iterator<Item = &'a Arc<Service>> {
        let none = self.addresses.is_empty();
        let services = if none { &[] } else { set.services() };
        services.iter().filter(|service| {
            addresses(service).any(|address| self.addresses.contains(&address))
                || service.node_port.is_some_and(|port| self.ports.contains(&port))
                || (!self.endpoints.is_empty()
                    && local_endpoints(service).any(|endpoint| self.endpoints.contains(&endpoint)))
        })
    }
}

fn addresses(service: &Service) -> impl Iterator<Item = IpAddr> {
    let others = service.external_ips.iter().chain(&service.load_balancer_ips);
    std::iter::once(service.cluster.ip()).chain(others.copied())
}

fn local_endpoints(service: &Service) -> impl Iterator<Item = SocketAddr> {
    service.endpoints().iter().filter(|endpoint| endpoint.local).map(|endpoint| endpoint.address)
}
