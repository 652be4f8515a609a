//! What kube-proxy 1.20 does about connection tracking.

use std::collections::HashSet;

use services::service::{Protocol, Service};
use services::service_set::{Diff, ServiceSet};

use super::traffic::traffic;
use crate::conntrack::{Known, Stale};
use crate::plan::Step;

/// Before the rules are written: one `conntrack -D` for each UDP node port that kube-proxy opens now, to hold it, whether
/// its Service has endpoints or not.
pub(crate) fn of_opened_ports(from: &ServiceSet, to: &ServiceSet, diff: &Diff) -> Vec<Step> {
    let udp_port = |service: &Service| service.node_port.filter(|_| service.protocol == Protocol::Udp);
    let mut ports: Vec<u16> =
        diff.changed.iter().filter_map(|&index| udp_port(&to.services()[index])).collect();
    if !ports.is_empty() {
        let open: HashSet<u16> = from.services().iter().filter_map(|service| udp_port(service)).collect();
        ports.retain(|port| !open.contains(port));
    }
    Stale::of_ports(to.family(), ports).steps()
}

/// After that: as in 1.30, but when a Service comes to life its load-balancer IPs are left alone, and so is its node port,
/// which has been cleaned up already.
pub(crate) fn cleanup(from: &ServiceSet, to: &ServiceSet, diff: &Diff) -> Vec<Step> {
    let known = Known {
        endpoints: |service| traffic(service).routes.cluster,
        addresses: |service| {
            std::iter::once(service.cluster.ip()).chain(service.external_ips.iter().copied()).collect()
        },
    };
    let mut stale = Stale::between(from, to, diff, &known);
    stale.ports.clear();
    stale.steps()
}
