use dataplane::{KubeProxy, Node, planner};
use proptest::prelude::*;
use services::service_set::Scale;

use super::*;

const MODES: [Mode; 5] =
    [Mode::IptablesLegacy, Mode::IptablesNft, Mode::Nftables, Mode::Ipvs, Mode::IpvsBatched];
const ROOMY: Machine = Machine { available: Some(1 << 50), cpus: 2 };

fn of_scale(mode: Mode, services: u32, endpoints: u32) -> Footprint {
    let set = ServiceSet::synthetic(Scale { services, endpoints }, 1);
    Footprint::of_set(mode, planner(mode, Node::lab(KubeProxy::NEWEST)).as_ref(), &set, Counts::default())
}

/// As the planner counts synthetic Services of iptables mode.
fn legacy(services: u64, endpoints: u64) -> Footprint {
    let counts = Counts {
        rules: 23 + services * (2 + 3 * endpoints),
        chains: 25 + services * (1 + endpoints),
        ..Counts::default()
    };
    Footprint::of(Mode::IptablesLegacy, services, services * endpoints, &counts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn more_never_takes_less(services in 1..60_u32, endpoints in 1..12_u32, mode in prop::sample::select(&MODES[..])) {
        let less = of_scale(mode, services, endpoints);
        for more in [of_scale(mode, services + 1, endpoints), of_scale(mode, services, endpoints + 1)] {
            prop_assert!(more.kernel > less.kernel && more.per_cpu >= less.per_cpu);
            prop_assert!(more.program >= less.program && more.transaction >= less.transaction);
            prop_assert!(more.sync_seconds > less.sync_seconds && more.load_seconds > less.load_seconds);
        }
    }

    #[test]
    fn what_fits_still_fits_a_larger_machine(available in 0..1_u64 << 36, more in 0..1_u64 << 36, cpus in 1..512_u64) {
        let capacity = legacy(20_000, 10);
        let refused = |available| {
            let machine = Machine { available: Some(available), cpus };
            capacity.refusal(Installing::Sync, &machine, None).is_some()
        };
        prop_assert!(refused(available) || !refused(available + more));
    }

    #[test]
    fn lists_of_cpus_are_read(text in "[0-9,\\-\n ]{0,12}") {
        cpus(&text);
    }
}

/// What IPT_SO_GET_INFO said of the table `nat` after a cold full sync (Linux 6.18, x86-64, 2026-11-25).
#[test]
fn a_table_has_the_size_that_the_kernel_tells() {
    for (services, known) in [(50, 963_584), (300, 3_163_584)] {
        let set = ServiceSet::synthetic(Scale { services, endpoints: 10 }, 1);
        let plan = planner(Mode::IptablesLegacy, Node::lab(KubeProxy::NEWEST)).plan(
            &ServiceSet::default(),
            &set,
            Sync::Full,
        );
        let size = Footprint::of_plan(Mode::IptablesLegacy, &set, &plan).table.unwrap();
        assert!((known..known + (8 << 10)).contains(&size), "{services} Services: {size}, known {known}");
    }
}

#[test]
fn predictions_are_near_what_was_measured() {
    let mebibytes = |bytes: u64| bytes >> 20;
    let legacy = legacy(10_000, 10);
    assert!((100..125).contains(&mebibytes(legacy.kernel)), "{legacy:?}: 107 MB of a table and 6 of slabs");
    assert!((210..240).contains(&mebibytes(legacy.program)), "{legacy:?}: 224 MiB");
    assert!((12.0..17.0).contains(&legacy.sync_seconds), "{legacy:?}: 14.1 s");
    // nftables: as 1.34 writes it, and as 1.37 does.
    let counts = Counts { rules: 110_022, chains: 55_016, elements: 10_001, ..Counts::default() };
    let chains = Footprint::of(Mode::Nftables, 5_000, 50_000, &counts);
    assert!((48..60).contains(&mebibytes(chains.kernel)), "{chains:?}: 54 MiB");
    assert!((620..680).contains(&mebibytes(chains.program)), "{chains:?}: 648 MiB");
    assert!((35.0..45.0).contains(&chains.sync_seconds), "{chains:?}: 38.7 s");
    for (services, endpoints, program, kernel, sync, load) in [
        (1_000, 1, 15.5, 0.8, 0.05, 0.05),
        (1_000, 10, 32.4, 1.9, 0.16, 0.15),
        (5_000, 10, 143.9, 10.1, 3.6, 1.9),
        (1_000, 100, 148.3, 11.6, 0.68, 0.62),
    ] {
        let maps = of_scale(Mode::Nftables, services, endpoints);
        for (predicted, measured, within, least) in [
            (maps.program as f64 / f64::from(1 << 20), program, 1.2, 0.0),
            (maps.kernel as f64 / f64::from(1 << 20), kernel, 1.4, 1.0),
            (maps.sync_seconds, sync, 1.7, 0.2),
            (maps.load_seconds, load, 1.6, 0.2),
        ] {
            let ratio: f64 = (predicted + least) / (measured + least);
            assert!(
                ratio < within && ratio > 1.0 / within,
                "{services} x {endpoints}: {predicted}, measured {measured}: {maps:?}"
            );
        }
    }
    let counts = Counts { rules: 32_023, chains: 11_025, ..Counts::default() };
    let nft = Footprint::of(Mode::IptablesNft, 1_000, 10_000, &counts);
    assert!((18..22).contains(&mebibytes(nft.kernel)), "{nft:?}: 19 MiB");
    assert!((45..60).contains(&mebibytes(nft.program)), "{nft:?}: 51 MiB");
    assert!((7.0..10.0).contains(&nft.sync_seconds), "{nft:?}: 8.1 s");
}

#[test]
fn legacy_refuses_beyond_the_kernels_limit_however_large_the_machine() {
    let large = legacy(60_000, 10);
    let refusal = large.refusal(Installing::Load, &ROOMY, None).unwrap();
    assert!(matches!(refusal, Refusal::Table { bytes, .. } if bytes >= table::LARGEST), "{refusal}");
    assert_eq!(legacy(10_000, 10).refusal(Installing::Sync, &ROOMY, None), None);
    let counts = Counts { rules: 1_920_000, chains: 660_000, ..Counts::default() };
    let nft = Footprint::of(Mode::IptablesNft, 60_000, 600_000, &counts);
    assert_eq!(nft.refusal(Installing::Load, &ROOMY, None), None, "it has no such table");
}

#[test]
fn a_sync_needs_more_than_a_load() {
    let counts = Counts { rules: 1_100_022, chains: 550_016, elements: 100_001, ..Counts::default() };
    let capacity = Footprint::of(Mode::Nftables, 50_000, 500_000, &counts);
    let machine = Machine { available: Some(4 << 30), cpus: 2 };
    assert!(matches!(capacity.refusal(Installing::Sync, &machine, None), Some(Refusal::Memory { .. })));
    assert_eq!(capacity.refusal(Installing::Load, &machine, None), None);
    let unknown = Machine { available: None, ..machine };
    assert_eq!(capacity.refusal(Installing::Sync, &unknown, None), None, "nobody knows");
}

#[test]
fn each_cpu_has_counters_of_its_own() {
    let capacity = legacy(10_000, 10);
    let more = capacity.kernel_peak(64) - capacity.kernel_peak(2);
    // 540,000 rules and ends of chains with 16 bytes each, and the stack.
    assert!((62 * 8_600_000..62 * 11_000_000).contains(&more), "{more}");
}

#[test]
fn a_time_from_constants_must_be_far_over_the_limit() {
    let capacity = legacy(10_000, 10);
    let at = |seconds: f64| {
        capacity.refusal(Installing::Sync, &ROOMY, Some(Duration::from_secs_f64(seconds))).is_some()
    };
    assert!(at(capacity.sync_seconds / 3.1) && !at(capacity.sync_seconds / 2.9));
}

#[test]
fn refusals_as_people_read_them() {
    let refusals = [
        Refusal::Table { mode: Mode::IptablesLegacy, bytes: 632_000_000 },
        Refusal::Memory { kernel: 1_700_000_000, programs: 6_825_000_000, available: 3_000_000_000 },
        Refusal::Time { what: "a cold full sync", seconds: 3_772.5, limit: 15.0 },
    ];
    let text: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(text.join("\n\n"));
}

#[test]
fn cpus_are_counted() {
    assert_eq!([cpus("0-3,8\n"), cpus("0"), cpus(""), cpus("3-1")], [Some(5), Some(1), None, None]);
    let now = Machine::now();
    assert!(now.cpus >= 1 && now.available.is_some_and(|bytes| bytes > 1 << 20), "{now:?}");
}
