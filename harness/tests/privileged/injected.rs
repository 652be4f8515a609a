//! An artificial slowdown in kernels: first in the way of a Service's first packets, counted exactly, and in one mode only.

use std::process::Command;

use dataplane::injected::Injected;
use dataplane::{KubeProxy, Mode, Node, Program, Sync};
use services::service_set::ServiceSet;

use crate::testbeds::{empty, output, scale};

const RULES: u32 = 7;

/// After a full sync and a change, too.
pub(crate) fn stands_first(mode: Mode) {
    let mut testbed = empty(mode, Node::lab(KubeProxy::NEWEST));
    testbed.injected(Some(Injected { mode, rules: RULES })).unwrap();
    for services in [3, 4] {
        let set = ServiceSet::synthetic(scale(services, 2), 1);
        let sync = if testbed.set.is_empty() { Sync::Full } else { Sync::Partial };
        let plan = testbed.dataplane.plan(&testbed.set, &set, sync);
        testbed.carry_out(&plan, &set, None).unwrap();
        testbed.verify_counts().unwrap();
        testbed.verify_traffic().unwrap();
    }
    let node = &testbed.lab.node;
    if mode == Mode::Nftables {
        let chain =
            output(node, Command::new("nft").args(["-y", "list", "table", "ip", "svcbench-injected"]));
        assert!(chain.contains("hook prerouting priority -101"), "{chain}");
        assert_eq!(chain.matches("255.255.255.255 return").count(), RULES as usize, "{chain}");
        return;
    }
    let mut save = Command::new(testbed.runner.tools().path(Program::IptablesSave).unwrap());
    let save = output(node, save.args(["-c", "-t", "nat"]));
    let jumps: Vec<&str> = save.lines().filter(|line| line.contains("-A PREROUTING ")).collect();
    assert!(jumps[0].ends_with("-j svcbench-injected"), "{save}");
    assert!(jumps.iter().skip(1).any(|line| line.contains("KUBE-SERVICES")), "{save}");
    // Every first packet has gone through it, and none was stopped there.
    let packets = |line: &str| line[1..].split(':').next().unwrap().parse::<u64>().unwrap();
    assert!(packets(jumps[0]) >= 16 * 10, "{save}");
    let rules: Vec<&str> = save.lines().filter(|line| line.contains("-A svcbench-injected ")).collect();
    assert!(rules.len() == RULES as usize && rules.iter().all(|line| packets(line) == 0), "{save}");
}

/// A lab of another mode does not have it.
pub(crate) fn elsewhere() {
    let mut testbed = empty(Mode::IptablesLegacy, Node::lab(KubeProxy::NEWEST));
    testbed.injected(Some(Injected { mode: Mode::Nftables, rules: RULES })).unwrap();
    let set = ServiceSet::synthetic(scale(3, 2), 1);
    testbed.load(&set, None).unwrap();
    testbed.verify_counts().unwrap();
}
