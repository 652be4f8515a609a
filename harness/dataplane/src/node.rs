//! The node that a plan is for.

use std::net::IpAddr;

use ipnet::IpNet;
use netns_setup::ipvs::Scheduler;
use services::addresses;
use services::cluster::Chosen;
use services::service::Family;

use crate::kube_proxy::KubeProxy;

/// What kube-proxy knows besides Services: its own node and its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The node's address: where node ports are served. It tells the IP family of the proxier.
    pub address: IpAddr,
    /// All pods (`clusterCIDR`). Cluster-IP traffic from elsewhere is masqueraded; none: never.
    pub cluster_cidr: Option<IpNet>,
    /// Whose output is reproduced.
    pub kube_proxy: KubeProxy,
    /// Whether node ports are served on 127.0.0.1, too (`iptables.localhostNodePorts`; IPv4 in iptables mode only).
    pub localhost_node_ports: bool,
    /// Whether the kernel keeps counters for kube-proxy (nfnetlink_acct and xt_nfacct), which in 1.34 and newer has iptables mode
    /// count invalid packets, and those to node ports on 127.0.0.1.
    pub nfacct: bool,
    /// Scheduler of every virtual server, in IPVS mode (`ipvs.scheduler`).
    pub scheduler: Scheduler,
}

impl Node {
    /// The node of a lab, with kube-proxy's default scheduler.
    pub const fn lab(kube_proxy: KubeProxy) -> Self {
        Self {
            address: IpAddr::V4(addresses::NODE),
            cluster_cidr: Some(IpNet::V4(addresses::PODS)),
            kube_proxy,
            localhost_node_ports: true,
            nfacct: false,
            scheduler: Scheduler::Rr,
        }
    }

    /// The same settings on the node that was chosen in a cluster.
    pub const fn of_cluster(self, chosen: &Chosen) -> Self {
        Self { address: chosen.address, cluster_cidr: chosen.cluster_cidr, ..self }
    }

    /// IP family of the proxier.
    pub const fn family(&self) -> Family {
        Family::of(self.address)
    }
}
