//! Clusters as `kubectl` prints them: what they are read as, how broken ones are refused, and that none brings the reader
//! down. Needs no privilege.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod broken;
mod command;
mod features;
mod fuzz;
mod languages;
mod passed;
mod words;

use serde_json::{Value, json};
use services::cluster::ClusterInput;

const EXAMPLE: &str = include_str!("../../dataplane/tests/golden/example.json");
const EVERYTHING_JSON: &str = include_str!("../../dataplane/tests/golden/clusters/everything.json");
const EVERYTHING_YAML: &str = include_str!("../../dataplane/tests/golden/clusters/everything.yaml");

/// Reads a text for a kube-proxy on node `n1`.
fn read(text: &str) -> Result<ClusterInput, String> {
    ClusterInput::read_from(text.as_bytes(), "FILE", Some("n1")).map_err(|error| error.to_string())
}

/// Reads objects.
fn cluster(items: &[Value]) -> Result<ClusterInput, String> {
    read(&json!({ "kind": "List", "items": items }).to_string())
}

/// Service `a/s` at 10.96.0.1, port 80 named `http`, with more fields of its `spec`.
fn service(spec: Value) -> Value {
    let mut service = json!({
        "kind": "Service",
        "metadata": { "name": "s", "namespace": "a" },
        "spec": { "clusterIP": "10.96.0.1", "ports": [{ "name": "http", "port": 80 }] },
    });
    for (field, value) in spec.as_object().unwrap() {
        service["spec"][field] = value.clone();
    }
    service
}

/// An EndpointSlice of `a/s`, called `a/NAME`, of port 8080 named `http`.
fn slice(name: &str, endpoints: Value) -> Value {
    json!({
        "kind": "EndpointSlice",
        "metadata": { "name": name, "namespace": "a", "labels": { "kubernetes.io/service-name": "s" } },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "port": 8080 }],
        "endpoints": endpoints,
    })
}
