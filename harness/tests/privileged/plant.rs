//! A planted slow-down in kernels: first in the way of a Service's first packets, counted exactly, and in one mode only.

use std::process::Command;

use dataplane::injected::Plant;
use dataplane::{KubeProxy, Mode, Node, Program, Sync};
use services::service_set::ServiceSet;

use crate::worlds::{empty, output, scale};

const RULES: u32 = 7;

/// After a full sync and a change, too.
pub fn stands_first(mode: Mode) {
    let mut world = empty(mode, Node::lab(KubeProxy::Current));
    world.plant(Some(Plant { mode, rules: RULES })).unwrap();
    for services in [3, 4] {
        let set = ServiceSet::synthetic(scale(services, 2), 1);
        let sync = if world.set.is_empty() { Sync::Full } else { Sync::Partial };
        let plan = world.dataplane.plan(&world.set, &set, sync);
        world.carry_out(&plan, &set, None).unwrap();
        world.verify_counts().unwrap();
        world.verify_traffic().unwrap();
    }
    let node = &world.lab.node;
    if mode == Mode::Nftables {
        let chain = output(node, Command::new("nft").args(["-y", "list", "table", "ip", "svcbench-plant"]));
        assert!(chain.contains("hook prerouting priority -101"), "{chain}");
        assert_eq!(chain.matches("255.255.255.255 return").count(), RULES as usize, "{chain}");
        return;
    }
    let mut save = Command::new(world.runner.tools().path(Program::IptablesSave).unwrap());
    let save = output(node, save.args(["-c", "-t", "nat"]));
    let jumps: Vec<&str> = save.lines().filter(|line| line.contains("-A PREROUTING ")).collect();
    assert!(jumps[0].ends_with("-j svcbench-plant"), "{save}");
    assert!(jumps.iter().skip(1).any(|line| line.contains("KUBE-SERVICES")), "{save}");
    // Every first packet has gone through it, and none was stopped there.
    let packets = |line: &str| line[1..].split(':').next().unwrap().parse::<u64>().unwrap();
    assert!(packets(jumps[0]) >= 16 * 10, "{save}");
    let rules: Vec<&str> = save.lines().filter(|line| line.contains("-A svcbench-plant ")).collect();
    assert!(rules.len() == RULES as usize && rules.iter().all(|line| packets(line) == 0), "{save}");
}

/// A lab of another mode does not have it.
pub fn elsewhere() {
    let mut world = empty(Mode::IptablesLegacy, Node::lab(KubeProxy::Current));
    world.plant(Some(Plant { mode: Mode::Nftables, rules: RULES })).unwrap();
    let set = ServiceSet::synthetic(scale(3, 2), 1);
    world.load(&set, None).unwrap();
    world.verify_counts().unwrap();
}
