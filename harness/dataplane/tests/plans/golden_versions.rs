//! Plans of 1.37 are what the real 1.37.2 sent, for Services with every feature and for changes of them, in both families; those
//! of 1.34 to 1.36 are the same in iptables mode. How the captures were made: `tests/golden/1.37/README.md`.

use std::collections::BTreeSet;

use dataplane::{Dataplane, KubeProxy, Mode, Node, Phase, Plan, Step, Sync, planner};
use services::features;
use services::service::Family;
use services::service_set::ServiceSet;

use crate::paper::Paper;

const NFT_1_37: &str = include_str!("../golden/1.37/nftables.txt");
const IPTABLES_1_37: &str = include_str!("../golden/1.37/iptables.txt");

/// Lists of Services that packets walk; kube-proxy writes them in the order of a Go map.
const LISTS: [&str; 4] = ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL"];

/// The Services of a family after each step, by its name.
fn steps(family: Family) -> Vec<(String, ServiceSet)> {
    let steps = features::steps().unwrap().into_iter();
    steps.map(|step| (step.name, step.sets[family as usize].clone())).collect()
}

fn node(family: Family, kube_proxy: KubeProxy) -> Node {
    Node {
        address: features::node(family),
        cluster_cidr: Some(features::cluster_cidr(family)),
        // As the machine was on which they ran.
        nfacct: true,
        ..Node::lab(kube_proxy)
    }
}

/// A program of a capture.
#[derive(Debug)]
struct Run<'a> {
    command: &'a str,
    code: i32,
    input: Vec<&'a str>,
}

/// Programs of one step of a capture, of one family. None: the capture has no such step.
fn captured<'a>(capture: &'a str, name: &str, family: Family) -> Option<Vec<Run<'a>>> {
    let lines = capture.lines().skip_while(|line| line.strip_prefix("## ") != Some(name));
    let mut lines = lines.skip(1).take_while(|line| !line.starts_with("## ")).peekable();
    lines.peek()?;
    let mut runs: Vec<Run<'_>> = Vec::new();
    for line in lines {
        match line.strip_prefix("# ").and_then(|line| line.rsplit_once(" => ")) {
            Some((command, code)) => {
                runs.push(Run { command, code: code.parse().unwrap(), input: Vec::new() })
            }
            None => runs.last_mut().unwrap().input.push(line),
        }
    }
    let is_v6 = |run: &Run<'_>| {
        let texts = || std::iter::once(run.command).chain(run.input.first().copied());
        texts().any(|text| text.starts_with("ip6") || text.split(' ').any(|word| word == "ip6"))
    };
    runs.retain(|run| is_v6(run) == (family == Family::Ipv6));
    Some(runs)
}

fn restored(plan: &Plan) -> String {
    let step = plan.steps.iter().find(|step| step.phase == Phase::Restore).unwrap();
    String::from_utf8(step.input().unwrap().to_vec()).unwrap()
}

fn sorted<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut lines: Vec<&str> = lines.into_iter().collect();
    lines.sort_unstable();
    lines
}

/// That the programs of a plan are those that ran, and ended as planned.
fn same_programs(plan: &Plan, runs: &[&Run<'_>], what: &str) {
    let line = |step: &Step| Some(format!("{} {}", step.program()?.name(), step.args().join(" ")));
    // A process makes its canaries beside its first sync.
    let is_canary = |command: &str| command.contains(" KUBE-PROXY-CANARY ");
    let planned = plan.steps.iter().filter(|step| step.program().is_some());
    let (canaries, planned): (Vec<&Step>, Vec<&Step>) = planned.partition(|step| step.phase == Phase::Canary);
    let (real_canaries, runs): (Vec<&&Run<'_>>, Vec<&&Run<'_>>) =
        runs.iter().partition(|run| is_canary(run.command));
    assert_eq!(canaries.len(), real_canaries.len(), "{what}");
    let ours: Vec<String> = planned.iter().filter_map(|step| line(step)).collect();
    let theirs: Vec<&str> = runs.iter().map(|run| run.command).collect();
    assert_eq!(ours, theirs, "{what}");
    for (step, run) in planned.iter().zip(runs) {
        assert!(step.expect.accepts(run.code), "{what}: {} ended with {}", run.command, run.code);
    }
}

/// Walks through the steps; `state`: what of a kernel on paper does not depend on an order that is random.
fn follow(
    capture: &str,
    version: KubeProxy,
    mode: Mode,
    family: Family,
    empty: &Paper,
    restore: fn(&mut Paper, &str),
    state: fn(&Paper) -> Paper,
) -> usize {
    let dataplane: Box<dyn Dataplane> = planner(mode, node(family, version));
    let (mut from, mut kernel, mut compared) = (ServiceSet::default(), empty.clone(), 0);
    // What the sync before left to a later one.
    let mut owed: BTreeSet<String> = BTreeSet::new();
    for (name, to) in steps(family) {
        let starts = matches!(&*name, "cold" | "restart");
        let plan = dataplane.plan(&from, &to, if starts { Sync::Full } else { Sync::Partial });
        let what = format!("{} {mode} {} {name}", version.name(), family.name());
        let is_cleanup = |run: &&Run<'_>| {
            !run.input.is_empty() && run.input.iter().all(|line| line.starts_with("delete chain "))
        };
        if let Some(runs) = captured(capture, &name, family) {
            let (cleanups, runs): (Vec<&Run<'_>>, Vec<&Run<'_>>) = runs.iter().partition(is_cleanup);
            for line in cleanups.iter().flat_map(|run| &run.input) {
                assert!(owed.remove(*line), "{what}: {line}");
            }
            match runs.iter().filter(|run| !run.input.is_empty()).collect::<Vec<_>>()[..] {
                // A family that the change does not concern.
                [] => assert_eq!(restored(&plan), "", "{what}"),
                [run] => {
                    let ours = restored(&plan);
                    let mut wanted: Vec<&str> = run.input.clone();
                    if starts {
                        // A process that starts takes what is owed for newly stale.
                        wanted.retain(|line| !owed.contains(&line.replace("flush chain", "delete chain")));
                    }
                    assert_eq!(sorted(ours.lines()), sorted(wanted.iter().copied()), "{what}");
                    same_programs(&plan, &runs, &what);
                    let (mut one, mut other) = (kernel.clone(), kernel.clone());
                    restore(&mut one, &ours);
                    restore(&mut other, &(wanted.join("\n") + "\n"));
                    assert_eq!(state(&one), state(&other), "{what}");
                    compared += 1;
                }
                // The Service came before its endpoints.
                _ => {}
            }
        }
        for step in &plan.cleanup {
            let input = String::from_utf8(step.input().unwrap().to_vec()).unwrap();
            owed.extend(input.lines().map(str::to_owned));
        }
        kernel.carry_out(&plan);
        from = to;
    }
    compared
}

fn nft(kernel: &mut Paper, input: &str) {
    input.lines().for_each(|line| kernel.nft.line(line));
}

fn iptables(kernel: &mut Paper, input: &str) {
    kernel.restore(input);
}

fn without_order(kernel: &Paper) -> Paper {
    let mut kernel = kernel.clone();
    for ((_, chain), rules) in &mut kernel.chains {
        if LISTS.contains(&&**chain) {
            rules.sort();
        }
    }
    kernel
}

#[test]
fn nftables_mode_sends_what_the_real_one_sent() {
    for family in Family::ALL {
        let (version, empty) = (KubeProxy::V1_37, Paper::default());
        let compared = follow(NFT_1_37, version, Mode::Nftables, family, &empty, nft, Paper::clone);
        assert!(compared >= 6, "{compared}");
    }
}

/// 1.37.2 ran; the source of 1.34 to 1.36 writes the same.
#[test]
fn iptables_mode_sends_what_the_real_one_sent() {
    for version in [KubeProxy::V1_34, KubeProxy::V1_35, KubeProxy::V1_36, KubeProxy::V1_37] {
        for mode in [Mode::IptablesLegacy, Mode::IptablesNft] {
            for family in Family::ALL {
                let empty = Paper::with_iptables();
                let compared = follow(IPTABLES_1_37, version, mode, family, &empty, iptables, without_order);
                assert!(compared >= 3, "{compared}");
            }
        }
    }
}
