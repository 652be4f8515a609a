//! Runs of iptables' programs, with the arguments that kube-proxy gives them.

use services::service::Family;

use crate::kube_proxy::KubeProxy;
use crate::node::Node;
use crate::plan::{Action, Expect, Phase, Program, Step};

/// How every run waits for the lock: `-w`, and before 1.34 `-W`, which iptables 1.8.9 takes and ignores.
pub(crate) fn wait(version: KubeProxy) -> &'static [&'static str] {
    match version {
        KubeProxy::V1_20 | KubeProxy::V1_30 => &["-w", "5", "-W", "100000"],
        KubeProxy::V1_34 | KubeProxy::V1_35 | KubeProxy::V1_36 | KubeProxy::V1_37 => &["-w", "5"],
    }
}

/// One `iptables-restore`.
pub(crate) fn restore(node: &Node, phase: Phase, input: Vec<u8>) -> Step {
    let mut args = wait(node.kube_proxy).to_vec();
    args.extend(["--noflush", "--counters"]);
    Step::new(phase, Program::iptables_restore(node.family()), &args, Expect::Success).with_input(input)
}

/// One `iptables`: operation and chain, then the table, then the rule.
pub(crate) fn iptables(
    node: &Node,
    phase: Phase,
    operation: &str,
    chain: &str,
    table: &str,
    rule: &[&str],
    expect: Expect,
) -> Step {
    let mut args = wait(node.kube_proxy).to_vec();
    args.extend([operation, chain, "-t", table]);
    args.extend(rule);
    Step::new(phase, Program::iptables(node.family()), &args, expect)
}

/// One `iptables-save` of a table. It takes no `-w`: it holds no lock.
pub(crate) fn save(family: Family, table: &str) -> Step {
    Step::new(Phase::Listing, Program::iptables_save(family), &["-t", table], Expect::Success)
}

/// Lets packets for 127/8 out and in, which node ports on the loopback need.
pub(crate) fn route_localnet() -> Step {
    Step::asks(Phase::Setup, Action::Sysctl { key: "net.ipv4.conf.all.route_localnet", value: "1" })
}
