//! kube-proxy's iptables mode: in the form used from 1.25 to today, and in that of 1.20.
//!
//! Source of every line: rulesets written by kube-proxy 1.30.5 and 1.20.2 (shared/golden) and pkg/proxy/iptables/proxier.go,
//! as condensed in KUBE_PROXY_FACTS.md, section 2. iptables-legacy and iptables-nft get the same input; they differ only in
//! the programs that read it. The newest kube-proxy writes what 1.30 does on a node without nfnetlink_acct.

mod counts;
mod filter;
mod fixed;
mod input;
mod jumps;
mod ports;
mod rules;
mod scope;
pub(super) mod tools;
mod v1_20;
pub(super) mod words;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use self::input::{delete_chains, input, inputs_in_pieces};
use self::jumps::Present;
use self::ports::{Ports, routes};
use self::scope::{Scope, stale_chains};
use crate::dataplane::conntrack;
use crate::dataplane::contract::{Dataplane, Sync};
use crate::dataplane::counts::Counts;
use crate::dataplane::kube_proxy::KubeProxy;
use crate::dataplane::node::Node;
use crate::dataplane::plan::{Action, Expect, Phase, Plan, Step};
use crate::scale::{Diff, ServiceSet};
use crate::service::{Family, Policy, Service};

/// Above this many endpoints kube-proxy leaves the comments out of the rules that there are most of,
/// and no longer looks for stale chains at every sync (`largeClusterEndpointsThreshold`).
const LARGE_CLUSTER: usize = 1000;

/// Planner of the iptables mode.
pub struct Iptables {
    node: Node,
    load_chunk: Option<usize>,
}

impl Iptables {
    /// A planner for iptables-legacy, which copies the whole table at every transaction: it is loaded
    /// in one.
    pub const fn legacy(node: Node) -> Self {
        Self { node, load_chunk: None }
    }

    /// A planner for iptables-nft, whose time grows with the square of a transaction's chains (linear
    /// scans of its chain list, iptables 1.8.9): 10,000 x 10 take a quarter of an hour in one
    /// transaction and seconds in pieces of 50 Services. Only [`Dataplane::load`] does the latter.
    pub const fn nft(node: Node) -> Self {
        Self { node, load_chunk: Some(50) }
    }

    /// What a process does as it starts: it lets packets for node ports on the loopback in, and makes canaries.
    fn start(&self, present: Present) -> impl Iterator<Item = Step> {
        let lets_in = match self.node.kube_proxy {
            KubeProxy::V1_20 => true,
            KubeProxy::V1_30 | KubeProxy::Current => {
                self.node.family() == Family::Ipv4 && self.node.localhost_node_ports
            }
        };
        let sysctl = Action::Sysctl { key: "net.ipv4.conf.all.route_localnet", value: "1" };
        let sysctl = lets_in.then(|| Step::asks(Phase::Setup, sysctl));
        sysctl.into_iter().chain(jumps::canaries(&self.node, present))
    }

    /// 1.20: every sync checks everything, lists both tables, and writes everything.
    fn plan_1_20(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan {
        let nothing = ServiceSet::default();
        let known = if sync == Sync::Full { &nothing } else { from };
        let (in_kernel, diff) = (Diff::between(from, to), Diff::between(known, to));
        let present =
            if from.is_empty() && sync == Sync::Full { Present::Nothing } else { Present::Everything };
        let mut steps = Vec::new();
        if sync == Sync::Full {
            steps.extend(self.start(present));
        }
        steps.extend(jumps::steps(&self.node, present));
        steps.extend(["filter", "nat"].map(|table| tools::save(self.node.family(), table)));
        steps.extend(v1_20::conntrack::of_opened_ports(known, to, &diff));
        let ports = Ports::new(self.node.kube_proxy, to.services(), |_| true);
        let stale = stale_chains(&self.node, from, to, &in_kernel);
        steps.push(self.restore(Phase::Restore, input(&self.node, &ports, comments(&self.node, to), &stale)));
        steps.extend(v1_20::conntrack::cleanup(known, to, &diff));
        Plan { steps, cleanup: Vec::new(), expect: self.counts(to) }
    }

    /// 1.30 and newer. `starts`: it is the first sync of a process.
    fn sync(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync, starts: bool) -> Plan {
        let diff = Diff::between(from, to);
        let stale = stale_chains(&self.node, from, to, &diff);
        let comments = comments(&self.node, to);
        let mut steps = Vec::new();
        if sync == Sync::Full {
            let present = if starts && from.is_empty() { Present::Nothing } else { Present::Everything };
            if starts {
                steps.extend(self.start(present));
            }
            steps.extend(jumps::steps(&self.node, present));
        }
        // A large cluster, which has no comments, is not listed at every sync.
        let collects = sync == Sync::Full || comments;
        if collects {
            steps.push(tools::save(self.node.family(), "nat"));
        }
        let scope = Scope::of(sync, from, to, &diff);
        let ports = Ports::new(self.node.kube_proxy, to.services(), |index| scope.has(&to.services()[index]));
        let removed_now: &[String] = if collects { &stale } else { &[] };
        steps.push(self.restore(Phase::Restore, input(&self.node, &ports, comments, removed_now)));
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

    fn restore(&self, phase: Phase, input: Vec<u8>) -> Step {
        tools::restore(self.node.family(), phase, input)
    }
}

impl Dataplane for Iptables {
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan {
        match self.node.kube_proxy {
            KubeProxy::V1_20 => self.plan_1_20(from, to, sync),
            KubeProxy::V1_30 | KubeProxy::Current => self.sync(from, to, sync, sync == Sync::Full),
        }
    }

    fn resync(&self, set: &ServiceSet) -> Option<Plan> {
        Some(match self.node.kube_proxy {
            // All its syncs are full ones.
            KubeProxy::V1_20 => self.plan_1_20(set, set, Sync::Partial),
            KubeProxy::V1_30 | KubeProxy::Current => self.sync(set, set, Sync::Full, false),
        })
    }

    fn load(&self, to: &ServiceSet) -> Plan {
        let comments = comments(&self.node, to);
        let mut steps = Vec::new();
        match self.load_chunk {
            // Jumps last: until a chain can be reached from a hook, nf_tables need not walk it at every
            // commit (nft_table_validate, net/netfilter/nf_tables_api.c).
            Some(chunk) => {
                let inputs = inputs_in_pieces(&self.node, to, chunk, comments);
                steps.extend(inputs.into_iter().map(|input| self.restore(Phase::Restore, input)));
                steps.extend(self.start(Present::Chains));
                steps.extend(jumps::steps(&self.node, Present::Chains));
            }
            // Jumps first: each costs a copy of what is there.
            None => {
                steps.extend(self.start(Present::Nothing));
                steps.extend(jumps::steps(&self.node, Present::Nothing));
                let ports = Ports::new(self.node.kube_proxy, to.services(), |_| true);
                steps.push(self.restore(Phase::Restore, input(&self.node, &ports, comments, &[])));
            }
        }
        Plan { steps, cleanup: Vec::new(), expect: self.counts(to) }
    }

    fn append(&self, to: &ServiceSet) -> Option<Plan> {
        let answers = |service: &&std::sync::Arc<Service>| !self.answers(to, service).is_empty();
        let service = to.services().iter().find(answers)?;
        let ports = Ports::new(self.node.kube_proxy, std::slice::from_ref(service), |_| true);
        let port = ports.iter().next()?;
        let chain = rules::internal_chain(self.node.kube_proxy, port);
        let chain = format!("{chain}{}", String::from_utf8_lossy(&port.hash));
        let ip = match self.node.family() {
            Family::Ipv4 => crate::synthetic::spare_address(0),
            // For documentation (RFC 3849), so that nobody has it.
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1)),
        };
        let (ip, port, protocol) =
            (ip.to_string(), service.cluster.port().to_string(), service.protocol.name());
        let rule = ["-m", "comment", "--comment", "svcbench: one rule more", "-m", protocol, "-p", protocol];
        let rule = [&rule[..], &["-d", &ip, "--dport", &port, "-j", &chain]].concat();
        let run = |phase, operation| {
            let family = self.node.family();
            tools::iptables(family, phase, operation, "KUBE-SERVICES", "nat", &rule, Expect::Success)
        };
        Some(Plan {
            steps: vec![run(Phase::Restore, "-A")],
            cleanup: vec![run(Phase::Cleanup, "-D")],
            expect: self.counts(to),
        })
    }

    fn counts(&self, to: &ServiceSet) -> Counts {
        counts::of(&self.node, to)
    }

    fn answers(&self, _: &ServiceSet, service: &Service) -> Vec<SocketAddr> {
        let routes = routes(self.node.kube_proxy, service);
        let endpoints = match (self.node.kube_proxy, service.internal_policy) {
            (KubeProxy::V1_20, _) | (_, Policy::Cluster) => &routes.cluster,
            (_, Policy::Local) => &routes.local,
        };
        endpoints.iter().map(|endpoint| endpoint.address).collect()
    }
}

/// Whether the rules that there are most of carry comments.
fn comments(node: &Node, to: &ServiceSet) -> bool {
    let endpoints = match node.kube_proxy {
        KubeProxy::V1_20 => {
            let ready = |service: &std::sync::Arc<Service>| routes(node.kube_proxy, service).cluster.len();
            to.services().iter().map(ready).sum()
        }
        KubeProxy::V1_30 | KubeProxy::Current => to.total_endpoints(),
    };
    endpoints <= LARGE_CLUSTER
}
