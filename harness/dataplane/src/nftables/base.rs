//! The part of the table that is there without any Service.

use super::words::Words;
use crate::kube_proxy::KubeProxy;
use crate::node::Node;
use crate::text::put;

/// Rules of the base table, in both forms.
pub(crate) const RULES: u64 = 22;
/// Chains of the base table, in both forms: eight on hooks, eight that they jump to.
pub(crate) const CHAINS: u64 = 16;

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

const HOOKS_CURRENT: [Hook; 8] = [
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

const JUMPS_CURRENT: [Jump; 11] = [
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

/// Everything between the chains' creation and the first Service, with places for the table (`@TABLE@`), the family of
/// matches (`@IP@`), the type of addresses (`@ADDRESS@`) and the node's address (`@NODE@`).
const SETS_AND_RULES: &str = r#"add chain @TABLE@ mark-for-masquerade
flush chain @TABLE@ mark-for-masquerade
add rule @TABLE@ mark-for-masquerade mark set mark or 0x00004000
add rule @TABLE@ masquerading mark and 0x00004000 == 0 return
add rule @TABLE@ masquerading mark set mark xor 0x00004000
add rule @TABLE@ masquerading masquerade fully-random
add set @TABLE@ cluster-ips { type @ADDRESS@ ; comment "Active ClusterIPs" ; }
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
add map @TABLE@ firewall-ips { type @ADDRESS@ . inet_proto . inet_service : verdict ; comment "destinations that are subject to LoadBalancerSourceRanges" ; }
add rule @TABLE@ firewall-check @IP@ daddr . meta l4proto . th dport vmap @firewall-ips
add map @TABLE@ service-ips { type @ADDRESS@ . inet_proto . inet_service : verdict ; comment "ClusterIP, ExternalIP and LoadBalancer IP traffic" ; }
add map @TABLE@ service-nodeports { type inet_proto . inet_service : verdict ; comment "NodePort traffic" ; }
add rule @TABLE@ services @IP@ daddr . meta l4proto . th dport vmap @service-ips
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
pub(crate) fn write(node: &Node, first: bool, out: &mut Vec<u8>) {
    let words = Words::of(node.family());
    let table = format!("{} kube-proxy", words.ip);
    let is_1_30 = node.kube_proxy == KubeProxy::V1_30;
    let (hooks, jumps) = match is_1_30 {
        true => (&HOOKS_1_30, &JUMPS_1_30),
        false => (&HOOKS_CURRENT, &JUMPS_CURRENT),
    };
    put!(out, "add table ", table, " { comment \"rules for kube-proxy\" ; }\n");
    if first {
        for (name, _) in hooks {
            put!(out, words.add_chain, name, "\n", words.delete_chain, name, "\n");
        }
    }
    for (name, hook) in hooks {
        put!(out, words.add_chain, name, " { type ", hook, " ; }\n", words.flush_chain, name, "\n");
    }
    let mut made: Vec<&str> = Vec::new();
    for (from, condition, to) in jumps {
        if !made.contains(to) {
            made.push(to);
            put!(out, words.add_chain, to, "\n", words.flush_chain, to, "\n");
        }
        put!(out, words.add_rule, from, " ", condition, "jump ", to, "\n");
    }
    let mut rest = SETS_AND_RULES.to_owned();
    if is_1_30 {
        rest.push_str(FLUSHES_1_30);
    }
    let rest = rest.replace("@TABLE@", &table).replace("@IP@", words.ip);
    put!(out, rest.replace("@ADDRESS@", words.address_type).replace("@NODE@", &node.address.to_string()));
}
