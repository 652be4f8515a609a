//! A Service port and its endpoints, as kube-proxy sees them.
//!
//! One [`Service`] here is what kube-proxy calls a *service port*: one (namespace, name, port name, protocol) with its
//! addresses of one IP family. Two ports of a Kubernetes Service are two of them, and a dual-stack Service has two of each.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// IP family. kube-proxy runs one proxier for each.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    #[default]
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Both.
    pub const ALL: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    /// Of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }

    /// Lower-case name: `ipv4`.
    pub const fn name(self) -> &'static str {
        match self {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
        }
    }

    /// Length of a single address's prefix.
    pub const fn bits(self) -> u8 {
        match self {
            Family::Ipv4 => 32,
            Family::Ipv6 => 128,
        }
    }
}

/// Transport protocol of a Service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// All that a Service port can have.
    pub const ALL: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

    /// Lower-case name, as kube-proxy writes it into rules and hashes.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

/// `externalTrafficPolicy` or `internalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Any endpoint of the cluster.
    #[default]
    Cluster,
    /// Only endpoints on the node that the packet has come to.
    Local,
}

/// Whether an endpoint takes new connections. One that is neither ready nor serving is no endpoint for kube-proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// `ready`.
    #[default]
    Ready,
    /// `serving` and `terminating`: used only where no endpoint is ready.
    Terminating,
}

/// For whom an endpoint is meant, as seen from the node under test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hint {
    /// Nothing is said.
    #[default]
    None,
    /// For this node, or its zone, among others.
    Here,
    /// For others only.
    Elsewhere,
}

/// Topology hints of an endpoint: what the EndpointSlice controller writes for `trafficDistribution` and for topology-aware
/// routing. Which of them kube-proxy follows, [`Service::routes`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hints {
    /// `hints.forNodes`.
    pub node: Hint,
    /// `hints.forZones`. Without a zone, no hint is for a node's zone.
    pub zone: Hint,
}

impl Hints {
    /// None at all.
    pub const NONE: Hints = Hints { node: Hint::None, zone: Hint::None };
}

/// One endpoint of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Address and target port.
    pub address: SocketAddr,
    /// Whether it runs on the node under test.
    pub local: bool,
    /// Whether it is ready.
    pub condition: Condition,
    /// For whom it is meant.
    pub hints: Hints,
}

impl Endpoint {
    /// A ready endpoint on this node or another, for everybody.
    pub const fn ready(address: SocketAddr, local: bool) -> Self {
        Self { address, local, condition: Condition::Ready, hints: Hints::NONE }
    }
}

/// One Service port with its endpoints. All of its addresses are of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Namespace of the Service object.
    pub namespace: String,
    /// Name of the Service object.
    pub name: String,
    /// Port name; empty when the object leaves it out.
    pub port_name: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Cluster IP and Service port. External and load-balancer IPs have the same port.
    pub cluster: SocketAddr,
    /// Node port, for Services of type NodePort and LoadBalancer.
    pub node_port: Option<u16>,
    /// `externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip`, of mode VIP.
    pub load_balancer_ips: Vec<IpAddr>,
    /// `loadBalancerSourceRanges`: who may use the load-balancer IPs; empty: everybody.
    pub source_ranges: Vec<IpNet>,
    /// `externalTrafficPolicy`: for node port, external and load-balancer IPs.
    pub external_policy: Policy,
    /// `internalTrafficPolicy`: for the cluster IP.
    pub internal_policy: Policy,
    /// `healthCheckNodePort`, of load balancers with `externalTrafficPolicy: Local`.
    pub health_check_node_port: Option<u16>,
    /// `sessionAffinity: ClientIP` and its timeout, seconds.
    pub affinity_seconds: Option<u32>,
    endpoints: Vec<Endpoint>,
}

/// The identity of a Service port: what kube-proxy calls a `ServicePortName`.
pub type ServiceKey<'a> = (&'a str, &'a str, &'a str, Protocol);

impl Service {
    /// A Service port with nothing but its cluster IP; its endpoints in any order. What else it has is set afterwards.
    pub fn new(
        namespace: impl Into<String>,
        name: impl Into<String>,
        port_name: impl Into<String>,
        protocol: Protocol,
        cluster: SocketAddr,
        endpoints: Vec<Endpoint>,
    ) -> Self {
        let mut service = Self {
            namespace: namespace.into(),
            name: name.into(),
            port_name: port_name.into(),
            protocol,
            cluster,
            node_port: None,
            external_ips: Vec::new(),
            load_balancer_ips: Vec::new(),
            source_ranges: Vec::new(),
            external_policy: Policy::Cluster,
            internal_policy: Policy::Cluster,
            health_check_node_port: None,
            affinity_seconds: None,
            endpoints: Vec::new(),
        };
        service.set_endpoints(endpoints);
        service
    }

    /// Every endpoint, in kube-proxy's order: lexicographic by their `ip:port` text, so that
    /// `10.0.0.10:80` stands before `10.0.0.2:80` (observed on kube-proxy 1.30). Which of them get traffic is said
    /// by [`Service::routes`].
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Replaces the endpoints; sorts them and drops duplicates.
    pub fn set_endpoints(&mut self, mut endpoints: Vec<Endpoint>) {
        endpoints.sort_by_cached_key(|endpoint| endpoint.address.to_string());
        endpoints.dedup_by_key(|endpoint| endpoint.address);
        self.endpoints = endpoints;
    }

    /// Identity within a set of Services.
    pub fn key(&self) -> ServiceKey<'_> {
        (&self.namespace, &self.name, &self.port_name, self.protocol)
    }

    /// `namespace/name:port`, or `namespace/name` for an unnamed port: kube-proxy's display string.
    pub fn display_name(&self) -> String {
        let separator = if self.port_name.is_empty() { "" } else { ":" };
        format!("{}/{}{separator}{}", self.namespace, self.name, self.port_name)
    }

    /// IP family of its addresses.
    pub const fn family(&self) -> Family {
        Family::of(self.cluster.ip())
    }

    /// External and load-balancer IPs, each with the Service port.
    pub fn external_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let ips = self.external_ips.iter().chain(&self.load_balancer_ips);
        ips.map(|&ip| SocketAddr::new(ip, self.cluster.port()))
    }

    /// Whether it can be reached by anything but its cluster IP (`ExternallyAccessible`, pkg/proxy/serviceport.go).
    pub fn is_externally_accessible(&self) -> bool {
        self.node_port.is_some() || !self.external_ips.is_empty() || !self.load_balancer_ips.is_empty()
    }

    /// Whether some of its traffic may go to any endpoint of the cluster (`UsesClusterEndpoints`).
    pub fn uses_cluster_endpoints(&self) -> bool {
        // A Service with both policies Local uses them all the same: node-local and pod traffic to external addresses
        // is short-circuited to the cluster's endpoints.
        self.internal_policy == Policy::Cluster || self.is_externally_accessible()
    }

    /// Whether some of its traffic may go to local endpoints only (`UsesLocalEndpoints`).
    pub fn uses_local_endpoints(&self) -> bool {
        self.internal_policy == Policy::Local
            || (self.external_policy == Policy::Local && self.is_externally_accessible())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_stand_in_text_order() {
        let endpoint = |last: u8| Endpoint::ready(([10, 1, 0, last], 80).into(), false);
        let cluster = "10.96.0.1:80".parse().unwrap();
        let endpoints = [2, 10, 1, 2].map(endpoint);
        let service = Service::new("n", "s", "", Protocol::Tcp, cluster, endpoints.into());
        assert_eq!(service.endpoints(), [10, 1, 2].map(endpoint));
    }
}
