//! What every mode does: Services in, plans out.

use std::net::SocketAddr;

use services::service::Service;
use services::service_set::ServiceSet;

use crate::counts::Counts;
use crate::plan::Plan;
use crate::unfit::Unfit;

/// How kube-proxy comes to sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sync {
    /// The first sync of a kube-proxy process, over whatever the kernel holds: everything is written.
    Full,
    /// A later sync: what changed, and whatever that version of kube-proxy rewrites besides.
    Partial,
}

/// One kube-proxy mode: Services in, plans out. Pure and deterministic.
pub trait Dataplane: Send + std::marker::Sync {
    /// What kube-proxy runs to get from one set of Services to another.
    ///
    /// `from` empty: the kernel holds nothing of kube-proxy's yet.
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan;

    /// What kube-proxy runs when it is time to write everything again: after 30 s in IPVS mode and in the nftables mode
    /// of 1.30, else after an hour. `None`: there is no kube-proxy.
    fn resync(&self, set: &ServiceSet) -> Option<Plan> {
        let _ = set;
        None
    }

    /// The same final kernel state as a cold full sync, loaded in whatever pieces are quickest.
    /// For labs that serve lookups only: its time means nothing.
    fn load(&self, to: &ServiceSet) -> Plan;

    /// The smallest possible change at this size: one rule or one element more, with the tool's own
    /// command. Its `expect` counts it; `None` where the mode has no list to append to.
    fn append(&self, to: &ServiceSet) -> Option<Plan>;

    /// What the kernel holds once `to` is installed.
    fn counts(&self, to: &ServiceSet) -> Counts;

    /// Whether the mode can hold these Services at all.
    ///
    /// # Errors
    /// What stands against it.
    fn fits(&self, to: &ServiceSet) -> Result<(), Unfit> {
        let _ = to;
        Ok(())
    }

    /// Where a client sends a packet that is meant for this Service.
    fn entry(&self, service: &Service) -> SocketAddr {
        service.cluster
    }

    /// Which addresses may answer for its cluster IP; more than one: in equal shares.
    fn answers(&self, to: &ServiceSet, service: &Service) -> Vec<SocketAddr> {
        let _ = to;
        service.routes().internal(service).iter().map(|endpoint| endpoint.address).collect()
    }
}
