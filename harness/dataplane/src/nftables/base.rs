//! The part of the table that is there without any Service.

use super::words::Words;
use crate::node::Node;
use crate::text::put;

/// The base table of one version.
pub(crate) struct Base {
    /// Rules, without the one that there is only where a cluster CIDR is known.
    pub(crate) rules: u64,
    /// Chains: eight on hooks, and those that they jump to.
    pub(crate) chains: u64,
    hooks: &'static [Hook; 8],
    jumps: &'static [Jump; 11],
    /// What masquerades.
    masquerading: &'static str,
    /// What is done about node ports on the loopback.
    loopback: &'static str,
    /// Whether one rule marks what comes to any cluster IP from outside the cluster. Otherwise each Service has one.
    pub(crate) marks_strangers: bool,
    /// Flushes of sets and maps.
    flushes: &'static str,
}

/// Of 1.30.
pub(crate) static V1_30: Base = Base {
    rules: 22,
    chains: 16,
    hooks: &HOOKS_1_30,
    jumps: &JUMPS_1_30,
    masquerading: MASQUERADING_1_30,
    loopback: "",
    marks_strangers: false,
    flushes: FLUSHES_1_30,
};

/// Since 1.34.
pub(crate) static V1_34: Base = Base { hooks: &HOOKS, jumps: &JUMPS, flushes: "", ..V1_30 };

/// Since 1.36: the mark is set where it is needed.
pub(crate) static V1_36: Base =
    Base { rules: 20, chains: 15, masquerading: MASQUERADING, marks_strangers: true, ..V1_34 };

/// Since 1.37.
pub(crate) static V1_37: Base = Base { loopback: LOOPBACK_1_37, ..V1_36 };

type Hook = (&'static str, &'static str);
type Jump = (&'static str, &'static str, &'static str);

/// Chains on hooks: name, "type hook priority".
const HOOKS_1_30: [Hook; 8] = [
    ("filter-prerouting", "filter hook prerouting priority -110"),
    ("filter-input", "filter hook input priority -110"),
    ("filter-forward", "filter hook forward priority -110"),
    ("filter-output", "filter hook output priority -110"),
    ("filter-output-post-dnat", "filter hook output priority -90"),
    ("nat-prerouting", "nat hook prerouting priority -100"),
    ("nat-output", "nat hook output priority -100"),
    ("nat-postrouting", "nat hook postrouting priority 100"),
];

const HOOKS: [Hook; 8] = [
    ("filter-prerouting-pre-dnat", "filter hook prerouting priority -110"),
    ("filter-output-pre-dnat", "filter hook output priority -110"),
    ("filter-input", "filter hook input priority 0"),
    ("filter-forward", "filter hook forward priority 0"),
    ("filter-output", "filter hook output priority 0"),
    ("nat-prerouting", "nat hook prerouting priority -100"),
    ("nat-output", "nat hook output priority -100"),
    ("nat-postrouting", "nat hook postrouting priority 100"),
];

/// Jumps in order of creation: from, condition, to.
const JUMPS_1_30: [Jump; 11] = [
    ("filter-input", "ct state new ", "nodeport-endpoints-check"),
    ("filter-input", "ct state new ", "service-endpoints-check"),
    ("filter-forward", "ct state new ", "service-endpoints-check"),
    ("filter-output", "ct state new ", "service-endpoints-check"),
    ("filter-prerouting", "ct state new ", "firewall-check"),
    ("filter-output", "ct state new ", "firewall-check"),
    ("nat-output", "", "services"),
    ("nat-prerouting", "", "services"),
    ("nat-postrouting", "", "masquerading"),
    ("filter-forward", "ct state new ", "cluster-ips-check"),
    ("filter-output-post-dnat", "ct state new ", "cluster-ips-check"),
];

const JUMPS: [Jump; 11] = [
    ("filter-input", "ct state new ", "nodeport-endpoints-check"),
    ("filter-input", "ct state new ", "service-endpoints-check"),
    ("filter-forward", "ct state new ", "service-endpoints-check"),
    ("filter-output", "ct state new ", "service-endpoints-check"),
    ("filter-prerouting-pre-dnat", "ct state new ", "firewall-check"),
    ("filter-output-pre-dnat", "ct state new ", "firewall-check"),
    ("nat-output", "", "services"),
    ("nat-prerouting", "", "services"),
    ("nat-postrouting", "", "masquerading"),
    ("filter-forward", "ct state new ", "cluster-ips-check"),
    ("filter-output", "ct state new ", "cluster-ips-check"),
];

// Between the chains' creation and the first Service, with places for the table (`@TABLE@`), the family of matches
// (`@IP@`), the type of addresses (`@ADDRESS@`), the node's address (`@NODE@`) and the pods' CIDR (`@PODS@`).

const MASQUERADING_1_30: &str = r#"add chain @TABLE@ mark-for-masquerade
flush chain @TABLE@ mark-for-masquerade
add rule @TABLE@ mark-for-masquerade mark set mark or 0x00004000
add rule @TABLE@ masquerading mark and 0x00004000 == 0 return
add rule @TABLE@ masquerading mark set mark xor 0x00004000
add rule @TABLE@ masquerading masquerade fully-random
"#;

const MASQUERADING: &str = r#"add set @TABLE@ hairpin-connections { type @ADDRESS@ . @ADDRESS@ . inet_proto . inet_service ; comment "service hairpin connections" ; }
add rule @TABLE@ masquerading mark and 0x00004000 != 0 mark set mark xor 0x00004000 masquerade fully-random
add rule @TABLE@ masquerading ct status dnat @IP@ saddr . @IP@ daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random
"#;

const CHECKS: &str = r#"add set @TABLE@ cluster-ips { type @ADDRESS@ ; comment "Active ClusterIPs" ; }
add rule @TABLE@ cluster-ips-check @IP@ daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"
add set @TABLE@ nodeport-ips { type @ADDRESS@ ; comment "IPs that accept NodePort traffic" ; }
flush set @TABLE@ nodeport-ips
add element @TABLE@ nodeport-ips { @NODE@ }
add map @TABLE@ no-endpoint-services { type @ADDRESS@ . inet_proto . inet_service : verdict ; comment "vmap to drop or reject packets to services with no endpoints" ; }
add map @TABLE@ no-endpoint-nodeports { type inet_proto . inet_service : verdict ; comment "vmap to drop or reject packets to service nodeports with no endpoints" ; }
add chain @TABLE@ reject-chain { comment "helper for @no-endpoint-services / @no-endpoint-nodeports" ; }
flush chain @TABLE@ reject-chain
add rule @TABLE@ reject-chain reject
add rule @TABLE@ service-endpoints-check @IP@ daddr . meta l4proto . th dport vmap @no-endpoint-services
add rule @TABLE@ nodeport-endpoints-check @IP@ daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
"#;

/// Node ports on the loopback are served or counted only with the gate KubeProxyNFTablesLocalhostNodePorts; without it
/// what an earlier process may have left is removed.
const LOOPBACK_1_37: &str = r#"add map @TABLE@ localhost-nodeport-reject-ports { type inet_proto . inet_service : verdict ; comment "localhost NodePorts rejected by kube-proxy" ; }
delete map @TABLE@ localhost-nodeport-reject-ports
add chain @TABLE@ localhost-nodeport-reject-tcp
delete chain @TABLE@ localhost-nodeport-reject-tcp
add counter @TABLE@ localhost-nodeport-rejected-tcp
delete counter @TABLE@ localhost-nodeport-rejected-tcp
add chain @TABLE@ localhost-nodeport-reject-udp
delete chain @TABLE@ localhost-nodeport-reject-udp
add counter @TABLE@ localhost-nodeport-rejected-udp
delete counter @TABLE@ localhost-nodeport-rejected-udp
add chain @TABLE@ localhost-nodeport-reject-sctp
delete chain @TABLE@ localhost-nodeport-reject-sctp
add counter @TABLE@ localhost-nodeport-rejected-sctp
delete counter @TABLE@ localhost-nodeport-rejected-sctp
"#;

const MAPS: &str = r#"add map @TABLE@ firewall-ips { type @ADDRESS@ . inet_proto . inet_service : verdict ; comment "destinations that are subject to LoadBalancerSourceRanges" ; }
add rule @TABLE@ firewall-check @IP@ daddr . meta l4proto . th dport vmap @firewall-ips
add map @TABLE@ service-ips { type @ADDRESS@ . inet_proto . inet_service : verdict ; comment "ClusterIP, ExternalIP and LoadBalancer IP traffic" ; }
add map @TABLE@ service-nodeports { type inet_proto . inet_service : verdict ; comment "NodePort traffic" ; }
"#;

const STRANGERS: &str = r#"add rule @TABLE@ services @IP@ daddr @cluster-ips @IP@ saddr != @PODS@ mark set mark or 0x00004000 comment "masquerade clusterIP traffic from outside cluster"
"#;

const SERVICES: &str = r#"add rule @TABLE@ services @IP@ daddr . meta l4proto . th dport vmap @service-ips
add rule @TABLE@ services @IP@ daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
"#;

/// 1.30 empties every set and map and fills them anew.
const FLUSHES_1_30: &str = "flush set @TABLE@ cluster-ips\n\
                            flush map @TABLE@ firewall-ips\n\
                            flush map @TABLE@ no-endpoint-services\n\
                            flush map @TABLE@ no-endpoint-nodeports\n\
                            flush map @TABLE@ service-ips\n\
                            flush map @TABLE@ service-nodeports\n";

/// Writes the base table. `first`: the first sync of a kube-proxy process, which makes the chains on
/// hooks anew in case their priorities were others.
pub(crate) fn write(node: &Node, base: &Base, first: bool, out: &mut Vec<u8>) {
    let words = Words::of(node.family());
    let table = format!("{} kube-proxy", words.ip);
    put!(out, "add table ", table, " { comment \"rules for kube-proxy\" ; }\n");
    if first {
        for (name, _) in base.hooks {
            put!(out, words.add_chain, name, "\n", words.delete_chain, name, "\n");
        }
    }
    for (name, hook) in base.hooks {
        put!(out, words.add_chain, name, " { type ", hook, " ; }\n", words.flush_chain, name, "\n");
    }
    let mut made: Vec<&str> = Vec::new();
    for (from, condition, to) in base.jumps {
        if !made.contains(to) {
            made.push(to);
            put!(out, words.add_chain, to, "\n", words.flush_chain, to, "\n");
        }
        put!(out, words.add_rule, from, " ", condition, "jump ", to, "\n");
    }
    let pods = node.cluster_cidr.filter(|_| base.marks_strangers);
    let strangers = if pods.is_some() { STRANGERS } else { "" };
    let rest = [base.masquerading, CHECKS, base.loopback, MAPS, strangers, SERVICES, base.flushes].concat();
    let pods = pods.map(|pods| pods.to_string()).unwrap_or_default();
    let rest = rest.replace("@TABLE@", &table).replace("@IP@", words.ip).replace("@PODS@", &pods);
    put!(out, rest.replace("@ADDRESS@", words.address_type).replace("@NODE@", &node.address.to_string()));
}
