//! Random Services with every feature, carried out on paper.

use crate::paper::random_services;
use dataplane::{Dataplane, KubeProxy, Node, Sync};
use proptest::prelude::*;
use services::service::Family;
use services::service_set::ServiceSet;

use super::{VERSIONS, nftables, nftables_on};
use crate::paper::{NftPaper, Paper};

fn cold(dataplane: &dyn Dataplane, to: &ServiceSet) -> Paper {
    let mut kernel = Paper::default();
    kernel.carry_out(&dataplane.plan(&ServiceSet::default(), to, Sync::Full));
    kernel
}

/// kube-proxy leaves the comment of an element whose verdict stays, whoever it belongs to now.
fn without_comments(kernel: &Paper) -> NftPaper {
    let mut nft = kernel.nft.clone();
    let sets = nft.tables.values_mut().flat_map(|table| table.sets.values_mut());
    sets.flat_map(|set| set.elements.values_mut()).for_each(|element| element.comment.clear());
    nft
}

/// How kube-proxy comes to the next set.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Partial,
    Restart,
    /// A partial sync, and the clock.
    Resync,
}

fn turns() -> impl Strategy<Value = Turn> {
    prop_oneof![3 => Just(Turn::Partial), 1 => Just(Turn::Restart), 1 => Just(Turn::Resync)]
}

fn histories() -> impl Strategy<Value = (Family, Vec<(ServiceSet, Turn)>)> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)].prop_flat_map(|family| {
        (Just(family), prop::collection::vec((random_services::sets(family), turns()), 2..5))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn the_model_counts_what_a_cold_sync_and_a_load_leave(
        (family, set) in random_services::sets_of_either_family(),
        without_cidr: bool,
    ) {
        for version in VERSIONS {
            let node = random_services::node(family, version);
            let cluster_cidr = node.cluster_cidr.filter(|_| !without_cidr);
            let dataplane = nftables_on(Node { cluster_cidr, ..node });
            dataplane.fits(&set).unwrap();
            let kernel = cold(&*dataplane, &set);
            prop_assert_eq!(kernel.counts(), dataplane.counts(&set), "{:?}", version);
            let load = dataplane.load(&set);
            prop_assert_eq!(load.expect, kernel.counts());
            let mut loaded = Paper::default();
            loaded.carry_out(&load);
            prop_assert_eq!(loaded, kernel, "{:?}", version);
        }
    }

    #[test]
    fn however_a_set_is_reached_the_table_is_that_of_a_cold_sync((family, history) in histories()) {
        for version in VERSIONS {
            let dataplane = nftables(family, version);
            let mut kernel = Paper::default();
            let mut installed = ServiceSet::default();
            for (to, turn) in &history {
                // A first sync takes an empty set for an empty kernel.
                let restarts = matches!(turn, Turn::Restart) && !installed.is_empty();
                let first = kernel == Paper::default();
                let sync = if first || restarts { Sync::Full } else { Sync::Partial };
                let plan = dataplane.plan(&installed, to, sync);
                kernel.carry_out(&plan);
                if matches!(turn, Turn::Resync) {
                    kernel.carry_out(&dataplane.resync(to).unwrap());
                }
                let wanted = cold(&*dataplane, to);
                prop_assert_eq!(kernel.counts(), plan.expect);
                prop_assert_eq!(without_comments(&kernel), without_comments(&wanted), "{:?} {:?}", version, turn);
                installed = to.clone();
            }
        }
    }

    /// A sync of what has not changed sends nothing, or at a restart no element; and no endpoint, as long as each has a chain
    /// that is there already.
    #[test]
    fn what_has_not_changed_is_not_sent((family, set) in random_services::sets_of_either_family()) {
        for version in [KubeProxy::V1_34, KubeProxy::V1_36, KubeProxy::V1_37] {
            let dataplane = nftables(family, version);
            prop_assert_eq!(super::transaction(&dataplane.plan(&set, &set, Sync::Partial)), "");
            let restart = super::transaction(&dataplane.plan(&set, &set, Sync::Full));
            let is_endpoint = |line: &&str| version == KubeProxy::V1_34 && line.contains(" kube-proxy endpoint-");
            // An empty set stands for an empty kernel; the node's own address is added always.
            let is_element = |line: &&str| line.starts_with("add element") && !line.contains("nodeport-ips");
            prop_assert_eq!(restart.lines().find(|line| is_endpoint(line) || is_element(line)), None);
        }
    }

    #[test]
    fn versions_1_34_and_1_35_differ_in_their_listings_only((family, set) in random_services::sets_of_either_family()) {
        let plan = |version| nftables(family, version).plan(&ServiceSet::default(), &set, Sync::Full);
        let (one, other) = (plan(KubeProxy::V1_34), plan(KubeProxy::V1_35));
        prop_assert_eq!(super::transaction(&one), super::transaction(&other));
        // Elements of six containers; then chains and sets, or the table.
        prop_assert_eq!((one.steps.len(), other.steps.len()), (6 + 2 + 1, 6 + 1 + 1));
    }

    #[test]
    fn an_append_adds_one_element_and_its_cleanup_removes_it((family, set) in random_services::sets_of_either_family()) {
        for version in VERSIONS {
            let dataplane = nftables(family, version);
            let Some(mut plan) = dataplane.append(&set) else {
                prop_assert!(set.services().iter().all(|service| service.routes().internal(service).is_empty()));
                continue;
            };
            let cleanup = std::mem::take(&mut plan.cleanup);
            let mut kernel = cold(&*dataplane, &set);
            let before = kernel.clone();
            kernel.carry_out(&plan);
            let mut wanted = before.counts();
            wanted.elements += 1;
            prop_assert_eq!(kernel.counts(), wanted);
            plan.steps = cleanup;
            kernel.carry_out(&plan);
            prop_assert_eq!(&kernel, &before);
        }
    }
}
