//! kube-proxy's IPVS mode: virtual servers over generic netlink, their addresses on a dummy link, sets, and some iptables
//! rules that match them.
//!
//! Programmed in one of two ways, with the same state of the kernel at the end: as kube-proxy does it
//! ([`Way::KubeProxy`], `kube_proxy.rs`), and as well as the kernel allows ([`Way::Batched`], `batched.rs`).
//!
//! Sources: what kube-proxy 1.30.5 did (shared/golden/ipvs), and pkg/proxy/ipvs, as condensed in KUBE_PROXY_FACTS.md,
//! section 3. Kernels before 5.9, where kube-proxy also clears `net.ipv4.vs.conn_reuse_mode`, are not planned for.
//!
//! A removed endpoint of a UDP or SCTP Service goes at once, of a TCP Service when it has no more connections: see
//! [`Drain`] and [`pass`].

mod batched;
mod entries;
mod kube_proxy;
mod rules;
mod servers;
mod sets;
mod settings;
mod state;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use netns_setup::ipvs::{Key, Request, Scheduler};
use services::addresses::unused_address;
use services::service::{Family, Protocol, Service};
use services::service_set::ServiceSet;

pub use self::sets::Set;
pub use self::settings::DUMMY;
pub use self::state::State;
use crate::contract::{Dataplane, Sync};
use crate::counts::Counts;
use crate::drain::Drain;
use crate::mode::Mode;
use crate::node::Node;
use crate::plan::{Action, Phase, Plan, Step};
use crate::unfit::{Unfit, has_mode};
use crate::way::Way;

/// Planner of the IPVS mode.
pub struct Ipvs {
    node: Node,
    way: Way,
}

impl Ipvs {
    /// A planner for this node.
    pub const fn new(node: Node, way: Way) -> Self {
        Self { node, way }
    }
}

/// Whether a scheduler gives real servers of equal weight equal shares of new flows, however short these are: not one that hashes
/// addresses, fills one server after another, or looks at established connections only.
pub const fn shares_equally(scheduler: Scheduler) -> bool {
    matches!(scheduler, Scheduler::Rr | Scheduler::Wrr | Scheduler::Lc | Scheduler::Wlc)
}

/// What kube-proxy does once a minute for real servers that it keeps for their connections: each is looked at, and removed
/// if it has none any more (`tryDeleteRs` in pkg/proxy/ipvs/graceful_termination.go).
pub fn pass(way: Way, draining: &[(Key, Vec<SocketAddr>)]) -> Plan {
    let step = |servers| Step::asks(Phase::Cleanup, Action::Drain(Drain { way, servers, again: true }));
    let each = |(key, endpoints): &(Key, Vec<SocketAddr>)| -> Vec<Step> {
        endpoints.iter().map(|&endpoint| step(vec![(*key, vec![endpoint])])).collect()
    };
    let steps = match way {
        Way::KubeProxy => draining.iter().flat_map(each).collect(),
        Way::Batched if draining.is_empty() => Vec::new(),
        Way::Batched => vec![step(draining.to_vec())],
    };
    Plan { steps, ..Plan::default() }
}

impl Dataplane for Ipvs {
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan {
        let steps = match self.way {
            Way::KubeProxy => kube_proxy::steps(&self.node, from, to, sync),
            Way::Batched => batched::steps(&self.node, from, to, sync),
        };
        Plan { steps, cleanup: Vec::new(), expect: self.counts(to) }
    }

    fn resync(&self, set: &ServiceSet) -> Option<Plan> {
        // Every sync looks at everything.
        Some(self.plan(set, set, Sync::Partial))
    }

    fn load(&self, to: &ServiceSet) -> Plan {
        let steps = batched::steps(&self.node, &ServiceSet::default(), to, Sync::Full);
        Plan { steps, cleanup: Vec::new(), expect: self.counts(to) }
    }

    fn append(&self, to: &ServiceSet) -> Option<Plan> {
        let protocol = to.services().first().map_or(Protocol::Tcp, |service| service.protocol);
        let address = match self.node.family() {
            Family::Ipv4 => unused_address(0),
            // For documentation (RFC 3849), so that nobody has it.
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1)),
        };
        let key = servers::key(SocketAddr::new(address, 80), protocol);
        let server = servers::virtual_server(self.node.scheduler, key, None);
        let send =
            |phase, request| Step::asks(phase, Action::Ipvs { way: Way::KubeProxy, requests: vec![request] });
        Some(Plan {
            steps: vec![send(Phase::Servers, Request::NewService(server))],
            cleanup: vec![send(Phase::Cleanup, Request::DelService(server.key))],
            expect: self.counts(to),
        })
    }

    fn counts(&self, to: &ServiceSet) -> Counts {
        let entries = entries::of(&self.node, to.services().iter().map(AsRef::as_ref));
        let (virtual_servers, real_servers) = servers::count(&self.node, to);
        Counts {
            rules: rules::count(&entries::Filled::by(&self.node, to)),
            chains: rules::CHAINS,
            elements: entries.iter().filter(|(_, entry)| entry.is_taken()).count() as u64,
            virtual_servers,
            real_servers,
            addresses: entries.iter().filter(|(set, _)| *set == Set::IpvsIps).count() as u64,
        }
    }

    fn fits(&self, to: &ServiceSet) -> Result<(), Unfit> {
        let mode = match self.way {
            Way::KubeProxy => Mode::Ipvs,
            Way::Batched => Mode::IpvsBatched,
        };
        has_mode(self.node.kube_proxy, mode)?;
        entries::fit(&self.node, to)
    }

    fn answers(&self, to: &ServiceSet, service: &Service) -> Vec<SocketAddr> {
        let _ = to;
        let routes = service.routes();
        let endpoints = servers::endpoints_of(&routes, service.internal_policy);
        endpoints.iter().map(|endpoint| endpoint.address).collect()
    }
}
