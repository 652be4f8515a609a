//! Plans are deterministic, and what they send for one change is what kube-proxy sends.

use dataplane::ipvs::State;
use dataplane::{
    Action, AddressRequest, Dataplane, Expect, KubeProxy, Mode, Node, Phase, Plan, Program, Step, Sync,
    planner,
};
use netns_setup::ipvs::Scheduler;
use services::addresses::unused_address;
use services::service::Protocol;
use services::service_set::{Scale, ServiceSet};
use services::synthetic::synthetic_service;

use crate::paper::Paper;

/// Those whose plans need no background rules.
const MODES: [Mode; 8] = [
    Mode::Direct,
    Mode::Conntrack,
    Mode::Dnat,
    Mode::IptablesLegacy,
    Mode::IptablesNft,
    Mode::Nftables,
    Mode::Ipvs,
    Mode::IpvsBatched,
];

fn lab(mode: Mode, kube_proxy: KubeProxy) -> Box<dyn Dataplane> {
    planner(mode, Node::lab(kube_proxy))
}

fn cold(dataplane: &dyn Dataplane, to: &ServiceSet) -> Plan {
    dataplane.plan(&ServiceSet::default(), to, Sync::Full)
}

fn text(plan: &Plan) -> String {
    let mut out = Vec::new();
    plan.write_to(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The plan as a person reads it: how each program must end, and where the cleanup begins.
fn show(plan: &Plan) -> String {
    let mut out = String::new();
    for (index, step) in plan.steps.iter().chain(&plan.cleanup).enumerate() {
        if index == plan.steps.len() {
            out.push_str("## later\n");
        }
        if step.program().is_none() {
            let alone = Plan { steps: vec![step.clone()], ..Plan::default() };
            out.push_str(&format!("## {}\n{}", step.phase.name(), text(&alone)));
            continue;
        }
        out.push_str(&format!("# {} -> {:?}\n", step.command_line(), step.expect));
        out.push_str(std::str::from_utf8(step.input().unwrap_or_default()).unwrap());
    }
    out
}

fn tiny() -> ServiceSet {
    ServiceSet::synthetic(Scale { services: 2, endpoints: 2 }, 1)
}

/// The set, and the set after each kind of change.
fn changes(set: &ServiceSet) -> [(&'static str, ServiceSet); 4] {
    let mut replaced = (*set.services()[1]).clone();
    let mut endpoints = replaced.endpoints().to_vec();
    endpoints[0].address.set_ip(unused_address(1));
    replaced.set_endpoints(endpoints);
    [
        ("add", set.with_added(synthetic_service(9, Protocol::Udp, 1))),
        ("remove", set.without(1)),
        ("replace", set.with_replaced(1, replaced)),
        ("noop", set.clone()),
    ]
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let scale = Scale { services: 50, endpoints: 3 };
    let (one, same) = (ServiceSet::synthetic(scale, 7), ServiceSet::synthetic(scale, 7));
    for mode in MODES {
        let dataplane = lab(mode, KubeProxy::NEWEST);
        assert_eq!(text(&cold(&*dataplane, &one)), text(&cold(&*dataplane, &same)), "{mode}");
        assert_eq!(text(&dataplane.load(&one)), text(&dataplane.load(&same)), "{mode}");
    }
}

#[test]
fn another_seed_gives_the_same_services_in_another_order() {
    let scale = Scale { services: 50, endpoints: 3 };
    let order = |seed| -> Vec<_> {
        let set = ServiceSet::synthetic(scale, seed);
        set.services().iter().map(|service| service.cluster.ip()).collect()
    };
    let (mut one, mut other) = (order(7), order(8));
    assert_ne!(one, other);
    one.sort();
    other.sort();
    assert_eq!(one, other);
}

#[test]
fn the_order_of_services_moves_lines_and_changes_none() {
    let set = ServiceSet::synthetic(Scale { services: 20, endpoints: 3 }, 1);
    let reversed: ServiceSet = set.services().iter().rev().map(|service| (**service).clone()).collect();
    for mode in [Mode::IptablesLegacy, Mode::Nftables] {
        let dataplane = lab(mode, KubeProxy::NEWEST);
        let (one, other) = (text(&cold(&*dataplane, &set)), text(&cold(&*dataplane, &reversed)));
        assert_ne!(one, other, "{mode}");
        let sorted = |text: &str| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&one), sorted(&other), "{mode}");
    }
}

#[test]
fn a_partial_sync_of_a_small_iptables_cluster_writes_the_lists_and_what_changed() {
    let dataplane = lab(Mode::IptablesLegacy, KubeProxy::V1_30);
    for (name, to) in changes(&tiny()) {
        insta::assert_snapshot!(
            format!("iptables_small_{name}"),
            show(&dataplane.plan(&tiny(), &to, Sync::Partial))
        );
    }
}

#[test]
fn a_partial_sync_of_a_large_iptables_cluster_leaves_comments_and_stale_chains() {
    // 1,003 endpoints; still more than 1,000 without the Service that is removed.
    let large = tiny().with_added(synthetic_service(5, Protocol::Tcp, 999));
    let dataplane = lab(Mode::IptablesLegacy, KubeProxy::NEWEST);
    for (name, to) in changes(&large) {
        let plan = dataplane.plan(&large, &to, Sync::Partial);
        assert!(plan.steps.iter().all(|step| step.phase != Phase::Listing), "it looks for no stale chains");
        insta::assert_snapshot!(format!("iptables_large_{name}"), show(&plan));
    }
    let at = |endpoints| tiny().with_added(synthetic_service(5, Protocol::Tcp, endpoints));
    let has_comments = |to: &ServiceSet| text(&cold(&*dataplane, to)).contains(" -> ");
    assert_eq!([has_comments(&at(996)), has_comments(&at(997))], [true, false], "from 1,001 endpoints on");
}

#[test]
fn a_partial_sync_of_nftables_sends_only_what_changed() {
    let dataplane = lab(Mode::Nftables, KubeProxy::NEWEST);
    for (name, to) in changes(&tiny()) {
        insta::assert_snapshot!(
            format!("nftables_1_37_{name}"),
            show(&dataplane.plan(&tiny(), &to, Sync::Partial))
        );
    }
}

#[test]
fn a_partial_sync_of_nftables_1_30_rewrites_everything() {
    let dataplane = lab(Mode::Nftables, KubeProxy::V1_30);
    let transaction = |plan: &Plan| {
        let step = plan.steps.iter().find(|step| step.phase == Phase::Restore).unwrap();
        String::from_utf8(step.input().unwrap().to_vec()).unwrap()
    };
    for (name, to) in changes(&tiny()) {
        let partial = transaction(&dataplane.plan(&tiny(), &to, Sync::Partial));
        let full = transaction(&cold(&*dataplane, &to));
        // But for hook chains made anew, and chains that are left over.
        let is_whole = |line: &&str| !line.starts_with("delete chain");
        let mut full: Vec<_> = full.lines().filter(is_whole).collect();
        full.drain(1..9);
        let partial: Vec<_> = partial.lines().take(full.len()).collect();
        assert_eq!(partial, full, "{name}");
    }
    insta::assert_snapshot!(
        "nftables_1_30_remove_everything",
        show(&dataplane.plan(&tiny(), &ServiceSet::default(), Sync::Partial))
    );
}

#[test]
fn a_cold_sync_inserts_jumps_and_a_warm_one_finds_them() {
    for mode in [Mode::IptablesLegacy, Mode::IptablesNft] {
        let dataplane = lab(mode, KubeProxy::V1_30);
        let ends = |from: &ServiceSet| -> Vec<(String, Expect, usize)> {
            let plan = dataplane.plan(from, &tiny(), Sync::Full);
            let steps = plan.steps.iter().filter(|step| step.program() == Some(Program::Iptables));
            let mut counts: Vec<(String, Expect, usize)> = Vec::new();
            for step in steps {
                let operation = step.args()[4].clone();
                match counts.iter_mut().find(|(seen, expect, _)| (seen, *expect) == (&operation, step.expect))
                {
                    Some((_, _, count)) => *count += 1,
                    None => counts.push((operation, step.expect, 1)),
                }
            }
            counts.sort_by_key(|(operation, expect, _)| (operation.clone(), format!("{expect:?}")));
            counts
        };
        let line = |operation: &str, expect, count| (operation.to_owned(), expect, count);
        // 14 jumps to 8 chains (6 in filter, 2 in nat), and 3 canaries.
        assert_eq!(
            ends(&ServiceSet::default()),
            [
                line("-C", Expect::One, 14),
                line("-I", Expect::Success, 14),
                line("-N", Expect::One, 6),
                line("-N", Expect::Success, 11),
            ],
            "{mode}, cold"
        );
        assert_eq!(
            ends(&tiny()),
            [line("-C", Expect::Success, 14), line("-N", Expect::One, 17)],
            "{mode}, warm"
        );
    }
}

#[test]
fn nftables_lists_in_vain_when_cold() {
    let listings = |kube_proxy, from: &ServiceSet| -> Vec<Expect> {
        let plan = lab(Mode::Nftables, kube_proxy).plan(from, &tiny(), Sync::Full);
        plan.steps.iter().filter(|step| step.phase == Phase::Listing).map(|step| step.expect).collect()
    };
    // 1.30 lists all tables, of which there may be none; later versions list their own.
    assert_eq!(listings(KubeProxy::V1_30, &ServiceSet::default()), [Expect::Success; 2]);
    assert_eq!(listings(KubeProxy::V1_36, &ServiceSet::default()), [Expect::One; 8]);
    assert_eq!(listings(KubeProxy::V1_36, &tiny()), [Expect::Success; 8]);
    // Elements by nft, names over netlink.
    assert_eq!(listings(KubeProxy::V1_37, &tiny()), [Expect::Success; 9]);
}

#[test]
fn a_cluster_that_grows_large_and_shrinks_again_keeps_no_chain() {
    let large = tiny().with_added(synthetic_service(5, Protocol::Tcp, 999));
    let dataplane = lab(Mode::IptablesLegacy, KubeProxy::NEWEST);
    let mut kernel = Paper::with_iptables();
    kernel.carry_out(&cold(&*dataplane, &tiny()));
    for (from, to) in [(tiny(), large.clone()), (large.clone(), large.without(0)), (large.without(0), tiny())]
    {
        kernel.carry_out(&dataplane.plan(&from, &to, Sync::Partial));
        assert_eq!(kernel.counts(), dataplane.counts(&to));
    }
}

#[test]
fn a_command_line_can_be_pasted_into_a_shell() {
    let plan = cold(&*lab(Mode::IptablesLegacy, KubeProxy::V1_30), &tiny());
    let lines: Vec<String> = plan.steps.iter().map(|step| step.command_line()).collect();
    let wanted = "iptables -w 5 -W 100000 -C FORWARD -t filter -m comment --comment 'kubernetes forwarding rules' \
                  -j KUBE-FORWARD";
    assert!(lines.iter().any(|line| line == wanted), "{lines:#?}");
}

#[test]
fn ipvs_reconciles_everything_or_sends_what_changed() {
    // The first Service gets a node port, and one endpoint runs here.
    let mut service = (*tiny().services()[0]).clone();
    service.node_port = Some(30_053);
    let mut endpoints = service.endpoints().to_vec();
    endpoints[0].local = true;
    service.set_endpoints(endpoints);
    let set = tiny().with_replaced(0, service);
    for (way, mode) in [("kube_proxy", Mode::Ipvs), ("batched", Mode::IpvsBatched)] {
        let dataplane = lab(mode, KubeProxy::V1_30);
        insta::assert_snapshot!(format!("ipvs_{way}_cold"), show(&cold(&*dataplane, &set)));
        for (name, to) in changes(&set) {
            let plan = dataplane.plan(&set, &to, Sync::Partial);
            insta::assert_snapshot!(format!("ipvs_{way}_{name}"), show(&plan));
        }
        // A kube-proxy that starts anew over what the last one has left.
        let restart = dataplane.plan(&set, &set, Sync::Full);
        insta::assert_snapshot!(format!("ipvs_{way}_restart"), show(&restart));
        insta::assert_snapshot!(format!("ipvs_{way}_append"), show(&dataplane.append(&set).unwrap()));
    }
}

#[test]
fn ipvs_reads_addresses_as_often_as_its_version_does() {
    let once = |kube_proxy| -> Vec<bool> {
        let plan = cold(&*lab(Mode::Ipvs, kube_proxy), &tiny());
        let once = |step: &Step| match step.action {
            Action::Addresses { request: AddressRequest::ListOthers { once }, .. } => Some(once),
            _ => None,
        };
        plan.steps.iter().filter_map(once).collect()
    };
    assert_eq!((once(KubeProxy::V1_30), once(KubeProxy::NEWEST)), (vec![false], vec![true]));
}

#[test]
fn the_scheduler_is_the_nodes_and_mh_hashes_ports() {
    for scheduler in Scheduler::ALL {
        let node = Node { scheduler, ..Node::lab(KubeProxy::V1_30) };
        for mode in [Mode::Ipvs, Mode::IpvsBatched] {
            let dataplane = planner(mode, node);
            let text = text(&cold(&*dataplane, &tiny())) + &text(&dataplane.append(&tiny()).unwrap());
            let flag = if scheduler == Scheduler::Mh { " -b mh-port" } else { "" };
            let made = |line: &&str| {
                line.starts_with("-A ") && line.contains(" -s ") && !line.contains("198.51.100.0")
            };
            let servers: Vec<&str> = text
                .lines()
                .filter(made)
                .filter(|line| line.contains("-t ") || line.contains("-u "))
                .collect();
            assert_eq!(servers.len(), 3, "{text}");
            assert!(
                servers.iter().all(|line| line.ends_with(&format!("-s {scheduler}{flag}"))),
                "{servers:?}"
            );
        }
    }
}

/// It grows with what changes and not with what is there.
#[test]
fn a_batched_sync_of_nothing_does_nothing() {
    let dataplane = lab(Mode::IpvsBatched, KubeProxy::V1_30);
    let large = ServiceSet::synthetic(Scale { services: 500, endpoints: 3 }, 1);
    assert!(dataplane.plan(&large, &large, Sync::Partial).steps.is_empty());
    let added =
        dataplane.plan(&large, &large.with_added(synthetic_service(900, Protocol::Udp, 3)), Sync::Partial);
    let messages: usize = added.steps.iter().map(Step::messages).sum();
    // A virtual server, three real servers, an address; one program for two entries.
    assert_eq!((messages, added.steps.len()), (5, 3));
}

#[test]
fn ipvs_changes_and_their_reverses_leave_the_state_of_the_model() {
    let node = Node::lab(KubeProxy::NEWEST);
    for mode in [Mode::Ipvs, Mode::IpvsBatched] {
        let dataplane = planner(mode, node);
        for (name, to) in changes(&tiny()) {
            let mut kernel = Paper::with_ipvs();
            kernel.carry_out(&cold(&*dataplane, &tiny()));
            for (from, to) in [(tiny(), to.clone()), (to, tiny())] {
                kernel.carry_out(&dataplane.plan(&from, &to, Sync::Partial));
                assert_eq!(kernel.ipvs.state(), State::of(&node, &to), "{mode} {name}");
            }
        }
    }
}
