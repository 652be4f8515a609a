//! IPVS mode in a kernel: all that it has besides rules.

pub(crate) mod draining;
pub(crate) mod features;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use dataplane::ipvs::State;
use dataplane::{Action, KubeProxy, Mode, Node, Part, Plan, Program, Sync, planner};
use lab::readback;
use lab::testbed::Testbed;
use netns_setup::ipvs::Scheduler;
use services::service::Protocol;
use services::service_set::{Position, ServiceSet};
use workloads::recorder::Times;

use crate::state::pretty;
use crate::testbeds::{cold, empty, held, ordered_iptables, scale, sync};

/// Of a testbed.
fn state(testbed: &Testbed) -> State {
    testbed.lab.node.run(|| readback::ipvs::state(&testbed.runner)).unwrap()
}

/// Not only as many as the model says: the same servers, weights, schedulers, entries and addresses.
pub(crate) fn is_the_model(testbed: &Testbed) {
    assert_eq!(state(testbed), State::of(&testbed.node(), &testbed.set));
}

pub(crate) fn listed(testbed: &Testbed) -> String {
    lines(&state(testbed))
}

/// One line for each thing.
fn lines(state: &State) -> String {
    let State { servers, sets, addresses } = state;
    let mut lines: Vec<String> = servers.requests().map(|request| request.to_string()).collect();
    lines.extend(sets.iter().flat_map(|(set, entries)| {
        std::iter::once(format!("create {set}"))
            .chain(entries.iter().map(move |entry| format!("add {set} {entry}")))
    }));
    lines.extend(addresses.iter().map(|address| format!("address {address}")));
    lines.into_iter().map(|line| line + "\n").collect()
}

pub(crate) fn golden() {
    let real = ordered_iptables(include_str!("../../dataplane/tests/golden/ipvs/iptables-save.txt"));
    for mode in crate::IPVS {
        // That servers, sets and addresses are those of the model, and the model's the real ones, is checked elsewhere.
        for (after, held) in ["first sync", "restart"].into_iter().zip(crate::state::golden(mode)) {
            let rules: String =
                held.lines().filter(|line| !is_listed(line)).map(|line| format!("{line}\n")).collect();
            pretty(&rules, &real, &format!("{mode}, {after}"));
        }
    }
}

/// Whether a line is one of [`listed`].
fn is_listed(line: &str) -> bool {
    ["-A ", "-a ", "create ", "add ", "address "].iter().any(|start| line.starts_with(start))
}

/// Standard input of a program in a testbed's node.
fn feed(testbed: &Testbed, program: &Path, args: &[&str], input: &[u8]) {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = testbed.lab.node.spawn(&mut command).unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

pub(crate) fn printed() {
    let ipvsadm = netns_setup::find_program("ipvsadm").expect("a need of this test");
    let mut set = ServiceSet::synthetic(scale(20, 3), 1);
    let mut service = (*set.services()[3]).clone();
    service.node_port = Some(30_003);
    set = set.with_replaced(3, service);
    for mode in crate::IPVS {
        for scheduler in [Scheduler::Rr, Scheduler::Mh] {
            let node = Node { scheduler, ..Node::lab(KubeProxy::NEWEST) };
            let mut applied = empty(mode, node);
            sync(&mut applied, &set, Sync::Full);

            let plan = planner(mode, node).plan(&ServiceSet::default(), &set, Sync::Full);
            let piped = empty(mode, node);
            let part = |part| {
                let mut out = Vec::new();
                plan.write_part(part, &mut out).unwrap();
                out
            };
            let tools = piped.runner.tools();
            feed(&piped, &ipvsadm, &["-R"], &part(Part::Ipvs));
            feed(&piped, &tools.path(Program::Ipset).unwrap(), &["restore"], &part(Part::Ipset));
            feed(
                &piped,
                &tools.path(Program::IptablesRestore).unwrap(),
                &["--noflush"],
                &part(Part::Iptables),
            );
            // Addresses have no tool that reads them: what is left of the plan does them.
            let mut rest = Plan { steps: plan.steps.clone(), ..Plan::default() };
            rest.steps.retain(|step| {
                step.program().is_none() && !matches!(step.action, Action::Ipvs { .. } | Action::Drain(_))
            });
            piped.lab.node.run(|| piped.runner.apply(&rest, None)).unwrap();
            pretty(&held(&piped), &held(&applied), &format!("{mode} {scheduler}"));
        }
    }
}

/// Connections of a testbed's node.
fn connections(testbed: &Testbed) -> usize {
    let text = testbed.lab.node.run(|| std::fs::read_to_string("/proc/thread-self/net/ip_vs_conn")).unwrap();
    text.lines().count() - 1
}

pub(crate) fn forgotten() {
    let mut testbed = cold(Mode::IpvsBatched, KubeProxy::NEWEST, &ServiceSet::synthetic(scale(10, 3), 1));
    testbed.forget_flows().unwrap();
    let before = held(&testbed);
    for position in [Position::First, Position::Uniform] {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let (targets, picks) = testbed.service_targets(position, protocol, 500).unwrap();
            let targets: Vec<_> = targets.iter().map(|target| target.for_probe().unwrap()).collect();
            // More often than there are flows to go round, were one kept.
            for round in 0..3 {
                let sent = testbed.probe().first_packets(&targets, &picks, &mut Times::new(), None).unwrap();
                sent.all_verified().unwrap();
                assert_eq!(connections(&testbed), 500, "{position:?} {protocol:?} {round}");
                testbed.forget_flows().unwrap();
                assert_eq!(connections(&testbed), 0, "{position:?} {protocol:?} {round}");
                let conntrack = testbed.lab.node.run(netns_setup::Conntrack::count).unwrap();
                assert_eq!(conntrack, 0, "{position:?} {protocol:?} {round}");
            }
        }
    }
    pretty(&held(&testbed), &before, "servers, after their connections were forgotten");
}

pub(crate) fn schedulers() {
    let set = ServiceSet::synthetic(scale(4, 3), 1);
    for scheduler in Scheduler::ALL {
        let mut testbed = empty(Mode::IpvsBatched, Node { scheduler, ..Node::lab(KubeProxy::NEWEST) });
        sync(&mut testbed, &set, Sync::Full);
        for index in 0..set.len() {
            // With weight 1, ovf gives each real server no more than two connections that are being opened.
            testbed.verify_service(index, 2 * 3).unwrap();
        }
    }
}
