//! IPVS plans, feature by feature: what each adds to the plan of a plain Service, in both ways and both families.

use crate::paper::features;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::ipvs::{State, pass};
use dataplane::{Action, Dataplane, Drain, KubeProxy, Mode, Node, Plan, Sync, Way, planner};
use netns_setup::ipvs::Key;
use services::service::{Family, Policy, Protocol, Service};
use services::service_set::ServiceSet;

use crate::paper::Paper;

const WAYS: [(&str, Mode); 2] = [("as kube-proxy does it", Mode::Ipvs), ("batched", Mode::IpvsBatched)];

fn node(family: Family) -> Node {
    features::node(family, KubeProxy::NEWEST)
}

fn one(service: Service) -> ServiceSet {
    ServiceSet::from_iter([service])
}

fn cold(dataplane: &dyn Dataplane, to: &ServiceSet) -> Plan {
    dataplane.plan(&ServiceSet::default(), to, Sync::Full)
}

fn text(plan: &Plan) -> String {
    let mut out = Vec::new();
    plan.write_to(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Lines of `text` that `base` lacks, and after a minus those that only `base` has.
fn beyond(base: &str, text: &str) -> String {
    let mut left: Vec<&str> = base.lines().collect();
    let mut out = String::new();
    for line in text.lines() {
        match left.iter().position(|other| *other == line) {
            Some(index) => drop(left.remove(index)),
            None => out += &format!("{line}\n"),
        }
    }
    left.iter().fold(out, |out, line| format!("{out}- {line}\n"))
}

#[test]
fn each_feature_adds_what_kube_proxy_adds() {
    for (family, suffix) in [(Family::Ipv4, ""), (Family::Ipv6, "_ipv6")] {
        for (number, (name, service)) in (1..).zip(features::all(family)) {
            // In IPv6 the same, with other names: all of it is shown once.
            if family == Family::Ipv6 && name != "everything" {
                continue;
            }
            let plain = one(features::plain(family, number, service.protocol));
            let set = one(service);
            let mut shown = String::new();
            for (way, mode) in WAYS {
                let dataplane = planner(mode, node(family));
                let (base, plan) = (text(&cold(&*dataplane, &plain)), text(&cold(&*dataplane, &set)));
                let plan = if family == Family::Ipv4 { beyond(&base, &plan) } else { plan };
                shown += &format!("== {way}\n{plan}");
            }
            insta::assert_snapshot!(format!("{name}{suffix}"), shown);
        }
    }
}

/// All features beside each other, in every order of coming and going.
#[test]
fn features_come_and_go() {
    for family in Family::ALL {
        for version in [KubeProxy::V1_30, KubeProxy::NEWEST] {
            let node = features::node(family, version);
            let all: Vec<Service> = features::all(family).into_iter().map(|(_, service)| service).collect();
            let set: ServiceSet = all.iter().cloned().collect();
            for (_, mode) in WAYS {
                let dataplane = planner(mode, node);
                let mut kernel = Paper::with_ipvs();
                let mut installed = ServiceSet::default();
                let mut sync = |to: &ServiceSet, kind, what: &str| {
                    kernel.carry_out(&dataplane.plan(&installed, to, kind));
                    assert_eq!(kernel.ipvs.state(), State::of(&node, to), "{mode} {family:?} {what}");
                    assert_eq!(kernel.counts(), dataplane.counts(to), "{mode} {family:?} {what}");
                    installed = to.clone();
                };
                sync(&set, Sync::Full, "cold");
                sync(&set, Sync::Full, "restart");
                sync(&set, Sync::Partial, "nothing changed");
                for (index, service) in all.iter().enumerate() {
                    let name = &service.name;
                    sync(&set.without(index), Sync::Partial, &format!("without {name}"));
                    sync(&set, Sync::Partial, &format!("with {name} again"));
                    let plain = features::plain(family, index as u8 + 1, service.protocol);
                    sync(&set.with_replaced(index, plain), Sync::Partial, &format!("{name} made plain"));
                }
                sync(&ServiceSet::default(), Sync::Partial, "none");
            }
        }
    }
}

/// A range of one address is listed without its length, so kube-proxy takes it for another; one of all is never there in 1.30,
/// and as none since.
#[test]
fn ranges_that_kube_proxy_misreads_are_written_anew_at_every_sync() {
    let set: ServiceSet = features::all(Family::Ipv4)
        .into_iter()
        .filter(|(name, _)| name.starts_with("source_ranges_of"))
        .map(|(_, service)| service)
        .collect();
    assert_eq!(set.len(), 2);
    let changes = |mode| -> Vec<String> {
        let node = features::node(Family::Ipv4, KubeProxy::V1_30);
        let plan = planner(mode, node).plan(&set, &set, Sync::Partial);
        let lines = plan.steps.iter().map(|step| format!("{} -> {:?}", step.command_line(), step.expect));
        lines.filter(|line| line.contains("ipset add") || line.contains("ipset del")).collect()
    };
    let name = "KUBE-LOAD-BALANCER-SOURCE-CIDR";
    assert_eq!(
        changes(Mode::Ipvs),
        [
            format!("ipset del {name} 203.0.113.16,tcp:80,192.0.2.7 -> Success"),
            format!("ipset add {name} 203.0.113.17,tcp:80,0.0.0.0/0 -exist -> One"),
            format!("ipset add {name} 203.0.113.16,tcp:80,192.0.2.7/32 -exist -> Success"),
        ]
    );
    assert_eq!(changes(Mode::IpvsBatched), [""; 0]);
}

/// Only real servers of TCP wait for their connections.
#[test]
fn real_servers_of_tcp_are_drained() {
    for (_, mode) in WAYS {
        for (_, service) in features::all(Family::Ipv6) {
            let mut without = service.clone();
            without.set_endpoints(Vec::new());
            let dataplane = planner(mode, node(Family::Ipv6));
            let plan = dataplane.plan(&one(service.clone()), &one(without), Sync::Partial);
            let drains: Vec<&Drain> = plan
                .steps
                .iter()
                .filter_map(|step| match &step.action {
                    Action::Drain(drain) => Some(drain),
                    _ => None,
                })
                .collect();
            let deleted = text(&plan).lines().filter(|line| line.starts_with("-d ")).count() as u64;
            let drained: usize = drains.iter().flat_map(|drain| &drain.servers).map(|(_, at)| at.len()).sum();
            assert_eq!(
                deleted,
                dataplane.counts(&one(service.clone())).real_servers,
                "{mode} {}",
                service.name
            );
            let is_tcp = service.protocol == Protocol::Tcp;
            assert_eq!(drained as u64, if is_tcp { deleted } else { 0 }, "{mode} {}", service.name);
        }
    }
}

#[test]
fn a_pass_asks_for_each_that_waits() {
    let key =
        |port| Key { address: ([10, 96, 0, 1], port).into(), protocol: netns_setup::ipvs::IpvsProtocol::Tcp };
    let endpoint = |last| ([10, 244, 0, last], 8080).into();
    let draining = [(key(80), vec![endpoint(1), endpoint(2)]), (key(443), vec![endpoint(3)])];
    let shown = |way| text(&pass(way, &draining));
    insta::assert_snapshot!(
        "pass",
        format!("== as kube-proxy does it\n{}== batched\n{}", shown(Way::KubeProxy), shown(Way::Batched))
    );
    assert_eq!(pass(Way::KubeProxy, &[]), Plan::default());
    assert_eq!(pass(Way::Batched, &[]), Plan::default());
}

/// kube-proxy makes its sets with maxelem 65536.
#[test]
fn each_set_is_found_too_small() {
    for (family, six) in [(Family::Ipv4, ""), (Family::Ipv6, "6-")] {
        let node = node(family);
        let address = |number: u32| -> IpAddr {
            match family {
                Family::Ipv4 => Ipv4Addr::from_bits(0x0b00_0000 + number).into(),
                Family::Ipv6 => Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | u128::from(number)).into(),
            }
        };
        let many = |from: u32, count: u32| (from..from + count).map(address).collect::<Vec<IpAddr>>();
        let fits = |change: &dyn Fn(&mut Service)| {
            let mut service = features::plain(family, 1, Protocol::Tcp);
            change(&mut service);
            let set = one(service);
            planner(Mode::Ipvs, node).fits(&set).map_err(|unfit| unfit.to_string())
        };
        let refused = |name: &str, entries: u32, change: &dyn Fn(&mut Service)| {
            let error = fits(change).unwrap_err();
            let wanted = format!("ipset KUBE-{six}{name} would need {entries} entries, but ");
            assert!(error.starts_with(&wanted), "{error}");
        };
        refused("EXTERNAL-IP", 65_537, &|service| service.external_ips = many(0, 65_537));
        refused("EXTERNAL-IP-LOCAL", 65_537, &|service| {
            service.external_ips = many(0, 65_537);
            service.external_policy = Policy::Local;
        });
        refused("LOAD-BALANCER", 65_537, &|service| service.load_balancer_ips = many(0, 65_537));
        let ranges = |service: &mut Service, count| {
            service.load_balancer_ips = vec![address(1 << 20)];
            service.source_ranges = many(0, count).into_iter().map(Into::into).collect();
        };
        let cut = &format!("KUBE-{six}LOAD-BALANCER-SOURCE-CIDR")[..(30 + six.len()).min(31)];
        refused(cut.trim_start_matches(&format!("KUBE-{six}")), 65_537, &|service| ranges(service, 65_537));
        // Two sets that are large enough have the addresses of a third that is not.
        let halves = |external: u32| {
            move |service: &mut Service| {
                service.external_ips = many(0, external);
                service.load_balancer_ips = many(1 << 20, 30_000);
            }
        };
        refused("IPVS-IPS", 65_537, &halves(35_536));
        fits(&halves(35_535)).unwrap();
        fits(&|service| ranges(service, 65_536)).unwrap();
        // The same twice is one entry, and one that is never taken is none.
        fits(&|service| {
            service.external_ips = many(0, 40_000);
            service.external_ips.extend(many(0, 40_000));
        })
        .unwrap();
        fits(&|service| {
            ranges(service, 65_536);
            service.source_ranges.push(if six.is_empty() { "0.0.0.0/0" } else { "::/0" }.parse().unwrap());
        })
        .unwrap();
    }
}
