//! Nodes: their addresses, and which pods they may have.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;

use super::address;
use super::check::{quoted, subdomain};
use crate::service::Family;

/// The label that tells a Node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// What is known of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterNode {
    /// Its internal addresses, then its external ones: kube-proxy takes the first of its family (`GetNodeHostIPs`).
    pub addresses: Vec<IpAddr>,
    /// `podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
}

impl ClusterNode {
    /// Its name and the rest.
    pub(super) fn of(object: &core::Node) -> Result<(String, Self), String> {
        let name = object.metadata.name.clone().ok_or("metadata.name: a Node needs a name")?;
        subdomain(&name, "metadata.name:")?;
        let status = object.status.as_ref().and_then(|status| status.addresses.as_ref());
        let zone = object.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE)).cloned();
        let mut node = Self { zone, ..Self::default() };
        for kind in ["InternalIP", "ExternalIP"] {
            for entry in status.into_iter().flatten().filter(|entry| entry.type_ == kind) {
                let ip = address::address(&entry.address).ok_or_else(|| {
                    format!("status.addresses: {} is not an IP address", quoted(&entry.address))
                })?;
                node.addresses.push(ip);
            }
        }
        if let Some(spec) = &object.spec {
            let listed = spec.pod_cidrs.iter().flatten();
            let one = spec.pod_cidr.iter().filter(|_| spec.pod_cidrs.as_ref().is_none_or(Vec::is_empty));
            for text in listed.chain(one).filter(|text| !text.is_empty()) {
                let range = address::range(text)
                    .ok_or_else(|| format!("spec.podCIDRs: {} is not a CIDR", quoted(text)))?;
                node.pod_cidrs.push(range);
            }
        }
        Ok((name, node))
    }

    /// The address that its kube-proxy takes as its own.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|&ip| Family::of(ip) == family)
    }
}

/// As [`ClusterInput::cluster_cidr`](super::contents::ClusterInput::cluster_cidr).
pub(super) fn cluster_cidr(
    nodes: &BTreeMap<String, ClusterNode>,
    family: Family,
    mut services: impl Iterator<Item = IpAddr>,
) -> Option<IpNet> {
    let mut all: Option<IpNet> = None;
    for node in nodes.values() {
        let mut own = node.pod_cidrs.iter().filter(|cidr| Family::of(cidr.addr()) == family).peekable();
        own.peek()?;
        for &cidr in own {
            all = Some(all.map_or(Some(cidr), |all| covering(all, cidr))?);
        }
    }
    let all = all?;
    let mut addresses = nodes.values().flat_map(|node| &node.addresses);
    let is_clear = !services.any(|ip| all.contains(&ip)) && !addresses.any(|ip| all.contains(ip));
    is_clear.then_some(all)
}

/// The smallest prefix that holds both.
fn covering(mut one: IpNet, other: IpNet) -> Option<IpNet> {
    while !one.contains(&other) {
        one = one.supernet()?;
    }
    Some(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(nodes: &[(&str, &str)]) -> BTreeMap<String, ClusterNode> {
        let node = |(index, &(ip, cidr)): (usize, &(&str, &str))| {
            let pod_cidrs = cidr.split_whitespace().map(|cidr| cidr.parse().unwrap()).collect();
            (format!("n{index}"), ClusterNode { addresses: vec![ip.parse().unwrap()], pod_cidrs, zone: None })
        };
        nodes.iter().enumerate().map(node).collect()
    }

    #[test]
    fn a_cluster_cidr_holds_pods_and_nothing_else() {
        let cidr = |given: &[(&str, &str)], service: &str| {
            let service = service.parse().unwrap();
            cluster_cidr(&nodes(given), Family::Ipv4, [service].into_iter()).map(|cidr| cidr.to_string())
        };
        let two = [("192.0.2.1", "10.244.0.0/24 fd00::/64"), ("192.0.2.2", "10.244.3.0/24")];
        assert_eq!(cidr(&two, "10.96.0.1").as_deref(), Some("10.244.0.0/22"));
        assert_eq!(cidr(&two[..1], "10.96.0.1").as_deref(), Some("10.244.0.0/24"));
        assert_eq!(cidr(&two, "10.244.2.1"), None, "a Service in it");
        let apart = [("10.1.0.1", "10.0.0.0/24"), ("10.1.0.2", "10.3.0.0/24")];
        assert_eq!(cidr(&apart, "172.16.0.1"), None, "a Node in it");
        assert_eq!(cidr(&[two[0], ("192.0.2.3", "")], "10.96.0.1"), None, "a Node without");
        assert_eq!(cidr(&[], "10.96.0.1"), None);
        assert_eq!(cluster_cidr(&nodes(&two), Family::Ipv6, std::iter::empty()), None);
    }
}
