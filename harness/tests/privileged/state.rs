//! What the kernel holds is what the real kube-proxy put into one, and the same however it came there.

use std::io::Write;
use std::process::Command;

use dataplane::{KubeProxy, Mode, Node, Program, Sync};
use lab::testbed::Testbed;
use ruleset::compare;
use services::cluster;
use services::features;
use services::service::Family;
use services::service_set::ServiceSet;

use crate::testbeds::{cold, empty, held, ordered_iptables, ordered_nft, output, scale, sync};

/// After a first full sync of the golden cluster and, over it, after that of a restarted kube-proxy.
pub(crate) fn golden(mode: Mode) -> [String; 2] {
    golden_of(mode, KubeProxy::V1_30)
}

fn golden_of(mode: Mode, version: KubeProxy) -> [String; 2] {
    // In a guest there are no files of this repository.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(include_bytes!("../../dataplane/tests/golden/example.json")).unwrap();
    let set = cluster::read(file.path(), "node1").unwrap();
    let node = Node {
        address: "10.10.0.1".parse().unwrap(),
        cluster_cidr: Some("10.244.0.0/16".parse().unwrap()),
        ..Node::lab(version)
    };
    let mut testbed: Testbed = empty(mode, node);
    [(); 2].map(|()| {
        sync(&mut testbed, &set, Sync::Full);
        held(&testbed)
    })
}

pub(crate) fn golden_iptables() {
    iptables_is(include_str!("../../dataplane/tests/golden/iptables-save.txt"), KubeProxy::V1_30);
}

pub(crate) fn golden_iptables_1_20() {
    iptables_is(include_str!("../../dataplane/tests/golden/1.20/iptables-save.txt"), KubeProxy::V1_20);
}

fn iptables_is(save: &str, version: KubeProxy) {
    let real = ordered_iptables(save);
    for mode in [Mode::IptablesLegacy, Mode::IptablesNft] {
        let [first, restarted] = golden_of(mode, version);
        pretty(&first, &real, &format!("{mode}, first sync"));
        pretty(&restarted, &real, &format!("{mode}, restart"));
    }
}

pub(crate) fn golden_nftables() {
    let real = ordered_nft(include_str!("../../dataplane/tests/golden/nft-list-ruleset.txt"));
    let [first, restarted] = golden(Mode::Nftables);
    pretty(&first, &real, "first sync");
    pretty(&restarted, &real, "restart");
}

/// Every feature as the real 1.37.2 installed it, in the family that a lab's probe has; `fidelity` compares both with a real one.
pub(crate) fn golden_features() {
    let real = include_str!("../../dataplane/tests/golden/1.37/nft-list-ruleset.txt");
    let family = Family::Ipv4;
    let cold = &features::steps().unwrap()[0];
    let node = Node {
        address: features::node(family),
        cluster_cidr: Some(features::cluster_cidr(family)),
        ..Node::lab(KubeProxy::V1_37)
    };
    let mut testbed = empty(Mode::Nftables, node);
    sync(&mut testbed, &cold.sets[family as usize], Sync::Full);
    let of_table = |text: &str| {
        let mut normal = compare::normal_nft(text).unwrap();
        normal.retain(|place, _| place.split(',').next() == Some("ip kube-proxy"));
        assert!(normal.len() > 50, "{text}");
        normal
    };
    let mut list = Command::new(testbed.runner.tools().path(Program::Nft).unwrap());
    let held = output(&testbed.lab.node, list.args(["list", "ruleset"]));
    let found = compare::differences(&of_table(real), &of_table(&held));
    assert!(found.is_empty(), "{}", found.iter().map(|one| format!("{one}\n")).collect::<String>());
}

pub(crate) fn loaded(mode: Mode, version: KubeProxy) {
    // More than one piece: iptables-nft is loaded 50 at a time.
    let set = ServiceSet::synthetic(scale(70, 3), 1);
    let mut loaded = empty(mode, Node::lab(version));
    loaded.load(&set, None).unwrap();
    loaded.verify_counts().unwrap();
    pretty(&held(&loaded), &held(&cold(mode, version, &set)), "loaded, then synced");
}

/// Compares long texts and shows the first lines that differ.
#[track_caller]
pub(crate) fn pretty(found: &str, wanted: &str, what: &str) {
    let differ = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
    assert_eq!(differ, None, "{what}");
    assert_eq!(found.lines().count(), wanted.lines().count(), "{what}: lines");
    assert!(!found.is_empty(), "{what}");
}
