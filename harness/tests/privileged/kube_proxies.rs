//! Sweeps over real kube-proxies.

pub(crate) mod fakes;
mod given;
mod kills;

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;

use dataplane::Mode;
use netns_setup::{Fingerprint, Need};
use results::names::{metric, workload};
use results::record::{Record, Status};
use svcbench::lane::LAB_NEEDS;
use trials::Test;

use self::given::{binary, needs};
use crate::children::Place;

/// Gaps longer than what kube-proxy waits between two syncs: each change is synced for itself.
const SWEEP: &str = r#"
question = "Does this test pass?"
seed = 1
modes = ["MODE"]
services = [10]
endpoints = 3
systems = ["kube-proxy:1.3"]

[system]
changes = ["replace-endpoint", "add-endpoint", "remove-endpoint", "add-service", "remove-service", "hundred-endpoints"]
repeats = 1
gap_seconds = 2.5
stall_milliseconds = 500
rates = [2]
rate_seconds = 4
away_seconds = 2
relist = true
limit_seconds = 300
"#;

pub(crate) fn tests() -> Vec<Test> {
    let test = |name: &str, needs: Vec<Need>, body: fn()| Test {
        name: name.to_owned(),
        needs,
        body: Box::new(body),
    };
    let nftables = || LAB_NEEDS.iter().chain(Mode::Nftables.needs()).copied().collect::<Vec<_>>();
    let both = [needs(Mode::Nftables), needs(Mode::IptablesLegacy)].concat();
    let mut tests = vec![
        test("killed_at_any_moment_a_run_of_a_real_kube_proxy_leaves_nothing", both, kills::at_any_moment),
        test("rules_that_the_kernel_refuses_make_a_failed_row", needs(Mode::Nftables), fakes::refused_rules),
        test(
            "a_kube_proxy_that_ends_hangs_or_asks_too_much_is_a_failed_row",
            nftables(),
            fakes::end_hang_and_ask,
        ),
        test("a_file_that_cannot_be_run_is_a_failed_row", nftables(), fakes::no_programs),
        test("what_is_no_kube_proxy_makes_failed_rows_and_what_is_missing_skipped_ones", nftables(), unfit),
    ];
    for mode in [Mode::Nftables, Mode::IptablesLegacy] {
        tests.push(Test {
            name: format!("a_real_kube_proxy_is_measured_end_to_end::{mode}"),
            needs: needs(mode),
            body: Box::new(move || measured(mode)),
        });
    }
    tests
}

fn sweep(mode: Mode) -> String {
    SWEEP.replace("MODE", mode.name())
}

#[track_caller]
fn exits(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
}

fn measured(mode: Mode) {
    let place = Place::new();
    let before = Fingerprint::take();
    let output = place.run(&sweep(mode), &["--kube-proxy-binary", &binary()]);
    let records = if place.out().exists() { place.records() } else { Vec::new() };
    let bad: Vec<_> = records.iter().filter(|row| row.status != Status::Ok).map(|row| &row.note).collect();
    assert_eq!(bad, Vec::<&results::record::Text>::new());
    exits(&output, 0);
    assert_eq!(before.changes(&Fingerprint::take()), Vec::<String>::new());
    assert_eq!(place.processes(), Vec::<std::path::PathBuf>::new());

    let is_named = |row: &Record| {
        row.cell.system.starts_with("kube-proxy v1.37.") && row.cell.system.contains(" sha256:")
    };
    assert!(records.iter().all(|row| is_named(row) && row.cell.mode == mode.name()), "{records:?}");
    let find = |workload: &str, metric: &str| {
        records.iter().find(|row| row.cell.workload == workload && row.metric == metric)
    };
    let value = |workload: &str, metric: &str| {
        find(workload, metric).unwrap_or_else(|| panic!("no {workload} {metric}: {records:?}"))
    };
    for start in [workload::KUBE_PROXY_JOIN, workload::KUBE_PROXY_RESTART] {
        for metric in [
            metric::FIRST_SYNC_ENDED,
            metric::OWN_FIRST_SYNC,
            metric::OWN_SYNC,
            metric::PROCESS_CPU,
            metric::PROCESS_PEAK_RSS,
            metric::GOROUTINES,
            metric::HEAP,
        ] {
            assert!(value(start, metric).max > Some(0), "{start} {metric}");
        }
        let listed = value(start, metric::LISTED).max;
        assert!(listed < value(start, metric::FIRST_SYNC_ENDED).max, "{listed:?}");
    }
    let positions: BTreeSet<&str> = records
        .iter()
        .filter(|row| row.cell.workload == workload::KUBE_PROXY_JOIN && row.metric == metric::FIRST_ANSWER)
        .map(|row| row.cell.position.as_str())
        .collect();
    assert_eq!(positions, BTreeSet::from(["first", "last", "middle"]));
    for outage in [workload::KUBE_PROXY_API_AWAY, workload::KUBE_PROXY_RELIST] {
        assert!(value(outage, metric::RECOVERED).max > Some(0), "{outage}");
        value(outage, metric::LOST_PACKETS);
    }
    value(workload::KUBE_PROXY_RESTART, metric::LOST_PACKETS);
    assert_eq!(value("kube_proxy_rate_2", metric::PROGRAMMING_LATENCY).n, 8);
    assert!(value(workload::KUBE_PROXY_JOIN, metric::API_SERVER_CPU).max > Some(0));

    let kinds: Vec<&Record> = records
        .iter()
        .filter(|row| {
            row.metric == metric::PROGRAMMING_LATENCY
                && row.cell.workload != workload::KUBE_PROXY_CHANGES
                && !row.cell.workload.starts_with(workload::KUBE_PROXY_RATE)
        })
        .collect();
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    let all = value(workload::KUBE_PROXY_CHANGES, metric::PROGRAMMING_LATENCY);
    assert_eq!((all.n, all.max), (6, kinds.iter().filter_map(|row| row.max).max()));
    // The stall, which is the only thing that is known of times here.
    let stalled: Vec<_> = kinds.iter().filter(|row| row.note.contains("stopped for 500 ms")).collect();
    assert!(stalled.len() == 1 && stalled[0].max > Some(400_000_000), "{kinds:?}");
    assert!(all.max > Some(400_000_000) && all.note.contains("stopped for 500 ms"));
    for metric in [
        metric::PROBE_RESOLUTION,
        metric::OWN_NETWORK_PROGRAMMING,
        metric::OWN_DIFFERENCE,
        metric::OWN_FULL_SYNC,
        metric::OWN_PARTIAL_SYNC,
        metric::OWN_FAILURES,
    ] {
        // Which syncs are partial is for kube-proxy to say.
        let may_lack = metric == metric::OWN_FULL_SYNC || metric == metric::OWN_PARTIAL_SYNC;
        assert!(may_lack || find(workload::KUBE_PROXY_CHANGES, metric).is_some(), "{metric}");
    }
    assert!(find(workload::KUBE_PROXY_CHANGES, metric::OWN_SYNC).is_some());
    // Programs are seen where the kernel says what it starts, which it does to root of the machine.
    assert!(value(workload::KUBE_PROXY_CHANGES, metric::PROGRAM_WRITING).n > 0);
    assert!(value(workload::KUBE_PROXY_CHANGES, metric::PROGRAMS_PEAK_RSS).max > Some(0));
    let report = fs::read_to_string(place.out().join("report.html")).unwrap();
    assert!(report.contains("kube_proxy_changes"));
}

fn unfit() {
    let only = |records: Vec<Record>| {
        let [row] = <[Record; 1]>::try_from(records).unwrap();
        (row.status, row.note.to_string(), row.cell.system.to_string())
    };
    let place = Place::new();
    let output = place.run(&sweep(Mode::Nftables), &["--kube-proxy-binary", "/bin/true"]);
    exits(&output, 1);
    let (status, note, system) = only(place.records());
    assert_eq!(status, Status::Failed);
    assert!(note.contains("is no kube-proxy: `--version` says: true (GNU coreutils)"), "{note}");
    assert!(system.starts_with("kube-proxy:/"), "{system}");

    let place = Place::new();
    let output = place.run(&sweep(Mode::Nftables), &[]);
    exits(&output, 0);
    let (status, note, system) = only(place.records());
    assert_eq!((status, system.as_str()), (Status::Skipped, "kube-proxy:1.3"));
    assert!(note.contains("run `scripts/kube-proxy 1.3`"), "{note}");
}
