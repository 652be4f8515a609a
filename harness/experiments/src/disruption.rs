//! What traffic feels while rules change: an open loop runs through the lab, and meanwhile kube-proxy syncs.

mod change;
mod impact;
mod rows;
mod section;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use dataplane::Sync;
use lab::cores::Cores;
use lab::stop::Stop;
use lab::testbed::Testbed;
use netns_setup::Egress;
use services::service::Protocol;
use services::service_set::{Position, ServiceSet};
use workloads::clock::nanoseconds;
use workloads::load::{self, Destination, Load, Pace, Rhythm};

pub use self::change::{Config, RuleChange};
pub use self::impact::{Bin, Impact, Step, impact_of};
pub use self::section::Section;
use crate::load::{LoadSpec, Running, Serving};

/// Between the end of one sync and the next change, so that each differs from the one before.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a request may take: a SYN that is lost is sent again after 1 s and after 3 s (RFC 6298).
const TIMEOUT: Duration = Duration::from_secs(4);
/// Of the flows, those to the Service that changes: one in so many. The others go to all Services alike.
const TO_CHANGED: usize = 2;
/// Picks of flows before they come again.
const PICKS: usize = 1 << 12;
/// The first spare endpoint that takes the place of another.
const FIRST_UNUSED: u32 = 700_000;
/// Services that may be added: no two at once are the same.
const UNUSED_SERVICES: u32 = 40;

/// What a cell found.
pub struct Disruption {
    /// The load as a whole.
    pub outcome: load::LoadOutcome,
    /// The syncs, in order.
    pub steps: Vec<Step>,
    /// Their impact on the load.
    pub impact: Impact,
}

/// Plays `change` over the Services of `testbed`, while a load runs. The testbed is checked afterwards; an endpoint churn
/// leaves other endpoints than it found.
///
/// # Errors
/// If a sync or a check fails, or the load cannot go on.
pub fn measure(
    testbed: &mut Testbed,
    change: RuleChange,
    config: &Config,
    cores: &Cores,
) -> anyhow::Result<Disruption> {
    let protocol = if config.workload.is_udp() { Protocol::Udp } else { Protocol::Tcp };
    let changed = testbed
        .set
        .index_at(Position::Middle, protocol)
        .with_context(|| format!("no {} Service has an endpoint", protocol.name()))?;
    let changes = plan(testbed, change, changed, config.changes)?;
    let threads = NonZeroU32::MIN;
    let serving = Serving::start(testbed, protocol, threads, cores, None)?;
    // Programs inherit the core of the thread that starts them, and the load needs its own for itself.
    testbed.lab.node.run(|| workloads::clock::pin_to_core(cores.for_sync()))?;
    let found = run(testbed, &changes, changed, protocol, config, cores);
    testbed.lab.node.run(|| cores.unpin());
    serving.stop()?;
    // The checks are made with packet probes.
    testbed.steer(Egress::Tun)?;
    let (outcome, steps, endpoints) = found?;
    ensure!(outcome.counts.is_balanced(), "requests are unaccounted for: {:?}", outcome.counts);
    let impact = impact_of(&outcome.trace, &steps, config.per_second.get(), &endpoints);
    testbed.forget_flows()?;
    testbed.verify_counts()?;
    testbed.verify_traffic()?;
    Ok(Disruption { outcome, steps, impact })
}

/// One sync to come: the set that it leads to, and which endpoints of the loaded Service come and go with it.
struct Change {
    to: ServiceSet,
    added: Vec<SocketAddr>,
    removed: Vec<SocketAddr>,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Partial,
    Resync,
    Restart,
}

fn plan(testbed: &Testbed, change: RuleChange, changed: usize, changes: u32) -> anyhow::Result<Vec<Change>> {
    let mut set = testbed.set.clone();
    let mut all = Vec::new();
    let addresses = |set: &ServiceSet| -> Vec<SocketAddr> {
        set.services()[changed].endpoints().iter().map(|endpoint| endpoint.address).collect()
    };
    let before = addresses(&set);
    // Cells before this one may have left some of them.
    let mut spare = (FIRST_UNUSED..).map(|number| testbed.unused().endpoint(number));
    let mut unused = || spare.find(|address| before.iter().all(|other| other.ip() != *address));
    let same =
        |set: &ServiceSet, kind| Change { to: set.clone(), added: Vec::new(), removed: Vec::new(), kind };
    for number in 0..change.syncs(changes) {
        let change = match change {
            RuleChange::FullSync => same(&set, Kind::Resync),
            RuleChange::Restart => same(&set, Kind::Restart),
            RuleChange::PartialSync | RuleChange::EndpointChurn => {
                // One after another; if there are more changes than endpoints, those that came go again.
                let old = match before.get(number as usize) {
                    Some(&old) => old,
                    None => addresses(&set)[number as usize % before.len()],
                };
                let new = SocketAddr::new(unused().context("no spare address is left")?, old.port());
                let to = set.with_endpoint_exchanged(changed, old, new);
                Change { to, added: vec![new], removed: vec![old], kind: Kind::Partial }
            }
            RuleChange::ServiceChurn => {
                let to = if number % 2 == 0 {
                    let endpoints = (set.total_endpoints() / set.len().max(1)).max(1) as u32;
                    set.with_added(testbed.unused().service(number % UNUSED_SERVICES, endpoints))
                } else {
                    set.without(set.len() - 1)
                };
                Change { to, ..same(&set, Kind::Partial) }
            }
        };
        set = change.to.clone();
        all.push(change);
    }
    Ok(all)
}

/// The load, its syncs, and the endpoints of the Service that changes, as the trace numbers them.
type Ran = (load::LoadOutcome, Vec<Step>, Vec<SocketAddr>);

fn run(
    testbed: &mut Testbed,
    changes: &[Change],
    changed: usize,
    protocol: Protocol,
    config: &Config,
    cores: &Cores,
) -> anyhow::Result<Ran> {
    let (targets, picks) = targets(testbed, changes, changed, protocol, config.seed)?;
    let endpoints = targets[0].endpoints().to_vec();
    // As long as it takes: it is halted when all is done.
    let longest = Duration::from_secs(24 * 3_600);
    let template = Load {
        pace: Pace::Open { per_second: config.per_second, rhythm: Rhythm::Constant },
        duration: longest,
        timeout: TIMEOUT,
        interval: Duration::from_secs(60),
        trace: trace_room(config, changes.len()),
        ..Load::new(config.workload, [])
    };
    let spec = LoadSpec { seed: config.seed, picks: Some(picks), ..LoadSpec::of(template) };
    let halt = Stop::new();
    let running = Running::at(testbed, &spec, targets, cores, &halt)?;
    let began = running.began;
    std::thread::sleep(config.margin + began.saturating_duration_since(Instant::now()));
    let mut steps = Vec::new();
    let synced = changes.iter().enumerate().try_for_each(|(index, change)| {
        if index > 0 {
            std::thread::sleep(PAUSE);
        }
        steps.push(sync(testbed, change, began, config.limit)?);
        anyhow::Ok(())
    });
    std::thread::sleep(config.margin);
    running.halt();
    let outcome = running.finish()?;
    synced?;
    Ok((outcome, steps, endpoints))
}

/// Requests that may be traced: those of the syncs at their limit, or of ten minutes without one.
fn trace_room(config: &Config, syncs: usize) -> usize {
    let each = config.limit.unwrap_or(Duration::from_secs(600)) + PAUSE;
    let seconds = (each * syncs as u32 + 2 * config.margin + TIMEOUT).as_secs_f64();
    (config.per_second.get() as f64 * seconds).min(20e6) as usize
}

fn sync(
    testbed: &mut Testbed,
    change: &Change,
    began: Instant,
    limit: Option<Duration>,
) -> anyhow::Result<Step> {
    let since = |moment: Instant| nanoseconds(moment.saturating_duration_since(began));
    let decided = Instant::now();
    let plan = match change.kind {
        Kind::Partial => testbed.dataplane.plan(&testbed.set, &change.to, Sync::Partial),
        Kind::Restart => testbed.dataplane.plan(&testbed.set, &change.to, Sync::Full),
        Kind::Resync => {
            let plan = testbed.dataplane.resync(&testbed.set);
            plan.context("this mode has no full sync but its first")?
        }
    };
    testbed.carry_out(&plan, &change.to, limit)?;
    Ok(Step {
        decided_ns: since(decided),
        applied_ns: since(Instant::now()),
        bytes: plan.bytes(),
        added: change.added.clone(),
        removed: change.removed.clone(),
    })
}

/// The Service that changes comes first, with all the endpoints that it ever has; then all others.
fn targets(
    testbed: &Testbed,
    changes: &[Change],
    changed: usize,
    protocol: Protocol,
    seed: u64,
) -> anyhow::Result<(Vec<Destination>, Vec<u32>)> {
    let first = testbed.service_target(changed)?.for_load();
    let later = changes.iter().flat_map(|change| &change.added).copied();
    let first = Destination::new(first.to(), first.endpoints().iter().copied().chain(later));
    let others = testbed.destinations_of(protocol)?;
    let to = first.to();
    let others = others.into_iter().filter(|target| target.to() != to);
    let targets: Vec<Destination> = std::iter::once(first).chain(others).collect();
    let count = targets.len().try_into().context("there is a target")?;
    let mut picks = load::Choice::Uniform.picks(count, PICKS, seed);
    picks.iter_mut().step_by(TO_CHANGED).for_each(|pick| *pick = 0);
    Ok((targets, picks))
}
