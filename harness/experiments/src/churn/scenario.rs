//! Scenarios: what happens in a cluster, moment by moment, as changes of endpoints. Pure and from a seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use results::names::workload;
use serde::{Deserialize, Serialize};
use services::addresses::unused_address;
use services::service::{Condition, Endpoint};
use services::service_set::ServiceSet;

/// Addresses of new pods begin here, above those that single syncs use.
const FIRST_POD: u32 = 700_000;
/// From the creation of a pod until it is ready: at least, and at random on top. Milliseconds.
const STARTS: (u64, u64) = (2_000, 2_000);
/// From the deletion of a pod until it is gone; meanwhile it serves and terminates.
const ENDS: (u64, u64) = (1_000, 1_000);
/// `maxSurge` and `maxUnavailable` of a Deployment, percent.
const QUARTER: u32 = 25;
/// Pods that are scheduled in a second while a Deployment grows.
const SCHEDULED_PER_SECOND: u64 = 20;

/// A named sequence of changes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// All pods of one Deployment are replaced, with Kubernetes' default surge and unavailability.
    RollingUpdate,
    /// A node is lost: its pods' endpoints go within a second, and come back elsewhere over a quarter of a minute.
    NodeLoss,
    /// One Deployment grows from one pod.
    ScaleUp,
    /// Nothing changes for five minutes: what is synced all the same.
    Idle,
}

impl Scenario {
    /// The workload's name in rows.
    pub const fn workload(self) -> &'static str {
        match self {
            Scenario::RollingUpdate => workload::CHURN_ROLLING_UPDATE,
            Scenario::NodeLoss => workload::CHURN_NODE_LOSS,
            Scenario::ScaleUp => workload::CHURN_SCALE_UP,
            Scenario::Idle => workload::CHURN_IDLE,
        }
    }

    /// All of them.
    pub const ALL: [Scenario; 4] =
        [Scenario::RollingUpdate, Scenario::NodeLoss, Scenario::ScaleUp, Scenario::Idle];

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Scenario::RollingUpdate => "rolling update",
            Scenario::NodeLoss => "node loss",
            Scenario::ScaleUp => "scale-up from one pod",
            Scenario::Idle => "five idle minutes",
        }
    }

    /// A rolling update of the Service at an index, which has so many pods from the beginning.
    pub fn rolling_update_of(set: &ServiceSet, service: usize, pods: u32, seed: u64) -> Timeline {
        rolling_update(set, service, pods, &mut Scenario::RollingUpdate.random(seed))
    }

    fn random(self, seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed ^ 0xc4a9_1e00 ^ self as u64)
    }

    /// What happens, over these Services and with so many pods.
    ///
    /// # Errors
    /// If no Service has endpoints.
    pub fn timeline(self, set: &ServiceSet, pods: u32, seed: u64) -> anyhow::Result<Timeline> {
        let mut random = self.random(seed);
        let service = set.nearest_answering(set.len() / 2);
        let need = || service.ok_or_else(|| anyhow::anyhow!("no Service has an endpoint that could change"));
        Ok(match self {
            Scenario::RollingUpdate => Self::rolling_update_of(set, need()?, pods, seed),
            Scenario::NodeLoss => {
                need()?;
                node_loss(set, pods, &mut random)
            }
            Scenario::ScaleUp => {
                ensure!(pods > 1, "growing from one pod takes more than one");
                scale_up(set, need()?, pods, &mut random)
            }
            Scenario::Idle => Timeline { length: Duration::from_secs(300), ..Timeline::default() },
        })
    }
}

/// New endpoints of one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Its index in the set.
    pub service: usize,
    /// All that it has from now on.
    pub endpoints: Vec<Endpoint>,
}

/// What happens at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Since the beginning.
    pub at: Duration,
    /// What is other than before.
    pub edits: Vec<Edit>,
}

/// A scenario, spelt out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// What there must be before it begins.
    pub start: Vec<Edit>,
    /// What happens, in the order of time.
    pub changes: Vec<Change>,
    /// How long it lasts at least.
    pub length: Duration,
}

impl Timeline {
    fn ending(start: Vec<Edit>, changes: Vec<Change>) -> Self {
        let length = changes.last().map_or(Duration::ZERO, |change| change.at);
        Self { start, changes, length }
    }
}

/// Target port of a Service's pods, and pods by number.
fn pod(set: &ServiceSet, service: usize, number: u32) -> Endpoint {
    let endpoints = set.services()[service].endpoints();
    let port = endpoints.first().map_or(80, |endpoint| endpoint.address.port());
    Endpoint::ready(SocketAddr::new(unused_address(FIRST_POD + number), port), false)
}

fn within((least, spread): (u64, u64), random: &mut ChaCha8Rng) -> u64 {
    least + random.random_range(0..=spread)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ready(u32),
    Gone(u32),
}

/// The Deployment controller: new pods as long as there are at most a quarter too many, old ones deleted as long as at
/// most a quarter of the wanted number is missing.
fn rolling_update(set: &ServiceSet, service: usize, pods: u32, random: &mut ChaCha8Rng) -> Timeline {
    // Rounded up and down, as the controller does it (ResolveFenceposts).
    let surge = (pods * QUARTER).div_ceil(100).max(1);
    let unavailable = pods * QUARTER / 100;
    let mut endpoints: BTreeMap<u32, Endpoint> =
        (0..pods).map(|number| (number, pod(set, service, number))).collect();
    let start = vec![Edit { service, endpoints: endpoints.values().copied().collect() }];
    let mut events = BinaryHeap::new();
    let (mut created, mut ready, mut old, mut next_old) = (0, 0, pods, 0);
    let mut changes: Vec<Change> = Vec::new();
    let mut now = 0;
    loop {
        let before = endpoints.clone();
        // What terminates is counted neither as there nor as available.
        while created < pods && old + created < pods + surge {
            events.push(Reverse((now + within(STARTS, random), Event::Ready(pods + created))));
            created += 1;
        }
        while old > 0 && old + ready > pods - unavailable {
            if let Some(endpoint) = endpoints.get_mut(&next_old) {
                endpoint.condition = Condition::Terminating;
            }
            events.push(Reverse((now + within(ENDS, random), Event::Gone(next_old))));
            (old, next_old) = (old - 1, next_old + 1);
        }
        note(&mut changes, now, service, &before, &endpoints);
        let Some(Reverse((at, event))) = events.pop() else { break };
        now = at;
        let before = endpoints.clone();
        match event {
            Event::Ready(number) => {
                endpoints.insert(number, pod(set, service, number));
                ready += 1;
            }
            Event::Gone(number) => drop(endpoints.remove(&number)),
        }
        note(&mut changes, now, service, &before, &endpoints);
    }
    Timeline::ending(start, changes)
}

/// One change for all that happens at a moment.
fn note(
    changes: &mut Vec<Change>,
    at: u64,
    service: usize,
    before: &BTreeMap<u32, Endpoint>,
    after: &BTreeMap<u32, Endpoint>,
) {
    if before == after {
        return;
    }
    let at = Duration::from_millis(at);
    let edits = vec![Edit { service, endpoints: after.values().copied().collect() }];
    match changes.last_mut().filter(|last| last.at == at) {
        Some(last) => last.edits = edits,
        None => changes.push(Change { at, edits }),
    }
}

fn node_loss(set: &ServiceSet, pods: u32, random: &mut ChaCha8Rng) -> Timeline {
    let mut all: Vec<(usize, usize)> = (0..set.len())
        .flat_map(|service| (0..set.services()[service].endpoints().len()).map(move |index| (service, index)))
        .collect();
    all.shuffle(random);
    all.truncate(pods as usize);
    // (moment, Service, endpoint before or after)
    let mut moments: Vec<(u64, usize, Endpoint, bool)> = Vec::new();
    for (number, &(service, index)) in all.iter().enumerate() {
        let lost = set.services()[service].endpoints()[index];
        moments.push((random.random_range(0..1_000), service, lost, false));
        moments.push((within((5_000, 10_000), random), service, pod(set, service, number as u32), true));
    }
    moments.sort_by_key(|(at, service, endpoint, _)| (*at, *service, endpoint.address));
    let mut now: BTreeMap<usize, Vec<Endpoint>> = BTreeMap::new();
    let mut changes: Vec<Change> = Vec::new();
    for (at, service, endpoint, comes) in moments {
        let endpoints = now.entry(service).or_insert_with(|| set.services()[service].endpoints().to_vec());
        match comes {
            true => endpoints.push(endpoint),
            false => endpoints.retain(|other| other.address != endpoint.address),
        }
        let edit = Edit { service, endpoints: endpoints.clone() };
        let at = Duration::from_millis(at);
        match changes.last_mut().filter(|last| last.at == at) {
            Some(last) => last.edits.push(edit),
            None => changes.push(Change { at, edits: vec![edit] }),
        }
    }
    Timeline::ending(Vec::new(), changes)
}

fn scale_up(set: &ServiceSet, service: usize, pods: u32, random: &mut ChaCha8Rng) -> Timeline {
    let mut endpoints = vec![pod(set, service, 0)];
    let start = vec![Edit { service, endpoints: endpoints.clone() }];
    let mut moments: Vec<(u64, u32)> = (1..pods)
        .map(|number| (u64::from(number - 1) * 1_000 / SCHEDULED_PER_SECOND + within(STARTS, random), number))
        .collect();
    moments.sort_unstable();
    let mut changes: Vec<Change> = Vec::new();
    for (at, number) in moments {
        endpoints.push(pod(set, service, number));
        let edits = vec![Edit { service, endpoints: endpoints.clone() }];
        let at = Duration::from_millis(at);
        match changes.last_mut().filter(|last| last.at == at) {
            Some(last) => last.edits = edits,
            None => changes.push(Change { at, edits }),
        }
    }
    Timeline::ending(start, changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use services::service_set::Scale;

    fn set() -> ServiceSet {
        ServiceSet::synthetic(Scale { services: 20, endpoints: 5 }, 1)
    }

    fn timeline(scenario: Scenario, pods: u32) -> Timeline {
        let timeline = scenario.timeline(&set(), pods, 7).unwrap();
        assert_eq!(timeline, scenario.timeline(&set(), pods, 7).unwrap(), "the seed fixes it");
        assert!(timeline.changes.is_sorted_by(|one, next| one.at < next.at));
        timeline
    }

    #[test]
    fn a_rolling_update_replaces_every_pod_and_never_lacks_more_than_a_quarter() {
        for pods in [1, 3, 10, 100] {
            let timeline = timeline(Scenario::RollingUpdate, pods);
            let old: Vec<_> = timeline.start[0].endpoints.iter().map(|endpoint| endpoint.address).collect();
            let last = &timeline.changes.last().unwrap().edits[0].endpoints;
            assert_eq!(last.len(), pods as usize);
            assert!(last.iter().all(|e| !old.contains(&e.address) && e.condition == Condition::Ready));
            for change in &timeline.changes {
                let endpoints = &change.edits[0].endpoints;
                let ready = endpoints.iter().filter(|e| e.condition == Condition::Ready).count() as u32;
                assert!(ready >= pods - pods / 4, "{ready} of {pods} are ready at {:?}", change.at);
                assert!(ready <= pods + pods.div_ceil(4).max(1), "{ready} of {pods} at {:?}", change.at);
            }
        }
    }

    #[test]
    fn a_lost_node_takes_its_endpoints_and_they_come_back() {
        let timeline = timeline(Scenario::NodeLoss, 30);
        let mut now: Vec<usize> = set().services().iter().map(|service| service.endpoints().len()).collect();
        let mut fewest = 100;
        for change in &timeline.changes {
            change.edits.iter().for_each(|edit| now[edit.service] = edit.endpoints.len());
            fewest = fewest.min(now.iter().sum());
        }
        assert_eq!((fewest, now.iter().sum::<usize>()), (70, 100));
    }

    #[test]
    fn a_deployment_grows_from_one_pod() {
        let timeline = timeline(Scenario::ScaleUp, 1_000);
        assert_eq!(timeline.start[0].endpoints.len(), 1);
        assert_eq!(timeline.changes.last().unwrap().edits[0].endpoints.len(), 1_000);
        assert!(timeline.length > Duration::from_secs(50), "{:?}", timeline.length);
        let growing = |pair: &[Change]| pair[0].edits[0].endpoints.len() < pair[1].edits[0].endpoints.len();
        assert!(timeline.changes.windows(2).all(growing));
    }

    #[test]
    fn idle_minutes_change_nothing() {
        assert!(timeline(Scenario::Idle, 1).changes.is_empty());
    }
}
