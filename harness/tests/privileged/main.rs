//! Tests in real kernels. Those whose needs this kernel lacks run in a guest, by this same program (see `trials`).

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "tests talk to whoever runs them")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod background;
mod children;
mod churn;
mod clusters;
mod costs;
mod features;
mod forwarding;
mod guest_kube_proxies;
mod hostport;
mod injected;
mod iptables_features;
mod ipvs;
mod kube_proxies;
mod lock;
mod nftables;
mod oracle;
#[allow(dead_code, reason = "it is for tests without a kernel first of all")]
#[path = "../../dataplane/tests/plans/paper/mod.rs"]
mod paper;
mod paths;
mod promise;
mod proxied;
mod real;
mod replay;
mod runs;
mod state;
mod stops;
mod syncs;
mod testbeds;
mod traffic;
mod verified;

use std::process::ExitCode;

use dataplane::{KubeProxy, Mode};
use experiments::forwarding::Method;
use netns_setup::Need;
use netns_setup::guest::{GuestError, Image, Kernel};
use services::service::Family;
use svcbench::lane::LAB_NEEDS;
use trials::Test;

fn test(name: &str, modes: &[Mode], body: impl FnOnce() + Send + 'static) -> Test {
    let mut needs = LAB_NEEDS.to_vec();
    needs.extend(modes.iter().flat_map(|mode| mode.needs()));
    Test { name: name.to_owned(), needs, body: Box::new(body) }
}

fn with_ipvsadm(mut test: Test) -> Test {
    test.needs.push(Need::Ipvsadm);
    test
}

const LEGACY: &[Mode] = &[Mode::IptablesLegacy];
const IPTABLES: &[Mode] = &[Mode::IptablesLegacy, Mode::IptablesNft];
/// kube-proxy's modes that hosts have.
const PROXY: &[Mode] = &[Mode::IptablesLegacy, Mode::IptablesNft, Mode::Nftables];
/// Those that many hosts lack.
const IPVS: [Mode; 2] = [Mode::Ipvs, Mode::IpvsBatched];
const VERSIONS: [KubeProxy; 2] = [KubeProxy::V1_30, KubeProxy::NEWEST];

fn tests() -> Vec<Test> {
    // The longest first.
    let mut tests = vec![
        test("smoke_measures_every_mode_and_leaves_the_host_alone", PROXY, runs::smoke),
        test("killed_at_any_moment_a_run_leaves_nothing", PROXY, stops::killed_at_any_moment),
        test("a_lock_held_for_seven_seconds_is_given_up_after_five", LEGACY, lock::timeout),
        test("iptables_itself_says_so_and_ends_with_code_4", LEGACY, lock::literal_timeout),
        test("holds_and_waits_are_split_by_kind_of_sync", LEGACY, lock::by_sync),
        test("a_killed_run_resumes_without_repeating", PROXY, stops::killed_and_resumed),
        test("an_interrupted_run_reports_and_resumes", PROXY, stops::interrupted_and_resumed),
        test("a_program_that_fails_makes_failed_rows_and_stops_nothing_else", PROXY, runs::failing_program),
        test("an_unreliable_machine_is_refused_or_reported", PROXY, runs::strict),
        test("a_run_goes_on_without_outputs", PROXY, runs::without_outputs),
        test("a_run_goes_on_when_its_terminal_is_gone", PROXY, runs::on_a_dead_terminal),
        test("a_missing_program_makes_skipped_rows", PROXY, runs::missing_program),
        test("a_run_installs_the_services_of_a_cluster", PROXY, clusters::run),
        test("a_cold_sync_has_rows_of_what_it_takes", PROXY, costs::rows),
        test("connection_tables_are_counted", &[Mode::Nftables], costs::tables),
        test("a_run_writes_nowhere_but_into_its_folder", PROXY, runs::read_only_host),
        test("a_load_with_churn_leaks_nothing", &[Mode::Nftables], traffic::soak),
        test("the_lock_watch_measures_a_known_wait", LEGACY, lock::known_wait),
        test("the_lock_of_a_node_is_followed_and_never_taken", LEGACY, lock::followed),
        test("a_sync_that_starves_is_ended_and_contenders_are_kept", &[Mode::Nftables], lock::starved),
        test("a_sync_predicted_to_take_too_long_is_ended_and_waits_are_kept", LEGACY, lock::predicted),
        test("the_golden_cluster_gives_the_golden_iptables", PROXY, state::golden_iptables),
        test("the_golden_cluster_gives_the_golden_iptables_of_1_20", IPTABLES, state::golden_iptables_1_20),
        test("no_services_give_the_golden_ip6tables", IPTABLES, iptables_features::golden_v6),
        test(
            "packets_for_the_loopback_are_let_in",
            IPTABLES,
            iptables_features::lets_packets_for_the_loopback_in,
        ),
        test("the_golden_cluster_gives_the_golden_nftables", PROXY, state::golden_nftables),
        test("every_feature_gives_the_golden_nftables_of_1_37", &[Mode::Nftables], state::golden_features),
        test("the_golden_cluster_gives_the_golden_ipvs", &IPVS, ipvs::golden),
        with_ipvsadm(test("what_tools_read_of_an_ipvs_plan_does_what_the_plan_does", &IPVS, ipvs::printed)),
        test("ipvs_features_are_in_the_kernel_as_the_model_has_them", &IPVS, ipvs::features::all),
        test("ipvs_of_both_families_shares_a_node", &IPVS, ipvs::features::both_families),
        test("ipvs_keeps_removed_endpoints_for_their_connections", &IPVS, ipvs::draining::keeps_connections),
        test("ipvs_forgets_connections_and_keeps_its_servers", &IPVS, ipvs::forgotten),
        test("every_scheduler_answers_for_every_service", &IPVS, ipvs::schedulers),
        test("a_lab_shares_nothing_with_the_host", &[], paths::isolated),
        test("an_artificial_slowdown_is_in_its_mode_only", LEGACY, injected::elsewhere),
    ];
    for mode in PROXY.iter().copied().chain(IPVS) {
        // Versions do not differ in what batches leave.
        for &version in if mode == Mode::IpvsBatched { &VERSIONS[1..] } else { &VERSIONS[..] } {
            let of = |what: &str| format!("{what}::{mode}::{}", version.name());
            tests.push(test(&of("syncs_leave_what_the_model_says"), &[mode], move || {
                syncs::changes(mode, version)
            }));
            tests.push(test(&of("loading_leaves_what_a_sync_leaves"), &[mode], move || {
                state::loaded(mode, version)
            }));
        }
        if mode == Mode::Nftables {
            // Between them are tables of two other forms.
            for version in [KubeProxy::V1_34, KubeProxy::V1_36] {
                let name = format!("syncs_leave_what_the_model_says::{mode}::{}", version.name());
                tests.push(test(&name, &[mode], move || syncs::changes(mode, version)));
            }
        }
        let of = |what: &str| format!("{what}::{mode}");
        tests.push(test(&of("services_of_a_cluster_answer"), &[mode], move || clusters::answers(mode)));
        tests.push(test(&of("strangers_and_hairpins_are_masqueraded"), &[mode], move || {
            paths::masquerade(mode)
        }));
        tests
            .push(test(&of("every_change_of_a_scenario_is_synced"), &[mode], move || churn::scenarios(mode)));
        // What batches leave is the same.
        if mode != Mode::IpvsBatched {
            tests.push(test(&of("loads_are_answered_by_their_endpoints"), &[mode], move || {
                traffic::loads(mode)
            }));
            tests.push(test(&of("loads_feel_every_happening"), &[mode], move || traffic::disruptions(mode)));
        }
        tests.push(test(&of("an_artificial_slowdown_stands_first"), &[mode], move || {
            injected::stands_first(mode)
        }));
        tests.push(test(&of("two_labs_do_not_disturb_each_other"), &[mode], move || paths::two_labs(mode)));
    }
    for family in Family::ALL {
        // The iptables rules of 1.30 are those of today (`versions_of_iptables_write_the_same_rules`), and both variants of
        // iptables are given the same: what differs is tried with some sets.
        for (mode, version, whole) in [
            (Mode::IptablesLegacy, KubeProxy::NEWEST, true),
            (Mode::Nftables, KubeProxy::NEWEST, true),
            (Mode::IptablesNft, KubeProxy::NEWEST, false),
            (Mode::Nftables, KubeProxy::V1_30, false),
            (Mode::Nftables, KubeProxy::V1_34, false),
        ] {
            let name = format!(
                "packets_go_where_kube_proxy_promises::{mode}::{}::{}",
                version.name(),
                family.name()
            );
            tests.push(test(&name, &[mode], move || match whole {
                true => promise::kept(mode, version, family),
                false => promise::kept_in_part(mode, version, family, 0),
            }));
        }
        for mode in PROXY.iter().copied().chain([Mode::IpvsBatched]) {
            for (feature, body) in features::ALL {
                let name = format!("feature::{feature}::{mode}::{}", family.name());
                tests.push(test(&name, &[mode], move || body(mode, family)));
            }
        }
        for part in 0..promise::PARTS {
            let (mode, version) = (Mode::IpvsBatched, KubeProxy::NEWEST);
            let name = format!(
                "packets_go_where_kube_proxy_promises::{mode}::{}::{}::{part}",
                version.name(),
                family.name()
            );
            tests.push(test(&name, &[mode], move || promise::kept_in_part(mode, version, family, part)));
        }
        let modes = &[Mode::IptablesLegacy, Mode::Nftables, Mode::IpvsBatched];
        let name = format!("modes_differ_only_where_they_mean_to::{}", family.name());
        tests.push(test(&name, &[], move || promise::alike(modes, family)));
    }
    for family in Family::ALL {
        for &mode in PROXY {
            let name = format!("a_real_kube_proxy_keeps_its_promise::{mode}::{}", family.name());
            let mut test = test(&name, &[mode], move || promise::kept_by_kube_proxy(mode, family));
            test.needs.push(Need::KubeProxy(real::MINOR));
            tests.push(test);
        }
    }
    tests.extend(background::tests());
    tests.extend(replay::tests());
    tests.extend(hostport::tests());
    for mode in IPTABLES.iter().copied() {
        for version in [KubeProxy::V1_20, KubeProxy::NEWEST] {
            let of = |what: &str| format!("{what}::{mode}::{}", version.name());
            tests.push(test(&of("every_feature_leaves_what_the_model_says"), &[mode], move || {
                iptables_features::random(mode, version)
            }));
            tests.push(test(&of("changes_of_features_leave_what_a_cold_sync_leaves"), &[mode], move || {
                iptables_features::changes(mode, version)
            }));
        }
        let of = |what: &str| format!("{what}::{mode}::1.20");
        let version = KubeProxy::V1_20;
        tests.push(test(&of("syncs_leave_what_the_model_says"), &[mode], move || {
            syncs::changes(mode, version)
        }));
        tests.push(test(&of("loading_leaves_what_a_sync_leaves"), &[mode], move || {
            state::loaded(mode, version)
        }));
    }
    for method in Method::ALL {
        let name = format!("what_passes_a_director_is_counted_and_timed::{}", method.mode());
        let needs = [&LAB_NEEDS[..], method.needs()].concat();
        tests.push(Test { name, needs, body: Box::new(move || forwarding::one(method)) });
    }
    let needs = Method::ALL.iter().flat_map(|method| method.needs());
    tests.push(Test {
        name: "direct_routing_and_tunnels_spare_the_director_the_way_back".into(),
        needs: LAB_NEEDS.iter().chain(needs).copied().collect(),
        body: Box::new(forwarding::claim),
    });
    for mode in [Mode::Direct, Mode::Conntrack, Mode::Dnat] {
        tests
            .push(test(&format!("a_control_carries_packets::{mode}"), &[mode], move || syncs::control(mode)));
    }
    tests.extend(kube_proxies::tests());
    tests.extend(guest_kube_proxies::tests());
    tests.extend(verified::tests());
    tests.extend(oracle::tests());
    tests.extend(nftables::tests());
    tests
}

/// A guest that measures has all that these tests need.
fn image(kernel: &Kernel, job: Vec<u8>) -> Result<Image, GuestError> {
    let names = String::from_utf8_lossy(&job).into_owned();
    let mut image = svcbench::guest::image(kernel, &Mode::ALL, true, job)?;
    image.copy(concat!(env!("CARGO_MANIFEST_DIR"), "/dataplane/tests/golden").as_ref())?;
    guest_kube_proxies::put_into(&mut image, &names)?;
    Ok(image)
}

fn main() -> ExitCode {
    kube_proxy::recorder::stand_in();
    if kube_proxies::fakes::play_role() {
        return ExitCode::SUCCESS;
    }
    trials::run(tests(), image)
}
