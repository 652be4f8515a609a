//! Tests that need root. Each is shown as ignored, with the reason, where this machine lacks something; with
//! `SVCBENCH_REQUIRE_PRIVILEGE=1` that is a failure.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod helpers;
mod lab;
mod life;
mod world;

use std::collections::BTreeMap;
use std::env;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use netns_setup::{Missing, Need, check};

type Test = (&'static str, &'static [Need], fn());

const LAB: &[Need] = &[Need::Root, Need::MountNamespace, Need::Tun, Need::Veth];
const TRACKED: &[Need] =
    &[Need::Root, Need::MountNamespace, Need::Tun, Need::Veth, Need::Conntrack, Need::Nft];
const WORLD: &[Need] = &[Need::Root, Need::MountNamespace];

const TESTS: &[Test] = &[
    ("a_namespace_shares_nothing_with_the_host", WORLD, world::shares_nothing),
    ("the_xtables_lock_is_private", WORLD, world::lock_is_private),
    ("only_lo_exists_and_is_up", WORLD, world::only_lo),
    ("sysctls_are_the_namespaces_own", WORLD, world::sysctls),
    ("threads_and_programs_are_inside", WORLD, world::threads_and_programs),
    ("programs_start_side_by_side", WORLD, world::side_by_side),
    ("a_refusal_names_the_object", WORLD, world::refusals),
    ("routes_come_and_go", WORLD, world::routes),
    ("sockets_reach_any_endpoint_through_the_node", LAB, lab::sockets),
    ("a_packet_passes_from_tun_to_tun", LAB, lab::tun_to_tun),
    ("nothing_stray_reaches_the_tuns", LAB, lab::silence),
    ("steering_moves_the_endpoints", LAB, lab::steering),
    ("two_labs_do_not_disturb_each_other", LAB, lab::two_labs),
    ("masquerading_carries_the_node_address", TRACKED, lab::masquerade),
    ("flushing_empties_this_conntrack_table_only", TRACKED, lab::flush),
    ("a_link_whose_name_is_taken_is_refused", LAB, lab::taken),
    ("dropping_a_lab_leaves_nothing", LAB, life::drop_leaves_nothing),
    ("dropping_a_namespace_destroys_its_links", LAB, life::drop_destroys_links),
    ("a_lab_of_a_killed_process_leaves_nothing", LAB, life::killed),
    ("every_need_is_answered_and_leaves_nothing", WORLD, life::needs_leave_nothing),
    ("an_ordinary_user_is_told_what_is_missing", WORLD, life::ordinary_user),
];

fn main() -> ExitCode {
    if life::play_role() {
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let required = env::var("SVCBENCH_REQUIRE_PRIVILEGE").is_ok_and(|value| value == "1");
    let mut known = BTreeMap::<Need, Option<Missing>>::new();
    let mut lacking = Vec::new();
    let mut trials = Vec::new();
    for &(name, needs, test) in TESTS {
        let missing =
            needs.iter().find_map(|&need| known.entry(need).or_insert_with(|| check(need).err()).clone());
        if let Some(missing) = &missing {
            lacking.push(format!("{name}: {missing}"));
        }
        let ignored = missing.is_some() && !required;
        let body = move || match missing {
            Some(missing) => Err(missing.to_string().into()),
            None => {
                test();
                Ok(())
            }
        };
        trials.push(Trial::test(name, body).with_ignored_flag(ignored));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list && !lacking.is_empty() {
        println!("{} of {} tests lack something:", lacking.len(), TESTS.len());
        lacking.iter().for_each(|line| println!("  {line}"));
    }
    conclusion.exit_code()
}
