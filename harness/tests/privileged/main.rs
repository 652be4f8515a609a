//! Tests in real kernels. Those whose needs this kernel lacks run in a guest, by this same program (see `trials`).

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod children;
mod forwarding;
mod ipvs;
mod lock;
mod paths;
mod runs;
mod state;
mod stops;
mod syncs;
mod worlds;

use std::process::ExitCode;

use harness::dataplane::{KubeProxy, Mode};
use harness::forwarding::Method;
use harness::run::LAB_NEEDS;
use netns_setup::Need;
use netns_setup::guest::{GuestError, Image, Kernel};
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
/// kube-proxy's modes that hosts have.
const PROXY: &[Mode] = &[Mode::IptablesLegacy, Mode::IptablesNft, Mode::Nftables];
/// Those that many hosts lack.
const IPVS: [Mode; 2] = [Mode::Ipvs, Mode::IpvsBatched];
const VERSIONS: [KubeProxy; 2] = [KubeProxy::V1_30, KubeProxy::Current];

fn tests() -> Vec<Test> {
    // The longest first.
    let mut tests = vec![
        test("smoke_measures_every_mode_and_leaves_the_host_alone", PROXY, runs::smoke),
        test("killed_at_any_moment_a_run_leaves_nothing", PROXY, stops::killed_at_any_moment),
        test("a_lock_held_for_seven_seconds_is_given_up_after_five", LEGACY, lock::timeout),
        test("a_killed_run_resumes_without_repeating", PROXY, stops::killed_and_resumed),
        test("an_interrupted_run_reports_and_resumes", PROXY, stops::interrupted_and_resumed),
        test("a_program_that_fails_makes_failed_rows_and_stops_nothing_else", PROXY, runs::failing_program),
        test("a_missing_program_makes_skipped_rows", PROXY, runs::missing_program),
        test("a_run_writes_nowhere_but_into_its_folder", PROXY, runs::read_only_host),
        test("the_lock_watch_measures_a_known_wait", LEGACY, lock::known_wait),
        test("a_sync_that_starves_is_ended_and_contenders_are_kept", &[Mode::Nftables], lock::starved),
        test("a_sync_predicted_to_take_too_long_is_ended_and_waits_are_kept", LEGACY, lock::predicted),
        test("the_golden_cluster_gives_the_golden_iptables", PROXY, state::golden_iptables),
        test("the_golden_cluster_gives_the_golden_nftables", PROXY, state::golden_nftables),
        test("the_golden_cluster_gives_the_golden_ipvs", &IPVS, ipvs::golden),
        with_ipvsadm(test("what_tools_read_of_an_ipvs_plan_does_what_the_plan_does", &IPVS, ipvs::printed)),
        test("ipvs_forgets_connections_and_keeps_its_servers", &IPVS, ipvs::forgotten),
        test("every_scheduler_answers_for_every_service", &IPVS, ipvs::schedulers),
        test("a_lab_shares_nothing_with_the_host", &[], paths::isolated),
    ];
    for mode in PROXY.iter().copied().chain(IPVS) {
        for version in VERSIONS {
            let of = |what: &str| format!("{what}::{mode}::{}", version.name());
            tests.push(test(&of("syncs_leave_what_the_model_says"), &[mode], move || {
                syncs::changes(mode, version)
            }));
            tests.push(test(&of("loading_leaves_what_a_sync_leaves"), &[mode], move || {
                state::loaded(mode, version)
            }));
        }
        let of = |what: &str| format!("{what}::{mode}");
        tests.push(test(&of("strangers_and_hairpins_are_masqueraded"), &[mode], move || {
            paths::masquerade(mode)
        }));
        tests.push(test(&of("two_labs_do_not_disturb_each_other"), &[mode], move || paths::two_labs(mode)));
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
    tests
}

/// A guest that measures has all that these tests need.
fn image(kernel: &Kernel, job: Vec<u8>) -> Result<Image, GuestError> {
    let mut image = harness::guest::image(kernel, &Mode::ALL, true, job)?;
    image.copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden").as_ref())?;
    Ok(image)
}

fn main() -> ExitCode {
    trials::run(tests(), image)
}
