//! The command line, as people and scripts see it. Needs no privilege.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

const SVCBENCH: &str = env!("CARGO_BIN_EXE_svcbench");
const MODES: [&str; 8] =
    ["direct", "conntrack", "dnat", "iptables-legacy", "iptables-nft", "nftables", "ipvs", "ipvs-batched"];

/// Far longer than anything here takes, on a busy machine too.
const TIMEOUT: Duration = Duration::from_secs(600);

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(SVCBENCH);
    command.args(args).env("COLUMNS", "100").timeout(TIMEOUT);
    command
}

fn svcbench(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// Both outputs and the exit code; `folder` is machine-dependent and is taken out.
fn shown_without(folder: &Path, output: &Output) -> String {
    let text =
        |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace(&*folder.to_string_lossy(), "DIR");
    let mut shown = text(&output.stdout);
    if !output.stderr.is_empty() {
        shown.push_str(&format!("--- stderr\n{}", text(&output.stderr)));
    }
    format!("{shown}--- exit code {}\n", output.status.code().unwrap())
}

fn shown(args: &[&str]) -> String {
    shown_without(Path::new("/no/such/folder"), &svcbench(args))
}

#[test]
fn help_of_every_command() {
    for command in [
        "",
        "doctor",
        "plan",
        "run",
        "load",
        "load-server",
        "report",
        "serve",
        "claims",
        "history",
        "compare",
        "lock",
        "verify",
    ] {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        insta::assert_snapshot!(format!("help_{command}"), shown(&args));
    }
}

#[test]
fn verify_refuses_what_cannot_be_compared() {
    for (args, reason) in [
        (&["--kube-proxy", "1.x"][..], "expected a version, such as 1.37, or the path of a binary"),
        (&["--kube-proxy", "1.3"], "no kube-proxy 1.3 is built: run `scripts/kube-proxy 1.3`"),
        (&["--kube-proxy", "1.3", "--mode", "direct"], "direct is no mode of kube-proxy"),
        (&["--kube-proxy", "1.3", "--seed", "3"], "--random <K>"),
        (&["--kube-proxy", "1.3", "--node", "n1"], "--from <FILE>"),
        (&["--kube-proxy", "1.3", "--random", "0"], "0 is not in 1..=100000"),
        (&["--kube-proxy", "1.3", "--random", "2", "--from", "x"], "cannot be used with"),
        (&["--kube-proxy", "1.3", "--from", "/no/such/file"], "cannot read /no/such/file"),
        (&[], "--kube-proxy <VERSION|PATH>"),
    ] {
        let text = shown(&[&["verify"], args].concat());
        assert!(text.contains(reason) && text.ends_with("--- exit code 2\n"), "{args:?}: {text}");
    }
}

/// The reference run that the repository has.
fn reference() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/reference").to_string_lossy().into_owned()
}

#[test]
fn claims_of_a_run_are_printed() {
    let text = shown(&["claims", &reference()]);
    assert!(text.starts_with("iptables lookup is O(n)\n  → holds"), "{text}");
    assert!(text.ends_with("--- exit code 0\n"), "{text}");
    let markdown = shown(&["claims", &reference(), "--format", "markdown"]);
    assert!(markdown.contains("| iptables lookup is O(n) |"), "{markdown}");
    let claims: Value =
        serde_json::from_slice(&svcbench(&["claims", &reference(), "--json"]).stdout).unwrap();
    assert_eq!(claims.as_array().unwrap().len(), 19);
    assert_eq!(claims[0]["id"], "iptables-lookup-linear");
    let absent = shown(&["claims", "/no/such/folder"]);
    assert!(absent.contains("check that the path names a run's folder"), "{absent}");
    assert!(absent.ends_with("--- exit code 2\n"), "{absent}");
}

#[test]
fn a_history_leaves_out_what_it_cannot_read() {
    let out = tempfile::tempdir().unwrap();
    let pages = out.path().join("pages");
    let text = shown(&["history", &reference(), "/no/such/folder", "--out", &pages.to_string_lossy()]);
    assert!(text.contains("packet_probe lookup_first_packet p50, nftables"), "{text}");
    assert!(text.contains("svcbench: left out DIR: No such file"), "{text}");
    assert!(text.ends_with("--- exit code 0\n"), "{text}");
    assert!(pages.join("history.html").exists() && pages.join("history.svg").exists());
    let history: Value =
        serde_json::from_slice(&svcbench(&["history", &reference(), "--json"]).stdout).unwrap();
    assert_eq!(history["runs"].as_array().unwrap().len(), 1);
    let none = shown(&["history", "/no/such/folder"]);
    assert!(none.contains("no run could be read") && none.ends_with("--- exit code 2\n"), "{none}");
    assert!(shown(&["history", &reference(), "--level", "2"]).contains("from 0.005 to 0.2"));
}

#[test]
fn a_lock_that_nobody_has_made_is_reported() {
    let error = shown(&["lock", "--watch", "--lock-file", "/no/such/folder/lock"]);
    assert!(error.contains("there is no DIR/lock") && error.contains("--lock-file"), "{error}");
    assert!(error.ends_with("--- exit code 2\n"), "{error}");
    assert!(shown(&["lock"]).contains("--watch"));
}

/// A server and a client of ours on loopback: what a user does between two machines.
#[test]
fn a_load_against_an_address_accounts_for_every_request() {
    let mut server = std::process::Command::new(SVCBENCH)
        .args(["load-server", "127.0.0.1:0", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stderr = BufReader::new(server.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    let target = line.split_once(" on ").and_then(|(_, rest)| rest.split(';').next()).unwrap().to_owned();
    let mut answered = 0;
    for workload in ["tcp_crr", "tcp_rr", "tcp_stream", "udp_rr", "http", "http_keepalive"] {
        let args = ["load", workload, "--target", &target, "--rate", "200", "--duration", "0.5", "--json"];
        let output = svcbench(&args);
        assert_eq!(output.status.code(), Some(0), "{workload}: {}", String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let count = |name: &str| found[name].as_u64().unwrap();
        let parts = ["answered", "refused", "reset", "timed_out", "cancelled"].map(count);
        assert_eq!((count("started"), parts.iter().sum::<u64>()), (100, 100), "{workload}: {found}");
        assert!(count("answered") > 0 && count("late") <= 100, "{workload}: {found}");
        assert!(found["rate_per_second"].as_f64().unwrap() > 0.0);
        for times in ["response_ns", "service_ns"] {
            let at = |quantile: &str| found[times][quantile].as_u64().unwrap();
            assert!(at("p50") <= at("p99") && at("p99") <= at("max"), "{found}");
        }
        answered += count("answered");
    }
    // SIGTERM ends it in an orderly way.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(server.id() as i32), nix::sys::signal::Signal::SIGTERM)
        .unwrap();
    let output = {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut server.stdout.take().unwrap(), &mut text).unwrap();
        assert!(server.wait().unwrap().success());
        text
    };
    let served: Value = serde_json::from_str(&output).unwrap();
    assert!(served["answered"].as_u64().unwrap() >= answered, "{served}");
}

#[test]
fn plan_prints_every_mode() {
    for mode in MODES {
        let args = ["plan", "--mode", mode, "--services", "1", "--endpoints", "2"];
        insta::assert_snapshot!(format!("plan_{mode}"), shown(&args));
    }
    assert_eq!(
        shown(&["plan", "-m", "iptables-legacy", "-s", "3"]),
        shown(&["plan", "-m", "iptables-nft", "-s", "3"]),
        "the variants of iptables get the same input"
    );
}

#[test]
fn plan_prints_one_change() {
    let args =
        ["plan", "-m", "nftables", "-s", "3", "-e", "1", "--from-services", "2", "--kube-proxy", "1.37"];
    insta::assert_snapshot!("plan_from_services", shown(&args));
    // The newest had that name before.
    let old = args.map(|arg| if arg == "1.37" { "current" } else { arg });
    assert_eq!(shown(&old), shown(&args));
    let removed =
        ["plan", "-m", "nftables", "-s", "2", "-e", "1", "--from-services", "3", "--kube-proxy", "1.37"];
    insta::assert_snapshot!("plan_from_more_services", shown(&removed));
}

#[test]
fn plan_counts_instead() {
    let args = ["plan", "-m", "iptables-legacy", "-s", "1000", "--stats"];
    insta::assert_snapshot!("plan_stats", shown(&args));
    insta::assert_snapshot!("plan_json", shown(&[&args[..], &["--json"]].concat()));
    insta::assert_snapshot!("plan_stats_direct", shown(&["plan", "-m", "direct", "-s", "1", "--stats"]));
    for mode in ["ipvs", "ipvs-batched"] {
        let args = ["plan", "-m", mode, "-s", "1000", "--stats"];
        insta::assert_snapshot!(format!("plan_stats_{mode}"), shown(&args));
    }
    let args = ["plan", "-m", "ipvs", "-s", "1000", "--json"];
    insta::assert_snapshot!("plan_json_ipvs", shown(&args));
}

#[test]
fn plan_predicts_what_a_large_scale_takes() {
    let args = ["plan", "-m", "iptables-legacy", "-s", "50000", "-e", "10", "--stats"];
    insta::assert_snapshot!("plan_stats_large", shown(&args));
}

#[test]
fn plan_prints_what_one_tool_reads() {
    for part in ["ipvs", "ipset", "iptables"] {
        let args = ["plan", "-m", "ipvs", "-s", "2", "-e", "1", "--scheduler", "mh", "--part", part];
        insta::assert_snapshot!(format!("plan_part_{part}"), shown(&args));
    }
}

#[test]
fn plan_of_the_golden_cluster_has_the_golden_input() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("dataplane/tests/golden/example.json");
    let file = file.to_str().unwrap();
    for (mode, golden) in [
        ("iptables-legacy", include_str!("../dataplane/tests/golden/iptables-restore.txt")),
        (
            "nftables",
            include_str!("../dataplane/tests/golden/nft-transactions.txt")
                .split("# ---- stdin of: nft -f -\n")
                .nth(1)
                .unwrap(),
        ),
        ("ipvs", include_str!("../dataplane/tests/golden/ipvs/iptables-restore.txt")),
    ] {
        let args = ["plan", "-m", mode, "--from", file, "--node", "node1", "--node-ip", "10.10.0.1"];
        let printed =
            shown(&[&args[..], &["--cluster-cidr", "10.244.0.0/16", "--kube-proxy", "1.30"]].concat());
        assert!(printed.contains(golden), "{mode}:\n{printed}");
    }
}

#[test]
fn wrong_flags_are_bad_input() {
    let wrong: [&[&str]; 23] = [
        &[],
        &["measure"],
        &["plan"],
        &["plan", "-m", "ipvs", "-s", "70000", "-e", "1"],
        &["plan", "-m", "ipvs", "-s", "1", "--scheduler", "lifo"],
        &["plan", "-m", "nftables", "-s", "1", "--part", "ipset"],
        &["plan", "-m", "bpf", "-s", "1"],
        &["plan", "-m", "direct", "-s", "0"],
        &["plan", "-m", "direct", "-s", "1000000", "-e", "1000"],
        &["plan", "-m", "direct", "-s", "1", "--from", "cluster.json"],
        &["plan", "-m", "direct", "-s", "1", "--kube-proxy", "1.99"],
        &["run", "smoke", "--resume"],
        &["run", "no-such-sweep"],
        &["load", "tcp_rc"],
        &["load", "tcp_crr", "--target", "127.0.0.1"],
        &["load", "tcp_crr", "--target", "127.0.0.1:9", "--rate", "20000"],
        &["load", "tcp_crr", "--target", "127.0.0.1:9", "--mode", "ipvs"],
        &["load", "tcp_crr", "--duration", "0"],
        &["compare", "one"],
        &["compare", "no/such", "runs"],
        &["compare", "a", "b", "--threshold", "much"],
        &["compare", "a", "b", "--threshold-for", "apply"],
        &["compare", "a", "b", "--accept", "everything"],
    ];
    let mut all = String::new();
    for args in wrong {
        let output = svcbench(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        all.push_str(&format!("$ svcbench {}\n{}\n", args.join(" "), shown(args)));
    }
    insta::assert_snapshot!("wrong_flags", all);
}

#[test]
fn broken_sweeps_name_file_line_and_what_is_allowed() {
    let smoke = include_str!("../sweeps/smoke.toml");
    let folder = tempfile::tempdir().unwrap();
    let mut all = String::new();
    for (what, from, to) in [
        ("unknown key", "seed = 1", "sed = 1"),
        ("unknown section", "[lookup]", "[lockup]"),
        ("unknown mode", "\"dnat\"", "\"ebpf\""),
        ("twice", "\"dnat\"", "\"direct\""),
        ("too many", "services = [10, 100]", "services = [10, 10000000]"),
        ("negative", "endpoints = 3", "endpoints = -3"),
        ("wrong type", "blocks = 2", "blocks = \"two\""),
        ("not TOML", "[connect]", "[connect"),
        ("unknown metric", "seed = 1", "seed = 1\ncompare = { metrics = [\"aply\"] }"),
        ("no question", "question = \"Does svcbench work on this machine?\"", "question = \" \""),
    ] {
        assert!(smoke.contains(from), "{what}");
        let file = folder.path().join("sweep.toml");
        std::fs::write(&file, smoke.replacen(from, to, 1)).unwrap();
        let output = svcbench(&["run", file.to_str().unwrap(), "--dry-run"]);
        assert_eq!(output.status.code(), Some(2), "{what}");
        all.push_str(&format!("# {what}\n{}\n", shown_without(folder.path(), &output)));
    }
    insta::assert_snapshot!("broken_sweeps", all);
}

#[test]
fn a_dry_run_lists_every_cell_once_and_measures_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        command(&["run", "--dry-run", "smoke", "--quiet"]).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", shown_without(folder.path(), &output));
    // Which modes are skipped depends on the machine; the order of the cells does not, but for that.
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().map(|line| line.split("  skipped:").next().unwrap()).collect();
    let orders = lines.iter().map(|line| line.split_whitespace().next().unwrap().parse::<u32>().unwrap());
    assert!(orders.is_sorted_by(|one, next| one < next), "{text}");
    for mode in MODES.iter().chain(&["ipvs"]) {
        assert!(lines.iter().any(|line| line.split_whitespace().nth(3) == Some(mode)), "{mode} has no cell");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");

    let json: Value =
        serde_json::from_slice(&svcbench(&["run", "--dry-run", "smoke", "--json"]).stdout).unwrap();
    assert_eq!(json["cells"].as_array().unwrap().len(), lines.len());
}

#[test]
fn a_report_needs_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let output = svcbench(&["report", folder.path().to_str().unwrap()]);
    insta::assert_snapshot!("report_of_an_empty_folder", shown_without(folder.path(), &output));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
}

/// A copy of the reference run, with the rows of its instruction clock only, and their times changed by so many percent where
/// `slower` says.
fn copied(folder: &Path, percent: u64, slower: fn(&[&str]) -> bool) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/reference-guest");
    std::fs::create_dir_all(folder).unwrap();
    for name in ["environment.json", "sweep.toml"] {
        std::fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    let text = std::fs::read_to_string(source.join("records.csv")).unwrap();
    let mut rows = String::new();
    for line in text.lines() {
        let mut fields: Vec<&str> = line.split(',').collect();
        // Notes with commas are of rows without figures.
        let changed: Vec<String> = match fields.len() {
            26 if slower(&fields) => fields[15..22]
                .iter()
                .map(|value| (value.parse::<u64>().unwrap() * (100 + percent) / 100).to_string())
                .collect(),
            _ => Vec::new(),
        };
        changed.iter().enumerate().for_each(|(at, value)| fields[15 + at] = value);
        rows += &(fields.join(",") + "\n");
    }
    std::fs::write(folder.join("records.csv"), rows).unwrap();
    folder.to_str().unwrap().to_owned()
}

#[test]
fn compare_tells_worse_from_the_same_and_from_what_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = |_: &[&str]| false;
    let legacy = |fields: &[&str]| {
        (fields[3], fields[4], fields[9], fields[23])
            == ("iptables-legacy", "1000", "lookup_first_packet", "ok")
    };
    let base = copied(&folder.path().join("base"), 0, nothing);
    let same = copied(&folder.path().join("same"), 0, nothing);
    let slow = copied(&folder.path().join("slow"), 10, legacy);
    let ends = |args: &[&str]| svcbench(&[&["compare", &base], args].concat()).status.code().unwrap();
    assert_eq!(ends(&[&same]), 0);
    assert_eq!(ends(&[&slow]), 3);
    assert_eq!(ends(&[&slow, "--threshold", "12%"]), 0);
    assert_eq!(ends(&[&slow, "--threshold-for", "lookup_first_packet=12"]), 0);
    assert_eq!(ends(&[&slow, "--mode", "ipvs"]), 0);
    assert_eq!(ends(&[&slow, "--metric", "lookup_first_packet", "--mode", "iptables-legacy"]), 3);
    assert_eq!(ends(&[&slow, "--metric", "lookup"]), 2, "no such metric");
    assert_eq!(
        ends(&[folder.path().to_str().unwrap()]),
        4,
        "two of three runs in the folder are the same, one is slow"
    );

    let shown_here = |args: &[&str]| {
        let output =
            command(&[&["compare", "base", "slow"], args].concat()).current_dir(folder.path()).output();
        shown_without(folder.path(), &output.unwrap())
    };
    insta::assert_snapshot!("compare_text", shown_here(&[]));
    insta::assert_snapshot!(
        "compare_markdown",
        shown_here(&["--format", "markdown", "-m", "iptables-legacy"])
    );
    let file = shown_here(&["--format", "junit", "--out", "junit.xml"]);
    assert!(file.starts_with("--- stderr\nREGRESSION"), "{file}");
    let junit = std::fs::read_to_string(folder.path().join("junit.xml")).unwrap();
    assert_eq!(junit.matches("<failure ").count(), 5, "{junit}");
    let json: Value = serde_json::from_slice(
        &command(&["compare", "base", "slow", "--json"]).current_dir(folder.path()).output().unwrap().stdout,
    )
    .unwrap();
    assert_eq!(json["outcome"], "regression");

    // The sweep that a run keeps says what decides.
    let sweep = folder.path().join("slow/sweep.toml");
    let text = std::fs::read_to_string(&sweep).unwrap();
    let decide = |section: &str| std::fs::write(&sweep, format!("{text}\n[compare]\n{section}\n")).unwrap();
    decide("threshold_percent = 15");
    assert_eq!(ends(&[&slow]), 0);
    assert_eq!(ends(&[&slow, "--threshold", "5%"]), 3, "flags come before sweeps");
    decide("modes = [\"nftables\"]");
    assert_eq!(ends(&[&slow]), 0);
    decide(
        "metrics = [\"lookup_first_packet\"]\nthreshold_percent = 15\nthresholds_percent = { lookup_first_packet = 5 }",
    );
    assert_eq!(ends(&[&slow]), 3);
    decide("metrics = [\"rules\", \"lock_wait\"]");
    assert_eq!(ends(&[&slow]), 4, "one block of lock waits tells nothing");
    decide("metric = 1");
    insta::assert_snapshot!("compare_broken_sweep", shown_here(&[]));
    std::fs::write(&sweep, format!("scheduler = \"mh\"\n{text}")).unwrap();
    assert_eq!(ends(&[&slow]), 5, "another scheduler");
    assert_eq!(ends(&[&slow, "--accept", "setup"]), 3);
    std::fs::write(&sweep, &text).unwrap();

    let passport = folder.path().join("slow/environment.json");
    let text = std::fs::read_to_string(&passport).unwrap();
    std::fs::write(&passport, text.replace("QEMU emulator version 7.2.22", "QEMU emulator version 9.0"))
        .unwrap();
    insta::assert_snapshot!("compare_refused", shown_here(&[]));
    assert_eq!(ends(&[&slow, "--accept", "emulator"]), 3);
}

#[test]
fn a_run_is_served_until_somebody_interrupts() {
    let folder = tempfile::tempdir().unwrap();
    let none = svcbench(&["serve", "--no-open", folder.path().to_str().unwrap()]);
    assert_eq!(none.status.code(), Some(2), "{none:?}");
    std::fs::write(folder.path().join("records.csv"), results::record::COLUMNS.join(",") + "\n").unwrap();
    std::fs::write(folder.path().join("environment.json"), "{}").unwrap();
    let mut child = std::process::Command::new(SVCBENCH)
        .args(["serve", "--no-open", "--quiet"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let address = url.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix('/')).unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("</html>"), "{answer}");
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn doctor_answers_for_every_mode() {
    let output = svcbench(&["doctor", "--json"]);
    assert!(matches!(output.status.code(), Some(0 | 69)), "{output:?}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    for mode in MODES {
        let verdict = json["modes"][mode].as_str().unwrap();
        let known = ["in a guest only: ", "cannot run: "].iter().any(|start| verdict.starts_with(start));
        assert!(verdict == "ready" || known, "{mode}: {verdict}");
    }
    for need in json["needs"].as_array().unwrap() {
        let missing = need["present"] == false;
        assert_eq!(need["how"].as_str().unwrap().is_empty(), !missing, "how to get it, if missing: {need}");
    }
    for warning in json["lab"]["warnings"].as_array().unwrap() {
        assert!(svcbench::host::machine::NAMES.contains(&warning["name"].as_str().unwrap()), "{warning}");
        assert!(
            ["what", "why", "how"].iter().all(|part| !warning[part].as_str().unwrap().is_empty()),
            "{warning}"
        );
    }
    assert_eq!(json["lab"]["condition"]["clock_source"].as_str().map(str::is_empty), Some(false), "{json}");
    let plain = String::from_utf8(svcbench(&["doctor"]).stdout).unwrap();
    assert!(plain.contains("\nLab: "), "{plain}");
    assert!(!plain.contains('\x1b'), "no colour where there is no terminal: {plain}");
}

#[test]
fn what_strict_may_allow_are_the_names_of_warnings() {
    let error = shown(&["run", "smoke", "--strict", "--allow", "weather"]);
    assert!(
        error.contains("'weather'") && error.contains("governor") && error.contains("exit code 2"),
        "{error}"
    );
    assert!(shown(&["run", "smoke", "--allow", "turbo"]).contains("--strict"), "only together");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    // Far more than a pipe holds.
    let mut child = std::process::Command::new(SVCBENCH)
        .args(["plan", "-m", "iptables-legacy", "-s", "2000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
