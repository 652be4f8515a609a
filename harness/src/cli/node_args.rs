//! Flags of commands that read a cluster.

use clap::Args;

/// For which node the Services of a cluster are planned.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct NodeArgs {
    /// Name of the node that kube-proxy would run on: its endpoints are local [default: the file's only Node]
    #[arg(long, value_name = "NAME", requires = "from", help_heading = "Services of a cluster")]
    pub node: Option<String>,
    /// Address of that node: where node ports are served [default: what its Node says]
    #[arg(long, value_name = "IP", requires = "from", help_heading = "Services of a cluster")]
    pub node_ip: Option<std::net::IpAddr>,
    /// All pods; traffic to cluster IPs from elsewhere is masqueraded [default: the smallest that holds the pod CIDRs of all
    /// Nodes, if the file has them]
    #[arg(long, value_name = "CIDR", requires = "from", help_heading = "Services of a cluster")]
    pub cluster_cidr: Option<ipnet::IpNet>,
    /// Which of kube-proxy's two proxiers [default: ipv4, unless only IPv6 has Services]
    #[arg(
        long,
        value_enum,
        value_name = "FAMILY",
        requires = "from",
        help_heading = "Services of a cluster"
    )]
    pub family: Option<services::service::Family>,
}
