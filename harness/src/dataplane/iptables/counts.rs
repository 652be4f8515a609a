//! How many rules and chains there are, without writing them.

use super::ports::{Ports, is_local, routes};
use super::{fixed, jumps};
use crate::dataplane::counts::Counts;
use crate::dataplane::kube_proxy::KubeProxy;
use crate::dataplane::node::Node;
use crate::scale::ServiceSet;
use crate::service::{Routes, Service};

/// With these Services.
pub fn of(node: &Node, to: &ServiceSet) -> Counts {
    let services = to.services().iter().map(AsRef::as_ref);
    sum(node, services.map(|service| of_one(node, service, &routes(node.kube_proxy, service))))
}

/// The same, with their routes at hand.
pub fn of_ports(node: &Node, ports: &Ports<'_>) -> Counts {
    sum(node, ports.iter().map(|port| of_one(node, port.service, &port.routes)))
}

fn sum(node: &Node, services: impl Iterator<Item = Own>) -> Counts {
    let fixed = Own {
        rules: jumps::count(node.kube_proxy) + fixed::rules(node),
        chains: fixed::chains(node.kube_proxy),
    };
    let Own { rules, chains } = services
        .fold(fixed, |sum, own| Own { rules: sum.rules + own.rules, chains: sum.chains + own.chains });
    Counts { rules, chains, ..Counts::default() }
}

/// What one Service port has.
struct Own {
    rules: u64,
    chains: u64,
}

fn of_one(node: &Node, service: &Service, routes: &Routes<'_>) -> Own {
    let old = node.kube_proxy == KubeProxy::V1_20;
    let local = is_local(node.kube_proxy, service);
    let [external_ips, balancers, ranges] =
        [service.external_ips.len(), service.load_balancer_ips.len(), service.source_ranges.len()]
            .map(|count| count as u64);
    let node_ports = u64::from(service.node_port.is_some());
    let health_checks = u64::from(!old && service.health_check_node_port.is_some());
    if !routes.any {
        // All is rejected. 1.20 makes a chain for nothing.
        let chains = u64::from(old && local);
        return Own { rules: 1 + external_ips + balancers + node_ports + health_checks, chains };
    }
    // In and out of the CIDR.
    let pods = u64::from(node.cluster_cidr.is_some());
    let has_node = service.source_ranges.iter().any(|range| range.contains(&node.address));
    let affinity = if service.affinity_seconds.is_some() { 2 } else { 1 };
    let [cluster, locals, reachable] =
        [&routes.cluster, &routes.local, &routes.reachable].map(|endpoints| endpoints.len() as u64);
    // What leads to endpoints, and their own.
    let dispatched = affinity * (cluster + locals) + 2 * reachable;
    if old {
        let masquerade = u64::from(!local);
        let allowed = if ranges == 0 { 1 } else { ranges + u64::from(has_node) };
        let balanced = balancers * (1 + masquerade + allowed + 1);
        // Without a local endpoint, one rule says so.
        let external = if local { pods + 2 + u64::from(locals == 0) } else { 0 };
        return Own {
            rules: 1
                + pods
                + external_ips * (masquerade + 2)
                + balanced
                + 2 * node_ports
                + dispatched
                + external,
            chains: 1 + u64::from(local) + u64::from(balancers > 0) + reachable,
        };
    }
    let answers = !routes.internal(service).is_empty();
    let mut own = Own {
        // The one rule, and that which masquerades strangers.
        rules: 1 + if answers { pods } else { 0 } + health_checks + dispatched,
        chains: u64::from(cluster > 0) + u64::from(locals > 0) + reachable,
    };
    if service.is_externally_accessible() {
        let answers = u64::from(!routes.external(service).is_empty());
        own.chains += 1;
        // Each entrance, and where nobody answers what drops it; the chain's own.
        own.rules += (external_ips + balancers + node_ports) * (2 - answers) + answers;
        own.rules += if local { pods + 2 } else { 1 };
    }
    if ranges > 0 && balancers > 0 {
        own.chains += 1;
        // What drops the rest, for each; in the chain, the ranges, the balancers themselves, and a comment.
        own.rules += balancers + ranges + if has_node { balancers } else { 0 } + 1;
    }
    own
}
