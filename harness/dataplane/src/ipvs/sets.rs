//! The IP sets of IPVS mode: what the iptables rules look addresses and ports up in.
//!
//! Names, types, comments and order: `ipsetInfo` and the constants in pkg/proxy/ipvs/{proxier,ipset}.go.

use services::service::Family;

/// `maxelem` of every hash set: more entries than this are refused by the kernel ("Hash is full").
pub(crate) const LARGEST: usize = 65_536;

/// A set of kube-proxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Set {
    /// Local endpoints: traffic from one to itself is masqueraded.
    LoopBack,
    /// Cluster IPs and their ports.
    ClusterIp,
    /// External IPs with externalTrafficPolicy Cluster.
    ExternalIp,
    /// External IPs with externalTrafficPolicy Local.
    ExternalIpLocal,
    /// Load-balancer IPs, all of them.
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

    /// Its name in the kernel. That of IPv6 begins with `KUBE-6-` and is cut after 31 characters, all that a set's name
    /// can have (`NewIPSet`).
    pub const fn name(self, family: Family) -> &'static str {
        let (v4, v6) = match self {
            Set::LoopBack => ("KUBE-LOOP-BACK", "KUBE-6-LOOP-BACK"),
            Set::ClusterIp => ("KUBE-CLUSTER-IP", "KUBE-6-CLUSTER-IP"),
            Set::ExternalIp => ("KUBE-EXTERNAL-IP", "KUBE-6-EXTERNAL-IP"),
            Set::ExternalIpLocal => ("KUBE-EXTERNAL-IP-LOCAL", "KUBE-6-EXTERNAL-IP-LOCAL"),
            Set::LoadBalancer => ("KUBE-LOAD-BALANCER", "KUBE-6-LOAD-BALANCER"),
            Set::LoadBalancerFirewall => ("KUBE-LOAD-BALANCER-FW", "KUBE-6-LOAD-BALANCER-FW"),
            Set::LoadBalancerLocal => ("KUBE-LOAD-BALANCER-LOCAL", "KUBE-6-LOAD-BALANCER-LOCAL"),
            Set::LoadBalancerSourceIp => ("KUBE-LOAD-BALANCER-SOURCE-IP", "KUBE-6-LOAD-BALANCER-SOURCE-IP"),
            Set::LoadBalancerSourceCidr => {
                ("KUBE-LOAD-BALANCER-SOURCE-CIDR", "KUBE-6-LOAD-BALANCER-SOURCE-CID")
            }
            Set::NodePortTcp => ("KUBE-NODE-PORT-TCP", "KUBE-6-NODE-PORT-TCP"),
            Set::NodePortLocalTcp => ("KUBE-NODE-PORT-LOCAL-TCP", "KUBE-6-NODE-PORT-LOCAL-TCP"),
            Set::NodePortUdp => ("KUBE-NODE-PORT-UDP", "KUBE-6-NODE-PORT-UDP"),
            Set::NodePortLocalUdp => ("KUBE-NODE-PORT-LOCAL-UDP", "KUBE-6-NODE-PORT-LOCAL-UDP"),
            Set::NodePortSctp => ("KUBE-NODE-PORT-SCTP-HASH", "KUBE-6-NODE-PORT-SCTP-HASH"),
            Set::NodePortLocalSctp => ("KUBE-NODE-PORT-LOCAL-SCTP-HASH", "KUBE-6-NODE-PORT-LOCAL-SCTP-HAS"),
            Set::HealthCheckNodePort => ("KUBE-HEALTH-CHECK-NODE-PORT", "KUBE-6-HEALTH-CHECK-NODE-PORT"),
            Set::IpvsIps => ("KUBE-IPVS-IPS", "KUBE-6-IPVS-IPS"),
        };
        match family {
            Family::Ipv4 => v4,
            Family::Ipv6 => v6,
        }
    }

    /// The comment of the rules that match it; the same for both families.
    pub const fn comment(self) -> &'static str {
        match self {
            Set::LoopBack => "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose",
            Set::ClusterIp => "Kubernetes service cluster ip + port for masquerade purpose",
            Set::ExternalIp => "Kubernetes service external ip + port for masquerade and filter purpose",
            Set::ExternalIpLocal => "Kubernetes service external ip + port with externalTrafficPolicy=local",
            Set::LoadBalancer => "Kubernetes service lb portal",
            Set::LoadBalancerFirewall => {
                "Kubernetes service load balancer ip + port for load balancer with sourceRange"
            }
            Set::LoadBalancerLocal => {
                "Kubernetes service load balancer ip + port with externalTrafficPolicy=local"
            }
            Set::LoadBalancerSourceIp => {
                "Kubernetes service load balancer ip + port + source IP for packet filter purpose"
            }
            Set::LoadBalancerSourceCidr => {
                "Kubernetes service load balancer ip + port + source cidr for packet filter purpose"
            }
            Set::NodePortTcp => "Kubernetes nodeport TCP port for masquerade purpose",
            Set::NodePortLocalTcp => "Kubernetes nodeport TCP port with externalTrafficPolicy=local",
            Set::NodePortUdp => "Kubernetes nodeport UDP port for masquerade purpose",
            Set::NodePortLocalUdp => "Kubernetes nodeport UDP port with externalTrafficPolicy=local",
            Set::NodePortSctp => {
                "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'"
            }
            Set::NodePortLocalSctp => {
                "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'"
            }
            Set::HealthCheckNodePort => "Kubernetes health check node port",
            Set::IpvsIps => "Addresses on the ipvs interface",
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

    /// Whether a bit stands for each of all ports, so that it cannot be too small.
    pub fn is_bitmap(self) -> bool {
        self.kind() == "bitmap:port"
    }

    /// Arguments of the `ipset` that makes it, in both ways: a hash starts with 1,024 buckets and is doubled by the
    /// kernel as it fills, so that its size, too, depends on its entries alone.
    pub fn create(self, family: Family) -> Vec<&'static str> {
        let kind = self.kind();
        let mut args = vec!["create", self.name(family), kind];
        if self.is_bitmap() {
            args.extend(["range", "0-65535"]);
        } else {
            let family = match family {
                Family::Ipv4 => "inet",
                Family::Ipv6 => "inet6",
            };
            args.extend(["family", family, "hashsize", "1024", "maxelem", "65536"]);
        }
        args.push("-exist");
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ipv6_are_those_of_ipv4_with_a_six_and_cut() {
        for set in Set::ALL {
            let whole = set.name(Family::Ipv4).replacen("KUBE-", "KUBE-6-", 1);
            assert_eq!(set.name(Family::Ipv6), &whole[..whole.len().min(31)]);
        }
    }
}
