//! The form of kube-proxy 1.20, checked line by line against what the real 1.20.2 wrote (shared/golden/1.20).
//!
//! Where that has no example: pkg/proxy/iptables/proxier.go of the releases around it, as condensed in
//! KUBE_PROXY_FACTS.md, section 2.10. Packets that are to be dropped are marked by KUBE-MARK-DROP, which kube-proxy makes and
//! kubelet fills; here there is no kubelet.

mod conntrack;
mod counts;
mod external;
mod filter;
mod jumps;
mod rules;
mod traffic;
mod words;

use std::net::SocketAddr;

use services::service::Service;
use services::service_set::{Diff, ServiceSet};

use self::traffic::traffic;
use super::form::{Form, LARGE_CLUSTER};
use super::input::input;
use super::jumps::Present;
use super::ports::{Port, Ports, Traffic};
use super::stale::stale_chains;
use super::{append, fixed, load, tools};
use crate::contract::{Dataplane, Sync};
use crate::counts::Counts;
use crate::node::Node;
use crate::plan::{Phase, Plan, Step};

/// What packets to be dropped are sent to. kubelet fills it.
const MARK_DROP: &str = "KUBE-MARK-DROP";

/// Planner of the iptables mode of 1.20.
pub struct Iptables1_20 {
    node: Node,
    piece: Option<usize>,
}

impl Iptables1_20 {
    /// A planner for iptables-legacy.
    pub const fn legacy(node: Node) -> Self {
        Self { node, piece: None }
    }

    /// A planner for iptables-nft, which is [loaded](Dataplane::load) in pieces.
    pub const fn nft(node: Node) -> Self {
        Self { node, piece: Some(load::PIECE) }
    }
}

impl Form for Iptables1_20 {
    fn node(&self) -> &Node {
        &self.node
    }

    fn traffic<'a>(&self, service: &'a Service) -> Traffic<'a> {
        traffic(service)
    }

    fn internal_chain(&self, _: &Port<'_>) -> &'static str {
        "KUBE-SVC-"
    }

    fn comments(&self, to: &ServiceSet) -> bool {
        let ready = to.services().iter().map(|service| traffic(service).routes.cluster.len());
        ready.sum::<usize>() <= LARGE_CLUSTER
    }

    fn start(&self, present: Present) -> Vec<Step> {
        let canaries = super::jumps::canaries(&self.node, present);
        std::iter::once(tools::route_localnet()).chain(canaries).collect()
    }

    fn jumps(&self, present: Present) -> Vec<Step> {
        let mut steps = super::jumps::steps(&self.node, &jumps::JUMPS, present);
        let exists = present != Present::Nothing;
        steps.push(super::jumps::make(&self.node, Phase::Jumps, MARK_DROP, "nat", exists));
        steps
    }

    fn filter_table(&self, ports: &Ports<'_>, _: bool, out: &mut Vec<u8>) {
        filter::table(&self.node, ports, out);
    }

    fn nat_head(&self, all_chains: bool, out: &mut Vec<u8>) {
        fixed::nat_head(out);
        if all_chains {
            fixed::chain_lines(&[MARK_DROP], out);
        }
    }

    fn chain_lines(&self, ports: &Ports<'_>, out: &mut Vec<u8>) {
        rules::chain_lines(ports, out);
    }

    fn rules(&self, ports: &Ports<'_>, comments: bool, out: &mut Vec<u8>) {
        rules::rules(&self.node, ports, comments, out);
    }

    fn nat_tail(&self, out: &mut Vec<u8>) {
        fixed::nat_tail("", out);
    }
}

impl Dataplane for Iptables1_20 {
    /// Every sync checks everything, lists both tables, and writes everything.
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan {
        let nothing = ServiceSet::default();
        let known = if sync == Sync::Full { &nothing } else { from };
        let (in_kernel, diff) = (Diff::between(from, to), Diff::between(known, to));
        let present =
            if from.is_empty() && sync == Sync::Full { Present::Nothing } else { Present::Everything };
        let family = self.node.family();
        let mut steps = Vec::new();
        if sync == Sync::Full {
            steps.extend(self.start(present));
        }
        steps.extend(self.jumps(present));
        steps.extend(["filter", "nat"].map(|table| tools::save(family, table)));
        steps.extend(conntrack::of_opened_ports(known, to, &diff));
        let ports = self.ports(to.services(), |_| true);
        let stale = stale_chains(self, from, to, &in_kernel);
        steps.push(tools::restore(
            &self.node,
            Phase::Restore,
            input(self, &ports, self.comments(to), &stale),
        ));
        steps.extend(conntrack::cleanup(known, to, &diff));
        Plan { steps, cleanup: Vec::new(), expect: self.counts(to) }
    }

    fn resync(&self, set: &ServiceSet) -> Option<Plan> {
        // All its syncs are full ones.
        Some(self.plan(set, set, Sync::Partial))
    }

    fn load(&self, to: &ServiceSet) -> Plan {
        let steps = load::steps(self, to, self.piece);
        Plan { steps, cleanup: Vec::new(), expect: self.counts(to) }
    }

    fn append(&self, to: &ServiceSet) -> Option<Plan> {
        append::plan(self, to)
    }

    fn counts(&self, to: &ServiceSet) -> Counts {
        counts::of(&self.node, to)
    }

    fn answers(&self, _: &ServiceSet, service: &Service) -> Vec<SocketAddr> {
        traffic(service).routes.cluster.iter().map(|endpoint| endpoint.address).collect()
    }
}
