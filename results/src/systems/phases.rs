//! What a sync is made of: of real kube-proxies, and of svcbench's plans beside them.

use super::lane::{At, Systems};
use crate::groups::Group;
use crate::names::{metric, phase, workload};
use crate::record::Record;
use crate::stats::median;

/// What svcbench's own plans are called beside real ones.
pub const PLAN: &str = "plan";

/// Which sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SyncKind {
    /// Everything into an empty kernel: of a node that joins; of a plan the cold sync.
    First,
    /// What a change costs: of a real kube-proxy in the mean over all changes; of a plan an endpoint that is replaced.
    Change,
}

impl SyncKind {
    /// The workload of its rows of real kube-proxies.
    pub const fn workload(self) -> &'static str {
        match self {
            SyncKind::First => workload::KUBE_PROXY_JOIN,
            SyncKind::Change => workload::KUBE_PROXY_CHANGES,
        }
    }

    const fn of_plans(self) -> &'static str {
        match self {
            SyncKind::First => workload::FULL_SYNC_COLD,
            SyncKind::Change => workload::PARTIAL_SYNC_REPLACE_ENDPOINT,
        }
    }
}

/// One part of a sync.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseTime {
    /// One of [`phase::ALL`].
    pub phase: &'static str,
    /// Median over blocks of the blocks' means, in the unit of the lane's clock.
    pub time: f64,
    /// Number of the group of rows behind it.
    pub group: usize,
}

/// A sync and its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncPhases<'a> {
    /// Column `system`; [`PLAN`]: a plan's.
    pub system: &'a str,
    /// Mode.
    pub mode: &'a str,
    /// Services.
    pub services: u32,
    /// In the order of [`phase::ALL`], at least one; those that were not seen are absent.
    pub parts: Vec<PhaseTime>,
}

impl SyncPhases<'_> {
    /// All parts together.
    pub fn whole(&self) -> f64 {
        self.parts.iter().map(|part| part.time).sum()
    }

    /// The time of one part, if it was seen.
    pub fn of(&self, phase: &str) -> Option<&PhaseTime> {
        self.parts.iter().find(|part| part.phase == phase)
    }
}

/// Metrics of each part in rows of real kube-proxies.
const OF_SYSTEMS: [(&str, &str); 5] = [
    (phase::GENERATING, metric::SYNC_OWN_WORK),
    (phase::LISTING, metric::SYNC_LISTING),
    (phase::LOCK_WAIT, metric::SYNC_LOCK_WAIT),
    (phase::WRITING, metric::SYNC_WRITING),
    (phase::OTHER, metric::SYNC_OTHER_PROGRAMS),
];

/// And in rows of plans. What is left of [`metric::APPLY`] is between programs, and counts as [`phase::OTHER`].
const OF_PLANS: [(&str, &[&str]); 4] = [
    (phase::GENERATING, &[metric::GENERATE]),
    (phase::LISTING, &[metric::APPLY_LISTING]),
    (
        phase::WRITING,
        &[metric::APPLY_RESTORE, metric::APPLY_SETS, metric::APPLY_SERVERS, metric::APPLY_ADDRESSES],
    ),
    (
        phase::OTHER,
        &[metric::APPLY_SETUP, metric::APPLY_CANARY, metric::APPLY_JUMPS, metric::APPLY_CONNTRACK],
    ),
];

/// Syncs of one kind whose parts are known, in the order of reports: of each mode and scale at which a real one was measured, the
/// systems and then the plan.
pub fn sync_phases<'a>(systems: &Systems<'a>, kind: SyncKind) -> Vec<SyncPhases<'a>> {
    let mut all: Vec<SyncPhases<'a>> = Vec::new();
    let mut scales: Vec<(&str, u32)> = Vec::new();
    for at in systems.cells(true) {
        all.extend(of_system(systems, kind, at));
        if !scales.contains(&(at.mode, at.services)) {
            scales.push((at.mode, at.services));
        }
    }
    for (mode, services) in scales {
        if all.iter().any(|sync| (sync.mode, sync.services) == (mode, services)) {
            all.extend(of_plan(systems, kind, mode, services));
        }
    }
    all.sort_by_key(|sync| (crate::names::mode_rank(sync.mode), sync.mode, sync.services));
    all
}

fn of_system<'a>(systems: &Systems<'a>, kind: SyncKind, at: At<'a>) -> Option<SyncPhases<'a>> {
    let part = |&(phase, metric): &(&'static str, &'static str)| {
        let group = systems.cell(kind.workload(), metric, &at)?;
        Some(PhaseTime { phase, time: mean(group)?, group: group.number })
    };
    let parts: Vec<PhaseTime> = OF_SYSTEMS.iter().filter_map(part).collect();
    let At { mode, services, system, .. } = at;
    (!parts.is_empty()).then_some(SyncPhases { system, mode, services, parts })
}

fn of_plan<'a>(
    systems: &Systems<'a>,
    kind: SyncKind,
    mode: &'a str,
    services: u32,
) -> Option<SyncPhases<'a>> {
    let at = At { mode, services, system: "", position: "" };
    let cell = |metric: &str| {
        let group = systems.cell(kind.of_plans(), metric, &at)?;
        Some((mean(group)?, group.number))
    };
    let (apply, number) = cell(metric::APPLY)?;
    let mut parts: Vec<PhaseTime> = Vec::new();
    for (phase, metrics) in OF_PLANS {
        let found: Vec<(f64, usize)> = metrics.iter().filter_map(|metric| cell(metric)).collect();
        if let Some((_, group)) = found.first() {
            parts.push(PhaseTime { phase, time: found.iter().map(|(time, _)| time).sum(), group: *group });
        }
    }
    let applied = parts.iter().filter(|part| part.phase != phase::GENERATING).map(|part| part.time);
    let rest = apply - applied.sum::<f64>();
    match parts.iter_mut().find(|part| part.phase == phase::OTHER) {
        Some(other) => other.time += rest.max(0.0),
        None if rest > 0.0 => parts.push(PhaseTime { phase: phase::OTHER, time: rest, group: number }),
        None => {}
    }
    Some(SyncPhases { system: PLAN, mode, services, parts })
}

/// Median over blocks of means: unlike medians, the means of parts together are the mean of the whole.
fn mean(group: &Group<'_>) -> Option<f64> {
    let blocks: Vec<f64> = group.per_block(|row: &Record| row.mean).into_values().collect();
    median(&blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::Groups;
    use crate::record::{CellKey, Clock, Unit};

    fn key(system: &str, workload: &str) -> CellKey {
        CellKey {
            run: "r".into(),
            block: 1,
            order: 1,
            mode: "nftables".into(),
            services: 10,
            endpoints: 3,
            position: "".into(),
            workload: workload.into(),
            contenders: 0,
            clock: Clock::Wall,
            kernel: "k".into(),
            hypervisor: "none".into(),
            system: system.into(),
        }
    }

    #[test]
    fn parts_of_systems_and_of_plans_stand_beside_one_another() {
        let real = key("kube-proxy v1.37.2 sha256:11", workload::KUBE_PROXY_CHANGES);
        let plan = key("", workload::PARTIAL_SYNC_REPLACE_ENDPOINT);
        let rows = [
            real.samples(metric::SYNC_OWN_WORK, Unit::Ns, &[10, 20]),
            real.samples(metric::SYNC_WRITING, Unit::Ns, &[30, 50]),
            plan.scalar(metric::GENERATE, Unit::Ns, 2),
            plan.scalar(metric::APPLY, Unit::Ns, 50),
            plan.scalar(metric::APPLY_RESTORE, Unit::Ns, 30),
            plan.scalar(metric::APPLY_LISTING, Unit::Ns, 15),
        ];
        let groups = Groups::split(&rows);
        let systems = Systems::of(&groups[0]).unwrap();
        let found = sync_phases(&systems, SyncKind::Change);
        let shown = |sync: &SyncPhases<'_>| {
            let parts = sync.parts.iter().map(|part| format!("{} {}", part.phase, part.time));
            format!("{}: {} = {}", sync.system, parts.collect::<Vec<_>>().join(", "), sync.whole())
        };
        assert_eq!(
            found.iter().map(shown).collect::<Vec<_>>(),
            [
                "kube-proxy v1.37.2 sha256:11: generating 15, writing 40 = 55",
                "plan: generating 2, listing 15, writing 30, other programs 5 = 52",
            ]
        );
        assert!(sync_phases(&systems, SyncKind::First).is_empty());
    }
}
