//! Words that everybody has: they say nothing about whose ruleset it is.

/// Parts of names of chains, sets and tables: kube-proxy's, the kubelet's, those of CNI plugins, Calico, flannel, Cilium,
/// Docker, and the built-in ones.
const PARTS: &[&str] = &[
    "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING", "filter", "nat", "mangle", "raw", "security",
    // kube-proxy and kubelet
    "KUBE", "SERVICES", "EXTERNAL", "NODEPORTS", "NODE", "PORT", "MARK", "MASQ", "DROP", "FIREWALL", "PROXY",
    "CANARY", "KUBELET", "HINT", "IPTABLES", "SVC", "SVL", "SEP", "EXT", "FW", "XLB", "LB", "LOAD", "BALANCER",
    "SOURCE", "RANGES", "IPVS", "IP", "IPS", "OUT", "CLUSTER", "LOOP", "BACK", "CIDR", "HEALTH", "CHECK", "LOCAL", "TCP",
    "UDP", "SCTP", "HASH", "6", "FILTER",
    "kube", "proxy", "cluster", "ips", "nodeport", "service", "services", "nodeports", "endpoint", "endpoints", "no",
    "firewall", "affinity", "local", "external", "reject", "chain", "check", "for", "masquerade", "masquerading",
    "mark", "post", "pre", "dnat", "prerouting", "input", "forward", "output", "postrouting", "hairpin", "connections",
    // CNI plugins and kubernetes' own
    "CNI", "HOSTPORT", "DNAT", "SNAT", "SETMARK", "ADMIN", "DN", "SN", "HOSTPORTS", "ISOLATION", "STAGE", "USER",
    "DOCKER", "INGRESS", "BRIDGE", "CT", "FLANNEL", "FWD", "POSTRTG", "AGENT", "KIND", "POD", "NWPLCY", "ROUTER",
    "hostport", "hostports", "cni", "portmap", "docker", "flannel", "kindnet", "network", "policy", "policies",
    // Calico
    "cali", "felix", "fw", "tw", "pi", "po", "pri", "pro", "to", "from", "wl", "hep", "host", "dispatch", "set", "sm", "rpf",
    "skip", "endpoint", "nat", "outgoing", "fip", "fhep", "thep", "FORWARD", "cidr", "block", "failsafe", "in", "out",
    "cali40s", "cali60s", "cali40all", "cali60all", "all", "ipam", "pools", "masq", "this", "hosts", "net", "vxlan",
    "cali40this", "cali40masq", "icmp", "wireguard",
    // Cilium
    "CILIUM", "OLD", "cilium", "TRANSIENT", "PRE", "POST", "xt", "dscp",
];

/// Words of comments: kube-proxy's of all versions, and those of CNI plugins.
const OF_COMMENTS: &[&str] = &[
    "kubernetes", "Kubernetes", "service", "services", "portal", "portals", "externally-visible", "load", "balancer",
    "load-balancer", "firewall", "health", "check", "ports", "port", "rules", "rule", "forwarding", "postrouting",
    "prerouting", "conntrack", "traffic", "requiring", "SNAT", "nodeports", "nodeport", "NOTE", "this", "must", "be",
    "the", "last", "in", "chain", "block", "incoming", "localnet", "connections", "cluster", "IP", "IPs", "external",
    "loadbalancer", "has", "no", "local", "endpoints", "endpoint", "masquerade", "for", "destinations", "pod", "pods",
    "LOCAL", "route", "to", "not", "accepted", "by", "other", "will", "dropped", "Redirect", "trying", "reach", "VIP",
    "clusterIP", "LB", "Balancing", "source", "destination", "purpose", "ip", "dst", "solving", "hairpin", "TCP", "UDP",
    "SCTP", "address", "access", "filter", "kube-proxy", "ipvs", "lb", "and", "of", "with", "a", "from", "only", "all",
    "table", "Active", "ClusterIPs", "ClusterIP", "ExternalIP", "LoadBalancer", "NodePort", "that", "accept", "vmap", "drop",
    "or", "reject", "Reject", "invalid", "Drop", "unallocated", "are", "subject", "LoadBalancerSourceRanges",
    "short-circuit", "helper", "@no-endpoint-services", "@no-endpoint-nodeports", "special",
    // CNI plugins, Calico, flannel, Docker
    "dnat", "name", "id", "CNI", "portfwd", "cali", "flannel", "flanneld", "masq", "forward", "Policy", "explicitly",
    "accepted", "packet", "Host", "endpoint", "untracked", "failsafe", "rpf", "Drop", "if", "Set", "mark", "MARK", "bit",
    "Jump", "Return", "Configured", "DefaultEndpointToHostAction", "Start", "new", "set", "unknown", "Unknown",
    "interface", "profile", "Profile", "policies", "no", "passed", "Accept", "Mark", "is", "as",
];

/// Words of rules that are values, not names: states, flags, types, units. Compared without case.
const VALUES: &[&str] = &[
    "new", "established", "related", "invalid", "untracked", "snat", "dnat", "none", "seen_reply", "confirmed",
    "syn", "ack", "fin", "rst", "urg", "psh", "all", "local", "unicast", "broadcast", "multicast", "blackhole",
    "unreachable", "prohibit", "throw", "nat", "unspec", "anycast", "xresolve", "random", "nth", "src", "dst", "srcip", "dstip",
    "srcport", "dstport", "original", "reply", "tcp", "udp", "sctp", "icmp", "icmpv6", "ipv6-icmp", "esp", "ah", "gre",
    "ipip", "ipencap", "igmp", "vrrp", "dccp", "udplite", "any", "sec", "second", "min", "minute", "hour", "day", "s", "m", "h",
    "d", "icmp-port-unreachable", "icmp-host-prohibited", "icmp-net-unreachable", "icmp-host-unreachable",
    "icmp-proto-unreachable", "icmp-net-prohibited", "icmp-admin-prohibited", "icmp6-port-unreachable", "tcp-reset",
    "icmp6-no-route", "icmp6-adm-prohibited", "icmp6-addr-unreachable", "bm", "kmp", "in", "out", "ipsec", "transport",
    "tunnel", "bridge", "true", "false", "root", "mon", "tue", "wed", "thu", "fri", "sat", "sun", "continue",
    "accept", "drop", "return", "queue", "debug", "info", "notice", "warning", "err", "crit", "alert", "emerg",
    "dont-track", "destroy", "assured", "tftp", "ftp", "sip", "h323", "kb", "mb", "gb", "b", "bytes",
    "ip", "ipv4", "ipv6", "arp", "packet", "expected", "unset", "set", "ect", "ce", "invert",
];

/// Names of interfaces that everybody has.
const INTERFACES: &[&str] = &[
    "lo", "kube-ipvs0", "kube-bridge", "cni0", "docker0", "docker_gwbridge", "flannel.1", "flannel-v6.1", "tunl0", "nodelocaldns", "vxlan.calico",
    "vxlan-v6.calico", "wireguard.cali", "wg-v6.cali", "cilium_host", "cilium_net", "cilium_vxlan", "cilium_wg0", "lxdbr0",
    "virbr0", "cbr0", "weave", "dummy0", "antrea-gw0", "ovn-k8s-mp0", "genev_sys_6081", "kindnet",
];

/// How names of interfaces begin that many have; what follows tells one from another.
const PREFIXES: &[&str] = &[
    "azv", "bond", "br-", "br", "cali", "cilium_", "dummy", "eni", "ens", "enp", "eno", "enx", "eth", "gre", "ib", "ipvlan",
    "lxc", "macvlan", "tap", "team", "tun", "veth", "virbr", "vlan", "vnet", "vxlan", "weave", "wg", "wlan", "wlp", "nat", "tunl", "usb", "vmbr",
    "podman", "cni-podman", "cni", "docker", "gke", "pan",
];

/// Whether a part of a name stays.
pub fn is_part(part: &str) -> bool {
    PARTS.contains(&part) || (part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a word of a comment stays.
pub fn is_of_comments(word: &str) -> bool {
    OF_COMMENTS.contains(&word)
}

/// Whether a value stays.
pub fn is_value(word: &str) -> bool {
    VALUES.iter().any(|value| value.eq_ignore_ascii_case(word))
}

/// Whether the name of an interface stays.
pub fn is_interface(name: &str) -> bool {
    INTERFACES.contains(&name)
}

/// The beginning that stays of the name of an interface.
pub fn interface_prefix(name: &str) -> &'static str {
    let fitting = PREFIXES.iter().filter(|prefix| name.starts_with(**prefix));
    fitting.max_by_key(|prefix| prefix.len()).copied().unwrap_or("")
}
