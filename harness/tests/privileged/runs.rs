//! Whole runs of the binary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use dataplane::Mode;
use netns_setup::{Fingerprint, find_program};
use results::environment::{Environment, Severity, Warning};
use results::record::{Record, Status};
use svcbench::lane::unable_modes;
use svcbench::sweep::Sweep;
use svcbench::sweep::cell::{Cell, Workload};
use svcbench::sweep::order;

use crate::children::{Place, SVCBENCH, few_are_late, is_as_it_should_be, is_late};

/// Seconds, not minutes: one control and two modes that share no tool.
const TINY: &str = r#"
question = "Does this test pass?"
seed = 1
kube_proxy = "1.37"
modes = ["direct", "iptables-legacy", "nftables"]
services = [10]
endpoints = 2

[lookup]
blocks = 1
positions = ["first", "last"]
probes = 50

[sync]
operations = ["cold", "noop"]
blocks = 1
budget_seconds = 1
"#;

/// On a busy machine, such as one that runs tests, a cell may be predicted to take too long.
const NO_LIMIT: &[&str] = &["--no-limit"];

#[track_caller]
fn exits(output: &Output, code: i32) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// A list for every mode of the sweep, and none else.
fn by_mode<'a>(records: &'a [Record], sweep: &Sweep) -> BTreeMap<&'a str, Vec<&'a Record>> {
    let mut modes: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    records.iter().for_each(|record| modes.entry(&record.cell.mode).or_default().push(record));
    let wanted: BTreeSet<_> = sweep.modes.iter().map(|mode| mode.name()).collect();
    assert_eq!(modes.keys().copied().collect::<BTreeSet<_>>(), wanted, "modes that have rows");
    modes
}

fn tiny() -> Sweep {
    Sweep::parse("tiny", TINY).unwrap()
}

pub(crate) fn smoke() {
    let place = Place::new();
    let before = Fingerprint::take();
    let output = place.run("smoke", NO_LIMIT);
    let late = output.status.code() == Some(1) && place.records().iter().any(is_late);
    exits(&output, i32::from(late));
    assert_eq!(before.changes(&Fingerprint::take()), Vec::<String>::new());
    assert_eq!(crate::children::entries(place.path()), [place.out()], "nothing beside the folder");

    let files = place.files();
    for wanted in
        ["records.csv", "histograms.hlog", "environment.json", "sweep.toml", "report.html", "summary.md"]
    {
        assert!(files.get(wanted).is_some_and(|content| !content.is_empty()), "{wanted}: {:?}", files.keys());
    }
    assert!(files.keys().filter(|file| file.ends_with(".svg")).count() >= 3, "{:?}", files.keys());
    assert!(files.keys().all(|file| !file.ends_with(".tmp")), "{:?}", files.keys());
    let stdout = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert_eq!(
        stdout,
        place.out().join("report.html").to_string_lossy(),
        "standard output says where the report is"
    );

    every_able_mode_is_measured(&place.records());

    let again = Command::new(SVCBENCH).arg("report").arg(place.out()).output().unwrap();
    exits(&again, 0);
    assert!(place.files() == files, "the report of the same rows is the same, byte for byte");
}

fn every_able_mode_is_measured(records: &[Record]) {
    let sweep = Sweep::load("smoke").unwrap().0;
    let unable = unable_modes(&sweep.modes);
    let modes = by_mode(records, &sweep);
    for &mode in &sweep.modes {
        let rows = &modes[mode.name()];
        if let Some(reason) = unable.get(&mode) {
            assert!(rows.iter().all(|row| row.status == Status::Skipped && row.note == *reason), "{rows:?}");
            continue;
        }
        assert!(few_are_late(records, mode.name()), "{mode}");
        let bad = rows.iter().find(|row| !is_as_it_should_be(row));
        assert_eq!(
            bad.map(|row| (row.cell.order, &row.cell.workload, row.status, &row.note)),
            None,
            "{mode}"
        );
        let measured: BTreeSet<_> = rows.iter().map(|row| row.cell.workload.as_str()).collect();
        // Controls have no shares.
        let wanted = if mode.is_control() { 2 } else { 13 };
        assert_eq!(measured.len(), wanted, "{mode}: {measured:?}");
    }
    if let Some(reason) = unable.get(&Mode::Ipvs) {
        assert!(reason.contains("ip_vs") || reason.contains("does not program IPVS"), "{reason}");
    }
    // Every cell has rows, but for what later visits may leave out: modes that cannot run, syncs beyond the budget.
    let done: BTreeSet<u32> = records.iter().map(|record| record.cell.order).collect();
    let may_lack = |cell: &Cell| unable.contains_key(&cell.mode) || cell.workload == Workload::Sync;
    let cells = order::order(&sweep);
    let missing =
        cells.iter().find(|cell| !done.contains(&cell.order) && (!cell.is_in_budget() || !may_lack(cell)));
    assert_eq!(missing, None);
}

/// Outputs are full, or closed: it measures, and writes its report.
pub(crate) fn without_outputs() {
    for (flags, redirection) in [
        (&[][..], ">/dev/full 2>/dev/full"),
        (&["--quiet"][..], ">/dev/full 2>/dev/full"),
        (&[][..], ">&- 2>&-"),
    ] {
        let place = Place::new();
        let shell = format!("exec \"$@\" {redirection}");
        let before = ["sh", "-c", &shell, "sh"];
        let output = place.command(&before, TINY, &[NO_LIMIT, flags].concat()).output().unwrap();
        measured_all_the_same(&place, &output);
    }
}

/// The terminal is gone, whose other end a connection had: each write fails with EIO.
pub(crate) fn on_a_dead_terminal() {
    for flags in [&[][..], &["--quiet"][..]] {
        let place = Place::new();
        let terminal = nix::pty::openpty(None, None).unwrap();
        let other = || terminal.slave.try_clone().unwrap();
        let mut command = place.command(&[], TINY, &[NO_LIMIT, flags].concat());
        command.stdout(other()).stderr(other());
        drop(terminal.master);
        let output = command.output().unwrap();
        measured_all_the_same(&place, &output);
    }
}

#[track_caller]
fn measured_all_the_same(place: &Place, output: &Output) {
    let records = place.records();
    exits(output, i32::from(records.iter().any(is_late)));
    for (mode, rows) in by_mode(&records, &tiny()) {
        assert!(few_are_late(&records, mode), "{mode}");
        assert!(rows.iter().all(|row| is_as_it_should_be(row)), "{mode}: {rows:?}");
    }
    let files = place.files();
    assert!(["report.html", "summary.md"].iter().all(|file| files.contains_key(*file)), "{:?}", files.keys());
}

pub(crate) fn failing_program() {
    let place = Place::new();
    let shims = tempfile::tempdir().unwrap();
    let shim = shims.path().join("iptables-legacy-restore");
    fs::write(&shim, "#!/bin/sh\necho out of luck >&2\nexit 3\n").unwrap();
    fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).unwrap();
    let mut path = shims.path().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());

    let output = place.command(&[], TINY, NO_LIMIT).env("PATH", path).output().unwrap();
    exits(&output, 1);
    let records = place.records();
    for (mode, rows) in by_mode(&records, &tiny()) {
        let wanted = if mode == "iptables-legacy" { Status::Failed } else { Status::Ok };
        assert!(rows.iter().all(|row| row.status == wanted), "{mode}: {rows:?}");
        for row in rows.iter().filter(|row| row.status == Status::Failed) {
            assert!(
                row.note.contains("`iptables-restore ") && row.note.contains("exit status: 3"),
                "{}",
                row.note
            );
            assert!(row.note.contains("out of luck"), "{}", row.note);
        }
    }
    let workloads: BTreeSet<_> = records
        .iter()
        .filter(|row| row.status == Status::Failed)
        .map(|row| row.cell.workload.as_str())
        .collect();
    assert_eq!(workloads, ["full_sync_cold", "packet_probe"].into(), "lookups and syncs alike");
    assert!(String::from_utf8_lossy(&output.stderr).contains("out of luck"), "it is said at once");
    assert!(place.files().contains_key("report.html"));
}

pub(crate) fn missing_program() {
    let place = Place::new();
    let nft = find_program("nft").unwrap().canonicalize().unwrap();
    // A program is looked for in /usr/sbin too, whatever PATH says: so it is hidden, in a mount namespace.
    let hide = format!("mount --bind /dev/null {} && exec \"$@\"", nft.display());
    let output = place.command(&["unshare", "-m", "sh", "-c", &hide, "sh"], TINY, NO_LIMIT).output().unwrap();
    exits(&output, 0);
    for (mode, rows) in by_mode(&place.records(), &tiny()) {
        let wanted = if mode == "nftables" { Status::Skipped } else { Status::Ok };
        assert!(rows.iter().all(|row| row.status == wanted), "{mode}: {rows:?}");
        let tells_how = |row: &&Record| row.note.contains("apt install nftables");
        assert!(mode != "nftables" || rows.iter().all(tells_how), "{rows:?}");
    }
}

pub(crate) fn read_only_host() {
    let place = Place::new();
    fs::create_dir(place.out()).unwrap();
    // Everything that could be written to is read-only, but for the output folder.
    let script = format!(
        "mount --bind {0} {0} && for at in / /tmp /var /home /root; do \
         if mountpoint -q $at; then mount -o remount,bind,ro $at || exit 9; fi; done; \
         if touch /tmp/x 2>/dev/null; then exit 8; fi; exec \"$@\"",
        place.out().display()
    );
    let output =
        place.command(&["unshare", "-m", "sh", "-c", &script, "sh"], TINY, NO_LIMIT).output().unwrap();
    exits(&output, 0);
    assert!(place.records().iter().all(is_as_it_should_be));
    assert!(place.files().contains_key("report.html"));
}

/// Whatever this machine is like: what makes its figures unreliable is refused before anything is written. What is
/// allowed, or does no harm, is in the passport.
pub(crate) fn strict() {
    let place = Place::new();
    // Beside other tests there is load, and nobody knows what else.
    let all = svcbench::host::machine::NAMES.iter().flat_map(|name| ["--allow", name]);
    let allowed: Vec<&str> = ["--strict", "--no-limit"].into_iter().chain(all).collect();
    exits(&place.run(TINY, &allowed), 0);
    let passport = Environment::read(&place.out().join("environment.json")).unwrap();
    assert!(!passport.condition.is_unknown());
    let known = |warning: &Warning| svcbench::host::machine::NAMES.contains(&warning.name.as_str());
    assert!(passport.warnings.iter().all(known), "{:?}", passport.warnings);

    let place = Place::new();
    let refused = place.run(TINY, &["--strict", "--no-limit"]);
    if refused.status.code() == Some(0) {
        let passport = Environment::read(&place.out().join("environment.json")).unwrap();
        assert!(passport.warnings.iter().all(|warning| warning.severity != Severity::Unreliable));
        return;
    }
    exits(&refused, 69);
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(stderr.contains("fix: ") && stderr.contains("--allow NAME"), "{stderr}");
    assert!(!place.out().exists(), "nothing was measured");
}
