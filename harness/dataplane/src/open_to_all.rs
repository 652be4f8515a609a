//! Services as a version of kube-proxy sees them.
//!
//! In 1.34 to 1.37 a range of all addresses means what no range means, in every mode (`newBaseServiceInfo` in
//! pkg/proxy/serviceport.go); 1.30 takes it for a range like any other. Versions between them were not looked at.
//!
//! The same versions follow topology hints for nodes and zones wherever endpoints have them. Older ones do not know those for nodes,
//! and follow those for zones of Services that ask for it by an annotation only: here they follow none.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use services::service::{Endpoint, Hints, Service};
use services::service_set::ServiceSet;

use crate::contract::{Dataplane, Sync};
use crate::counts::Counts;
use crate::kube_proxy::KubeProxy;
use crate::plan::Plan;
use crate::unfit::Unfit;

/// A planner whose Services have the ranges and hints that a kube-proxy of a version sees.
pub(crate) struct OpenToAll {
    pub(crate) planner: Box<dyn Dataplane>,
    pub(crate) version: KubeProxy,
}

fn is_open(service: &Service) -> bool {
    service.source_ranges.iter().any(|range| range.prefix_len() == 0)
}

fn has_hints(service: &Service) -> bool {
    service.endpoints().iter().any(|endpoint| endpoint.hints != Hints::NONE)
}

/// The Service as a kube-proxy of a version sees it, if that is not as it is.
fn other(version: KubeProxy, service: &Service) -> Option<Service> {
    if version >= KubeProxy::V1_34 {
        // It has no ranges if one of them lets everybody in.
        return is_open(service).then(|| {
            let mut other = service.clone();
            other.source_ranges.clear();
            other
        });
    }
    has_hints(service).then(|| {
        let mut other = service.clone();
        let unhinted = |&endpoint: &Endpoint| Endpoint { hints: Hints::NONE, ..endpoint };
        other.set_endpoints(service.endpoints().iter().map(unhinted).collect());
        other
    })
}

/// The set as a kube-proxy of a version sees it.
pub(crate) fn seen(version: KubeProxy, set: &ServiceSet) -> Cow<'_, ServiceSet> {
    let is_other = if version >= KubeProxy::V1_34 { is_open } else { has_hints };
    if !set.services().iter().any(|service| is_other(service)) {
        return Cow::Borrowed(set);
    }
    let seen = |service: &Arc<Service>| other(version, service).map_or_else(|| Arc::clone(service), Arc::new);
    let each = set.services().iter().map(seen);
    Cow::Owned(each.collect())
}

impl OpenToAll {
    fn seen<'a>(&self, set: &'a ServiceSet) -> Cow<'a, ServiceSet> {
        seen(self.version, set)
    }
}

impl Dataplane for OpenToAll {
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan {
        self.planner.plan(&self.seen(from), &self.seen(to), sync)
    }

    fn resync(&self, set: &ServiceSet) -> Option<Plan> {
        self.planner.resync(&self.seen(set))
    }

    fn load(&self, to: &ServiceSet) -> Plan {
        self.planner.load(&self.seen(to))
    }

    fn append(&self, to: &ServiceSet) -> Option<Plan> {
        self.planner.append(&self.seen(to))
    }

    fn counts(&self, to: &ServiceSet) -> Counts {
        self.planner.counts(&self.seen(to))
    }

    fn fits(&self, to: &ServiceSet) -> Result<(), Unfit> {
        self.planner.fits(&self.seen(to))
    }

    fn entry(&self, service: &Service) -> SocketAddr {
        self.planner.entry(service)
    }

    fn answers(&self, to: &ServiceSet, service: &Service) -> Vec<SocketAddr> {
        match other(self.version, service) {
            Some(service) => self.planner.answers(&self.seen(to), &service),
            None => self.planner.answers(&self.seen(to), service),
        }
    }
}

#[cfg(test)]
mod tests {
    use services::service::{Hint, Protocol};

    use super::*;
    use crate::{Mode, Node, planner};

    #[test]
    fn hints_are_followed_from_1_34_on() {
        let endpoint = |last: u8, zone| Endpoint {
            hints: Hints { node: Hint::None, zone },
            ..Endpoint::ready(([10, 1, 0, last], 80).into(), false)
        };
        let endpoints = vec![endpoint(1, Hint::Here), endpoint(2, Hint::Elsewhere)];
        let service = Service::new("n", "s", "", Protocol::Tcp, ([10, 96, 0, 1], 80).into(), endpoints);
        let set = ServiceSet::from_iter([service.clone()]);
        for (version, answers) in [(KubeProxy::V1_30, 2), (KubeProxy::V1_34, 1), (KubeProxy::NEWEST, 1)] {
            for mode in [Mode::IptablesLegacy, Mode::Nftables, Mode::Ipvs] {
                let planner = planner(mode, Node::lab(version));
                assert_eq!(planner.answers(&set, &service).len(), answers, "{mode} {}", version.name());
                assert_eq!(
                    planner.counts(&set).real_servers,
                    if mode == Mode::Ipvs { answers as u64 } else { 0 }
                );
            }
        }
    }
}
