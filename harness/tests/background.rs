//! `svcbench plan` with background rules on the command line. Needs no privilege.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

fn plan(args: &[&str]) -> (bool, String) {
    let mut command = assert_cmd::Command::cargo_bin("svcbench").unwrap();
    let output = command.arg("plan").args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn plans_are_printed_with_background_rules_before_and_after_them() {
    let background = "calico = { endpoints = 1 }, host_ports = 1";
    let (success, all) = plan(&["-m", "iptables-legacy", "-s", "1", "-e", "1", "--background", background]);
    assert!(success, "{all}");
    let at = |text: &str| all.find(text).unwrap_or_else(|| panic!("no {text} in {all}"));
    let order =
        ["create cali40this-host", ":cali-FORWARD", "-N CNI-HOSTPORT-DNAT", "-N KUBE-SERVICES", "-D FORWARD"];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{all}");

    // What iptables-restore would read has the same rules.
    let (success, part) = plan(&[
        "-m",
        "iptables-legacy",
        "-s",
        "1",
        "-e",
        "1",
        "--part",
        "iptables",
        "--background",
        "host_ports = 1",
    ]);
    assert!(success);
    insta::assert_snapshot!("background_plan_part_iptables", part);

    let (success, stats) = plan(&["-m", "nftables", "-s", "1", "--stats", "--background", background]);
    assert!(success);
    insta::assert_snapshot!("background_plan_stats", stats);
}

#[test]
fn wrong_background_rules_are_bad_input() {
    for (mode, background, word) in [
        ("nftables", "cilium = true", "unknown field `cilium`"),
        ("nftables", "calico = { endpoints = 5000 }", "5000 is out of range; allowed: 0 to 1000"),
        ("nftables", "flannel", "for example"),
        ("direct", "flannel = true", "the control direct has no background rules"),
    ] {
        let (success, text) = plan(&["-m", mode, "-s", "1", "--background", background]);
        assert!(!success && text.contains(word), "{text}");
    }
}

/// Flags and modes by the names that they had before: they are read for ever.
#[test]
fn old_names_mean_the_same() {
    let rules = "host_ports = 1";
    let of = |flag, mode| plan(&["-m", mode, "-s", "1", flag, rules]);
    assert_eq!(of("--neighbours", "neighbours-legacy"), of("--background", "background-legacy"));
    let run = |flag: &str| {
        let mut command = assert_cmd::Command::cargo_bin("svcbench").unwrap();
        let output = command.args(["run", "smoke", "--dry-run", flag, "nftables:0"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(run("--plant"), run("--inject"));
    assert!(run("--plant").contains("is no number of rules"), "{}", run("--plant"));
}
