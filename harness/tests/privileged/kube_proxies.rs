//! Sweeps over real kube-proxies.

pub(crate) mod fakes;
mod given;
mod kills;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Output;
use std::sync::Arc;

use dataplane::{KubeProxy, Mode, Node};
use kube_proxy::{Subject, System};
use lab::stop::Stop;
use lab::xtables_lock::LOCK_FILE;
use netns_setup::{Fingerprint, Need, find_kube_proxy};
use nix::fcntl::{Flock, FlockArg};
use results::names::{metric, workload};
use results::record::{Record, Status};
use results::timeline::{self, ImpactRow, TIMELINES, TimelineRow};
use services::service_set::ServiceSet;
use svcbench::lane::LAB_NEEDS;
use trials::Test;

use self::given::{MINOR, binary, needs};
use crate::children::Place;
use crate::testbeds::{TIMEOUT, scale, wait_until};

/// Gaps longer than what kube-proxy waits between two syncs: each change is synced for itself.
const SWEEP: &str = r#"
question = "Does this test pass?"
seed = 1
modes = ["MODE"]
services = [10]
endpoints = 3
systems = ["kube-proxy:1.3"]

[system]
changes = ["replace-endpoint", "add-endpoint", "remove-endpoint", "add-service", "remove-service", "hundred-endpoints", "rolling-update"]
repeats = 1
gap_seconds = 2.5
stall_milliseconds = 500
rates = [2]
rate_seconds = 4
away_seconds = 2
relist = true
limit_seconds = 300

[system.load]
workload = "tcp_crr"
rate = 50
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
        test(
            "programs_of_a_real_kube_proxy_that_wait_for_the_lock_are_seen_to_wait",
            needs(Mode::IptablesLegacy),
            waits,
        ),
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
            metric::OWN_CONNTRACK,
            metric::OWN_QUEUED,
        ] {
            assert!(value(start, metric).max > Some(0), "{start} {metric}");
        }
        value(start, metric::OWN_CONNTRACK_DELETED);
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
    felt(&place, &value);
    rolled(&value);
    let waits = find(workload::KUBE_PROXY_CHANGES, metric::SYNC_LOCK_WAIT);
    assert_eq!(waits.is_some(), mode == Mode::IptablesLegacy, "only there is a lock");
    for metric in [metric::SYNC_OWN_WORK, metric::SYNC_WRITING] {
        assert!(value(workload::KUBE_PROXY_CHANGES, metric).max > Some(0), "{metric}");
    }
    // nftables mode lists over netlink.
    let lists = find(workload::KUBE_PROXY_CHANGES, metric::SYNC_LISTING);
    assert!(mode != Mode::Nftables || lists.is_none(), "{lists:?}");
    assert_eq!(value("kube_proxy_rate_2", metric::PROGRAMMING_LATENCY).n, 8);
    assert!(value(workload::KUBE_PROXY_JOIN, metric::API_SERVER_CPU).max > Some(0));

    let kinds: Vec<&Record> = records
        .iter()
        .filter(|row| {
            row.metric == metric::PROGRAMMING_LATENCY
                && row.cell.workload != workload::KUBE_PROXY_CHANGES
                && row.cell.workload != workload::KUBE_PROXY_ROLLING_UPDATE
                && !row.cell.workload.starts_with(workload::KUBE_PROXY_RATE)
        })
        .collect();
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    let all = value(workload::KUBE_PROXY_CHANGES, metric::PROGRAMMING_LATENCY);
    assert_eq!((all.n, all.max), (6, kinds.iter().filter_map(|row| row.max).max()));
    // The stall, which is the only thing that is known of times here.
    let stalled: Vec<_> = kinds.iter().filter(|row| row.note.contains("stopped for 500 ms")).collect();
    assert!(stalled.len() == 1 && stalled[0].max > Some(400_000_000), "{kinds:?}");
    assert!(all.p99 > Some(400_000_000) && all.note.contains("stopped for 500 ms"), "{all:?}");
    not_too_short(&records);
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

/// What the load felt, and over time.
fn felt<'a>(place: &Place, value: &impl Fn(&str, &str) -> &'a Record) {
    let impact: Vec<ImpactRow> = timeline::read(&timeline::impact_file(&place.out())).unwrap();
    let syncs: Vec<TimelineRow> = timeline::read(&place.out().join(TIMELINES)).unwrap();
    for disturbed in
        [workload::KUBE_PROXY_API_AWAY, workload::KUBE_PROXY_RELIST, workload::KUBE_PROXY_RESTART]
    {
        assert!(value(disturbed, metric::RESPONSE_BEFORE).n > 0, "{disturbed}");
        assert!(value(disturbed, metric::RESPONSE_DURING).n > 0, "{disturbed}");
        for metric in [metric::LOST_REQUESTS, metric::RESET_CONNECTIONS, metric::BLOCKED_TIME] {
            value(disturbed, metric);
        }
        let own = impact.iter().filter(|row| row.cell.workload == disturbed);
        let due: u64 = own.map(|row| row.due).sum();
        assert!(due > 0, "{disturbed}");
        // The change that was made meanwhile, or the first sync, was carried out by one.
        assert!(syncs.iter().any(|row| row.cell.workload == disturbed && row.end > row.start), "{disturbed}");
    }
}

/// Each pod came and went, and whoever went got nothing more.
fn rolled<'a>(value: &impl Fn(&str, &str) -> &'a Record) {
    let rolling = workload::KUBE_PROXY_ROLLING_UPDATE;
    let latency = value(rolling, metric::PROGRAMMING_LATENCY);
    assert!(latency.n > 3 && latency.max > Some(0), "{latency:?}");
    assert_eq!(value(rolling, metric::STALE_PACKETS).max, Some(0));
    value(rolling, metric::LOST_PACKETS);
}

/// Kinds of changes that kube-proxy counts, too; each comes once.
const OF_ENDPOINTS: [&str; 5] = [
    workload::KUBE_PROXY_REPLACE_ENDPOINT,
    workload::KUBE_PROXY_ADD_ENDPOINT,
    workload::KUBE_PROXY_REMOVE_ENDPOINT,
    workload::KUBE_PROXY_ADD_SERVICE,
    workload::KUBE_PROXY_HUNDRED_ENDPOINTS,
];

/// Programming latency is not smaller than kube-proxy's own metrics allow: its own mean, without the longest sync and the
/// longest way of a change to it. Where an endpoint goes, ours may be too short by the probe's resolution.
fn not_too_short(records: &[Record]) {
    let of = |metric: &'static str| {
        let own = move |row: &&Record| row.metric == metric;
        records.iter().filter(own)
    };
    let changes = |row: &&Record| row.cell.workload == workload::KUBE_PROXY_CHANGES;
    let Some(least) = of(metric::OWN_LEAST).find(changes) else {
        // The two count other changes, which a busy machine may bring about.
        return eprintln!("kube-proxy has counted other changes than there were: not compared");
    };
    let mean = |metric| {
        let own = of(metric).filter(|row| OF_ENDPOINTS.contains(&row.cell.workload.as_str()));
        let all: Vec<u64> = own.filter_map(|row| row.max).collect();
        assert_eq!(all.len(), OF_ENDPOINTS.len(), "{metric}");
        all.iter().sum::<u64>() / all.len() as u64
    };
    let (ours, resolution) = (mean(metric::PROGRAMMING_LATENCY), mean(metric::PROBE_RESOLUTION));
    assert!(Some(ours + resolution) >= least.max, "{ours} {resolution} {least:?}");
}

/// Somebody else holds the lock when there is something to sync.
fn waits() {
    let stop = Stop::new();
    let subject = Arc::new(Subject::open(find_kube_proxy(MINOR).unwrap(), &stop, TIMEOUT).unwrap());
    let set = ServiceSet::synthetic(scale(5, 2), 1);
    let node = Node::lab(KubeProxy::NEWEST);
    let mut system = System::prepare(&subject, Mode::IptablesLegacy, node, &set, 1, &stop).unwrap();
    system.start().unwrap();
    system.wait_until_synced(TIMEOUT).unwrap();
    system.wait_until_settled(TIMEOUT).unwrap();
    system.lock_waits(&[]).unwrap();
    let open = || fs::OpenOptions::new().create(true).append(true).open(LOCK_FILE);
    let file = system.testbed.lab.node.run(open).unwrap();
    let inode = file.metadata().unwrap().ino();
    let held = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap();
    system.change(&set.without(0)).unwrap();
    let is_waiting = |line: &str| line.contains("-> FLOCK") && line.contains(&format!(":{inode} "));
    wait_until("a program waits for the lock", || {
        fs::read_to_string("/proc/locks").unwrap().lines().any(is_waiting)
    });
    drop(held);
    system.wait_until_settled(TIMEOUT).unwrap();
    let waits = system.lock_waits(&[]).unwrap();
    assert!(waits.values().any(|wait| !wait.is_zero()), "{waits:?}");
    // Nobody is in the way any more.
    system.verify().unwrap();
    system.stop().unwrap();
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
