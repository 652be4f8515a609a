//! Host ports: what the CNI port-map plugin runs, word for word, and what it leaves.

use std::collections::BTreeSet;
use std::net::IpAddr;

use dataplane::hostport::{Backend, HostPort, HostPorts, Sandbox};
use dataplane::{Counts, Plan, Program, Step};
use proptest::prelude::*;
use services::service::{Family, Protocol};

fn port(host_ip: Option<&str>, host_port: u16, protocol: Protocol, container_port: u16) -> HostPort {
    HostPort { host_ip: host_ip.map(|ip| ip.parse().unwrap()), host_port, protocol, container_port }
}

/// As the plugin's own tests have it: every way to give a host address, for a pod with an address of each family.
fn pod() -> Sandbox {
    Sandbox {
        network: "test".into(),
        container_id: "icee6giejonei6so".into(),
        addresses: vec!["10.0.0.2/24".parse().unwrap(), "2001:db8::2/64".parse().unwrap()],
        ports: vec![
            port(None, 8080, Protocol::Tcp, 80),
            port(None, 8080, Protocol::Udp, 81),
            port(Some("192.168.0.2"), 8083, Protocol::Tcp, 83),
            port(Some("0.0.0.0"), 8084, Protocol::Tcp, 84),
            port(Some("2001:db8:a::1"), 8085, Protocol::Tcp, 85),
            port(Some("::"), 3868, Protocol::Sctp, 3868),
        ],
        route_localnet: Some("net.ipv4.conf.cni0.route_localnet"),
    }
}

fn printed(steps: Vec<Step>) -> String {
    let mut out = Vec::new();
    Plan { steps, ..Plan::default() }.write_to(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn iptables_for_a_pod_that_comes_and_goes() {
    let mut host_ports = HostPorts::new(Backend::Iptables, true);
    insta::assert_snapshot!("hostport_iptables_add", printed(host_ports.add(pod())));
    insta::assert_snapshot!("hostport_iptables_remove", printed(host_ports.remove("icee6giejonei6so")));
}

#[test]
fn nft_for_a_pod_that_comes_and_goes() {
    let mut host_ports = HostPorts::new(Backend::Nftables, true);
    insta::assert_snapshot!("hostport_nftables_add", printed(host_ports.add(pod())));
    insta::assert_snapshot!("hostport_nftables_remove", printed(host_ports.remove("icee6giejonei6so")));
}

#[test]
fn the_second_pod_finds_the_common_chains_there() {
    let second = Sandbox { container_id: "second".into(), ..pod() };
    let mut host_ports = HostPorts::new(Backend::Iptables, false);
    let only_ipv4 = |pod: Sandbox| Sandbox { addresses: pod.addresses[..1].to_vec(), ..pod };
    let first = host_ports.add(only_ipv4(pod()));
    let steps = host_ports.add(only_ipv4(second));
    let made = |steps: &[Step]| -> Vec<String> {
        let made = steps.iter().filter(|step| step.program() == Some(Program::Iptables));
        made.filter_map(|step| {
            step.args().windows(2).find(|pair| pair[0] == "-N").map(|pair| pair[1].clone())
        })
        .collect()
    };
    let names = ["CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ", "CNI-HOSTPORT-DNAT"];
    assert_eq!(made(&first)[..3], names);
    assert_eq!(made(&steps), ["CNI-DN-185a737916cd212696bca"], "only its own");
}

#[test]
fn fifteen_ports_fit_into_one_entry_and_a_sixteenth_gets_another() {
    for (count, entries) in [(1, 1), (15, 1), (16, 2), (31, 3)] {
        let ports = (0..count).map(|number| port(None, 8000 + number, Protocol::Tcp, 80)).collect();
        let mut host_ports = HostPorts::new(Backend::Iptables, false);
        let addresses = vec!["10.0.0.2/24".parse().unwrap()];
        let steps = host_ports.add(Sandbox { addresses, ports, ..pod() });
        let appended = |step: &&Step| step.args().windows(2).any(|pair| pair == ["-A", "CNI-HOSTPORT-DNAT"]);
        assert_eq!(steps.iter().filter(appended).count(), entries, "{count} ports");
    }
}

#[test]
fn nothing_is_run_for_a_pod_without_host_ports_and_for_one_that_never_came() {
    for backend in [Backend::Iptables, Backend::Nftables] {
        let mut host_ports = HostPorts::new(backend, true);
        assert_eq!(host_ports.add(Sandbox { ports: Vec::new(), ..pod() }), []);
        assert_eq!(host_ports.remove("nobody"), []);
        assert_eq!(host_ports.counts(Family::Ipv4), Counts::default());
    }
}

fn pods() -> impl Strategy<Value = Vec<Sandbox>> {
    let host_ip = prop_oneof![
        4 => Just(None),
        1 => Just(Some("172.30.0.1".parse::<IpAddr>().unwrap())),
        1 => Just(Some("0.0.0.0".parse::<IpAddr>().unwrap())),
        1 => Just(Some("2001:db8::1".parse::<IpAddr>().unwrap())),
    ];
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    let port =
        (host_ip, 1u16.., protocol, 1u16..).prop_map(|(host_ip, host_port, protocol, container_port)| {
            HostPort { host_ip, host_port, protocol, container_port }
        });
    let families = prop_oneof![
        Just(vec!["10.1.2.3/24"]),
        Just(vec!["2001:db8:1::7/64"]),
        Just(vec!["10.1.2.3/32", "2001:db8:1::7/128"]),
    ];
    let pod = (prop::collection::vec(port, 0..20), families);
    prop::collection::vec(pod, 0..5).prop_map(|pods| {
        let pods = pods.into_iter().enumerate();
        pods.map(|(number, (ports, addresses))| Sandbox {
            network: "cbr0".into(),
            container_id: format!("{number:064x}"),
            addresses: addresses.into_iter().map(|address| address.parse().unwrap()).collect(),
            ports,
            route_localnet: None,
        })
        .collect()
    })
}

/// Rules and chains that steps make of nothing, read from their text.
fn made(steps: &[Step], family: Family) -> Counts {
    let mut counts = Counts::default();
    let (mut chains, mut base) = (BTreeSet::new(), BTreeSet::new());
    let ip = if family == Family::Ipv4 { "ip" } else { "ip6" };
    for step in steps {
        if step.program() == Some(Program::iptables(family)) {
            let has = |operation: &str| step.args().iter().any(|arg| arg == operation);
            counts.rules += u64::from(has("-A") || has("-I"));
            counts.chains += u64::from(has("-N"));
        }
        let Some(input) = step.input().filter(|_| step.args() == ["-f", "-"]) else { continue };
        for line in std::str::from_utf8(input).unwrap().lines() {
            let words: Vec<&str> = line.splitn(6, ' ').collect();
            match words[..] {
                ["add", "chain", of, _, name, ..] if of == ip => drop(chains.insert(name.to_owned())),
                ["add", "rule", of, _, _, rule] if of == ip && rule.contains(" comment ") => {
                    counts.rules += 1
                }
                // Written anew each time.
                ["add", "rule", of, _, chain, rule] if of == ip => {
                    base.insert(format!("{chain} {rule}"));
                }
                _ => {}
            }
        }
    }
    Counts { rules: counts.rules + base.len() as u64, chains: counts.chains + chains.len() as u64, ..counts }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_model_counts_what_the_steps_write(pods in pods(), nftables: bool) {
        let backend = if nftables { Backend::Nftables } else { Backend::Iptables };
        let mut host_ports = HostPorts::new(backend, true);
        let steps: Vec<Step> = pods.into_iter().flat_map(|pod| host_ports.add(pod)).collect();
        for family in Family::ALL {
            prop_assert_eq!(made(&steps, family), host_ports.counts(family));
        }
    }

    #[test]
    fn what_a_pod_leaves_is_what_was_there_before_it_came(pods in pods(), nftables: bool) {
        let backend = if nftables { Backend::Nftables } else { Backend::Iptables };
        let mut host_ports = HostPorts::new(backend, true);
        // The first stays: the chains that all share stay with it.
        let mut pods = pods.into_iter();
        pods.next().map(|pod| host_ports.add(pod));
        let shared = Family::ALL.map(|family| host_ports.counts(family));
        let ids: Vec<String> = pods.map(|pod| {
            let id = pod.container_id.clone();
            host_ports.add(pod);
            id
        }).collect();
        for id in &ids {
            host_ports.remove(id);
        }
        for (family, before) in Family::ALL.into_iter().zip(shared) {
            let after = host_ports.counts(family);
            let common = |counts: Counts| (counts.rules, counts.chains);
            if common(before) != (0, 0) {
                prop_assert_eq!(after, before);
            }
        }
    }

    #[test]
    fn chain_names_fit_and_are_those_of_their_pods(pods in pods()) {
        let mut host_ports = HostPorts::new(Backend::Iptables, true);
        for pod in pods {
            for step in host_ports.add(pod) {
                for name in step.args().iter().filter(|arg| arg.starts_with("CNI-DN-")) {
                    prop_assert_eq!(name.len(), 28);
                }
            }
        }
    }
}
