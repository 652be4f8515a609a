//! Services found in a ruleset, compared with what kube-proxy promises for packets of a pod.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use conformance::semantics::{FirstPacket, Origin, Promise, promise};
use dataplane::{Mode, Node};
use ruleset::search::{FoundServices, Frontend};
use services::service_set::ServiceSet;

/// What was found amiss.
pub fn differences(mode: Mode, node: &Node, set: &ServiceSet, found: &FoundServices) -> Vec<String> {
    let mut amiss = Vec::new();
    let cidr = node.cluster_cidr.unwrap();
    // An address of the CIDR that no pod of the random Services has.
    let from: IpAddr = cidr.hosts().nth(200).unwrap();
    let mut frontends = BTreeSet::new();
    for service in set.services() {
        let balanced = |ip| Frontend::LoadBalancer == door_of(service, ip);
        let all = std::iter::once((service.cluster, Frontend::Cluster)).chain(
            service.external_addresses().map(|address| {
                (address, if balanced(address.ip()) { Frontend::LoadBalancer } else { Frontend::External })
            }),
        );
        for (to, frontend) in all {
            let packet = FirstPacket { from, origin: Origin::Pod, to, protocol: service.protocol };
            let (promised, _) = promise(mode, node, set, &packet);
            let wanted: BTreeSet<SocketAddr> = match &promised {
                Promise::Delivered(choices) => choices.iter().map(|choice| choice.endpoint).collect(),
                _ => BTreeSet::new(),
            };
            frontends.insert((to, service.protocol));
            let here =
                found.found.iter().find(|found| (found.entry, found.protocol) == (to, service.protocol));
            let Some(here) = here else {
                // Where nobody answers there may be no rule at all.
                if !wanted.is_empty() {
                    amiss.push(format!("{to} of {} is not found, but {promised:?}", service.display_name()));
                }
                continue;
            };
            let answers: BTreeSet<SocketAddr> = here.answers.iter().copied().collect();
            if here.is_certain == wanted.is_empty() || (here.is_certain && answers != wanted) {
                amiss.push(format!("{here:?}, but {promised:?}"));
            }
            // nftables does not tell external from load-balancer IPs.
            let same_door = here.frontend == frontend
                || (mode == Mode::Nftables
                    && here.frontend == Frontend::External
                    && frontend != Frontend::Cluster);
            // The comment of an element that stays is that of the Service before.
            let same_name = here.name == service.display_name() || !here.name.contains('/');
            if here.is_certain && !(same_name && same_door) {
                amiss.push(format!("{here:?} is {frontend:?} of {}", service.display_name()));
            }
        }
    }
    amiss.extend(
        found
            .found
            .iter()
            .filter(|found| !frontends.contains(&(found.entry, found.protocol)))
            .map(|found| format!("{found:?} is no address of a Service")),
    );
    let cidrs = &found.cluster_cidrs;
    if set.services().iter().any(|service| !service.routes().internal(service).is_empty())
        && *cidrs != [cidr.trunc()]
    {
        amiss.push(format!("cluster CIDR {cidrs:?} instead of {cidr}"));
    }
    amiss
}

fn door_of(service: &services::service::Service, ip: IpAddr) -> Frontend {
    if service.load_balancer_ips.contains(&ip) { Frontend::LoadBalancer } else { Frontend::External }
}
