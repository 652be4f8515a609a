//! Virtual and real servers, as kube-proxy makes them from Services.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use netns_setup::ipvs::{Forwarding, Key, MH_PORT, Protocol, RealServer, Request, Scheduler, VirtualServer};

use super::super::Node;
use crate::service::{self, Service};

/// A virtual server with its real servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The virtual server.
    pub server: VirtualServer,
    /// The address that is bound to the dummy link for it; none for a node port.
    pub binds: Option<IpAddr>,
    /// Its real servers, in kube-proxy's order of endpoints.
    pub endpoints: Vec<RealServer>,
}

impl Server {
    /// Requests that make it and its real servers.
    pub fn requests(&self) -> impl Iterator<Item = Request> {
        let key = self.server.key;
        let endpoints = self.endpoints.iter().map(move |&endpoint| Request::NewDest(key, endpoint));
        std::iter::once(Request::NewService(self.server)).chain(endpoints)
    }
}

/// The virtual server for an address. Weight, forwarding and flags are those of kube-proxy: `mh` hashes the source port
/// with the address, other schedulers have no flags.
pub fn virtual_server(
    scheduler: Scheduler,
    address: SocketAddr,
    protocol: service::Protocol,
    persistence: Option<u32>,
) -> VirtualServer {
    let protocol = match protocol {
        service::Protocol::Tcp => Protocol::Tcp,
        service::Protocol::Udp => Protocol::Udp,
        service::Protocol::Sctp => Protocol::Sctp,
    };
    VirtualServer {
        key: Key { address, protocol },
        scheduler,
        persistence,
        flags: if scheduler == Scheduler::Mh { MH_PORT } else { 0 },
    }
}

/// The servers of one Service: its cluster IP, then its node port on the node's address.
pub fn of_service(node: &Node, service: &Service) -> impl Iterator<Item = Server> {
    let real = |address: SocketAddr| RealServer { address, weight: 1, forwarding: Forwarding::Masquerade };
    let endpoints: Vec<RealServer> =
        service.endpoints().iter().map(|endpoint| real(endpoint.address)).collect();
    let (scheduler, protocol) = (node.scheduler, service.protocol);
    let at = move |address, binds| {
        let server = virtual_server(scheduler, address, protocol, None);
        Server { server, binds, endpoints: endpoints.clone() }
    };
    let node_port = service.node_port.map(|port| SocketAddr::new(node.address, port));
    let addresses =
        [Some((service.cluster, Some(service.cluster.ip()))), node_port.map(|address| (address, None))];
    addresses.into_iter().flatten().map(move |(address, binds)| at(address, binds))
}

/// The servers of many Services, in their order. Of two with the same key the first counts; Kubernetes lets no two
/// Services share one.
pub fn of<'a>(node: &Node, services: impl IntoIterator<Item = &'a Service>) -> Vec<Server> {
    let mut seen = HashSet::new();
    let servers = services.into_iter().flat_map(|service| of_service(node, service));
    servers.filter(|server| seen.insert(server.server.key)).collect()
}

/// By key.
pub fn by_key(servers: &[Server]) -> HashMap<Key, &Server> {
    servers.iter().map(|server| (server.server.key, server)).collect()
}

/// Real servers of `to` that `from` lacks, and addresses of those of `from` that `to` lacks.
pub fn difference(from: &[RealServer], to: &[RealServer]) -> (Vec<RealServer>, Vec<SocketAddr>) {
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
