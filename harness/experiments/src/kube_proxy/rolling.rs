//! A rolling update that a real kube-proxy carries out: all pods of one Service are replaced, as a Deployment's controller does
//! it, and the API server says each step when it is due, whether or not packets obey the one before.
//!
//! What happens when is that of `[churn]`'s scenario; here every moment is waited for. Packets go to the Service all the time:
//! when the first that obeys a step was sent, and that none of them arrives afterwards at an endpoint that the step took away.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use anyhow::Context;
use kube_proxy::{Changed, System};
use lab::testbed::ServiceTarget;
use services::service::Service;
use services::service_set::ServiceSet;
use workloads::clock::nanoseconds;

use super::changes::{ChangeKind, SURE, answers};
use super::latency::Sample;
use super::packets::Packets;
use super::tracker::{Sign, Tracker};
use crate::churn::scenario::{Edit, Scenario};

/// How often is looked whether kube-proxy still runs.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Pods of the Service: as many as it has endpoints, but not fewer or more.
const PODS: (usize, usize) = (4, 20);

/// What a rolling update came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rolling {
    /// Steps that packets can show, in the order in which packets obeyed.
    pub samples: Vec<Sample>,
    /// Packets that arrived nowhere.
    pub lost: u64,
    /// Packets that arrived at an endpoint that was gone, after one had shown that it was.
    pub stale: u64,
    /// Packets that were sent.
    pub packets: u64,
}

/// One rolling update of a Service in the middle. The Services end in another state than they began in.
///
/// # Errors
/// If kube-proxy ends, a packet goes wrong, or packets do not obey a step within `limit`.
pub(super) fn measure(system: &mut System, seed: u64, limit: Duration) -> anyhow::Result<Rolling> {
    let before = system.testbed.set.clone();
    let index = choose(&before).context("no Service is there whose pods could be replaced")?;
    let pods = before.services()[index].endpoints().len().clamp(PODS.0, PODS.1);
    let timeline = Scenario::rolling_update_of(&before, index, u32::try_from(pods)?, seed);
    let state = |edits: &[Edit]| {
        let edit = edits.iter().rev().find(|edit| edit.service == index);
        edit.map_or_else(|| before.clone(), |edit| with_endpoints(&before, edit))
    };
    let start = [(Duration::ZERO, state(&timeline.start))];
    let steps: Vec<_> = timeline.changes.iter().map(|change| (change.at, state(&change.edits))).collect();

    let mut everybody = Vec::new();
    for set in std::iter::once(&before).chain(start.iter().chain(&steps).map(|(_, set)| set)) {
        everybody.extend(answers(&set.services()[index])?);
    }
    everybody.sort_unstable();
    everybody.dedup();
    let target = ServiceTarget { answers: everybody, ..system.testbed.service_target(index)? };
    let mut update = Update {
        packets: Packets::new(&mut system.testbed),
        index,
        target,
        limit,
        gone: Vec::new(),
        found: Rolling::default(),
    };
    // Its pods are there before it begins; that is no step of it.
    update.play(system, &start)?;
    update.found = Rolling::default();
    update.play(system, &steps)?;
    let Update { packets, found, .. } = update;
    packets.finish(&mut system.testbed)?;
    Ok(found)
}

/// A Service that packets can be sent to, as near to the middle as there is one behind it, else from the beginning.
fn choose(set: &ServiceSet) -> Option<usize> {
    let fits = |&index: &usize| {
        let service: &Service = &set.services()[index];
        // A client that comes again goes where it was.
        set.answers(index) && service.affinity_seconds.is_none() && service.cluster.is_ipv4()
    };
    (set.len() / 2..set.len()).find(fits).or_else(|| (0..set.len() / 2).find(fits))
}

fn with_endpoints(set: &ServiceSet, edit: &Edit) -> ServiceSet {
    let mut service = Service::clone(&set.services()[edit.service]);
    service.set_endpoints(edit.endpoints.clone());
    set.with_replaced(edit.service, service)
}

/// A step that is under way.
struct Open {
    changed: Changed,
    removed: Vec<SocketAddrV4>,
    tracker: Tracker,
}

struct Update {
    packets: Packets,
    index: usize,
    target: ServiceTarget,
    limit: Duration,
    /// Endpoints that have gone, as packets have shown.
    gone: Vec<SocketAddrV4>,
    found: Rolling,
}

impl Update {
    /// Has the API server say each of these when it is due, and sends packets until they obey all of them and it is sure that
    /// they do.
    fn play(&mut self, system: &mut System, due: &[(Duration, ServiceSet)]) -> anyhow::Result<()> {
        let begun = Instant::now();
        let (mut next, mut looked) = (0, begun);
        let mut open: Vec<Open> = Vec::new();
        let mut more = SURE * self.target.answers.len();
        while next < due.len() || !open.is_empty() || more > 0 {
            if let Some((_, to)) = due.get(next).filter(|(at, _)| begun.elapsed() >= *at) {
                next += 1;
                open.extend(self.step(system, to)?);
            }
            if looked.elapsed() > LOOK_INTERVAL {
                looked = Instant::now();
                system.check()?;
            }
            let (sent, arrived) = self.packets.send(&mut system.testbed, &self.target)?;
            if next == due.len() && open.is_empty() {
                more = more.saturating_sub(1);
            }
            self.see(system, &mut open, sent, arrived)?;
        }
        Ok(())
    }

    /// `None`: packets cannot show it, as when a pod is gone at last that has got none since it began to terminate.
    fn step(&self, system: &mut System, to: &ServiceSet) -> anyhow::Result<Option<Open>> {
        let before = answers(&system.testbed.set.services()[self.index])?;
        let after = answers(&to.services()[self.index])?;
        let changed = system.change(to)?;
        let Some((sign, removed)) = sign(&before, &after) else { return Ok(None) };
        Ok(Some(Open { changed, removed, tracker: Tracker::new(sign) }))
    }

    fn see(
        &mut self,
        system: &mut System,
        open: &mut Vec<Open>,
        sent: Instant,
        arrived: Option<SocketAddrV4>,
    ) -> anyhow::Result<()> {
        self.found.packets += 1;
        self.found.lost += u64::from(arrived.is_none());
        self.found.stale += u64::from(arrived.is_some_and(|at| self.gone.contains(&at)));
        let mut index = 0;
        while let Some(one) = open.get_mut(index) {
            let Some(obeyed) = one.tracker.see(sent, arrived) else {
                if one.changed.applied.at.elapsed() > self.limit {
                    let lines = system.process()?.log().last_lines();
                    let entry = self.target.entry;
                    anyhow::bail!("packets to {entry} did not obey a step within {:?}: {lines}", self.limit);
                }
                index += 1;
                continue;
            };
            let one = open.remove(index);
            let told = system.told(&one.changed).unwrap_or(one.changed.applied.at);
            let since = |earlier: Instant| nanoseconds(obeyed.at.saturating_duration_since(earlier));
            self.found.samples.push(Sample {
                kind: ChangeKind::RollingUpdate,
                latency: since(told),
                resolution: since(obeyed.before.unwrap_or(told)),
                stalled: false,
            });
            self.gone.extend(one.removed);
        }
        Ok(())
    }
}

/// What shows that a step is obeyed, and which endpoints it takes away; `None` if nothing does.
fn sign(before: &[SocketAddrV4], after: &[SocketAddrV4]) -> Option<(Sign, Vec<SocketAddrV4>)> {
    let only = |own: &[SocketAddrV4], other: &[SocketAddrV4]| {
        own.iter().copied().filter(|at| !other.contains(at)).collect::<Vec<_>>()
    };
    let (added, removed) = (only(after, before), only(before, after));
    let sign = match (added.is_empty(), removed.is_empty()) {
        (true, true) => return None,
        // One change of one EndpointSlice: whoever has the new has lost the old.
        (false, _) => Sign::Arrives(added),
        (true, false) => Sign::ArrivesNoMore { at: removed.clone(), sure: SURE * before.len() },
    };
    Some((sign, removed))
}

#[cfg(test)]
mod tests {
    use services::service_set::Scale;

    use super::*;

    fn at(last: u8) -> SocketAddrV4 {
        SocketAddrV4::new([10, 192, 0, last].into(), 80)
    }

    #[test]
    fn a_step_shows_by_who_comes_else_by_who_goes() {
        let (first, second, third) = (at(1), at(2), at(3));
        assert_eq!(sign(&[first, second], &[second, first]), None);
        assert_eq!(sign(&[first, second], &[second, third]), Some((Sign::Arrives(vec![third]), vec![first])));
        let gone = Sign::ArrivesNoMore { at: vec![first], sure: 2 * SURE };
        assert_eq!(sign(&[first, second], &[second]), Some((gone, vec![first])));
    }

    /// Whatever the number of pods, packets can show steps, each old pod goes once, and each new one comes once.
    #[test]
    fn every_pod_is_replaced_in_steps_that_packets_can_show() {
        let set = ServiceSet::synthetic(Scale { services: 5, endpoints: 3 }, 7);
        let index = choose(&set).unwrap();
        for pods in [4, 10, 20] {
            let timeline = Scenario::rolling_update_of(&set, index, pods, 7);
            let state = |edits: &[Edit]| with_endpoints(&set, &edits[0]);
            let mut before = answers(&state(&timeline.start).services()[index]).unwrap();
            let (old, mut came, mut went) = (before.clone(), 0, 0);
            assert_eq!(old.len(), pods as usize);
            for change in &timeline.changes {
                let after = answers(&state(&change.edits).services()[index]).unwrap();
                if let Some((sign, removed)) = sign(&before, &after) {
                    went += removed.len();
                    came += match sign {
                        Sign::Arrives(new) => new.len(),
                        Sign::ArrivesNoMore { .. } => 0,
                    };
                }
                before = after;
            }
            assert_eq!((came, went), (pods as usize, pods as usize));
            assert!(before.iter().all(|at| !old.contains(at)));
        }
    }
}
