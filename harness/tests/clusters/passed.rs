//! What is passed over, and that it is reported.

use serde_json::{Value, json};
use services::cluster::{ClusterInput, PassedOver, Reason};
use services::service::{Family, Hint, Hints};

use crate::{EVERYTHING_JSON, cluster, read, service, slice};

#[test]
fn everything_that_leaves_nothing_in_the_kernel_is_reported() {
    let passed = read(EVERYTHING_JSON).unwrap().passed_over;
    let text = Family::ALL.map(|family| {
        let of = passed.of(family);
        format!("{}\n\n{}\n", of.lines(false).join("\n"), of.lines(true).join("\n"))
    });
    insta::assert_snapshot!("everything_passed_over", text.join("\n"));
}

fn passed(item: Value) -> PassedOver {
    cluster(&[item]).unwrap().passed_over
}

#[test]
fn services_that_kube_proxy_skips() {
    let labelled = |label: &str| {
        let mut service = service(json!({}));
        service["metadata"]["labels"] = json!({ label: "" });
        service
    };
    for (item, reason) in [
        (service(json!({ "clusterIP": "None", "clusterIPs": ["None"] })), Reason::Headless),
        (labelled("service.kubernetes.io/headless"), Reason::Headless),
        (service(json!({ "clusterIP": null })), Reason::NoClusterIp),
        (service(json!({ "clusterIP": "" })), Reason::NoClusterIp),
        (
            service(json!({ "type": "ExternalName", "externalName": "example.com", "clusterIP": null })),
            Reason::ExternalName,
        ),
        (service(json!({ "type": "ExternalName", "externalName": "example.com" })), Reason::ExternalName),
        (labelled("service.kubernetes.io/service-proxy-name"), Reason::OtherProxy),
    ] {
        let cluster = cluster(std::slice::from_ref(&item)).unwrap();
        assert!(Family::ALL.iter().all(|&family| cluster.set(family).is_empty()), "{item}");
        assert_eq!(cluster.service_objects, 1);
        let reported: Vec<_> =
            cluster.passed_over.services.iter().map(|(reason, listed)| (*reason, listed.words())).collect();
        assert_eq!(reported, [(reason, "1 (a/s)".to_owned())], "{item}");
    }
    let only = passed(service(json!({})));
    assert_eq!(only.of(Family::Ipv4), PassedOver::default());
    assert_eq!(only.of(Family::Ipv6).services.keys().collect::<Vec<_>>(), [&Reason::NoIpv6]);
}

#[test]
fn slices_that_nobody_owns() {
    let mut strange = slice("x", json!([{ "addresses": ["10.0.0.1"] }]));
    strange["metadata"]["labels"]["kubernetes.io/service-name"] = json!("other");
    let mut unowned = slice("y", json!([]));
    unowned["metadata"]["labels"] = Value::Null;
    let headless = service(json!({ "clusterIP": "None" }));
    let reported = |items: &[Value]| cluster(items).unwrap().passed_over.slices.words();
    assert_eq!(reported(&[service(json!({})), strange, unowned]), "2 (a/y, a/other)");
    assert_eq!(reported(&[headless, slice("x", json!([]))]), "0", "of a headless Service");
}

#[test]
fn hints_without_a_node_and_other_kinds() {
    let hinted =
        slice("x", json!([{ "addresses": ["10.0.0.1"], "hints": { "forZones": [{ "name": "a" }] } }]));
    let other = |kind: &str| json!({ "kind": kind, "metadata": { "name": "x" }, "data": {} });
    let items = [service(json!({})), hinted, other("ConfigMap"), other("Secret"), other("ConfigMap")];
    let list = json!({ "kind": "List", "items": items }).to_string();
    let lines = |node| {
        let input = ClusterInput::read_from(list.as_bytes(), "FILE", node).unwrap();
        input.passed_over.of(Family::Ipv4).lines(true)
    };
    let others = "objects of other kinds: ConfigMap 2, Secret 1";
    let hints = "Services whose topology hints are not followed, as no node is named: 1 (a/s)";
    assert_eq!(lines(None), [hints, others]);
    assert_eq!(lines(Some("n1")), [others]);
}

#[test]
fn hints_are_for_a_node_and_its_zone() {
    let hints = |hints: Value, zone: &str| {
        let node = json!({ "kind": "Node", "metadata": { "name": "n1", "labels": { "topology.kubernetes.io/zone": zone } } });
        let hinted = slice("x", json!([{ "addresses": ["10.0.0.1"], "hints": hints }]));
        let input = cluster(&[service(json!({})), hinted, node]).unwrap();
        input.set(Family::Ipv4).services()[0].endpoints()[0].hints
    };
    let zones = json!({ "forZones": [{ "name": "b" }, { "name": "a" }] });
    assert_eq!(hints(zones.clone(), "a"), Hints { node: Hint::None, zone: Hint::Here });
    assert_eq!(hints(zones, "c"), Hints { node: Hint::None, zone: Hint::Elsewhere });
    let both = json!({ "forNodes": [{ "name": "n1" }], "forZones": [{ "name": "b" }] });
    assert_eq!(hints(both, "a"), Hints { node: Hint::Here, zone: Hint::Elsewhere });
    assert_eq!(hints(json!({ "forNodes": [{ "name": "n2" }] }), "a").node, Hint::Elsewhere);
    assert_eq!(hints(json!({}), "a"), Hints::NONE);
}

#[test]
fn names_are_kept_up_to_a_bound() {
    let headless = |number: u32| {
        let mut service = service(json!({ "clusterIP": "None" }));
        service["metadata"]["name"] = json!(format!("s{number}"));
        service
    };
    let many: Vec<Value> = (0..1000).map(headless).collect();
    let listed = &cluster(&many).unwrap().passed_over.services[&Reason::Headless];
    assert_eq!((listed.count, listed.names.len()), (1000, 20));
    assert!(listed.words().ends_with("a/s19, ...)"));
}
