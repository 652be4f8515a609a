//! One node and its surroundings, as TUN devices: pods on the node, pods on other nodes, and everything else. In both IP
//! families. What the node does with a packet can be seen from all sides.
//!
//! ```text
//!                      node
//!   outside (TUN)      node's address, on every TUN      local-pods (TUN)    <- local_pods
//!   <- default route                                     remote-pods (TUN)   <- remote_pods
//! ```
//!
//! A packet written into a TUN has passed the whole of the node when `write(2)` returns (see [`Tun::send`]), errors that the
//! kernel answers with included: their rate is not limited here.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::error::{SetupError, TopologyError};
use crate::lab::{ANY_WAY, ROUTER, check_prefixes, tuned_namespace};
use crate::link::{Links, Route};
use crate::namespace::Namespace;
use crate::tun::{Tun, TunOptions};

/// The link behind which everything is that is neither node nor pod.
pub const OUTSIDE: &str = "outside";
/// The link behind which this node's pods are.
pub const LOCAL_PODS: &str = "local-pods";
/// The link behind which other nodes' pods are.
pub const REMOTE_PODS: &str = "remote-pods";

/// Who has which addresses, IPv4 and IPv6 mixed. Pure data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Name in messages and thread names.
    pub label: String,
    /// The node's own addresses. The first of each family is on every TUN, so that it is what masqueraded packets carry and
    /// what the node's sockets choose; others are on `lo`. A family without any is not there.
    pub node: Vec<IpAddr>,
    /// Pods on this node.
    pub local_pods: Vec<IpNet>,
    /// Pods on other nodes.
    pub remote_pods: Vec<IpNet>,
}

impl Topology {
    /// Checks that every address has one meaning.
    ///
    /// # Errors
    /// The first two fields that overlap, or a field in a block that is not forwarded.
    pub fn validate(&self) -> Result<(), TopologyError> {
        let node = self.node.iter().map(|&address| ("node", IpNet::from(address)));
        let local = self.local_pods.iter().map(|&prefix| ("local_pods", prefix));
        let remote = self.remote_pods.iter().map(|&prefix| ("remote_pods", prefix));
        check_prefixes(&node.chain(local).chain(remote).collect::<Vec<_>>())
    }

    /// The first address of each family.
    pub fn masquerade(&self) -> impl Iterator<Item = IpAddr> {
        let first = |v6: bool| self.node.iter().copied().find(|address| address.is_ipv6() == v6);
        [first(false), first(true)].into_iter().flatten()
    }
}

/// The namespace and its devices. Dropping it removes all of it.
pub struct SingleNode {
    /// Where the dataplane lives.
    pub node: Namespace,
    /// Packets written here come from outside the cluster. What is routed to no other link is read here, also what was
    /// sent to an address that nobody has. Non-blocking, as the others.
    pub outside: Tun,
    /// Pods on this node.
    pub local_pods: Tun,
    /// Pods on other nodes.
    pub remote_pods: Tun,
}

impl SingleNode {
    /// Builds the namespace and wires it.
    ///
    /// # Errors
    /// [`SetupError::Topology`] for addresses that cannot work, else what the kernel refused. Nothing is left behind.
    pub fn build(topology: &Topology) -> Result<SingleNode, SetupError> {
        topology.validate()?;
        let node = tuned_namespace(&format!("{}/node", topology.label), &settings())?;
        let tun = |name| Tun::open(&node, name, TunOptions { nonblocking: true, ..TunOptions::default() });
        let (outside, local_pods, remote_pods) = (tun(OUTSIDE)?, tun(LOCAL_PODS)?, tun(REMOTE_PODS)?);
        node.links(|links| wire(links, topology))?;
        node.set_sysctl("net.ipv6.conf.all.forwarding", "1")?;
        node.run(|| wait_until_local(topology))?;
        Ok(SingleNode { node, outside, local_pods, remote_pods })
    }
}

/// An address of IPv6 is the node's own only when the kernel's work queue has come to it (`addrconf_dad_work` in
/// `net/ipv6/addrconf.c`), duplicate detection or not.
fn wait_until_local(topology: &Topology) -> Result<(), SetupError> {
    const ROUTES: &str = "/proc/thread-self/net/ipv6_route";
    let begun = Instant::now();
    let wanted: Vec<String> = topology
        .node
        .iter()
        .filter_map(|address| match address {
            IpAddr::V6(address) => Some(format!("{:032x} 80 ", address.to_bits())),
            IpAddr::V4(_) => None,
        })
        .collect();
    let all_are = |routes: &str| {
        let is = |wanted: &String| routes.lines().any(|line| line.starts_with(wanted) && is_local(line));
        wanted.iter().all(is)
    };
    let failed = |cause: io::Error| {
        SetupError::kernel(format!("make the addresses of {}/node its own", topology.label), cause)
    };
    loop {
        match std::fs::read_to_string(ROUTES) {
            Ok(routes) if all_are(&routes) => return Ok(()),
            // Without IPv6 there is no such file, and nothing to wait for.
            Err(error) if error.kind() == io::ErrorKind::NotFound && wanted.is_empty() => return Ok(()),
            Err(error) => return Err(failed(error)),
            Ok(_) if begun.elapsed() > ADDRESS_TIMEOUT => return Err(failed(io::ErrorKind::TimedOut.into())),
            Ok(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// How long an address may take to be the node's own.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether a line of ipv6_route is of a route to the node itself: `RTF_LOCAL` in the flags, the last column but one.
fn is_local(line: &str) -> bool {
    const RTF_LOCAL: u32 = 0x8000_0000;
    let flags = line.split_whitespace().rev().nth(1).and_then(|flags| u32::from_str_radix(flags, 16).ok());
    flags.is_some_and(|flags| flags & RTF_LOCAL != 0)
}

fn wire(links: &Links, topology: &Topology) -> Result<(), SetupError> {
    for link in [OUTSIDE, LOCAL_PODS, REMOTE_PODS] {
        // Else a router of IPv6 is in groups that it reports on every link.
        links.set_multicast(link, false)?;
        for address in topology.masquerade() {
            links.add_address(link, IpNet::from(address))?;
        }
    }
    for &address in &topology.node {
        if topology.masquerade().all(|masquerade| masquerade != address) {
            links.add_address("lo", IpNet::from(address))?;
        }
    }
    for (prefixes, link) in [(&topology.local_pods, LOCAL_PODS), (&topology.remote_pods, REMOTE_PODS)] {
        for &prefix in prefixes {
            links.add_route(&Route::device(prefix, link))?;
        }
    }
    for address in topology.masquerade() {
        // As on a real node: what the dataplane does not know is routed, and thereby comes where it can be rejected.
        let everywhere: IpNet = match address {
            IpAddr::V4(_) => Ipv4Net::default().into(),
            IpAddr::V6(_) => Ipv6Net::default().into(),
        };
        links.add_route(&Route::device(everywhere, OUTSIDE))?;
    }
    Ok(())
}

/// Those of `all` and `default` are set before any link exists: a new link takes `default` (ip-sysctl.rst).
fn settings() -> Vec<(&'static str, &'static str)> {
    [&ROUTER[..], &ANY_WAY, &IPV6, &EVERY_ERROR].concat()
}

/// Nothing that the kernel would send of its own accord. Forwarding comes later: a link that is there and takes no part in
/// multicast joins no groups when it is switched on (dev_forward_change in net/ipv6/addrconf.c), but a new one does.
const IPV6: [(&str, &str); 8] = [
    ("net.ipv6.conf.all.disable_ipv6", "0"),
    ("net.ipv6.conf.default.disable_ipv6", "0"),
    // No link-local address (IN6_ADDR_GEN_MODE_NONE in include/uapi/linux/if_link.h): nobody to send redirects from, or
    // to announce.
    ("net.ipv6.conf.default.addr_gen_mode", "1"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.default.dad_transmits", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.default.autoconf", "0"),
    ("net.ipv6.conf.default.router_solicitations", "0"),
];

/// By default the kernel sends one error a second to an address, and a thousand in all. A type that is not in the mask is
/// under neither limit (icmpv4_mask_allow in net/ipv4/icmp.c, icmpv6_mask_allow in net/ipv6/icmp.c); type 2 of ICMPv6,
/// packet too big, never is.
const EVERY_ERROR: [(&str, &str); 2] = [("net.ipv4.icmp_ratemask", "0"), ("net.ipv6.icmp.ratemask", "2")];

#[cfg(test)]
mod tests {
    use super::*;

    fn topology() -> Topology {
        Topology {
            label: "test".into(),
            node: ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|text| text.parse().unwrap()).to_vec(),
            local_pods: ["10.244.0.0/24", "fd00:244::/64"].map(|text| text.parse().unwrap()).to_vec(),
            remote_pods: ["10.244.1.0/24", "fd00:244:0:1::/64"].map(|text| text.parse().unwrap()).to_vec(),
        }
    }

    #[test]
    fn the_first_address_of_each_family_is_on_every_link() {
        assert!(topology().validate().is_ok());
        let first: Vec<String> = topology().masquerade().map(|address| address.to_string()).collect();
        assert_eq!(first, ["192.0.2.1", "2001:db8::1"]);
    }

    #[test]
    fn every_address_has_one_meaning() {
        let mut wrong = topology();
        wrong.remote_pods.push("fd00:244::/48".parse().unwrap());
        assert_eq!(
            wrong.validate().unwrap_err().to_string(),
            "local_pods fd00:244::/64 overlaps remote_pods fd00:244::/48: choose disjoint prefixes"
        );
        let mut wrong = topology();
        wrong.node.push("10.244.1.1".parse().unwrap());
        assert_eq!(
            wrong.validate().unwrap_err().to_string(),
            "node 10.244.1.1/32 overlaps remote_pods 10.244.1.0/24: choose disjoint prefixes"
        );
        let mut wrong = topology();
        wrong.node.push("fe80::1".parse().unwrap());
        assert_eq!(
            wrong.validate().unwrap_err().to_string(),
            "node fe80::1/128 overlaps fe80::/10, which is not forwarded (link-local): choose another prefix"
        );
    }
}
