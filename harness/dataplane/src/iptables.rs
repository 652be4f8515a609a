//! kube-proxy's iptables mode, in the form used from 1.25 to today. An older form is in [`v1_20`].
//!
//! Source of every line: rulesets written by kube-proxy 1.30.5 (shared/golden) and pkg/proxy/iptables/proxier.go,
//! as condensed in KUBE_PROXY_FACTS.md, section 2. iptables-legacy and iptables-nft get the same input; they differ only in
//! the programs that read it. 1.34 to 1.37 write what 1.30 does, and on a node with nfnetlink_acct count some packets
//! besides; they pass no `-W`, and clean up connection tracking without a program. 1.37.2 was run for it (tests/golden/1.37), 1.34
//! to 1.36 were read.
//!
//! What both forms have in common asks the trait in `form.rs` for what differs.

mod append;
mod counts;
mod filter;
mod fixed;
mod form;
mod input;
mod jump_table;
mod jumps;
mod load;
mod ports;
mod rules;
mod scope;
mod stale;
pub(super) mod tools;
mod traffic;
pub mod v1_20;
pub(super) mod words;

use services::service::Service;
use services::service_set::{Diff, ServiceSet};

use self::form::{Form, LARGE_CLUSTER};
use self::input::{delete_chains, input};
use self::jumps::Present;
use self::ports::{Port, Ports, Traffic};
use self::scope::Scope;
use self::stale::stale_chains;
use crate::conntrack;
use crate::contract::{Dataplane, Sync};
use crate::counts::Counts;
use crate::kube_proxy::KubeProxy;
use crate::node::Node;
use crate::plan::{Action, Phase, Plan, Step};

/// Planner of the iptables mode.
pub struct Iptables {
    node: Node,
    piece: Option<usize>,
}

impl Iptables {
    /// A planner for iptables-legacy, which copies the whole table at every transaction: it is loaded
    /// in one.
    pub const fn legacy(node: Node) -> Self {
        Self { node, piece: None }
    }

    /// A planner for iptables-nft, which is [loaded](Dataplane::load) in pieces.
    pub const fn nft(node: Node) -> Self {
        Self { node, piece: Some(load::PIECE) }
    }

    /// One sync. `starts`: it is the first sync of a process.
    fn sync(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync, starts: bool) -> Plan {
        let diff = Diff::between(from, to);
        let stale = stale_chains(self, from, to, &diff);
        let comments = self.comments(to);
        let mut steps = Vec::new();
        if sync == Sync::Full {
            let present = if starts && from.is_empty() { Present::Nothing } else { Present::Everything };
            if starts {
                steps.extend(self.start(present));
            }
            steps.extend(self.jumps(present));
            steps.extend(self.counters());
        }
        // A large cluster, which has no comments, is not listed at every sync.
        let collects = sync == Sync::Full || comments;
        if collects {
            steps.push(tools::save(self.node.family(), "nat"));
        }
        let scope = Scope::of(sync, from, to, &diff);
        let ports = self.ports(to.services(), |index| scope.has(&to.services()[index]));
        let removed_now: &[String] = if collects { &stale } else { &[] };
        steps.push(self.restore(Phase::Restore, input(self, &ports, comments, removed_now)));
        if self.node.kube_proxy == KubeProxy::V1_30 {
            steps.extend(match starts {
                true => conntrack::cleanup(&ServiceSet::default(), to),
                false => conntrack::cleanup_of(from, to, &diff),
            });
        }
        let cleanup = match collects || stale.is_empty() {
            true => Vec::new(),
            false => vec![self.restore(Phase::Cleanup, delete_chains(&stale))],
        };
        Plan { steps, cleanup, expect: counts::of_ports(&self.node, &ports) }
    }

    /// The counters that rules refer to.
    fn counters(&self) -> impl Iterator<Item = Step> {
        let names: &[&'static str] = if filter::counts(&self.node) { &filter::COUNTERS } else { &[] };
        names.iter().map(|&name| Step::asks(Phase::Jumps, Action::Counter { name }))
    }

    fn restore(&self, phase: Phase, input: Vec<u8>) -> Step {
        tools::restore(&self.node, phase, input)
    }
}

impl Form for Iptables {
    fn node(&self) -> &Node {
        &self.node
    }

    fn traffic<'a>(&self, service: &'a Service) -> Traffic<'a> {
        traffic::traffic(service)
    }

    fn internal_chain(&self, port: &Port<'_>) -> &'static str {
        rules::internal_chain(port)
    }

    fn comments(&self, to: &ServiceSet) -> bool {
        to.total_endpoints() <= LARGE_CLUSTER
    }

    /// It lets packets for node ports on the loopback in, and makes canaries.
    fn start(&self, present: Present) -> Vec<Step> {
        let lets_in = filter::serves_on_loopback(&self.node).then(tools::route_localnet);
        lets_in.into_iter().chain(jumps::canaries(&self.node, present)).collect()
    }

    fn jumps(&self, present: Present) -> Vec<Step> {
        jumps::steps(&self.node, &jump_table::JUMPS, present)
    }

    fn filter_table(&self, ports: &Ports<'_>, all_chains: bool, out: &mut Vec<u8>) {
        filter::table(&self.node, ports, all_chains, out);
    }

    fn nat_head(&self, _: bool, out: &mut Vec<u8>) {
        fixed::nat_head(out);
    }

    fn chain_lines(&self, ports: &Ports<'_>, out: &mut Vec<u8>) {
        rules::chain_lines(ports, out);
    }

    fn rules(&self, ports: &Ports<'_>, comments: bool, out: &mut Vec<u8>) {
        rules::rules(&self.node, ports, comments, out);
    }

    fn nat_tail(&self, out: &mut Vec<u8>) {
        fixed::nat_tail(rules::not_for_node_ports(&self.node), out);
    }
}

impl Dataplane for Iptables {
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan {
        self.sync(from, to, sync, sync == Sync::Full)
    }

    fn resync(&self, set: &ServiceSet) -> Option<Plan> {
        Some(self.sync(set, set, Sync::Full, false))
    }

    fn load(&self, to: &ServiceSet) -> Plan {
        let steps = self.counters().chain(load::steps(self, to, self.piece)).collect();
        Plan { steps, cleanup: Vec::new(), expect: self.counts(to) }
    }

    fn append(&self, to: &ServiceSet) -> Option<Plan> {
        append::plan(self, to)
    }

    fn counts(&self, to: &ServiceSet) -> Counts {
        counts::of(&self.node, to)
    }
}
