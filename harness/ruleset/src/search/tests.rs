use super::*;
use crate::{inspect_text, iptables, nft};

fn shown(services: &FoundServices) -> String {
    let mut text = String::new();
    for found in &services.found {
        text.push_str(&format!(
            "{:?} {} {}/{} at {}, line {}{}\n",
            found.frontend,
            found.name,
            found.entry,
            found.protocol.name(),
            found.position,
            found.line,
            if found.is_certain { "" } else { ", not for sure" }
        ));
        for answer in &found.answers {
            text.push_str(&format!("    {answer}\n"));
        }
    }
    text.push_str(&format!(
        "{} in the list, {} node ports, CIDRs {:?}\n",
        services.listed, services.node_ports, services.cluster_cidrs
    ));
    text
}

#[test]
fn golden_dumps_have_the_golden_services() {
    let golden = [
        ("iptables 1.30", include_str!("../../../dataplane/tests/golden/iptables-save.txt")),
        ("iptables 1.20", include_str!("../../../dataplane/tests/golden/1.20/iptables-save.txt")),
        ("ip6tables 1.30", include_str!("../../../dataplane/tests/golden/ip6tables-save.txt")),
        ("nftables 1.30", include_str!("../../../dataplane/tests/golden/nft-list-ruleset.txt")),
        ("ipvs 1.30", include_str!("../../../dataplane/tests/golden/ipvs/iptables-save.txt")),
    ];
    let all: Vec<String> = golden
        .iter()
        .map(|(name, text)| format!("# {name}\n{}", shown(&inspect_text(text).unwrap().services)))
        .collect();
    insta::assert_snapshot!(all.join("\n"));
}

/// Every kind of address, in the form since 1.25: facts sheet, section 2.4.
const FEATURES: &str = r#"*filter
:KUBE-SERVICES - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
-A KUBE-SERVICES -d 10.96.0.9/32 -p tcp -m comment --comment "a/none:http has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
-A KUBE-EXTERNAL-SERVICES -d 192.0.2.9/32 -p tcp -m comment --comment "a/none:http has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
-A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment "a/none:http has no endpoints" -m addrtype --dst-type LOCAL -m tcp --dport 30001 -j REJECT --reject-with icmp-port-unreachable
COMMIT
*nat
:KUBE-EXT-A - [0:0]
:KUBE-EXT-L - [0:0]
:KUBE-FW-A - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-SEP-1 - [0:0]
:KUBE-SEP-2 - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-SVC-L - [0:0]
:KUBE-SVL-L - [0:0]
-A KUBE-EXT-A -m comment --comment "masquerade traffic for a/a:http external destinations" -j KUBE-MARK-MASQ
-A KUBE-EXT-A -j KUBE-SVC-A
-A KUBE-EXT-L -s 10.244.0.0/16 -m comment --comment "pod traffic for a/l external destinations" -j KUBE-SVC-L
-A KUBE-EXT-L -m comment --comment "masquerade LOCAL traffic for a/l external destinations" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
-A KUBE-EXT-L -m comment --comment "route LOCAL traffic for a/l external destinations" -m addrtype --src-type LOCAL -j KUBE-SVC-L
-A KUBE-EXT-L -j KUBE-SVL-L
-A KUBE-FW-A -s 198.51.100.0/24 -m comment --comment "a/a:http loadbalancer IP" -j KUBE-EXT-A
-A KUBE-FW-A -m comment --comment "other traffic to a/a:http will be dropped by KUBE-PROXY-FIREWALL"
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODEPORTS -p tcp -m comment --comment "a/a:http" -m tcp --dport 30000 -j KUBE-EXT-A
-A KUBE-SEP-1 -s 10.244.0.1/32 -m comment --comment "a/a:http" -j KUBE-MARK-MASQ
-A KUBE-SEP-1 -p tcp -m comment --comment "a/a:http" -m recent --set --name KUBE-SEP-1 --mask 255.255.255.255 --rsource -m tcp -j DNAT --to-destination 10.244.0.1:8080
-A KUBE-SEP-2 -s 10.244.1.2/32 -m comment --comment "a/a:http" -j KUBE-MARK-MASQ
-A KUBE-SEP-2 -p tcp -m comment --comment "a/a:http" -m tcp -j DNAT --to-destination 10.244.1.2:8080
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment "a/a:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-A
-A KUBE-SERVICES -d 192.0.2.1/32 -p tcp -m comment --comment "a/a:http external IP" -m tcp --dport 80 -j KUBE-EXT-A
-A KUBE-SERVICES -d 192.0.2.2/32 -p tcp -m comment --comment "a/a:http loadbalancer IP" -m tcp --dport 80 -j KUBE-FW-A
-A KUBE-SERVICES -d 10.96.0.2/32 -p tcp -m comment --comment "a/l cluster IP" -m tcp --dport 81 -j KUBE-SVL-L
-A KUBE-SERVICES -d 192.0.2.3/32 -p tcp -m comment --comment "a/l loadbalancer IP" -m tcp --dport 81 -j KUBE-EXT-L
-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-A ! -s 10.244.0.0/16 -d 10.96.0.1/32 -p tcp -m comment --comment "a/a:http cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-A -m comment --comment "a/a:http -> 10.244.0.1:8080" -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-1 --mask 255.255.255.255 --rsource -j KUBE-SEP-1
-A KUBE-SVC-A -m comment --comment "a/a:http -> 10.244.0.1:8080" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-1
-A KUBE-SVC-A -m comment --comment "a/a:http -> 10.244.1.2:8080" -j KUBE-SEP-2
-A KUBE-SVC-L -j KUBE-SEP-2
-A KUBE-SVL-L -j KUBE-SEP-1
COMMIT
"#;

#[test]
fn every_kind_of_address_is_found_with_those_who_answer() {
    insta::assert_snapshot!(shown(&inspect_text(FEATURES).unwrap().services));
}

#[test]
fn a_packet_takes_one_way_where_rules_leave_no_doubt() {
    // The first rule holds for any packet: the second never sees one.
    let text = "*nat\n:KUBE-SERVICES - [0:0]\n:A - [0:0]\n-A A -j DNAT --to-destination 10.0.0.1:8\n-A A -j DNAT \
                --to-destination 10.0.0.2:8\n-A KUBE-SERVICES -d 10.96.0.1/32 -p udp -m udp --dport 53 -j A\nCOMMIT\n";
    let services = find_iptables(&iptables::parse(text).unwrap(), LIMIT);
    assert_eq!(services.found[0].answers, ["10.0.0.1:8".parse().unwrap()]);
    assert!(services.found[0].is_certain);
    let doubt = text.replace(
        "-A A -j DNAT --to-destination 10.0.0.1",
        "-A A -m quota --quota 1 -j DNAT --to-destination 10.0.0.1",
    );
    let services = find_iptables(&iptables::parse(&doubt).unwrap(), LIMIT);
    assert_eq!(services.found[0].answers.len(), 2);
    assert!(services.found[0].is_certain);
    // The last one never holds.
    let lost = doubt.replace("-A A -j DNAT", "-A A -p tcp -j DNAT");
    let services = find_iptables(&iptables::parse(&lost).unwrap(), LIMIT);
    assert!(!services.found[0].is_certain);
}

#[test]
fn chains_made_to_be_slow_are_given_up() {
    let mut text = "*nat\n:KUBE-SERVICES - [0:0]\n".to_owned();
    (0..16).for_each(|i| text.push_str(&format!(":C{i} - [0:0]\n")));
    text.push_str("-A KUBE-SERVICES -d 10.96.0.1/32 -p udp -m udp --dport 53 -j C0\n");
    for i in 0..15 {
        (0..20).for_each(|_| text.push_str(&format!("-A C{i} -m quota --quota 1 -j C{}\n", i + 1)));
    }
    text.push_str("COMMIT\n");
    assert!(find_iptables(&iptables::parse(&text).unwrap(), 10_000).is_incomplete);
}

#[test]
fn affinity_of_nftables_is_followed() {
    let text = include_str!("../../../dataplane/tests/golden/nft-list-ruleset.txt").replace(
        "\t\tnumgen random mod 2",
        "\t\tip saddr @affinity-JXY4WP3I goto endpoint-JXY4WP3I-demo/web/tcp/http__10.244.0.11/8080\n\t\tnumgen random mod 2",
    );
    let text = text.replace(
        "\tset nodeport-ips {\n\t\ttype ipv4_addr\n",
        "\tset affinity-JXY4WP3I {\n\t\ttype ipv4_addr\n\t\tflags dynamic,timeout\n\t\ttimeout 3h\n\t\telements = { 10.244.0.5 timeout 3h expires \
         2h59m57s }\n\t}\n\n\tset nodeport-ips {\n\t\ttype ipv4_addr\n",
    );
    let listing = nft::parse(&text).unwrap();
    let services = find_nft(&listing, LIMIT);
    assert!(services.found.iter().all(|found| found.is_certain));
    assert_eq!(services.found.iter().map(|found| found.answers.len()).sum::<usize>(), 3);
}
