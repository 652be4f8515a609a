use super::*;

fn found(service: Option<&str>, place: &str, whose: Whose, line: &str) -> Found {
    let at = At { set: "seed 17".into(), step: "change 2".into() };
    let (service, place, line) = (service.map(str::to_owned), place.to_owned(), line.to_owned());
    Found { at, family: Family::Ipv4, service, place, whose, line }
}

fn report() -> Report {
    let counts = Counts {
        states: 160,
        starts: 16,
        services: 1204,
        rules: 31_337,
        programs: 320,
        several_syncs: 1,
        late: 2,
        missed_zone: 3,
    };
    let families = Family::ALL.map(|family| FamilyReport { family, counts }).to_vec();
    let chain = "ip kube-proxy, chain external-HASH-random/service-3/tcp/";
    let differing = ModeReport {
        mode: Mode::Nftables,
        skipped: None,
        sets: 40,
        families: families.clone(),
        differences: vec![
            found(Some("random/service-3"), chain, Whose::Plan, "goto service-HASH-random/service-3/tcp/"),
            found(Some("random/service-3"), chain, Whose::KubeProxy, "goto local-HASH-random/service-3/tcp/"),
            found(None, "programs of ipv4", Whose::Order, ""),
        ],
        failures: vec![Failure {
            at: At { set: "seed 20".into(), step: "set".into() },
            reason: "kube-proxy was refused: nft -f - ended with 1; it logged nothing".into(),
        }],
    };
    let same = ModeReport {
        mode: Mode::IptablesLegacy,
        differences: Vec::new(),
        failures: Vec::new(),
        ..differing.clone()
    };
    let skipped = ModeReport {
        mode: Mode::Ipvs,
        skipped: Some("IP Virtual Server is missing: no such module; load it".into()),
        sets: 0,
        families: Vec::new(),
        differences: Vec::new(),
        failures: Vec::new(),
    };
    Report {
        kube_proxy: "kube-proxy v1.37.2 sha256:0123456789abcdef".into(),
        planned: KubeProxy::V1_37,
        installed: "40 random sets, seeds 1 to 40, each with 3 changes".into(),
        modes: vec![same, differing, skipped],
    }
}

#[test]
fn differences_are_told_by_set_service_and_place() {
    insta::assert_snapshot!(report().to_string());
    assert_eq!((report().differences(), report().failures(), report().is_empty()), (3, 1, false));
}

#[test]
fn nothing_but_what_is_skipped() {
    let mut report = report();
    report.modes.drain(..2);
    assert!(report.is_empty());
    insta::assert_snapshot!(report.to_string());
}

#[test]
fn of_many_differences_the_first_are_shown() {
    let mut report = report();
    let many = (0..100).map(|number| found(None, "x", Whose::Plan, &format!("line {number}")));
    report.modes[0].differences = many.collect();
    let text = report.to_string();
    assert!(text.contains("line 59\n") && !text.contains("line 60\n"), "{text}");
    assert!(text.contains("\niptables-legacy: 40 more differences; --json has all\n"), "{text}");
}
