//! What the kernel holds of IPVS mode besides rules, whole: to compare a model with what is read back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netns_setup::ipvs;
use services::service_set::ServiceSet;

use super::sets::Set;
use super::{entries, servers};
use crate::node::Node;
use crate::open_to_all;

/// Servers, entries and addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Virtual servers with their real servers.
    pub servers: ipvs::State,
    /// Entries of every set, as `ipset` prints them.
    pub sets: BTreeMap<String, BTreeSet<String>>,
    /// Addresses of the dummy link.
    pub addresses: BTreeSet<IpAddr>,
}

impl State {
    /// What it is once these Services are installed, in either way.
    pub fn of(node: &Node, to: &ServiceSet) -> Self {
        let to = &*open_to_all::seen(node.kube_proxy, to);
        let servers = servers::of(node, to);
        let family = node.family();
        let mut sets: BTreeMap<String, BTreeSet<String>> =
            Set::ALL.iter().map(|set| (set.name(family).to_owned(), BTreeSet::new())).collect();
        let entries = entries::of(node, to.services().iter().map(AsRef::as_ref));
        for (set, entry) in entries.into_iter().filter(|(_, entry)| entry.is_taken()) {
            sets.entry(set.name(family).to_owned()).or_default().insert(entry.listed());
        }
        Self {
            addresses: servers.iter().filter_map(|server| server.binds).collect(),
            servers: servers.into_iter().map(|server| (server.server, server.endpoints)).collect(),
            sets,
        }
    }
}
