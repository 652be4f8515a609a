//! A real kube-proxy in namespaces. Tests whose needs this machine lacks are shown as ignored, with the reason, or fail
//! (see `trials`).

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "tests talk to whoever runs them")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod api;
mod binaries;
mod life;
mod running;
mod support;

use std::process::ExitCode;

use dataplane::Mode;
use kube_proxy::ProxyMode;
use lab::tools::Tools;
use netns_setup::Need;
use netns_setup::guest::{GuestError, Image, Kernel};
use trials::Test;

/// The newest version that is supported, and an older one.
const NEWEST: u8 = 37;
const OLDER: u8 = 34;

const ROOM: &[Need] = &[Need::Root, Need::MountNamespace];

fn test(name: &str, needs: &[Need], body: impl FnOnce() + Send + 'static) -> Test {
    let needs = [ROOM, needs].concat();
    Test { name: name.to_owned(), needs, body: Box::new(body) }
}

fn tests() -> Vec<Test> {
    let newest = [Need::Nft, Need::KubeProxy(NEWEST)];
    let mut tests = vec![
        test("killed_at_any_moment_nothing_is_left", &newest, life::killed),
        test("a_program_that_leaves_its_session_is_ended_too", &[], life::daemons),
        test("what_runs_in_a_room_writes_nothing_of_the_hosts", &[], life::writes_nothing),
        test("what_is_no_kube_proxy_is_named", &[], binaries::named),
        test("a_file_below_run_or_replaced_is_noticed", &[], binaries::moved),
        test("a_port_that_is_taken_is_named", &newest, running::taken),
        test("a_missing_api_server_is_given_up_in_time", &newest, running::no_server),
        test("a_resource_that_is_not_served_is_named", &newest, running::not_served),
        test(
            "without_ipv6_it_serves_one_family",
            &[Need::IptablesLegacy, Need::KubeProxy(NEWEST)],
            running::one_family,
        ),
        test("a_stall_is_a_stall_and_ends", &newest, running::stalled),
        test("programs_and_what_they_use_are_seen", &newest, running::programs),
    ];
    for version in [NEWEST, OLDER] {
        for (mode, tools, kind, need) in [
            (ProxyMode::Nftables, Tools::of(Mode::Nftables), "nftables", Need::Nft),
            (ProxyMode::Iptables, Tools::of(Mode::IptablesLegacy), "iptables-legacy", Need::IptablesLegacy),
            (ProxyMode::Iptables, Tools::of(Mode::IptablesNft), "iptables-nft", Need::IptablesNft),
        ] {
            let name = format!("it_syncs_and_stops::1.{version}::{kind}");
            let needs = [need, Need::Nft, Need::KubeProxy(version)];
            tests.push(test(&name, &needs, move || running::syncs(version, mode, tools)));
        }
    }
    tests
}

/// Nothing here needs a kernel other than the host's.
fn image(_kernel: &Kernel, job: Vec<u8>) -> Result<Image, GuestError> {
    Image::of_this_program(job)
}

fn main() -> ExitCode {
    if support::play_role() {
        return ExitCode::SUCCESS;
    }
    trials::run(tests(), image)
}
