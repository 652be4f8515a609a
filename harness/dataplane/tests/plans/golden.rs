//! The plans for the Services of `tests/golden/example.json` are what the real kube-proxy 1.30.5 sent, and in the old form of
//! the iptables mode 1.20.2.

use std::path::Path;

use dataplane::{KubeProxy, Mode, Node, Phase, Plan, Step, Sync, planner};
use services::cluster;
use services::service_set::ServiceSet;

const RESTORE: &str = include_str!("../golden/iptables-restore.txt");
const ARGV: &str = include_str!("../golden/argv.log");
const RESTORE_V6: &str = include_str!("../golden/ip6tables-restore.txt");
const RESTORE_1_20: &str = include_str!("../golden/1.20/iptables-restore.txt");
const ARGV_1_20: &str = include_str!("../golden/1.20/argv.log");
const NFT: &str = include_str!("../golden/nft-transactions.txt");
const NFT_ARGV: &str = include_str!("../golden/nft-argv.log");

fn example() -> ServiceSet {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/example.json");
    cluster::read(&path, "node1").unwrap()
}

fn node() -> Node {
    Node {
        address: "10.10.0.1".parse().unwrap(),
        cluster_cidr: Some("10.244.0.0/16".parse().unwrap()),
        ..Node::lab(KubeProxy::V1_30)
    }
}

fn plan(mode: Mode) -> Plan {
    planner(mode, node()).plan(&ServiceSet::default(), &example(), Sync::Full)
}

fn plan_1_20(mode: Mode) -> Plan {
    let node = Node { kube_proxy: KubeProxy::V1_20, ..node() };
    planner(mode, node).plan(&ServiceSet::default(), &example(), Sync::Full)
}

/// Of the IPv6 proxier, which has no Services there.
fn plan_v6(mode: Mode) -> Plan {
    let node = Node { address: "fd00:10::1".parse().unwrap(), cluster_cidr: None, ..node() };
    planner(mode, node).plan(&ServiceSet::default(), &ServiceSet::default(), Sync::Full)
}

fn transaction(plan: &Plan) -> String {
    let step = plan.steps.iter().find(|step| step.phase == Phase::Restore).unwrap();
    String::from_utf8(step.input().unwrap().to_vec()).unwrap()
}

/// The log joins arguments with spaces and quotes nothing.
fn argv(plan: &Plan) -> Vec<String> {
    let line = |step: &Step| Some(format!("{} {}", step.program()?.name(), step.args().join(" ")));
    plan.steps.iter().filter_map(line).collect()
}

#[test]
fn iptables_restore_input_is_byte_for_byte_the_real_one() {
    for mode in [Mode::IptablesLegacy, Mode::IptablesNft] {
        assert_eq!(transaction(&plan(mode)), RESTORE);
        assert_eq!(transaction(&plan_v6(mode)), RESTORE_V6);
        assert_eq!(transaction(&plan_1_20(mode)), RESTORE_1_20);
    }
}

#[test]
fn iptables_mode_runs_the_same_programs_in_the_same_order() {
    // From the canaries on: before them kube-proxy asks for versions.
    let real = |log: &'static str, v6: bool| -> Vec<&str> {
        let of_family = log.lines().filter(|line| line.starts_with("ip6tables") == v6);
        of_family.skip_while(|line| !line.contains("KUBE-PROXY-CANARY")).collect()
    };
    assert_eq!(argv(&plan(Mode::IptablesLegacy)), real(ARGV, false));
    assert_eq!(argv(&plan_v6(Mode::IptablesLegacy)), real(ARGV, true));
    assert_eq!(argv(&plan_1_20(Mode::IptablesLegacy)), real(ARGV_1_20, false));
}

#[test]
fn nftables_transaction_is_line_for_line_the_real_one() {
    // The log holds every transaction; the third is the sync of the IPv4 table.
    let real = NFT.split("# ---- stdin of: nft -f -\n").nth(1).unwrap();
    assert_eq!(transaction(&plan(Mode::Nftables)), real);
}

/// The IPv6 table, without a Service.
#[test]
fn nftables_transaction_of_ipv6_is_line_for_line_the_real_one() {
    let real = NFT.split("# ---- stdin of: nft -f -\n").nth(2).unwrap();
    let node = Node { address: "fd00:10::1".parse().unwrap(), ..node() };
    let plan = planner(Mode::Nftables, node).plan(&ServiceSet::default(), &ServiceSet::default(), Sync::Full);
    // The real node had no IPv6 address at which to serve node ports.
    let ours = transaction(&plan).replace("add element ip6 kube-proxy nodeport-ips { fd00:10::1 }\n", "");
    assert_eq!(ours, real);
}

#[test]
fn nftables_mode_runs_the_same_programs_in_the_same_order() {
    // What it runs for IPv4, from the sync on: before it kube-proxy cleans up after other modes.
    let real: Vec<&str> = NFT_ARGV
        .lines()
        .skip_while(|line| *line != "nft --json list chains ip")
        .take_while(|line| !line.ends_with("ip6"))
        .collect();
    assert_eq!(argv(&plan(Mode::Nftables)), real);
}
