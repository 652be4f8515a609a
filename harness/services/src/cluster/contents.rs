//! What was read of a cluster, for the kube-proxy of one node.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::node::{self, ClusterNode};
use super::passed::PassedOver;
use super::pods::HostPort;
use crate::service::Family;
use crate::service_set::ServiceSet;

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
    pub(super) sets: [ServiceSet; 2],
    pub(super) nodes: BTreeMap<String, ClusterNode>,
}

impl ClusterInput {
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
