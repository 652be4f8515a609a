//! The gate for CI as it is: scripts/ci measures in guests and compares, and finds an artificial slowdown. It needs QEMU
//! and a kernel, and no privilege; without those it is shown as ignored, with the reason, and with
//! `SVCBENCH_REQUIRE_PRIVILEGE=1` it fails.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "tests talk to whoever runs them")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Output};

use libtest_mimic::{Arguments, Trial};
use netns_setup::guest::{self, Kernel};
use results::environment::Environment;

/// Two modes, so that the one that is not slowed down can be known from the other; seconds in a guest.
const SWEEP: &str = r#"
question = "Is an artificial slowdown found?"
seed = 1
kernel = "guest"
clock = "instructions"
modes = ["iptables-legacy", "nftables"]
services = [10]
endpoints = 2

[lookup]
blocks = 3
positions = ["first"]
probes = 50
"#;

/// About a tenth of the 15,100 instructions of a first packet in nftables mode, at 73 for each.
const SLOWDOWN: &str = "nftables:21";

const SVCBENCH: &str = env!("CARGO_BIN_EXE_svcbench");

fn ci(folder: &Path, out: &str, args: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("scripts/ci");
    let mut command = Command::new(script);
    command.args(["--base", "base", "--out", out, "--sweep", "sweep.toml"]).args(args);
    command.current_dir(folder).env("SVCBENCH", SVCBENCH);
    command.env_remove("GITHUB_STEP_SUMMARY").env_remove("GITHUB_ACTIONS").output().unwrap()
}

#[track_caller]
fn ends(output: &Output, code: i32) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
}

fn an_artificial_slowdown_is_found_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("sweep.toml"), SWEEP).unwrap();
    ends(&ci(path, "first", &["--keep"]), 0);
    ends(&ci(path, "same", &[]), 0);
    // The very same run: not a figure differs.
    let rows = |run: &str| results::record_file::read_records(&path.join(run).join("records.csv")).unwrap();
    let figures =
        |run: &str| rows(run).iter().map(|row| (row.cell.order, row.p50, row.max)).collect::<Vec<_>>();
    assert_eq!(figures("first"), figures("same"));

    ends(&ci(path, "slow", &["--accept", "injected", "--", "--inject", SLOWDOWN]), 3);
    let text = fs::read_to_string(path.join("slow/compare.txt")).unwrap();
    assert!(text.contains("nftables") && text.contains("lookup_first_packet"), "{text}");
    let environment = Environment::read(&path.join("slow/environment.json")).unwrap();
    for passport in [&environment, &environment.guests[0]] {
        assert!(passport.injected.starts_with("nftables: 21 rules"), "{:?}", passport.injected);
    }
    let summary = fs::read_to_string(path.join("slow/summary.md")).unwrap();
    assert!(summary.contains("INJECTED in nftables: 21 rules"), "{summary}");

    // Nobody takes such a run for one of the modes' own.
    let compared =
        Command::new(SVCBENCH).args(["compare", "base", "slow"]).current_dir(path).output().unwrap();
    ends(&compared, 5);
    assert!(String::from_utf8_lossy(&compared.stdout).contains("injected"));
}

fn main() -> ExitCode {
    let missing = match guest::check() {
        Ok(_) => Kernel::stock(&mut |step| eprintln!("{step}")).err().map(|error| error.to_string()),
        Err(missing) => Some(missing.to_string()),
    };
    let required = env::var("SVCBENCH_REQUIRE_PRIVILEGE").is_ok_and(|value| value == "1");
    let (reason, ignored) = (missing.clone(), missing.is_some() && !required);
    let body = move || match missing {
        Some(missing) => Err(missing.into()),
        None => {
            an_artificial_slowdown_is_found_and_nothing_else_is();
            Ok(())
        }
    };
    let trial =
        Trial::test("an_artificial_slowdown_is_found_and_nothing_else_is", body).with_ignored_flag(ignored);
    let arguments = Arguments::from_args();
    let conclusion = libtest_mimic::run(&arguments, vec![trial]);
    if let Some(missing) = reason.filter(|_| !arguments.list) {
        println!("the test lacks something: {missing}");
    }
    conclusion.exit_code()
}
