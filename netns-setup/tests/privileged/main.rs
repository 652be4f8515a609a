//! Tests that need root. Those whose needs this kernel lacks run in a guest, by this same program (see `trials`).

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "tests talk to whoever runs them")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod addresses;
mod director;
mod helpers;
mod ipvs;
mod lab;
mod life;
mod namespace;
mod schedulers;
mod single_node;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use netns_setup::director::Method;
use netns_setup::guest::{GuestError, Image, Kernel};
use netns_setup::ipvs::Scheduler;
use netns_setup::{Need, find_program};
use schedulers::{hashed, least, local};

type Named = (&'static str, &'static [Need], fn());

const LAB: &[Need] = &[Need::Root, Need::MountNamespace, Need::Tun, Need::Veth];
const SINGLE_NODE: &[Need] = &[Need::Root, Need::MountNamespace, Need::Tun];
const TRACKED: &[Need] =
    &[Need::Root, Need::MountNamespace, Need::Tun, Need::Veth, Need::Conntrack, Need::Nft];
const IPVS: &[Need] = &[Need::Root, Need::MountNamespace, Need::IpVs];
const IPVSADM: &[Need] = &[Need::Root, Need::MountNamespace, Need::IpVs, Need::Ipvsadm];
const DIRECTOR: &[Need] = &[Need::Root, Need::MountNamespace, Need::Tun, Need::Veth];
const TUNNEL: &[Need] = &[Need::Root, Need::MountNamespace, Need::Tun, Need::Veth, Need::Ipip];
const SWITCHED: &[Need] = &[Need::Root, Need::MountNamespace, Need::Tun, Need::Veth, Need::Bridge];
const LVS: &[Need] = &[Need::Root, Need::MountNamespace, Need::Tun, Need::Veth, Need::IpVs];
const DR: &[Need] = &[Need::Root, Need::MountNamespace, Need::Tun, Need::Veth, Need::IpVs, Need::Bridge];
const TUN: &[Need] = &[Need::Root, Need::MountNamespace, Need::Tun, Need::Veth, Need::IpVs, Need::Ipip];
const MARKED: &[Need] =
    &[Need::Root, Need::MountNamespace, Need::Tun, Need::Veth, Need::IpVs, Need::Ipvsadm, Need::Nft];
const LINKS: &[Need] = &[Need::Root, Need::MountNamespace, Need::Veth];
const DUMMY: &[Need] = &[Need::Root, Need::MountNamespace, Need::Dummy];
const NAMESPACE: &[Need] = &[Need::Root, Need::MountNamespace];

const TESTS: &[Named] = &[
    ("a_namespace_shares_nothing_with_the_host", NAMESPACE, namespace::shares_nothing),
    ("the_xtables_lock_is_private", NAMESPACE, namespace::lock_is_private),
    ("only_lo_exists_and_is_up", NAMESPACE, namespace::only_lo),
    ("sysctls_are_the_namespaces_own", NAMESPACE, namespace::sysctls),
    ("threads_and_programs_are_inside", NAMESPACE, namespace::threads_and_programs),
    ("programs_start_side_by_side", NAMESPACE, namespace::side_by_side),
    ("a_refusal_names_the_object", NAMESPACE, namespace::refusals),
    ("routes_come_and_go", NAMESPACE, namespace::routes),
    ("addresses_come_and_go_in_batches", LINKS, addresses::come_and_go),
    ("an_address_of_ipv6_is_of_use_at_once", LINKS, addresses::at_once),
    ("an_address_that_is_refused_is_named", LINKS, addresses::refusals),
    ("a_dummy_link_is_made_once", DUMMY, addresses::dummy),
    ("a_lab_is_ready_when_its_links_have_carriers", LAB, lab::carriers),
    ("sockets_reach_any_endpoint_through_the_node", LAB, lab::sockets),
    ("a_packet_passes_from_tun_to_tun", LAB, lab::tun_to_tun),
    ("nothing_stray_reaches_the_tuns", LAB, lab::silence),
    ("steering_moves_the_endpoints", LAB, lab::steering),
    ("two_labs_do_not_disturb_each_other", LAB, lab::two_labs),
    ("masquerading_carries_the_node_address", TRACKED, lab::masquerade),
    ("flushing_empties_this_conntrack_table_only", TRACKED, lab::flush),
    ("a_conntrack_table_is_filled_in_batches", TRACKED, lab::filled),
    ("a_link_whose_name_is_taken_is_refused", LAB, lab::taken),
    ("a_single_node_is_silent", SINGLE_NODE, single_node::silence),
    ("the_addresses_of_a_single_node_are_of_use_at_once", SINGLE_NODE, single_node::addresses),
    ("a_packet_passes_a_single_node_while_it_is_written", SINGLE_NODE, single_node::between_all),
    ("a_marker_follows_what_was_sent_over_the_loopback", NAMESPACE, single_node::settled),
    ("markers_follow_what_comes_of_what_was_sent", NAMESPACE, single_node::settled_in_turn),
    ("ipvs_objects_are_read_back_as_made", IPVS, ipvs::read_back),
    ("ipvs_objects_change_and_go", IPVS, ipvs::changes),
    ("a_duplicate_in_an_ipvs_batch_is_named", IPVS, ipvs::duplicate_in_a_batch),
    ("ipvs_reads_are_not_batched", IPVS, ipvs::reads_in_a_batch),
    ("an_ipvs_scheduler_works_or_is_named_as_missing", IPVS, ipvs::schedulers),
    ("long_ipvs_lists_are_complete", IPVS, ipvs::long_lists),
    ("the_model_of_ipvs_does_what_the_kernel_does", IPVS, ipvs::model),
    ("ipvsadm_and_netlink_make_and_print_the_same", IPVSADM, ipvs::as_ipvsadm),
    ("foreign_ipvs_objects_are_named", IPVSADM, ipvs::foreign),
    ("ipvs_counters_count_packets_and_bytes", IPVS, ipvs::counters),
    ("a_director_that_is_a_router_is_counted_packet_by_packet", DIRECTOR, director::counted),
    ("a_director_is_steered_to_tuns_and_back", DIRECTOR, || director::steered(Method::Masquerade)),
    ("a_director_of_tunnels_is_steered_to_tuns_and_back", TUNNEL, || director::steered(Method::Tunnel)),
    ("only_the_director_answers_arp_for_the_virtual_address", SWITCHED, director::arp),
    ("tcp_works_behind_a_director_by_nat", LVS, director::nat),
    ("tcp_works_behind_a_director_by_direct_routing", DR, director::direct_routing),
    ("tcp_works_behind_a_director_by_tunnel", TUN, director::tunnel),
    ("rr_takes_turns", LVS, schedulers::rr),
    ("wrr_takes_turns_by_weight", LVS, schedulers::wrr),
    ("a_persistent_client_keeps_its_server", LVS, schedulers::persistence),
    ("lc_follows_its_formula", LVS, || least::by_formula(Scheduler::Lc)),
    ("wlc_follows_its_formula", LVS, || least::by_formula(Scheduler::Wlc)),
    ("sed_follows_its_formula", LVS, || least::by_formula(Scheduler::Sed)),
    ("nq_follows_its_formula", LVS, || least::by_formula(Scheduler::Nq)),
    ("fo_follows_its_formula", LVS, || least::by_formula(Scheduler::Fo)),
    ("ovf_follows_its_formula", LVS, || least::by_formula(Scheduler::Ovf)),
    ("lc_fills_the_server_with_the_fewest_connections", LVS, least::lc_fills_the_emptiest),
    ("wlc_sed_and_nq_differ_where_they_should", LVS, least::wlc_sed_and_nq_differ),
    ("fo_fails_over_and_back", LVS, least::fo_fails_over),
    ("ovf_overflows_beyond_the_weight", LVS, least::ovf_overflows),
    ("sh_gives_a_source_one_server", LVS, hashed::sh),
    ("dh_gives_a_destination_one_server", LVS, hashed::dh),
    ("mh_moves_only_the_clients_of_a_server_that_goes", LVS, hashed::mh),
    ("lblc_keeps_a_destination_until_its_server_is_overloaded", LVS, local::lblc),
    ("lblcr_gives_a_busy_destination_more_servers", LVS, local::lblcr),
    ("many_destinations_have_a_server_each", MARKED, local::many_destinations),
    ("dropping_a_lab_leaves_nothing", LAB, life::drop_leaves_nothing),
    ("dropping_a_namespace_destroys_its_links", LAB, life::drop_destroys_links),
    ("a_lab_of_a_killed_process_leaves_nothing", LAB, life::killed),
    ("killed_its_programs_end_before_its_files_are_closed", NAMESPACE, life::killed_before_files_are_closed),
    ("every_need_is_answered_and_leaves_nothing", NAMESPACE, life::needs_leave_nothing),
    ("an_ordinary_user_hears_what_is_missing", NAMESPACE, life::ordinary_user),
];

fn main() -> ExitCode {
    if life::play_role() {
        return ExitCode::SUCCESS;
    }
    let test = |&(name, needs, body): &Named| trials::Test {
        name: name.to_owned(),
        needs: needs.to_vec(),
        body: Box::new(body),
    };
    trials::run(TESTS.iter().map(test).collect(), image)
}

/// What these tests run, and what they need of a guest's kernel.
fn image(kernel: &Kernel, job: Vec<u8>) -> Result<Image, GuestError> {
    let mut image = Image::of_this_program(job)?;
    for program in ["sh", "sleep", "nft", "ipvsadm"].iter().filter_map(|name| find_program(name)) {
        image.program(&program)?;
    }
    let required =
        ["tun", "veth", "bridge", "ipip", "ip_vs", "nf_conntrack_netlink", "nf_tables", "nft_chain_nat"];
    let optional: Vec<&str> = Scheduler::ALL.iter().map(|scheduler| scheduler.module()).collect();
    let more = ["nft_nat", "nft_masq", "nft_numgen", "nft_ct", "nft_meta_bridge", "dummy"];
    image.modules(kernel, &required, &[&optional[..], &more].concat())?;
    Ok(image)
}
