//! `svcbench inspect`, `anonymise` and `run --replay` on the command line, with good input and bad. Needs no privilege.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

const GOLDEN: &str = include_str!("../dataplane/tests/golden/iptables-save.txt");
const NFT: &str = include_str!("../dataplane/tests/golden/nft-list-ruleset.txt");

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_svcbench"));
        command.args(args).env("COLUMNS", "100").current_dir(self.0.path()).timeout(Duration::from_secs(600));
        command.output().unwrap()
    }

    /// Both outputs and the exit code.
    fn shown(&self, args: &[&str]) -> String {
        shown(&self.run(args))
    }
}

fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut shown = text(&output.stdout);
    if !output.stderr.is_empty() {
        shown.push_str(&format!("--- stderr\n{}", text(&output.stderr)));
    }
    format!("{shown}--- exit code {}\n", output.status.code().unwrap())
}

fn golden(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("dataplane/tests/golden")
        .join(name)
        .to_string_lossy()
        .into_owned()
}

#[test]
fn help_of_the_commands() {
    let folder = Folder::new();
    for command in ["inspect", "anonymise"] {
        insta::assert_snapshot!(format!("help_{command}"), folder.shown(&[command, "--help"]));
    }
}

#[test]
fn inspect_tells_what_a_ruleset_is() {
    let folder = Folder::new();
    let both = format!("{GOLDEN}{}", include_str!("../dataplane/tests/golden/ip6tables-save.txt"));
    folder.file("both", both);
    let mut all = String::new();
    for (name, file) in [
        ("iptables, both families", "both".to_owned()),
        ("iptables 1.20", golden("1.20/iptables-save.txt")),
        ("nftables", golden("nft-list-ruleset.txt")),
        ("ipvs", golden("ipvs/iptables-save.txt")),
    ] {
        all.push_str(&format!("# {name}\n{}\n", folder.shown(&["inspect", &file])));
    }
    insta::assert_snapshot!(all);
    insta::assert_snapshot!(
        "services",
        folder.shown(&["inspect", "--services", &golden("iptables-save.txt")])
    );
    let json = folder.run(&["inspect", "--json", "--services", &golden("iptables-save.txt")]).stdout;
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["services"].as_array().unwrap().len(), 2);
    assert_eq!(json["services"][0]["endpoints"][1], "10.244.1.12:8080");
    assert_eq!(json["ipv4"]["cluster_cidr"], "10.244.0.0/16");
}

#[test]
fn broken_rulesets_are_refused_with_their_place() {
    let with = |from: &str, to: &str| {
        assert!(GOLDEN.contains(from), "{from}");
        GOLDEN.replacen(from, to, 1)
    };
    let in_nft = |from: &str, to: &str| {
        assert!(NFT.contains(from), "{from}");
        NFT.replacen(from, to, 1)
    };
    let variants: Vec<(&str, Vec<u8>)> = vec![
        ("empty file", Vec::new()),
        ("cut off in a line", GOLDEN[..GOLDEN.len() / 2].into()),
        (
            "cut off between lines",
            GOLDEN.lines().take(60).fold(String::new(), |text, line| text + line + "\n").into(),
        ),
        ("cut off in a quotation", GOLDEN.split_once("kubernetes forwarding rules").unwrap().0.into()),
        ("a program", b"\x7fELF\x02\x01\x01\0\0\0".into()),
        ("zeros in the middle", with("*nat", "*nat\0\0").into()),
        ("not UTF-8", [&GOLDEN.as_bytes()[..100], b"\xff", &GOLDEN.as_bytes()[100..]].concat()),
        ("of Windows", GOLDEN.replace('\n', "\r\n").into()),
        ("too long a line", [b"*nat\n# ", "x".repeat(5 << 20).as_bytes()].concat()),
        (
            "chain twice",
            with(":KUBE-SERVICES - [0:0]\n", ":KUBE-SERVICES - [0:0]\n:KUBE-SERVICES - [0:0]\n").into(),
        ),
        ("jump to nowhere", with("-j KUBE-SEP-RG4IJX7XPUXV7D7S", "-j KUBE-SEP-AAAAAAAAAAAAAAAA").into()),
        ("unknown target", with("-j MASQUERADE --random-fully", "-j FULLCONENAT").into()),
        ("rule of no chain", with("-A KUBE-MARK-MASQ", "-A KUBE-MARK-MASK").into()),
        (
            "a way back",
            with("-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000", "-A KUBE-MARK-MASQ -j KUBE-SERVICES")
                .into(),
        ),
        ("no target", with("-j KUBE-SEP-RG4IJX7XPUXV7D7S\n", "-j\n").into()),
        ("no chain", with(":KUBE-MARK-MASQ - [0:0]", ":KUBE-MARK-MASQ").into()),
        ("table twice", format!("{GOLDEN}{GOLDEN}").into()),
        ("no COMMIT", with("COMMIT\n# Completed", "# Completed").into()),
        (
            "both variants",
            format!("{GOLDEN}# Generated by iptables-nft-save v1.8.9 (nf_tables) on x\n*raw\nCOMMIT\n")
                .into(),
        ),
        ("another command", with("-A KUBE-MARK-MASQ", "-I KUBE-MARK-MASQ").into()),
        (
            "rules as they are listed",
            b"Chain INPUT (policy ACCEPT)\ntarget     prot opt source               destination\n".into(),
        ),
        ("ipsets", include_bytes!("../dataplane/tests/golden/ipvs/ipset-save.txt").into()),
        ("JSON", include_bytes!("../dataplane/tests/golden/example.json").into()),
        ("nft: cut off", NFT[..NFT.len() / 2].into()),
        ("nft: jump to nowhere", in_nft("jump firewall-check", "jump firewall-chock").into()),
        (
            "nft: element to nowhere",
            in_nft(": goto service-34HOXUJH-demo/dns/udp/dns", ": goto service-34HOXUJX").into(),
        ),
        ("nft: no such map", in_nft("vmap @service-ips", "vmap @services-ips").into()),
        ("nft: chain twice", in_nft("chain nat-output", "chain nat-prerouting").into()),
        ("nft: table twice", format!("{NFT}{NFT}").into()),
        ("nft: includes a file", format!("table ip x {{\n}}\ninclude \"/etc/passwd\"\n{NFT}").into()),
        (
            "nft: of iptables-nft",
            in_nft("\t\tjump services\n", "\t\txt match comment jump services\n").into(),
        ),
        (
            "nft: a brace too few",
            in_nft("elements = { 10.96.0.10, 10.96.0.20 }", "elements = { 10.96.0.10, 10.96.0.20").into(),
        ),
    ];
    let folder = Folder::new();
    let mut all = String::new();
    for (what, text) in variants {
        folder.file("ruleset", &text);
        let output = folder.run(&["inspect", "ruleset"]);
        assert_eq!(output.status.code(), Some(2), "{what}: {}", shown(&output));
        all.push_str(&format!("# {what}\n{}\n", shown(&output)));
        let anonymised = folder.run(&["anonymise", "ruleset"]);
        assert!(anonymised.stdout.is_empty() || matches!(what, "ipsets" | "JSON"), "{what}: nothing by half");
        let run = folder.run(&["run", "--replay", "ruleset"]);
        assert_eq!((run.status.code(), run.stderr), (Some(2), output.stderr), "{what}");
    }
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 1, "nothing is written");
    insta::assert_snapshot!(all);
}

#[test]
fn files_that_are_too_large_or_none_are_refused_before_they_are_read() {
    let folder = Folder::new();
    File::create(folder.0.path().join("large")).unwrap().set_len(10_000_000_000).unwrap();
    let mut all = String::new();
    for args in [
        &["inspect", "large"][..],
        &["anonymise", "large"],
        &["run", "--replay", "large"],
        &["inspect", "absent"],
        &["inspect", "."],
        &["anonymise", &golden("iptables-save.txt"), "--key-file", "absent"],
        &["anonymise", &golden("iptables-save.txt"), "--key-file", "/dev/null"],
        &["run", "replay"],
        &["run", "smoke", "--replay", &golden("iptables-save.txt"), "--kernel", "guest"],
        &["run", "--replay", &golden("ipvs/iptables-save.txt")],
    ] {
        let text = folder.shown(args).replace(env!("CARGO_MANIFEST_DIR"), "DIR");
        let args = args.join(" ").replace(env!("CARGO_MANIFEST_DIR"), "DIR");
        all.push_str(&format!("$ svcbench {args}\n{text}\n"));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn an_endless_input_is_given_up() {
    let folder = Folder::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_svcbench"));
    command.args(["inspect", "/dev/zero"]).current_dir(folder.0.path()).timeout(Duration::from_secs(600));
    let output = command.output().unwrap();
    assert!(shown(&output).contains("more than 268435456 bytes"), "{}", shown(&output));
}

#[test]
fn a_key_file_repeats_what_a_drawn_key_does_not() {
    let folder = Folder::new();
    folder.file("key", "a secret");
    let rules = golden("iptables-save.txt");
    let with_key = || folder.run(&["anonymise", &rules, "--key-file", "key"]).stdout;
    let drawn = || folder.run(&["anonymise", &rules]).stdout;
    assert_eq!(with_key(), with_key());
    assert_ne!(drawn(), drawn());
    let mut command = Command::new(env!("CARGO_BIN_EXE_svcbench"));
    let piped = command
        .args(["anonymise", "-", "--key-file", "key"])
        .write_stdin(GOLDEN)
        .current_dir(folder.0.path());
    assert_eq!(piped.output().unwrap().stdout, with_key(), "standard input");
    folder.file("anonymous", with_key());
    let text = folder.shown(&["inspect", "anonymous"]);
    assert!(text.contains("services     2 of ipv4, at 2 addresses with their ports: 1 tcp, 1 udp"), "{text}");
}

#[test]
fn a_dry_run_has_the_cells_of_a_replay_at_its_own_scale() {
    let folder = Folder::new();
    let args = ["run", "--dry-run", "--quiet", "--replay", &golden("iptables-save.txt")];
    let output = folder.run(&args);
    let text = String::from_utf8(output.stdout).unwrap();
    let of_replay: Vec<&str> = text.lines().filter(|line| line.contains(" replay ")).collect();
    let again = of_replay.iter().filter(|line| line.contains("(A/A pair)")).count();
    assert_eq!((of_replay.len() - again, again), (7 * 5 + 3, 7 + 3), "{text}");
    assert!(of_replay.iter().all(|line| line.split_whitespace().nth(4) == Some("2")), "{text}");
    for control in ["direct", "conntrack", "dnat"] {
        assert!(text.lines().any(|line| line.contains(control)), "{control}");
    }
}
