//! IPVS mode with random Services: whatever they have, and however they came there, both ways of programming leave what the
//! model says.

use crate::paper::random_services;
use dataplane::ipvs::State;
use dataplane::{Dataplane, KubeProxy, Mode, Node, Part, Plan, Sync, planner};
use netns_setup::ipvs::Scheduler;
use proptest::prelude::*;
use services::service::Family;
use services::service_set::ServiceSet;

use crate::paper::Paper;

const MODES: [Mode; 2] = [Mode::Ipvs, Mode::IpvsBatched];

fn cold(dataplane: &dyn Dataplane, to: &ServiceSet) -> Paper {
    let mut kernel = Paper::with_ipvs();
    kernel.carry_out(&dataplane.plan(&ServiceSet::default(), to, Sync::Full));
    kernel
}

fn version() -> impl Strategy<Value = KubeProxy> {
    prop_oneof![Just(KubeProxy::V1_30), Just(KubeProxy::NEWEST)]
}

/// Several sets of one family, one after the other; whether each comes with a restart.
fn history() -> impl Strategy<Value = (Family, Vec<(ServiceSet, bool)>)> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)].prop_flat_map(|family| {
        let set = (random_services::sets(family), prop::bool::weighted(0.3));
        prop::collection::vec(set, 1..5).prop_map(move |sets| (family, sets))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_ways_leave_what_the_model_says(
        (family, set) in random_services::sets_of_either_family(),
        version in version(),
        scheduler in 0..Scheduler::ALL.len(),
        without_cidr: bool,
    ) {
        let scheduler = Scheduler::ALL[scheduler];
        let mut node = Node { scheduler, ..random_services::node(family, version) };
        if without_cidr {
            node.cluster_cidr = None;
        }
        let kernels = MODES.map(|mode| {
            let dataplane = planner(mode, node);
            let kernel = cold(&*dataplane, &set);
            assert_eq!(kernel.counts(), dataplane.counts(&set), "{mode}");
            dataplane.fits(&set).unwrap();
            kernel
        });
        prop_assert_eq!(kernels[0].ipvs.state(), State::of(&node, &set));
        prop_assert_eq!(&kernels[0], &kernels[1]);
    }

    #[test]
    fn syncs_lead_to_the_state_of_a_cold_one((family, history) in history(), version in version()) {
        let node = random_services::node(family, version);
        for mode in MODES {
            let dataplane = planner(mode, node);
            let (mut kernel, mut installed) = (Paper::with_ipvs(), ServiceSet::default());
            for (to, restart) in &history {
                let sync = if installed.is_empty() || *restart { Sync::Full } else { Sync::Partial };
                kernel.carry_out(&dataplane.plan(&installed, to, sync));
                prop_assert_eq!(&kernel, &cold(&*dataplane, to), "{}", mode);
                prop_assert_eq!(kernel.ipvs.state(), State::of(&node, to), "{}", mode);
                // A sync takes an empty set for a kernel that holds nothing of kube-proxy's.
                if to.is_empty() {
                    break;
                }
                installed = to.clone();
            }
        }
    }

    #[test]
    fn an_append_adds_one_and_its_cleanup_removes_it((family, set) in random_services::sets_of_either_family()) {
        for mode in MODES {
            let dataplane = planner(mode, random_services::node(family, KubeProxy::NEWEST));
            let plan = dataplane.append(&set).unwrap();
            let before = cold(&*dataplane, &set);
            let mut after = before.clone();
            after.carry_out(&Plan { cleanup: Vec::new(), ..plan.clone() });
            prop_assert_eq!(after.counts().virtual_servers, before.counts().virtual_servers + 1);
            let of_family = after
                .ipvs
                .state()
                .servers
                .services()
                .all(|(server, _)| server.key.address.is_ipv6() == (family == Family::Ipv6));
            prop_assert!(of_family);
            after.carry_out(&Plan { steps: plan.cleanup, ..Plan::default() });
            prop_assert_eq!(after, before);
        }
    }

    /// The batched way sends nothing for nothing, and a change has a reverse.
    #[test]
    fn a_change_and_its_reverse_leave_things_as_they_were((family, history) in history()) {
        let node = random_services::node(family, KubeProxy::NEWEST);
        let dataplane = planner(Mode::IpvsBatched, node);
        for pair in history.windows(2) {
            let (from, to) = (&pair[0].0, &pair[1].0);
            if from.is_empty() || to.is_empty() {
                continue;
            }
            let mut kernel = cold(&*dataplane, from);
            kernel.carry_out(&dataplane.plan(from, to, Sync::Partial));
            kernel.carry_out(&dataplane.plan(to, from, Sync::Partial));
            prop_assert_eq!(&kernel, &cold(&*dataplane, from));
            prop_assert_eq!(dataplane.plan(from, from, Sync::Partial).steps, vec![]);
        }
    }

    /// A part of a plan, read by the tool that it is for, does what the plan does.
    #[test]
    fn printed_parts_do_what_the_plan_does((family, history) in history()) {
        let node = random_services::node(family, KubeProxy::NEWEST);
        let empty = ServiceSet::default();
        let (from, to) = match &history[..] {
            [(from, _), (to, _), ..] => (from, to),
            _ => (&empty, &history[0].0),
        };
        for mode in MODES {
            let dataplane = planner(mode, node);
            let (mut kernel, sync) = match from.is_empty() {
                true => (Paper::with_ipvs(), Sync::Full),
                false => (cold(&*dataplane, from), Sync::Partial),
            };
            let plan = dataplane.plan(from, to, sync);
            let mut printed = kernel.clone();
            part(&plan, Part::Ipvs).lines().for_each(|line| {
                printed.ipvs.servers.apply(&line.parse().unwrap()).unwrap();
            });
            part(&plan, Part::Ipset).lines().for_each(|line| assert_eq!(printed.ipvs.ipset_line(line), 0, "{line}"));
            printed.restore(&part(&plan, Part::Iptables));
            kernel.carry_out(&plan);
            prop_assert_eq!(&printed.ipvs.servers, &kernel.ipvs.servers);
            prop_assert_eq!(&printed.ipvs.sets, &kernel.ipvs.sets);
            prop_assert_eq!(printed.chains, kernel.chains);
        }
    }
}

fn part(plan: &Plan, part: Part) -> String {
    let mut out = Vec::new();
    plan.write_part(part, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}
