//! Source ranges that let everybody in.
//!
//! In 1.34 to 1.37 a range of all addresses means what no range means, in every mode (`newBaseServiceInfo` in
//! pkg/proxy/serviceport.go); 1.30 takes it for a range like any other. Versions between them were not looked at.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use services::service::Service;
use services::service_set::ServiceSet;

use crate::contract::{Dataplane, Sync};
use crate::counts::Counts;
use crate::kube_proxy::KubeProxy;
use crate::plan::Plan;
use crate::unfit::Unfit;

/// A planner whose Services have the ranges that a kube-proxy of a version sees.
pub(crate) struct OpenToAll {
    pub(crate) planner: Box<dyn Dataplane>,
    pub(crate) version: KubeProxy,
}

fn is_open(service: &Service) -> bool {
    service.source_ranges.iter().any(|range| range.prefix_len() == 0)
}

/// The set as a kube-proxy of a version sees it: a Service has no ranges if one of them lets everybody in.
pub(crate) fn seen(version: KubeProxy, set: &ServiceSet) -> Cow<'_, ServiceSet> {
    if version < KubeProxy::V1_34 || !set.services().iter().any(|service| is_open(service)) {
        return Cow::Borrowed(set);
    }
    let each = set.services().iter().map(|service| {
        if !is_open(service) {
            return Arc::clone(service);
        }
        let mut without = Service::clone(service);
        without.source_ranges.clear();
        Arc::new(without)
    });
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
        self.planner.answers(&self.seen(to), service)
    }
}
