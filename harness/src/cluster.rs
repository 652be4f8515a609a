//! Services of a real cluster, from what `kubectl get services,endpointslices -A -o json` prints.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use serde_json::Value;

use crate::scale::ServiceSet;
use crate::service::{Endpoint, Protocol, Service};

/// Why a file could not be read as a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The file itself.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not JSON.
    #[error("{path}: not JSON: {source}; expected the output of `kubectl get services,endpointslices -A -o json`",
        path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// With line and column.
        source: serde_json::Error,
    },
    /// JSON, but not what is expected at this place.
    #[error("{path}: {place}: {problem}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// `items[3] (Service demo/web)`.
        place: String,
        /// What is wrong and what is expected.
        problem: String,
    },
}

/// Reads the Services that kube-proxy on node `node` would handle, in the order of the file.
///
/// Left out, as kube-proxy leaves them out: headless Services, ExternalName, Services without an IPv4
/// cluster IP. Endpoints are those that are ready; without any, those that still serve while they
/// terminate.
///
/// # Errors
/// [`ClusterError`] names the file and the place. Features that this version does not plan (session
/// affinity, external and load-balancer IPs, Local traffic policies, SCTP) are errors, not silently
/// dropped: a ruleset without them would not be the cluster's.
pub fn read(path: &Path, node: &str) -> Result<ServiceSet, ClusterError> {
    let text = std::fs::read(path).map_err(|source| ClusterError::Read { path: path.into(), source })?;
    let list: Value =
        serde_json::from_slice(&text).map_err(|source| ClusterError::Json { path: path.into(), source })?;
    parse(&list, node).map_err(|(place, problem)| ClusterError::Content { path: path.into(), place, problem })
}

type Problem = (String, String);

/// Endpoints by (namespace, Service name, port name, protocol): (ready, serving while terminating).
type Endpoints = BTreeMap<(String, String, String, Protocol), (Vec<Endpoint>, Vec<Endpoint>)>;

fn parse(list: &Value, node: &str) -> Result<ServiceSet, Problem> {
    let Some(items) = list.get("items").and_then(Value::as_array) else {
        return Err(("top level".into(), "expected a List with `items`".into()));
    };
    let mut services = Vec::new();
    let mut endpoints = Endpoints::new();
    for (index, item) in items.iter().enumerate() {
        let kind = item.get("kind").and_then(Value::as_str).unwrap_or("object without a kind");
        let field = |name| item.pointer(&format!("/metadata/{name}")).and_then(Value::as_str).unwrap_or("?");
        let place = format!("items[{index}] ({kind} {}/{})", field("namespace"), field("name"));
        let typed = |problem: serde_json::Error| (place.clone(), problem.to_string());
        match kind {
            "Service" => {
                let service: core::Service = serde_json::from_value(item.clone()).map_err(typed)?;
                services.push((place, service));
            }
            "EndpointSlice" => {
                let slice: discovery::EndpointSlice = serde_json::from_value(item.clone()).map_err(typed)?;
                collect(slice, node, &mut endpoints).map_err(|problem| (place, problem))?;
            }
            _ => return Err((place, "expected a Service or an EndpointSlice".into())),
        }
    }
    let mut set: Vec<Service> = Vec::new();
    for (place, service) in services {
        for port in service_ports(&service, &mut endpoints).map_err(|problem| (place.clone(), problem))? {
            if set.iter().any(|other| other.key() == port.key()) {
                return Err((place, format!("{} is there twice", port.display_name())));
            }
            if let Some(other) =
                set.iter().find(|other| other.cluster == port.cluster && other.protocol == port.protocol)
            {
                let problem = format!(
                    "{}/{} is also the address of {}",
                    port.cluster,
                    port.protocol.name(),
                    other.display_name()
                );
                return Err((place, problem));
            }
            set.push(port);
        }
    }
    Ok(set.into_iter().collect())
}

fn protocol(name: Option<&str>) -> Result<Protocol, String> {
    match name.unwrap_or("TCP") {
        "TCP" => Ok(Protocol::Tcp),
        "UDP" => Ok(Protocol::Udp),
        "SCTP" => Err("protocol SCTP is not planned by this version".into()),
        other => Err(format!("unknown protocol {other:?}; expected TCP or UDP")),
    }
}

fn port_number(port: i32, what: &str) -> Result<u16, String> {
    match u16::try_from(port) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{what} {port} is not a port; expected 1 to 65535")),
    }
}

/// Names become part of rules: what Kubernetes would not let in (RFC 1123 labels) could change their meaning.
fn label(name: &str, what: &str) -> Result<(), String> {
    let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if plain && (1..=63).contains(&name.len()) && !name.starts_with('-') && !name.ends_with('-') {
        return Ok(());
    }
    Err(format!(
        "{what} {name:?} is no DNS label; expected 1 to 63 lower-case letters, digits and dashes, no dash at the ends"
    ))
}

fn collect(slice: discovery::EndpointSlice, node: &str, endpoints: &mut Endpoints) -> Result<(), String> {
    if slice.address_type != "IPv4" {
        return Ok(());
    }
    let namespace = slice.metadata.namespace.unwrap_or_default();
    let Some(service) = slice.metadata.labels.unwrap_or_default().remove("kubernetes.io/service-name") else {
        // A slice that no Service owns; kube-proxy passes over it.
        return Ok(());
    };
    for port in slice.ports.unwrap_or_default() {
        let protocol = protocol(port.protocol.as_deref())?;
        let Some(number) = port.port else { continue };
        let number = port_number(number, "endpoint port")?;
        let key = (namespace.clone(), service.clone(), port.name.unwrap_or_default(), protocol);
        let (ready, terminating) = endpoints.entry(key).or_default();
        for endpoint in slice.endpoints.iter().flatten() {
            let Some(address) = endpoint.addresses.first() else { continue };
            let address: Ipv4Addr = address
                .parse()
                .map_err(|_| format!("endpoint address {address:?} is not an IPv4 address"))?;
            let endpoint_is_local = endpoint.node_name.as_deref() == Some(node);
            let found = Endpoint::ready(SocketAddr::new(address.into(), number), endpoint_is_local);
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            if conditions.ready.unwrap_or(true) {
                ready.push(found);
            } else if conditions.serving.unwrap_or(true) && conditions.terminating.unwrap_or(false) {
                terminating.push(found);
            }
        }
    }
    Ok(())
}

fn service_ports(service: &core::Service, endpoints: &mut Endpoints) -> Result<Vec<Service>, String> {
    let spec = service.spec.clone().unwrap_or_default();
    if spec.type_.as_deref() == Some("ExternalName") {
        return Ok(Vec::new());
    }
    let ips =
        spec.cluster_ips.clone().or_else(|| spec.cluster_ip.clone().map(|ip| vec![ip])).unwrap_or_default();
    let Some(ip) = ips.iter().find_map(|ip| ip.parse::<Ipv4Addr>().ok()) else {
        return match ips.iter().find(|ip| !ip.is_empty() && *ip != "None" && !ip.contains(':')) {
            Some(ip) => Err(format!("cluster IP {ip:?} is not an address")),
            None => Ok(Vec::new()),
        };
    };
    refuse_unplanned(service, &spec)?;
    let name = service.metadata.name.clone().ok_or("a Service needs a name")?;
    let namespace = service.metadata.namespace.clone().ok_or("a Service needs a namespace")?;
    label(&name, "name")?;
    label(&namespace, "namespace")?;
    let mut ports = Vec::new();
    for port in spec.ports.unwrap_or_default() {
        let protocol = protocol(port.protocol.as_deref())?;
        let port_name = port.name.unwrap_or_default();
        if !port_name.is_empty() {
            label(&port_name, "port name")?;
        }
        let node_port = match port.node_port {
            Some(0) | None => None,
            Some(number) => Some(port_number(number, "node port")?),
        };
        let key = (namespace.clone(), name.clone(), port_name.clone(), protocol);
        let (ready, terminating) = endpoints.remove(&key).unwrap_or_default();
        let cluster = SocketAddr::new(ip.into(), port_number(port.port, "port")?);
        let (namespace, name, port_name, _) = key;
        let usable = if ready.is_empty() { terminating } else { ready };
        let mut service = Service::new(namespace, name, port_name, protocol, cluster, usable);
        service.node_port = node_port;
        ports.push(service);
    }
    Ok(ports)
}

fn refuse_unplanned(service: &core::Service, spec: &core::ServiceSpec) -> Result<(), String> {
    let is_set = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let local = |policy: &Option<String>| policy.as_deref() == Some("Local");
    let ingress = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let unplanned = [
        ("sessionAffinity: ClientIP", spec.session_affinity.as_deref() == Some("ClientIP")),
        ("externalIPs", is_set(&spec.external_ips)),
        ("loadBalancerSourceRanges", is_set(&spec.load_balancer_source_ranges)),
        (
            "load-balancer ingress IPs",
            ingress.is_some_and(|list| list.iter().any(|entry| entry.ip.is_some())),
        ),
        ("internalTrafficPolicy: Local", local(&spec.internal_traffic_policy)),
        ("externalTrafficPolicy: Local", local(&spec.external_traffic_policy)),
    ];
    match unplanned.iter().find(|(_, used)| *used) {
        Some((feature, _)) => Err(format!(
            "{feature} is not planned by this version, which knows cluster IPs and node ports; \
             take it out of the Service, or the Service out of the file"
        )),
        None => Ok(()),
    }
}
