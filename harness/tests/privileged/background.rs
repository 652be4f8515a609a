//! Background rules in kernels: as many objects as the model says, where they stand on nodes, and Services answer all the
//! same.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::process::Command;

use dataplane::background::{Background, Calico, Docker};
use dataplane::{Mode, Node, Program, Sync};
use lab::testbed::{ServiceTarget, Testbed};
use netns_setup::Need;
use services::addresses;
use services::service::Protocol;
use services::service_set::ServiceSet;
use trials::Test;
use workloads::recorder::Times;

use crate::state::pretty;
use crate::testbeds::{empty, held, output, scale};
use crate::{PROXY, test};

const ALL: Background = Background {
    calico: Some(Calico { endpoints: 12, policies: 2, rules: 3 }),
    docker: Some(Docker { containers: 4, networks: 2 }),
    flannel: true,
    host_ports: 3,
};

/// Those of this module.
pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    let mut add = |what: &str, mode: Mode, body: fn(Mode)| {
        // Background rules of nftables mode are iptables-nft's.
        let mut test = test(&format!("{what}::{mode}"), &[mode, Mode::BackgroundNft], move || body(mode));
        test.needs.push(Need::IpSet);
        tests.push(test);
    };
    for &mode in PROXY {
        add("background_rules_stand_where_they_stand_on_nodes", mode, beside);
        add("background_rules_of_a_filled_lab_are_those_of_a_synced_one", mode, loaded);
    }
    // In a guest, and slow.
    add("background_rules_stand_where_they_stand_on_nodes", Mode::Ipvs, beside);
    for mode in [Mode::BackgroundLegacy, Mode::BackgroundNft] {
        add("a_control_has_nothing_but_background_rules", mode, control);
    }
    tests
}

/// A lab with background rules in which kube-proxy has just synced these Services.
fn inhabited(mode: Mode, background: Background, set: &ServiceSet) -> Testbed {
    let mut testbed = empty(mode, Node::lab(dataplane::KubeProxy::V1_30));
    testbed.move_in(Some(background)).unwrap();
    let plan = testbed.dataplane.plan(&testbed.set, set, Sync::Full);
    testbed.carry_out(&plan, set, None).unwrap();
    testbed.verify_counts().unwrap();
    testbed
}

fn save(testbed: &Testbed) -> String {
    let mut save = Command::new(testbed.runner.tools().path(Program::IptablesSave).unwrap());
    output(&testbed.lab.node, &mut save)
}

/// What stands in the built-in chains of iptables; tables sorted, as the variants list them in different orders.
fn hooks(save: &str) -> String {
    let mut tables = BTreeMap::new();
    let mut table = "";
    for line in save.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
            .iter()
            .any(|chain| line.starts_with(&format!("-A {chain} ")))
        {
            let text: &mut String = tables.entry(table).or_default();
            *text += &format!("{line}\n");
        }
    }
    tables.into_iter().map(|(table, rules)| format!("*{table}\n{rules}")).collect()
}

/// As on a node whose Felix, kube-proxy, Docker, flannel and port-map plugin have all done their work. Both variants
/// of iptables print the same.
const fn expected(mode: Mode) -> &'static str {
    match mode {
        Mode::Nftables => include_str!("background/nftables.txt"),
        Mode::Ipvs => include_str!("background/ipvs.txt"),
        _ => include_str!("background/iptables.txt"),
    }
}

fn beside(mode: Mode) {
    let set = ServiceSet::synthetic(scale(8, 2), 1);
    let mut testbed = inhabited(mode, ALL, &set);
    testbed.verify_traffic().unwrap();
    let jumps = hooks(&save(&testbed));
    pretty(&jumps, expected(mode), &format!("{mode}"));

    // A kube-proxy that starts again finds its jumps, and so nothing moves.
    let plan = testbed.dataplane.plan(&testbed.set, &set, Sync::Full);
    testbed.carry_out(&plan, &set, None).unwrap();
    pretty(&hooks(&save(&testbed)), &jumps, "jumps after a restart");
    // Their rules are not touched by changes.
    for to in [set.without(set.len() - 1), set.clone()] {
        let plan = testbed.dataplane.plan(&testbed.set, &to, Sync::Partial);
        testbed.carry_out(&plan, &to, None).unwrap();
        testbed.verify_counts().unwrap();
    }
    testbed.verify_traffic().unwrap();
    reach_host_ports(&mut testbed);
}

/// Loaded in pieces, as labs for lookups are, they stand where they stand after a sync.
fn loaded(mode: Mode) {
    let set = ServiceSet::synthetic(scale(70, 2), 1);
    let synced = held(&inhabited(mode, ALL, &set));
    let mut testbed = empty(mode, Node::lab(dataplane::KubeProxy::V1_30));
    testbed.move_in(Some(ALL)).unwrap();
    testbed.load(&set, None).unwrap();
    testbed.verify_counts().unwrap();
    pretty(&held(&testbed), &synced, "loaded, then synced");
}

/// The control that has nothing but them.
fn control(mode: Mode) {
    let set = ServiceSet::synthetic(scale(4, 2), 1);
    let mut testbed = inhabited(mode, ALL, &set);
    testbed.verify_traffic().unwrap();
    reach_host_ports(&mut testbed);
}

/// Packets to the node's ports go to the pods that have them, and only those.
fn reach_host_ports(testbed: &mut Testbed) {
    let mut send = |entry: SocketAddrV4, protocol, pod: SocketAddrV4| {
        let target = ServiceTarget { entry, protocol, answers: vec![pod], any_source: false };
        let target = [target.for_probe().unwrap()];
        let sent = testbed.probe().first_packets(&target, &[0; 10], &mut Times::new(), None).unwrap();
        testbed.forget_flows().unwrap();
        (sent.sent, sent.lost, sent.all_verified().is_ok())
    };
    for number in 0..ALL.host_ports {
        let (host_port, protocol, pod) = Background::host_port(number);
        let std::net::SocketAddr::V4(pod) = pod else { panic!("{pod}") };
        let node = SocketAddrV4::new(addresses::NODE, host_port);
        assert_eq!(send(node, protocol, pod), (10, 0, true), "host port {number}: {node}");
        // The same port at a pod's address is the pod's own affair.
        let elsewhere = SocketAddrV4::new(*pod.ip(), host_port);
        assert_eq!(send(elsewhere, protocol, elsewhere), (10, 0, true), "host port {number}: {elsewhere}");
        let other = if protocol == Protocol::Tcp { Protocol::Udp } else { Protocol::Tcp };
        assert_eq!(send(node, other, pod).1, 10, "host port {number}, {other:?}");
    }
}
