//! Standard output and standard error that are full, closed, or read by nobody. Needs no privilege.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use tempfile::TempDir;

const SVCBENCH: &str = env!("CARGO_BIN_EXE_svcbench");
/// Rows of a run, with their head.
const ROWS: usize = 400;
/// Commands whose answer is what they print.
const ANSWERS: [&[&str]; 8] = [
    &["plan", "--mode", "nftables", "--services", "3"],
    &["plan", "--mode", "nftables", "--services", "2000"],
    &["plan", "--mode", "nftables", "--services", "3", "--stats"],
    &["doctor"],
    &["run", "smoke", "--dry-run"],
    &["run", "smoke", "--dry-run", "--json"],
    &["claims", "REFERENCE"],
    &["compare", "REFERENCE", "REFERENCE"],
];

/// Of them, those that are there at once.
fn quick() -> impl Iterator<Item = &'static [&'static str]> {
    // `doctor` looks at the machine for some seconds.
    ANSWERS.into_iter().filter(|args| !args.contains(&"REFERENCE") && args[0] != "doctor")
}

/// The beginning of a run that the repository has: enough to answer from, and soon read.
fn reference() -> PathBuf {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| beginning_of("reference"));
    FOLDER.path().to_owned()
}

fn beginning_of(name: &str) -> TempDir {
    let (from, to) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("../results").join(name), TempDir::new().unwrap());
    for file in ["environment.json", "sweep.toml"] {
        fs::copy(from.join(file), to.path().join(file)).unwrap();
    }
    let records = fs::read_to_string(from.join("records.csv")).unwrap();
    let records: String = records.split_inclusive('\n').take(ROWS).collect();
    fs::write(to.path().join("records.csv"), records).unwrap();
    to
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(SVCBENCH);
    for arg in args {
        match *arg {
            "REFERENCE" => command.arg(reference()),
            arg => command.arg(arg),
        };
    }
    command.stdin(Stdio::null());
    command
}

/// Takes nothing: `write(2)` fails with ENOSPC.
fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// A pipe that nobody reads any more.
fn unread() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

/// It has not panicked.
#[track_caller]
fn ends(output: &Output, code: i32, args: &[&str]) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(!said.contains("panicked"), "{args:?}: {said}");
    said
}

#[test]
fn an_answer_that_cannot_be_printed_is_a_failure_of_its_own() {
    for args in ANSWERS {
        let usual = command(args).output().unwrap();
        assert!(!usual.stdout.is_empty(), "{args:?}");
        let output = command(args).stdout(full()).stderr(Stdio::piped()).output().unwrap();
        let said = ends(&output, 74, args);
        assert!(said.contains("svcbench: standard output takes no more: No space left on device"), "{said}");
    }
}

#[test]
fn a_reader_who_has_enough_is_no_failure_and_changes_no_verdict() {
    let other = beginning_of("reference-xeon");
    let verdict = [&["compare", "REFERENCE", other.path().to_str().unwrap()][..]];
    for args in ANSWERS.into_iter().chain(verdict) {
        let usual = command(args).output().unwrap();
        let output = command(args).stdout(unread()).stderr(Stdio::piped()).output().unwrap();
        // What `doctor` cannot do here is told by its code, but only to those who read on.
        let code = if args[0] == "doctor" { 0 } else { usual.status.code().unwrap() };
        let said = ends(&output, code, args);
        assert!(!said.contains("standard output"), "{args:?}: {said}");
    }
}

#[test]
fn messages_that_nobody_gets_change_nothing() {
    for args in quick() {
        let usual = command(args).output().unwrap();
        for stderr in [full(), unread()] {
            let output = command(args).stdout(Stdio::piped()).stderr(stderr).output().unwrap();
            ends(&output, usual.status.code().unwrap(), args);
            assert!(output.stdout == usual.stdout, "{args:?}");
        }
    }
    let wrong = command(&["plan", "--mode", "no-such-mode"]).stderr(full()).output().unwrap();
    ends(&wrong, 2, &[]);
    let missing = command(&["claims", "/no/such/folder"]).stderr(full()).output().unwrap();
    ends(&missing, 2, &[]);
}

#[test]
fn closed_streams_are_nothing() {
    for args in quick() {
        let usual = command(args).output().unwrap();
        for redirection in [">&- 2>&-", "<&- >&- 2>&-"] {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("exec \"$0\" \"$@\" {redirection}")]);
            let own = command(args);
            shell.arg(own.get_program()).args(own.get_args());
            let output = shell.output().unwrap();
            ends(&output, usual.status.code().unwrap(), args);
        }
    }
}

#[test]
fn a_report_is_made_whoever_hears_of_it() {
    for flags in [&[][..], &["--quiet"][..]] {
        for (stdout, stderr) in [(full(), full()), (unread(), unread()), (Stdio::piped(), full())] {
            let folder = beginning_of("reference");
            let args = [&["report", folder.path().to_str().unwrap()][..], flags].concat();
            let output = command(&args).stdout(stdout).stderr(stderr).output().unwrap();
            ends(&output, 0, &args);
            assert!(folder.path().join("report.html").exists(), "{args:?}");
        }
    }
    let folder = beginning_of("reference");
    let path = folder.path().to_str().unwrap();
    let output = command(&["report", path]).stdout(full()).stderr(Stdio::piped()).output().unwrap();
    let said = ends(&output, 0, &[]);
    let report = folder.path().join("report.html");
    assert!(said.contains("standard output takes no more"), "{said}");
    assert!(said.contains(&*report.to_string_lossy()), "where it lies is said all the same: {said}");
}
