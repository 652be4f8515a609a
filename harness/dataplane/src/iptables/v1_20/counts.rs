//! How many rules and chains there are in 1.20, without writing them.

use services::service::Service;
use services::service_set::ServiceSet;

use super::super::fixed;
use super::super::ports::Traffic;
use super::filter;
use super::jumps::JUMPS;
use super::traffic::traffic;
use crate::counts::Counts;
use crate::node::Node;

/// With these Services.
pub(crate) fn of(node: &Node, to: &ServiceSet) -> Counts {
    let once = Counts {
        rules: JUMPS.len() as u64 + filter::FIXED_RULES + fixed::NAT_RULES,
        // And KUBE-MARK-DROP.
        chains: (fixed::CHAINS + filter::CHAINS.len() + fixed::NAT.len() + 1) as u64,
        ..Counts::default()
    };
    to.services().iter().map(|service| of_one(node, service)).fold(once, |sum, own| sum + own)
}

/// What one Service port has.
fn of_one(node: &Node, service: &Service) -> Counts {
    let Traffic { routes, is_local } = traffic(service);
    let [external_ips, balancers, ranges] =
        [service.external_ips.len(), service.load_balancer_ips.len(), service.source_ranges.len()]
            .map(|count| count as u64);
    let node_ports = u64::from(service.node_port.is_some());
    if !routes.any {
        // All is rejected. The chain of external traffic is made for nothing.
        let (rules, chains) = (1 + external_ips + balancers + node_ports, u64::from(is_local));
        return Counts { rules, chains, ..Counts::default() };
    }
    // In and out of the CIDR.
    let pods = u64::from(node.cluster_cidr.is_some());
    let has_node = service.source_ranges.iter().any(|range| range.contains(&node.address));
    let affinity = if service.affinity_seconds.is_some() { 2 } else { 1 };
    let [cluster, locals, reachable] =
        [&routes.cluster, &routes.local, &routes.reachable].map(|endpoints| endpoints.len() as u64);
    // What leads to endpoints, and their own.
    let dispatched = affinity * (cluster + locals) + 2 * reachable;
    let masquerade = u64::from(!is_local);
    let allowed = if ranges == 0 { 1 } else { ranges + u64::from(has_node) };
    let balanced = balancers * (1 + masquerade + allowed + 1);
    // Without a local endpoint, one rule says so.
    let external = if is_local { pods + 2 + u64::from(locals == 0) } else { 0 };
    Counts {
        rules: 1 + pods + external_ips * (masquerade + 2) + balanced + 2 * node_ports + dispatched + external,
        chains: 1 + u64::from(is_local) + u64::from(balancers > 0) + reachable,
        ..Counts::default()
    }
}
