//! Rulesets of real nodes, replayed: they are in the kernel as they were in the file, and their Services answer.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use dataplane::{KubeProxy, Mode, Node, Program};
use experiments::lookup;
use lab::cores::Cores;
use lab::explain::explain;
use lab::replay::Replay;
use lab::stop::Stop;
use lab::testbed::Testbed;
use lab::testbed::rehearse;
use netns_setup::Need;
use results::record::Status;
use ruleset::Variant;
use ruleset::anonymise::anonymise;
use ruleset::{Format, inspect_text};
use services::service::{Protocol, Service};
use services::service_set::{Position, ServiceSet};
use services::shape::Shape;
use trials::Test;

use crate::children::Place;
use crate::paper::found;
use crate::test;
use crate::testbeds::{cold, ordered_iptables, ordered_nft, output, scale};

const IPTABLES: &str = include_str!("../../dataplane/tests/golden/iptables-save.txt");
const IP6TABLES: &str = include_str!("../../dataplane/tests/golden/ip6tables-save.txt");
const OLD: &str = include_str!("../../dataplane/tests/golden/1.20/iptables-save.txt");
const NFT: &str = include_str!("../../dataplane/tests/golden/nft-list-ruleset.txt");

const LEGACY: &[Mode] = &[Mode::IptablesLegacy];
const BOTH: &[Mode] = &[Mode::IptablesLegacy, Mode::IptablesNft];
const PROXY: &[Mode] = &[Mode::IptablesLegacy, Mode::IptablesNft, Mode::Nftables];

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![
        test("a_replayed_ruleset_is_measured_beside_controls", LEGACY, run),
        test("golden_rulesets_answer_when_replayed", PROXY, golden),
        test("anonymous_rulesets_answer_alike", PROXY, anonymous),
        test("what_a_tool_refuses_is_reported_with_its_line_and_leaves_nothing", PROXY, refused),
        test("a_ruleset_that_answers_otherwise_is_noticed", PROXY, otherwise),
    ];
    for &mode in PROXY {
        let name = format!("a_ruleset_of_our_own_is_the_same_when_replayed::{mode}");
        tests.push(test(&name, &[mode], move || own(mode)));
    }
    let mut with_sets = test("rules_that_need_ipsets_get_them", BOTH, ipsets);
    with_sets.needs.push(Need::IpSet);
    tests.push(with_sets);
    tests
}

fn read(text: &str, sets: Option<&str>, variant: Option<Variant>) -> Arc<Replay> {
    let inspection = inspect_text(text).unwrap();
    let sets = sets.map(str::to_owned);
    Arc::new(Replay::of_text("FILE".into(), text.to_owned(), sets, inspection, variant).unwrap())
}

/// A lab in which it is installed and answers.
fn replayed(replay: &Arc<Replay>) -> Testbed {
    let mut testbed = Testbed::replaying(replay, 1, &Stop::new()).unwrap();
    testbed.check_replayed().unwrap();
    testbed.load(replay.services(), None).unwrap();
    testbed.verify_counts().unwrap();
    testbed.verify_traffic().unwrap();
    testbed
}

/// What the kernel holds, as the ruleset's own tool prints it.
fn saved(testbed: &Testbed, format: Format) -> String {
    let path = |program| testbed.runner.tools().path(program).unwrap();
    match format {
        Format::Nft => output(&testbed.lab.node, Command::new(path(Program::Nft)).args(["list", "ruleset"])),
        _ => output(&testbed.lab.node, &mut Command::new(path(Program::IptablesSave))),
    }
}

fn ordered(text: &str, format: Format) -> String {
    if format == Format::Nft { ordered_nft(text) } else { ordered_iptables(text) }
}

/// Packets to every address that should answer.
fn ask_all(testbed: &mut Testbed) -> usize {
    let all = testbed.set.clone();
    let asked = |index: &usize| all.answers(*index) && all.services()[*index].protocol != Protocol::Sctp;
    let asked: Vec<usize> = (0..all.len()).filter(asked).collect();
    asked.iter().for_each(|&index| testbed.verify_service(index, 12).unwrap());
    asked.len()
}

fn golden() {
    let both = format!("{IPTABLES}{IP6TABLES}");
    for (text, variants) in [
        (IPTABLES, &[Variant::Legacy, Variant::Nft][..]),
        (OLD, &[Variant::Legacy, Variant::Nft]),
        (&both, &[Variant::Legacy, Variant::Nft]),
        (NFT, &[Variant::Nft]),
    ] {
        for &variant in variants {
            let replay = read(text, None, Some(variant));
            let mut testbed = replayed(&replay);
            assert_eq!(ask_all(&mut testbed), 2);
            let v4 = if text == both { IPTABLES } else { text };
            let saved = saved(&testbed, replay.format());
            assert_eq!(ordered(&saved, replay.format()), ordered(v4, replay.format()));
            // Over itself it is the same, and none of it twice.
            testbed.load(replay.services(), None).unwrap();
            testbed.verify_counts().unwrap();
            assert_eq!(ask_all(&mut testbed), 2);
        }
    }
}

/// With every feature, as a cluster has them.
fn shaped(services: u32) -> ServiceSet {
    let shape: Shape = toml::from_str(
        "udp = 0.3\nnode_ports = 0.2\nload_balancers = 0.2\nsource_ranges = 0.3\nexternal_ips = 0.1\nexternal_local = 0.3\n\
         internal_local = 0.1\naffinity = 0.2\nno_endpoints = 0.1\nlocal_endpoints = 0.3\nterminating = 0.1\n",
    )
    .unwrap();
    ServiceSet::shaped(scale(services, 3), &shape, 7)
}

fn own(mode: Mode) {
    let mut set = shaped(60);
    if mode == Mode::Nftables {
        // The packets of a check leave elements in sets of affinity, each with the time that it has left.
        let without = |service: &Arc<Service>| {
            let mut service = Service::clone(service);
            service.affinity_seconds = None;
            service
        };
        set = set.services().iter().map(without).collect();
    }
    let testbed = cold(mode, KubeProxy::NEWEST, &set);
    let format = if mode == Mode::Nftables { Format::Nft } else { Format::Iptables };
    let original = saved(&testbed, format);
    drop(testbed);
    let replay = read(&original, None, None);
    if format == Format::Iptables {
        let variant = if mode == Mode::IptablesLegacy { Variant::Legacy } else { Variant::Nft };
        assert_eq!(replay.variant, variant, "known from the file");
    }
    let services = &replay.inspection.services;
    assert_eq!(found::differences(mode, &Node::lab(KubeProxy::NEWEST), &set, services), Vec::<String>::new());
    let mut testbed = replayed(&replay);
    assert_eq!(ordered(&saved(&testbed, format), format), ordered(&original, format));
    assert!(ask_all(&mut testbed) > 40);
}

fn anonymous() {
    let own = saved(&cold(Mode::IptablesNft, KubeProxy::NEWEST, &shaped(40)), Format::Iptables);
    for text in [IPTABLES, OLD, NFT, &own] {
        let before = read(text, None, None);
        let after = read(&anonymise(text, None).unwrap().text, None, None);
        assert_eq!(ask_all(&mut replayed(&before)), ask_all(&mut replayed(&after)));
        assert_eq!(before.scale(), after.scale());
    }
}

fn refused() {
    let cases = [
        (IPTABLES, "-m statistic --mode", "-m statestic --mode", "statestic", "line: 79"),
        (IPTABLES, "MASQUERADE --random-fully", "MASQUERADE --randomly", "--randomly", "line: 66"),
        (IPTABLES, "-s 10.244.0.21/32", "-s 10.244.0.321/32", "10.244.0.321", "line: 67"),
        (NFT, "dnat to 10.244.0.11:8080", "dnut to 10.244.0.11", "stdin:124:", "10.244.0.11"),
        (
            NFT,
            "ct state new jump firewall-check",
            "ct state newest jump firewall-check",
            "stdin:45:",
            "newest",
        ),
    ];
    for (text, from, to, first, second) in cases {
        assert!(text.contains(from), "{from}");
        for variant in [Variant::Legacy, Variant::Nft] {
            let replay = read(&text.replacen(from, to, 1), None, Some(variant));
            let error = explain(&rehearse(&replay, &Stop::new()).unwrap_err());
            assert!(
                [first, second, "FILE", "nothing was installed"].iter().all(|word| error.contains(word)),
                "{error}"
            );
            let testbed = Testbed::replaying(&replay, 1, &Stop::new()).unwrap();
            testbed.check_replayed().unwrap_err();
            let left = saved(&testbed, replay.format());
            assert!(!left.contains("KUBE-") && !left.contains("kube-proxy"), "{left}");
        }
    }
}

fn otherwise() {
    for (text, from, to) in [
        (IPTABLES, "--to-destination 10.244.0.21:5353", "--to-destination 10.244.0.22:5353"),
        (IPTABLES, "-j DNAT --to-destination 10.244.0.21:5353", "-j RETURN"),
        (NFT, "dnat to 10.244.1.12:8080", "dnat to 10.244.1.12:8081"),
    ] {
        let (replay, held) = (read(text, None, None), read(&text.replace(from, to), None, None));
        let mut testbed = Testbed::replaying(&replay, 1, &Stop::new()).unwrap();
        testbed.carry_out(&held.install(), replay.services(), None).unwrap();
        let error = testbed.verify_traffic().unwrap_err().to_string();
        assert!(error.contains("who may not receive it"), "{error}");
    }
    // One rule less than in the file.
    let replay = read(IPTABLES, None, None);
    let less = IPTABLES
        .lines()
        .filter(|line| !line.contains("INVALID"))
        .fold(String::new(), |text, line| text + line + "\n");
    let mut testbed = Testbed::replaying(&replay, 1, &Stop::new()).unwrap();
    testbed.carry_out(&read(&less, None, None).install(), replay.services(), None).unwrap();
    let error = testbed.verify_counts().unwrap_err().to_string();
    assert!(error.contains("table ip filter"), "{error}");
}

fn ipsets() {
    let rules = include_str!("../../dataplane/tests/golden/ipvs/iptables-save.txt");
    let sets = include_str!("../../dataplane/tests/golden/ipvs/ipset-save.txt");
    for variant in [Variant::Legacy, Variant::Nft] {
        let mut testbed = replayed(&read(rules, Some(sets), Some(variant)));
        // No Services are recognised: only packets to none can be sent.
        assert_eq!(ask_all(&mut testbed), 0);
        lookup::measure(&mut testbed, Position::Miss, Protocol::Udp, 20, &Cores::choose().unwrap()).unwrap();
    }
}

const SWEEP: &str = r#"
question = "Does this test pass?"
seed = 1
modes = ["direct", "dnat"]
services = [2]
endpoints = 2

[lookup]
blocks = 1
positions = ["first", "last", "uniform", "miss"]
probes = 50

[connect]
blocks = 1
positions = ["last"]
transactions = 10

[sync]
operations = ["cold", "restart", "noop"]
blocks = 1
budget_seconds = 60
"#;

fn run() {
    let place = Place::new();
    let file = |name: &str, text: &str| {
        let file = place.path().with_extension(name);
        fs::write(&file, text).unwrap();
        file.to_string_lossy().into_owned()
    };
    let (rules, other) = (file("rules", IPTABLES), file("other", OLD));
    let broken = file("broken", &IPTABLES.replace("-m statistic", "-m statestic"));
    let cleaned = [&rules, &other, &broken].map(Clone::clone);

    let refused = place.run(SWEEP, &["--replay", &broken]);
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("line: 79") && !place.out().exists(), "{stderr}");

    let output = place.run(SWEEP, &["--replay", &rules]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let records = place.records();
    let of_replay: Vec<_> = records.iter().filter(|record| record.cell.mode == "replay").collect();
    assert!(of_replay.iter().all(|record| (record.cell.services, record.cell.endpoints) == (2, 2)));
    let measured = |workload: &str, position: &str| {
        let rows = of_replay
            .iter()
            .filter(|row| (row.cell.workload.as_str(), row.cell.position.as_str()) == (workload, position));
        rows.filter(|row| row.status == Status::Ok).map(|row| row.metric.as_str()).collect::<Vec<_>>()
    };
    for position in ["first", "last", "uniform", "miss"] {
        let metrics = ["lookup_first_packet", "lookup_established"];
        // The last is visited twice.
        let visits = if position == "last" { 2 } else { 1 };
        assert_eq!(measured("packet_probe", position), metrics.repeat(visits), "{position}");
    }
    assert!(measured("full_sync_cold", "").contains(&"rules"));
    assert!(measured("full_sync_restart", "").contains(&"apply"));
    let skipped: Vec<_> = of_replay.iter().filter(|row| row.status != Status::Ok).collect();
    assert!(skipped.iter().all(|row| row.status == Status::Skipped && !row.note.is_empty()), "{skipped:?}");
    let skipped: Vec<_> = skipped.iter().map(|row| row.cell.workload.as_str()).collect();
    assert_eq!(skipped, ["tcp_crr", "partial_sync_noop"]);
    assert!(
        records.iter().all(|row| row.cell.mode == "replay" || row.status == Status::Ok),
        "controls are measured as ever"
    );
    let rules_of = of_replay.iter().find(|row| row.metric == "rules").and_then(|row| row.p50);
    assert_eq!(rules_of, Some(39), "15 + 24, as in the file");
    for (name, content) in place.files() {
        let text = String::from_utf8_lossy(&content);
        assert!(!text.contains("demo/") && !text.contains("10.244.0."), "{name}");
    }
    assert!(place.files().contains_key("replay.json"));

    let output = place.run(SWEEP, &["--resume", "--replay", &other]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another replayed ruleset"));
    let output = place.run(SWEEP, &["--resume", "--replay", &rules]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(place.records().len(), records.len(), "nothing is measured twice");
    cleaned.iter().for_each(|file| drop(fs::remove_file(file)));
}
