//! Pods with host ports: what the CNI `portmap` plugin writes rules for.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ContainerPort, PodIP};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};

use super::address;
use super::check::{label, plain, port, protocol, quoted, subdomain};
use crate::service::Protocol;

/// A Pod as far as host ports need it: reading all of a Pod's type is more code than the rest of this crate.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pod {
    #[serde(default, rename = "apiVersion", deserialize_with = "v1")]
    _api_version: (),
    #[serde(default)]
    metadata: ObjectMeta,
    spec: Option<PodSpec>,
    status: Option<PodStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    node_name: Option<String>,
    host_network: Option<bool>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    #[serde(default)]
    name: String,
    restart_policy: Option<String>,
    ports: Option<Vec<ContainerPort>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIP>>,
}

/// The version that a Pod has.
fn v1<'de, D: Deserializer<'de>>(input: D) -> Result<(), D::Error> {
    use serde::de::{Error, Unexpected};
    let version = String::deserialize(input)?;
    if version == "v1" { Ok(()) } else { Err(D::Error::invalid_value(Unexpected::Str(&version), &"v1")) }
}

/// A port of the node that goes to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// The pod's UID; empty if the file does not say it.
    pub uid: String,
    /// `hostIP`; `None`: every address of the node.
    pub host_ip: Option<IpAddr>,
    /// The node's port.
    pub host_port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The container's port.
    pub container_port: u16,
    /// The pod's addresses, at most one of each family.
    pub pod_ips: Vec<IpAddr>,
}

/// Host ports of one pod.
pub(super) struct OnNode {
    /// The pod's node.
    pub node: String,
    /// In the order of its containers.
    pub ports: Vec<HostPort>,
}

/// `None`: the pod has no host ports, or none that are in force.
pub(super) fn host_ports(pod: &Pod) -> Result<Option<OnNode>, String> {
    let (Some(spec), Some(status)) = (&pod.spec, &pod.status) else { return Ok(None) };
    let Some(node) = spec.node_name.clone().filter(|node| !node.is_empty()) else { return Ok(None) };
    // A pod in the node's own network has its ports there without any rule; one that has ended has no network.
    let has_ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if spec.host_network == Some(true) || has_ended {
        return Ok(None);
    }
    // Of init containers only those that go on beside the others.
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports =
        spec.containers.iter().flatten().chain(sidecars).flat_map(|container| {
            container.ports.iter().flatten().map(|port| (container.name.as_str(), port))
        });
    let ports: Vec<_> = ports.filter(|(_, port)| port.host_port.is_some_and(|port| port != 0)).collect();
    if ports.is_empty() {
        return Ok(None);
    }
    let pod_ips = pod_ips(status)?;
    if pod_ips.is_empty() {
        return Ok(None);
    }
    let name = pod.metadata.name.clone().ok_or("metadata.name: a Pod needs a name")?;
    let namespace = pod.metadata.namespace.clone().ok_or("metadata.namespace: a Pod needs a namespace")?;
    subdomain(&name, "metadata.name:")?;
    label(&namespace, "metadata.namespace:")?;
    let uid = plain(pod.metadata.uid.as_deref().unwrap_or_default());
    let read = |(container, given): (&str, &ContainerPort)| {
        let wrong = |problem: String| format!("container {}: {problem}", quoted(container));
        let number = |number, what: &str| port(number).map_err(|problem| wrong(format!("{what}: {problem}")));
        let host_ip = match given.host_ip.as_deref().filter(|ip| !ip.is_empty()) {
            None => None,
            Some(ip) => Some(
                address::address(ip)
                    .ok_or_else(|| wrong(format!("hostIP: {} is not an IP address", quoted(ip))))?,
            ),
        };
        Ok(HostPort {
            namespace: namespace.clone(),
            pod: name.clone(),
            uid: uid.clone(),
            host_ip,
            host_port: number(given.host_port.unwrap_or_default(), "hostPort")?,
            protocol: protocol(given.protocol.as_deref()).map_err(wrong)?,
            container_port: number(given.container_port, "containerPort")?,
            pod_ips: pod_ips.clone(),
        })
    };
    let ports = ports.into_iter().map(read).collect::<Result<_, String>>()?;
    Ok(Some(OnNode { node, ports }))
}

fn pod_ips(status: &PodStatus) -> Result<Vec<IpAddr>, String> {
    let all = status.pod_ips.iter().flatten().map(|entry| entry.ip.as_str());
    let first = status.pod_ip.as_deref().filter(|_| status.pod_ips.as_ref().is_none_or(Vec::is_empty));
    let mut ips: Vec<IpAddr> = Vec::new();
    for text in all.chain(first).filter(|text| !text.is_empty()) {
        let ip = address::address(text)
            .ok_or_else(|| format!("status.podIPs: {} is not an IP address", quoted(text)))?;
        if !ips.iter().any(|other| other.is_ipv4() == ip.is_ipv4()) {
            ips.push(ip);
        }
    }
    Ok(ips)
}
