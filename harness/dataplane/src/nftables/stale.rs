//! Chains and sets that a sync leaves without use.

use std::collections::{HashMap, HashSet};

use services::service::Service;
use services::service_set::{Diff, ServiceSet};

use super::form::Form;
use super::layout::{Chain, Layout};
use super::names::Names;
use super::words::Words;
use crate::text::put;

/// What no Service uses any more.
#[derive(Default)]
pub(crate) struct Stale {
    chains: Vec<Vec<u8>>,
    sets: Vec<Vec<u8>>,
    names: Names,
}

impl Stale {
    /// After the sync from one set to another.
    pub(crate) fn between(form: &Form, from: &ServiceSet, to: &ServiceSet, diff: &Diff) -> Self {
        let mut stale = Self::default();
        if from.is_empty() {
            return stale;
        }
        let changed = diff.changed.iter().map(|&index| &to.services()[index]);
        let now: HashMap<_, _> = changed.map(|service| (service.key(), service)).collect();
        for before in diff.touched(from, to) {
            stale.compare(form, before, now.get(&before.key()).map(|service| &***service));
        }
        // kube-proxy has them in the order of a listing or of a Go map.
        stale.chains.sort_unstable();
        stale.sets.sort_unstable();
        stale
    }

    fn compare(&mut self, form: &Form, before: &Service, now: Option<&Service>) {
        let (before, now) = (Layout::of(before), now.map(Layout::of));
        let endpoints = |layout: &Layout<'_>| -> HashSet<_> {
            layout.routes.reachable.iter().map(|endpoint| endpoint.address).collect()
        };
        let reached = now.as_ref().map(endpoints).unwrap_or_default();
        let affine = |layout: &Layout<'_>| layout.service.affinity_seconds.is_some();
        let is_affine_now = now.as_ref().is_some_and(affine);
        let has_chains = |layout: &Layout<'_>| form.has_endpoint_chains(layout.service);
        let (had_chains, has_chains_now) = (has_chains(&before), now.as_ref().is_some_and(has_chains));
        self.names.make(before.service, &*before.routes.reachable);
        for (index, endpoint) in before.routes.reachable.iter().enumerate() {
            let (name, is_reached) = (self.names.endpoint(index), reached.contains(&endpoint.address));
            if had_chains && !(is_reached && has_chains_now) {
                self.chains.push([b"endpoint-", name].concat());
            }
            if affine(&before) && !(is_reached && is_affine_now) {
                self.sets.push([b"affinity-", name].concat());
            }
        }
        for chain in Chain::ALL {
            if before.has(chain) && !now.as_ref().is_some_and(|now| now.has(chain)) {
                self.chains.push([chain.prefix().as_bytes(), self.names.base()].concat());
            }
        }
    }

    /// What can be done at once: chains are emptied and sets deleted.
    pub(crate) fn put_first(&self, words: &Words, out: &mut Vec<u8>) {
        for chain in &self.chains {
            put!(out, words.flush_chain, chain, "\n");
        }
        for set in &self.sets {
            put!(out, words.delete_set, set, "\n");
        }
    }

    /// What has to wait for a later sync, if anything: chains are deleted.
    pub(crate) fn later(&self, words: &Words) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for chain in &self.chains {
            put!(out, words.delete_chain, chain, "\n");
        }
        (!out.is_empty()).then_some(out)
    }
}
