//! Plans against a real kube-proxy. Tests whose needs this machine lacks are shown as ignored, with the reason, or fail
//! (see `trials`).

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dataplane::{Action, KubeProxy, Mode, Node, Plan, Sync, planner};
use fidelity::report::{Report, Whose};
use fidelity::subject::Subjects;
use fidelity::{Alter, Question, unchanged, verify};
use kube_proxy::Subject;
use lab::stop::Stop;
use netns_setup::guest::{GuestError, Image, Kernel};
use netns_setup::{Fingerprint, Need, find_kube_proxy};
use services::service_set::ServiceSet;
use trials::Test;

/// The newest version that is supported.
const NEWEST: u8 = 37;
const MODES: [Mode; 3] = [Mode::IptablesLegacy, Mode::IptablesNft, Mode::Nftables];

fn test(name: String, mode: Mode, body: impl FnOnce() + Send + 'static) -> Test {
    let mut needs = vec![Need::Root, Need::MountNamespace, Need::Tun, Need::KubeProxy(NEWEST)];
    needs.extend(mode.needs());
    Test { name, needs, body: Box::new(body) }
}

fn tests() -> Vec<Test> {
    let mut tests = vec![test(
        "a_kube_proxy_without_its_programs_fails_with_its_last_lines".into(),
        Mode::Nftables,
        refused,
    )];
    tests.push(test(
        "a_kube_proxy_that_has_missed_its_zone_is_known_by_what_it_does".into(),
        Mode::Nftables,
        missed_zone,
    ));
    for mode in MODES {
        tests.push(test(format!("random_sets_and_their_changes_do_not_differ::{mode}"), mode, move || {
            random(mode)
        }));
        tests.push(test(format!("every_feature_and_a_restart_do_not_differ::{mode}"), mode, move || {
            features(mode)
        }));
        tests.push(test(format!("a_rule_that_is_planned_wrong_is_found::{mode}"), mode, move || {
            mutated(mode)
        }));
    }
    tests
}

fn ask(mode: Mode, subjects: Subjects, recorder: Option<PathBuf>, alter: Alter<'_>) -> Report {
    ask_about(mode, subjects, true, recorder, alter)
}

fn ask_about(
    mode: Mode,
    subjects: Subjects,
    has_zone: bool,
    recorder: Option<PathBuf>,
    alter: Alter<'_>,
) -> Report {
    let before = Fingerprint::take();
    let stop = Stop::new();
    let binary = find_kube_proxy(NEWEST).expect("kube-proxy");
    let subject = Subject::open(binary, &stop, Duration::from_secs(180)).unwrap();
    let planned = KubeProxy::V1_37;
    let question =
        Question { subject: Arc::new(subject), planned, modes: vec![mode], subjects, has_zone, recorder };
    let report = verify(&question, &stop, alter, &|_| ());
    assert_eq!(before.changes(&Fingerprint::take()), Vec::<String>::new());
    report
}

#[track_caller]
fn same(report: &Report, states: usize) {
    assert_eq!((report.differences(), report.failures()), (0, 0), "{report}");
    for family in &report.modes[0].families {
        let counts = family.counts;
        // A start is one sync, however busy the machine is.
        assert!(counts.states == states && counts.starts > 0 && counts.programs > 0, "{report}");
        assert!(counts.rules > 10 * states, "{report}");
    }
}

fn random(mode: Mode) {
    same(&ask(mode, Subjects::random(5, 1), None, &unchanged), 20);
}

fn features(mode: Mode) {
    let subjects = Subjects::features().unwrap();
    let steps = subjects.sequences[0].steps.len();
    same(&ask(mode, subjects, None, &unchanged), steps);
}

/// Another port of one endpoint of demo/web, wherever it is written.
fn wrong(mut plan: Plan) -> Plan {
    for step in &mut plan.steps {
        if let Action::Run { input: Some(input), .. } = &mut step.action {
            let mut text = String::from_utf8(std::mem::take(input)).unwrap();
            for (right, wrong) in
                [("10.244.0.11:8080", "10.244.0.11:8081"), ("10.244.0.11 . 8080", "10.244.0.11 . 8081")]
            {
                text = text.replace(right, wrong);
            }
            *input = text.into_bytes();
        }
    }
    plan
}

fn mutated(mode: Mode) {
    let mut subjects = Subjects::features().unwrap();
    subjects.sequences[0].steps.truncate(2);
    let report = ask(mode, subjects, None, &wrong);
    let found = &report.modes[0].differences;
    assert!(found.len() >= 2 && report.failures() == 0, "{report}");
    let is_web = |service: &Option<String>| service.as_deref() == Some("demo/web:http");
    assert!(found.iter().any(|one| is_web(&one.service) && one.whose == Whose::Plan), "{report}");
    assert!(found.iter().all(|one| one.at.step == "cold" && one.service.is_some()), "{report}");
    assert!(found.iter().any(|one| one.line.contains("8081")), "{report}");
}

fn refused() {
    let report = ask(Mode::Nftables, Subjects::random(1, 1), Some("/bin/false".into()), &unchanged);
    assert_eq!((report.differences(), report.failures()), (0, 1), "{report}");
    let reason = &report.modes[0].failures[0].reason;
    assert!(reason.contains("kube-proxy ended with"), "{reason}");
}

/// A Node without the label stands for a process that has missed it: both follow no hints for zones. A plan that is wrong in another
/// way is a difference all the same.
fn missed_zone() {
    let is_hinted = |seed: &u64| {
        let set = &Subjects::random(1, *seed).sequences[0].steps[0].sets[0];
        let planner = planner(Mode::Nftables, Node::lab(KubeProxy::V1_37));
        let plan = |set: &ServiceSet| planner.plan(&ServiceSet::default(), set, Sync::Full);
        plan(set) != plan(&set.without_zone_hints())
    };
    let seed = (1..100).find(is_hinted).expect("a set whose hints for zones matter");
    let ask = |alter: Alter<'_>| ask_about(Mode::Nftables, Subjects::random(1, seed), false, None, alter);
    let report = ask(&unchanged);
    assert_eq!((report.differences(), report.failures()), (0, 1), "{report}");
    let reason = &report.modes[0].failures[0].reason;
    assert_eq!(reason, "3 processes of kube-proxy did not follow hints for their Node's zone");
    let missed: usize = report.modes[0].families.iter().map(|family| family.counts.missed_zone).sum();
    assert_eq!(missed, 3, "{report}");

    let report = ask(&|plan| without_a_line(plan, "masquerade"));
    assert!(report.differences() > 0, "{report}");
}

/// The first line of an input that has this word is missing.
fn without_a_line(mut plan: Plan, word: &str) -> Plan {
    for step in &mut plan.steps {
        if let Action::Run { input: Some(input), .. } = &mut step.action {
            let text = String::from_utf8(std::mem::take(input)).unwrap();
            let wrong = text.lines().position(|line| line.contains(word));
            let kept = text.lines().enumerate().filter(|(number, _)| Some(*number) != wrong);
            *input = kept.flat_map(|(_, line)| [line, "\n"]).collect::<String>().into_bytes();
        }
    }
    plan
}

/// Nothing here needs a kernel other than the host's.
fn image(_kernel: &Kernel, job: Vec<u8>) -> Result<Image, GuestError> {
    Image::of_this_program(job)
}

fn main() -> ExitCode {
    kube_proxy::recorder::stand_in();
    trials::run(tests(), image)
}
