//! scripts/ci, and the example workflows that call it: with a stand-in for `svcbench` that ends as it is asked to. The real
//! thing is in the privileged tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;

const SVCBENCH: &str = env!("CARGO_BIN_EXE_svcbench");

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Writes down how it was called, "measures", and "compares".
const STAND_IN: &str = r#"#!/bin/sh
echo "$*" >>calls
case "$1" in
run) mkdir -p "$4" && echo "$RUN" >"$4/records.csv" && exit "$RUN" ;;
compare) echo "compared as $5" && exit "$COMPARE" ;;
esac
"#;

/// A folder with the stand-in.
struct Place(tempfile::TempDir);

/// What a call of scripts/ci did.
struct Called {
    code: i32,
    stderr: String,
    calls: String,
    summary: String,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("svcbench");
        fs::write(&program, STAND_IN).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    /// scripts/ci, with how the two commands end.
    fn ci(&self, run: i32, compare: i32, args: &[&str]) -> Called {
        let path = self.0.path();
        let _ = fs::remove_dir_all(path.join("new"));
        ["calls", "summary"].iter().for_each(|file| drop(fs::remove_file(path.join(file))));
        let output = Command::new(repository().join("scripts/ci"))
            .args(["--base", "base", "--out", "new"])
            .args(args)
            .current_dir(path)
            .env("SVCBENCH", path.join("svcbench"))
            .env("GITHUB_STEP_SUMMARY", path.join("summary"))
            .envs([("RUN", run.to_string()), ("COMPARE", compare.to_string())])
            .env_remove("GITHUB_ACTIONS")
            .output()
            .unwrap();
        Called {
            code: output.status.code().unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            calls: self.read("calls"),
            summary: self.read("summary"),
        }
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.path().join(file)).unwrap_or_default()
    }

    fn has(&self, file: &str) -> bool {
        self.0.path().join(file).exists()
    }
}

#[test]
fn the_first_run_has_nothing_to_be_compared_with_and_is_kept() {
    let place = Place::new();
    let called = place.ci(0, 3, &["--yes"]);
    assert_eq!((called.code, called.calls.as_str()), (0, "run ci --out new\n"), "{}", called.stderr);
    assert!(called.stderr.contains("first run") && called.summary.contains("First run"), "{}", called.stderr);
    assert!(!place.has("base"), "nobody asked to keep it");

    let called = place.ci(0, 3, &["--keep"]);
    assert_eq!((called.code, place.has("base/records.csv")), (0, true), "{}", called.stderr);
    let called = place.ci(0, 0, &[]);
    assert!(called.calls.contains("compare base new --format markdown"), "{}", called.calls);
}

#[test]
fn every_verdict_has_its_exit_code_and_its_words() {
    let place = Place::new();
    place.ci(0, 0, &["--keep"]);
    for (run, compare, code, words) in [
        (0, 0, 0, "nothing is worse"),
        (0, 3, 3, "something is worse"),
        (0, 4, 4, "inconclusive"),
        (0, 5, 5, "--accept FIELD"),
        (0, 2, 2, "could not be compared"),
        (1, 0, 1, "a cell failed"),
        (2, 0, 2, "the run could not be made"),
        (69, 0, 69, "cannot measure"),
        (130, 0, 130, "interrupted"),
    ] {
        let called = place.ci(run, compare, &[]);
        assert_eq!(called.code, code, "{}", called.stderr);
        assert!(called.stderr.contains(words), "{}", called.stderr);
        let compared = run == 0;
        assert_eq!(called.calls.matches("compare").count(), if compared { 3 } else { 0 });
        assert_eq!(called.summary, if compared { "compared as markdown\n" } else { "" });
        for (file, format) in [("compare.txt", "text"), ("compare.md", "markdown"), ("junit.xml", "junit")] {
            let wanted = if compared { format!("compared as {format}\n") } else { String::new() };
            assert_eq!(place.read(&format!("new/{file}")), wanted);
        }
    }
}

#[test]
fn a_base_is_replaced_by_what_is_no_worse_or_cannot_be_compared() {
    let place = Place::new();
    for (compare, kept) in [(0, true), (3, false), (4, false), (5, true), (2, false)] {
        place.ci(0, 0, &["--keep"]);
        fs::write(place.0.path().join("base/old"), "").unwrap();
        place.ci(0, compare, &["--keep"]);
        assert_eq!(place.has("base/old"), !kept, "{compare}");
        assert!(place.has("base/records.csv") && !place.has("base.new"));
        fs::remove_dir_all(place.0.path().join("base")).unwrap();
    }
}

#[test]
fn what_is_for_svcbench_goes_there() {
    let place = Place::new();
    place.ci(0, 0, &["--keep"]);
    let args = ["--accept", "kernel", "--accept", "command line", "--sweep", "own.toml", "--", "--no-limit"];
    let called = place.ci(0, 0, &args);
    assert_eq!(called.code, 0, "{}", called.stderr);
    let first = called.calls.lines().next();
    assert_eq!(first, Some("run own.toml --out new --no-limit"));
    let compare = "compare base new --format text --accept kernel --accept command line\n";
    assert!(called.calls.contains(compare), "{}", called.calls);
    for args in [&["--frob"][..], &["--base"], &["--keep", "--", "--plant", "nftables:9"]] {
        let called = place.ci(0, 0, args);
        assert_eq!((called.code, called.calls.as_str()), (2, ""), "{args:?}: {}", called.stderr);
    }
}

#[derive(Deserialize)]
struct GitHub {
    jobs: BTreeMap<String, Job>,
}

#[derive(Deserialize)]
struct Job {
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    run: Option<String>,
}

#[derive(Deserialize)]
struct GitLabJob {
    #[serde(default)]
    script: Vec<String>,
}

/// Every command of both examples.
fn commands() -> Vec<String> {
    let read = |name: &str| fs::read_to_string(repository().join("scripts/workflows").join(name)).unwrap();
    let github: GitHub = serde_saphyr::from_str(&read("github-actions.yml")).unwrap();
    let steps = github.jobs.into_values().flat_map(|job| job.steps);
    let mut commands: Vec<String> = steps.filter_map(|step| step.run).collect();
    let gitlab: BTreeMap<String, serde_json::Value> = serde_saphyr::from_str(&read("gitlab-ci.yml")).unwrap();
    let jobs = gitlab.into_values().filter_map(|job| serde_json::from_value::<GitLabJob>(job).ok());
    commands.extend(jobs.flat_map(|job| job.script));
    commands
}

fn help(program: &Path, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = Command::new(program).args(args).output().unwrap();
    assert!(status.success(), "{program:?} {args:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// Flags among words, such as `--out` or `--out=x`.
fn flags(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| c.is_whitespace() || "'\"`,;|()[]=.".contains(c));
    words.filter(|word| word.starts_with("--") && word.len() > 2)
}

#[test]
fn examples_call_what_there_is() {
    let commands = commands();
    assert_eq!(commands.len(), 3, "{commands:?}");
    let script = repository().join("scripts/ci");
    let known = help(&script, &["--help"]);
    let known: Vec<&str> = flags(&known).collect();
    for command in commands {
        assert!(command.starts_with("scripts/ci --yes "), "{command}");
        let unknown = flags(&command).find(|flag| !known.contains(flag));
        assert_eq!(unknown, None, "{command}");
    }
}

#[test]
fn the_script_calls_svcbench_as_it_is() {
    let script = fs::read_to_string(repository().join("scripts/ci")).unwrap();
    let mut called = 0;
    for line in script.lines().filter_map(|line| line.trim().strip_prefix("\"$svcbench\" ")) {
        let command = line.split_whitespace().next().unwrap();
        let known = help(Path::new(SVCBENCH), &[command, "--help"]);
        let known: Vec<&str> = flags(&known).collect();
        // Those of the array, too.
        let unknown = flags(line).chain(["--accept"].into_iter().filter(|_| command == "compare"));
        let unknown: Vec<&str> = unknown.filter(|flag| !known.contains(flag)).collect();
        assert_eq!(unknown, Vec::<&str>::new(), "svcbench {line}");
        called += 1;
    }
    assert_eq!(called, 2, "run and compare");
    let formats = help(Path::new(SVCBENCH), &["compare", "--help"]);
    for format in ["text", "markdown", "junit"] {
        assert!(formats.contains(format), "{formats}");
    }
}
