//! JSON and YAML, lists and single objects: one cluster in many clothes.

use proptest::prelude::*;
use serde_json::{Value, json};
use services::cluster::ClusterInput;
use services::service::Family;

use crate::fuzz::{any_change, changed};
use crate::{EVERYTHING_JSON, EVERYTHING_YAML, read, service, slice};

/// Block style, as kubectl writes it; every string quoted.
fn block(value: &Value, indent: usize, into: &mut String) {
    let pad = " ".repeat(indent);
    let nested = |value: &Value| match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                into.push_str(&format!("{pad}{}:", Value::from(name.as_str())));
                into.push_str(if nested(field) { "\n" } else { " " });
                block(field, indent + 2, into);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                into.push_str(&format!("{pad}-"));
                into.push_str(if nested(item) { "\n" } else { " " });
                block(item, indent + 2, into);
            }
        }
        scalar => into.push_str(&format!("{scalar}\n")),
    }
}

fn yaml(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn everything() -> Value {
    serde_json::from_str(EVERYTHING_JSON).unwrap()
}

#[test]
fn json_and_yaml_of_a_cluster_are_the_same() {
    assert_eq!(read(EVERYTHING_JSON).unwrap(), read(EVERYTHING_YAML).unwrap());
}

#[test]
fn documents_may_be_lists_or_single_objects() {
    let expected = read(EVERYTHING_JSON).unwrap();
    let items = everything()["items"].as_array().unwrap().clone();
    let json_documents: Vec<String> = items.iter().map(Value::to_string).collect();
    let yaml_documents: Vec<String> = items.iter().map(yaml).collect();
    let of_kind = |kind: &str| -> Vec<Value> {
        let mut own: Vec<Value> = items.iter().filter(|item| item["kind"] == kind).cloned().collect();
        // As the API server lists them.
        own.iter_mut().for_each(|item| drop(item.as_object_mut().unwrap().remove("kind")));
        own
    };
    let list = |kind: &str| format!("{{\"kind\": \"{kind}List\", \"items\": {}}}", json!(of_kind(kind)));
    let lists = ["Node", "Service", "EndpointSlice", "Pod"].map(list);
    for (what, text) in [
        ("JSON documents", json_documents.join("\n")),
        ("JSON documents without a space", json_documents.concat()),
        ("a bare array", json!(items).to_string()),
        ("YAML documents", yaml_documents.join("---\n")),
        (
            "YAML documents that begin and end with markers",
            format!("---\n{}---\n", yaml_documents.join("---\n---\n")),
        ),
        ("YAML with directives and comments", format!("# from kubectl\n%YAML 1.2\n---\n{EVERYTHING_YAML}")),
        ("YAML with CRLF", EVERYTHING_YAML.replace('\n', "\r\n")),
        ("JSON with a byte order mark", format!("\u{feff}{EVERYTHING_JSON}")),
        ("YAML with a byte order mark", format!("\u{feff}{EVERYTHING_YAML}")),
        ("lists of one kind", lists.concat()),
        ("lists of one kind in YAML", format!("---\n{}", lists.join("\n---\n"))),
        ("flow style", format!("---\n{}", everything())),
    ] {
        assert_eq!(read(&text).as_ref(), Ok(&expected), "{what}");
    }
}

#[test]
fn the_order_of_objects_is_the_order_of_services_and_nothing_else() {
    let mut items = everything()["items"].as_array().unwrap().clone();
    items.sort_by_key(|item| item["kind"] != "EndpointSlice");
    let sorted = read(&json!({ "items": items }).to_string()).unwrap();
    let expected = read(EVERYTHING_JSON).unwrap();
    assert!(Family::ALL.iter().all(|&family| sorted.set(family) == expected.set(family)));
}

#[test]
fn plain_scalars_are_what_they_are_to_kubernetes() {
    let text = "
kind: List
items:
- kind: Service
  metadata:
    name: \"on\"
    namespace: '1'
    creationTimestamp: null
    labels: {a: yes, b: 'no'}
  spec:
    clusterIP: 10.96.0.1
    clusterIPs: [10.96.0.1]
    ports:
    - port: 80
      protocol: TCP
      targetPort: http
  status: {}
";
    let cluster = read(text).unwrap_err();
    assert!(
        cluster.starts_with("FILE: items[0] (Service 1/on): metadata.labels.a: invalid type: boolean"),
        "{cluster}"
    );
    let service = read(&text.replace("yes", "'yes'")).unwrap().set(Family::Ipv4).services()[0].clone();
    assert_eq!(service.display_name(), "1/on");
}

#[test]
fn a_marker_in_a_block_of_text_is_indented_and_no_marker() {
    let mut service = service(json!({}));
    service["metadata"]["annotations"] = json!({ "note": "---\nkind: Pod\n" });
    let text = yaml(&service).replace("\"---\\nkind: Pod\\n\"", "|\n      ---\n      kind: Pod");
    assert!(text.contains("|\n"), "{text}");
    assert_eq!(read(&text).unwrap().set(Family::Ipv4).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// In block and in flow style, changed at random: the same sets, or the same complaint.
    #[test]
    fn json_and_yaml_mean_the_same(changes in prop::collection::vec(any_change(), 0..3)) {
        let list = json!({ "kind": "List", "items": [
            service(json!({ "type": "LoadBalancer", "externalIPs": ["192.0.2.1"] })),
            slice("x", json!([{ "addresses": ["10.0.0.1"], "nodeName": "n1" }])),
        ] });
        let changed = changed(list, changes);
        let as_json = read(&changed.to_string());
        prop_assert_eq!(&read(&format!("---\n{changed}\n")), &as_json);
        prop_assert_eq!(&read(&yaml(&changed)), &as_json);
    }
}

/// Reads without naming a node.
#[test]
fn without_a_node_nothing_is_local() {
    let text = json!({ "items": [service(json!({})), slice("x", json!([{ "addresses": ["10.0.0.1"], "nodeName": "" }]))] });
    let cluster = ClusterInput::read_from(text.to_string().as_bytes(), "FILE", None).unwrap();
    assert!(!cluster.set(Family::Ipv4).services()[0].endpoints()[0].local);
}
