//! Runs of iptables' programs, with the arguments that kube-proxy gives them.

use services::service::Family;

use crate::plan::{Action, Expect, Phase, Program, Step};

/// `-w` and `-W` of every run; iptables 1.8.9 takes `-W` and ignores it.
pub(crate) const WAIT: [&str; 4] = ["-w", "5", "-W", "100000"];

/// One `iptables-restore`.
pub(crate) fn restore(family: Family, phase: Phase, input: Vec<u8>) -> Step {
    let mut args = WAIT.to_vec();
    args.extend(["--noflush", "--counters"]);
    Step::new(phase, Program::iptables_restore(family), &args, Expect::Success).with_input(input)
}

/// One `iptables`: operation and chain, then the table, then the rule.
pub(crate) fn iptables(
    family: Family,
    phase: Phase,
    operation: &str,
    chain: &str,
    table: &str,
    rule: &[&str],
    expect: Expect,
) -> Step {
    let mut args = WAIT.to_vec();
    args.extend([operation, chain, "-t", table]);
    args.extend(rule);
    Step::new(phase, Program::iptables(family), &args, expect)
}

/// One `iptables-save` of a table. It takes no `-w`: it holds no lock.
pub(crate) fn save(family: Family, table: &str) -> Step {
    Step::new(Phase::Listing, Program::iptables_save(family), &["-t", table], Expect::Success)
}

/// Lets packets for 127/8 out and in, which node ports on the loopback need.
pub(crate) fn route_localnet() -> Step {
    Step::asks(Phase::Setup, Action::Sysctl { key: "net.ipv4.conf.all.route_localnet", value: "1" })
}
