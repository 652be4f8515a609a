//! One EndpointSlice, as little of it as is needed to make the object again.

use std::net::IpAddr;

use k8s_openapi::api::discovery::v1::{
    Endpoint as EndpointObject, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode,
    ForZone,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use services::service::{Condition, Family, Hint, Hints, Protocol};

use super::node::ZONE;
use super::service::{family, protocol};

/// Where endpoints are that are not on the node.
const ELSEWHERE: &str = "another-node";

/// Where endpoints are meant for that are not meant for the node's zone.
const OTHER_ZONE: &str = "another-zone";

/// As the API has them; none at all, no hints.
fn hints(hints: Hints, node: &str) -> Option<EndpointHints> {
    let named = |hint: Hint, here: &str, elsewhere: &str| match hint {
        Hint::None => None,
        Hint::Here => Some(here.to_owned()),
        Hint::Elsewhere => Some(elsewhere.to_owned()),
    };
    let for_nodes = named(hints.node, node, ELSEWHERE).map(|name| vec![ForNode { name }]);
    let for_zones = named(hints.zone, ZONE, OTHER_ZONE).map(|name| vec![ForZone { name }]);
    (for_nodes.is_some() || for_zones.is_some()).then_some(EndpointHints { for_nodes, for_zones })
}

/// A port that every endpoint of a slice has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SlicePort {
    pub name: String,
    pub protocol: Protocol,
    pub number: u16,
}

/// An endpoint of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SliceEndpoint {
    pub ip: IpAddr,
    pub local: bool,
    pub condition: Condition,
    pub hints: Hints,
}

/// What all slices of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Group {
    pub family: Family,
    pub ports: Vec<SlicePort>,
}

/// A slice of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    /// Counts the slices that the Service has had, from 1.
    pub number: u32,
    pub group: Group,
    pub endpoints: Vec<SliceEndpoint>,
}

/// Its name: of one length behind the Service's name, so that slices of `a` and `a-1` never have the same.
pub(super) fn name(service: &str, number: u32) -> String {
    format!("{service}-{number:05}")
}

impl Slice {
    /// The object. `changed`: when what caused it was seen, for kube-proxy's metric of programming latency.
    pub(super) fn object(
        &self,
        (namespace, service): (&str, &str),
        node: &str,
        changed: Option<&str>,
    ) -> EndpointSlice {
        let endpoint = |endpoint: &SliceEndpoint| {
            let ready = endpoint.condition == Condition::Ready;
            EndpointObject {
                addresses: vec![endpoint.ip.to_string()],
                conditions: Some(EndpointConditions {
                    ready: Some(ready),
                    serving: Some(true),
                    terminating: Some(!ready),
                }),
                node_name: Some(if endpoint.local { node } else { ELSEWHERE }.into()),
                hints: hints(endpoint.hints, node),
                ..EndpointObject::default()
            }
        };
        let port = |port: &SlicePort| EndpointPort {
            name: Some(port.name.clone()),
            port: Some(i32::from(port.number)),
            protocol: Some(protocol(port.protocol).into()),
            app_protocol: None,
        };
        let ports: Vec<_> = self.group.ports.iter().map(port).collect();
        let labels = [
            ("kubernetes.io/service-name", service),
            ("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io"),
        ];
        let annotation = |time: &str| {
            [("endpoints.kubernetes.io/last-change-trigger-time".to_owned(), time.to_owned())].into()
        };
        EndpointSlice {
            metadata: ObjectMeta {
                namespace: Some(namespace.into()),
                name: Some(name(service, self.number)),
                labels: Some(labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect()),
                annotations: changed.map(annotation),
                ..ObjectMeta::default()
            },
            address_type: family(self.group.family).into(),
            endpoints: Some(self.endpoints.iter().map(endpoint).collect()),
            ports: (!ports.is_empty()).then_some(ports),
        }
    }
}
