//! Which family, node address and cluster CIDR a plan is made for: what was asked for, else what the file says.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::contents::ClusterInput;
use crate::addresses;
use crate::service::Family;
use crate::service_set::ServiceSet;

/// The node's IPv6 address if nothing tells it, beside [`addresses::NODE`].
const NODE_IPV6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xac1e, 0, 0, 0, 0, 0, 1));

/// What is asked for; what is not follows from the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Which proxier.
    pub family: Option<Family>,
    /// The node's own address.
    pub node_ip: Option<IpAddr>,
    /// All pods.
    pub cluster_cidr: Option<IpNet>,
}

/// What one proxier of the node's kube-proxy would know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Its Service ports.
    pub set: ServiceSet,
    /// Its family.
    pub family: Family,
    /// The node's own address.
    pub address: IpAddr,
    /// All pods; none: no traffic to cluster IPs is masqueraded.
    pub cluster_cidr: Option<IpNet>,
    /// What was not asked for but follows from the file, in words.
    pub assumed: Vec<String>,
}

/// Why what is asked for does not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value} is not {}, as {reason}; give one of that family, or another --family", family.name())]
pub struct OtherFamily {
    what: &'static str,
    value: String,
    family: Family,
    reason: &'static str,
}

impl ClusterInput {
    /// What the proxier of one family knows.
    ///
    /// # Errors
    /// If an address that is asked for is of another family.
    pub fn choose(&self, wanted: &Wanted) -> Result<Chosen, OtherFamily> {
        let of_address = wanted.node_ip.or(wanted.cluster_cidr.map(|cidr| cidr.addr())).map(Family::of);
        let (family, reason) = match (wanted.family, of_address) {
            (Some(family), _) => (family, "--family says"),
            (None, Some(family)) => (family, "--node-ip says"),
            (None, None) => (self.default_family(), ""),
        };
        let check = |what, address: IpAddr, value: String| match Family::of(address) == family {
            true => Ok(()),
            false => Err(OtherFamily { what, value, family, reason }),
        };
        if let Some(ip) = wanted.node_ip {
            check("--node-ip", ip, ip.to_string())?;
        }
        if let Some(cidr) = wanted.cluster_cidr {
            check("--cluster-cidr", cidr.addr(), cidr.to_string())?;
        }
        let mut assumed = Vec::new();
        let address = wanted.node_ip.or_else(|| {
            let (node, ip) = (self.node.as_ref()?, self.node_address(family)?);
            assumed.push(format!("the node is {node} at {ip}, as its Node says"));
            Some(ip)
        });
        let cluster_cidr = wanted.cluster_cidr.or_else(|| {
            let cidr = self.cluster_cidr(family)?;
            assumed.push(format!(
                "the cluster CIDR is {cidr}, the smallest that holds the pod CIDRs of all Nodes in the file \
                 (--cluster-cidr sets another)"
            ));
            Some(cidr)
        });
        let default = match family {
            Family::Ipv4 => addresses::NODE.into(),
            Family::Ipv6 => NODE_IPV6,
        };
        let set = self.set(family).clone();
        Ok(Chosen { set, family, address: address.unwrap_or(default), cluster_cidr, assumed })
    }
}
