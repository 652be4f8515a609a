//! Sets whose Services have ports that differ where they cannot.

use std::collections::HashMap;
use std::sync::Arc;

use services::service::Service;
use services::service_set::ServiceSet;

/// The nearest set that an API server could hold: the ports of a Service have the addresses, policies and affinity of its
/// first. Synthetic sets with `second_ports` draw these for each port.
pub fn with_agreeing_ports(set: &ServiceSet) -> ServiceSet {
    let mut first: HashMap<(&str, &str), &Arc<Service>> = HashMap::new();
    let agreeing = |service: &'_ Arc<Service>, first: &Arc<Service>| {
        let mut service = Service::clone(service);
        service.cluster.set_ip(first.cluster.ip());
        service.external_ips.clone_from(&first.external_ips);
        service.load_balancer_ips.clone_from(&first.load_balancer_ips);
        service.source_ranges.clone_from(&first.source_ranges);
        service.external_policy = first.external_policy;
        service.internal_policy = first.internal_policy;
        service.health_check_node_port = first.health_check_node_port;
        service.affinity_seconds = first.affinity_seconds;
        service
    };
    set.services()
        .iter()
        .map(|service| {
            let first = *first.entry((&service.namespace, &service.name)).or_insert(service);
            if Arc::ptr_eq(first, service) { Service::clone(service) } else { agreeing(service, first) }
        })
        .collect()
}
