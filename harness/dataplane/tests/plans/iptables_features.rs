//! What each feature of a Service amounts to in iptables mode, to be read: lines of the restore input that a Service adds,
//! in 1.30 (the newest kube-proxy writes the same) and in 1.20.
//!
//! All but the stranger features are those of demo/web of `tests/golden/example.json`, so that chains have the names there.

use std::net::SocketAddr;

use dataplane::{Action, KubeProxy, Mode, Node, Plan, Sync, planner};
use services::service::{Condition, Endpoint, Policy, Protocol, Service};
use services::service_set::ServiceSet;

const VERSIONS: [KubeProxy; 2] = [KubeProxy::V1_20, KubeProxy::V1_30];

fn node(kube_proxy: KubeProxy) -> Node {
    Node {
        address: "10.10.0.1".parse().unwrap(),
        cluster_cidr: Some("10.244.0.0/16".parse().unwrap()),
        ..Node::lab(kube_proxy)
    }
}

fn node_v6(kube_proxy: KubeProxy) -> Node {
    Node {
        address: "fd00:10::1".parse().unwrap(),
        cluster_cidr: Some("fd00:244::/56".parse().unwrap()),
        ..Node::lab(kube_proxy)
    }
}

/// On the node, and on another.
const HERE: &str = "10.244.0.11:8080";
const THERE: &str = "10.244.1.12:8080";

fn endpoint(address: &str, local: bool) -> Endpoint {
    Endpoint::ready(address.parse().unwrap(), local)
}

fn terminating(endpoint: Endpoint) -> Endpoint {
    Endpoint { condition: Condition::Terminating, ..endpoint }
}

/// demo/web, with nothing but its cluster IP.
fn web(endpoints: &[Endpoint]) -> Service {
    let cluster = "10.96.0.10:80".parse().unwrap();
    Service::new("demo", "web", "http", Protocol::Tcp, cluster, endpoints.to_vec())
}

fn both() -> Vec<Endpoint> {
    vec![endpoint(HERE, true), endpoint(THERE, false)]
}

/// The same with all that can lead to it.
fn with_entrances(mut service: Service) -> Service {
    service.node_port = Some(30_080);
    service.external_ips = vec!["198.51.100.1".parse().unwrap()];
    service.load_balancer_ips = vec!["203.0.113.1".parse().unwrap()];
    service
}

fn set(service: &Service) -> ServiceSet {
    ServiceSet::from_iter([service.clone()])
}

/// Lines of the restore input, by table.
fn lines(plan: &Plan) -> Vec<String> {
    let input = plan.steps.iter().find_map(|step| step.input()).unwrap();
    std::str::from_utf8(input).unwrap().lines().map(str::to_owned).collect()
}

/// Those that are not there without Services, in their order; tables that have none are left out.
fn own(node: Node, to: &ServiceSet) -> String {
    let dataplane = planner(Mode::IptablesLegacy, node);
    let cold = |to: &ServiceSet| lines(&dataplane.plan(&ServiceSet::default(), to, Sync::Full));
    let without = cold(&ServiceSet::default());
    let mut out = String::new();
    let mut table = None;
    for line in cold(to) {
        if line.starts_with('*') {
            table = Some(line);
        } else if !without.contains(&line) {
            out.extend(table.take().map(|table| table + "\n"));
            out.push_str(&format!("{line}\n"));
        }
    }
    out
}

#[track_caller]
fn check_in(versions: &[KubeProxy], name: &str, node: impl Fn(KubeProxy) -> Node, service: &Service) {
    for &version in versions {
        let text = own(node(version), &set(service));
        insta::assert_snapshot!(format!("{name}_{}", version.name().replace('.', "_")), text);
        if version == KubeProxy::V1_30 {
            assert_eq!(own(node(KubeProxy::NEWEST), &set(service)), text);
        }
    }
}

#[track_caller]
fn check(name: &str, service: &Service) {
    check_in(&VERSIONS, name, node, service);
}

#[test]
fn a_cluster_ip() {
    check("cluster_ip", &web(&both()));
}

#[test]
fn a_cluster_ip_without_a_cluster_cidr() {
    let node = |version| Node { cluster_cidr: None, ..node(version) };
    check_in(&[KubeProxy::V1_30], "no_cluster_cidr", node, &web(&both()));
}

#[test]
fn a_node_port() {
    let mut service = web(&both());
    service.node_port = Some(30_080);
    check("node_port", &service);
}

#[test]
fn load_balancer_ips() {
    let mut service = web(&both());
    service.load_balancer_ips = ["203.0.113.1", "203.0.113.2"].map(|ip| ip.parse().unwrap()).into();
    check("load_balancer", &service);
}

/// One range has the node in it, so that it may use its own load-balancer IP.
#[test]
fn source_ranges() {
    let mut service = web(&both());
    service.load_balancer_ips = ["203.0.113.1", "203.0.113.2"].map(|ip| ip.parse().unwrap()).into();
    service.source_ranges = ["192.0.2.0/24", "10.10.0.0/16"].map(|range| range.parse().unwrap()).into();
    check("source_ranges", &service);
}

#[test]
fn an_external_ip() {
    let mut service = web(&both());
    service.external_ips = vec!["198.51.100.1".parse().unwrap()];
    check("external_ip", &service);
}

/// With what asks for the node's health.
#[test]
fn external_policy_local() {
    let mut service = with_entrances(web(&both()));
    (service.external_policy, service.health_check_node_port) = (Policy::Local, Some(31_000));
    check("external_local", &service);
}

#[test]
fn external_policy_local_without_a_local_endpoint() {
    let mut service = with_entrances(web(&[endpoint(THERE, false)]));
    (service.external_policy, service.health_check_node_port) = (Policy::Local, Some(31_000));
    check("external_local_in_vain", &service);
}

/// 1.20 does not know it.
#[test]
fn internal_policy_local() {
    let mut service = web(&both());
    service.internal_policy = Policy::Local;
    check("internal_local", &service);
    service.set_endpoints(vec![endpoint(THERE, false)]);
    check_in(&[KubeProxy::V1_30], "internal_local_in_vain", node, &service);
}

/// Pods and the node still reach every endpoint by the node port.
#[test]
fn both_policies_local() {
    let mut service = web(&both());
    service.node_port = Some(30_080);
    (service.internal_policy, service.external_policy) = (Policy::Local, Policy::Local);
    check_in(&[KubeProxy::V1_30], "both_local", node, &service);
}

#[test]
fn affinity() {
    let mut service = web(&both());
    service.affinity_seconds = Some(10_800);
    check("affinity", &service);
    service.node_port = Some(30_080);
    service.external_policy = Policy::Local;
    check("affinity_external_local", &service);
}

#[test]
fn udp_and_sctp() {
    for protocol in [Protocol::Udp, Protocol::Sctp] {
        let mut service = web(&both());
        (service.protocol, service.node_port) = (protocol, Some(30_080));
        check_in(&[KubeProxy::V1_30], protocol.name(), node, &service);
    }
}

#[test]
fn no_endpoints() {
    let mut service = with_entrances(web(&[]));
    service.source_ranges = vec!["192.0.2.0/24".parse().unwrap()];
    check("no_endpoints", &service);
    // 1.20 makes a chain for nothing.
    (service.external_policy, service.health_check_node_port) = (Policy::Local, Some(31_000));
    check("no_endpoints_external_local", &service);
}

/// 1.20 knows no endpoint that is not ready.
#[test]
fn terminating_endpoints() {
    check("terminating", &web(&both().into_iter().map(terminating).collect::<Vec<_>>()));
    // One that terminates here, for what comes from outside, beside one that is ready elsewhere, for all else.
    let mut service = web(&[terminating(endpoint(HERE, true)), endpoint(THERE, false)]);
    (service.node_port, service.external_policy) = (Some(30_080), Policy::Local);
    check_in(&[KubeProxy::V1_30], "terminating_here", node, &service);
}

#[test]
fn everything_in_ipv6() {
    let cluster = "[fd00:10:96::10]:80".parse().unwrap();
    let endpoints = vec![endpoint("[fd00:244::11]:8080", true), endpoint("[fd00:244:0:1::12]:8080", false)];
    let mut service = Service::new("demo", "web", "http", Protocol::Tcp, cluster, endpoints);
    service.node_port = Some(30_080);
    service.external_ips = vec!["2001:db8:51::1".parse().unwrap()];
    service.load_balancer_ips = vec!["2001:db8:203::1".parse().unwrap()];
    service.source_ranges = ["2001:db8:2::/48", "fd00:10::/64"].map(|range| range.parse().unwrap()).into();
    service.affinity_seconds = Some(10_800);
    check_in(&VERSIONS, "ipv6", node_v6, &service);
    (service.external_policy, service.health_check_node_port) = (Policy::Local, Some(31_000));
    check_in(&VERSIONS, "ipv6_external_local", node_v6, &service);
}

/// What is there without Services, too.
#[test]
fn node_ports_on_the_loopback_can_be_switched_off() {
    for (version, v6) in [(KubeProxy::V1_30, false), (KubeProxy::V1_30, true), (KubeProxy::V1_20, false)] {
        let of = |localhost_node_ports| {
            let node = if v6 { node_v6(version) } else { node(version) };
            let node = Node { localhost_node_ports, ..node };
            let plan = planner(Mode::IptablesLegacy, node).plan(
                &ServiceSet::default(),
                &ServiceSet::default(),
                Sync::Full,
            );
            let sysctls: Vec<_> = plan
                .steps
                .iter()
                .filter_map(|step| match step.action {
                    Action::Sysctl { key, value } => Some(format!("{key}={value}")),
                    _ => None,
                })
                .collect();
            (lines(&plan), sysctls)
        };
        let (on, off) = (of(true), of(false));
        let only = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter().filter(|line| !other.contains(line)).cloned().collect()
        };
        let route_localnet = vec!["net.ipv4.conf.all.route_localnet=1".to_owned()];
        // In IPv6 they never were; in 1.20 it could not be chosen.
        if v6 || version == KubeProxy::V1_20 {
            assert_eq!(on, off);
            assert_eq!(on.1.is_empty(), v6);
            continue;
        }
        assert_eq!((on.1, off.1), (route_localnet, vec![]));
        assert_eq!(
            only(&on.0, &off.0),
            [
                ":KUBE-FIREWALL - [0:0]",
                "-A KUBE-FIREWALL -m comment --comment \"block incoming localnet connections\" -d 127.0.0.0/8 ! -s \
                 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
                "-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule \
                 in this chain\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
            ]
        );
        assert_eq!(
            only(&off.0, &on.0),
            [
                "-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule \
              in this chain\" -m addrtype --dst-type LOCAL ! -d 127.0.0.0/8 -j KUBE-NODEPORTS"
            ]
        );
    }
}

/// Above 1,000 endpoints, rules that there are most of have no comments. 1.20 counts ready ones only.
#[test]
fn large_clusters_have_fewer_comments() {
    let large = |ready: u16| {
        let address = |number: u16| SocketAddr::from(([10, 244, 2 + (number >> 8) as u8, number as u8], 80));
        let many = (0..ready).map(|number| Endpoint::ready(address(number), false));
        let cluster = "10.96.0.20:80".parse().unwrap();
        let mut other = Service::new("demo", "other", "", Protocol::Tcp, cluster, many.collect());
        other.affinity_seconds = None;
        let mut service = with_entrances(web(&both()));
        (service.external_policy, service.affinity_seconds) = (Policy::Local, Some(10_800));
        ServiceSet::from_iter([service, other])
    };
    for version in VERSIONS {
        let of_web = |to: &ServiceSet| -> String {
            let mut text = own(node(version), to);
            let start = text.find("-A KUBE-SERVICES -m comment --comment \"demo/web").unwrap();
            let end = text.find("-A KUBE-SERVICES -m comment --comment \"demo/other").unwrap();
            text.truncate(end);
            text.split_off(start)
        };
        let comments = |to: &ServiceSet| of_web(to).matches("--comment").count();
        assert!(comments(&large(999)) < comments(&large(998)), "from 1,001 on");
        assert_eq!(comments(&large(100)), comments(&large(998)));
        insta::assert_snapshot!(format!("large_{}", version.name().replace('.', "_")), of_web(&large(999)));
        // One that terminates more.
        let set = large(998);
        let mut other = (*set.services()[1]).clone();
        other.set_endpoints([other.endpoints(), &[terminating(endpoint("10.244.9.9:80", false))]].concat());
        let set = set.with_replaced(1, other);
        assert_eq!(comments(&set) < comments(&large(998)), version == KubeProxy::V1_30);
    }
}

/// Steps beside the restore, from one set to another.
fn programs(node: Node, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> String {
    let plan = planner(Mode::IptablesLegacy, node).plan(from, to, sync);
    let steps = plan.steps.iter().filter(|step| !matches!(step.phase.name(), "jumps" | "canary"));
    steps.map(|step| step.command_line() + "\n").collect()
}

#[test]
fn udp_flows_are_forgotten() {
    let mut dns = with_entrances(web(&both()));
    dns.protocol = Protocol::Udp;
    let mut without = dns.clone();
    without.set_endpoints(vec![]);
    let mut fewer = dns.clone();
    fewer.set_endpoints(vec![endpoint(HERE, true)]);
    let (dns, without, fewer) = (set(&dns), set(&without), set(&fewer));
    let nothing = ServiceSet::default();
    for version in [KubeProxy::V1_20, KubeProxy::V1_30, KubeProxy::V1_37] {
        let steps = |from, to, sync| programs(node(version), from, to, sync);
        let text = [
            ("a start", steps(&nothing, &dns, Sync::Full)),
            // The new process does not know what the old one had done.
            ("a restart", steps(&dns, &dns, Sync::Full)),
            ("nothing new", steps(&dns, &dns, Sync::Partial)),
            ("a Service comes, without endpoints", steps(&nothing, &without, Sync::Partial)),
            ("it gets some", steps(&without, &dns, Sync::Partial)),
            ("it loses one", steps(&dns, &fewer, Sync::Partial)),
            ("it loses all", steps(&dns, &without, Sync::Partial)),
            ("it goes", steps(&dns, &nothing, Sync::Partial)),
        ];
        let text: Vec<String> = text.iter().map(|(what, steps)| format!("# {what}\n{steps}")).collect();
        insta::assert_snapshot!(format!("udp_flows_{}", version.name().replace('.', "_")), text.concat());
    }
    let cluster = "[fd00:10:96::10]:53".parse().unwrap();
    let endpoints = vec![endpoint("[fd00:244::11]:5353", true)];
    let mut v6 = Service::new("demo", "dns", "dns", Protocol::Udp, cluster, endpoints);
    v6.node_port = Some(30_053);
    let steps = [
        programs(node_v6(KubeProxy::V1_30), &nothing, &set(&v6), Sync::Full),
        programs(node_v6(KubeProxy::V1_30), &set(&v6), &nothing, Sync::Partial),
    ];
    insta::assert_snapshot!("udp_flows_ipv6", steps.concat());
}

/// All ports of an object are written when one of them changes or goes.
#[test]
fn a_partial_sync_writes_whole_objects() {
    let port = |port_name: &str, port: u16, endpoints: &[Endpoint]| {
        let cluster = SocketAddr::from(([10, 96, 0, 10], port));
        Service::new("demo", "web", port_name, Protocol::Tcp, cluster, endpoints.to_vec())
    };
    let other = Service::new("demo", "api", "", Protocol::Tcp, "10.96.0.11:80".parse().unwrap(), both());
    let (http, metrics) = (port("http", 80, &both()), port("metrics", 9090, &both()));
    let all = ServiceSet::from_iter([http.clone(), metrics, other.clone()]);
    let without_one = ServiceSet::from_iter([http, other]);
    let dataplane = planner(Mode::IptablesLegacy, node(KubeProxy::NEWEST));
    let plan = dataplane.plan(&all, &without_one, Sync::Partial);
    let cold = lines(&dataplane.plan(&ServiceSet::default(), &ServiceSet::default(), Sync::Full));
    let lines: Vec<String> = lines(&plan).into_iter().filter(|line| !cold.contains(line)).collect();
    insta::assert_snapshot!("partial_of_one_port", lines.join("\n"));
}

/// 1.20 checks its jumps, lists both tables and writes everything, every time.
#[test]
fn a_later_sync_of_1_20_is_a_full_one() {
    let (one, two) = (set(&web(&both())), set(&web(&[endpoint(HERE, true)])));
    let plan = planner(Mode::IptablesLegacy, node(KubeProxy::V1_20)).plan(&one, &two, Sync::Partial);
    let mut out = Vec::new();
    plan.write_to(&mut out).unwrap();
    insta::assert_snapshot!("later_sync_1_20", String::from_utf8(out).unwrap());
}
