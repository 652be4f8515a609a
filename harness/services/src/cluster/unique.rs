//! That no two Service ports want the same: what kube-proxy would make of it depends on chance.
//!
//! The API server gives out a cluster IP and a node port only once. It does not look at external and load-balancer
//! IPs: of two Services with the same address and port, iptables mode takes whichever stands first in a list whose
//! order varies, IPVS mode whichever it writes last, and in nftables mode the two elements contradict each other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;

use super::error::Problem;
use super::placed::PlacedService;
use crate::service::{Protocol, Service, ServiceKey};

/// What a packet is addressed to.
#[derive(PartialEq, Eq, Hash)]
enum Target {
    Address(SocketAddr, Protocol),
    NodePort(u16, Protocol),
}

/// Checks the Service ports of one family.
pub(super) fn check(found: &[PlacedService]) -> Result<(), Problem> {
    let mut keys: HashMap<ServiceKey<'_>, ()> = HashMap::with_capacity(found.len());
    let mut targets: HashMap<Target, &Service> = HashMap::with_capacity(found.len());
    for PlacedService { position, service } in found {
        let problem = |problem: String| {
            Problem::of(*position, &format!("Service {}/{}", service.namespace, service.name), problem)
        };
        if keys.insert(service.key(), ()).is_some() {
            let (name, protocol) = (service.display_name(), service.protocol.name());
            return Err(problem(format!(
                "{name} of {protocol} is there twice; expected each Service port once"
            )));
        }
        for (target, what) in targets_of(service) {
            match targets.entry(target) {
                Entry::Vacant(entry) => {
                    entry.insert(service);
                }
                // A load balancer may have an address that is among the external IPs, too.
                Entry::Occupied(entry) if std::ptr::eq(*entry.get(), service) => {}
                Entry::Occupied(entry) => {
                    let other = entry.get().display_name();
                    return Err(problem(format!(
                        "{what} of {} is also that of {other}; which of them kube-proxy would serve there depends on \
                         chance, so take one out",
                        service.display_name()
                    )));
                }
            }
        }
    }
    Ok(())
}

fn targets_of(service: &Service) -> impl Iterator<Item = (Target, String)> {
    let protocol = service.protocol;
    let cluster = std::iter::once((service.cluster, "cluster IP"));
    let external = service.external_addresses().map(|address| (address, "external address"));
    let addresses = cluster.chain(external).map(move |(address, what)| {
        (Target::Address(address, protocol), format!("{what} {address}/{}", protocol.name()))
    });
    let node_port = service
        .node_port
        .map(|port| (Target::NodePort(port, protocol), format!("node port {port}/{}", protocol.name())));
    addresses.chain(node_port)
}
