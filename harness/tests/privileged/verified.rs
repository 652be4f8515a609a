//! `svcbench verify`, as a user runs it. What it compares is tested in `fidelity`.

use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use dataplane::{KubeProxy, Mode};
use fidelity::subject::Subjects;
use fidelity::{Question, unchanged};
use kube_proxy::Subject;
use lab::stop::Stop;
use netns_setup::{Fingerprint, Need, find_kube_proxy};
use svcbench::lane::LAB_NEEDS;
use trials::Test;

use crate::guest_kube_proxies;

/// The version that tests have.
const MINOR: u8 = 37;
/// A guest is slow.
const VERSION_LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn tests() -> Vec<Test> {
    let needs = |more: &[Need]| [&LAB_NEEDS, Mode::Nftables.needs(), more].concat();
    let in_guest = Test {
        name: guest_kube_proxies::name("and_its_plan_do_not_differ", MINOR),
        needs: LAB_NEEDS
            .iter()
            .chain(Mode::Ipvs.needs())
            .copied()
            .chain([Need::MountNamespace, Need::KubeProxy(MINOR)])
            .collect(),
        body: Box::new(|| ipvs(MINOR)),
    };
    vec![
        in_guest,
        Test {
            name: "verify_compares_random_services_and_a_clusters".into(),
            needs: needs(&[Need::KubeProxy(MINOR)]),
            body: Box::new(compared),
        },
        Test {
            name: "verify_refuses_what_is_no_kube_proxy".into(),
            needs: needs(&[]),
            body: Box::new(refused),
        },
    ]
}

fn verify(args: &[&str]) -> Output {
    let before = Fingerprint::take();
    let output =
        Command::new(env!("CARGO_BIN_EXE_svcbench")).arg("verify").args(args).output().expect("svcbench");
    assert_eq!(before.changes(&Fingerprint::take()), Vec::<String>::new());
    output
}

fn compared() {
    let base = ["--kube-proxy", "1.37", "--mode", "nftables", "--json"];
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), include_str!("../../dataplane/tests/golden/example.json")).unwrap();
    let path = file.path().to_str().unwrap();
    for (what, states) in
        [(&["--random", "1", "--seed", "3"][..], 4), (&["--from", path, "--node", "node1"], 4)]
    {
        let output = verify(&[&base[..], what].concat());
        let report = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{report}{}", String::from_utf8_lossy(&output.stderr));
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert!(report["kube_proxy"].as_str().unwrap().starts_with("kube-proxy v1.37."), "{report}");
        for family in report["modes"][0]["families"].as_array().unwrap() {
            assert_eq!(family["states"], states, "{report}");
        }
    }
}

fn refused() {
    let output = verify(&["--kube-proxy", "/bin/sh"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(" is no kube-proxy: "), "{text}");
}

/// Every feature and a change of it: ipsets, virtual servers, addresses, rules and programs. kube-proxy runs a program for each entry of
/// an ipset, which takes a guest minutes, so that it is not more.
fn ipvs(minor: u8) {
    let stop = Stop::new();
    let path = find_kube_proxy(minor).unwrap();
    let subject = Arc::new(Subject::open(path, &stop, VERSION_LIMIT).unwrap());
    let planned = KubeProxy::ALL.into_iter().find(|known| known.name() == format!("1.{minor}")).unwrap();
    let mut subjects = Subjects::features().unwrap();
    subjects.sequences[0].steps.truncate(2);
    let modes = vec![Mode::Ipvs];
    let question = Question { subject, planned, modes, subjects, has_zone: true, recorder: None };
    let report = fidelity::verify(&question, &stop, &unchanged, &|_| ());
    assert_eq!((report.differences(), report.failures()), (0, 0), "{report}");
    for family in &report.modes[0].families {
        let counts = family.counts;
        assert!(counts.states == 2 && counts.starts > 0 && counts.rules > 100, "{report}");
    }
}
