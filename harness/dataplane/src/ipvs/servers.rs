//! Virtual and real servers, as kube-proxy makes them from Services.
//!
//! Source: `syncProxyRules` and `syncEndpoint` in pkg/proxy/ipvs/proxier.go.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use netns_setup::ipvs::{
    Forwarding, IpvsProtocol, Key, MH_PORT, RealServer, Request, Scheduler, VirtualServer,
};
use services::routes::Routes;
use services::service::{self, Endpoint, Policy, Service};
use services::service_set::ServiceSet;

use crate::node::Node;

/// A virtual server with its real servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// The virtual server.
    pub(crate) server: VirtualServer,
    /// The address that is bound to the dummy link for it; none for an address of the node's own.
    pub(crate) binds: Option<IpAddr>,
    /// Its real servers, in kube-proxy's order of endpoints.
    pub(crate) endpoints: Vec<RealServer>,
}

impl Server {
    /// Requests that make it and its real servers.
    pub(crate) fn requests(&self) -> impl Iterator<Item = Request> {
        let key = self.server.key;
        let endpoints = self.endpoints.iter().map(move |&endpoint| Request::NewDest(key, endpoint));
        std::iter::once(Request::NewService(self.server)).chain(endpoints)
    }
}

/// An address at which a Service is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerPosition {
    /// Address and port.
    pub(crate) address: SocketAddr,
    /// Whether the address is bound to the dummy link.
    pub(crate) binds: bool,
    /// Which endpoints are behind it.
    pub(crate) policy: Policy,
}

/// Where a Service is served, in kube-proxy's order: cluster IP, external IPs, load-balancer IPs, node port.
pub(crate) fn places(node: &Node, service: &Service) -> impl Iterator<Item = ServerPosition> {
    let (own, policy) = (node.address, service.external_policy);
    let cluster = ServerPosition { address: service.cluster, binds: true, policy: service.internal_policy };
    let external = service.external_addresses().map(move |address| ServerPosition {
        address,
        binds: address.ip() != own,
        policy,
    });
    let node_port = service.node_port.map(|port| {
        let address = SocketAddr::new(own, port);
        ServerPosition { address, binds: false, policy }
    });
    std::iter::once(cluster).chain(external).chain(node_port)
}

/// What identifies the virtual server at an address.
pub(crate) fn key(address: SocketAddr, protocol: service::Protocol) -> Key {
    let protocol = match protocol {
        service::Protocol::Tcp => IpvsProtocol::Tcp,
        service::Protocol::Udp => IpvsProtocol::Udp,
        service::Protocol::Sctp => IpvsProtocol::Sctp,
    };
    Key { address, protocol }
}

/// The virtual server for an address. Weight, forwarding and flags are those of kube-proxy: `mh` hashes the source port
/// with the address, other schedulers have no flags. `persistence` is the timeout of ClientIP affinity, seconds.
pub(crate) const fn virtual_server(
    scheduler: Scheduler,
    key: Key,
    persistence: Option<u32>,
) -> VirtualServer {
    let flags = if matches!(scheduler, Scheduler::Mh) { MH_PORT } else { 0 };
    VirtualServer { key, scheduler, persistence, flags }
}

/// The endpoints behind an address. Unlike other modes this one falls back on those of the cluster where policy Local finds
/// none on the node, if the Service uses them for anything: kubernetes/kubernetes#97081.
pub(crate) fn endpoints_of<'a>(routes: &'a Routes<'_>, policy: Policy) -> &'a [Endpoint] {
    match policy {
        Policy::Local if !routes.local.is_empty() => &routes.local,
        Policy::Local | Policy::Cluster => &routes.cluster,
    }
}

/// The servers of one Service, those that `wanted` names.
fn of_service(node: &Node, service: &Service, mut wanted: impl FnMut(Key) -> bool, each: &mut Vec<Server>) {
    let mut routes = None;
    for place in places(node, service) {
        let key = key(place.address, service.protocol);
        if !wanted(key) {
            continue;
        }
        let routes = routes.get_or_insert_with(|| service.routes());
        let real = |endpoint: &Endpoint| RealServer {
            address: endpoint.address,
            weight: 1,
            forwarding: Forwarding::Masquerade,
        };
        each.push(Server {
            server: virtual_server(node.scheduler, key, service.affinity_seconds),
            binds: place.binds.then(|| place.address.ip()),
            endpoints: endpoints_of(routes, place.policy).iter().map(real).collect(),
        });
    }
}

/// The servers of all Services, in their order. Of two with the same key the first counts: only external IPs can be the
/// same, of which Kubernetes does not see to it, and kube-proxy lets the order of a Go map decide.
pub(crate) fn of(node: &Node, set: &ServiceSet) -> Vec<Server> {
    let (mut seen, mut servers) = (HashSet::new(), Vec::with_capacity(set.len()));
    for service in set.services() {
        of_service(node, service, |key| seen.insert(key), &mut servers);
    }
    servers
}

/// Those of them with these keys.
pub(crate) fn with_keys(node: &Node, set: &ServiceSet, keys: &HashSet<Key>) -> Vec<Server> {
    let (mut seen, mut servers) = (HashSet::new(), Vec::with_capacity(keys.len()));
    for service in set.services() {
        of_service(node, service, |key| keys.contains(&key) && seen.insert(key), &mut servers);
    }
    servers
}

/// How many virtual and real servers that are.
pub(crate) fn count(node: &Node, set: &ServiceSet) -> (u64, u64) {
    let (mut seen, mut real) = (HashSet::with_capacity(set.len()), 0);
    for service in set.services() {
        let routes = service.routes();
        for place in places(node, service) {
            if seen.insert(key(place.address, service.protocol)) {
                real += endpoints_of(&routes, place.policy).len() as u64;
            }
        }
    }
    (seen.len() as u64, real)
}

/// By key.
pub(crate) fn by_key(servers: &[Server]) -> HashMap<Key, &Server> {
    servers.iter().map(|server| (server.server.key, server)).collect()
}

/// Real servers of `to` that `from` lacks, and addresses of those of `from` that `to` lacks.
pub(crate) fn difference(from: &[RealServer], to: &[RealServer]) -> (Vec<RealServer>, Vec<SocketAddr>) {
    if from == to {
        return (Vec::new(), Vec::new());
    }
    let addresses = |servers: &[RealServer]| -> HashSet<SocketAddr> {
        servers.iter().map(|server| server.address).collect()
    };
    let (before, after) = (addresses(from), addresses(to));
    let added = to.iter().filter(|server| !before.contains(&server.address)).copied().collect();
    let removed =
        from.iter().map(|server| server.address).filter(|address| !after.contains(address)).collect();
    (added, removed)
}
