//! Where traffic of a Service goes, in 1.20.

use std::borrow::Cow;

use services::routes::Routes;
use services::service::{Condition, Endpoint, Policy, Service};

use super::super::ports::Traffic;

/// 1.20 knows an endpoint only while it is ready, and no `internalTrafficPolicy`.
pub(crate) fn traffic(service: &Service) -> Traffic<'_> {
    let is_local = is_local(service);
    let ready = ready(service.endpoints());
    let local = match is_local {
        true => ready.iter().filter(|endpoint| endpoint.local).copied().collect(),
        false => Cow::Borrowed(&[][..]),
    };
    let routes = Routes { any: !ready.is_empty(), reachable: ready.clone(), cluster: ready, local };
    Traffic { routes, is_local }
}

/// `OnlyNodeLocalEndpoints`: of node ports and load balancers, and of external IPs of Services that have those
/// (`RequestsOnlyLocalTraffic`, pkg/api/v1/service/util.go).
fn is_local(service: &Service) -> bool {
    let has_entrance = service.node_port.is_some() || !service.load_balancer_ips.is_empty();
    service.external_policy == Policy::Local && has_entrance
}

fn ready(all: &[Endpoint]) -> Cow<'_, [Endpoint]> {
    let is_ready = |endpoint: &Endpoint| endpoint.condition == Condition::Ready;
    match all.iter().all(is_ready) {
        true => Cow::Borrowed(all),
        false => all.iter().filter(|endpoint| is_ready(endpoint)).copied().collect(),
    }
}
