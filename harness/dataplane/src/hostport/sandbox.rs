//! A pod with host ports.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use services::service::{Family, Protocol};

/// One port of the node that goes to a pod: an entry of `portMappings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The address of the node on which it is served. `None` or an unspecified address: all local ones. One of
    /// another family than the pod's address makes the plugin leave the entry out for that address.
    pub host_ip: Option<IpAddr>,
    /// The node's port.
    pub host_port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The pod's port.
    pub container_port: u16,
}

/// A pod whose host ports are to be served: what the runtime tells the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// Name of the CNI network, as the configuration has it.
    pub network: String,
    /// The runtime's id of the pod's sandbox: 64 hexadecimal digits with containerd.
    pub container_id: String,
    /// The pod's addresses with the prefix that IPAM gave out. The plugin takes the first of each family.
    pub addresses: Vec<IpNet>,
    /// Its host ports, in the order of the pod's containers.
    pub ports: Vec<HostPort>,
    /// The sysctl `net.ipv4.conf.LINK.route_localnet` of the link through which the pod is reached: the plugin sets
    /// it to 1, so that connections from 127.0.0.1 can be translated. `None`: there is no route to the pod.
    pub route_localnet: Option<&'static str>,
}

impl Sandbox {
    /// The pod's address of a family.
    pub(super) fn address(&self, family: Family) -> Option<IpNet> {
        self.addresses.iter().copied().find(|address| Family::of(address.addr()) == family)
    }

    /// The entries that the plugin writes for a family.
    pub(super) fn entries(&self, family: Family) -> impl Iterator<Item = &HostPort> {
        self.ports.iter().filter(move |port| port.host_ip.is_none_or(|ip| Family::of(ip) == family))
    }
}

impl HostPort {
    /// The destination that a rule has to name; `None`: any that is local.
    pub(super) fn destination(&self) -> Option<IpAddr> {
        self.host_ip.filter(|ip| !ip.is_unspecified())
    }

    /// Where the rule sends packets.
    pub(super) fn target(&self, address: IpNet) -> SocketAddr {
        SocketAddr::new(address.addr(), self.container_port)
    }
}
