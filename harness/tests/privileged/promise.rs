//! Random Services, random packets: every mode delivers what kube-proxy promises, and differs only where it means to.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use conformance::oracle::{Location, PacketOutcome, SentPacket};
use conformance::semantics::{self, Choice, Difference, Origin, Promise, promise};
use dataplane::{KubeProxy, Mode, Node};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use services::service::{Family, Protocol, Service};
use services::service_set::ServiceSet;

use crate::paper::random_services;
use crate::proxied::Proxied;

/// Sets of Services, each installed over the one before: the same for every mode.
const CASES: u32 = 200;
/// Sets of which a real kube-proxy is told, one after another: it waits a second between two syncs.
const REAL_CASES: u32 = 12;
/// Parts in an emulated guest, which takes its time for the whole and is taken for dead if it is silent for long.
pub(crate) const PARTS: u32 = 10;
/// A port that no random Service has.
const OTHER_PORT: u16 = 9_999;

/// One mode against the promise.
pub(crate) fn kept(mode: Mode, version: KubeProxy, family: Family) {
    let seen = compare(mode, version, family, 0..CASES);
    assert!(seen.delivered > 1_000 && seen.rejected > 100 && seen.dropped > 50, "{seen:?}");
}

/// A real kube-proxy against the promise, over the first of the same sets.
pub(crate) fn kept_by_kube_proxy(mode: Mode, family: Family) {
    let proxied = Proxied::by_kube_proxy(mode, random_services::node(family, KubeProxy::NEWEST));
    let seen = compare_in(proxied, family, 0..REAL_CASES);
    assert!(seen.delivered > 100 && seen.rejected > 10, "{seen:?}");
}

/// The same in parts.
pub(crate) fn kept_in_part(mode: Mode, version: KubeProxy, family: Family, part: u32) {
    let cases = CASES / PARTS;
    let seen = compare(mode, version, family, part * cases..(part + 1) * cases);
    assert!(seen.delivered > 100, "{seen:?}");
}

/// What [`kept`] holds each mode to, packet by packet, is one and the same for all modes but where a [`Difference`] says
/// so; and every such difference is met, or the list of them would not be tested.
pub(crate) fn alike(modes: &[Mode], family: Family) {
    let node = random_services::node(family, KubeProxy::NEWEST);
    let mut met = BTreeSet::new();
    for set in sets(family).take(CASES as usize) {
        for (packet, origin) in packets(&node, &set) {
            let packet = asked(&packet, origin);
            let promises: Vec<_> = modes.iter().map(|&mode| promise(mode, &node, &set, &packet)).collect();
            let mut same = promises.iter().filter(|(_, differences)| differences.is_empty());
            if let Some((first, _)) = same.next() {
                assert!(same.all(|(other, _)| other == first), "{packet:?}: {promises:?}");
            }
            met.extend(promises.into_iter().flat_map(|(_, differences)| differences));
        }
    }
    let mut wanted: BTreeSet<Difference> = Difference::ALL.into();
    // Only 1.30 has them.
    wanted.remove(&Difference::OwnPacketsFilteredFirst);
    wanted.remove(&Difference::SourceRangesOfEverybody);
    if family == Family::Ipv6 {
        wanted.remove(&Difference::NodePortsOnLoopback);
    }
    assert_eq!(met, wanted, "differences that were met");
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
    let sets = random_services::sets(family);
    std::iter::repeat_with(move || sets.new_tree(&mut runner).unwrap().current())
}

fn asked(packet: &SentPacket, origin: Location) -> semantics::FirstPacket {
    semantics::FirstPacket {
        from: packet.from.ip(),
        origin: origin_of(origin),
        to: packet.to,
        protocol: packet.protocol,
    }
}

fn compare(mode: Mode, version: KubeProxy, family: Family, cases: Range<u32>) -> Seen {
    compare_in(Proxied::new(mode, random_services::node(family, version)), family, cases)
}

fn compare_in(mut proxied: Proxied, family: Family, cases: Range<u32>) -> Seen {
    let mode = proxied.mode;
    let mut seen = Seen::default();
    let sets = (0..cases.end).zip(sets(family));
    for (case, set) in sets.skip(cases.start as usize) {
        proxied.sync(&set);
        for (packet, origin) in packets(&proxied.node, &set) {
            let (promised, differences) = promise(mode, &proxied.node, &set, &asked(&packet, origin));
            let outcome = proxied.send(packet, origin);
            if let Err(found) = check(&mut proxied, &promised, &outcome, packet) {
                let services: Vec<&Service> = set.services().iter().map(AsRef::as_ref).collect();
                panic!(
                    "case {case}, {mode}: {packet} from {origin}: {found}; promised: {promised:?}, differences {differences:?}\n{services:#?}"
                );
            }
            match promised {
                Promise::Delivered(_) => seen.delivered += 1,
                Promise::Rejected => seen.rejected += 1,
                Promise::Dropped => seen.dropped += 1,
                Promise::Untouched => seen.untouched += 1,
            }
        }
        proxied.forget_flows();
    }
    seen
}

const fn origin_of(place: Location) -> Origin {
    match place {
        Location::Outside => Origin::Outside,
        Location::LocalPod | Location::RemotePod => Origin::Pod,
        Location::Node => Origin::Node,
    }
}

/// What came of a packet is what was promised, and the answer finds its way back.
fn check(
    proxied: &mut Proxied,
    promised: &Promise,
    outcome: &PacketOutcome,
    packet: SentPacket,
) -> Result<(), String> {
    let node = proxied.node.address;
    let right = match (promised, outcome) {
        (Promise::Delivered(choices), PacketOutcome::Delivered(delivered)) => {
            let fits = |choice: &Choice| {
                let source = if choice.masqueraded { node } else { packet.from.ip() };
                choice.endpoint == delivered.destination && source == delivered.source.ip()
            };
            choices.iter().any(fits)
        }
        (Promise::Rejected, PacketOutcome::Rejected(rejected)) => rejected.how.is_port_unreachable(),
        (Promise::Dropped, PacketOutcome::Dropped) => true,
        (Promise::Untouched, PacketOutcome::Delivered(delivered)) => !delivered.is_translated(),
        _ => false,
    };
    if !right {
        return Err(outcome.to_string());
    }
    if matches!(promised, Promise::Delivered(_)) && !proxied.is_answered(outcome) {
        return Err(format!("{outcome}, and the answer does not come back"));
    }
    Ok(())
}

/// To every address of every Service, from everywhere.
fn packets(node: &Node, set: &ServiceSet) -> Vec<(SentPacket, Location)> {
    let mut packets = Vec::new();
    for service in set.services() {
        let strangers = strangers(node.family()).map(|ip| (ip, Location::Outside));
        let pods = pods(node.family());
        let own = service.endpoints().iter().filter(|endpoint| endpoint.local);
        let mut senders: Vec<(IpAddr, Location)> = strangers.into();
        senders.extend(pods);
        senders.extend(own.map(|endpoint| (endpoint.address.ip(), Location::LocalPod)));
        senders.push((node.address, Location::Node));
        for to in addresses(node, service) {
            for &(from, place) in &senders {
                packets.push((SentPacket::new(service.protocol, from, to), place));
            }
        }
        if let (Some(port), IpAddr::V4(_)) = (service.node_port, node.address)
            && service.protocol != Protocol::Sctp
        {
            let loopback: IpAddr = [127, 0, 0, 1].into();
            packets.push((
                SentPacket::new(service.protocol, loopback, SocketAddr::new(loopback, port)),
                Location::Node,
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
fn pods(family: Family) -> [(IpAddr, Location); 2] {
    let [local, remote] = match family {
        Family::Ipv4 => ["10.244.0.250", "10.244.1.250"],
        Family::Ipv6 => ["fd00:244::250", "fd00:244:0:1::250"],
    };
    [(local.parse().unwrap(), Location::LocalPod), (remote.parse().unwrap(), Location::RemotePod)]
}
