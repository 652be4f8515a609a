//! Changes, and what packets show that each is obeyed. Pure, and from a seed.

use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use anyhow::Context;
use lab::testbed::ServiceTarget;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use results::names::workload;
use serde::Deserialize;
use services::service::{Endpoint, Service};
use services::service_set::ServiceSet;
use services::unused::Unused;

use super::tracker::Sign;

/// Endpoints that come at once.
const MANY: u32 = 100;
/// Addresses of new endpoints begin here, above those that single syncs use and below those of churn.
const FIRST_ENDPOINT: u32 = 100_000;
/// They end here, and begin again: by then those that were first are out of use.
const LAST_ENDPOINT: u32 = OUTAGES - 1;
/// Those of outages.
const OUTAGES: u32 = FIRST_ENDPOINT + 600_000 - 2_000;
/// Services that can be added: as many as there are spare ones.
const SPARE_SERVICES: u32 = 250;
/// Chance that a packet misses an endpoint by luck so often that it is taken for gone: e^-14, one in a million.
pub(super) const SURE: usize = 14;
/// Packets in a row without an answer, of which one may be late on a busy machine, that show a Service gone.
const UNANSWERED: usize = 5;

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// One endpoint of one Service is another: a packet arrives at the new one.
    ReplaceEndpoint,
    /// One Service has one endpoint more: a packet arrives at it.
    AddEndpoint,
    /// One Service has one endpoint less: no packet arrives at it any more.
    RemoveEndpoint,
    /// There is one Service more: a packet to it arrives.
    AddService,
    /// There is one Service less: no packet to it arrives.
    RemoveService,
    /// All endpoints of one Service are others, as at the end of a rolling update: a packet arrives at one of them.
    ReplaceAllEndpoints,
    /// All endpoints of one Service go, and 100 others come: a packet arrives at one of them.
    HundredEndpoints,
    /// The pods of one Service are replaced one after another, as a Deployment's controller does it: many changes. Once, however
    /// often the other kinds come.
    RollingUpdate,
}

impl ChangeKind {
    /// The workload's name in rows.
    pub const fn workload(self) -> &'static str {
        match self {
            ChangeKind::ReplaceEndpoint => workload::KUBE_PROXY_REPLACE_ENDPOINT,
            ChangeKind::AddEndpoint => workload::KUBE_PROXY_ADD_ENDPOINT,
            ChangeKind::RemoveEndpoint => workload::KUBE_PROXY_REMOVE_ENDPOINT,
            ChangeKind::AddService => workload::KUBE_PROXY_ADD_SERVICE,
            ChangeKind::RemoveService => workload::KUBE_PROXY_REMOVE_SERVICE,
            ChangeKind::ReplaceAllEndpoints => workload::KUBE_PROXY_REPLACE_ALL_ENDPOINTS,
            ChangeKind::HundredEndpoints => workload::KUBE_PROXY_HUNDRED_ENDPOINTS,
            ChangeKind::RollingUpdate => workload::KUBE_PROXY_ROLLING_UPDATE,
        }
    }

    /// Whether kube-proxy counts it in its own programming latency: an EndpointSlice comes or changes.
    pub const fn is_of_endpoints(self) -> bool {
        !matches!(self, ChangeKind::RemoveService)
    }
}

/// A change that is due.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// What changes.
    pub kind: ChangeKind,
    /// The Services then.
    pub to: ServiceSet,
    /// Where packets go that show it, and who may get them before and after.
    pub target: ServiceTarget,
    /// What they show.
    pub sign: Sign,
}

/// When changes come: each of `kinds` so often, in a random order, with gaps at random between half and one and a half of
/// `gap`.
pub(super) fn schedule(
    kinds: &[ChangeKind],
    repeats: u32,
    gap: Duration,
    seed: u64,
) -> Vec<(Duration, ChangeKind)> {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x6b75_6265_7072_6f78);
    let mut all: Vec<ChangeKind> = kinds.iter().flat_map(|&kind| (0..repeats).map(move |_| kind)).collect();
    all.shuffle(&mut random);
    let mut at = Duration::ZERO;
    let mut due = |kind| {
        at += gap.mul_f64(random.random_range(0.5..1.5));
        (at, kind)
    };
    all.into_iter().map(&mut due).collect()
}

/// Makes changes, none of which comes twice.
pub(super) struct Changes {
    random: ChaCha8Rng,
    endpoints: u32,
    services: u32,
}

impl Changes {
    /// From a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), endpoints: FIRST_ENDPOINT, services: 0 }
    }

    /// For an outage: endpoints of its own, apart from those of changes and of other outages.
    pub(super) fn of_outage(seed: u64, second: bool) -> Self {
        let endpoints = OUTAGES + if second { 1_000 } else { 0 };
        Self { endpoints, ..Self::new(!seed) }
    }

    /// The choices of another part begin, from a seed of its own. Its endpoints are none of those before: a Service that got the
    /// addresses that it has would show nothing.
    pub(super) fn begin(&mut self, seed: u64) {
        self.random = ChaCha8Rng::seed_from_u64(seed);
    }

    /// One more change of `set`, of a Service that none of those under way is about.
    ///
    /// # Errors
    /// If no Service is left for it; or if it is a rolling update, which is more than one change.
    pub(super) fn next(
        &mut self,
        kind: ChangeKind,
        set: &ServiceSet,
        busy: &[SocketAddrV4],
    ) -> anyhow::Result<Change> {
        anyhow::ensure!(kind != ChangeKind::RollingUpdate, "a rolling update is more than one change");
        if kind == ChangeKind::AddService {
            let endpoints = (set.total_endpoints() / set.len().max(1)).clamp(1, 1_000) as u32;
            let service = Unused::Synthetic.service(self.services % SPARE_SERVICES, endpoints);
            self.services += 1;
            let answers = answers(&service)?;
            let target = target(&service, answers.clone())?;
            anyhow::ensure!(
                !busy.contains(&target.entry),
                "more than {SPARE_SERVICES} Services are being added"
            );
            return Ok(Change { kind, to: set.with_added(service), target, sign: Sign::Arrives(answers) });
        }
        let index = self.choose(kind, set, busy)?;
        let mut service = Service::clone(&set.services()[index]);
        let before = answers(&service)?;
        if kind == ChangeKind::RemoveService {
            let target = target(&service, before.clone())?;
            let sign = Sign::ArrivesNoMore { at: before, sure: UNANSWERED };
            return Ok(Change { kind, to: set.without(index), target, sign });
        }
        let old = before[self.random.random_range(0..before.len())];
        let port = old.port();
        let mut endpoints = service.endpoints().to_vec();
        let is_old = |endpoint: &Endpoint| endpoint.address == SocketAddr::V4(old);
        match kind {
            ChangeKind::AddEndpoint => endpoints.push(self.endpoint(port)),
            ChangeKind::RemoveEndpoint => endpoints.retain(|endpoint| !is_old(endpoint)),
            ChangeKind::ReplaceAllEndpoints => {
                endpoints.iter_mut().for_each(|slot| *slot = self.endpoint(port));
            }
            ChangeKind::HundredEndpoints => endpoints = (0..MANY).map(|_| self.endpoint(port)).collect(),
            _ => {
                let new = self.endpoint(port);
                endpoints.iter_mut().filter(|endpoint| is_old(endpoint)).for_each(|slot| *slot = new);
            }
        }
        service.set_endpoints(endpoints);
        let after = if service.endpoints().is_empty() { Vec::new() } else { answers(&service)? };
        let new: Vec<SocketAddrV4> =
            after.iter().copied().filter(|answer| !before.contains(answer)).collect();
        let sign = match kind {
            ChangeKind::RemoveEndpoint => Sign::ArrivesNoMore { at: vec![old], sure: SURE * before.len() },
            _ => {
                anyhow::ensure!(!new.is_empty(), "{} has its new endpoints already", service.display_name());
                Sign::Arrives(new)
            }
        };
        let mut all: Vec<SocketAddrV4> = before.into_iter().chain(after).collect();
        all.sort_unstable();
        all.dedup();
        let target = target(&service, all)?;
        Ok(Change { kind, to: set.with_replaced(index, service), target, sign })
    }

    fn choose(&mut self, kind: ChangeKind, set: &ServiceSet, busy: &[SocketAddrV4]) -> anyhow::Result<usize> {
        let fits = |index: usize| {
            let service = &set.services()[index];
            let endpoints = service.routes().internal(service).len();
            let is_busy = busy.iter().any(|entry| SocketAddr::V4(*entry) == service.cluster);
            // One that loses its last endpoint would be another kind of change.
            let enough = if kind == ChangeKind::RemoveEndpoint { endpoints > 1 } else { endpoints > 0 };
            // A client that comes again goes where it was, and ports of one object go together.
            enough && !is_busy && service.affinity_seconds.is_none() && service.cluster.is_ipv4()
        };
        for _ in 0..64 {
            let start = self.random.random_range(0..set.len().max(1));
            let found = set.nearest_answering(start).filter(|&index| fits(index));
            if let Some(index) = found {
                return Ok(index);
            }
        }
        (0..set.len())
            .find(|&index| set.nearest_answering(index) == Some(index) && fits(index))
            .context("no Service is left that could be changed, and shows it to packets")
    }

    fn endpoint(&mut self, port: u16) -> Endpoint {
        self.endpoints = if self.endpoints == LAST_ENDPOINT { FIRST_ENDPOINT } else { self.endpoints };
        self.endpoints += 1;
        Endpoint::ready(SocketAddr::new(Unused::Synthetic.endpoint(self.endpoints), port), false)
    }
}

/// Who answers for a cluster IP, sorted.
pub(super) fn answers(service: &Service) -> anyhow::Result<Vec<SocketAddrV4>> {
    let routes = service.routes();
    let found = routes.internal(service).iter().map(|endpoint| ipv4(endpoint.address));
    let mut found = found.collect::<anyhow::Result<Vec<_>>>()?;
    found.sort_unstable();
    found.dedup();
    anyhow::ensure!(!found.is_empty(), "nobody answers for {}", service.display_name());
    Ok(found)
}

fn target(service: &Service, answers: Vec<SocketAddrV4>) -> anyhow::Result<ServiceTarget> {
    let (entry, protocol) = (ipv4(service.cluster)?, service.protocol);
    Ok(ServiceTarget { entry, protocol, answers, any_source: false })
}

fn ipv4(address: SocketAddr) -> anyhow::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(address) => anyhow::bail!("the packet probe sends IPv4, not to {address}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use services::service_set::{Diff, Scale};

    use super::*;

    const ALL: [ChangeKind; 7] = [
        ChangeKind::ReplaceEndpoint,
        ChangeKind::AddEndpoint,
        ChangeKind::RemoveEndpoint,
        ChangeKind::AddService,
        ChangeKind::RemoveService,
        ChangeKind::ReplaceAllEndpoints,
        ChangeKind::HundredEndpoints,
    ];

    #[test]
    fn a_seed_fixes_the_schedule() {
        let gap = Duration::from_secs(2);
        let all = schedule(&ALL, 4, gap, 7);
        assert_eq!((all.len(), &all), (28, &schedule(&ALL, 4, gap, 7)));
        assert_ne!(all, schedule(&ALL, 4, gap, 8));
        assert!(ALL.iter().all(|kind| all.iter().filter(|(_, other)| other == kind).count() == 4));
        let mut before = Duration::ZERO;
        for (at, _) in all {
            assert!(at - before >= gap / 2 && at - before < gap * 3 / 2);
            before = at;
        }
    }

    /// A rate after another, with the same choices of Services.
    #[test]
    fn each_part_has_endpoints_of_its_own() {
        let mut set = ServiceSet::synthetic(Scale { services: 3, endpoints: 3 }, 1);
        let mut changes = Changes::new(1);
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            changes.begin(7);
            for _ in 0..20 {
                let change = changes.next(ChangeKind::ReplaceAllEndpoints, &set, &[]).unwrap();
                let Sign::Arrives(at) = change.sign else { unreachable!() };
                assert_eq!(at.len(), 3);
                assert!(at.into_iter().all(|at| seen.insert(at)));
                set = change.to;
            }
        }
    }

    #[test]
    fn addresses_begin_again_before_those_of_outages() {
        let set = ServiceSet::synthetic(Scale { services: 3, endpoints: 3 }, 1);
        let mut changes = Changes { endpoints: LAST_ENDPOINT - 1, ..Changes::new(1) };
        let of_outages = Changes::of_outage(1, false).endpoint(1).address;
        for _ in 0..2 {
            let change = changes.next(ChangeKind::ReplaceAllEndpoints, &set, &[]).unwrap();
            let Sign::Arrives(at) = change.sign else { unreachable!() };
            assert!(at.len() == 3 && at.iter().all(|at| SocketAddr::V4(*at).ip() != of_outages.ip()));
        }
        assert_eq!(changes.endpoints, FIRST_ENDPOINT + 5);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        /// One Service changes, and the sign tells its state before from that after.
        #[test]
        fn a_change_is_one_and_shows(seed: u64, kinds in prop::collection::vec(0..ALL.len(), 1..12)) {
            let mut set = ServiceSet::synthetic(Scale { services: 9, endpoints: 3 }, seed);
            let mut changes = Changes::new(seed);
            for kind in kinds.into_iter().map(|index| ALL[index]) {
                let Ok(change) = changes.next(kind, &set, &[]) else { continue };
                let diff = Diff::between(&set, &change.to);
                prop_assert_eq!(diff.changed.len() + diff.removed.len(), 1, "{:?}", kind);
                let of = |set: &ServiceSet| {
                    let entry = SocketAddr::V4(change.target.entry);
                    let service = set.services().iter().find(|service| service.cluster == entry).cloned();
                    service.map_or(Vec::new(), |service| answers(&service).unwrap_or_default())
                };
                let (before, after) = (of(&set), of(&change.to));
                let may: Vec<_> = before.iter().chain(&after).collect();
                prop_assert!(may.iter().all(|answer| change.target.answers.contains(answer)));
                prop_assert!(change.target.answers.is_sorted_by(|one, next| one < next));
                match &change.sign {
                    Sign::Arrives(at) => {
                        prop_assert!(!at.is_empty());
                        prop_assert!(at.iter().all(|at| after.contains(at) && !before.contains(at)));
                    }
                    Sign::ArrivesNoMore { at, .. } => {
                        prop_assert!(at.iter().all(|at| before.contains(at) && !after.contains(at)));
                    }
                }
                set = change.to;
            }
        }
    }
}
