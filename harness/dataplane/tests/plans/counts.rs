//! Rules, chains and set elements for N Services x M endpoints: known figures, and the model's against
//! those of a kernel on paper that carries the plans out.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use dataplane::ipvs::State;
use dataplane::{Counts, Dataplane, KubeProxy, Mode, Node, Part, Plan, Sync, planner};
use netns_setup::ipvs::Scheduler;
use proptest::prelude::*;
use services::service::{Endpoint, Protocol, Service};
use services::service_set::{Scale, ServiceSet};

use crate::paper::Paper;

/// Those whose plans need no background rules.
const MODES: [Mode; 8] = [
    Mode::Direct,
    Mode::Conntrack,
    Mode::Dnat,
    Mode::IptablesLegacy,
    Mode::IptablesNft,
    Mode::Nftables,
    Mode::Ipvs,
    Mode::IpvsBatched,
];
const VERSIONS: [KubeProxy; 4] = [KubeProxy::V1_30, KubeProxy::V1_34, KubeProxy::V1_36, KubeProxy::V1_37];

fn lab(mode: Mode, kube_proxy: KubeProxy) -> Box<dyn Dataplane> {
    planner(mode, Node::lab(kube_proxy))
}

fn kernel(mode: Mode) -> Paper {
    match mode {
        Mode::IptablesLegacy | Mode::IptablesNft => Paper::with_iptables(),
        Mode::Ipvs | Mode::IpvsBatched => Paper::with_ipvs(),
        _ => Paper::default(),
    }
}

#[test]
fn counts_are_those_of_the_real_kube_proxy() {
    // Observed at 1,000 x 10 (KUBE_PROXY_FACTS.md, 2.4 and 4.3; the 11,032 chains there include the 16 of the
    // empty IPv6 table); the other lines by its counting rules.
    let table = [
        (Mode::IptablesLegacy, 1, 1, (23 + 5, 25 + 2, 0)),
        (Mode::IptablesLegacy, 1, 10, (23 + 32, 25 + 11, 0)),
        (Mode::IptablesLegacy, 100, 3, (23 + 1_100, 25 + 400, 0)),
        (Mode::IptablesLegacy, 1_000, 10, (32_023, 11_025, 0)),
        (Mode::IptablesLegacy, 10_000, 10, (320_023, 110_025, 0)),
        (Mode::Nftables, 1, 1, (22 + 4, 16 + 2, 3)),
        (Mode::Nftables, 100, 3, (22 + 800, 16 + 400, 201)),
        (Mode::Nftables, 1_000, 10, (22_022, 11_016, 2_001)),
        (Mode::Nftables, 10_000, 10, (220_022, 110_016, 20_001)),
        (Mode::Direct, 1_000, 10, (0, 0, 0)),
        (Mode::Conntrack, 1_000, 10, (1, 1, 0)),
        (Mode::Dnat, 1_000, 10, (1, 1, 0)),
    ];
    for (mode, services, endpoints, (rules, chains, elements)) in table {
        let set = ServiceSet::synthetic(Scale { services, endpoints }, 1);
        for version in VERSIONS {
            let mut expected = Counts { rules, chains, elements, ..Counts::default() };
            if mode == Mode::Nftables && version >= KubeProxy::V1_36 {
                // One rule and one chain for a Service, and its endpoints in neither.
                (expected.rules, expected.chains) = (21 + u64::from(services), 15 + u64::from(services));
            }
            assert_eq!(
                lab(mode, version).counts(&set),
                expected,
                "{mode} {version:?} {services} x {endpoints}"
            );
        }
        if mode == Mode::IptablesLegacy {
            let nft = lab(Mode::IptablesNft, KubeProxy::V1_30).counts(&set);
            assert_eq!(
                nft,
                Counts { rules, chains, elements, ..Counts::default() },
                "iptables-nft holds the same"
            );
        }
    }
}

/// By KUBE_PROXY_FACTS.md, section 3: rules and chains do not grow.
#[test]
fn ipvs_counts_by_the_facts() {
    for (services, endpoints) in [(1, 1), (100, 3), (1_000, 10), (10_000, 10)] {
        let set = ServiceSet::synthetic(Scale { services, endpoints }, 1);
        for (mode, version) in
            [Mode::Ipvs, Mode::IpvsBatched].into_iter().zip([KubeProxy::V1_30, KubeProxy::NEWEST])
        {
            let services = u64::from(services);
            let expected = Counts {
                rules: 28,
                chains: 18,
                elements: 2 * services,
                virtual_servers: services,
                real_servers: services * u64::from(endpoints),
                addresses: services,
            };
            assert_eq!(lab(mode, version).counts(&set), expected, "{mode} {version:?}");
        }
    }
    // The same set, and the rules that are there without any Service.
    let empty = lab(Mode::Ipvs, KubeProxy::V1_30).counts(&ServiceSet::default());
    assert_eq!(empty, Counts { rules: 26, chains: 18, ..Counts::default() });
}

/// kube-proxy makes its sets with maxelem 65536.
#[test]
fn what_does_not_fit_the_ipsets_is_refused() {
    let set = |services| ServiceSet::synthetic(Scale { services, endpoints: 1 }, 1);
    let fits = |mode, services| lab(mode, KubeProxy::V1_30).fits(&set(services));
    for mode in [Mode::Ipvs, Mode::IpvsBatched] {
        fits(mode, 65_536).unwrap();
        let error = fits(mode, 65_537).unwrap_err().to_string();
        assert!(error.starts_with("ipset KUBE-CLUSTER-IP would need 65537 entries"), "{error}");
    }
    fits(Mode::Nftables, 65_537).unwrap();
    // Local endpoints have a set of their own.
    let local = |count: u32| {
        let endpoint =
            |number| Endpoint::ready(SocketAddr::new(Ipv4Addr::from_bits(number).into(), 80), true);
        let mut service = service(&Spec {
            number: 1,
            protocol: Protocol::Tcp,
            node_port: None,
            endpoints: BTreeSet::new(),
        });
        service.set_endpoints((0..count).map(endpoint).collect());
        lab(Mode::Ipvs, KubeProxy::V1_30).fits(&ServiceSet::from_iter([service]))
    };
    local(65_536).unwrap();
    assert!(local(65_537).unwrap_err().to_string().starts_with("ipset KUBE-LOOP-BACK would need 65537"));
}

#[test]
fn a_node_port_and_a_service_without_endpoints_count_as_written() {
    let service = |number: u8, node_port, endpoints: &[u8]| {
        service(&Spec {
            number,
            protocol: Protocol::Tcp,
            node_port,
            endpoints: endpoints.iter().copied().collect(),
        })
    };
    let one = |service| ServiceSet::from_iter([service]);
    let beyond_base = |mode, set: &ServiceSet| {
        let dataplane = lab(mode, KubeProxy::V1_30);
        let (with, base) = (dataplane.counts(set), dataplane.counts(&ServiceSet::default()));
        (with.rules - base.rules, with.chains - base.chains, with.elements - base.elements)
    };
    for (mode, expected) in [
        // Plain; with a node port; without endpoints; both. In IPVS mode one of the two endpoints is local.
        (Mode::Ipvs, [(3, 0, 3), (4, 0, 4), (2, 0, 2), (3, 0, 3)]),
        (Mode::IptablesLegacy, [(8, 3, 0), (11, 4, 0), (1, 0, 0), (2, 0, 0)]),
        (Mode::Nftables, [(6, 3, 2), (8, 4, 3), (0, 0, 2), (0, 0, 3)]),
    ] {
        let sets = [(None, &[1, 2][..]), (Some(1), &[1, 2]), (None, &[]), (Some(1), &[])];
        let found =
            sets.map(|(node_port, endpoints)| beyond_base(mode, &one(service(1, node_port, endpoints))));
        assert_eq!(found, expected, "{mode}");
    }
}

/// A small Service: its identity and cluster IP follow from the number.
#[derive(Clone, Debug)]
struct Spec {
    number: u8,
    protocol: Protocol,
    node_port: Option<u8>,
    endpoints: BTreeSet<u8>,
}

fn service(spec: &Spec) -> Service {
    // Two Services share an address, and every third has an unnamed port.
    let cluster = SocketAddr::from(([10, 96, 0, spec.number / 2], 80 + u16::from(spec.number)));
    let port_name = if spec.number.is_multiple_of(3) { "" } else { "main" };
    let endpoint = |&last: &u8| Endpoint::ready(([10, 200, 0, last], 8080).into(), last % 2 == 0);
    let endpoints = spec.endpoints.iter().map(endpoint).collect();
    let name = format!("service-{}", spec.number);
    let mut service = Service::new("test", name, port_name, spec.protocol, cluster, endpoints);
    service.node_port = spec.node_port.map(|port| 30_000 + u16::from(port));
    service
}

/// Up to eight Services in any order; no two with the same identity or node port.
fn sets() -> impl Strategy<Value = ServiceSet> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    let spec = (0..8_u8, protocol, prop::option::of(0..4_u8), prop::collection::btree_set(1..16_u8, 0..5))
        .prop_map(|(number, protocol, node_port, endpoints)| Spec { number, protocol, node_port, endpoints });
    prop::collection::vec(spec, 0..8).prop_map(|specs| {
        let (mut numbers, mut node_ports) = (BTreeSet::new(), BTreeSet::new());
        let mut unique = Vec::new();
        for mut spec in specs {
            spec.node_port = spec.node_port.filter(|port| node_ports.insert(*port));
            if numbers.insert(spec.number) {
                unique.push(service(&spec));
            }
        }
        unique.into_iter().collect()
    })
}

/// A kernel after a cold full sync.
fn cold(dataplane: &dyn Dataplane, mode: Mode, to: &ServiceSet) -> Paper {
    let mut kernel = kernel(mode);
    kernel.carry_out(&dataplane.plan(&ServiceSet::default(), to, Sync::Full));
    kernel
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_model_counts_what_the_plan_writes(set in sets(), without_cidr: bool) {
        for (mode, version) in MODES.iter().flat_map(|&mode| VERSIONS.map(|version| (mode, version))) {
            let mut node = Node::lab(version);
            if without_cidr {
                node.cluster_cidr = None;
            }
            let dataplane = planner(mode, node);
            // The DNAT control has nothing to translate to without a Service.
            if mode == Mode::Dnat && set.is_empty() {
                continue;
            }
            let plan = dataplane.plan(&ServiceSet::default(), &set, Sync::Full);
            prop_assert_eq!(plan.expect, dataplane.counts(&set));
            prop_assert_eq!(cold(&*dataplane, mode, &set).counts(), plan.expect, "{} {:?}", mode, version);
        }
    }

    #[test]
    fn a_lab_loaded_in_pieces_holds_what_one_full_sync_leaves(set in sets()) {
        for (mode, version) in MODES.iter().flat_map(|&mode| VERSIONS.map(|version| (mode, version))) {
            let dataplane = lab(mode, version);
            let mut loaded = kernel(mode);
            loaded.carry_out(&dataplane.load(&set));
            prop_assert_eq!(loaded, cold(&*dataplane, mode, &set), "{} {:?}", mode, version);
        }
    }

    /// However a set was reached: the same rules in the same order, every step ending as planned.
    #[test]
    fn syncs_lead_to_the_state_of_a_cold_one(history in prop::collection::vec((sets(), any::<bool>()), 1..5)) {
        for (mode, version) in MODES.iter().flat_map(|&mode| VERSIONS.map(|version| (mode, version))) {
            // kube-proxy's: a control is the same at every scale, and its endpoint that of the first set.
            if mode.is_control() {
                continue;
            }
            let dataplane = lab(mode, version);
            let mut kernel = kernel(mode);
            let mut installed = ServiceSet::default();
            let mut begun = false;
            for (to, restart) in &history {
                let sync = if begun && !restart { Sync::Partial } else { Sync::Full };
                kernel.carry_out(&dataplane.plan(&installed, to, sync));
                prop_assert_eq!(&kernel, &cold(&*dataplane, mode, to), "{} {:?}", mode, version);
                installed = to.clone();
                // From nothing to nothing is no history: a full sync takes an empty set for an empty kernel.
                begun = !to.is_empty();
                if !begun {
                    break;
                }
            }
        }
    }

    #[test]
    fn an_append_adds_one_and_its_cleanup_removes_it(set in sets()) {
        for (mode, version) in MODES.iter().flat_map(|&mode| VERSIONS.map(|version| (mode, version))) {
            let dataplane = lab(mode, version);
            let Some(plan) = dataplane.append(&set) else {
                let appendable = set.services().iter().any(|service| !service.endpoints().is_empty());
                prop_assert!(mode.is_control() || !appendable, "{mode}: something to append to");
                continue;
            };
            let before = cold(&*dataplane, mode, &set);
            let mut after = before.clone();
            after.carry_out(&Plan { cleanup: Vec::new(), ..plan.clone() });
            let sum = |counts: Counts| counts.rules + counts.elements + counts.virtual_servers;
            prop_assert_eq!(sum(after.counts()), sum(before.counts()) + 1);
            after.carry_out(&Plan { steps: plan.cleanup, ..Plan::default() });
            prop_assert_eq!(after, before);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whole, not only in number: servers, real servers, entries, addresses.
    #[test]
    fn both_ways_of_ipvs_leave_the_state_of_the_model(set in sets(), scheduler in 0..Scheduler::ALL.len()) {
        let node = Node { scheduler: Scheduler::ALL[scheduler], ..Node::lab(KubeProxy::V1_30) };
        let kernels = [Mode::Ipvs, Mode::IpvsBatched].map(|mode| cold(&*planner(mode, node), mode, &set));
        prop_assert_eq!(&kernels[0], &kernels[1]);
        prop_assert_eq!(kernels[0].ipvs.state(), State::of(&node, &set));
    }

    /// A part of a plan, read by the tool that it is for, does what the plan does.
    #[test]
    fn printed_parts_do_what_the_plan_does(from in sets(), to in sets()) {
        for mode in [Mode::Ipvs, Mode::IpvsBatched, Mode::IptablesLegacy] {
            let dataplane = lab(mode, KubeProxy::V1_30);
            let mut kernel = cold(&*dataplane, mode, &from);
            let sync = if from.is_empty() { Sync::Full } else { Sync::Partial };
            if from.is_empty() {
                kernel = self::kernel(mode);
            }
            let plan = dataplane.plan(&from, &to, sync);
            let part = |part| {
                let mut out = Vec::new();
                plan.write_part(part, &mut out).unwrap();
                String::from_utf8(out).unwrap()
            };
            let mut printed = kernel.clone();
            for line in part(Part::Ipvs).lines() {
                printed.ipvs.servers.apply(&line.parse().unwrap()).unwrap();
            }
            part(Part::Ipset).lines().for_each(|line| assert_eq!(printed.ipvs.ipset_line(line), 0, "{line}"));
            printed.restore(&part(Part::Iptables));
            kernel.carry_out(&plan);
            prop_assert_eq!(&printed.ipvs.servers, &kernel.ipvs.servers);
            prop_assert_eq!(&printed.ipvs.sets, &kernel.ipvs.sets);
            prop_assert_eq!(printed.chains, kernel.chains);
        }
    }
}
