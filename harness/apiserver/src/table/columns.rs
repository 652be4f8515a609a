//! The columns of each resource.

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::age::age;
use crate::resource::Resource;

/// A column.
pub(super) struct Column {
    pub name: &'static str,
    /// 0: always shown; 1: with `-o wide`.
    pub priority: u8,
    pub cell: fn(&Value, Timestamp) -> String,
}

const fn shown(name: &'static str, cell: fn(&Value, Timestamp) -> String) -> Column {
    Column { name, priority: 0, cell }
}

const fn wide(name: &'static str, cell: fn(&Value, Timestamp) -> String) -> Column {
    Column { name, priority: 1, cell }
}

const NAME: Column = shown("Name", |object, _| text(object, "/metadata/name", "").into());
const AGE: Column = shown("Age", |object, now| {
    age(object.pointer("/metadata/creationTimestamp").and_then(Value::as_str), now)
});

/// Of a resource.
pub(super) const fn of(resource: Resource) -> &'static [Column] {
    const NODES: &[Column] = &[
        NAME,
        shown("Status", |node, _| node_status(node)),
        shown("Roles", |_, _| "<none>".into()),
        AGE,
        shown("Version", |node, _| text(node, "/status/nodeInfo/kubeletVersion", "").into()),
        wide("Internal-IP", |node, _| node_address(node, "InternalIP")),
        wide("External-IP", |node, _| node_address(node, "ExternalIP")),
        wide("OS-Image", |node, _| text(node, "/status/nodeInfo/osImage", "<unknown>").into()),
        wide("Kernel-Version", |node, _| text(node, "/status/nodeInfo/kernelVersion", "<unknown>").into()),
        wide("Container-Runtime", |node, _| {
            text(node, "/status/nodeInfo/containerRuntimeVersion", "<unknown>").into()
        }),
    ];
    const NAMESPACES: &[Column] =
        &[NAME, shown("Status", |namespace, _| text(namespace, "/status/phase", "").into()), AGE];
    const SERVICES: &[Column] = &[
        NAME,
        shown("Type", |service, _| text(service, "/spec/type", "ClusterIP").into()),
        shown("Cluster-IP", |service, _| text(service, "/spec/clusterIP", "<none>").into()),
        shown("External-IP", |service, _| external_ips(service)),
        shown("Port(s)", |service, _| service_ports(service)),
        AGE,
        wide("Selector", |_, _| "<none>".into()),
    ];
    const SLICES: &[Column] = &[
        NAME,
        shown("AddressType", |slice, _| text(slice, "/addressType", "").into()),
        shown("Ports", |slice, _| some(&list(slice, "/ports", "/port"), 3, "<unset>")),
        shown("Endpoints", |slice, _| some(&list(slice, "/endpoints", "/addresses/0"), 3, "<unset>")),
        AGE,
    ];
    const SERVICE_CIDRS: &[Column] =
        &[NAME, shown("CIDRs", |cidr, _| list(cidr, "/spec/cidrs", "").join(",")), AGE];
    const OTHERS: &[Column] = &[NAME, AGE];
    match resource {
        Resource::Nodes => NODES,
        Resource::Namespaces => NAMESPACES,
        Resource::Services => SERVICES,
        Resource::EndpointSlices => SLICES,
        Resource::ServiceCidrs => SERVICE_CIDRS,
        Resource::Pods | Resource::Endpoints | Resource::NetworkPolicies => OTHERS,
    }
}

fn text<'a>(object: &'a Value, pointer: &str, default: &'a str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).unwrap_or(default)
}

fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// One field of every item, as text.
fn list(object: &Value, pointer: &str, field: &str) -> Vec<String> {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    items(object, pointer).iter().filter_map(|item| item.pointer(field)).map(plain).collect()
}

/// The first few of a list.
fn some(list: &[String], most: usize, none: &str) -> String {
    match list.len().checked_sub(most) {
        _ if list.is_empty() => none.into(),
        None | Some(0) => list.join(","),
        Some(more) => format!("{} + {more} more...", list[..most].join(",")),
    }
}

fn node_status(node: &Value) -> String {
    let ready =
        items(node, "/status/conditions").iter().find(|condition| text(condition, "/type", "") == "Ready");
    match ready.map(|ready| text(ready, "/status", "")) {
        Some("True") => "Ready".into(),
        Some(_) => "NotReady".into(),
        None => "Unknown".into(),
    }
}

fn node_address(node: &Value, kind: &str) -> String {
    let addresses = items(node, "/status/addresses");
    let found = addresses.iter().find(|address| text(address, "/type", "") == kind);
    found.map_or("<none>", |address| text(address, "/address", "<none>")).into()
}

/// `getServiceExternalIP`.
fn external_ips(service: &Value) -> String {
    let mut ips = Vec::new();
    if text(service, "/spec/type", "") == "LoadBalancer" {
        let ingress = items(service, "/status/loadBalancer/ingress");
        ips.extend(ingress.iter().map(|entry| text(entry, "/ip", text(entry, "/hostname", "")).to_owned()));
        if ips.is_empty() && items(service, "/spec/externalIPs").is_empty() {
            return "<pending>".into();
        }
    }
    ips.extend(list(service, "/spec/externalIPs", ""));
    if ips.is_empty() { "<none>".into() } else { ips.join(",") }
}

/// `80:30080/TCP,53/UDP`.
fn service_ports(service: &Value) -> String {
    let number =
        |port: &Value, field: &str| port.pointer(field).and_then(Value::as_u64).filter(|port| *port > 0);
    let port = |port: &Value| {
        let node_port = number(port, "/nodePort").map(|port| format!(":{port}")).unwrap_or_default();
        let protocol = text(port, "/protocol", "TCP");
        format!("{}{node_port}/{protocol}", number(port, "/port").unwrap_or_default())
    };
    let ports: Vec<String> = items(service, "/spec/ports").iter().map(port).collect();
    if ports.is_empty() { "<none>".into() } else { ports.join(",") }
}
