//! kube-proxy's IPVS mode: virtual servers over generic netlink, their addresses on a dummy link, sets, and a constant
//! number of iptables rules that match them.
//!
//! Programmed in one of two ways, with the same state of the kernel at the end: as kube-proxy does it
//! ([`Way::KubeProxy`], `kube_proxy.rs`), and as well as the kernel allows ([`Way::Batched`], `batched.rs`).
//!
//! Sources: what kube-proxy 1.30.5 did (shared/golden/ipvs), and pkg/proxy/ipvs, as condensed in KUBE_PROXY_FACTS.md,
//! section 3. Kernels before 5.9, where kube-proxy also clears `net.ipv4.vs.conn_reuse_mode`, are not planned for.
//!
//! A removed endpoint goes at once, as it does from a UDP Service, or from a TCP Service without connections. kube-proxy
//! keeps one that has connections at weight 0, and looks once a minute whether it can go.

mod batched;
mod kube_proxy;
mod rules;
mod servers;
mod sets;
mod state;

use std::collections::HashSet;
use std::net::SocketAddr;

use netns_setup::ipvs::Request;

pub use self::sets::Set;
pub use self::state::State;
use super::{Action, Counts, Dataplane, KubeProxy, Mode, Node, Phase, Plan, Step, Sync, Unfit, Way};
use crate::scale::ServiceSet;
use crate::service::Protocol;
use crate::synthetic::spare_address;

/// The dummy link that Service addresses are bound to. It is never brought up.
pub const DUMMY: &str = "kube-ipvs0";

/// Settings of `NewProxier` (pkg/proxy/ipvs/proxier.go).
const SYSCTLS: [(&str, &str); 4] = [
    ("net.ipv4.vs.conntrack", "1"),
    ("net.ipv4.vs.expire_nodest_conn", "1"),
    ("net.ipv4.vs.expire_quiescent_template", "1"),
    ("net.ipv4.ip_forward", "1"),
];

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

impl Dataplane for Ipvs {
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan {
        let steps = match self.way {
            Way::KubeProxy => kube_proxy::steps(&self.node, from, to, sync),
            Way::Batched => batched::steps(&self.node, from, to, sync),
        };
        Plan { steps, cleanup: Vec::new(), expect: self.counts(to) }
    }

    fn load(&self, to: &ServiceSet) -> Plan {
        let steps = batched::steps(&self.node, &ServiceSet::default(), to, Sync::Full);
        Plan { steps, cleanup: Vec::new(), expect: self.counts(to) }
    }

    fn append(&self, to: &ServiceSet) -> Option<Plan> {
        let protocol = to.services().first().map_or(Protocol::Tcp, |service| service.protocol);
        let address = SocketAddr::new(spare_address(0), 80);
        let server = servers::virtual_server(self.node.scheduler, address, protocol, None);
        let send =
            |phase, request| Step::asks(phase, Action::Ipvs { way: Way::KubeProxy, requests: vec![request] });
        Some(Plan {
            steps: vec![send(Phase::Servers, Request::NewService(server))],
            cleanup: vec![send(Phase::Cleanup, Request::DelService(server.key))],
            expect: self.counts(to),
        })
    }

    fn counts(&self, to: &ServiceSet) -> Counts {
        let mut counts =
            Counts { rules: rules::count(sets::Filled::by(to)), chains: rules::CHAINS, ..Counts::default() };
        let (mut entries, mut addresses) = (HashSet::new(), HashSet::new());
        for service in to.services() {
            let servers = 1 + u64::from(service.node_port.is_some());
            counts.virtual_servers += servers;
            counts.real_servers += servers * service.endpoints().len() as u64;
            sets::each_of(service, |set, entry| {
                entries.insert((set, entry));
            });
            addresses.insert(service.cluster.ip());
        }
        counts.elements = entries.len() as u64;
        counts.addresses = addresses.len() as u64;
        counts
    }

    fn fits(&self, to: &ServiceSet) -> Result<(), Unfit> {
        let (version, mode) = (
            self.node.kube_proxy,
            match self.way {
                Way::KubeProxy => Mode::Ipvs,
                Way::Batched => Mode::IpvsBatched,
            },
        );
        if version == KubeProxy::V1_20 {
            let why = "no recording of it exists; use 1.30 or current, or an iptables mode";
            return Err(Unfit::Version { version, mode, why });
        }
        sets::fit(to)
    }
}
