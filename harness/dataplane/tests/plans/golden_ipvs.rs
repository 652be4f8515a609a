//! The IPVS plan for the Services of `tests/golden/example.json` is what the real kube-proxy 1.30.5 did. It walks Go
//! maps, so the order of Services, endpoints and sets is not compared; every other order is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dataplane::ipvs::State;
use dataplane::{Action, KubeProxy, Mode, Node, Plan, Program, Sync, planner};
use netns_setup::ipvs::{Forwarding, IpvsProtocol, Key, Request};
use services::cluster;
use services::service_set::ServiceSet;

const RESTORE: &str = include_str!("../golden/ipvs/iptables-restore.txt");
const ARGV: &str = include_str!("../golden/ipvs/argv.log");
const OPERATIONS: &str = include_str!("../golden/ipvs/ipvs-ops.log");
const IPSET_SAVE: &str = include_str!("../golden/ipvs/ipset-save.txt");
const IP_ADDR: &str = include_str!("../golden/ipvs/ip-addr.txt");

fn example() -> ServiceSet {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/example.json");
    cluster::read(&path, "node1").unwrap()
}

fn node() -> Node {
    Node {
        address: "10.10.0.1".parse().unwrap(),
        cluster_cidr: Some("10.244.0.0/16".parse().unwrap()),
        ..Node::lab(KubeProxy::V1_30)
    }
}

fn plan() -> Plan {
    planner(Mode::Ipvs, node()).plan(&ServiceSet::default(), &example(), Sync::Full)
}

#[test]
fn restore_input_is_byte_for_byte_the_real_one() {
    let plan = plan();
    let restores = plan.steps.iter().filter(|step| step.program() == Some(Program::IptablesRestore));
    let inputs: Vec<_> = restores.map(|step| std::str::from_utf8(step.input().unwrap()).unwrap()).collect();
    assert_eq!(inputs, [RESTORE]);
}

/// Programs before the sets, those that make sets, those that fill each set, and those after.
#[derive(Debug, PartialEq, Eq)]
struct Programs {
    before: Vec<String>,
    created: BTreeSet<String>,
    filled: BTreeMap<String, Vec<String>>,
    after: Vec<String>,
}

fn programs<'a>(lines: impl Iterator<Item = &'a str>) -> Programs {
    let lines: Vec<&str> = lines.collect();
    let sets = |line: &&&str| line.starts_with("ipset ");
    let first = lines.iter().position(|line| sets(&line)).unwrap();
    let last = lines.iter().rposition(|line| sets(&line)).unwrap();
    let owned = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
    let (created, rest): (Vec<&str>, Vec<&str>) =
        lines[first..=last].iter().copied().partition(|line| line.starts_with("ipset create "));
    // All are made before the first is filled.
    assert_eq!(lines[first..first + created.len()], created);
    let mut filled: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in &rest {
        let set = line.split(' ').nth(2).unwrap();
        filled.entry(set.to_owned()).or_default().push((*line).to_owned());
    }
    Programs {
        before: owned(&lines[..first]),
        created: created.iter().map(|&line| line.to_owned()).collect(),
        filled,
        after: owned(&lines[last + 1..]),
    }
}

#[test]
fn the_same_programs_run_in_the_same_order() {
    // From the first chain on: before it kube-proxy asks for versions.
    let real = ARGV.lines().skip_while(|line| !line.contains("-N KUBE-SERVICES"));
    let plan = plan();
    // The log joins arguments with spaces and quotes nothing.
    let planned: Vec<String> = plan
        .steps
        .iter()
        .filter_map(|step| Some(format!("{} {}", step.program()?.name(), step.args().join(" "))))
        .collect();
    let (real, planned) = (programs(real), programs(planned.iter().map(String::as_str)));
    assert_eq!(real.created.len(), 17);
    assert_eq!(planned, real);
}

/// What the log calls a virtual server.
fn server(key: &Key) -> String {
    let protocol = match key.protocol {
        IpvsProtocol::Tcp => "TCP",
        IpvsProtocol::Udp => "UDP",
        IpvsProtocol::Sctp => "SCTP",
    };
    format!("{}/{protocol}", key.address)
}

fn operation(request: &Request) -> String {
    match request {
        Request::NewService(new) => {
            let timeout = new.persistence.unwrap_or(0);
            format!(
                "NEW_SERVICE {} sched={} flags={:#x} timeout={timeout}",
                server(&new.key),
                new.scheduler,
                new.flags
            )
        }
        Request::DelService(key) => format!("DEL_SERVICE {}", server(key)),
        Request::GetService(key) => format!("GET_SERVICE {}", server(key)),
        Request::ListServices => "GET_SERVICES(dump)".to_owned(),
        Request::ListDests(key) => format!("GET_DESTS(dump) {}", server(key)),
        Request::NewDest(key, real) => {
            assert_eq!(real.forwarding, Forwarding::Masquerade);
            format!("NEW_DEST {} -> {} weight={} fwd=masq(0)", server(key), real.address, real.weight)
        }
        other => panic!("not in a cold sync: {other}"),
    }
}

/// In order: what is done before the first Service, what for each virtual server with its real servers sorted, and what
/// comes last.
#[derive(Debug, PartialEq, Eq)]
struct Operations {
    before: Vec<String>,
    servers: BTreeMap<String, Vec<String>>,
    after: Vec<String>,
}

fn operations(lines: &[String]) -> Operations {
    let first = lines.iter().position(|line| line.starts_with("GET_SERVICE ")).unwrap();
    let last = lines.iter().rposition(|line| line.starts_with("NEW_DEST ")).unwrap();
    let mut servers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in &lines[first..=last] {
        let name = line.split(' ').nth(1).unwrap();
        // One virtual server is finished before the next is begun.
        assert!(current == name || !servers.contains_key(name), "{name} again: {line}");
        current = name.to_owned();
        servers.entry(current.clone()).or_default().push(line.clone());
    }
    for lines in servers.values_mut() {
        let dests = lines.iter().position(|line| line.starts_with("NEW_DEST ")).unwrap();
        lines[dests..].sort();
    }
    Operations { before: lines[..first].to_vec(), servers, after: lines[last + 1..].to_vec() }
}

#[test]
fn the_same_requests_go_to_ipvs_in_the_same_order() {
    let mut planned = Vec::new();
    for step in &plan().steps {
        match &step.action {
            Action::Ipvs { requests, .. } => planned.extend(requests.iter().map(operation)),
            Action::Sysctl { key, value } => {
                let key = key.replace('.', "/");
                // The stand-in logged reads only of the settings that it stood in for.
                if key.starts_with("net/ipv4/vs/") {
                    planned.push(format!("SYSCTL GET {key}"));
                }
                planned.push(format!("SYSCTL SET {key} = {value}"));
            }
            _ => {}
        }
    }
    let real: Vec<String> = OPERATIONS.lines().map(str::to_owned).collect();
    assert_eq!(operations(&planned), operations(&real));
}

#[test]
fn the_state_at_the_end_is_the_real_one() {
    let state = State::of(&node(), &example());
    let mut sets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in IPSET_SAVE.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let entries = sets.entry(words[1].to_owned()).or_default();
        if words[0] == "add" {
            entries.insert(words[2].to_owned());
        }
    }
    assert_eq!(state.sets, sets);

    let dummy = IP_ADDR.split("kube-ipvs0:").nth(1).unwrap();
    let inet = dummy.lines().filter_map(|line| line.trim().strip_prefix("inet ")?.split("/32 ").next());
    assert_eq!(state.addresses, inet.map(|address| address.parse().unwrap()).collect());

    let made = |line: &&str| line.starts_with("NEW_") && !line.contains("198.51.100.0");
    let real: BTreeSet<&str> = OPERATIONS.lines().filter(made).collect();
    let model: BTreeSet<String> = state.servers.requests().map(|request| operation(&request)).collect();
    assert_eq!(model, real.into_iter().map(str::to_owned).collect());
}
