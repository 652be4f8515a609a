//! Every feature of a Service in iptables mode, either family: real tools take the plans, and a real kernel then holds what
//! the model says, however a set was reached.

use std::collections::BTreeMap;
use std::process::Command;

use dataplane::background::Background;
use dataplane::{Dataplane, KubeProxy, Mode, Node, Phase, Program, Sync, planner};
use lab::apply::Runner;
use lab::readback;
use lab::stop::Stop;
use lab::tools::Tools;
use netns_setup::Namespace;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use services::service::{Condition, Endpoint, Family, Policy, Protocol, Service};
use services::service_set::ServiceSet;

use crate::paper::{Paper, random_services};
use crate::state::pretty;
use crate::testbeds::{ordered_iptables, output};

/// A namespace in which only kube-proxy writes. No packet is sent.
struct Plain {
    namespace: Namespace,
    runner: Runner,
    dataplane: Box<dyn Dataplane>,
    mode: Mode,
    node: Node,
    set: ServiceSet,
}

impl Plain {
    fn empty(mode: Mode, node: Node) -> Self {
        let namespace = Namespace::create("features").unwrap();
        let runner = Runner::new(Tools::of(mode), namespace.process_group(), Stop::new());
        Self { namespace, runner, dataplane: planner(mode, node), mode, node, set: ServiceSet::default() }
    }

    fn cold(mode: Mode, node: Node, to: &ServiceSet) -> Self {
        let mut plain = Self::empty(mode, node);
        plain.sync(to, Sync::Full);
        plain
    }

    /// Plans, carries out, and counts.
    fn sync(&mut self, to: &ServiceSet, kind: Sync) {
        let plan = self.dataplane.plan(&self.set, to, kind);
        let (runner, mode, family) = (&self.runner, self.mode, self.node.family());
        self.namespace.run(|| runner.apply(&plan, None).unwrap());
        self.namespace.run(|| runner.clean_up(&plan, None).unwrap());
        let held =
            self.namespace.run(|| readback::counts(mode, family, &Background::default(), runner)).unwrap();
        assert_eq!(held, self.dataplane.counts(to));
        self.set = to.clone();
    }

    /// What the kernel holds, as iptables-save lists it, in an order.
    fn held(&self) -> String {
        let save = self.runner.tools().path(Program::iptables_save(self.node.family())).unwrap();
        ordered_iptables(&output(&self.namespace, &mut Command::new(save)))
    }

    /// Compares it with what a cold sync leaves, and the number of rules in each chain with a kernel on paper.
    fn is_as_if_cold(&self, what: &str) {
        let held = self.held();
        pretty(&held, &Self::cold(self.mode, self.node, &self.set).held(), what);
        let mut paper = Paper::with_iptables();
        paper.carry_out(&self.dataplane.plan(&ServiceSet::default(), &self.set, Sync::Full));
        let on_paper =
            paper.chains.iter().map(|((table, chain), rules)| (format!("{table} {chain}"), rules.len()));
        let is_built_in = |chain: &str| !chain.contains("KUBE-");
        let on_paper: BTreeMap<String, usize> =
            on_paper.filter(|(chain, rules)| !is_built_in(chain) || *rules > 0).collect();
        let mut in_kernel: BTreeMap<String, usize> = BTreeMap::new();
        let mut chain = "";
        for line in held.lines() {
            match line.strip_prefix("  ") {
                Some(_) => *in_kernel.get_mut(chain).unwrap() += 1,
                None => {
                    chain = line;
                    in_kernel.insert(chain.to_owned(), 0);
                }
            }
        }
        assert_eq!(in_kernel, on_paper, "{what}");
    }
}

/// Random sets with every feature, one after the other.
pub(crate) fn random(mode: Mode, version: KubeProxy) {
    let mut runner = TestRunner::deterministic();
    for family in Family::ALL {
        let node = random_services::node(family, version);
        for _ in 0..3 {
            let mut plain = Plain::empty(mode, node);
            for sync in [Sync::Full, Sync::Partial, Sync::Partial, Sync::Full] {
                let some = random_services::sets(family).prop_filter("some", |set| !set.is_empty());
                plain.sync(&some.new_tree(&mut runner).unwrap().current(), sync);
                plain.is_as_if_cold(&format!("{sync:?}, {} {}", family.name(), version.name()));
            }
        }
    }
}

/// One change of one Service after another, there and back.
pub(crate) fn changes(mode: Mode, version: KubeProxy) {
    for family in Family::ALL {
        let mut plain = Plain::cold(mode, random_services::node(family, version), &start(family));
        for (name, change) in CHANGES {
            let before = plain.set.clone();
            let mut service = (*before.services()[0]).clone();
            change(&mut service);
            plain.sync(&before.with_replaced(0, service), Sync::Partial);
            plain.is_as_if_cold(&format!("{name}, {} {}", family.name(), version.name()));
        }
        for index in [2, 0] {
            let without = plain.set.without(index);
            plain.sync(&without, Sync::Partial);
            plain.is_as_if_cold("a port or Service less");
        }
        // There is nothing left to do for a process that starts anew.
        let (set, before) = (plain.set.clone(), plain.held());
        plain.sync(&set, Sync::Full);
        pretty(&plain.held(), &before, "a restart");
        plain.sync(&ServiceSet::default(), Sync::Partial);
        plain.is_as_if_cold("nothing");
    }
}

type Change = (&'static str, fn(&mut Service));

const CHANGES: [Change; 17] = [
    ("external policy Local", |service| service.external_policy = Policy::Local),
    ("affinity", |service| service.affinity_seconds = Some(10_800)),
    ("internal policy Local", |service| service.internal_policy = Policy::Local),
    ("source ranges", |service| service.source_ranges = vec![around(service)]),
    ("only remote endpoints", |service| with_endpoints(service, |endpoint| !endpoint.local)),
    ("no endpoints", |service| service.set_endpoints(vec![])),
    ("endpoints again", |service| service.set_endpoints(both(service.family()))),
    ("one that terminates", |service| {
        let mut endpoints = service.endpoints().to_vec();
        endpoints[0].condition = Condition::Terminating;
        service.set_endpoints(endpoints);
    }),
    ("affinity for shorter", |service| service.affinity_seconds = Some(60)),
    ("a health-check node port", |service| service.health_check_node_port = Some(31_000)),
    ("no affinity", |service| service.affinity_seconds = None),
    ("no node port", |service| service.node_port = None),
    ("no load balancer", |service| service.load_balancer_ips.clear()),
    ("external policy Cluster", |service| service.external_policy = Policy::Cluster),
    ("no external IP", |service| service.external_ips.clear()),
    ("internal policy Cluster", |service| service.internal_policy = Policy::Cluster),
    ("a node port again", |service| service.node_port = Some(30_081)),
];

fn with_endpoints(service: &mut Service, keep: fn(&Endpoint) -> bool) {
    let endpoints = service.endpoints().iter().filter(|endpoint| keep(endpoint)).copied().collect();
    service.set_endpoints(endpoints);
}

/// A range that has the node in it.
fn around(service: &Service) -> ipnet::IpNet {
    let range = match service.family() {
        Family::Ipv4 => "192.0.2.0/24",
        Family::Ipv6 => "2001:db8::/64",
    };
    range.parse().unwrap()
}

fn both(family: Family) -> Vec<Endpoint> {
    let [here, there] = match family {
        Family::Ipv4 => ["10.244.0.11:8080", "10.244.1.12:8080"],
        Family::Ipv6 => ["[fd00:244::11]:8080", "[fd00:244:0:1::12]:8080"],
    };
    vec![Endpoint::ready(here.parse().unwrap(), true), Endpoint::ready(there.parse().unwrap(), false)]
}

/// One Service with everything, another of SCTP, and two UDP ports of one object.
fn start(family: Family) -> ServiceSet {
    let [web, diameter, dns, other_dns, external, balancer] = match family {
        Family::Ipv4 => [
            "10.96.0.10:80",
            "10.96.0.11:3868",
            "10.96.0.12:53",
            "10.96.0.12:54",
            "198.51.100.1",
            "203.0.113.1",
        ],
        Family::Ipv6 => [
            "[fd00:10:96::10]:80",
            "[fd00:10:96::11]:3868",
            "[fd00:10:96::12]:53",
            "[fd00:10:96::12]:54",
            "2001:db8:51::1",
            "2001:db8:203::1",
        ],
    };
    let service = |name: &str, port_name: &str, protocol, cluster: &str| {
        Service::new("demo", name, port_name, protocol, cluster.parse().unwrap(), both(family))
    };
    let mut web = service("web", "http", Protocol::Tcp, web);
    web.node_port = Some(30_080);
    web.external_ips = vec![external.parse().unwrap()];
    web.load_balancer_ips = vec![balancer.parse().unwrap()];
    let diameter = service("diameter", "", Protocol::Sctp, diameter);
    let dns = service("dns", "dns", Protocol::Udp, dns);
    ServiceSet::from_iter([web, diameter, dns, service("dns", "other", Protocol::Udp, other_dns)])
}

/// kube-proxy 1.30.5 beside its IPv4 side, without a Service.
pub(crate) fn golden_v6() {
    let real = ordered_iptables(include_str!("../../dataplane/tests/golden/ip6tables-save.txt"));
    for mode in [Mode::IptablesLegacy, Mode::IptablesNft] {
        let node = random_services::node(Family::Ipv6, KubeProxy::V1_30);
        let mut plain = Plain::empty(mode, node);
        plain.sync(&ServiceSet::default(), Sync::Full);
        pretty(&plain.held(), &real, &format!("{mode}"));
    }
}

/// Node ports on the loopback need more than rules.
pub(crate) fn lets_packets_for_the_loopback_in() {
    const KEY: &str = "net.ipv4.conf.all.route_localnet";
    for (version, localhost_node_ports, expected) in
        [(KubeProxy::NEWEST, true, "1"), (KubeProxy::NEWEST, false, "0"), (KubeProxy::V1_20, false, "1")]
    {
        let node = Node { localhost_node_ports, ..random_services::node(Family::Ipv4, version) };
        let plain = Plain::empty(Mode::IptablesLegacy, node);
        let mut plan = plain.dataplane.plan(&ServiceSet::default(), &start(Family::Ipv4), Sync::Full);
        plan.steps.retain(|step| step.phase == Phase::Setup);
        plain.namespace.run(|| plain.runner.apply(&plan, None)).unwrap();
        assert_eq!(plain.namespace.sysctl(KEY).unwrap(), expected, "{version:?}");
    }
}
