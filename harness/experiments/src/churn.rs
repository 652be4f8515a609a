//! Churn: named sequences of changes, synced as kube-proxy's loop would come to them.
//!
//! Changes have a timeline of their own ([`scenario`]); kube-proxy takes them when its rate limit lets it
//! ([`sync_loop`]), all that are due in one sync. Each sync is carried out for real and timed; the time between syncs
//! is not waited for but calculated. What a change waits from its moment until the sync that carries it has ended is its
//! programming latency.

mod rows;
pub mod scenario;
mod section;
pub mod sync_loop;

use std::time::Duration;

use anyhow::Context;
use dataplane::Sync;
use lab::testbed::Testbed;
use services::service::Service;
use services::service_set::ServiceSet;
use workloads::recorder::Times;

use self::scenario::{Change, Edit, Scenario, Timeline};
pub use self::section::Section;
use self::sync_loop::SyncLoop;

/// One sync of a timeline. Nanoseconds since the scenario began; the time between syncs is calculated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    /// When it began.
    pub start: u64,
    /// When it had ended.
    pub end: u64,
    /// Changes that it carried; none: a periodic one.
    pub changes: u32,
    /// Bytes given to programs.
    pub bytes: u64,
}

/// What a scenario came to.
#[derive(Default)]
pub struct Churn {
    /// Its syncs, in order.
    pub syncs: Vec<Synced>,
    /// From each change until the end of the sync that carried it, nanoseconds.
    pub latency: Times,
}

impl Churn {
    /// Time of all syncs together, nanoseconds.
    pub fn busy(&self) -> u64 {
        self.syncs.iter().map(|sync| sync.end - sync.start).sum()
    }

    /// Bytes of all syncs together.
    pub fn bytes(&self) -> u64 {
        self.syncs.iter().map(|sync| sync.bytes).sum()
    }
}

/// Plays a scenario over the Services of `testbed`, which ends in another state than it began in: as the scenario left it.
///
/// # Errors
/// If a sync or a check fails, or all syncs together pass `limit`.
pub fn measure(
    testbed: &mut Testbed,
    scenario: Scenario,
    pods: u32,
    seed: u64,
    limit: Option<Duration>,
) -> anyhow::Result<Churn> {
    let timeline = scenario.timeline(&testbed.set, pods, seed)?;
    let start = edited(&testbed.set, timeline.start.iter());
    sync(testbed, &start, limit).context("preparing the scenario")?;
    let mut churn = Churn::default();
    let mut pace = SyncLoop::of(testbed.mode(), testbed.node().kube_proxy);
    let mut changes = &timeline.changes[..];
    while let Some((begun, due)) = next(&mut pace, changes, timeline.length) {
        let (taken, rest) = changes.split_at(due);
        changes = rest;
        let to = edited(&testbed.set, taken.iter().flat_map(|change| &change.edits));
        let left = limit.map(|limit| limit.saturating_sub(Duration::from_nanos(churn.busy())));
        let (nanoseconds, bytes) = sync(testbed, &to, left)?;
        let ended = begun + Duration::from_nanos(nanoseconds);
        pace.ended(begun, ended);
        taken.iter().for_each(|change| churn.latency.record(as_nanoseconds(ended - change.at)));
        churn.syncs.push(Synced {
            start: as_nanoseconds(begun),
            end: as_nanoseconds(ended),
            changes: taken.len() as u32,
            bytes,
        });
    }
    testbed.verify_counts()?;
    check(testbed, &timeline)?;
    Ok(churn)
}

/// When the next sync begins, and how many of the changes it takes; `None`: there is none to come.
fn next(pace: &mut SyncLoop, changes: &[Change], length: Duration) -> Option<(Duration, usize)> {
    let change = changes.first().map(|change| change.at);
    let begun = pace.next(change).filter(|&begun| change.is_some() || begun <= length)?;
    Some((begun, changes.iter().take_while(|change| change.at <= begun).count()))
}

/// One sync: its time and bytes.
fn sync(testbed: &mut Testbed, to: &ServiceSet, limit: Option<Duration>) -> anyhow::Result<(u64, u64)> {
    let plan = testbed.dataplane.plan(&testbed.set, to, Sync::Partial);
    let applied = testbed.carry_out(&plan, to, limit)?;
    Ok((applied.nanoseconds(), applied.bytes))
}

/// The set after some edits; of two of one Service the later counts.
fn edited<'a>(set: &ServiceSet, edits: impl Iterator<Item = &'a Edit>) -> ServiceSet {
    let mut to = set.clone();
    for edit in edits {
        let Some(service) = to.services().get(edit.service) else { continue };
        let mut service = Service::clone(service);
        service.set_endpoints(edit.endpoints.clone());
        to = to.with_replaced(edit.service, service);
    }
    to
}

/// Packets to the Services that the last changes were about.
fn check(testbed: &mut Testbed, timeline: &Timeline) -> anyhow::Result<()> {
    let last = timeline.changes.iter().rev().flat_map(|change| &change.edits).map(|edit| edit.service);
    let mut services: Vec<usize> = last.take(8).collect();
    services.dedup();
    for index in services {
        if testbed.set.nearest_answering(index) == Some(index) {
            testbed.verify_service(index, 20)?;
        }
    }
    testbed.forget_flows()
}

fn as_nanoseconds(duration: Duration) -> u64 {
    workloads::clock::nanoseconds(duration)
}
