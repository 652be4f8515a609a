//! The iptables mode, in all its versions and both families, with random Services that have every feature: what its plans
//! write into a kernel on paper.

use crate::paper::{found, random_services};
use std::collections::BTreeSet;

use dataplane::{Dataplane, KubeProxy, Mode, Node, Part, Phase, Plan, Sync, planner};
use proptest::prelude::*;
use services::service::Family;
use services::service_set::{Diff, ServiceSet};

use crate::paper::Paper;

const MODES: [Mode; 2] = [Mode::IptablesLegacy, Mode::IptablesNft];

/// The node of the random Services, with settings at random.
fn nodes(family: Family) -> impl Strategy<Value = Node> {
    (prop::sample::select(KubeProxy::ALL.to_vec()), any::<bool>(), any::<bool>()).prop_map(
        move |(kube_proxy, knows_pods, localhost_node_ports)| {
            let mut node = random_services::node(family, kube_proxy);
            node.localhost_node_ports = localhost_node_ports;
            node.cluster_cidr = node.cluster_cidr.filter(|_| knows_pods);
            node
        },
    )
}

/// A node and some sets of its family.
fn histories(sets: std::ops::Range<usize>) -> impl Strategy<Value = (Node, Vec<(ServiceSet, bool)>)> {
    prop::sample::select(Family::ALL.to_vec()).prop_flat_map(move |family| {
        (nodes(family), prop::collection::vec((random_services::sets(family), any::<bool>()), sets.clone()))
    })
}

fn node_and_set() -> impl Strategy<Value = (Node, ServiceSet)> {
    histories(1..2).prop_map(|(node, mut sets)| (node, sets.remove(0).0))
}

fn cold_plan(dataplane: &dyn Dataplane, to: &ServiceSet) -> Plan {
    dataplane.plan(&ServiceSet::default(), to, Sync::Full)
}

/// A kernel after a cold full sync.
fn cold(node: Node, to: &ServiceSet) -> Paper {
    let mut kernel = Paper::with_iptables();
    kernel.carry_out(&cold_plan(&*planner(Mode::IptablesLegacy, node), to));
    kernel
}

/// Chains that belong to one Service.
fn own_chains(kernel: &Paper) -> BTreeSet<&str> {
    let prefixes = ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-XLB-", "KUBE-SEP-"];
    let chains = kernel.chains.keys().map(|(_, chain)| &**chain);
    chains.filter(|chain| prefixes.iter().any(|prefix| chain.starts_with(prefix))).collect()
}

fn restored(plan: &Plan) -> String {
    let step = plan.steps.iter().find(|step| step.phase == Phase::Restore).unwrap();
    String::from_utf8(step.input().unwrap().to_vec()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_model_counts_what_the_plan_writes((node, set) in node_and_set()) {
        for mode in MODES {
            let dataplane = planner(mode, node);
            let plan = cold_plan(&*dataplane, &set);
            prop_assert_eq!(plan.expect, dataplane.counts(&set));
            prop_assert_eq!(cold(node, &set).counts(), plan.expect, "{} {:?}", mode, node.kube_proxy);
        }
    }

    #[test]
    fn a_lab_loaded_in_whichever_way_holds_what_a_full_sync_leaves((node, set) in node_and_set()) {
        for mode in MODES {
            let plan = planner(mode, node).load(&set);
            prop_assert_eq!(plan.expect, planner(mode, node).counts(&set));
            let mut loaded = Paper::with_iptables();
            loaded.carry_out(&plan);
            prop_assert_eq!(loaded, cold(node, &set), "{} {:?}", mode, node.kube_proxy);
        }
    }

    /// `inspect` finds in a ruleset the Services that it was written for, and who answers for them.
    #[test]
    fn services_are_found_in_what_is_restored((node, set) in node_and_set()) {
        prop_assume!(node.cluster_cidr.is_some() && node.kube_proxy != KubeProxy::V1_20);
        let text = restored(&cold_plan(&*planner(Mode::IptablesLegacy, node), &set));
        let inspection = ruleset::inspect_text(&text).unwrap();
        let amiss = found::differences(Mode::IptablesLegacy, &node, &set, &inspection.services);
        prop_assert_eq!(amiss, Vec::<String>::new());
    }

    /// What is shown of the newest is shown of 1.30, but that a range of everybody is as none since.
    #[test]
    fn versions_of_iptables_write_the_same_rules((node, set) in node_and_set()) {
        let is_open = |range: &ipnet::IpNet| range.prefix_len() == 0;
        prop_assume!(!set.services().iter().any(|service| service.source_ranges.iter().any(is_open)));
        let of = |kube_proxy| cold(Node { kube_proxy, ..node }, &set);
        prop_assert_eq!(of(KubeProxy::V1_30), of(KubeProxy::NEWEST));
    }

    /// A full sync that comes with time writes what a restart writes, and begins nothing anew.
    #[test]
    fn a_periodic_sync_is_a_restart_without_its_beginning((node, set) in node_and_set()) {
        prop_assume!(!set.is_empty());
        let dataplane = planner(Mode::IptablesLegacy, node);
        let again = dataplane.resync(&set).unwrap();
        let restart = dataplane.plan(&set, &set, Sync::Full);
        prop_assert_eq!(restored(&again), restored(&restart));
        let begins = |plan: &Plan| {
            plan.steps.iter().any(|step| matches!(step.phase, Phase::Setup | Phase::Canary | Phase::Conntrack))
        };
        prop_assert!(begins(&restart) && !begins(&again));
        let mut kernel = cold(node, &set);
        kernel.carry_out(&again);
        prop_assert_eq!(kernel, cold(node, &set));
    }

    /// However a set was reached: the same rules in the same order, every step ending as planned.
    #[test]
    fn syncs_lead_to_the_state_of_a_cold_one((node, history) in histories(1..5)) {
        let dataplane = planner(Mode::IptablesLegacy, node);
        let mut kernel = Paper::with_iptables();
        let mut installed = ServiceSet::default();
        let mut begun = false;
        for (to, restart) in &history {
            let sync = if begun && !restart { Sync::Partial } else { Sync::Full };
            let plan = dataplane.plan(&installed, to, sync);
            prop_assert_eq!(plan.expect, dataplane.counts(to));
            kernel.carry_out(&plan);
            prop_assert_eq!(&kernel, &cold(node, to), "{:?}", node.kube_proxy);
            installed = to.clone();
            // From nothing to nothing is no history: a full sync takes an empty set for an empty kernel.
            begun = !to.is_empty();
            if !begun {
                break;
            }
        }
    }

    /// A partial sync writes the own chains of objects that changed, and no others.
    #[test]
    fn a_partial_sync_leaves_the_chains_of_others_alone((node, sets) in histories(2..3)) {
        let [(from, _), (to, _)] = &sets[..] else { unreachable!() };
        let diff = Diff::between(from, to);
        let touched: BTreeSet<(&str, &str)> = diff
            .changed
            .iter()
            .map(|&index| &to.services()[index])
            .chain(diff.removed.iter().map(|&index| &from.services()[index]))
            .map(|service| (&*service.namespace, &*service.name))
            .collect();
        let input = restored(&planner(Mode::IptablesLegacy, node).plan(from, to, Sync::Partial));
        let written = |chain: &str| input.lines().any(|line| line == format!(":{chain} - [0:0]"));
        for service in to.services() {
            let is_touched = touched.contains(&(&service.namespace, &service.name));
            let alone = cold(node, &ServiceSet::from_iter([(**service).clone()]));
            for chain in own_chains(&alone) {
                // 1.20 knows no partial sync.
                prop_assert_eq!(written(chain), is_touched || node.kube_proxy == KubeProxy::V1_20, "{}", chain);
            }
        }
    }

    /// A chain that nothing leads to was made in vain. In 1.20 that happens.
    #[test]
    fn every_chain_of_a_service_is_led_to((node, set) in node_and_set()) {
        let kernel = cold(node, &set);
        let targets: BTreeSet<&str> = kernel.chains.values().flatten().filter_map(|rule| rule.split("-j ").nth(1)).collect();
        for chain in own_chains(&kernel) {
            let in_vain = node.kube_proxy == KubeProxy::V1_20 && chain.starts_with("KUBE-XLB-");
            prop_assert!(in_vain || targets.contains(chain), "nothing leads to {chain}");
        }
    }

    #[test]
    fn an_append_adds_one_rule_and_its_cleanup_removes_it((node, set) in node_and_set()) {
        let dataplane = planner(Mode::IptablesNft, node);
        let answers = |service: &std::sync::Arc<_>| !dataplane.answers(&set, service).is_empty();
        let Some(plan) = dataplane.append(&set) else {
            prop_assert!(!set.services().iter().any(answers), "something to append to");
            return Ok(());
        };
        let before = cold(node, &set);
        let mut after = before.clone();
        after.carry_out(&Plan { cleanup: Vec::new(), ..plan.clone() });
        prop_assert_eq!((after.counts().rules, after.counts().chains), (before.counts().rules + 1, before.counts().chains));
        after.carry_out(&Plan { steps: plan.cleanup, ..Plan::default() });
        prop_assert_eq!(after, before);
    }

    /// What is printed for iptables-restore does what the plan does.
    #[test]
    fn the_printed_plan_does_what_the_plan_does((node, sets) in histories(2..3)) {
        let [(from, _), (to, _)] = &sets[..] else { unreachable!() };
        let dataplane = planner(Mode::IptablesLegacy, node);
        for (from, sync) in [(&ServiceSet::default(), Sync::Full), (from, Sync::Partial)] {
            let plan = dataplane.plan(from, to, sync);
            let mut kernel = if sync == Sync::Full { Paper::with_iptables() } else { cold(node, from) };
            let mut printed = kernel.clone();
            let mut out = Vec::new();
            plan.write_part(Part::Iptables, &mut out).unwrap();
            printed.restore(std::str::from_utf8(&out).unwrap());
            kernel.carry_out(&plan);
            prop_assert_eq!(printed.chains, kernel.chains);
        }
    }

    #[test]
    fn a_plan_runs_programs_of_its_own_family((node, sets) in histories(2..3)) {
        let [(from, _), (to, _)] = &sets[..] else { unreachable!() };
        let dataplane = planner(Mode::IptablesNft, node);
        let plans = [cold_plan(&*dataplane, to), dataplane.plan(from, to, Sync::Partial), dataplane.load(to)];
        for step in plans.iter().chain(&dataplane.append(to)).flat_map(|plan| plan.steps.iter().chain(&plan.cleanup)) {
            let Some(program) = step.program() else { continue };
            let is_v6 = step.args().iter().any(|arg| arg == "ipv6");
            let found = match program.name() {
                "conntrack" => is_v6,
                name => name.starts_with("ip6tables"),
            };
            prop_assert_eq!(found, node.family() == Family::Ipv6, "{}", step.command_line());
        }
    }
}
