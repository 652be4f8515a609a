//! What is set up once: a link, and sysctls.

/// The dummy link that Service addresses are bound to. It is never brought up.
pub const DUMMY: &str = "kube-ipvs0";

/// Settings of `NewProxier` (pkg/proxy/ipvs/proxier.go), for both families.
pub(crate) const SYSCTLS: [(&str, &str); 4] = [
    ("net.ipv4.vs.conntrack", "1"),
    ("net.ipv4.vs.expire_nodest_conn", "1"),
    ("net.ipv4.vs.expire_quiescent_template", "1"),
    ("net.ipv4.ip_forward", "1"),
];
