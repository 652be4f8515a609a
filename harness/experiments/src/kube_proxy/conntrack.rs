//! Flows of UDP that outlive their endpoints: how soon kube-proxy ends them while connection tracking holds many others.
//!
//! A flow of UDP has no end of its own: as long as packets come, its entry sends them to the endpoint that it began with. So
//! kube-proxy deletes the entries of endpoints that are gone, for which it reads the whole table (`CleanStaleEntries` in
//! pkg/proxy/conntrack/cleanup.go). Before 1.37 it leaves out a Service that has no endpoint any more, whose flows then stay.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use anyhow::Context;
use kube_proxy::System;
use kube_proxy::metrics::{Snapshot, names};
use kube_proxy::usage::{self, Usage};
use lab::testbed::{ServiceTarget, Testbed};
use netns_setup::{Conntrack, UdpFlow, guest};
use serde::Deserialize;
use services::service::{Endpoint, Protocol, Service};
use services::service_set::ServiceSet;
use services::unused::Unused;
use workloads::clock::nanoseconds;
use workloads::recorder::Times;
use workloads::sources::Sources;
use workloads::target::Shares;

use super::tracker::{Sign, Tracker};

/// Endpoints that replace others, apart from those of changes and outages.
const FIRST_ENDPOINT: u32 = 100_000 + 600_000 - 10_000;
/// Room in a table for what else the node tracks, beside what it is filled with.
const SPARE: u64 = 10_000;
/// From one packet of the old flow to the next: what can be told apart.
const INTERVAL: Duration = Duration::from_millis(1);
/// Packets that have not come out by then are lost: the kernel carries them before `write(2)` returns.
const TIMEOUT: Duration = Duration::from_millis(1);
/// Packets in a row that arrive nowhere, of which one may be late on a busy machine, that show a flow ended.
const UNANSWERED: usize = 5;
/// How often is looked whether kube-proxy has cleaned up: that takes processor time of its own.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A flow that goes on for so long after the clean-up has not been cleaned up.
const GRACE: Duration = Duration::from_secs(2);
/// Clients of flows that nobody sends packets of, in shared address space (RFC 6598): of other Services, and of the one.
const OTHERS: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);
const OWN: Ipv4Addr = Ipv4Addr::new(100, 96, 0, 0);
/// Flows from one address.
const PORTS: u32 = 50_000;
/// Where the others went, and who answered (RFC 5737, RFC 2544).
const ELSEWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 53), 53);
const ANSWERS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

/// What becomes of the endpoints of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// All are others: packets of old flows should go to them.
    Replaced,
    /// There are none any more: packets of old flows should be refused.
    Lost,
}

/// One of them, in a table of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filled {
    /// What happens.
    pub fate: Fate,
    /// Entries in the table.
    pub entries: u32,
    /// Entries of the Service among them.
    pub own: u32,
}

/// What it came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CleanUp {
    /// From the event to the first packet of an old flow that did not go where its endpoint was, and what the probe could tell
    /// apart, nanoseconds. `None`: packets still went there when the clean-up had ended.
    pub ended: Option<(u64, u64)>,
    /// Entries when the event came.
    pub before: u64,
    /// Entries after the clean-up.
    pub after: u64,
    /// How long it took, by kube-proxy's own metric, nanoseconds.
    pub own: Option<u64>,
    /// Entries that it deleted, by kube-proxy's own metric.
    pub own_deleted: Option<u64>,
    /// Processor time of the process meanwhile, nanoseconds.
    pub cpu: u64,
    /// Memory in use when the event came, bytes.
    pub rss: u64,
    /// Most memory in use since then, bytes.
    pub peak: u64,
}

/// Makes room for so many entries. A machine's limit holds for all of it, so only that of a guest is changed.
///
/// # Errors
/// Why there is no such room here.
pub(super) fn make_room(entries: u32) -> Result<(), String> {
    let wanted = u64::from(entries) + SPARE;
    let limit = Conntrack::limit().map_err(|error| error.to_string())?;
    if limit >= wanted {
        return Ok(());
    }
    if !guest::is_here() {
        return Err(format!(
            "connection tracking holds at most {limit} entries on this machine (nf_conntrack_max), which is for its owner to \
             change: measure it in a guest (kernel = \"guest\")"
        ));
    }
    Conntrack::set_limit(wanted).map_err(|error| error.to_string())
}

/// Fills the table, changes the endpoints of one UDP Service, and sends packets of an old flow until kube-proxy has cleaned up.
/// Afterwards the Services are as before, and the table is empty.
///
/// # Errors
/// If kube-proxy ends, a packet goes wrong, or it has not cleaned up within `limit`.
pub(super) fn measure(system: &mut System, filled: &Filled, limit: Duration) -> anyhow::Result<CleanUp> {
    let before = system.testbed.set.clone();
    let index = before.services().iter().position(|service| fits(service));
    let index = index.context("no UDP Service has an endpoint to lose")?;
    let mut target = system.testbed.service_target(index)?;
    let old = target.answers.clone();
    let mut service = Service::clone(&before.services()[index]);
    let new: Vec<SocketAddrV4> = match filled.fate {
        Fate::Lost => Vec::new(),
        Fate::Replaced => (0..old.len() as u32)
            .map(|number| match Unused::Synthetic.endpoint(FIRST_ENDPOINT + number) {
                IpAddr::V4(address) => Ok(SocketAddrV4::new(address, old[0].port())),
                other @ IpAddr::V6(_) => {
                    anyhow::bail!("the packet probe sends IPv4, not to {other}")
                }
            })
            .collect::<anyhow::Result<_>>()?,
    };
    service
        .set_endpoints(new.iter().map(|&address| Endpoint::ready(SocketAddr::V4(address), false)).collect());
    let sign = match filled.fate {
        Fate::Lost => Sign::ArrivesNoMore { at: old.clone(), sure: UNANSWERED },
        Fate::Replaced => Sign::Arrives(new.clone()),
    };
    target.answers.extend(&new);
    target.answers.sort_unstable();

    system.wait_until_settled(limit)?;
    system.testbed.forget_flows()?;
    let mut flow = OldFlow::new(&mut system.testbed)?;
    let to = before.with_replaced(index, service);
    let found = watch(system, &mut flow, &Case { filled: *filled, target, old, sign, to }, limit);
    flow.finish(&mut system.testbed);
    // Kept short for what comes next, whatever was found.
    system.testbed.forget_flows()?;
    let found = found?;
    system.change(&before)?;
    system.wait_until_settled(limit)?;
    Ok(found)
}

/// Whether packets to a Service show what becomes of its endpoints.
fn fits(service: &Service) -> bool {
    let endpoints = service.routes().internal(service).len();
    let is_plain = service.affinity_seconds.is_none() && service.cluster.is_ipv4();
    service.protocol == Protocol::Udp && endpoints > 0 && is_plain
}

/// One change, and how it shows.
struct Case {
    filled: Filled,
    /// The Service, with all who may answer before and after.
    target: ServiceTarget,
    /// Who answered before.
    old: Vec<SocketAddrV4>,
    sign: Sign,
    to: ServiceSet,
}

fn watch(system: &mut System, flow: &mut OldFlow, case: &Case, limit: Duration) -> anyhow::Result<CleanUp> {
    let Case { filled, target, old, sign, to } = case;
    let (_, first) = flow.send(&mut system.testbed, target)?;
    anyhow::ensure!(first.is_some_and(|at| old.contains(&at)), "the first packet of a flow was lost");
    let entries = fill(filled, target.entry, old);
    let count = system.testbed.lab.node.run(|| -> anyhow::Result<u64> {
        Conntrack::open()?.insert(entries)?;
        Ok(Conntrack::count()?)
    })?;
    let pid = system.process()?.pid();
    usage::forget_peak(pid).context("forget kube-proxy's peak of memory")?;
    let (metrics, used) = look(system)?;
    let mut found = CleanUp { before: count, rss: used.peak_rss, ..CleanUp::default() };

    let changed = system.change(to)?;
    let (mut tracker, mut looked, mut cleaned) = (Tracker::new(sign.clone()), Instant::now(), None);
    let ended = loop {
        let (sent, arrived) = flow.send(&mut system.testbed, target)?;
        if let Some(obeyed) = tracker.see(sent, arrived) {
            break Some(obeyed);
        }
        if looked.elapsed() > LOOK_INTERVAL {
            system.check()?;
            let now = system.process()?.metrics()?;
            looked = Instant::now();
            if cleaned.is_none() && runs(&now) > runs(&metrics) {
                cleaned = Some(looked);
            }
        }
        if cleaned.is_some_and(|at: Instant| at.elapsed() > GRACE) {
            break None;
        }
        if changed.applied.at.elapsed() > limit {
            let lines = system.process()?.log().last_lines();
            anyhow::bail!("kube-proxy has not cleaned up within {limit:?}: {lines}");
        }
    };
    if let Some(obeyed) = ended {
        // That it has arrived is sure, since packets obey.
        let told = system.told(&changed).unwrap_or(changed.applied.at);
        let since = |from: Instant| nanoseconds(obeyed.at.saturating_duration_since(from));
        found.ended = Some((since(told), since(obeyed.before.unwrap_or(told))));
    }
    // The entry of this flow is not the last to go.
    let begun = Instant::now();
    let (after, used_after) = loop {
        let (after, used) = look(system)?;
        if runs(&after) > runs(&metrics) {
            break (after, used);
        }
        anyhow::ensure!(begun.elapsed() < limit, "kube-proxy's clean-up has not ended within {limit:?}");
        std::thread::sleep(LOOK_INTERVAL / 10);
    };
    let change = after.since(&metrics);
    let own = change.histogram(names::CONNTRACK_DURATION, &[]);
    // Families other than this one have nothing to clean up.
    found.own = own.and_then(|own| Some((own.mean()? * own.count() as f64 * 1e9) as u64));
    found.own_deleted = change.counter(names::CONNTRACK_DELETED, &[]).map(|count| count as u64);
    found.cpu = used_after.since(&used).cpu_ns;
    found.peak = used_after.peak_rss;
    found.after = system.testbed.lab.node.run(Conntrack::count)?;
    Ok(found)
}

/// How often it has cleaned up.
fn runs(metrics: &Snapshot) -> u64 {
    metrics.histogram(names::CONNTRACK_DURATION, &[]).map_or(0, |runs| runs.count())
}

fn look(system: &mut System) -> anyhow::Result<(Snapshot, Usage)> {
    system.check()?;
    let process = system.process()?;
    let metrics = process.metrics()?;
    Ok((metrics, process.usage().context("kube-proxy has ended")?))
}

/// Entries of a table: those of the Service, and of others.
fn fill(
    filled: &Filled,
    entry: SocketAddrV4,
    old: &[SocketAddrV4],
) -> impl Iterator<Item = UdpFlow> + Send + use<> {
    let old = old.to_vec();
    let client = |first: Ipv4Addr, number: u32| {
        let address = Ipv4Addr::from(u32::from(first) + 1 + number / PORTS);
        SocketAddrV4::new(address, (1024 + number % PORTS) as u16)
    };
    let own = (0..filled.own).map(move |number| {
        let answered_by = old[number as usize % old.len()];
        UdpFlow { client: client(OWN, number), to: entry, answered_by }
    });
    // With the flow that packets are sent of.
    let others = filled.entries.saturating_sub(filled.own + 1);
    let others = (0..others).map(move |number| {
        let answers = Ipv4Addr::from(u32::from(ANSWERS) + 1 + number % 250);
        UdpFlow {
            client: client(OTHERS, number),
            to: ELSEWHERE,
            answered_by: SocketAddrV4::new(answers, ELSEWHERE.port()),
        }
    });
    own.chain(others)
}

/// Packets of one flow, which for the probe are as many first packets.
struct OldFlow {
    /// The probe's own flows.
    sources: Sources,
    times: Times,
    due: Instant,
}

impl OldFlow {
    fn new(testbed: &mut Testbed) -> anyhow::Result<Self> {
        let probe = testbed.probe();
        probe.set_timeout(TIMEOUT);
        let sources = probe.sources_mut();
        sources.restart();
        let client = sources.next().context("the probe has no flows")?;
        let only = Sources::new(*client.ip(), 32, client.port()..=client.port(), 0)?;
        let sources = std::mem::replace(sources, only);
        Ok(Self { sources, times: Times::new(), due: Instant::now() })
    }

    /// Waits until a packet is due, and sends it. Says when that was, and where it arrived.
    fn send(
        &mut self,
        testbed: &mut Testbed,
        target: &ServiceTarget,
    ) -> anyhow::Result<(Instant, Option<SocketAddrV4>)> {
        let now = Instant::now();
        std::thread::sleep(self.due.saturating_duration_since(now));
        self.due = self.due.max(now) + INTERVAL;
        let targets = [target.for_probe()?];
        let mut shares = Shares::new(&targets);
        let probe = testbed.probe();
        probe.sources_mut().restart();
        let sent = Instant::now();
        let summary = probe.first_packets(&targets, &[0], &mut self.times, Some(&mut shares))?;
        if summary.lost > 0 {
            return Ok((sent, None));
        }
        summary.all_verified()?;
        let index = shares.of(0).iter().position(|count| *count > 0);
        Ok((sent, index.and_then(|index| target.answers.get(index).copied())))
    }

    /// Back to what others expect of the probe.
    fn finish(self, testbed: &mut Testbed) {
        let probe = testbed.probe();
        probe.set_timeout(workloads::probe::TIMEOUT);
        *probe.sources_mut() = self.sources;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

        #[test]
        fn a_table_is_filled_with_different_flows(own in 0_u32..60_000, others in 1_u32..60_000, endpoints in 1_u16..9) {
            let entry: SocketAddrV4 = "10.96.0.10:53".parse().unwrap();
            let old: Vec<_> = (0..endpoints).map(|port| SocketAddrV4::new([10, 192, 0, 1].into(), 53 + port)).collect();
            let filled = Filled { fate: Fate::Lost, entries: own + others, own };
            let flows: Vec<_> = fill(&filled, entry, &old).collect();
            // One more is sent packets of.
            prop_assert_eq!(flows.len() as u32, own + others - 1);
            let different: HashSet<_> = flows.iter().map(|flow| (flow.client, flow.to)).collect();
            prop_assert_eq!(different.len(), flows.len());
            let answered: HashSet<_> = flows.iter().map(|flow| (flow.answered_by, flow.client)).collect();
            prop_assert_eq!(answered.len(), flows.len());
            let to_service = flows.iter().filter(|flow| flow.to == entry);
            prop_assert_eq!(to_service.clone().count() as u32, own);
            prop_assert!(to_service.clone().all(|flow| old.contains(&flow.answered_by)));
        }
    }
}
