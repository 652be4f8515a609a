//! Each feature of a Service by itself: where its packets go and whom the endpoint sees. What is expected is written out
//! here, and not asked of the model.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use conformance::oracle::{Location, PacketOutcome, SentPacket};
use dataplane::{KubeProxy, Mode};
use services::service::{Condition, Endpoint, Family, Policy, Protocol, Service};
use services::service_set::ServiceSet;

use crate::paper::random_services;
use crate::proxied::Proxied;

const PORT: u16 = 80;
const TARGET: u16 = 8080;
const NODE_PORT: u16 = 30_080;

/// Who has which address.
struct Addresses {
    node: IpAddr,
    cluster: IpAddr,
    external: IpAddr,
    balancer: IpAddr,
    /// An endpoint on this node, and one on another.
    here: IpAddr,
    there: IpAddr,
    /// A pod on this node that is no endpoint.
    pod: IpAddr,
    /// Beyond the cluster: in the source ranges of these tests, and not.
    friend: IpAddr,
    stranger: IpAddr,
}

impl Addresses {
    fn of(family: Family) -> Self {
        let parse = |of: [&str; 2]| of[family as usize].parse().unwrap();
        Self {
            node: parse(["192.0.2.1", "2001:db8::1"]),
            cluster: parse(["10.96.0.10", "fd00:10:96::10"]),
            external: parse(["198.51.100.1", "2001:db8:51::1"]),
            balancer: parse(["203.0.113.1", "2001:db8:203::1"]),
            here: parse(["10.244.0.11", "fd00:244::11"]),
            there: parse(["10.244.1.12", "fd00:244:0:1::12"]),
            pod: parse(["10.244.0.99", "fd00:244::99"]),
            friend: parse(["198.18.0.7", "2001:db8:18::7"]),
            stranger: parse(["192.0.3.9", "2001:db8:99::9"]),
        }
    }
}

/// What a sender meets with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meets {
    /// These endpoints, each of them sooner or later, which see its own address.
    Itself(Vec<IpAddr>),
    /// These endpoints, which see the node's address.
    Masqueraded(Vec<IpAddr>),
    Rejection,
    Silence,
}

/// A feature under test.
struct Case {
    proxied: Proxied,
    at: Addresses,
    protocol: Protocol,
    is_ipvs: bool,
}

impl Case {
    fn new(mode: Mode, family: Family) -> Self {
        let proxied = Proxied::new(mode, random_services::node(family, KubeProxy::NEWEST));
        Self { proxied, at: Addresses::of(family), protocol: Protocol::Tcp, is_ipvs: mode.is_ipvs() }
    }

    /// A Service with an endpoint here and one there.
    fn service(&self) -> Service {
        let endpoint = |ip, local| Endpoint::ready(SocketAddr::new(ip, TARGET), local);
        let endpoints = vec![endpoint(self.at.here, true), endpoint(self.at.there, false)];
        let cluster = SocketAddr::new(self.at.cluster, PORT);
        Service::new("test", "feature", "", self.protocol, cluster, endpoints)
    }

    fn sync(&mut self, service: &Service) {
        self.proxied.sync(&ServiceSet::from_iter([service.clone()]));
        self.proxied.forget_flows();
    }

    fn send(&mut self, (from, place): (IpAddr, Location), to: (IpAddr, u16)) -> PacketOutcome {
        self.proxied.send(SentPacket::new(self.protocol, from, SocketAddr::new(to.0, to.1)), place)
    }

    /// Sends packets until every endpoint that is expected has been met, and some more.
    #[track_caller]
    fn meets(&mut self, sender: (IpAddr, Location), to: (IpAddr, u16), expected: &Meets) {
        let (endpoints, seen_source) = match expected {
            Meets::Itself(endpoints) => (endpoints, sender.0),
            Meets::Masqueraded(endpoints) => (endpoints, self.at.node),
            Meets::Rejection => {
                let outcome = self.send(sender, to);
                let rejected =
                    outcome.rejected().unwrap_or_else(|| panic!("{}: {outcome}", self.proxied.mode));
                assert!(rejected.how.is_port_unreachable(), "{}: {rejected}", self.proxied.mode);
                return;
            }
            Meets::Silence => {
                let outcome = self.send(sender, to);
                assert_eq!(outcome, PacketOutcome::Dropped, "{}: {outcome}", self.proxied.mode);
                return;
            }
        };
        let mut missing: BTreeSet<IpAddr> = endpoints.iter().copied().collect();
        // Two endpoints hide for 64 packets once in 2^63 times.
        for round in 0..64 {
            let outcome = self.send(sender, to);
            let met = outcome.delivered().unwrap_or_else(|| panic!("{}: {outcome}", self.proxied.mode));
            assert_eq!(met.source.ip(), seen_source, "{}: {outcome}", self.proxied.mode);
            assert!(endpoints.contains(&met.destination.ip()), "{}: {outcome}", self.proxied.mode);
            assert_eq!(met.destination.port(), TARGET);
            assert!(self.proxied.is_answered(&outcome), "{}: {outcome}: no answer", self.proxied.mode);
            missing.remove(&met.destination.ip());
            if missing.is_empty() && round >= 8 {
                return;
            }
        }
        panic!("{}: {missing:?} were never met", self.proxied.mode);
    }
}

/// A test, by name.
pub(crate) type Feature = (&'static str, fn(Mode, Family));

pub(crate) const ALL: [Feature; 12] = [
    ("cluster_ip", cluster_ip),
    ("node_port", node_port),
    ("external_ip", external_ip),
    ("load_balancer", load_balancer),
    ("source_ranges", source_ranges),
    ("external_traffic_policy_local", external_local),
    ("internal_traffic_policy_local", internal_local),
    ("session_affinity", affinity),
    ("protocols", protocols),
    ("no_endpoints", no_endpoints),
    ("terminating_endpoints", terminating),
    ("hairpin", hairpin),
];

fn cluster_ip(mode: Mode, family: Family) {
    let mut case = Case::new(mode, family);
    let service = case.service();
    case.sync(&service);
    let Addresses { node, cluster, here, there, pod, stranger, .. } = case.at;
    let both = vec![here, there];
    case.meets((pod, Location::LocalPod), (cluster, PORT), &Meets::Itself(both.clone()));
    case.meets((stranger, Location::Outside), (cluster, PORT), &Meets::Masqueraded(both.clone()));
    case.meets((node, Location::Node), (cluster, PORT), &Meets::Masqueraded(both));
}

fn node_port(mode: Mode, family: Family) {
    let mut case = Case::new(mode, family);
    let mut service = case.service();
    service.node_port = Some(NODE_PORT);
    case.sync(&service);
    let Addresses { node, here, there, pod, stranger, .. } = case.at;
    let both = Meets::Masqueraded(vec![here, there]);
    case.meets((stranger, Location::Outside), (node, NODE_PORT), &both);
    case.meets((pod, Location::LocalPod), (node, NODE_PORT), &both);
    case.meets((node, Location::Node), (node, NODE_PORT), &both);
    if family == Family::Ipv4 && matches!(mode, Mode::IptablesLegacy | Mode::IptablesNft) {
        let loopback = [127, 0, 0, 1].into();
        case.meets((loopback, Location::Node), (loopback, NODE_PORT), &both);
    }
}

fn external_ip(mode: Mode, family: Family) {
    let mut case = Case::new(mode, family);
    let mut service = case.service();
    service.external_ips = vec![case.at.external];
    case.sync(&service);
    let Addresses { external, here, there, pod, stranger, .. } = case.at;
    let both = Meets::Masqueraded(vec![here, there]);
    case.meets((stranger, Location::Outside), (external, PORT), &both);
    case.meets((pod, Location::LocalPod), (external, PORT), &both);
}

fn load_balancer(mode: Mode, family: Family) {
    let mut case = Case::new(mode, family);
    let mut service = case.service();
    (service.load_balancer_ips, service.node_port) = (vec![case.at.balancer], Some(NODE_PORT));
    case.sync(&service);
    let Addresses { balancer, node, here, there, pod, stranger, .. } = case.at;
    let both = Meets::Masqueraded(vec![here, there]);
    case.meets((stranger, Location::Outside), (balancer, PORT), &both);
    case.meets((stranger, Location::Outside), (node, NODE_PORT), &both);
    case.meets((pod, Location::LocalPod), (balancer, PORT), &both);
}

fn source_ranges(mode: Mode, family: Family) {
    let mut case = Case::new(mode, family);
    let mut service = case.service();
    service.load_balancer_ips = vec![case.at.balancer];
    service.source_ranges = vec![case.at.friend.into()];
    case.sync(&service);
    let Addresses { balancer, here, there, pod, friend, stranger, .. } = case.at;
    let both = Meets::Masqueraded(vec![here, there]);
    case.meets((friend, Location::Outside), (balancer, PORT), &both);
    case.meets((stranger, Location::Outside), (balancer, PORT), &Meets::Silence);
    case.meets((pod, Location::LocalPod), (balancer, PORT), &Meets::Silence);
    service.source_ranges.clear();
    case.sync(&service);
    case.meets((stranger, Location::Outside), (balancer, PORT), &both);
}

/// From outside only the endpoint here, and it sees who asks. What is inside reaches both, but not in IPVS mode.
fn external_local(mode: Mode, family: Family) {
    let mut case = Case::new(mode, family);
    let mut service = case.service();
    service.external_policy = Policy::Local;
    (service.load_balancer_ips, service.node_port) = (vec![case.at.balancer], Some(NODE_PORT));
    case.sync(&service);
    let Addresses { balancer, node, here, there, pod, stranger, .. } = case.at;
    for to in [(balancer, PORT), (node, NODE_PORT)] {
        case.meets((stranger, Location::Outside), to, &Meets::Itself(vec![here]));
        let inside = if case.is_ipvs { vec![here] } else { vec![here, there] };
        case.meets((pod, Location::LocalPod), to, &Meets::Itself(inside));
    }
    let elsewhere = service.endpoints().iter().filter(|endpoint| !endpoint.local).copied().collect();
    service.set_endpoints(elsewhere);
    case.sync(&service);
    let nobody_here = if case.is_ipvs { Meets::Itself(vec![there]) } else { Meets::Silence };
    for to in [(balancer, PORT), (node, NODE_PORT)] {
        case.meets((stranger, Location::Outside), to, &nobody_here);
        case.meets((pod, Location::LocalPod), to, &Meets::Itself(vec![there]));
    }
}

fn internal_local(mode: Mode, family: Family) {
    let mut case = Case::new(mode, family);
    let mut service = case.service();
    service.internal_policy = Policy::Local;
    case.sync(&service);
    let Addresses { cluster, here, pod, .. } = case.at;
    case.meets((pod, Location::LocalPod), (cluster, PORT), &Meets::Itself(vec![here]));
    let elsewhere = service.endpoints().iter().filter(|endpoint| !endpoint.local).copied().collect();
    service.set_endpoints(elsewhere);
    case.sync(&service);
    let nobody_here = if case.is_ipvs { Meets::Rejection } else { Meets::Silence };
    case.meets((pod, Location::LocalPod), (cluster, PORT), &nobody_here);
}

/// A client stays with its endpoint, from whichever port it asks, until the time is over.
fn affinity(mode: Mode, family: Family) {
    let mut case = Case::new(mode, family);
    let mut service = case.service();
    service.affinity_seconds = Some(1);
    case.sync(&service);
    let cluster = (case.at.cluster, PORT);
    let client = |number: u16| -> IpAddr {
        match family {
            Family::Ipv4 => [10, 244, 0, 100 + number as u8].into(),
            Family::Ipv6 => [0xfd00, 0x244, 0, 0, 0, 0, 0, 0x100 + number].into(),
        }
    };
    let ask = |case: &mut Case, number| -> IpAddr {
        let outcome = case.send((client(number), Location::LocalPod), cluster);
        outcome.delivered().unwrap_or_else(|| panic!("{mode}: {outcome}")).destination.ip()
    };
    // Among so many, both endpoints are chosen, and somebody chooses anew when the time is over.
    let clients = 0..24;
    // A second is short on a busy machine: a round that took too long shows nothing, and is repeated.
    let begun = std::time::Instant::now();
    let (first, kept) = loop {
        let first: Vec<IpAddr> = clients.clone().map(|number| ask(&mut case, number)).collect();
        let started = std::time::Instant::now();
        let kept = (0..5)
            .all(|_| clients.clone().all(|number| ask(&mut case, number) == first[usize::from(number)]));
        if kept
            || started.elapsed() < Duration::from_millis(500)
            || begun.elapsed() > crate::testbeds::TIMEOUT
        {
            break (first, kept);
        }
    };
    assert!(kept, "{mode}: a client was sent elsewhere while its time lasted");
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 2, "{mode}: all clients have one endpoint");
    case.proxied.forget_flows();
    // Time itself is what is waited for.
    thread::sleep(Duration::from_millis(2_100));
    // The other way round, as round robin would deal them out alike.
    let mut later: Vec<IpAddr> = clients.rev().map(|number| ask(&mut case, number)).collect();
    later.reverse();
    assert_ne!(first, later, "{mode}: nobody was sent elsewhere after its time");
}

fn protocols(mode: Mode, family: Family) {
    for protocol in Protocol::ALL {
        let mut case = Case::new(mode, family);
        case.protocol = protocol;
        let mut service = case.service();
        service.node_port = Some(NODE_PORT);
        case.sync(&service);
        let Addresses { cluster, node, here, there, pod, stranger, .. } = case.at;
        case.meets((pod, Location::LocalPod), (cluster, PORT), &Meets::Itself(vec![here, there]));
        case.meets((stranger, Location::Outside), (node, NODE_PORT), &Meets::Masqueraded(vec![here, there]));
        // A Service of one protocol is none of another.
        let other = if protocol == Protocol::Tcp { Protocol::Udp } else { Protocol::Tcp };
        case.protocol = other;
        let outcome = case.send((pod, Location::LocalPod), (cluster, PORT));
        assert!(outcome.delivered().is_none_or(|delivered| !delivered.is_translated()), "{mode}: {outcome}");
    }
}

fn no_endpoints(mode: Mode, family: Family) {
    let mut case = Case::new(mode, family);
    let mut service = case.service();
    let endpoints = service.endpoints().to_vec();
    service.node_port = Some(NODE_PORT);
    service.external_ips = vec![case.at.external];
    service.set_endpoints(Vec::new());
    case.sync(&service);
    let Addresses { cluster, node, external, here, there, pod, stranger, .. } = case.at;
    for to in [(cluster, PORT), (node, NODE_PORT), (external, PORT)] {
        case.meets((pod, Location::LocalPod), to, &Meets::Rejection);
        case.meets((stranger, Location::Outside), to, &Meets::Rejection);
    }
    service.set_endpoints(endpoints);
    case.sync(&service);
    case.meets((pod, Location::LocalPod), (cluster, PORT), &Meets::Itself(vec![here, there]));
}

fn terminating(mode: Mode, family: Family) {
    let mut case = Case::new(mode, family);
    let mut service = case.service();
    let mut endpoints = service.endpoints().to_vec();
    let Addresses { cluster, here, there, pod, .. } = case.at;
    let terminate = |endpoint: &mut Endpoint| endpoint.condition = Condition::Terminating;
    // While another is ready, one that terminates gets nothing new.
    endpoints.iter_mut().filter(|endpoint| endpoint.address.ip() == here).for_each(terminate);
    service.set_endpoints(endpoints.clone());
    case.sync(&service);
    case.meets((pod, Location::LocalPod), (cluster, PORT), &Meets::Itself(vec![there]));
    // Where all terminate, all are used.
    endpoints.iter_mut().for_each(terminate);
    service.set_endpoints(endpoints);
    case.sync(&service);
    case.meets((pod, Location::LocalPod), (cluster, PORT), &Meets::Itself(vec![here, there]));
}

/// An endpoint that asks its own Service and is given itself sees the node, and so the answer takes the same way back.
fn hairpin(mode: Mode, family: Family) {
    let mut case = Case::new(mode, family);
    let mut service = case.service();
    let own = service.endpoints().iter().filter(|endpoint| endpoint.local).copied().collect();
    service.set_endpoints(own);
    case.sync(&service);
    let Addresses { cluster, here, pod, .. } = case.at;
    case.meets((here, Location::LocalPod), (cluster, PORT), &Meets::Masqueraded(vec![here]));
    case.meets((pod, Location::LocalPod), (cluster, PORT), &Meets::Itself(vec![here]));
}
