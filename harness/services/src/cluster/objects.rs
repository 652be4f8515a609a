//! What was read so far: each object reduced to what kube-proxy knows of it.

use std::collections::{BTreeMap, HashSet};

use k8s_openapi::api::core::v1::{Node, Service as ServiceObject};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::check::{plain, quoted};
use super::contents::ClusterInput;
use super::endpoints::{Here, Slices};
use super::error::{ClusterError, Position, Problem};
use super::node::ClusterNode;
use super::passed::PassedOver;
use super::placed::PlacedService;
use super::pods::{self, OnNode, Pod};
use super::{service, unique};
use crate::addresses::MAX_SERVICES;
use crate::service::Family;
use crate::service_set::ServiceSet;

/// Nodes that are read; Kubernetes is made for 5,000.
const MAX_NODES: usize = 100_000;
/// Kinds that are counted by name.
const MAX_KINDS: usize = 1_000;

/// What was read so far.
#[derive(Default)]
pub(super) struct Objects {
    file: String,
    service_objects: usize,
    found: [Vec<PlacedService>; 2],
    /// (namespace, name) of those that are passed over.
    passed: HashSet<(String, String)>,
    slices: Slices,
    pods: Vec<OnNode>,
    nodes: BTreeMap<String, ClusterNode>,
    passed_over: PassedOver,
}

impl Objects {
    /// Takes one object; `kind_of_list` tells its kind if it does not itself.
    pub(super) fn take(
        &mut self,
        position: Position,
        object: Value,
        kind_of_list: Option<&str>,
    ) -> Result<(), Problem> {
        let kind = match (object.get("kind").and_then(Value::as_str), kind_of_list) {
            (Some(kind), _) => Some(kind),
            (None, Some(list)) => list.strip_suffix("List").filter(|kind| !kind.is_empty()),
            (None, None) => None,
        };
        let kind = kind.unwrap_or("object without a kind").to_owned();
        let words = words(&kind, &object);
        let wrong = |problem: String| Problem::of(position, &words, problem);
        match kind.as_str() {
            "Service" => self.service(position, typed(object).map_err(wrong)?).map_err(wrong),
            "EndpointSlice" => {
                let slice: EndpointSlice = typed(object).map_err(wrong)?;
                self.slices.take(slice, &mut self.passed_over).map_err(wrong)
            }
            "Pod" => {
                let pod: Pod = typed(object).map_err(wrong)?;
                self.pods.extend(pods::host_ports(&pod).map_err(wrong)?);
                Ok(())
            }
            "Node" => self.node(typed(object).map_err(wrong)?).map_err(wrong),
            _ => self.other(&kind).map_err(wrong),
        }
    }

    fn service(&mut self, position: Position, object: ServiceObject) -> Result<(), String> {
        self.service_objects += 1;
        let ports = service::ports(&object, &mut self.passed_over)?;
        if ports.iter().all(Vec::is_empty) {
            let metadata = object.metadata;
            self.passed.insert((metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default()));
        }
        for (found, ports) in self.found.iter_mut().zip(ports) {
            if found.len() + ports.len() > MAX_SERVICES as usize {
                return Err(format!(
                    "there are more than {MAX_SERVICES} Service ports; so many cannot be planned"
                ));
            }
            found.extend(ports.into_iter().map(|service| PlacedService { position, service }));
        }
        Ok(())
    }

    fn node(&mut self, object: Node) -> Result<(), String> {
        let (name, node) = ClusterNode::of(&object)?;
        if self.nodes.len() >= MAX_NODES {
            return Err(format!("there are more than {MAX_NODES} Nodes"));
        }
        match self.nodes.insert(name, node) {
            Some(_) => Err("it is there twice".into()),
            None => Ok(()),
        }
    }

    fn other(&mut self, kind: &str) -> Result<(), String> {
        let is_kind = kind.len() <= 63 && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_kind {
            let expected =
                "expected a kind, such as Service or EndpointSlice, here or before the items of its list";
            return Err(expected.into());
        }
        let kinds = &mut self.passed_over.kinds;
        let kind = if kinds.len() < MAX_KINDS || kinds.contains_key(kind) { kind } else { "others" };
        *kinds.entry(kind.to_owned()).or_default() += 1;
        Ok(())
    }

    /// Whether no Service was read, handled or not.
    pub(super) fn is_without_services(&self) -> bool {
        self.service_objects == 0
    }

    /// Names the file.
    pub(super) fn of_file(self, file: &str) -> Self {
        Self { file: file.to_owned(), ..self }
    }

    /// Puts together what was read, for a kube-proxy on `node`.
    pub(super) fn finish(mut self, node: Option<&str>) -> Result<ClusterInput, ClusterError> {
        let node = self.choose_node(node)?;
        let [ipv4, ipv6] = std::mem::take(&mut self.found);
        let zone = node.as_ref().and_then(|node| self.nodes.get(node)).and_then(|node| node.zone.as_deref());
        let here = node.as_deref().map(|node| Here { node, zone: zone.unwrap_or_default() });
        let mut set = |family, mut found: Vec<PlacedService>| -> Result<ServiceSet, ClusterError> {
            for PlacedService { service, .. } in &mut found {
                let endpoints = self.slices.endpoints(service, here);
                service.set_endpoints(endpoints);
            }
            debug_assert!(found.iter().all(|found| found.service.family() == family));
            unique::check(&found).map_err(|problem| problem.within(&self.file))?;
            Ok(found.into_iter().map(|found| found.service).collect())
        };
        let sets = [set(Family::Ipv4, ipv4)?, set(Family::Ipv6, ipv6)?];
        let passed = self.passed;
        self.slices.without_service(node.is_some(), |key| passed.contains(key), &mut self.passed_over);
        let on_node = |pod: OnNode| (Some(pod.node) == node).then_some(pod.ports);
        Ok(ClusterInput {
            host_ports: self.pods.into_iter().filter_map(on_node).flatten().collect(),
            service_objects: self.service_objects,
            passed_over: self.passed_over,
            sets,
            nodes: self.nodes,
            node,
        })
    }

    /// The node that was named, else the only one there is.
    fn choose_node(&self, named: Option<&str>) -> Result<Option<String>, ClusterError> {
        let Some(named) = named else {
            let only = self.nodes.keys().next().filter(|_| self.nodes.len() == 1);
            return Ok(only.cloned());
        };
        if self.nodes.is_empty() || self.nodes.contains_key(named) {
            return Ok(Some(named.to_owned()));
        }
        let known: Vec<&str> = self.nodes.keys().take(10).map(String::as_str).collect();
        let more = if self.nodes.len() > known.len() { ", ..." } else { "" };
        let problem = format!(
            "node {} is none of its {} Nodes, which are: {}{more}",
            quoted(named),
            self.nodes.len(),
            known.join(", ")
        );
        Err(Problem { place: String::new(), problem }.within(&self.file))
    }
}

/// `Service demo/web`; what is not there is a question mark.
fn words(kind: &str, object: &Value) -> String {
    let field = |name: &str| object.get("metadata")?.get(name)?.as_str().map(plain);
    let name = field("name").unwrap_or_else(|| "?".into());
    match field("namespace") {
        None if kind == "Node" => format!("{} {name}", plain(kind)),
        namespace => format!("{} {}/{name}", plain(kind), namespace.unwrap_or_else(|| "?".into())),
    }
}

/// As its type; what does not fit is reported with the path of its field.
fn typed<T: DeserializeOwned>(object: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(object).map_err(|error| {
        let path = error.path().to_string();
        let what = error.into_inner();
        plain(&if path == "." { what.to_string() } else { format!("{path}: {what}") })
    })
}
