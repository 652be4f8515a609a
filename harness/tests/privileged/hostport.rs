//! Host ports in kernels: every program that the plugin would run ends as planned, and what is left is what nodes
//! show.

mod packets;

use std::process::{Command, Stdio};

use dataplane::background::backend;
use dataplane::hostport::{Backend, HostPort, HostPorts, Sandbox};
use dataplane::{Mode, Node, Plan, Program, Step};
use lab::testbed::Testbed;
use services::service::{Family, Protocol};
use trials::Test;

use crate::state::pretty;
use crate::testbeds::{empty, output};
use crate::{PROXY, test};

/// Those of this module.
pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for &mode in PROXY {
        tests.push(test(&format!("host_ports_come_and_go::{mode}"), &[mode], move || come_and_go(mode)));
        for family in Family::ALL {
            let name = format!("host_ports_reach_pods::{mode}::{}", family.name());
            tests.push(test(&name, &[mode], move || packets::reach_pods(mode, family)));
        }
    }
    tests
}

fn port(host_ip: Option<&str>, host_port: u16, protocol: Protocol, container_port: u16) -> HostPort {
    HostPort { host_ip: host_ip.map(|ip| ip.parse().unwrap()), host_port, protocol, container_port }
}

fn pod(id: &str, addresses: &[&str], ports: Vec<HostPort>) -> Sandbox {
    Sandbox {
        network: "cbr0".into(),
        container_id: id.into(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        ports,
        route_localnet: Some("net.ipv4.conf.probe-out.route_localnet"),
    }
}

/// Pods of all kinds, one after another.
fn pods() -> Vec<Sandbox> {
    let web = vec![
        port(None, 8080, Protocol::Tcp, 80),
        port(Some("172.30.0.1"), 8443, Protocol::Tcp, 443),
        port(Some("2001:db8::1"), 8443, Protocol::Tcp, 443),
        port(Some("0.0.0.0"), 5353, Protocol::Udp, 53),
        port(Some("::"), 3868, Protocol::Sctp, 3868),
    ];
    let many = (0..16).map(|number| port(None, 9000 + number, Protocol::Tcp, 9000 + number)).collect();
    vec![
        pod("a".repeat(64).as_str(), &["10.244.1.5/24", "fd00:10:244:1::5/64"], web.clone()),
        pod("b".repeat(64).as_str(), &["10.244.1.6/32"], many),
        pod("c".repeat(64).as_str(), &["fd00:10:244:1::7/128"], web),
    ]
}

fn apply(testbed: &Testbed, steps: Vec<Step>) {
    let plan = Plan { steps, ..Plan::default() };
    testbed.lab.node.run(|| testbed.runner.apply(&plan, None)).unwrap();
}

/// Whether this machine has ip6tables in the mode's variant.
fn ip6tables(testbed: &Testbed) -> bool {
    let Ok(path) = testbed.runner.tools().path(Program::Ip6tables) else { return false };
    let mut command = Command::new(path);
    command.args(["-t", "nat", "-S"]).stdout(Stdio::null()).stderr(Stdio::null());
    testbed
        .lab
        .node
        .spawn(&mut command)
        .is_ok_and(|mut child| child.wait().is_ok_and(|status| status.success()))
}

/// What the plugin has in the kernel for a family: its own chains and what leads to them.
fn listed(testbed: &Testbed, mode: Mode, family: Family) -> String {
    let tools = testbed.runner.tools();
    let text = match backend(mode) {
        Backend::Iptables => {
            let mut save = Command::new(tools.path(Program::iptables_save(family)).unwrap());
            output(&testbed.lab.node, save.args(["-t", "nat"]))
        }
        Backend::Nftables => {
            let mut list = Command::new(tools.path(Program::Nft).unwrap());
            let ip = if family == Family::Ipv4 { "ip" } else { "ip6" };
            let text = output(&testbed.lab.node, list.args(["list", "table", ip, "cni_hostport"]));
            // Versions of nft name priorities in their own ways.
            return text
                .lines()
                .filter(|line| !line.contains("hook"))
                .map(|line| line.to_owned() + "\n")
                .collect();
        }
    };
    // No times, counters or built-in chains.
    let ours = |line: &&str| line.contains("CNI-");
    let line = |line: &str| line.split(" [").next().unwrap_or_default().to_owned() + "\n";
    text.lines().filter(ours).map(line).collect()
}

/// Chains and rules in such a listing.
fn counted(listing: &str, backend: Backend) -> (u64, u64) {
    let count = |test: fn(&str) -> bool| listing.lines().filter(|line| test(line)).count() as u64;
    match backend {
        Backend::Iptables => (count(|line| line.starts_with(':')), count(|line| line.starts_with("-A "))),
        Backend::Nftables => {
            let is_rule = |line: &str| {
                ["jump", "dnat to", "masquerade"].iter().any(|word| line.contains(word))
                    && !line.ends_with('{')
            };
            (count(|line| line.trim_start().starts_with("chain ")), count(is_rule))
        }
    }
}

fn come_and_go(mode: Mode) {
    let testbed = empty(mode, Node::lab(dataplane::KubeProxy::V1_30));
    let both = ip6tables(&testbed);
    let mut host_ports = HostPorts::new(backend(mode), both);
    let families = if both { &Family::ALL[..] } else { &[Family::Ipv4] };
    let is_the_model = |host_ports: &HostPorts| {
        for &family in families {
            let model = host_ports.counts(family);
            let held = counted(&listed(&testbed, mode, family), backend(mode));
            assert_eq!(held, (model.chains, model.rules), "{family:?}");
        }
    };
    let pods = pods().into_iter().map(|mut pod| {
        pod.addresses.retain(|address| both || address.addr().is_ipv4());
        pod
    });
    let ids: Vec<String> = pods
        .map(|pod| {
            let id = pod.container_id.clone();
            apply(&testbed, host_ports.add(pod));
            id
        })
        .collect();
    is_the_model(&host_ports);
    let expected = match backend(mode) {
        Backend::Iptables => include_str!("hostport/iptables.txt"),
        Backend::Nftables => include_str!("hostport/nftables.txt"),
    };
    pretty(&listed(&testbed, mode, Family::Ipv4), expected, "what nodes show");
    let mut cat = Command::new("cat");
    let route_localnet = cat.arg("/proc/sys/net/ipv4/conf/probe-out/route_localnet");
    assert_eq!(output(&testbed.lab.node, route_localnet), "1\n");

    // Not in the order in which they came: handles and chains are those of each pod.
    for id in [&ids[1], &ids[2], &ids[0]] {
        apply(&testbed, host_ports.remove(id));
        is_the_model(&host_ports);
    }
    for &family in families {
        let left = listed(&testbed, mode, family);
        assert!(!left.contains("CNI-DN-") && !left.contains("dnat to"), "{left}");
        assert!(ids.iter().all(|id| !left.contains(id.as_str())), "{left}");
    }
    // And the next one is served as the first was.
    apply(&testbed, host_ports.add(pod("next", &["10.244.1.9/32"], vec![port(None, 80, Protocol::Udp, 80)])));
    is_the_model(&host_ports);
}
