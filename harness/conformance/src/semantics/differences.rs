//! Where kube-proxy's modes differ by design.

use std::fmt;

/// A way in which one mode treats packets otherwise than another, and means to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Difference {
    /// Node ports on 127.0.0.1.
    NodePortsOnLoopback,
    /// Ports of a Service's address that the Service does not have.
    OtherPorts,
    /// `Local` policies on a node without a local endpoint.
    LocalWithoutLocal,
    /// `externalTrafficPolicy: Local` for what comes from inside.
    NoShortCircuit,
    /// Source ranges for what the node itself sends.
    SourceRangesOfNode,
    /// Source ranges that everybody is in.
    SourceRangesOfEverybody,
    /// Source ranges of a Service without endpoints.
    SourceRangesOfNobody,
    /// What the node itself sends to an external address that nobody answers for.
    OwnPacketsToNobody,
    /// What the node itself sends to a Service with `externalTrafficPolicy: Local` that has no endpoint here.
    OwnPacketsFilteredFirst,
}

impl Difference {
    /// All of them.
    pub const ALL: [Difference; 9] = [
        Difference::NodePortsOnLoopback,
        Difference::OtherPorts,
        Difference::LocalWithoutLocal,
        Difference::NoShortCircuit,
        Difference::SourceRangesOfNode,
        Difference::SourceRangesOfEverybody,
        Difference::SourceRangesOfNobody,
        Difference::OwnPacketsToNobody,
        Difference::OwnPacketsFilteredFirst,
    ];

    /// What differs, and why.
    pub const fn reason(self) -> &'static str {
        match self {
            Difference::NodePortsOnLoopback => {
                "iptables mode serves node ports on 127.0.0.1 (IPv4, iptables.localhostNodePorts) through \
                 net.ipv4.conf.all.route_localnet; nftables and IPVS mode do not, as that setting weakens the host"
            }
            Difference::OtherPorts => {
                "a port of a cluster IP that no Service has is rejected in nftables mode (cluster-ips-check) and, with every \
                 other Service address, in IPVS mode, where these addresses are the node's own (KUBE-IPVS-FILTER); iptables \
                 mode has no rule for it and lets the packet go where its address leads"
            }
            Difference::LocalWithoutLocal => {
                "without a local endpoint iptables and nftables mode drop; IPVS mode uses the cluster's endpoints if the Service is \
                 reachable from outside, so that local pods can use it (kubernetes/kubernetes#97081), and else has a virtual \
                 server without real servers, which the kernel answers with an ICMP error"
            }
            Difference::NoShortCircuit => {
                "pods and the node itself reach all endpoints of a Service with externalTrafficPolicy Local in iptables and nftables \
                 mode; in IPVS mode a virtual server has one list of real servers for everybody, the local ones"
            }
            Difference::SourceRangesOfNode => {
                "IPVS mode checks source ranges in INPUT, which the node's own packets do not pass before IPVS takes them; in OUTPUT \
                 it only drops those that have the load-balancer IP itself for a source, if the node is in no range \
                 (KUBE-IPVS-OUT-FILTER, kubernetes/kubernetes#119656)"
            }
            Difference::SourceRangesOfEverybody => {
                "a range of all addresses (0.0.0.0/0, ::/0) cannot be stored in an ipset of type hash:ip,port,net; kube-proxy logs \
                 the refusal, and in IPVS mode of 1.30 whoever is in no other range is dropped; later such a range is as none"
            }
            Difference::SourceRangesOfNobody => {
                "iptables mode has source ranges only for load balancers with endpoints, and rejects everybody without; nftables \
                 and IPVS mode drop whoever is not in the ranges, endpoints or not (the node itself is rejected by nftables mode of 1.30)"
            }
            Difference::OwnPacketsToNobody => {
                "iptables mode looks for external addresses without endpoints in INPUT and FORWARD only \
                 (KUBE-EXTERNAL-SERVICES), nftables mode in output as well; in IPVS mode a virtual server answers"
            }
            Difference::OwnPacketsFilteredFirst => {
                "nftables mode of 1.30 filters the node's own packets before it translates them (priority -110), so that they are \
                 dropped where no endpoint is local; other modes, and later versions, translate first, to any endpoint"
            }
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}
