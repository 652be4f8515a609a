//! Source ranges that let everybody in.
//!
//! A range of all addresses means since 1.31 at the earliest, and in 1.34 for sure, what no range means, in every mode
//! (`newBaseServiceInfo` in pkg/proxy/serviceport.go); 1.30 takes it for a range like any other.

use std::borrow::Cow;
use std::net::SocketAddr;

use services::service::Service;
use services::service_set::ServiceSet;

use crate::contract::{Dataplane, Sync};
use crate::counts::Counts;
use crate::plan::Plan;
use crate::unfit::Unfit;

/// A planner whose Services have no ranges if one of them lets everybody in.
pub(crate) struct OpenToAll(pub(crate) Box<dyn Dataplane>);

fn is_open(service: &Service) -> bool {
    service.source_ranges.iter().any(|range| range.prefix_len() == 0)
}

fn seen_service(service: &Service) -> Service {
    let mut seen = service.clone();
    if is_open(service) {
        seen.source_ranges.clear();
    }
    seen
}

/// The set as kube-proxy has it.
fn seen(set: &ServiceSet) -> Cow<'_, ServiceSet> {
    match set.services().iter().any(|service| is_open(service)) {
        false => Cow::Borrowed(set),
        true => Cow::Owned(set.services().iter().map(|service| seen_service(service)).collect()),
    }
}

impl Dataplane for OpenToAll {
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan {
        self.0.plan(&seen(from), &seen(to), sync)
    }

    fn resync(&self, set: &ServiceSet) -> Option<Plan> {
        self.0.resync(&seen(set))
    }

    fn load(&self, to: &ServiceSet) -> Plan {
        self.0.load(&seen(to))
    }

    fn append(&self, to: &ServiceSet) -> Option<Plan> {
        self.0.append(&seen(to))
    }

    fn counts(&self, to: &ServiceSet) -> Counts {
        self.0.counts(&seen(to))
    }

    fn fits(&self, to: &ServiceSet) -> Result<(), Unfit> {
        self.0.fits(&seen(to))
    }

    fn entry(&self, service: &Service) -> SocketAddr {
        self.0.entry(service)
    }

    fn answers(&self, to: &ServiceSet, service: &Service) -> Vec<SocketAddr> {
        self.0.answers(&seen(to), service)
    }
}
