use ruleset::inspect_text;

use super::*;

const GOLDEN: &str = include_str!("../../../dataplane/tests/golden/iptables-save.txt");
const GOLDEN_V6: &str = include_str!("../../../dataplane/tests/golden/ip6tables-save.txt");
const GOLDEN_NFT: &str = include_str!("../../../dataplane/tests/golden/nft-list-ruleset.txt");

fn replay(text: &str) -> Replay {
    let inspection = inspect_text(text).unwrap();
    Replay::of_text("test".into(), text.into(), None, inspection, None).unwrap()
}

#[test]
fn each_family_has_its_tool_and_lines_keep_their_numbers() {
    let both = replay(&format!("{GOLDEN}{GOLDEN_V6}"));
    let [(Family::Ipv4, v4), (Family::Ipv6, v6)] = &both.texts[..] else { panic!("{:?}", both.texts) };
    assert_eq!(v4.lines().count(), v6.lines().count());
    let text = format!("{GOLDEN}{GOLDEN_V6}");
    for (number, (line, (of_v4, of_v6))) in text.lines().zip(v4.lines().zip(v6.lines())).enumerate() {
        let is_v4 = number < GOLDEN.lines().count();
        let (own, other) = if is_v4 { (of_v4, of_v6) } else { (of_v6, of_v4) };
        assert!(
            other.is_empty() && (own == line || (own.is_empty() && line.starts_with('#'))),
            "{number}: {line}"
        );
    }
    let programs: Vec<_> = both.install().steps.iter().map(|step| step.command_line()).collect();
    assert_eq!(programs, ["iptables-restore -w 5", "ip6tables-restore -w 5"]);
    let programs: Vec<_> = both.check().steps.iter().map(|step| step.command_line()).collect();
    assert_eq!(programs, ["iptables-restore -w 5 --test", "ip6tables-restore -w 5 --test"]);
}

#[test]
fn a_dump_of_one_family_goes_to_its_tool_as_it_is() {
    let plan = replay(GOLDEN).install();
    assert_eq!(plan.steps[0].input(), Some(GOLDEN.as_bytes()));
    assert_eq!(replay(GOLDEN).tool(), "iptables-legacy-restore");
    assert_eq!(
        replay(&GOLDEN.replace("iptables-save v1.8.9", "iptables-nft-save v1.8.9 (nf_tables)")).tool(),
        "iptables-nft-restore"
    );
    let nft = replay(GOLDEN_NFT).install();
    assert_eq!(nft.steps[0].command_line(), "nft -f -");
    assert_eq!(nft.steps[0].input(), Some(format!("flush ruleset;{GOLDEN_NFT}").as_bytes()));
}

#[test]
fn services_stand_in_the_order_of_their_list() {
    let replay = replay(GOLDEN);
    assert_eq!(replay.scale(), Scale { services: 2, endpoints: 2 });
    let names: Vec<_> = replay.services().services().iter().map(|service| service.display_name()).collect();
    assert_eq!(names, ["demo/web:http", "demo/dns:dns"]);
    assert_eq!(replay.without_services(), None);
    assert_eq!(replay.protocol(), Protocol::Udp, "as many of each");
    assert!(replay.addresses.are_pods && replay.addresses.blocks.probes.to_string() == "10.244.192.0/18");
}

#[test]
fn what_cannot_be_measured_is_said() {
    let v6 = replay(GOLDEN_V6);
    assert_eq!((v6.family(), v6.scale()), (Family::Ipv4, Scale { services: 0, endpoints: 0 }));
    let all = [
        replay("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n").without_services(),
        v6.without_services(),
        v6.without_misses(),
        replay(
            &GOLDEN
                .replace("-m tcp -j DNAT", "-m quota --quota 1 -j DNAT")
                .replace("-m udp -j DNAT", "-m quota --quota 1 -j DNAT"),
        )
        .without_services(),
    ];
    insta::assert_snapshot!(all.map(|reason| reason.unwrap_or_default()).join("\n"));
}

#[test]
fn missing_sets_are_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let rules = path("rules", include_str!("../../../dataplane/tests/golden/ipvs/iptables-save.txt"));
    let all = include_str!("../../../dataplane/tests/golden/ipvs/ipset-save.txt");
    let one_less: String =
        all.lines().filter(|line| !line.contains("KUBE-LOOP-BACK")).map(|line| format!("{line}\n")).collect();
    let mut messages = String::new();
    for sets in [
        None,
        Some(path("less", &one_less)),
        Some(path("none", "hello\n")),
        Some(folder.path().join("absent")),
    ] {
        let source = ReplaySource { rules: rules.clone(), sets, variant: None };
        let error = Replay::read(&source).unwrap_err();
        let text = crate::explain::explain(&error).replace(&folder.path().display().to_string(), "DIR");
        messages.push_str(&format!("{text}\n"));
    }
    insta::assert_snapshot!(messages);
    let source = ReplaySource { rules, sets: Some(path("all", all)), variant: Some(Variant::Nft) };
    let replay = Replay::read(&source).unwrap();
    let programs: Vec<_> = replay.install().steps.iter().map(|step| step.command_line()).collect();
    assert_eq!(programs, ["ipset restore -exist", "iptables-restore -w 5"]);
    assert_eq!(replay.tool(), "iptables-nft-restore");
}

#[test]
fn a_note_has_neither_names_nor_addresses() {
    let note = replay(GOLDEN).note();
    let text = format!("{note:#}");
    assert!(!text.contains("demo") && !text.contains("10."), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_folder_goes_on_with_its_own_ruleset_only() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (replay(GOLDEN), replay(GOLDEN_NFT));
    note::keep(folder.path(), Some(&one), false).unwrap();
    note::keep(folder.path(), Some(&one), true).unwrap();
    let refused = |replay| note::keep(folder.path(), replay, true).unwrap_err().to_string();
    assert!(refused(Some(&other)).contains("another replayed ruleset"));
    assert!(refused(None).contains("give it again with --replay"));
    let empty = tempfile::tempdir().unwrap();
    note::keep(empty.path(), None, true).unwrap();
    assert!(
        note::keep(empty.path(), Some(&one), true).unwrap_err().to_string().contains("no replayed ruleset")
    );
}
