//! Services of a real cluster, from what `kubectl get services,endpointslices -A -o json` (or `-o yaml`) prints.
//!
//! Objects are read one by one and reduced to what kube-proxy knows of them, so that memory follows the number of
//! endpoints and not the size of the file. What kube-proxy leaves out is left out, and told: [`PassedOver`].

mod address;
mod check;
mod chosen;
mod endpoints;
mod error;
mod input;
mod installed;
mod json;
mod node;
mod objects;
mod passed;
pub mod place;
mod pods;
mod service;
mod stream;
mod unique;
mod yaml;

use std::collections::BTreeMap;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

pub use self::chosen::{Chosen, OtherFamily, Wanted};
pub use self::error::ClusterError;
pub use self::input::{MAX_BYTES, MAX_OBJECT_BYTES};
pub use self::installed::{Installed, NotInstalled, PLANNED};
pub use self::node::ClusterNode;
pub use self::passed::{Listed, PassedOver, Reason};
pub use self::pods::HostPort;
use crate::scale::ServiceSet;
use crate::service::Family;

/// What kube-proxy on one node of a cluster would know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterInput {
    /// The node that kube-proxy runs on: the one that was named, else the file's only Node.
    pub node: Option<String>,
    /// Host ports of the pods on that node, in the order of the file.
    pub host_ports: Vec<HostPort>,
    /// Service objects in the file, whether they are handled or passed over.
    pub service_objects: usize,
    /// What is passed over, and why.
    pub passed_over: PassedOver,
    sets: [ServiceSet; 2],
    nodes: BTreeMap<String, ClusterNode>,
}

impl ClusterInput {
    /// Reads JSON or YAML, told apart by the first character; `-` is standard input. `node`: the node that kube-proxy runs
    /// on; its endpoints are local.
    ///
    /// # Errors
    /// [`ClusterError`] says where in the file, what is wrong and what is expected.
    pub fn read(path: &Path, node: Option<&str>) -> Result<Self, ClusterError> {
        input::read(path)?.finish(node)
    }

    /// The same, from anywhere; `file` stands for it in errors.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn read_from(reader: impl Read, file: &str, node: Option<&str>) -> Result<Self, ClusterError> {
        input::read_from(reader, file, input::LIMITS)?.finish(node)
    }

    /// The Service ports that kube-proxy's proxier of a family handles, in the order of the file.
    pub fn set(&self, family: Family) -> &ServiceSet {
        &self.sets[family as usize]
    }

    /// IPv4, unless only IPv6 has Services.
    pub fn default_family(&self) -> Family {
        match (self.set(Family::Ipv4).is_empty(), self.set(Family::Ipv6).is_empty()) {
            (true, false) => Family::Ipv6,
            _ => Family::Ipv4,
        }
    }

    /// The internal address of the node, if the file has its Node.
    pub fn node_address(&self, family: Family) -> Option<IpAddr> {
        self.nodes.get(self.node.as_deref()?)?.address(family)
    }

    /// The smallest prefix that holds the pod CIDRs of all Nodes in the file; `None` if one has none, or if that prefix
    /// holds addresses of Services or Nodes: then it is not what a cluster CIDR can be.
    pub fn cluster_cidr(&self, family: Family) -> Option<IpNet> {
        let services = self.set(family).services().iter().map(|service| service.cluster.ip());
        node::cluster_cidr(&self.nodes, family, services)
    }
}

/// The IPv4 Services that kube-proxy on node `node` would handle, in the order of the file.
///
/// # Errors
/// As [`ClusterInput::read`].
pub fn read(path: &Path, node: &str) -> Result<ServiceSet, ClusterError> {
    let node = (!node.is_empty()).then_some(node);
    Ok(ClusterInput::read(path, node)?.set(Family::Ipv4).clone())
}
