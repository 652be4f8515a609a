//! The IP sets of IPVS mode: what the constant iptables rules look addresses and ports up in.
//!
//! Names, types and order: `ipsetInfo` in pkg/proxy/ipvs/proxier.go; types of entries: KUBE_PROXY_FACTS.md, section 3.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::super::Unfit;
use crate::scale::ServiceSet;
use crate::service::{Protocol, Service};

/// `maxelem` of every hash set: more entries than this are refused by the kernel ("Hash is full").
pub const LARGEST: usize = 65_536;

/// A set of kube-proxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Set {
    /// Local endpoints: traffic from one to itself is masqueraded.
    LoopBack,
    /// Cluster IPs and their ports.
    ClusterIp,
    /// External IPs.
    ExternalIp,
    /// External IPs with externalTrafficPolicy Local.
    ExternalIpLocal,
    /// Load-balancer IPs.
    LoadBalancer,
    /// Load-balancer IPs with source ranges.
    LoadBalancerFirewall,
    /// Load-balancer IPs with externalTrafficPolicy Local.
    LoadBalancerLocal,
    /// Load-balancer IPs that the node itself may use.
    LoadBalancerSourceIp,
    /// Source ranges of load-balancer IPs.
    LoadBalancerSourceCidr,
    /// Node ports, TCP.
    NodePortTcp,
    /// Node ports with externalTrafficPolicy Local, TCP.
    NodePortLocalTcp,
    /// Node ports, UDP.
    NodePortUdp,
    /// Node ports with externalTrafficPolicy Local, UDP.
    NodePortLocalUdp,
    /// Node ports, SCTP.
    NodePortSctp,
    /// Node ports with externalTrafficPolicy Local, SCTP.
    NodePortLocalSctp,
    /// Ports of health checks.
    HealthCheckNodePort,
    /// Every address bound to the dummy link: its other ports are rejected.
    IpvsIps,
}

impl Set {
    /// All of them. kube-proxy walks a Go map, so its order differs at every sync.
    pub const ALL: [Set; 17] = [
        Set::LoopBack,
        Set::ClusterIp,
        Set::ExternalIp,
        Set::ExternalIpLocal,
        Set::LoadBalancer,
        Set::LoadBalancerFirewall,
        Set::LoadBalancerLocal,
        Set::LoadBalancerSourceIp,
        Set::LoadBalancerSourceCidr,
        Set::NodePortTcp,
        Set::NodePortLocalTcp,
        Set::NodePortUdp,
        Set::NodePortLocalUdp,
        Set::NodePortSctp,
        Set::NodePortLocalSctp,
        Set::HealthCheckNodePort,
        Set::IpvsIps,
    ];

    /// Its name in the kernel.
    pub const fn name(self) -> &'static str {
        match self {
            Set::LoopBack => "KUBE-LOOP-BACK",
            Set::ClusterIp => "KUBE-CLUSTER-IP",
            Set::ExternalIp => "KUBE-EXTERNAL-IP",
            Set::ExternalIpLocal => "KUBE-EXTERNAL-IP-LOCAL",
            Set::LoadBalancer => "KUBE-LOAD-BALANCER",
            Set::LoadBalancerFirewall => "KUBE-LOAD-BALANCER-FW",
            Set::LoadBalancerLocal => "KUBE-LOAD-BALANCER-LOCAL",
            Set::LoadBalancerSourceIp => "KUBE-LOAD-BALANCER-SOURCE-IP",
            Set::LoadBalancerSourceCidr => "KUBE-LOAD-BALANCER-SOURCE-CIDR",
            Set::NodePortTcp => "KUBE-NODE-PORT-TCP",
            Set::NodePortLocalTcp => "KUBE-NODE-PORT-LOCAL-TCP",
            Set::NodePortUdp => "KUBE-NODE-PORT-UDP",
            Set::NodePortLocalUdp => "KUBE-NODE-PORT-LOCAL-UDP",
            Set::NodePortSctp => "KUBE-NODE-PORT-SCTP-HASH",
            Set::NodePortLocalSctp => "KUBE-NODE-PORT-LOCAL-SCTP-HASH",
            Set::HealthCheckNodePort => "KUBE-HEALTH-CHECK-NODE-PORT",
            Set::IpvsIps => "KUBE-IPVS-IPS",
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Set::LoopBack | Set::LoadBalancerSourceIp => "hash:ip,port,ip",
            Set::LoadBalancerSourceCidr => "hash:ip,port,net",
            Set::IpvsIps => "hash:ip",
            Set::NodePortTcp
            | Set::NodePortLocalTcp
            | Set::NodePortUdp
            | Set::NodePortLocalUdp
            | Set::HealthCheckNodePort => "bitmap:port",
            Set::ClusterIp
            | Set::ExternalIp
            | Set::ExternalIpLocal
            | Set::LoadBalancer
            | Set::LoadBalancerFirewall
            | Set::LoadBalancerLocal
            | Set::NodePortSctp
            | Set::NodePortLocalSctp => "hash:ip,port",
        }
    }

    /// Arguments of the `ipset` that makes it, in both ways: a hash starts with 1,024 buckets and is doubled by the
    /// kernel as it fills, so that its size, too, depends on its entries alone.
    pub fn create(self) -> Vec<&'static str> {
        let kind = self.kind();
        let mut args = vec!["create", self.name(), kind];
        args.extend(match kind {
            "bitmap:port" => &["range", "0-65535"][..],
            _ => &["family", "inet", "hashsize", "1024", "maxelem", "65536"],
        });
        args.push("-exist");
        args
    }
}

/// An entry of a set. Displays as `ipset` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// `10.96.0.10`
    Ip(IpAddr),
    /// `10.96.0.10,tcp:80`
    IpPort(IpAddr, Protocol, u16),
    /// `10.244.0.11,tcp:8080,10.244.0.11`: the same address twice.
    IpPortIp(IpAddr, Protocol, u16),
    /// `30080`
    Port(u16),
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Ip(ip) => write!(f, "{ip}"),
            Entry::IpPort(ip, protocol, port) => write!(f, "{ip},{}:{port}", protocol.name()),
            Entry::IpPortIp(ip, protocol, port) => write!(f, "{ip},{}:{port},{ip}", protocol.name()),
            Entry::Port(port) => write!(f, "{port}"),
        }
    }
}

/// Entries of all sets, in the order of [`Set::ALL`].
pub type Entries = BTreeSet<(Set, Entry)>;

/// Calls `each` with every entry that a Service gives rise to. Two Services may share some: an address with several
/// ports, or an endpoint.
pub fn each_of(service: &Service, mut each: impl FnMut(Set, Entry)) {
    let (ip, port, protocol) = (service.cluster.ip(), service.cluster.port(), service.protocol);
    for endpoint in service.endpoints().iter().filter(|endpoint| endpoint.local) {
        let address = endpoint.address;
        each(Set::LoopBack, Entry::IpPortIp(address.ip(), protocol, address.port()));
    }
    each(Set::ClusterIp, Entry::IpPort(ip, protocol, port));
    if let Some(port) = service.node_port {
        let set = match protocol {
            Protocol::Tcp => Set::NodePortTcp,
            Protocol::Udp => Set::NodePortUdp,
            Protocol::Sctp => return,
        };
        each(set, Entry::Port(port));
    }
    each(Set::IpvsIps, Entry::Ip(ip));
}

/// Entries of these Services together.
pub fn of<'a>(services: impl IntoIterator<Item = &'a Service>) -> Entries {
    let mut entries = Entries::new();
    services.into_iter().for_each(|service| {
        each_of(service, |set, entry| {
            entries.insert((set, entry));
        });
    });
    entries
}

/// Which sets have entries, of those that rules depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// [`Set::LoopBack`].
    pub loop_back: bool,
    /// [`Set::ClusterIp`].
    pub cluster_ip: bool,
    /// [`Set::NodePortTcp`].
    pub node_port_tcp: bool,
    /// [`Set::NodePortUdp`].
    pub node_port_udp: bool,
}

impl Filled {
    /// With these Services.
    pub fn by(to: &ServiceSet) -> Self {
        let node_port = |protocol| {
            to.services().iter().any(|service| service.node_port.is_some() && service.protocol == protocol)
        };
        Self {
            loop_back: to.services().iter().any(|service| service.endpoints().iter().any(|e| e.local)),
            cluster_ip: !to.is_empty(),
            node_port_tcp: node_port(Protocol::Tcp),
            node_port_udp: node_port(Protocol::Udp),
        }
    }
}

/// Whether all entries fit their sets.
///
/// # Errors
/// The first set that is too small.
pub fn fit(to: &ServiceSet) -> Result<(), Unfit> {
    // Each Service has one entry at most in each set, but for its local endpoints.
    let locals: usize = to.services().iter().map(|s| s.endpoints().iter().filter(|e| e.local).count()).sum();
    if to.len().max(locals) <= LARGEST {
        return Ok(());
    }
    let entries = of(to.services().iter().map(std::convert::AsRef::as_ref));
    for set in Set::ALL {
        let entries = entries
            .range((set, Entry::Ip(Ipv4Addr::UNSPECIFIED.into()))..=(set, Entry::Port(u16::MAX)))
            .count();
        if entries > LARGEST {
            return Err(Unfit::SetTooLarge { set: set.name(), entries, largest: LARGEST });
        }
    }
    Ok(())
}
