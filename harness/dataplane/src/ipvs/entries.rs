//! What stands in the sets: entries, and which Service gives rise to which.
//!
//! Source: `syncProxyRules` in pkg/proxy/ipvs/proxier.go.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use services::service::{Policy, Protocol, Service};
use services::service_set::ServiceSet;

use super::sets::{LARGEST, Set};
use crate::node::Node;
use crate::unfit::Unfit;

/// An entry of a set. Displays as kube-proxy gives it to `ipset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Entry {
    /// `10.96.0.10`
    Ip(IpAddr),
    /// `10.96.0.10,tcp:80`
    IpPort(IpAddr, Protocol, u16),
    /// `10.244.0.11,tcp:8080,10.244.0.11`: the same address twice.
    IpPortIp(IpAddr, Protocol, u16),
    /// `203.0.113.1,tcp:80,10.0.0.0/8`
    IpPortNet(IpAddr, Protocol, u16, IpNet),
    /// `30080`
    Port(u16),
}

impl Entry {
    /// Whether the kernel takes it: not a range of everything, as it has no room for prefixes of length 0
    /// (`hash_ipportnet4_uadt`, "The value of the CIDR parameter of the IP address is invalid").
    pub(crate) fn is_taken(self) -> bool {
        !matches!(self, Entry::IpPortNet(_, _, _, range) if range.prefix_len() == 0)
    }

    /// Whether `ipset list` shows it in other words. kube-proxy compares words, so it removes such an entry at every
    /// sync and adds it again.
    pub(crate) fn is_misread(self) -> bool {
        matches!(self, Entry::IpPortNet(_, _, _, range) if range.prefix_len() == range.max_prefix_len())
    }

    /// As `ipset` lists it: a range of one address without a prefix length.
    pub(crate) fn listed(self) -> String {
        match self {
            Entry::IpPortNet(ip, protocol, port, range) if self.is_misread() => {
                format!("{ip},{}:{port},{}", protocol.name(), range.addr())
            }
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Ip(ip) => write!(f, "{ip}"),
            Entry::IpPort(ip, protocol, port) => write!(f, "{ip},{}:{port}", protocol.name()),
            Entry::IpPortIp(ip, protocol, port) => write!(f, "{ip},{}:{port},{ip}", protocol.name()),
            Entry::IpPortNet(ip, protocol, port, range) => {
                write!(f, "{ip},{}:{port},{range}", protocol.name())
            }
            Entry::Port(port) => write!(f, "{port}"),
        }
    }
}

/// Entries of all sets, in the order of [`Set::ALL`].
pub(crate) type Entries = BTreeSet<(Set, Entry)>;

/// Calls `each` with every entry that a Service gives rise to, those that the kernel does not take included. Two Services
/// may share some: an address with several ports, or an endpoint.
pub(crate) fn each_of(node: &Node, service: &Service, mut each: impl FnMut(Set, Entry)) {
    let (port, protocol) = (service.cluster.port(), service.protocol);
    let local = service.external_policy == Policy::Local;
    // Whatever their condition, and whether they get traffic or not.
    for endpoint in service.endpoints().iter().filter(|endpoint| endpoint.local) {
        let address = endpoint.address;
        each(Set::LoopBack, Entry::IpPortIp(address.ip(), protocol, address.port()));
    }
    each(Set::ClusterIp, Entry::IpPort(service.cluster.ip(), protocol, port));
    each(Set::IpvsIps, Entry::Ip(service.cluster.ip()));
    for &ip in &service.external_ips {
        let set = if local { Set::ExternalIpLocal } else { Set::ExternalIp };
        each(set, Entry::IpPort(ip, protocol, port));
    }
    for &ip in &service.load_balancer_ips {
        let entry = Entry::IpPort(ip, protocol, port);
        each(Set::LoadBalancer, entry);
        if local {
            each(Set::LoadBalancerLocal, entry);
        }
        if service.source_ranges.is_empty() {
            continue;
        }
        each(Set::LoadBalancerFirewall, entry);
        for range in &service.source_ranges {
            each(Set::LoadBalancerSourceCidr, Entry::IpPortNet(ip, protocol, port, range.trunc()));
        }
        if admits_node(node, service) {
            each(Set::LoadBalancerSourceIp, Entry::IpPortIp(ip, protocol, port));
        }
    }
    // What is an address of the node already is not bound to the dummy link.
    let bound = service.external_addresses().map(|address| address.ip()).filter(|ip| *ip != node.address);
    bound.for_each(|ip| each(Set::IpvsIps, Entry::Ip(ip)));
    if let Some(port) = service.node_port {
        let (entry, all, locals) = match protocol {
            Protocol::Tcp => (Entry::Port(port), Set::NodePortTcp, Set::NodePortLocalTcp),
            Protocol::Udp => (Entry::Port(port), Set::NodePortUdp, Set::NodePortLocalUdp),
            Protocol::Sctp => {
                (Entry::IpPort(node.address, protocol, port), Set::NodePortSctp, Set::NodePortLocalSctp)
            }
        };
        each(all, entry);
        if local {
            each(locals, entry);
        }
    }
    if let Some(port) = service.health_check_node_port {
        each(Set::HealthCheckNodePort, Entry::Port(port));
    }
}

/// Whether the node itself may use the load-balancer IPs of a Service with source ranges.
fn admits_node(node: &Node, service: &Service) -> bool {
    service.source_ranges.iter().any(|range| range.contains(&node.address))
}

/// Entries of these Services together.
pub(crate) fn of<'a>(node: &Node, services: impl IntoIterator<Item = &'a Service>) -> Entries {
    let mut entries = Entries::new();
    services.into_iter().for_each(|service| {
        each_of(node, service, |set, entry| {
            entries.insert((set, entry));
        });
    });
    entries
}

/// What the iptables rules depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    /// One bit for each set that kube-proxy has entries for; those that the kernel refuses count.
    sets: u32,
    /// Load-balancer IPs that the node itself may not use, each with protocol and port; in the order of Services.
    pub(crate) forbidden: Vec<(IpAddr, Protocol, u16)>,
}

impl Filled {
    /// With these Services.
    pub(crate) fn by(node: &Node, to: &ServiceSet) -> Self {
        let mut filled = Self::default();
        for service in to.services() {
            each_of(node, service, |set, _| filled.sets |= 1 << set as u32);
            if service.source_ranges.is_empty() || admits_node(node, service) {
                continue;
            }
            let place = |&ip: &IpAddr| (ip, service.protocol, service.cluster.port());
            filled.forbidden.extend(service.load_balancer_ips.iter().map(place));
        }
        filled
    }

    /// Whether it has entries.
    pub(crate) const fn has(&self, set: Set) -> bool {
        self.sets & 1 << set as u32 != 0
    }
}

/// Whether all entries fit their sets.
///
/// # Errors
/// The first set that is too small.
pub(crate) fn fit(node: &Node, to: &ServiceSet) -> Result<(), Unfit> {
    // With what Services share counted twice: no more than that.
    let mut most = [0_usize; Set::ALL.len()];
    let services = || to.services().iter().map(AsRef::as_ref);
    services().for_each(|service: &Service| each_of(node, service, |set, _| most[set as usize] += 1));
    for set in Set::ALL.into_iter().filter(|set| !set.is_bitmap() && most[*set as usize] > LARGEST) {
        let mut entries = BTreeSet::new();
        services().for_each(|service| {
            each_of(node, service, |of, entry| {
                if of == set && entry.is_taken() {
                    entries.insert(entry);
                }
            });
        });
        if entries.len() > LARGEST {
            let (set, entries) = (set.name(node.family()), entries.len());
            return Err(Unfit::SetTooLarge { set, entries, largest: LARGEST });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_one_address_is_listed_without_its_length_and_one_of_all_is_refused() {
        let entry = |ip: &str, range: &str| {
            Entry::IpPortNet(ip.parse().unwrap(), Protocol::Tcp, 80, range.parse().unwrap())
        };
        let texts = |entry: Entry| (entry.to_string(), entry.listed(), entry.is_taken());
        let owned = |given: &str, listed: &str, taken| (given.to_owned(), listed.to_owned(), taken);
        for (found, given, listed, taken) in [
            (entry("203.0.113.1", "10.0.0.0/8"), "203.0.113.1,tcp:80,10.0.0.0/8", "", true),
            (
                entry("203.0.113.1", "10.0.0.1/32"),
                "203.0.113.1,tcp:80,10.0.0.1/32",
                "203.0.113.1,tcp:80,10.0.0.1",
                true,
            ),
            (
                entry("2001:db8::1", "2001:db8::9/128"),
                "2001:db8::1,tcp:80,2001:db8::9/128",
                "2001:db8::1,tcp:80,2001:db8::9",
                true,
            ),
            (entry("203.0.113.1", "0.0.0.0/0"), "203.0.113.1,tcp:80,0.0.0.0/0", "", false),
            (entry("2001:db8::1", "::/0"), "2001:db8::1,tcp:80,::/0", "", false),
        ] {
            let listed = if listed.is_empty() { given } else { listed };
            assert_eq!(texts(found), owned(given, listed, taken));
        }
    }
}
