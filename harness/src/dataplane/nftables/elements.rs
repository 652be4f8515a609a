//! Elements of the named sets and maps: the part of the table that lookups hash into.

use std::collections::HashSet;
use std::net::IpAddr;

use super::super::text::put;
use super::base_name;
use crate::scale::{Diff, ServiceSet};
use crate::service::Service;

/// Sets and maps that grow with Services, in the order in which kube-proxy reads and cleans them.
pub const CONTAINERS: [(&str, &str); 6] = [
    ("set", "cluster-ips"),
    ("map", "service-ips"),
    ("map", "firewall-ips"),
    ("map", "no-endpoint-services"),
    ("map", "no-endpoint-nodeports"),
    ("map", "service-nodeports"),
];

/// One element of one set or map.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Element {
    container: &'static str,
    key: String,
    /// Verdict, for maps.
    value: String,
    /// kube-proxy comments elements of Services without endpoints.
    comment: String,
}

impl Element {
    /// What there can be only one of.
    pub fn slot(&self) -> (&'static str, String) {
        (self.container, self.key.clone())
    }

    /// Whether both lead to the same place.
    pub fn has_value_of(&self, other: &Element) -> bool {
        self.value == other.value
    }

    /// Writes the command that deletes the element.
    pub fn put_delete(&self, out: &mut Vec<u8>) {
        put!(out, "delete element ip kube-proxy ", self.container, " { ", self.key, " }\n");
    }

    /// Writes the command that adds the element.
    pub fn put_add(&self, out: &mut Vec<u8>) {
        put!(out, "add element ip kube-proxy ", self.container, " { ", self.key);
        if !self.comment.is_empty() {
            put!(out, " comment \"", self.comment, "\"");
        }
        if !self.value.is_empty() {
            put!(out, " : ", self.value);
        }
        put!(out, " }\n");
    }
}

/// Elements of one Service, in the order in which kube-proxy adds them.
pub fn elements_of(service: &Service) -> Vec<Element> {
    let protocol = service.protocol.name();
    let address = format!("{} . {protocol} . {}", service.cluster.ip(), service.cluster.port());
    let element =
        |container, key: String, value: String, comment: String| Element { container, key, value, comment };
    let plain = |container, key, value| element(container, key, value, String::new());
    let mut elements = vec![plain("cluster-ips", service.cluster.ip().to_string(), String::new())];
    let node_port = service.node_port.map(|port| format!("{protocol} . {port}"));
    if service.endpoints().is_empty() {
        let reject = || "goto reject-chain".to_owned();
        elements.push(element("no-endpoint-services", address, reject(), service.display_name()));
        elements.extend(
            node_port.map(|key| element("no-endpoint-nodeports", key, reject(), service.display_name())),
        );
    } else {
        let base = base_name(service);
        let base = String::from_utf8_lossy(&base);
        elements.push(plain("service-ips", address, format!("goto service-{base}")));
        elements
            .extend(node_port.map(|key| plain("service-nodeports", key, format!("goto external-{base}"))));
    }
    elements
}

/// Deletes elements that no Service needs any more, container by container.
pub fn delete_leftovers(from: &ServiceSet, to: &ServiceSet, diff: &Diff, out: &mut Vec<u8>) {
    let touched: Vec<_> = diff.touched(from, to).collect();
    let mut old: Vec<Element> = touched.iter().flat_map(|service| elements_of(service)).collect();
    // Only who has an address or a node port of a touched Service can need its elements: few, after a small change.
    let addresses: HashSet<IpAddr> = touched.iter().map(|service| service.cluster.ip()).collect();
    let ports: HashSet<u16> = touched.iter().filter_map(|service| service.node_port).collect();
    let heirs = to.services().iter().filter(|service| {
        addresses.contains(&service.cluster.ip())
            || service.node_port.is_some_and(|port| ports.contains(&port))
    });
    let kept: HashSet<(&str, String)> =
        heirs.flat_map(|service| elements_of(service)).map(|element| element.slot()).collect();
    // Two ports of a Service share its cluster IP, which can go only once.
    let mut gone = HashSet::new();
    old.retain(|element| !kept.contains(&element.slot()) && gone.insert(element.slot()));
    for (_, container) in CONTAINERS {
        for element in old.iter().filter(|element| element.container == container) {
            element.put_delete(out);
        }
    }
}
