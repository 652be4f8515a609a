//! How many rules and chains there are, without writing them.

use services::routes::Routes;
use services::service::Service;
use services::service_set::ServiceSet;

use super::jump_table::JUMPS;
use super::ports::{Ports, Traffic};
use super::traffic::traffic;
use super::{filter, fixed};
use crate::counts::Counts;
use crate::node::Node;

/// With these Services.
pub(crate) fn of(node: &Node, to: &ServiceSet) -> Counts {
    let of_one = |service: &Service| {
        let Traffic { routes, is_local } = traffic(service);
        of_one(node, service, &routes, is_local)
    };
    to.services().iter().map(|service| of_one(service)).fold(of_once(node), |sum, own| sum + own)
}

/// The same, with their routes at hand.
pub(crate) fn of_ports(node: &Node, ports: &Ports<'_>) -> Counts {
    let of_each = ports.iter().map(|port| of_one(node, port.service, &port.routes, port.is_local));
    of_each.fold(of_once(node), |sum, own| sum + own)
}

/// What is there once.
fn of_once(node: &Node) -> Counts {
    Counts {
        rules: JUMPS.len() as u64 + filter::fixed_rules(node) + fixed::NAT_RULES,
        chains: (fixed::CHAINS + filter::CHAINS + fixed::NAT.len()) as u64,
        ..Counts::default()
    }
}

/// What one Service port has.
fn of_one(node: &Node, service: &Service, routes: &Routes<'_>, is_local: bool) -> Counts {
    let [external_ips, balancers, ranges] =
        [service.external_ips.len(), service.load_balancer_ips.len(), service.source_ranges.len()]
            .map(|count| count as u64);
    let node_ports = u64::from(service.node_port.is_some());
    let health_checks = u64::from(service.health_check_node_port.is_some());
    if !routes.any {
        // All is rejected.
        let rules = 1 + external_ips + balancers + node_ports + health_checks;
        return Counts { rules, ..Counts::default() };
    }
    // In and out of the CIDR.
    let pods = u64::from(node.cluster_cidr.is_some());
    let has_node = service.source_ranges.iter().any(|range| range.contains(&node.address));
    let affinity = if service.affinity_seconds.is_some() { 2 } else { 1 };
    let [cluster, locals, reachable] =
        [&routes.cluster, &routes.local, &routes.reachable].map(|endpoints| endpoints.len() as u64);
    // What leads to endpoints, and their own.
    let dispatched = affinity * (cluster + locals) + 2 * reachable;
    let answers = !routes.internal(service).is_empty();
    let mut own = Counts {
        // The one rule, and that which masquerades strangers.
        rules: 1 + if answers { pods } else { 0 } + health_checks + dispatched,
        chains: u64::from(cluster > 0) + u64::from(locals > 0) + reachable,
        ..Counts::default()
    };
    if service.is_externally_accessible() {
        let answers = u64::from(!routes.external(service).is_empty());
        own.chains += 1;
        // Each entrance, and where nobody answers what drops it; the chain's own.
        own.rules += (external_ips + balancers + node_ports) * (2 - answers) + answers;
        // Those that count what comes on 127.0.0.1.
        own.rules += if filter::counts_loopback(node) { node_ports } else { 0 };
        own.rules += if is_local { pods + 2 } else { 1 };
    }
    if ranges > 0 && balancers > 0 {
        own.chains += 1;
        // What drops the rest, for each; in the chain, the ranges, the balancers themselves, and a comment.
        own.rules += balancers + ranges + if has_node { balancers } else { 0 } + 1;
    }
    own
}
