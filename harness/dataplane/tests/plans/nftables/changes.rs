//! What a change sends, in the newest form; 1.30 sends the whole table.

use dataplane::{KubeProxy, Phase, Plan, Sync, Unfit};
use services::service::{Family, Policy, Protocol, Service};
use services::service_set::ServiceSet;

use super::{VERSIONS, endpoint, ip, nftables, set, transaction, web};
use crate::paper::{NftPaper, Paper};

/// Transaction and what a later sync deletes.
fn partial(from: &ServiceSet, to: &ServiceSet) -> String {
    shown(&nftables(Family::Ipv4, KubeProxy::NEWEST).plan(from, to, Sync::Partial))
}

fn shown(plan: &Plan) -> String {
    let later = plan.cleanup.iter().map(|step| std::str::from_utf8(step.input().unwrap()).unwrap());
    transaction(plan) + &later.map(|input| format!("## later\n{input}")).collect::<String>()
}

fn changed(service: &Service, change: impl FnOnce(&mut Service)) -> Service {
    let mut service = service.clone();
    change(&mut service);
    service
}

fn plain() -> Service {
    web(Family::Ipv4, &[1, 2])
}

fn other() -> Service {
    changed(&plain(), |service| {
        service.name = "other".into();
        service.cluster = "10.96.0.11:80".parse().unwrap();
    })
}

fn affine() -> Service {
    changed(&plain(), |service| service.affinity_seconds = Some(60))
}

#[test]
fn affinity_on() {
    insta::assert_snapshot!(partial(&set([plain()]), &set([affine()])));
}

#[test]
fn affinity_off() {
    insta::assert_snapshot!(partial(&set([affine()]), &set([plain()])));
}

#[test]
fn an_endpoint_less_with_affinity() {
    let fewer = changed(&affine(), |service| service.set_endpoints(vec![endpoint(Family::Ipv4, 1)]));
    insta::assert_snapshot!(partial(&set([affine()]), &set([fewer])));
}

#[test]
fn endpoints_to_none() {
    let ported = changed(&plain(), |service| service.node_port = Some(30_080));
    let alone = changed(&ported, |service| service.set_endpoints(Vec::new()));
    insta::assert_snapshot!(partial(&set([ported]), &set([alone])));
}

#[test]
fn endpoints_come_back() {
    let ported = changed(&plain(), |service| service.node_port = Some(30_080));
    let alone = changed(&ported, |service| service.set_endpoints(Vec::new()));
    insta::assert_snapshot!(partial(&set([alone]), &set([ported])));
}

#[test]
fn internal_policy_flips() {
    let local = changed(&plain(), |service| service.internal_policy = Policy::Local);
    insta::assert_snapshot!(partial(&set([plain()]), &set([local])));
}

#[test]
fn external_policy_flips_without_local_endpoints() {
    let ported = changed(&web(Family::Ipv4, &[1]), |service| service.node_port = Some(30_080));
    let local = changed(&ported, |service| service.external_policy = Policy::Local);
    insta::assert_snapshot!(partial(&set([ported]), &set([local])));
}

#[test]
fn an_external_ip_moves_to_another_service() {
    let external = vec![ip(Family::Ipv4, "198.51.100.1", "")];
    let with = |service: Service| changed(&service, |service| service.external_ips = external.clone());
    insta::assert_snapshot!(partial(&set([with(plain()), other()]), &set([plain(), with(other())])));
}

/// kube-proxy looks at Service objects: a change of one port writes the chains of all.
#[test]
fn one_of_two_ports_changes() {
    insta::assert_snapshot!(partial(&set([plain(), second()]), &set([plain(), other_endpoint(second())])));
}

/// The cluster IP stays: the other port has it, too.
#[test]
fn one_of_two_ports_goes() {
    insta::assert_snapshot!(partial(&set([plain(), second()]), &set([plain()])));
}

#[test]
fn a_port_more() {
    insta::assert_snapshot!(partial(&set([plain()]), &set([plain(), second()])));
}

fn second() -> Service {
    changed(&plain(), |service| {
        (service.port_name, service.protocol) = ("second".into(), Protocol::Udp);
        service.set_endpoints(vec![endpoint(Family::Ipv4, 1)]);
    })
}

fn other_endpoint(service: Service) -> Service {
    changed(&service, |service| service.set_endpoints(vec![endpoint(Family::Ipv4, 3)]))
}

/// Chains of endpoints that are there are left alone, unless a rule about affinity has to come or go.
#[test]
fn a_restart_over_what_is_there() {
    let more = changed(&plain(), |service| {
        service.set_endpoints([1, 2, 3].map(|last| endpoint(Family::Ipv4, last)).into());
    });
    let other_affine = changed(&other(), |service| service.affinity_seconds = Some(60));
    let plan = nftables(Family::Ipv4, KubeProxy::NEWEST).plan(
        &set([plain(), other(), second()]),
        &set([more, other_affine, second()]),
        Sync::Full,
    );
    let of_services =
        shown(&plan).lines().filter(|line| line.contains("demo/")).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(of_services);
}

/// After an hour without a failure everything is written again, but for elements, which are read and compared.
#[test]
fn a_resync_writes_rules_and_no_elements() {
    let services = set([affine(), other()]);
    let current = nftables(Family::Ipv4, KubeProxy::NEWEST);
    let (cold, again) =
        (current.plan(&ServiceSet::default(), &services, Sync::Full), current.resync(&services).unwrap());
    let lines = |plan: &Plan, is_kept: fn(&&str) -> bool| -> Vec<String> {
        transaction(plan).lines().filter(is_kept).map(str::to_owned).collect()
    };
    let mut wanted = lines(&cold, |line| {
        // What an earlier process may have left is deleted every time.
        (!line.starts_with("delete") || line.contains(" localhost-nodeport-"))
            && (!line.starts_with("add element") || line.contains("nodeport-ips"))
    });
    // The chains on hooks were made anew.
    wanted.drain(1..9);
    assert_eq!(lines(&again, |_| true), wanted);
    let listings = |plan: &Plan| plan.steps.iter().filter(|step| step.phase == Phase::Listing).count();
    assert_eq!((listings(&cold), listings(&again)), (9, 9));
    let mut kernel = Paper::default();
    kernel.carry_out(&cold);
    let before = kernel.clone();
    kernel.carry_out(&again);
    assert_eq!(kernel, before);

    // 1.30 does at every sync what it does every 30 s.
    let old = nftables(Family::Ipv4, KubeProxy::V1_30);
    assert_eq!(old.resync(&services).unwrap(), old.plan(&services, &services, Sync::Partial));
}

fn comment(kernel: &NftPaper, set: &str, key: &str) -> String {
    let table = &kernel.tables[&("ip".to_owned(), "kube-proxy".to_owned())];
    table.sets[set].elements[key].comment.clone()
}

/// kube-proxy compares verdicts only. Who reads the comment reads a Service that has nothing to do with it any more.
#[test]
fn an_element_that_goes_from_one_service_to_another_keeps_its_comment() {
    let with = |service: Service| {
        changed(&service, |service| {
            service.set_endpoints(Vec::new());
            service.external_ips = vec![ip(Family::Ipv4, "198.51.100.1", "")];
        })
    };
    for (version, kept) in VERSIONS.into_iter().zip(["demo/other:http", "demo/web:http"]) {
        let dataplane = nftables(Family::Ipv4, version);
        let (from, to) = (set([with(plain()), other()]), set([plain(), with(other())]));
        let mut kernel = Paper::default();
        kernel.carry_out(&dataplane.plan(&ServiceSet::default(), &from, Sync::Full));
        kernel.carry_out(&dataplane.plan(&from, &to, Sync::Partial));
        assert_eq!(
            comment(&kernel.nft, "no-endpoint-services", "198.51.100.1 . tcp . 80"),
            kept,
            "{version:?}"
        );
    }
}

#[test]
fn an_address_that_two_services_want_is_refused() {
    let external = vec![ip(Family::Ipv4, "198.51.100.1", "")];
    let with = |service: Service| changed(&service, |service| service.external_ips = external.clone());
    let conflict = set([with(plain()), with(other())]);
    for version in VERSIONS {
        let dataplane = nftables(Family::Ipv4, version);
        let error = dataplane.fits(&conflict).unwrap_err();
        assert_eq!(
            error,
            Unfit::Claimed {
                what: "198.51.100.1:80/tcp".into(),
                first: "demo/web:http".into(),
                second: "demo/other:http".into(),
            }
        );
        // Both reject, or one is on another port.
        let alone = |service: Service| changed(&service, |service| service.set_endpoints(Vec::new()));
        dataplane.fits(&set([alone(with(plain())), alone(with(other()))])).unwrap();
        let elsewhere = changed(&with(other()), |service| service.cluster.set_port(81));
        dataplane.fits(&set([with(plain()), elsewhere])).unwrap();
        let cluster = changed(&other(), |service| service.cluster = plain().cluster);
        assert!(matches!(dataplane.fits(&set([plain(), cluster])), Err(Unfit::Claimed { .. })));
    }
}
