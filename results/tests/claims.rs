//! Claims: settled from the reference runs, and from synthetic rows with a known answer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use results::claims::{self, Claim, ClaimVerdict, LaneVerdict, claims_of};
use results::environment::Environment;
use results::names::{metric, workload};
use results::record::{CellKey, Clock, Record, Unit};
use results::record_file::read_records;

fn of_folder(name: &str) -> Vec<Claim> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let records = read_records(&folder.join("records.csv")).unwrap();
    claims_of(&records, &Environment::read(&folder.join("environment.json")).unwrap())
}

#[test]
fn the_reference_run_settles_claims_on_its_machine() {
    let claims = of_folder("reference");
    insta::assert_snapshot!("reference", claims::text(&claims));
    assert_eq!(claims, of_folder("reference"), "the same rows give the same claims");
    let json = serde_json::to_value(&claims).unwrap();
    assert_eq!(json[0]["settled"][0]["verdict"], "holds");
    assert!(json[0]["settled"][0]["figures"][0]["value"].as_f64().unwrap() > 1.0);
}

#[test]
fn the_reference_guest_settles_what_a_guest_can() {
    let claims = of_folder("reference-guest");
    insta::assert_snapshot!("reference_guest", claims::markdown(&claims));
}

fn key(mode: &str, block: u32, services: u32, position: &str, workload: &str) -> CellKey {
    CellKey {
        run: "run".into(),
        block,
        order: 0,
        mode: mode.into(),
        services,
        endpoints: 3,
        position: position.into(),
        workload: workload.into(),
        contenders: 0,
        clock: Clock::Wall,
        kernel: "6.18".into(),
        hypervisor: "none".into(),
        system: "".into(),
    }
}

/// What the only lane of `rows` says of one claim.
fn settled(rows: &[Record], id: &str) -> LaneVerdict {
    let claims = claims_of(rows, &Environment::default());
    let claim = claims.into_iter().find(|claim| claim.id == id).unwrap();
    let [settled] = &claim.settled[..] else { panic!("{:?}", claim.settled) };
    settled.clone()
}

/// A line of lookups for a mode: `base + slope x position`, with a few ns between blocks.
fn lookups(mode: &str, blocks: u32, base: f64, slope: f64) -> Vec<Record> {
    let mut rows = Vec::new();
    for services in [10, 100, 500, 1_000, 5_000, 10_000] {
        for block in 1..=blocks {
            for (position, at) in [("first", 1), ("middle", services / 2), ("last", services)] {
                let key = key(mode, block, services, position, workload::PACKET_PROBE);
                let noise = f64::from((block * 7 + services / 10) % 5);
                let time = (base + slope * f64::from(at) + noise) as u64;
                rows.push(key.scalar(metric::LOOKUP_FIRST_PACKET, Unit::Ns, time));
            }
        }
    }
    rows
}

#[test]
fn a_list_that_is_walked_is_linear_and_a_table_is_not() {
    let rows = [lookups("iptables-legacy", 5, 1_300.0, 2.7), lookups("ipvs", 5, 1_500.0, 0.0)].concat();
    let linear = settled(&rows, "iptables-lookup-linear");
    assert_eq!(linear.verdict, ClaimVerdict::Holds);
    assert!(linear.measured.contains("iptables-legacy +2.7"), "{}", linear.measured);
    assert_eq!(settled(&rows, "ipvs-lookup-constant").verdict, ClaimVerdict::Holds);
    // The other way round.
    let rows = [lookups("iptables-legacy", 5, 1_300.0, 0.0), lookups("ipvs", 5, 1_500.0, 2.7)].concat();
    assert_eq!(settled(&rows, "iptables-lookup-linear").verdict, ClaimVerdict::DoesNotHold);
    assert_eq!(settled(&rows, "ipvs-lookup-constant").verdict, ClaimVerdict::DoesNotHold);
    // One variant walks, the other does not.
    let rows =
        [lookups("iptables-legacy", 5, 1_300.0, 2.7), lookups("iptables-nft", 5, 1_300.0, 0.0)].concat();
    assert!(
        matches!(settled(&rows, "iptables-lookup-linear").verdict, ClaimVerdict::Depends { on } if on.contains("iptables-nft"))
    );
    // Two blocks say nothing.
    let missing = settled(&lookups("ipvs", 2, 1_500.0, 0.0), "ipvs-lookup-constant").verdict;
    assert!(matches!(missing, ClaimVerdict::NotShown { missing } if missing.contains("blocks = 5")));
}

#[test]
fn a_control_that_drifts_raises_the_floor() {
    // +24% over the range is a rise, unless the control, which no Service slows, goes up by a third too.
    let mut rows = lookups("iptables-legacy", 5, 1_300.0, 0.031);
    assert_eq!(settled(&rows, "iptables-lookup-linear").verdict, ClaimVerdict::Holds);
    rows.extend(lookups("direct", 5, 1_000.0, 0.033));
    assert!(matches!(
        settled(&rows, "iptables-lookup-linear").verdict,
        ClaimVerdict::NotShown { .. } | ClaimVerdict::DoesNotHold
    ));
}

#[test]
fn a_cell_visited_twice_in_a_block_raises_the_floor() {
    let mut rows = lookups("iptables-legacy", 5, 1_300.0, 0.031);
    let again: Vec<Record> = rows
        .iter()
        .filter(|row| row.cell.services == 100 && row.cell.position == "last")
        .map(|row| Record {
            cell: CellKey { order: 1, ..row.cell.clone() },
            p50: row.p50.map(|p50| p50 * 2),
            ..row.clone()
        })
        .collect();
    assert_eq!(again.len(), 5);
    rows.extend(again);
    assert_eq!(settled(&rows, "iptables-lookup-linear").verdict, ClaimVerdict::DoesNotHold);
}

#[test]
fn modes_are_the_same_where_their_difference_is_small() {
    let rows = [lookups("iptables-legacy", 5, 1_300.0, 0.1), lookups("nftables", 5, 1_320.0, 0.0)].concat();
    assert_eq!(settled(&rows, "modes-equal-below-1000").verdict, ClaimVerdict::Holds);
    let above = settled(&rows, "modes-differ-from-5000");
    assert!(
        matches!(above.verdict, ClaimVerdict::Depends { on } if on.contains("not measured")),
        "{}",
        above.measured
    );
    assert!(above.measured.contains("iptables-legacy overtakes nftables at 200 "), "{}", above.measured);
    // Steeper: they differ at 500 already.
    let rows = [lookups("iptables-legacy", 5, 1_300.0, 2.7), lookups("nftables", 5, 1_320.0, 0.0)].concat();
    assert_eq!(settled(&rows, "modes-equal-below-1000").verdict, ClaimVerdict::DoesNotHold);
    // Noise of a fifth in one block of five hides what is there, and is not called equality.
    let noisy = rows.iter().map(|row| {
        let factor = if row.cell.block == 3 && &*row.cell.mode == "nftables" { 14 } else { 10 };
        Record { p50: row.p50.map(|p50| p50 * factor / 10), ..row.clone() }
    });
    let noisy: Vec<Record> =
        noisy.filter(|row| row.cell.services <= 10 || row.cell.services > 1_000).collect();
    assert!(matches!(settled(&noisy, "modes-equal-below-1000").verdict, ClaimVerdict::NotShown { .. }));
    // One mode alone has nothing to differ from.
    let alone = settled(&lookups("nftables", 5, 1_320.0, 0.0), "modes-differ-from-5000");
    assert!(matches!(alone.verdict, ClaimVerdict::NotShown { .. }));
}

/// Bytes of syncs of `iptables-legacy` by number of Services.
fn bytes(workload: &str, of: impl Fn(u64) -> u64) -> Vec<Record> {
    [100, 1_000]
        .into_iter()
        .map(|services| {
            key("iptables-legacy", 1, services, "", workload).scalar(
                metric::BYTES,
                Unit::Bytes,
                of(services.into()),
            )
        })
        .collect()
}

#[test]
fn what_a_change_rewrites_depends_on_the_version() {
    let full = bytes(workload::FULL_SYNC_COLD, |n| 2_000 + 3_000 * n);
    // 1.20: all of it, whatever changed.
    let rows = [
        full.clone(),
        bytes(workload::PARTIAL_SYNC_REPLACE_ENDPOINT, |n| 2_000 + 3_000 * n),
        bytes(workload::PARTIAL_SYNC_NOOP, |n| 2_000 + 3_000 * n),
    ]
    .concat();
    assert_eq!(settled(&rows, "iptables-rewrites-everything").verdict, ClaimVerdict::Holds);
    assert_eq!(settled(&rows, "endpoint-rewrites-service").verdict, ClaimVerdict::Holds);
    // Now: one line for each Service, and the chains of one.
    let lines = |n: u64| 1_000 + 144 * n;
    let noop = bytes(workload::PARTIAL_SYNC_NOOP, lines);
    let rows =
        [full.clone(), bytes(workload::PARTIAL_SYNC_REPLACE_ENDPOINT, |n| lines(n) + 2_856), noop.clone()]
            .concat();
    let everything = settled(&rows, "iptables-rewrites-everything");
    assert!(
        matches!(everything.verdict, ClaimVerdict::Depends { .. }) && everything.measured.contains("4.9%"),
        "{everything:?}"
    );
    assert_eq!(settled(&rows, "endpoint-rewrites-service").verdict, ClaimVerdict::Holds);
    // A planner that sends what changed, and nothing else.
    let rows = [
        full,
        bytes(workload::PARTIAL_SYNC_REPLACE_ENDPOINT, |_| 1_300),
        bytes(workload::PARTIAL_SYNC_NOOP, |_| 1_000),
    ]
    .concat();
    assert_eq!(settled(&rows, "iptables-rewrites-everything").verdict, ClaimVerdict::DoesNotHold);
    assert_eq!(settled(&rows, "endpoint-rewrites-service").verdict, ClaimVerdict::DoesNotHold);
    // Without a full sync there is nothing to compare with.
    assert!(matches!(settled(&noop, "iptables-rewrites-everything").verdict, ClaimVerdict::NotShown { .. }));
}

/// Times of an operation of a mode by number of Services, seconds.
fn times(mode: &str, name: &str, times: &[(u32, f64)]) -> Vec<Record> {
    let row = |(services, seconds): &(u32, f64)| {
        key(mode, 1, *services, "", name).scalar(metric::APPLY, Unit::Ns, (seconds * 1e9) as u64)
    };
    times.iter().map(row).collect()
}

#[test]
fn adding_a_service_is_three_figures() {
    let add = |times_of: [(u32, f64); 3]| {
        [
            times("iptables-legacy", workload::APPEND, &times_of),
            times("iptables-legacy", workload::PARTIAL_SYNC_ADD_SERVICE, &times_of),
        ]
        .concat()
    };
    let quick = add([(10, 0.001), (5_000, 0.36), (20_000, 1.4)]);
    let minutes = settled(&quick, "iptables-add-minutes-5000");
    assert_eq!(minutes.verdict, ClaimVerdict::DoesNotHold);
    assert!(
        minutes.measured.contains("5,000 appends one after another would take 15 minutes"),
        "{}",
        minutes.measured
    );
    let hours = settled(&quick, "iptables-add-hours-20000");
    assert_eq!(hours.verdict, ClaimVerdict::DoesNotHold);
    assert!(hours.measured.contains("would take 3.9 hours"), "{}", hours.measured);
    let slow = add([(10, 0.1), (5_000, 700.0), (20_000, 40_000.0)]);
    assert_eq!(settled(&slow, "iptables-add-minutes-5000").verdict, ClaimVerdict::Holds);
    assert_eq!(settled(&slow, "iptables-add-hours-20000").verdict, ClaimVerdict::Holds);
    // One block, near the limit; and beyond what was measured.
    let near = add([(10, 0.1), (5_000, 70.0), (10_000, 100.0)]);
    assert!(matches!(settled(&near, "iptables-add-minutes-5000").verdict, ClaimVerdict::NotShown { .. }));
    let hours = settled(&near, "iptables-add-hours-20000").verdict;
    assert!(
        matches!(hours, ClaimVerdict::NotShown { missing } if missing.contains("largest scale measured is 10,000"))
    );
}

#[test]
fn ipvs_is_constant_in_the_kernel_and_not_in_kube_proxy() {
    let kernel = times("ipvs-batched", workload::PARTIAL_SYNC_ADD_SERVICE, &[(10, 0.003), (5_000, 0.004)]);
    let proxy = times("ipvs", workload::PARTIAL_SYNC_ADD_SERVICE, &[(10, 0.1), (5_000, 1.0)]);
    let both = [proxy.clone(), kernel.clone()].concat();
    assert!(
        matches!(settled(&both, "ipvs-add-constant").verdict, ClaimVerdict::Depends { on } if on.starts_with("who programs it"))
    );
    assert_eq!(settled(&proxy, "ipvs-add-constant").verdict, ClaimVerdict::DoesNotHold);
    assert!(
        matches!(settled(&kernel, "ipvs-add-constant").verdict, ClaimVerdict::NotShown { missing } if missing.contains("add-service"))
    );
    let level = times("ipvs", workload::PARTIAL_SYNC_ADD_SERVICE, &[(10, 0.1), (5_000, 0.11)]);
    assert_eq!(settled(&level, "ipvs-add-constant").verdict, ClaimVerdict::Holds);
    assert!(matches!(
        settled(&times("ipvs", workload::PARTIAL_SYNC_ADD_SERVICE, &[(10, 0.1), (50, 0.1)]), "ipvs-add-constant").verdict,
        ClaimVerdict::NotShown { missing } if missing.contains("ten at least")
    ));
}

#[test]
fn commands_that_gave_up_are_counted() {
    let lock = |contenders: u32, waits: &[(u32, f64, u64)]| -> Vec<Record> {
        let of = |(services, p99, gave_up): &(u32, f64, u64)| {
            let mut key = key("iptables-legacy", 1, *services, "", workload::XTABLES_LOCK);
            key.contenders = contenders;
            [
                key.scalar(metric::LOCK_WAIT, Unit::Ns, (p99 * 1e9) as u64),
                key.scalar(metric::LOCK_TIMEOUTS, Unit::Count, *gave_up),
            ]
        };
        waits.iter().flat_map(of).collect()
    };
    let id = "lock-timeouts-from-5000";
    let many = lock(8, &[(100, 0.1, 0), (1_000, 1.2, 0), (5_000, 5.0, 17)]);
    let seen = settled(&many, id);
    assert_eq!(seen.verdict, ClaimVerdict::Holds);
    assert!(seen.measured.contains("17 gave up"), "{}", seen.measured);
    let few = lock(1, &[(100, 0.01, 0), (1_000, 0.1, 0), (5_000, 0.5, 0)]);
    assert_eq!(settled(&few, id).verdict, ClaimVerdict::DoesNotHold);
    let both = [few.clone(), many].concat();
    assert!(
        matches!(settled(&both, id).verdict, ClaimVerdict::Depends { on } if on.contains("8 contenders"))
    );
    let small: Vec<Record> = few.into_iter().filter(|row| row.cell.services < 5_000).collect();
    assert!(
        matches!(settled(&small, id).verdict, ClaimVerdict::NotShown { missing } if missing.contains("5,000"))
    );
}

#[test]
fn shares_are_judged_by_chi_square() {
    let share = |counts: &[u64], services: u32| -> Vec<Record> {
        let key = key("iptables-legacy", 1, services, "", workload::TRAFFIC_SHARES);
        let p = results::stats::uniform_share_p_value(counts).unwrap();
        vec![
            key.samples(metric::ENDPOINT_PACKETS, Unit::Count, counts),
            key.scalar(metric::SHARE_P_VALUE, Unit::Count, (p * 1e6) as u64),
        ]
    };
    let fair = [share(&[201, 195, 204], 10), share(&[190, 207, 203], 100)].concat();
    let equal = settled(&fair, "equal-shares");
    assert_eq!(equal.verdict, ClaimVerdict::Holds);
    assert!(
        equal.measured.contains("1,200 packets") && equal.measured.contains("5% from its share"),
        "{}",
        equal.measured
    );
    // As if the rules' probabilities were the shares: 1/3, 1/2 of all, and the rest.
    let unfair = settled(&share(&[200, 300, 100], 10), "equal-shares");
    assert_eq!(unfair.verdict, ClaimVerdict::DoesNotHold);
    let refused = key("iptables-nft", 1, 10, "last", workload::PACKET_PROBE).failed(
        metric::LOOKUP_FIRST_PACKET,
        Unit::Ns,
        "endpoints do not get equal shares: p = 1.0e-9 for [1, 2]",
    );
    assert_eq!(settled(&[refused], "equal-shares").verdict, ClaimVerdict::DoesNotHold);
}

#[test]
fn rules_are_counted() {
    let rules = |mode: &str, of: fn(u64) -> u64| -> Vec<Record> {
        let row = |services: u32| {
            key(mode, 1, services, "", workload::FULL_SYNC_COLD).scalar(
                metric::RULES,
                Unit::Count,
                of(services.into()),
            )
        };
        [10, 1_000].map(row).to_vec()
    };
    // Three endpoints each.
    let product = rules("iptables-legacy", |n| 3 * n);
    assert_eq!(settled(&product, "rules-product").verdict, ClaimVerdict::Holds);
    let real = [rules("iptables-legacy", |n| 23 + 11 * n), rules("ipvs", |_| 28)].concat();
    let found = settled(&real, "rules-product");
    assert!(
        matches!(&found.verdict, ClaimVerdict::Depends { on } if on.contains("3.7 in iptables-legacy")),
        "{found:?}"
    );
    assert_eq!(settled(&real, "ipvs-rules-constant").verdict, ClaimVerdict::Holds);
    assert_eq!(settled(&rules("ipvs", |n| 28 + n), "ipvs-rules-constant").verdict, ClaimVerdict::DoesNotHold);
    assert_eq!(settled(&rules("iptables-nft", |_| 9), "rules-product").verdict, ClaimVerdict::DoesNotHold);
}

#[test]
fn a_director_is_spared_what_does_not_pass_it() {
    let director = |mode: &str, workload: &str, packets: u64, bytes: u64, added: u64| -> Vec<Record> {
        let key = key(mode, 1, 1, "", workload);
        vec![
            key.scalar(metric::DIRECTOR_PACKETS_IN, Unit::Count, packets),
            key.scalar(metric::DIRECTOR_PACKETS_OUT, Unit::Count, packets),
            key.scalar(metric::DIRECTOR_BYTES_IN, Unit::Bytes, bytes),
            key.scalar(metric::DIRECTOR_BYTES_OUT, Unit::Bytes, bytes + added),
        ]
    };
    let (short, long) = (workload::FORWARDING, workload::FORWARDING_64K);
    let nat = [director("ipvs-nat", short, 8, 668, 0), director("ipvs-nat", long, 71, 70_365, 0)].concat();
    let spared = [director("ipvs-dr", short, 4, 325, 0), director("ipvs-dr", long, 22, 1_513, 0)].concat();
    assert_eq!(settled(&[nat.clone(), spared].concat(), "dr-return-traffic").verdict, ClaimVerdict::Holds);
    let carried = [director("ipvs-dr", short, 8, 668, 0), director("ipvs-dr", long, 71, 70_365, 0)].concat();
    assert_eq!(
        settled(&[nat.clone(), carried].concat(), "dr-return-traffic").verdict,
        ClaimVerdict::DoesNotHold
    );
    assert!(matches!(settled(&nat, "dr-return-traffic").verdict, ClaimVerdict::NotShown { .. }));
    let tunnel = settled(&director("ipvs-tun", long, 22, 1_513, 440), "tun-encapsulation");
    assert_eq!(tunnel.verdict, ClaimVerdict::Holds);
    assert!(tunnel.measured.contains("20 bytes on each of 22 packets"), "{}", tunnel.measured);
    assert_eq!(
        settled(&director("ipvs-tun", long, 22, 1_513, 0), "tun-encapsulation").verdict,
        ClaimVerdict::DoesNotHold
    );
}

#[test]
fn nothing_measured_settles_nothing() {
    let claims = claims_of(&[], &Environment::default());
    assert_eq!(claims.len(), 19);
    for claim in &claims {
        let [LaneVerdict { verdict: ClaimVerdict::NotShown { missing }, .. }] = &claim.settled[..] else {
            panic!("{claim:?}")
        };
        assert!(missing.contains('['), "says what to add to a sweep, or to run: {missing}");
    }
    // A lane that is no passport's, and rows that make no sense.
    let odd = key("iptables-legacy", 1, 0, "last", workload::PACKET_PROBE).scalar(
        metric::LOOKUP_FIRST_PACKET,
        Unit::Ns,
        0,
    );
    let cell = CellKey { endpoints: 0, services: u32::MAX, ..odd.cell.clone() };
    let odd = [odd.clone(), Record { cell, p50: Some(u64::MAX), ..odd }];
    assert_eq!(claims_of(&odd, &Environment::default()).len(), 19);
}

/// Rows of a change's syncs in nftables mode, one block each: of one kube-proxy, in milliseconds.
fn changes(system: &str, services: u32, syncs: &[u64], lists: bool) -> Vec<Record> {
    let each = |(block, sync): (u32, &u64)| {
        let key = key("nftables", block, services, "", workload::KUBE_PROXY_CHANGES);
        let key = CellKey { system: system.into(), ..key };
        let ns = sync * 1_000_000;
        let mut rows = vec![
            key.samples(metric::SYNC_DURATION, Unit::Ns, &[ns, ns]),
            key.samples(metric::PROGRAM_WRITING, Unit::Ns, &[7, 7]),
        ];
        rows.extend(lists.then(|| key.samples(metric::PROGRAM_LISTING, Unit::Ns, &[7, 7])));
        rows
    };
    (1..).zip(syncs).flat_map(each).collect()
}

const OLD: &str = "kube-proxy v1.36.3 sha256:00";
const NEW: &str = "kube-proxy v1.37.2 sha256:11";

#[test]
fn listing_over_netlink_is_settled_by_two_versions() {
    let id = "netlink-listing-1.37";
    let old = changes(OLD, 1_000, &[900, 905, 910, 903], true);
    let new = changes(NEW, 1_000, &[300, 303, 305, 301], false);
    let found = settled(&[old.clone(), new.clone()].concat(), id);
    assert_eq!(found.verdict, ClaimVerdict::Holds, "{}", found.measured);
    assert_eq!(
        found.measured,
        "the sync of a change at 1,000 Services takes 302 ms in kube-proxy 1.37.2 instead of 904 ms in kube-proxy 1.36.3 \
         (×3.0 [3.0, 3.0] for kube-proxy 1.36.3); programs that list meanwhile: none instead of 8"
    );
    // It costs more, or as much, or still starts programs.
    let slow = changes(NEW, 1_000, &[1_300, 1_303, 1_305, 1_301], false);
    assert_eq!(settled(&[old.clone(), slow].concat(), id).verdict, ClaimVerdict::DoesNotHold);
    let same = changes(NEW, 1_000, &[902, 903, 911, 900], false);
    assert_eq!(settled(&[old.clone(), same].concat(), id).verdict, ClaimVerdict::DoesNotHold);
    let lists = changes(NEW, 1_000, &[300, 303, 305, 301], true);
    assert_eq!(settled(&[old.clone(), lists].concat(), id).verdict, ClaimVerdict::DoesNotHold);
    // What is missing is named: the other version, a scale of both, blocks.
    let missing = |rows: &[Record]| match settled(rows, id).verdict {
        ClaimVerdict::NotShown { missing } => missing,
        other => panic!("{other:?}"),
    };
    assert!(missing(&old).contains("kube-proxy:1.37"));
    assert!(missing(&new).contains("kube-proxy:1.36"));
    assert!(
        missing(&[old.clone(), changes(NEW, 100, &[30; 3], false)].concat())
            .contains("one number of Services")
    );
    assert!(missing(&[&old[..6], &new[..4]].concat()).contains("blocks = 3"));
    assert!(missing(&lookups("nftables", 5, 1_300.0, 0.0)).contains("svcbench run versions"));
}

#[test]
fn maps_of_services_with_one_endpoint_are_counted() {
    let id = "one-endpoint-no-map-1.37";
    let maps = |system: &str, endpoints: u32, count: u64| {
        let key = key("nftables", 1, 500, "", workload::KUBE_PROXY_JOIN);
        let key = CellKey { system: system.into(), endpoints, ..key };
        vec![key.scalar(metric::ANONYMOUS_MAPS, Unit::Count, count)]
    };
    let both = |old: u64, new: u64| settled(&[maps(OLD, 1, old), maps(NEW, 1, new)].concat(), id);
    let found = both(504, 4);
    assert_eq!(found.verdict, ClaimVerdict::Holds);
    assert!(found.measured.contains("kube-proxy 1.37.2: 4 maps without a name for 500 Services"));
    assert_eq!(both(504, 504).verdict, ClaimVerdict::DoesNotHold);
    assert_eq!(both(4, 4).verdict, ClaimVerdict::DoesNotHold);
    for (rows, expected) in [
        (maps(NEW, 1, 4), "kube-proxy:1.36"),
        (maps(OLD, 1, 504), "kube-proxy:1.37"),
        (maps(NEW, 10, 504), "endpoints = 1"),
    ] {
        let verdict = settled(&rows, id).verdict;
        assert!(
            matches!(&verdict, ClaimVerdict::NotShown { missing } if missing.contains(expected)),
            "{verdict:?}"
        );
    }
}

#[test]
fn what_a_change_waits_for_is_the_second_or_the_sync() {
    let id = "latency-min-sync-period";
    let cell = |mode: &str, services: u32, p99: u64, sync: u64, count: usize| {
        let key = key(mode, 1, services, "", workload::KUBE_PROXY_CHANGES);
        let key = CellKey { system: NEW.into(), ..key };
        let ms = 1_000_000;
        vec![
            key.samples(metric::PROGRAMMING_LATENCY, Unit::Ns, &vec![p99 * ms; count]),
            key.scalar(metric::OWN_SYNC, Unit::Ns, sync * ms),
        ]
    };
    let bound = cell("nftables", 100, 1_040, 70, 36);
    let found = settled(&bound, id);
    assert_eq!(found.verdict, ClaimVerdict::Holds);
    assert_eq!(
        found.measured,
        "nftables, kube-proxy 1.37.2 at 100 Services: p99 1.04 s, the mean sync 70 ms"
    );
    let slow = cell("iptables-nft", 5_000, 9_000, 6_000, 36);
    assert_eq!(settled(&slow, id).verdict, ClaimVerdict::DoesNotHold);
    let both = settled(&[bound.clone(), slow].concat(), id).verdict;
    assert!(matches!(both, ClaimVerdict::Depends { on } if on.contains("iptables-nft at 5,000 Services")));
    assert!(matches!(settled(&cell("nftables", 100, 9, 1, 3), id).verdict, ClaimVerdict::NotShown { .. }));
    let mut planted = bound;
    planted[0].note = "kube-proxy was stopped for 500 ms".into();
    assert!(matches!(settled(&planted, id).verdict, ClaimVerdict::NotShown { .. }));
}

#[test]
fn whose_time_a_sync_is_depends_on_the_sync() {
    let id = "sync-is-programs";
    let parts = |workload: &str, own: u64, writing: u64| {
        let key = CellKey { system: NEW.into(), ..key("nftables", 1, 100, "", workload) };
        vec![
            key.scalar(metric::SYNC_OWN_WORK, Unit::Ns, own),
            key.scalar(metric::SYNC_WRITING, Unit::Ns, writing),
        ]
    };
    let first = parts(workload::KUBE_PROXY_JOIN, 20, 80);
    assert_eq!(settled(&first, id).verdict, ClaimVerdict::Holds);
    let change = parts(workload::KUBE_PROXY_CHANGES, 70, 30);
    assert_eq!(settled(&change, id).verdict, ClaimVerdict::DoesNotHold);
    let both = settled(&[first, change].concat(), id);
    assert!(matches!(&both.verdict, ClaimVerdict::Depends { on } if on.contains("the change in nftables")));
    assert!(both.measured.contains("first sync, nftables, kube-proxy 1.37.2, 100 Services: 20% of 100 ns"));
}
