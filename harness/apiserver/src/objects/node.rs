//! The Node that kube-proxy runs on, and what else a cluster has once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{
    Namespace, NamespaceStatus, Node, NodeAddress, NodeCondition, NodeSpec as Spec, NodeStatus,
    NodeSystemInfo,
};
use k8s_openapi::api::networking::v1::{ServiceCIDR, ServiceCIDRSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The zone of every Node here.
pub(super) const ZONE: &str = "zone-1";

/// A Node, as far as proxies look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Its name, which kube-proxy is told by `hostnameOverride`.
    pub name: String,
    /// Its internal addresses: kube-proxy takes the first of each family as its own.
    pub addresses: Vec<IpAddr>,
    /// `podCIDRs`: all pods of the cluster, where one node is all there is.
    pub pod_cidrs: Vec<IpNet>,
    /// Whether it has the label of its zone, which is that of hints for here.
    pub has_zone: bool,
    /// Version of its kubelet: `v1.37.2`.
    pub version: String,
}

/// The Node object.
pub fn node(spec: &NodeSpec) -> Node {
    let address = |kind: &str, address: String| NodeAddress { type_: kind.into(), address };
    let internal = spec.addresses.iter().map(|ip| address("InternalIP", ip.to_string()));
    let cidrs: Vec<String> = spec.pod_cidrs.iter().map(ToString::to_string).collect();
    let labels = [("kubernetes.io/hostname", spec.name.as_str()), ("kubernetes.io/os", "linux")];
    let zone = spec.has_zone.then_some(("topology.kubernetes.io/zone", ZONE));
    Node {
        metadata: ObjectMeta {
            name: Some(spec.name.clone()),
            labels: Some(
                labels.into_iter().chain(zone).map(|(key, value)| (key.into(), value.into())).collect(),
            ),
            ..ObjectMeta::default()
        },
        spec: Some(Spec {
            pod_cidr: cidrs.first().cloned(),
            pod_cidrs: (!cidrs.is_empty()).then_some(cidrs),
            ..Spec::default()
        }),
        status: Some(NodeStatus {
            addresses: Some(internal.chain([address("Hostname", spec.name.clone())]).collect()),
            conditions: Some(vec![NodeCondition {
                type_: "Ready".into(),
                status: "True".into(),
                ..NodeCondition::default()
            }]),
            node_info: Some(NodeSystemInfo {
                kubelet_version: spec.version.clone(),
                operating_system: "linux".into(),
                ..NodeSystemInfo::default()
            }),
            ..NodeStatus::default()
        }),
    }
}

/// The ServiceCIDR `kubernetes`: where cluster IPs come from; at most one range of each family.
pub fn service_cidr(ranges: &[IpNet]) -> ServiceCIDR {
    ServiceCIDR {
        metadata: ObjectMeta { name: Some("kubernetes".into()), ..ObjectMeta::default() },
        spec: Some(ServiceCIDRSpec { cidrs: Some(ranges.iter().map(ToString::to_string).collect()) }),
        status: None,
    }
}

/// A Namespace object.
pub fn namespace(name: &str) -> Namespace {
    let labels = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), name.to_owned())]);
    Namespace {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() },
        status: Some(NamespaceStatus { phase: Some("Active".into()), conditions: None }),
        ..Namespace::default()
    }
}
