//! The random Services of the property tests have what they are to have.

use crate::paper::random_services;
use std::collections::BTreeSet;

use dataplane::KubeProxy;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use services::service::{Condition, Family, Policy, Protocol, Service};
use services::service_set::ServiceSet;

/// Everything that a set claims for itself.
fn claims(set: &ServiceSet) -> Vec<String> {
    let of = |service: &Service| {
        let protocol = service.protocol.name();
        let mut claims = vec![format!("{:?}", service.key()), format!("{protocol} {}", service.cluster)];
        claims.extend(service.node_port.map(|port| format!("{protocol} {port}")));
        claims.extend(service.external_addresses().map(|address| format!("{protocol} {address}")));
        claims
    };
    set.services().iter().flat_map(|service| of(service)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_service_is_in_the_way_of_another((family, set) in random_services::sets_of_either_family()) {
        let claims = claims(&set);
        let distinct: BTreeSet<&String> = claims.iter().collect();
        prop_assert_eq!(claims.len(), distinct.len());
        let node = random_services::node(family, KubeProxy::NEWEST);
        for service in set.services() {
            let addresses = service.endpoints().iter().map(|endpoint| endpoint.address).chain([service.cluster]);
            let addresses = addresses.chain(service.external_addresses()).map(|address| Family::of(address.ip()));
            prop_assert!(addresses.chain([node.family()]).all(|of| of == family));
        }
    }
}

/// What is to be found among some hundred sets: each feature, and what makes it hard.
#[test]
fn every_feature_occurs() {
    type Feature = (&'static str, fn(&Service) -> bool);
    let local = |service: &Service| service.endpoints().iter().any(|endpoint| endpoint.local);
    let features: [Feature; 16] = [
        ("plain", |s| !s.is_externally_accessible() && !s.uses_local_endpoints()),
        ("SCTP", |s| s.protocol == Protocol::Sctp),
        ("unnamed port", |s| s.port_name.is_empty()),
        ("node port", |s| s.node_port.is_some()),
        ("two external IPs", |s| s.external_ips.len() == 2),
        ("two load-balancer IPs", |s| s.load_balancer_ips.len() == 2),
        ("source ranges", |s| s.source_ranges.len() == 2 && !s.load_balancer_ips.is_empty()),
        ("health-check node port", |s| s.health_check_node_port.is_some()),
        ("affinity", |s| s.affinity_seconds.is_some()),
        ("no endpoints", |s| s.endpoints().is_empty()),
        ("many endpoints", |s| s.endpoints().len() > 3),
        ("internal policy Local", |s| s.internal_policy == Policy::Local && !s.routes().local.is_empty()),
        ("both policies Local", |s| s.internal_policy == Policy::Local && s.external_policy == Policy::Local),
        ("external policy Local in vain", |s| {
            s.external_policy == Policy::Local && s.is_externally_accessible() && s.routes().local.is_empty()
        }),
        ("terminating endpoints only", |s| {
            let mut all = s.endpoints().iter();
            !s.endpoints().is_empty() && all.all(|endpoint| endpoint.condition == Condition::Terminating)
        }),
        ("a local endpoint terminates", |s| s.routes().reachable.len() > s.routes().cluster.len()),
    ];
    let mut runner = TestRunner::deterministic();
    let mut found = BTreeSet::new();
    for family in Family::ALL {
        for _ in 0..100 {
            let set = random_services::sets(family).new_tree(&mut runner).unwrap().current();
            for service in set.services() {
                found.extend(features.iter().filter(|(_, has)| has(service)).map(|(name, _)| *name));
                found.extend(local(service).then_some("local endpoint"));
            }
            let names: BTreeSet<&str> = set.services().iter().map(|service| &*service.name).collect();
            found.extend((names.len() < set.len()).then_some("several ports"));
        }
    }
    let wanted: BTreeSet<&str> =
        features.iter().map(|(name, _)| *name).chain(["local endpoint", "several ports"]).collect();
    assert_eq!(found, wanted);
}
