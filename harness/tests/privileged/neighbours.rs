//! Neighbours in kernels: as many objects as the model says, where they stand on nodes, and Services answer all the
//! same.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::process::Command;

use dataplane::background::{Calico, Docker, Neighbours};
use dataplane::{Mode, Node, Program, Sync};
use lab::testbed::{Aim, World};
use netns_setup::Need;
use services::addresses;
use services::service::Protocol;
use services::service_set::ServiceSet;
use trials::Test;
use workloads::recorder::Times;

use crate::state::pretty;
use crate::worlds::{empty, held, output, scale};
use crate::{PROXY, test};

const ALL: Neighbours = Neighbours {
    calico: Some(Calico { endpoints: 12, policies: 2, rules: 3 }),
    docker: Some(Docker { containers: 4, networks: 2 }),
    flannel: true,
    host_ports: 3,
};

/// Those of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    let mut add = |what: &str, mode: Mode, body: fn(Mode)| {
        // Neighbours of nftables are iptables-nft's.
        let mut test = test(&format!("{what}::{mode}"), &[mode, Mode::NeighboursNft], move || body(mode));
        test.needs.push(Need::IpSet);
        tests.push(test);
    };
    for &mode in PROXY {
        add("neighbours_stand_where_they_stand_on_nodes", mode, beside);
        add("neighbours_of_a_loaded_lab_are_those_of_a_synced_one", mode, loaded);
    }
    // In a guest, and slow.
    add("neighbours_stand_where_they_stand_on_nodes", Mode::Ipvs, beside);
    for mode in [Mode::NeighboursLegacy, Mode::NeighboursNft] {
        add("a_control_has_nothing_but_neighbours", mode, control);
    }
    tests
}

/// A lab with neighbours in which kube-proxy has just synced these Services.
fn inhabited(mode: Mode, neighbours: Neighbours, set: &ServiceSet) -> World {
    let mut world = empty(mode, Node::lab(dataplane::KubeProxy::V1_30));
    world.move_in(Some(neighbours)).unwrap();
    let plan = world.dataplane.plan(&world.set, set, Sync::Full);
    world.carry_out(&plan, set, None).unwrap();
    world.verify_counts().unwrap();
    world
}

fn save(world: &World) -> String {
    let mut save = Command::new(world.runner.tools().path(Program::IptablesSave).unwrap());
    output(&world.lab.node, &mut save)
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
        Mode::Nftables => include_str!("neighbours/nftables.txt"),
        Mode::Ipvs => include_str!("neighbours/ipvs.txt"),
        _ => include_str!("neighbours/iptables.txt"),
    }
}

fn beside(mode: Mode) {
    let set = ServiceSet::synthetic(scale(8, 2), 1);
    let mut world = inhabited(mode, ALL, &set);
    world.verify_traffic().unwrap();
    let jumps = hooks(&save(&world));
    pretty(&jumps, expected(mode), &format!("{mode}"));

    // A kube-proxy that starts again finds its jumps, and so nothing moves.
    let plan = world.dataplane.plan(&world.set, &set, Sync::Full);
    world.carry_out(&plan, &set, None).unwrap();
    pretty(&hooks(&save(&world)), &jumps, "jumps after a restart");
    // Their rules are not touched by changes.
    for to in [set.without(set.len() - 1), set.clone()] {
        let plan = world.dataplane.plan(&world.set, &to, Sync::Partial);
        world.carry_out(&plan, &to, None).unwrap();
        world.verify_counts().unwrap();
    }
    world.verify_traffic().unwrap();
    reach_host_ports(&mut world);
}

/// Loaded in pieces, as labs for lookups are, they stand where they stand after a sync.
fn loaded(mode: Mode) {
    let set = ServiceSet::synthetic(scale(70, 2), 1);
    let synced = held(&inhabited(mode, ALL, &set));
    let mut world = empty(mode, Node::lab(dataplane::KubeProxy::V1_30));
    world.move_in(Some(ALL)).unwrap();
    world.load(&set, None).unwrap();
    world.verify_counts().unwrap();
    pretty(&held(&world), &synced, "loaded, then synced");
}

/// The control that has nothing but them.
fn control(mode: Mode) {
    let set = ServiceSet::synthetic(scale(4, 2), 1);
    let mut world = inhabited(mode, ALL, &set);
    world.verify_traffic().unwrap();
    reach_host_ports(&mut world);
}

/// Packets to the node's ports go to the pods that have them, and only those.
fn reach_host_ports(world: &mut World) {
    let mut send = |entry: SocketAddrV4, protocol, pod: SocketAddrV4| {
        let aim = Aim { entry, protocol, answers: vec![pod], any_source: false };
        let target = [aim.target().unwrap()];
        let sent = world.probe().first_packets(&target, &[0; 10], &mut Times::new(), None).unwrap();
        world.forget_flows().unwrap();
        (sent.sent, sent.lost, sent.all_verified().is_ok())
    };
    for number in 0..ALL.host_ports {
        let (host_port, protocol, pod) = Neighbours::host_port(number);
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
