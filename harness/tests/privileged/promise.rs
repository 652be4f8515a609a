//! Random Services, random packets: every mode delivers what kube-proxy promises, and differs only where it means to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use harness::dataplane::{KubeProxy, Mode, Node};
use harness::oracle::{Outcome, Packet, Place};
use harness::scale::ServiceSet;
use harness::semantics::{self, Choice, Difference, Origin, Verdict, verdict};
use harness::service::{Family, Protocol, Service};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::proxied::Proxied;
use crate::services;

/// Sets of Services, each installed over the one before, for a mode by itself.
const ALONE: u32 = 200;
/// The same for modes side by side, in an emulated guest; two families make two hundred.
const CASES: u32 = 100;
/// A port that no random Service has.
const OTHER_PORT: u16 = 9_999;

/// One mode, by itself, against the promise.
pub fn kept(mode: Mode, version: KubeProxy, family: Family) {
    let mut proxied = [Proxied::new(mode, services::node(family, version))];
    let seen = compare(&mut proxied, family, 0..ALONE);
    assert!(seen.delivered > 1_000 && seen.rejected > 100 && seen.dropped > 50, "{seen:?}");
}

/// Parts of [`alike`], as an emulated guest takes its time for the whole, and is taken for dead if it is silent for long.
pub const PARTS: u32 = 10;

/// Modes side by side: they differ where a [`Difference`] says so, and nowhere else.
pub fn alike(modes: &[Mode], family: Family, part: u32) {
    let node = services::node(family, KubeProxy::Current);
    let mut all: Vec<Proxied> = modes.iter().map(|&mode| Proxied::new(mode, node)).collect();
    let cases = CASES / PARTS;
    let seen = compare(&mut all, family, part * cases..(part + 1) * cases);
    assert!(seen.delivered > 50, "{seen:?}");
}

/// What [`alike`] sends meets with every difference there is, or the list of them would not be tested.
pub fn differences(modes: &[Mode], family: Family) {
    let node = services::node(family, KubeProxy::Current);
    let mut seen = BTreeSet::new();
    for set in sets(family).take(CASES as usize) {
        for (packet, origin) in packets(&node, &set) {
            let packet = asked(&packet, origin);
            seen.extend(modes.iter().flat_map(|&mode| verdict(mode, &node, &set, &packet).1));
        }
    }
    let mut wanted: BTreeSet<Difference> = Difference::ALL.into();
    // Only 1.30 has it.
    wanted.remove(&Difference::OwnPacketsFilteredFirst);
    if family == Family::Ipv6 {
        wanted.remove(&Difference::NodePortsOnLoopback);
    }
    assert_eq!(seen, wanted, "differences that were met");
}

/// What was seen, to know that something was.
#[derive(Debug, Default)]
struct Seen {
    delivered: u32,
    rejected: u32,
    dropped: u32,
    untouched: u32,
}

/// The same sets each time, so that a failure can be met again.
fn sets(family: Family) -> impl Iterator<Item = ServiceSet> {
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let sets = services::sets(family);
    std::iter::repeat_with(move || sets.new_tree(&mut runner).unwrap().current())
}

fn asked(packet: &Packet, origin: Place) -> semantics::Packet {
    semantics::Packet {
        from: packet.from.ip(),
        origin: origin_of(origin),
        to: packet.to,
        protocol: packet.protocol,
    }
}

fn compare(all: &mut [Proxied], family: Family, cases: Range<u32>) -> Seen {
    let mut seen = Seen::default();
    let sets = (0..cases.end).zip(sets(family));
    for (case, set) in sets.skip(cases.start as usize) {
        for proxied in &mut *all {
            proxied.sync(&set);
        }
        for (packet, origin) in packets(&all[0].node, &set) {
            let mut without_difference: BTreeMap<Mode, Verdict> = BTreeMap::new();
            for proxied in &mut *all {
                let asked = asked(&packet, origin);
                let (promised, differences) = verdict(proxied.mode, &proxied.node, &set, &asked);
                let outcome = proxied.send(packet, origin);
                if let Err(found) = check(proxied, &promised, &outcome, packet) {
                    let services: Vec<&Service> = set.services().iter().map(AsRef::as_ref).collect();
                    panic!(
                        "case {case}, {}: {packet} from {origin}: {found}; promised: {promised:?}, differences {differences:?}\n{services:#?}",
                        proxied.mode
                    );
                }
                match promised {
                    Verdict::Delivered(_) => seen.delivered += 1,
                    Verdict::Rejected => seen.rejected += 1,
                    Verdict::Dropped => seen.dropped += 1,
                    Verdict::Untouched => seen.untouched += 1,
                }
                if differences.is_empty() {
                    without_difference.insert(proxied.mode, promised);
                }
            }
            let verdicts: BTreeSet<String> =
                without_difference.values().map(|verdict| format!("{verdict:?}")).collect();
            assert!(verdicts.len() <= 1, "{packet} from {origin}: {without_difference:?}");
        }
        all.iter_mut().for_each(Proxied::forget_flows);
    }
    seen
}

const fn origin_of(place: Place) -> Origin {
    match place {
        Place::Outside => Origin::Outside,
        Place::LocalPod | Place::RemotePod => Origin::Pod,
        Place::Node => Origin::Node,
    }
}

/// What came of a packet is what was promised, and the answer finds its way back.
fn check(proxied: &mut Proxied, promised: &Verdict, outcome: &Outcome, packet: Packet) -> Result<(), String> {
    let node = proxied.node.address;
    let right = match (promised, outcome) {
        (Verdict::Delivered(choices), Outcome::Delivered(delivered)) => {
            let fits = |choice: &Choice| {
                let source = if choice.masqueraded { node } else { packet.from.ip() };
                choice.endpoint == delivered.destination && source == delivered.source.ip()
            };
            choices.iter().any(fits)
        }
        (Verdict::Rejected, Outcome::Rejected(rejected)) => rejected.how.is_port_unreachable(),
        (Verdict::Dropped, Outcome::Dropped) => true,
        (Verdict::Untouched, Outcome::Delivered(delivered)) => !delivered.is_translated(),
        _ => false,
    };
    if !right {
        return Err(outcome.to_string());
    }
    if matches!(promised, Verdict::Delivered(_)) && !proxied.is_answered(outcome) {
        return Err(format!("{outcome}, and the answer does not come back"));
    }
    Ok(())
}

/// To every address of every Service, from everywhere.
fn packets(node: &Node, set: &ServiceSet) -> Vec<(Packet, Place)> {
    let mut packets = Vec::new();
    for service in set.services() {
        let strangers = strangers(node.family()).map(|ip| (ip, Place::Outside));
        let pods = pods(node.family());
        let own = service.endpoints().iter().filter(|endpoint| endpoint.local);
        let mut senders: Vec<(IpAddr, Place)> = strangers.into();
        senders.extend(pods);
        senders.extend(own.map(|endpoint| (endpoint.address.ip(), Place::LocalPod)));
        senders.push((node.address, Place::Node));
        for to in addresses(node, service) {
            for &(from, place) in &senders {
                packets.push((Packet::new(service.protocol, from, to), place));
            }
        }
        if let (Some(port), IpAddr::V4(_)) = (service.node_port, node.address)
            && service.protocol != Protocol::Sctp
        {
            let loopback: IpAddr = [127, 0, 0, 1].into();
            packets.push((
                Packet::new(service.protocol, loopback, SocketAddr::new(loopback, port)),
                Place::Node,
            ));
        }
    }
    packets
}

/// Where a Service can be reached, and a port where it cannot.
fn addresses(node: &Node, service: &Service) -> Vec<SocketAddr> {
    let mut all = vec![service.cluster, SocketAddr::new(service.cluster.ip(), OTHER_PORT)];
    all.extend(service.external_addresses());
    all.extend(service.node_port.map(|port| SocketAddr::new(node.address, port)));
    all
}

/// One that source ranges may let in, and one that only "everybody" does.
fn strangers(family: Family) -> [IpAddr; 2] {
    match family {
        Family::Ipv4 => ["198.18.0.7", "192.0.3.9"],
        Family::Ipv6 => ["2001:db8:18::7", "2001:db8:99::9"],
    }
    .map(|ip| ip.parse().unwrap())
}

/// Pods that are no endpoints.
fn pods(family: Family) -> [(IpAddr, Place); 2] {
    let [local, remote] = match family {
        Family::Ipv4 => ["10.244.0.250", "10.244.1.250"],
        Family::Ipv6 => ["fd00:244::250", "fd00:244:0:1::250"],
    };
    [(local.parse().unwrap(), Place::LocalPod), (remote.parse().unwrap(), Place::RemotePod)]
}
