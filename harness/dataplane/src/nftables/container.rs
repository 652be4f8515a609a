//! The named sets and maps: the part of the table that lookups hash into.

/// A set or map that grows with Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Container {
    /// Every cluster IP: their other ports are rejected.
    ClusterIps,
    /// Cluster, external and load-balancer IPs with endpoints.
    ServiceIps,
    /// Load-balancer IPs with source ranges.
    FirewallIps,
    /// Addresses without endpoints.
    NoEndpointServices,
    /// Node ports without endpoints.
    NoEndpointNodeports,
    /// Node ports with endpoints.
    ServiceNodeports,
    /// What endpoints on this node send to themselves.
    HairpinConnections,
}

impl Container {
    /// `set` or `map`.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Container::ClusterIps | Container::HairpinConnections => "set",
            _ => "map",
        }
    }

    /// Name in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Container::ClusterIps => "cluster-ips",
            Container::ServiceIps => "service-ips",
            Container::FirewallIps => "firewall-ips",
            Container::NoEndpointServices => "no-endpoint-services",
            Container::NoEndpointNodeports => "no-endpoint-nodeports",
            Container::ServiceNodeports => "service-nodeports",
            Container::HairpinConnections => "hairpin-connections",
        }
    }
}
