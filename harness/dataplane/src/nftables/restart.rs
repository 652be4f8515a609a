//! What the first sync of a process leaves as it is: chains of endpoints that are there already (`epChainSkipUpdate` in
//! pkg/proxy/nftables/proxier.go).

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use services::service::{Endpoint, Service, ServiceKey};
use services::service_set::ServiceSet;

use super::layout::Layout;

/// Which chains of a Service's endpoints are left as they are.
pub(crate) enum Kept {
    /// None: every later sync writes those of the Services that changed.
    None,
    /// All of them.
    All,
    /// Those of endpoints with these addresses.
    Some(HashSet<SocketAddr>),
}

impl Kept {
    /// Whether the chain of an endpoint is written.
    pub(crate) fn is_other(&self, endpoint: &Endpoint) -> bool {
        match self {
            Kept::None => true,
            Kept::All => false,
            Kept::Some(addresses) => !addresses.contains(&endpoint.address),
        }
    }

    /// Indices of the endpoints whose chains are written.
    pub(crate) fn others<'a>(&'a self, endpoints: &'a [Endpoint]) -> impl Iterator<Item = usize> {
        endpoints.iter().enumerate().filter(|(_, endpoint)| self.is_other(endpoint)).map(|(index, _)| index)
    }
}

/// What the process before has left.
pub(crate) struct Existing<'a> {
    services: HashMap<ServiceKey<'a>, &'a Arc<Service>>,
}

impl<'a> Existing<'a> {
    /// After it had synced these Services.
    pub(crate) fn of(set: &'a ServiceSet) -> Self {
        Self { services: set.services().iter().map(|service| (service.key(), service)).collect() }
    }

    /// What is kept of a Service. The name of a chain tells the endpoint, and whether there is a set for session
    /// affinity tells whether the rule about it is in the chain.
    pub(crate) fn kept(&self, service: &Arc<Service>) -> Kept {
        match self.services.get(&service.key()) {
            Some(before) if before.affinity_seconds.is_some() != service.affinity_seconds.is_some() => {
                Kept::None
            }
            Some(before) if Arc::ptr_eq(before, service) || *before == service => Kept::All,
            Some(before) => Kept::Some(
                Layout::of(before).routes.reachable.iter().map(|endpoint| endpoint.address).collect(),
            ),
            None => Kept::None,
        }
    }
}
