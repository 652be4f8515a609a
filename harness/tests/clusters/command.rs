//! `svcbench plan --from`, as people and scripts see it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

use crate::EVERYTHING_YAML;

fn everything() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dataplane/tests/golden/clusters/everything.json")
}

fn plan(args: &[&str], input: &str) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_svcbench"));
    command
        .current_dir(everything().parent().unwrap())
        .env("COLUMNS", "100")
        .timeout(Duration::from_secs(600));
    command.arg("plan").args(args).write_stdin(input).output().unwrap()
}

/// Both outputs and the exit code.
fn shown(args: &[&str]) -> String {
    let output = plan(args, "");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    format!(
        "$ svcbench plan {}\n{}--- stderr\n{}--- exit code {code}\n",
        args.join(" "),
        text(output.stdout),
        text(output.stderr)
    )
}

#[test]
fn what_is_assumed_and_passed_over_is_reported() {
    let stats = ["-m", "nftables", "--from", "everything.json", "--stats"];
    let with = |more: &[&str]| shown(&[&stats[..], more].concat());
    let all = [
        with(&["--node", "n1"]),
        with(&["--node", "n1", "--family", "ipv6"]),
        with(&["--node-ip", "192.0.2.1", "--cluster-cidr", "10.244.0.0/16"]),
        with(&["--node-ip", "fd00:10:10::9"]),
        with(&["--node", "n1", "--quiet"]),
        with(&["--node", "n1", "--json", "--quiet"]),
    ];
    insta::assert_snapshot!("reported", all.join("\n"));
}

#[test]
fn what_does_not_go_together_is_bad_input() {
    let wrong: [&[&str]; 6] = [
        &["--node", "n4"],
        &["--node", "n1", "--family", "ipv6", "--node-ip", "10.10.0.1"],
        &["--node-ip", "fd00::1", "--cluster-cidr", "10.244.0.0/16"],
        &["--family", "ipv5"],
        &["--services", "3"],
        &["--from-services", "3"],
    ];
    let start = ["-m", "nftables", "--from", "everything.json"];
    let mut all: Vec<String> = wrong.iter().map(|args| shown(&[&start[..], args].concat())).collect();
    all.push(shown(&["-m", "nftables", "--services", "1", "--node", "n1"]));
    assert!(all.iter().all(|text| text.ends_with("--- exit code 2\n")), "{all:?}");
    insta::assert_snapshot!("wrong", all.join("\n"));
}

#[test]
fn standard_input_is_as_good_as_a_file() {
    let args = ["-m", "iptables-legacy", "--node", "n1", "--from"];
    let file = plan(&[&args[..], &["everything.json"]].concat(), "");
    let stream = plan(&[&args[..], &["-"]].concat(), EVERYTHING_YAML);
    assert!(file.status.success() && !file.stdout.is_empty());
    assert_eq!(file.stdout, stream.stdout);
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(said(&file.stderr).replace("everything.json:", "standard input:"), said(&stream.stderr));
}

#[test]
fn the_numbers_are_there_for_programs() {
    let output = plan(&["-m", "ipvs", "--from", "everything.yaml", "--node", "n1", "--json", "--quiet"], "");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        json["cluster"]["passed_over"]["services"]["headless"]["names"],
        serde_json::json!(["shop/db"])
    );
    assert!(output.stderr.is_empty());
}
