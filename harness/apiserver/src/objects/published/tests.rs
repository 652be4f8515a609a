use std::net::SocketAddr;

use services::random::RandomServices;
use services::service::{Endpoint, Family, Hint, Hints, Policy, Protocol};
use services::service_set::Scale;

use super::*;
use crate::object::KubeObject;

fn set(scale: (u32, u32)) -> ServiceSet {
    ServiceSet::synthetic(Scale { services: scale.0, endpoints: scale.1 }, 1)
}

fn kinds(changes: impl Iterator<Item = Change>) -> Vec<String> {
    let kind = |change: Change| {
        let verb = if matches!(change, Change::Put(_)) { "put" } else { "delete" };
        format!("{verb} {}", change.key().resource.kind())
    };
    changes.map(kind).collect()
}

fn changes(published: &mut Published, set: &ServiceSet) -> Vec<String> {
    kinds(published.change_to(&[set], None).unwrap())
}

#[test]
fn changes_are_as_few_as_can_be() {
    let set = set((3, 250));
    let mut published = Published::new("n");
    let all = changes(&mut published, &set);
    let count = |kind: &str| all.iter().filter(|change| change.ends_with(kind)).count();
    assert_eq!([count(" Namespace"), count(" Service"), count(" EndpointSlice")], [1, 3, 9]);
    assert_eq!(changes(&mut published, &set), [""; 0]);
    let exchanged = set.with_endpoint_replaced(1, "10.200.0.1".parse().unwrap());
    assert_eq!(changes(&mut published, &exchanged), ["put EndpointSlice"]);
    let spare = services::unused::Unused::Synthetic.service(1, 10);
    let added = exchanged.with_added(spare);
    assert_eq!(changes(&mut published, &added), ["put Service", "put EndpointSlice"]);
    assert_eq!(changes(&mut published, &exchanged), ["delete Service", "delete EndpointSlice"]);
    let mut local = Service::clone(&exchanged.services()[0]);
    local.internal_policy = Policy::Local;
    assert_eq!(changes(&mut published, &exchanged.with_replaced(0, local.clone())), ["put Service"]);
    local.set_endpoints(Vec::new());
    let empty = exchanged.with_replaced(0, local);
    assert_eq!(
        changes(&mut published, &empty),
        ["put EndpointSlice", "delete EndpointSlice", "delete EndpointSlice"],
        "one slice says that there is no endpoint"
    );
}

#[test]
fn both_families_are_one_object() {
    let one = |cluster: &str, endpoint: &str| {
        let endpoints = vec![Endpoint::ready(endpoint.parse::<SocketAddr>().unwrap(), true)];
        let cluster = cluster.parse().unwrap();
        ServiceSet::from_iter([Service::new("n", "s", "http", Protocol::Tcp, cluster, endpoints)])
    };
    let (v4, v6) = (one("10.96.0.1:80", "10.1.0.1:8080"), one("[fd00::1]:80", "[fd01::1]:8080"));
    let mut published = Published::new("node1");
    let changes: Vec<Change> = published.change_to(&[&v4, &v6], None).unwrap().collect();
    let [_, Change::Put(KubeObject::Service(service)), Change::Put(KubeObject::EndpointSlice(slice)), _] =
        &changes[..]
    else {
        panic!("{changes:?}")
    };
    let spec = service.spec.as_ref().unwrap();
    assert_eq!(spec.cluster_ips.as_ref().unwrap(), &["10.96.0.1", "fd00::1"]);
    assert_eq!(spec.ports.as_ref().unwrap().len(), 1);
    let endpoint = &slice.endpoints.as_ref().unwrap()[0];
    assert_eq!((slice.address_type.as_str(), endpoint.node_name.as_deref()), ("IPv4", Some("node1")));
    let other = one("[fd00::1]:81", "[fd01::1]:8080");
    let error = published.change_to(&[&v4, &other], None).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the ports of Service n/s differ in a port's numbers, from family to family, which a Service has once for all its ports"
    );
    assert_eq!(kinds(published.change_to(&[&v4, &v6], None).unwrap()), [""; 0], "an error changes nothing");
    assert_eq!(kinds(published.change_to(&[&v4], None).unwrap()), ["put Service", "delete EndpointSlice"]);
}

#[test]
fn the_moment_of_a_change_is_noted() {
    let mut published = Published::new("n");
    let moment = SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1_700_000_000_123_456_789);
    let set = set((1, 1));
    let changes: Vec<Change> = published.change_to(&[&set], Some(moment)).unwrap().collect();
    let Some(Change::Put(KubeObject::EndpointSlice(slice))) = changes.last() else { panic!("{changes:?}") };
    let time =
        &slice.metadata.annotations.as_ref().unwrap()["endpoints.kubernetes.io/last-change-trigger-time"];
    assert_eq!(time, "2023-11-14T22:13:20.123456789Z");
}

#[test]
fn hints_are_told_as_the_controller_would() {
    let hinted = |node, zone| {
        let endpoint = Endpoint::ready("10.1.0.1:80".parse().unwrap(), false);
        let endpoints = vec![Endpoint { hints: Hints { node, zone }, ..endpoint }];
        let service = Service::new("n", "s", "", Protocol::Tcp, "10.96.0.1:80".parse().unwrap(), endpoints);
        let mut published = Published::new("node1");
        let set = ServiceSet::from_iter([service]);
        let mut changes = published.change_to(&[&set], None).unwrap();
        let Some(Change::Put(KubeObject::EndpointSlice(slice))) = changes.nth(2) else { panic!() };
        let hints = slice.endpoints.unwrap().remove(0).hints?;
        let nodes = hints.for_nodes.map(|nodes| nodes.into_iter().map(|node| node.name).collect::<Vec<_>>());
        Some((
            nodes,
            hints.for_zones.map(|zones| zones.into_iter().map(|zone| zone.name).collect::<Vec<_>>()),
        ))
    };
    assert_eq!(hinted(Hint::None, Hint::None), None);
    let names = |name: &str| Some(vec![name.to_owned()]);
    assert_eq!(hinted(Hint::Here, Hint::None), Some((names("node1"), None)));
    assert_eq!(
        hinted(Hint::Elsewhere, Hint::Elsewhere),
        Some((names("another-node"), names("another-zone")))
    );
    assert_eq!(hinted(Hint::None, Hint::Here), Some((None, names("zone-1"))));
}

#[test]
fn random_services_are_what_an_api_server_could_hold() {
    for seed in 0..50 {
        let mut services = RandomServices::of_seed(seed);
        let mut published = Published::new("node1");
        for _ in 0..4 {
            let [v4, v6] = Family::ALL.map(|family| services.set(family));
            let changes = published.change_to(&[&v4, &v6], None).map(Iterator::count);
            assert!(changes.is_ok(), "seed {seed}: {changes:?}");
            services.change();
        }
    }
}
