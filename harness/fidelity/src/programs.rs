//! Programs that were run and what they were given, of a kube-proxy and of a plan, in one normal form.

use std::collections::BTreeSet;

use dataplane::{Expect, Mode, Phase, Plan, Program, Step};
use kube_proxy::recorder::Run;
use ruleset::compare::{Normal, Object, normal_nft_input, normal_restore};
use services::service::Family;

/// Chains that kube-proxy makes beside its first sync, to see later whether somebody has flushed everything.
const CANARY: &str = "KUBE-PROXY-CANARY";

/// What one program was run with.
struct Given<'a> {
    command: String,
    input: &'a str,
    is_canary: bool,
}

/// What a kube-proxy ran for one family since a change.
pub(crate) struct Ran {
    /// In normal form.
    pub(crate) normal: Normal,
    /// Syncs that changed something or tried to.
    pub(crate) syncs: usize,
    /// Programs.
    pub(crate) programs: usize,
    /// Chains of nftables mode that it deleted, which syncs before have left to it: `delete chain ip kube-proxy NAME`.
    pub(crate) deleted: BTreeSet<String>,
}

/// The family whose proxier ran a program; `None` if it does not tell, as an empty transaction of nft.
pub(crate) fn family(run: &Run) -> Option<Family> {
    match run.program() {
        name if name.starts_with("ip6") => Some(Family::Ipv6),
        name if name.starts_with("ipt") => Some(Family::Ipv4),
        "ipset" => Some(match run.command.iter().any(|word| word.starts_with("KUBE-6-")) {
            true => Family::Ipv6,
            false => Family::Ipv4,
        }),
        _ => {
            let first = input(run).lines().next().unwrap_or_default();
            run.command.iter().flat_map(|word| word.split(' ')).chain(first.split(' ')).find_map(|word| {
                match word {
                    "ip" => Some(Family::Ipv4),
                    "ip6" => Some(Family::Ipv6),
                    _ => None,
                }
            })
        }
    }
}

fn input(run: &Run) -> &str {
    std::str::from_utf8(&run.input).unwrap_or_default()
}

fn has(run: &Run, wanted: &str) -> bool {
    run.command.iter().any(|word| word == wanted)
}

/// Whether it is what a sync is for: all that comes before leads to it.
pub(crate) fn is_transaction(run: &Run) -> bool {
    match run.program() {
        // Those of one table (-T) are of the removal of another mode's rules.
        name if name.ends_with("-restore") => !has(run, "-T"),
        "nft" => has(run, "-f") && !has(run, "--check") && !run.input.is_empty() && !is_removal(run),
        _ => false,
    }
}

/// The removal of the table of nftables mode, by the other modes when they start.
fn is_removal(run: &Run) -> bool {
    input(run).starts_with("delete table ")
}

/// Whether it deletes what a sync before has left, and nothing else.
fn is_cleanup(run: &Run) -> bool {
    run.program() == "nft"
        && !run.input.is_empty()
        && input(run).lines().all(|line| line.starts_with("delete chain "))
}

/// Whether the first sync of a process has begun, and not its trials and the removal of other modes' rules.
fn begins(mode: Mode, run: &Run) -> bool {
    match mode {
        Mode::Nftables => run.program() == "nft" && (has(run, "--json") || is_transaction(run)),
        _ => has(run, "-N"),
    }
}

/// Whether a mode runs it at all in a sync.
fn is_of_mode(mode: Mode, run: &Run) -> bool {
    let looks = has(run, "-S") || has(run, "--version") || has(run, "--check");
    !looks && (mode == Mode::Nftables) == (run.program() == "nft")
}

/// What a kube-proxy ran for a family. `starts`: it has just been started.
pub(crate) fn ran(mode: Mode, of: Family, runs: &[Run], starts: bool) -> Ran {
    let own = runs.iter().filter(|run| family(run) == Some(of) && is_of_mode(mode, run));
    let own: Vec<&Run> = own.skip_while(|run| starts && !begins(mode, run)).collect();
    let (cleanups, syncs): (Vec<&Run>, Vec<&Run>) = own.into_iter().partition(|run| is_cleanup(run));
    Ran {
        normal: normal(of, syncs.iter().map(|run| given_to_run(run))),
        syncs: syncs.iter().filter(|run| is_transaction(run)).count(),
        programs: syncs.len(),
        deleted: cleanups.iter().flat_map(|run| input(run).lines()).map(str::to_owned).collect(),
    }
}

fn given_to_run(run: &Run) -> Given<'_> {
    Given {
        command: ended(run.command.join(" "), run.code().unwrap_or(-1)),
        input: input(run),
        is_canary: has(run, CANARY),
    }
}

/// What a plan runs.
pub(crate) fn planned(of: Family, plan: &Plan) -> Normal {
    normal(of, plan.steps.iter().filter_map(given_to_step))
}

/// `None`: it runs no program.
fn given_to_step(step: &Step) -> Option<Given<'_>> {
    let words = std::iter::once(step.program()?.name()).chain(step.args().iter().map(String::as_str));
    let command = words.collect::<Vec<_>>().join(" ");
    let input = step.input().map(|input| std::str::from_utf8(input).unwrap_or_default());
    Some(Given {
        command: ended(command, i32::from(step.expect == Expect::One)),
        input: input.unwrap_or_default(),
        is_canary: step.phase == Phase::Canary,
    })
}

/// Chains that a plan leaves to a later sync: `delete chain ip kube-proxy NAME`.
pub(crate) fn left(plan: &Plan) -> BTreeSet<String> {
    let inputs =
        plan.cleanup.iter().filter(|step| step.program() == Some(Program::Nft)).filter_map(Step::input);
    inputs
        .flat_map(|input| std::str::from_utf8(input).unwrap_or_default().lines())
        .map(str::to_owned)
        .collect()
}

/// Takes out what is done about chains that an earlier sync has left: a process that starts finds them, and takes them for newly
/// stale.
pub(crate) fn without_left(normal: &mut Normal, left: &BTreeSet<String>) {
    for line in left {
        let flush = line.replacen("delete chain", "flush chain", 1);
        let Some(place) = line.strip_prefix("delete chain ").and_then(|chain| chain.rsplit_once(' ')) else {
            continue;
        };
        let place = format!("input of nft: {}, chain {}", place.0, place.1);
        if normal.get(&place).is_some_and(|object| object.lines.iter().all(|(_, line)| *line == flush)) {
            normal.remove(&place);
        }
    }
}

fn ended(command: String, code: i32) -> String {
    if code == 0 { command } else { format!("{command} (exit code {code})") }
}

/// Programs in their order, those that make canaries apart; runs of ipset, which kube-proxy has in the order of a Go map, without
/// one; and inputs.
fn normal<'a>(of: Family, all: impl Iterator<Item = Given<'a>>) -> Normal {
    let mut normal = Normal::new();
    let (mut canaries, mut sets, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for Given { command, input, is_canary } in all {
        let program = command.split(' ').next().unwrap_or_default().to_owned();
        let inputs = match &*program {
            "nft" => normal_nft_input(input),
            program => normal_restore(program, input),
        };
        for (place, object) in inputs {
            let place =
                if program == "nft" { format!("input of nft: {place}") } else { format!("input of {place}") };
            // Of several inputs in one sync each line counts.
            let known: &mut Object = normal.entry(place).or_default();
            known.service = known.service.take().or(object.service);
            known.lines.extend(object.lines);
        }
        match (&*program, is_canary) {
            ("ipset", _) => sets.push((None, command)),
            (_, true) => canaries.push((None, command)),
            _ => others.push((None, command)),
        }
    }
    sets.sort();
    for (name, lines) in [("canaries", canaries), ("sets", sets), ("programs", others)] {
        if !lines.is_empty() {
            normal.insert(format!("{name} of {}", of.name()), Object { service: None, lines });
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use dataplane::{KubeProxy, Node, Sync, planner};
    use ruleset::compare::{Side, differences};
    use services::service_set::{Scale, ServiceSet};

    use super::*;

    fn run(command: &str, input: &str, code: i32) -> Run {
        let command = command.split(' ').map(str::to_owned).collect();
        Run { command, input: input.into(), ended: Some((SystemTime::UNIX_EPOCH, code)) }
    }

    /// What a kube-proxy would have run that does just what is planned.
    fn runs(plan: &Plan) -> Vec<Run> {
        let run = |step: &Step| {
            let mut command = vec![step.program()?.name().to_owned()];
            command.extend(step.args().iter().cloned());
            let code = i32::from(step.expect == Expect::One);
            let input = step.input().unwrap_or_default().to_vec();
            Some(Run { command, input, ended: Some((SystemTime::UNIX_EPOCH, code)) })
        };
        plan.steps.iter().filter_map(run).collect()
    }

    fn plan(mode: Mode, services: u32, from: u32) -> Plan {
        let set = |services| match services {
            0 => ServiceSet::default(),
            services => ServiceSet::synthetic(Scale { services, endpoints: 2 }, 1),
        };
        let sync = if from == 0 { Sync::Full } else { Sync::Partial };
        planner(mode, Node::lab(KubeProxy::NEWEST)).plan(&set(from), &set(services), sync)
    }

    #[test]
    fn what_is_run_as_planned_does_not_differ_whatever_runs_at_the_start() {
        for mode in [Mode::IptablesLegacy, Mode::Nftables, Mode::Ipvs] {
            let plan = plan(mode, 3, 0);
            let mut all = vec![
                run("nft --version", "", 0),
                run("nft --check -f -", "add table ip kube-proxy { comment \"test\" ; }\n", 0),
                run("nft -f -", "delete table ip kube-proxy\n", 1),
                run("iptables -w 5 -S POSTROUTING -t nat", "", 0),
                run("iptables -w 5 -C INPUT -t filter -j KUBE-X", "", 2),
                run("iptables-restore -w 5 -T nat --noflush --counters", "*nat\nCOMMIT\n", 0),
            ];
            all.extend(runs(&plan));
            all.push(run("ip6tables -w 5 -N KUBE-SERVICES -t nat", "", 0));
            let ran = ran(mode, Family::Ipv4, &all, true);
            assert_eq!(differences(&ran.normal, &planned(Family::Ipv4, &plan)), [], "{mode}");
            assert_eq!((ran.syncs, ran.deleted.len()), (1, 0), "{mode}");
        }
    }

    #[test]
    fn a_program_too_many_another_end_and_another_input_are_found() {
        let plan = plan(Mode::IptablesNft, 3, 0);
        let planned = planned(Family::Ipv4, &plan);
        let found =
            |all: &[Run]| differences(&ran(Mode::IptablesNft, Family::Ipv4, all, true).normal, &planned);
        let mut more = runs(&plan);
        more.push(run("iptables -w 5 -N KUBE-OTHER -t nat", "", 0));
        assert_eq!(found(&more)[0].line, "iptables -w 5 -N KUBE-OTHER -t nat");
        let mut failed = runs(&plan);
        failed.last_mut().unwrap().ended = Some((SystemTime::UNIX_EPOCH, 1));
        assert!(found(&failed)[0].line.ends_with("(exit code 1)"), "{:?}", found(&failed));
        let mut other = runs(&plan);
        let text = String::from_utf8(other.last().unwrap().input.clone()).unwrap();
        other.last_mut().unwrap().input = text.replacen("--dport 80 ", "--dport 81 ", 1).into();
        let found = found(&other);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|one| one.service.is_some() && one.side != Side::Order), "{found:?}");
    }

    #[test]
    fn families_are_told_apart() {
        for (command, input, expected) in [
            ("ip6tables-save -t nat", "", Some(Family::Ipv6)),
            ("iptables -w 5 -N X -t nat", "", Some(Family::Ipv4)),
            ("nft --json list set ip6 kube-proxy cluster-ips", "", Some(Family::Ipv6)),
            ("nft -f -", "flush chain ip kube-proxy services\n", Some(Family::Ipv4)),
            ("nft -f -", "", None),
            ("ipset add KUBE-6-IPVS-IPS 2001:db8::1 -exist", "", Some(Family::Ipv6)),
            ("ipset list KUBE-CLUSTER-IP", "", Some(Family::Ipv4)),
        ] {
            assert_eq!(family(&run(command, input, 0)), expected, "{command}");
        }
    }

    #[test]
    fn what_is_deleted_later_is_no_part_of_a_sync() {
        let plan = plan(Mode::Nftables, 1, 3);
        let left = left(&plan);
        assert!(!left.is_empty());
        let mut all =
            vec![run("nft -f -", &left.iter().map(|line| format!("{line}\n")).collect::<String>(), 0)];
        all.extend(runs(&plan));
        let ran = ran(Mode::Nftables, Family::Ipv4, &all, false);
        assert_eq!(ran.deleted, left);
        assert_eq!(differences(&ran.normal, &planned(Family::Ipv4, &plan)), []);
        // A process that starts finds a chain that is to go, and empties it.
        let mut normal = ran.normal.clone();
        let flush = left.first().unwrap().replace("delete", "flush");
        let place = format!("input of nft: ip kube-proxy, chain {}", flush.rsplit(' ').next().unwrap());
        normal.insert(place, Object { service: None, lines: vec![(None, flush)] });
        without_left(&mut normal, &left);
        assert!(normal.keys().all(|place| ran.normal.contains_key(place)));
    }
}
