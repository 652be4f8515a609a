//! Which endpoints of a Service get traffic, by traffic policy.

use std::borrow::Cow;

use crate::service::{Condition, Endpoint, Hint, Hints, Policy, Service};

/// The endpoints that kube-proxy uses (`CategorizeEndpoints`, pkg/proxy/topology.go).
///
/// Hints are followed as 1.34 to 1.37 do, for traffic under policy Cluster: those for nodes if every ready endpoint has one and
/// one is for this node; else those for zones, likewise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes<'a> {
    /// For traffic under policy Cluster: those that are ready and meant for this node; without any that is ready, those that
    /// serve while they terminate.
    /// Empty if no traffic of the Service is under it.
    pub cluster: Cow<'a, [Endpoint]>,
    /// For traffic under policy Local: the same, of those on this node.
    /// Empty if no traffic of the Service is under it.
    pub local: Cow<'a, [Endpoint]>,
    /// Both together, in the order of the Service: those that have chains of their own.
    pub reachable: Cow<'a, [Endpoint]>,
    /// Whether there are endpoints anywhere, be they of use to this node or not. Without: reject. With, but without a
    /// local one where one is needed: drop.
    pub any: bool,
}

impl Service {
    /// Which endpoints get traffic.
    pub fn routes(&self) -> Routes<'_> {
        Routes::of(self)
    }
}

impl<'a> Routes<'a> {
    fn of(service: &'a Service) -> Self {
        let all = service.endpoints();
        let none = || Cow::Borrowed(&[][..]);
        let cluster = match service.uses_cluster_endpoints() {
            true => match followed(all) {
                None => usable(all, |_| true),
                Some(hint) => {
                    all.iter().filter(|one| is_ready(one) && hint(one.hints) == Hint::Here).copied().collect()
                }
            },
            false => none(),
        };
        if !service.uses_local_endpoints() {
            let any = !cluster.is_empty();
            return Self { reachable: cluster.clone(), local: none(), cluster, any };
        }
        let local = usable(all, |endpoint| endpoint.local);
        let reachable = if !service.uses_cluster_endpoints() {
            local.clone()
        } else if local.iter().all(is_ready) && followed(all).is_none() {
            // Then they are among those of the cluster.
            cluster.clone()
        } else {
            let reached = |endpoint: &&Endpoint| cluster.contains(endpoint) || local.contains(endpoint);
            all.iter().filter(reached).copied().collect()
        };
        Self { cluster, local, reachable, any: !all.is_empty() }
    }

    /// Those for traffic to the cluster IP of the Service whose routes these are.
    pub fn internal(&self, service: &Service) -> &[Endpoint] {
        self.under(service.internal_policy)
    }

    /// Those for traffic to its node port, external and load-balancer IPs from elsewhere.
    pub fn external(&self, service: &Service) -> &[Endpoint] {
        self.under(service.external_policy)
    }

    fn under(&self, policy: Policy) -> &[Endpoint] {
        match policy {
            Policy::Cluster => &self.cluster,
            Policy::Local => &self.local,
        }
    }
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.condition == Condition::Ready
}

/// Which of their hints decide which endpoints are used, if any do (`topologyModeFromHints`).
fn followed(all: &[Endpoint]) -> Option<fn(Hints) -> Hint> {
    let kinds: [fn(Hints) -> Hint; 2] = [|hints| hints.node, |hints| hints.zone];
    kinds.into_iter().find(|hint| {
        let ready = || all.iter().filter(|endpoint| is_ready(endpoint)).map(|endpoint| hint(endpoint.hints));
        ready().all(|hint| hint != Hint::None) && ready().any(|hint| hint == Hint::Here)
    })
}

/// Those that are ready; without any, those that terminate. Borrowed when that is all of them.
fn usable(all: &[Endpoint], wanted: impl Fn(&Endpoint) -> bool) -> Cow<'_, [Endpoint]> {
    let of = |condition| {
        let fits = |endpoint: &Endpoint| endpoint.condition == condition && wanted(endpoint);
        match all.iter().all(fits) {
            true => Cow::Borrowed(all),
            false => all.iter().filter(|endpoint| fits(endpoint)).copied().collect(),
        }
    };
    let ready = of(Condition::Ready);
    if ready.is_empty() { of(Condition::Terminating) } else { ready }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::service::Protocol;

    fn endpoint(last: u8, local: bool, condition: Condition) -> Endpoint {
        let address = SocketAddr::new(Ipv4Addr::new(10, 0, 0, last).into(), 80);
        Endpoint { condition, ..Endpoint::ready(address, local) }
    }

    /// All ready.
    fn hinted(endpoints: &[(u8, bool, Hint, Hint)]) -> Service {
        let mut service = service(&[]);
        let each = |&(last, local, node, zone): &(u8, bool, Hint, Hint)| Endpoint {
            hints: Hints { node, zone },
            ..endpoint(last, local, Ready)
        };
        service.set_endpoints(endpoints.iter().map(each).collect());
        service
    }

    fn lasts(endpoints: &[Endpoint]) -> Vec<u8> {
        let last = |endpoint: &Endpoint| match endpoint.address {
            SocketAddr::V4(address) => address.ip().octets()[3],
            SocketAddr::V6(_) => unreachable!(),
        };
        endpoints.iter().map(last).collect()
    }

    use Condition::{Ready, Terminating};

    fn service(endpoints: &[(u8, bool, Condition)]) -> Service {
        let cluster = "10.96.0.1:80".parse().unwrap();
        let endpoints =
            endpoints.iter().map(|&(last, local, condition)| endpoint(last, local, condition)).collect();
        Service::new("n", "s", "", Protocol::Tcp, cluster, endpoints)
    }

    #[track_caller]
    fn check(service: &Service, cluster: &[u8], local: &[u8], reachable: &[u8], any: bool) {
        let routes = service.routes();
        let found = [&routes.cluster, &routes.local, &routes.reachable].map(|list| lasts(list));
        assert_eq!((found, routes.any), ([cluster.to_vec(), local.to_vec(), reachable.to_vec()], any));
    }

    #[test]
    fn policy_cluster_uses_what_is_ready_and_else_what_terminates() {
        check(&service(&[(1, true, Ready), (2, false, Terminating)]), &[1], &[], &[1], true);
        check(&service(&[(1, true, Terminating), (2, false, Terminating)]), &[1, 2], &[], &[1, 2], true);
        check(&service(&[]), &[], &[], &[], false);
    }

    #[test]
    fn an_internal_policy_alone_needs_no_cluster_endpoints() {
        let mut service = service(&[(1, true, Ready), (2, false, Ready)]);
        service.internal_policy = Policy::Local;
        check(&service, &[], &[1], &[1], true);
        service.node_port = Some(30_000);
        check(&service, &[1, 2], &[1], &[1, 2], true);
    }

    #[test]
    fn an_external_policy_counts_only_for_what_is_external() {
        let mut service = service(&[(1, true, Ready), (2, false, Ready)]);
        service.external_policy = Policy::Local;
        check(&service, &[1, 2], &[], &[1, 2], true);
        service.load_balancer_ips.push(Ipv4Addr::new(192, 0, 2, 1).into());
        check(&service, &[1, 2], &[1], &[1, 2], true);
    }

    #[test]
    fn a_local_endpoint_that_terminates_is_reached_beside_the_ready_ones_elsewhere() {
        let mut service = service(&[(1, true, Terminating), (2, false, Ready), (3, false, Terminating)]);
        (service.external_policy, service.node_port) = (Policy::Local, Some(30_000));
        check(&service, &[2], &[1], &[1, 2], true);
    }

    #[test]
    fn endpoints_elsewhere_are_endpoints() {
        let mut service = service(&[(2, false, Ready)]);
        service.internal_policy = Policy::Local;
        check(&service, &[], &[], &[], true);
        service.set_endpoints(Vec::new());
        check(&service, &[], &[], &[], false);
    }

    #[test]
    fn hints_are_followed_if_all_have_them_and_one_is_for_here() {
        use Hint::{Elsewhere, Here, None};
        let mut zone = hinted(&[(1, false, None, Here), (2, true, None, Elsewhere), (3, false, None, Here)]);
        check(&zone, &[1, 3], &[], &[1, 3], true);
        zone.internal_policy = Policy::Local;
        check(&zone, &[], &[2], &[2], true);
        zone.node_port = Some(30_000);
        check(&zone, &[1, 3], &[2], &[1, 2, 3], true);
        check(&hinted(&[(1, false, None, Here), (2, true, None, None)]), &[1, 2], &[], &[1, 2], true);
        check(&hinted(&[(1, false, None, Elsewhere)]), &[1], &[], &[1], true);
        // A node before its zone.
        check(&hinted(&[(1, false, Elsewhere, Here), (2, true, Here, Elsewhere)]), &[2], &[], &[2], true);
        check(
            &hinted(&[(1, false, Elsewhere, Here), (2, true, Elsewhere, Elsewhere)]),
            &[1],
            &[],
            &[1],
            true,
        );
        check(&hinted(&[(1, false, Elsewhere, Here), (2, true, None, Elsewhere)]), &[1], &[], &[1], true);
    }

    #[test]
    fn hints_of_endpoints_that_terminate_do_not_count() {
        let mut service = hinted(&[(1, false, Hint::None, Hint::Here), (2, false, Hint::None, Hint::None)]);
        let mut endpoints = service.endpoints().to_vec();
        endpoints[1].condition = Terminating;
        service.set_endpoints(endpoints.clone());
        check(&service, &[1], &[], &[1], true);
        endpoints[0].condition = Terminating;
        service.set_endpoints(endpoints);
        check(&service, &[1, 2], &[], &[1, 2], true);
    }
}
