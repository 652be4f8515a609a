//! Clusters in JSON: Services, EndpointSlices, Nodes and Pods with the fields that kube-proxy and CNI plugins look at. All
//! other fields are left out, annotations and most labels above all.

use serde_json::{Map, Value};

use super::names::Names;
use crate::Fault;

/// Fields that stay, with what is in them. Wherever they stand: their names say enough.
const KEPT: &[(&str, Field)] = &[
    ("apiVersion", Field::As),
    ("kind", Field::As),
    ("items", Field::Inside),
    ("metadata", Field::Inside),
    ("spec", Field::Inside),
    ("status", Field::Inside),
    // Names.
    ("name", Field::Name),
    ("namespace", Field::Name),
    ("nodeName", Field::Name),
    ("hostname", Field::Name),
    ("externalName", Field::Name),
    ("zone", Field::Name),
    ("uid", Field::Hex),
    ("labels", Field::Labels),
    // Services.
    ("type", Field::As),
    ("clusterIP", Field::Address),
    ("clusterIPs", Field::Address),
    ("externalIPs", Field::Address),
    ("loadBalancerIP", Field::Address),
    ("loadBalancerSourceRanges", Field::Address),
    ("ipFamilies", Field::As),
    ("ipFamilyPolicy", Field::As),
    ("ipMode", Field::As),
    ("externalTrafficPolicy", Field::As),
    ("internalTrafficPolicy", Field::As),
    ("trafficDistribution", Field::As),
    ("sessionAffinity", Field::As),
    ("sessionAffinityConfig", Field::Inside),
    ("clientIP", Field::Inside),
    ("timeoutSeconds", Field::As),
    ("healthCheckNodePort", Field::As),
    ("allocateLoadBalancerNodePorts", Field::As),
    ("publishNotReadyAddresses", Field::As),
    ("ports", Field::Inside),
    ("port", Field::As),
    ("nodePort", Field::As),
    ("targetPort", Field::NameOrNumber),
    ("protocol", Field::As),
    ("loadBalancer", Field::Inside),
    ("ingress", Field::Inside),
    ("ip", Field::Address),
    // EndpointSlices.
    ("addressType", Field::As),
    ("endpoints", Field::Inside),
    ("addresses", Field::Address),
    ("address", Field::Address),
    ("conditions", Field::Conditions),
    ("hints", Field::Inside),
    ("forZones", Field::Inside),
    ("forNodes", Field::Inside),
    // Nodes and Pods.
    ("podCIDR", Field::Address),
    ("podCIDRs", Field::Address),
    ("podIP", Field::Address),
    ("podIPs", Field::Inside),
    ("hostIP", Field::Address),
    ("hostNetwork", Field::As),
    ("phase", Field::As),
    ("containers", Field::Inside),
    ("initContainers", Field::Inside),
    ("restartPolicy", Field::As),
    ("containerPort", Field::As),
    ("hostPort", Field::As),
];

/// What is in a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    /// A number, a switch, or a word that the API prescribes.
    As,
    /// More fields.
    Inside,
    Name,
    /// A name, unless it is a number.
    NameOrNumber,
    /// Hexadecimal digits and dashes.
    Hex,
    /// Addresses and networks; of nodes, names.
    Address,
    Labels,
    /// Of endpoints, switches. Of nodes and pods, a list that nobody asks for.
    Conditions,
}

/// Labels that decide what is done with an object, and whether their value is a name.
const LABELS: [(&str, bool); 4] = [
    ("kubernetes.io/service-name", true),
    ("service.kubernetes.io/headless", false),
    ("service.kubernetes.io/service-proxy-name", true),
    ("topology.kubernetes.io/zone", true),
];
const KINDS: [&str; 4] = ["Service", "EndpointSlice", "Node", "Pod"];
/// As deep as any object of these kinds is, and more.
const DEPTH: u32 = 24;

/// Replaces names and addresses, and leaves out what is not needed.
pub(super) fn anonymise(text: &str, names: &mut Names) -> Result<String, Fault> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let line = u32::try_from(error.line()).unwrap_or(u32::MAX);
        Fault::at(line, format!("not JSON: {error}"))
    })?;
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    if !KINDS.contains(&kind) && !value.get("items").is_some_and(Value::is_array) {
        return Err(Fault::whole(
            "it holds no `items`; expected what `kubectl get services,endpointslices -A -o json` prints",
        ));
    }
    let mut anonymous = object(&value, names, DEPTH);
    // A list's own metadata tells nothing.
    if let (Some(fields), true) = (anonymous.as_object_mut(), value.get("items").is_some()) {
        fields.remove("metadata");
    }
    let mut text =
        serde_json::to_string_pretty(&anonymous).map_err(|error| Fault::whole(error.to_string()))?;
    text.push('\n');
    Ok(text)
}

/// The fields of an object, or those of each object of a list, that stay.
fn object(value: &Value, names: &mut Names, depth: u32) -> Value {
    match value {
        Value::Array(items) => {
            let is_wanted = |item: &&Value| {
                let kind = item.get("kind").and_then(Value::as_str);
                kind.is_none_or(|kind| KINDS.contains(&kind))
            };
            Value::Array(items.iter().filter(is_wanted).map(|item| object(item, names, depth)).collect())
        }
        Value::Object(fields) if depth > 0 => {
            let mut kept = Map::new();
            for (name, value) in fields {
                let Some((_, field)) = KEPT.iter().find(|(known, _)| known == name) else { continue };
                if let Some(value) = self::field(*field, value, names, depth) {
                    kept.insert(name.clone(), value);
                }
            }
            Value::Object(kept)
        }
        _ => Value::Null,
    }
}

/// `None`: it is left out.
fn field(field: Field, value: &Value, names: &mut Names, depth: u32) -> Option<Value> {
    Some(match (field, value) {
        (Field::Inside, Value::Array(_) | Value::Object(_)) => object(value, names, depth - 1),
        (_, Value::Null) => Value::Null,
        (Field::As, Value::Array(items)) => {
            Value::Array(items.iter().filter_map(|item| self::field(field, item, names, depth)).collect())
        }
        (Field::As | Field::NameOrNumber, Value::Number(_) | Value::Bool(_)) => value.clone(),
        (Field::As, Value::String(word)) => {
            // A word of the API is short and plain; anything else has no business here.
            let is_plain =
                word.len() <= 40 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"./".contains(&b));
            if is_plain { value.clone() } else { names.label(word).into() }
        }
        (Field::Name | Field::NameOrNumber, Value::String(name)) => name_with_dots(name, names).into(),
        (Field::Hex, Value::String(text)) => {
            let parts: Vec<String> = text.split('-').map(|part| names.hex(part)).collect();
            parts.join("-").into()
        }
        (Field::Address, Value::String(text)) => address(text, names).into(),
        (Field::Address, Value::Array(items)) => {
            let inner = |item: &Value, names: &mut Names| match item {
                // Of a Node's status: {"type": ..., "address": ...}.
                Value::Object(_) => Some(object(item, names, depth - 1)),
                _ => self::field(field, item, names, depth),
            };
            Value::Array(items.iter().filter_map(|item| inner(item, names)).collect())
        }
        (Field::Labels, Value::Object(labels)) => {
            let mut kept = Map::new();
            for (name, is_name) in LABELS {
                if let Some(Value::String(value)) = labels.get(name) {
                    let value = if is_name { name_with_dots(value, names) } else { String::new() };
                    kept.insert(name.to_owned(), value.into());
                }
            }
            Value::Object(kept)
        }
        (Field::Conditions, Value::Object(conditions)) => {
            let kept = conditions.iter().filter(|(_, value)| value.is_boolean() || value.is_null());
            let known = kept.filter(|(name, _)| matches!(name.as_str(), "ready" | "serving" | "terminating"));
            Value::Object(known.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        _ => return None,
    })
}

/// Names of nodes and hosts may have several labels.
fn name_with_dots(name: &str, names: &mut Names) -> String {
    let labels: Vec<String> = name.split('.').map(|label| names.label(label)).collect();
    labels.join(".")
}

/// `None`, an address, a network; of nodes also a name.
fn address(text: &str, names: &mut Names) -> String {
    if matches!(text, "" | "None") {
        return text.to_owned();
    }
    names.address_word(text).unwrap_or_else(|| name_with_dots(text, names))
}
