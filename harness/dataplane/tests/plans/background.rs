//! Background rules on paper: what they write at a small size, and that the model counts what they write.

use std::collections::BTreeSet;

use dataplane::background::{Background, Calico, Docker};
use dataplane::{Counts, Mode, Plan};
use proptest::prelude::*;

const ALONE: Background = Background { calico: None, docker: None, flannel: false, host_ports: 0 };

fn calico(endpoints: u32, policies: u32, rules: u32) -> Background {
    Background { calico: Some(Calico { endpoints, policies, rules }), ..ALONE }
}

fn docker(containers: u32, networks: u32) -> Background {
    Background { docker: Some(Docker { containers, networks }), ..ALONE }
}

fn text(plan: &Plan) -> String {
    let mut out = Vec::new();
    plan.write_to(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn installed(background: &Background, mode: Mode) -> String {
    text(&background.install(mode))
}

#[test]
fn calico_small() {
    insta::assert_snapshot!("calico", installed(&calico(3, 1, 2), Mode::IptablesLegacy));
    insta::assert_snapshot!("calico_settles", text(&calico(3, 1, 2).settle(Mode::IptablesLegacy)));
}

#[test]
fn calico_knows_of_ipvs() {
    let (plain, ipvs) = (calico(12, 0, 1), Mode::Ipvs);
    let without = installed(&plain, Mode::IptablesLegacy);
    let lines: BTreeSet<&str> = without.lines().collect();
    let with = installed(&plain, ipvs);
    let more: Vec<&str> = with.lines().filter(|line| !lines.contains(line)).collect();
    insta::assert_snapshot!("calico_ipvs", more.join("\n"));
}

#[test]
fn docker_small() {
    insta::assert_snapshot!("docker", installed(&docker(3, 1), Mode::IptablesNft));
}

/// moby's own listing of a published port on a user-defined network, of Engine 29 (usernet-portmap.md), with its
/// names of bridges and addresses.
#[test]
fn docker_is_what_moby_documents() {
    let documented = [
        "-A FORWARD -j DOCKER-USER",
        "-A FORWARD -j DOCKER-FORWARD",
        "-A DOCKER -d 192.0.2.2/32 ! -i bridge1 -o bridge1 -p tcp -m tcp --dport 80 -j ACCEPT",
        "-A DOCKER ! -i docker0 -o docker0 -j DROP",
        "-A DOCKER ! -i bridge1 -o bridge1 -j DROP",
        "-A DOCKER-BRIDGE -o docker0 -j DOCKER",
        "-A DOCKER-BRIDGE -o bridge1 -j DOCKER",
        "-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A DOCKER-CT -o bridge1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A DOCKER-FORWARD -j DOCKER-CT",
        "-A DOCKER-FORWARD -j DOCKER-INTERNAL",
        "-A DOCKER-FORWARD -j DOCKER-BRIDGE",
        "-A DOCKER-FORWARD -i docker0 -j ACCEPT",
        "-A DOCKER-FORWARD -i bridge1 -j ACCEPT",
    ];
    let ruleset = &docker(1, 1).rulesets(Mode::IptablesNft)[0];
    let filter = ruleset.tables.iter().find(|table| table.name == "filter").unwrap();
    let hooks = filter.hooks.iter().flat_map(|hook| hook.rules.iter().map(move |rule| (hook.chain, rule)));
    let chains =
        filter.chains.iter().flat_map(|(chain, rules)| rules.iter().map(move |rule| (chain.as_str(), rule)));
    let ours: Vec<String> = hooks
        .chain(chains)
        .map(|(chain, rule)| format!("-A {chain} {rule}"))
        .map(|line| line.replace("br-000001000000", "bridge1").replace("172.18.0.2", "192.0.2.2"))
        .collect();
    assert_eq!(ours, documented);
}

#[test]
fn flannel_and_host_ports() {
    let flannel = Background { flannel: true, ..ALONE };
    insta::assert_snapshot!("flannel", installed(&flannel, Mode::IptablesNft));
    let host_ports = Background { host_ports: 1, ..ALONE };
    insta::assert_snapshot!("host_ports_nftables", installed(&host_ports, Mode::Nftables));
}

/// `iptables -S` and `-L` of a node with Calico 3.28.0 by its operator and kube-proxy 1.30.1: hashes in the order of
/// its chains. The hash of a rule depends on all of the rules before it in its chain, and on its own words.
#[test]
fn calico_has_the_hashes_of_a_real_node() {
    let real = [
        ("filter", "INPUT", "Cz_u1IQiXIMmKD4c"),
        ("filter", "FORWARD", "wUHhoiAYhphO9Mso S93hcgKJrXEqnTfs mp77cMpurHhyjLrM"),
        ("filter", "OUTPUT", "tVnHkvAo15HuiPy0"),
        (
            "filter",
            "cali-FORWARD",
            "vjrMJCRpqwy5oRoX A_sPAO0mcxbT9mOV 8ZoYfO5HKXWbB3pk jdEuaPBe14V2hutn 12bc6HljsMKsmfr- NOSxoaGx8OIstr1z",
        ),
        (
            "filter",
            "cali-INPUT",
            "J76FwxInZIsk7uKY EDCNTTxYfggApx8C H03xYXARh4e8pwd4 MN6K3isIWBigb1Va OSYphBLwOgic22Hz \
             rmi2_piRVmfeiwVp F7Q8zu44qIbOVben",
        ),
        (
            "filter",
            "cali-OUTPUT",
            "Mq1_rAdXXH3YkrzW 69FkRTJDvD5Vu6Vl -QZG79DohFjalQBb iC1pSPgbvgQzkUk_ 4Zh7KtRvt4W5AEBR \
             Y0k-bqjt-5CUqyUq",
        ),
        ("filter", "cali-wl-to-host", "Ee9Sbo10IpVujdIY nSZbcOoG1xPONxb8"),
        ("filter", "cali-from-wl-dispatch", "zTj6P0TIgYvgz-md"),
        ("filter", "cali-to-wl-dispatch", "7KNphB1nNHw80nIO"),
        ("nat", "PREROUTING", "6gwbT8clXdHdC1b1"),
        ("nat", "POSTROUTING", "O3lYWMrLQYEMJtB5"),
        ("nat", "cali-PREROUTING", "r6XmIziWUJsdOK6Z"),
        ("nat", "cali-OUTPUT", "GBTAv2p5CwevEyJm"),
        ("nat", "cali-POSTROUTING", "Z-c7XtVd2Bq7s_hA nYKhEzDlr11Jccal e9dnSgSVNmIcpVhP"),
        ("nat", "cali-nat-outgoing", "flqWnvo8yq4ULQLa"),
        // Of another node, with the same version line.
        ("mangle", "cali-PREROUTING", "6BJqBjBC7crtA-7- KX7AGNd6rMcDUai6"),
    ];
    // Without pods, so that the dispatch chains have their last rule only.
    let ruleset = &calico(0, 0, 1).rulesets(Mode::IptablesLegacy)[0];
    for (table, chain, hashes) in real {
        let found = ruleset.tables.iter().find(|found| found.name == table).unwrap();
        let hooks = found.hooks.iter().filter(|hook| hook.chain == chain).flat_map(|hook| &hook.rules);
        let chains = found.chains.iter().filter(|(name, _)| name == chain).flat_map(|(_, rules)| rules);
        let ours: Vec<&str> =
            hooks.chain(chains).map(|rule| rule.split(['"', ':']).nth(2).unwrap()).collect();
        let real: Vec<&str> = hashes.split_whitespace().collect();
        assert_eq!(ours[..real.len().min(ours.len())], real, "{table} {chain}");
    }
}

/// What text says, counted without the planner's help.
fn counted(text: &str) -> Counts {
    let mut counts = Counts::default();
    for line in text.lines() {
        counts.rules += u64::from(line.starts_with("-A ") || line.starts_with("-I "));
        counts.chains += u64::from(line.starts_with(':'));
        counts.elements += u64::from(line.starts_with("add "));
    }
    counts
}

fn sizes() -> impl Strategy<Value = Background> {
    let calico = (0u32..60, 0u32..5, 1u32..5).prop_map(|(endpoints, policies, rules)| Calico {
        endpoints,
        policies,
        rules,
    });
    let docker = (0u32..40, 0u32..4).prop_map(|(containers, networks)| Docker { containers, networks });
    (prop::option::of(calico), prop::option::of(docker), any::<bool>())
        .prop_map(|(calico, docker, flannel)| Background { calico, docker, flannel, host_ports: 0 })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_model_counts_what_is_written(background in sizes()) {
        for mode in [Mode::IptablesLegacy, Mode::Ipvs, Mode::Nftables] {
            let written = installed(&background, mode);
            // Built-in chains of tables that kube-proxy does not use are the kernel's.
            let tables: BTreeSet<&str> = written.lines().filter(|line| line.starts_with('*')).collect();
            let more: u64 = tables.into_iter().map(|table| match (table, mode) {
                ("*raw", _) => 2,
                ("*mangle", Mode::Ipvs | Mode::Nftables) => 5,
                ("*filter", Mode::Nftables) => 3,
                ("*nat", Mode::Nftables) => 4,
                _ => 0,
            }).sum();
            let counted = counted(&written);
            let model = background.counts(mode);
            prop_assert_eq!(model, Counts { chains: counted.chains + more, ..counted }, "{}", mode);
            prop_assert_eq!(background.install(mode).expect, model);
        }
    }

    /// Tools refuse what goes to a chain or set that nobody has made, and names that are too long.
    #[test]
    fn everything_that_is_named_is_made(background in sizes()) {
        for mode in [Mode::IptablesNft, Mode::IpvsBatched] {
            for ruleset in background.rulesets(mode) {
                let sets: BTreeSet<&str> = ruleset.sets.iter().map(|set| set.name.as_str()).collect();
                prop_assert_eq!(sets.len(), ruleset.sets.len());
                prop_assert!(sets.iter().all(|name| name.len() <= 31));
                for table in &ruleset.tables {
                    let chains: BTreeSet<&str> = table.chains.iter().map(|(name, _)| name.as_str()).collect();
                    prop_assert_eq!(chains.len(), table.chains.len(), "a chain is made twice");
                    prop_assert!(chains.iter().all(|name| name.len() <= 28));
                    let rules = table.chains.iter().flat_map(|(_, rules)| rules);
                    for rule in rules.chain(table.hooks.iter().flat_map(|hook| &hook.rules)) {
                        let words: Vec<&str> = rule.split(' ').collect();
                        for pair in words.windows(2) {
                            match pair[0] {
                                "--jump" | "--goto" | "-j" => prop_assert!(
                                    chains.contains(pair[1]) || pair[1].chars().all(char::is_uppercase),
                                    "no chain {} for {}", pair[1], rule
                                ),
                                "--match-set" => prop_assert!(sets.contains(pair[1]), "no set {}", pair[1]),
                                _ => {}
                            }
                        }
                    }
                }
            }
        }
    }
}
