//! No input makes the reader panic, and what it accepts gives plans of whole lines.

use dataplane::{KubeProxy, Mode, Node, Sync, planner};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use services::cluster::ClusterInput;
use services::service::Family;
use services::service_set::ServiceSet;

use crate::{EVERYTHING_JSON, EVERYTHING_YAML};

const MODES: [Mode; 6] =
    [Mode::Direct, Mode::Dnat, Mode::IptablesLegacy, Mode::Nftables, Mode::Ipvs, Mode::IpvsBatched];

/// Reads a cluster; what is accepted must give plans of whole lines in every mode and family.
fn read_and_plan(bytes: &[u8]) -> Result<(), String> {
    let cluster = match ClusterInput::read_from(bytes, "FILE", Some("n1")) {
        Ok(cluster) => cluster,
        Err(error) => return tame(&error.to_string()),
    };
    for family in Family::ALL {
        let set = cluster.set(family);
        let address = match family {
            Family::Ipv4 => "10.10.0.1",
            Family::Ipv6 => "fd00:10:10::1",
        };
        let node =
            Node { address: address.parse().unwrap(), cluster_cidr: None, ..Node::lab(KubeProxy::NEWEST) };
        for dataplane in MODES.map(|mode| planner(mode, node)) {
            if dataplane.fits(set).is_ok() {
                let plan = dataplane.plan(&ServiceSet::default(), set, Sync::Full);
                plan.steps.iter().filter_map(|step| step.input()).try_for_each(whole)?;
            }
        }
    }
    Ok(())
}

/// What is reported names the file, is one line, and not longer than a person reads.
fn tame(message: &str) -> Result<(), String> {
    let is_tame =
        message.contains("FILE") && message.chars().count() < 1000 && !message.chars().any(char::is_control);
    if is_tame { Ok(()) } else { Err(format!("{message:?}")) }
}

fn whole(input: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(input).map_err(|error| error.to_string())?;
    let is_whole = |line: &str| {
        let starts =
            ["*", ":", "-A ", "-I ", "-X ", "COMMIT", "add ", "create ", "flush ", "delete ", "destroy "];
        starts.iter().any(|start| line.starts_with(start)) && line.matches('"').count().is_multiple_of(2)
    };
    match text.lines().find(|line| !is_whole(line)) {
        Some(line) => Err(line.to_owned()),
        None => Ok(()),
    }
}

/// Places in a document, as pointers.
fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| pointers(item, &format!("{at}/{index}"), into));
        }
        Value::Object(fields) => {
            // RFC 6901; no name here has a tilde.
            let place = |name: &str| format!("{at}/{}", name.replace('/', "~1"));
            fields.iter().for_each(|(name, field)| pointers(field, &place(name), into));
        }
        _ => {}
    }
}

/// A place and what stands there instead.
pub(crate) fn any_change() -> impl Strategy<Value = (Index, Value)> {
    (any::<Index>(), any_value())
}

fn any_value() -> impl Strategy<Value = Value> {
    const TEXTS: [&str; 21] = [
        "fd00::1",
        "10.96.0.1",
        "::ffff:10.0.0.1",
        "010.0.0.1",
        "None",
        "",
        "IPv4",
        "IPv6",
        "FQDN",
        "SCTP",
        "UDP",
        "Local",
        "ClientIP",
        "NodePort",
        "LoadBalancer",
        "ExternalName",
        "List",
        "Service",
        "EndpointSlice",
        "Pod",
        "10.0.0.0/8",
    ];
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null])),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2..70_000_i64).prop_map(Value::from),
        "[ -~]{0,20}".prop_map(Value::from),
        prop::sample::select(&TEXTS[..]).prop_map(Value::from),
    ]
}

/// The document with these changes.
pub(crate) fn changed(mut document: Value, changes: Vec<(Index, Value)>) -> Value {
    for (index, value) in changes {
        let mut places = Vec::new();
        pointers(&document, "", &mut places);
        *document.pointer_mut(&places[index.index(places.len())]).unwrap() = value;
    }
    document
}

fn any_bytes() -> impl Strategy<Value = Vec<(Index, u8)>> {
    prop::collection::vec(
        (any::<Index>(), prop_oneof![any::<u8>(), prop::sample::select(b"{}[]:,\"'-#&*!|>%@\\ \n".to_vec())]),
        1..4,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_byte_makes_it_panic(is_yaml: bool, changes in any_bytes(), cut in any::<Index>()) {
        let mut bytes = if is_yaml { EVERYTHING_YAML } else { EVERYTHING_JSON }.as_bytes().to_vec();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        prop_assert_eq!(read_and_plan(&bytes), Ok(()));
        prop_assert_eq!(read_and_plan(&bytes[..cut.index(bytes.len())]), Ok(()));
    }

    #[test]
    fn no_value_makes_it_panic(changes in prop::collection::vec(any_change(), 1..6)) {
        let document = changed(serde_json::from_str(EVERYTHING_JSON).unwrap(), changes);
        prop_assert_eq!(read_and_plan(document.to_string().as_bytes()), Ok(()));
    }

    #[test]
    fn no_text_makes_it_panic(
        start in prop::sample::select(vec!["", "{", "{\"items\": [", "items:\n- ", "kind: Service\nspec: ", "--- ", "[{"]),
        text in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), "[]{}:,\"'&*!|>%@a0 \n-]{0,200}".prop_map(String::into_bytes)],
    ) {
        let bytes = [start.as_bytes(), &text].concat();
        prop_assert_eq!(read_and_plan(&bytes), Ok(()));
    }

    /// Whatever a text is, the error is one short line.
    #[test]
    fn no_name_gets_out(name: String, kind: String, ip: String, port_name: String) {
        let service = json!({
            "kind": kind, "metadata": { "name": name, "namespace": name, "labels": { kind.clone(): ip } },
            "spec": { "clusterIP": ip, "ports": [{ "port": 80, "name": port_name }], "type": kind },
        });
        prop_assert_eq!(read_and_plan(service.to_string().as_bytes()), Ok(()));
        let named = json!({ "kind": "Service", "metadata": { "name": "a", "namespace": "b", "labels": { kind: ip.len() } } });
        prop_assert_eq!(read_and_plan(named.to_string().as_bytes()), Ok(()));
    }
}
