//! Modes in the order of what one thing costs in each, at one scale.

use std::collections::{BTreeMap, BTreeSet};

use crate::groups::{Group, GroupKey, Groups};
use crate::names::{PROXY_MODES, is_kube_proxy, position};
use crate::record::{Record, Unit};
use crate::stats::{Estimate, Medians};

/// Fewer blocks than this rank nothing. Of two modes that do not differ, five blocks each lie apart without any overlap by
/// chance once in 126 times, three blocks once in 10.
pub const ENOUGH_BLOCKS: usize = 5;

/// Modes whose medians are this close are called alike, whatever their intervals say: nobody should choose by less.
pub const ALIKE: f64 = 0.1;

/// What is compared. Less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Criterion {
    pub workload: &'static str,
    pub metric: &'static str,
    /// What it is, at the beginning of a sentence.
    pub words: &'static str,
    /// What it does, in the middle of one.
    pub verb: &'static str,
}

/// One mode's figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RankedMode<'a> {
    pub mode: &'a str,
    pub estimate: Estimate,
    pub group: usize,
}

/// What a ranking says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Standing<'a> {
    /// No mode was measured.
    Unmeasured,
    /// One mode was.
    Single(&'a str),
    /// Some figure has too few blocks: so many.
    Few(usize),
    /// No mode is shown to be more expensive than the cheapest.
    Alike,
    /// These are the cheapest, or not shown to be more expensive; at least one other is.
    Best(Vec<&'a str>),
}

/// Where cells are alike but for the mode: position, endpoints, contenders.
type Shape<'a> = (usize, &'a str, u32, u32);

/// Modes at one scale, the cheapest first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ranking<'a> {
    pub criterion: Criterion,
    pub position: &'a str,
    pub endpoints: u32,
    pub contenders: u32,
    pub services: u32,
    pub entries: Vec<RankedMode<'a>>,
    /// Every scale at which all of these modes were measured, ascending.
    pub scales: Vec<u32>,
}

/// Positions in the order in which they stand for a lookup.
const HEADLINES: [&str; 5] =
    [position::LAST, position::NONE, position::UNIFORM, position::MIDDLE, position::FIRST];

/// What can be chosen: kube-proxy has no batched IPVS.
pub(super) fn choices() -> impl Iterator<Item = &'static str> {
    PROXY_MODES.into_iter().filter(|mode| is_kube_proxy(mode))
}

impl<'a> Ranking<'a> {
    /// At the largest scale of those at which most modes were measured. None if no mode was measured.
    pub(super) fn of(groups: &'a Groups<'a>, criterion: Criterion, medians: &mut Medians) -> Option<Self> {
        Self::by(groups, criterion, medians, |row| row.p50)
    }

    /// The same by another quantile.
    pub(super) fn by(
        groups: &'a Groups<'a>,
        criterion: Criterion,
        medians: &mut Medians,
        field: fn(&Record) -> Option<u64>,
    ) -> Option<Self> {
        let mut shapes: BTreeMap<Shape<'_>, BTreeMap<u32, BTreeSet<&str>>> = BTreeMap::new();
        for (key, group) in measured(groups, criterion) {
            let Some(shape) = shape(key) else { continue };
            if group.measured.iter().any(|row| field(row).is_some()) {
                shapes.entry(shape).or_default().entry(key.services).or_default().insert(key.mode);
            }
        }
        let most = |scales: &BTreeMap<u32, BTreeSet<&str>>| scales.values().map(BTreeSet::len).max();
        // Most modes, then the position that stands for lookups, then most scales, endpoints and contenders.
        let (shape, scales) =
            shapes.into_iter().max_by_key(|((rank, _, endpoints, contenders), scales)| {
                (most(scales), std::cmp::Reverse(*rank), scales.len(), *endpoints, *contenders)
            })?;
        let count = most(&scales)?;
        let (services, modes) =
            scales.iter().rev().find(|(_, modes)| modes.len() == count).map(|(n, modes)| (*n, modes))?;
        let scales = scales.iter().filter(|(_, at)| at.is_superset(modes)).map(|(n, _)| *n).collect();
        let (_, position, endpoints, contenders) = shape;
        let mut ranking =
            Ranking { criterion, position, endpoints, contenders, services, entries: Vec::new(), scales };
        ranking.entries = ranking.at(groups, services, medians, field);
        (!ranking.entries.is_empty()).then_some(ranking)
    }

    /// The figures at one of `scales`, the cheapest first.
    pub(super) fn at(
        &self,
        groups: &'a Groups<'a>,
        services: u32,
        medians: &mut Medians,
        field: fn(&Record) -> Option<u64>,
    ) -> Vec<RankedMode<'a>> {
        let mut entries: Vec<RankedMode<'_>> = measured(groups, self.criterion)
            .filter(|(key, _)| {
                key.services == services
                    && (key.position, key.endpoints, key.contenders)
                        == (self.position, self.endpoints, self.contenders)
            })
            .filter_map(|(key, group)| {
                let estimate = group.estimate(medians, field)?;
                Some(RankedMode { mode: key.mode, estimate, group: group.number })
            })
            .collect();
        entries.sort_by(|a, b| a.estimate.median.total_cmp(&b.estimate.median));
        entries
    }

    pub(super) fn standing(&self) -> Standing<'a> {
        match self.entries.as_slice() {
            [] => Standing::Unmeasured,
            [one] => Standing::Single(one.mode),
            entries => standing(entries),
        }
    }

    /// The first that is shown to be more expensive than the cheapest or, with few blocks, seems to be.
    pub(super) fn next(&self) -> Option<&RankedMode<'a>> {
        let best = self.entries.first()?;
        self.entries.iter().find(|entry| !alike(best, entry))
    }

    /// Whether what was seen, if it were true, would be a reason to choose another mode than these.
    pub(super) fn points_elsewhere(&self, chosen: &[&str]) -> bool {
        let Some(best) = self.entries.first() else { return false };
        !self.entries.iter().any(|entry| chosen.contains(&entry.mode) && alike(best, entry))
    }
}

pub(super) fn standing<'a>(entries: &[RankedMode<'a>]) -> Standing<'a> {
    let Some(best) = entries.first() else { return Standing::Unmeasured };
    let few = entries.iter().map(|entry| entry.estimate.n).min().filter(|n| *n < ENOUGH_BLOCKS);
    if let Some(few) = few {
        return Standing::Few(few);
    }
    let level: Vec<&str> =
        entries.iter().filter(|entry| alike(best, entry)).map(|entry| entry.mode).collect();
    if level.len() == entries.len() { Standing::Alike } else { Standing::Best(level) }
}

/// Whether the second is not shown to be more expensive than the first in any way that matters: it is within a tenth, or the
/// intervals overlap. That two 95% intervals do not overlap asks for more than that the interval of a difference excludes zero.
pub(super) fn alike(best: &RankedMode<'_>, other: &RankedMode<'_>) -> bool {
    let (best, other) = (best.estimate, other.estimate);
    if other.median <= best.median * (1.0 + ALIKE) {
        return true;
    }
    match (best.interval, other.interval) {
        (Some(best), Some(other)) => other.low <= best.high,
        _ => false,
    }
}

fn measured<'a>(
    groups: &'a Groups<'a>,
    criterion: Criterion,
) -> impl Iterator<Item = (&'a GroupKey<'a>, &'a Group<'a>)> {
    groups.of(criterion.workload, criterion.metric).filter(|(key, group)| {
        key.unit == Unit::Ns && key.services > 0 && !group.measured.is_empty() && is_kube_proxy(key.mode)
    })
}

fn shape<'a>(key: &GroupKey<'a>) -> Option<Shape<'a>> {
    let rank = HEADLINES.iter().position(|name| *name == key.position)?;
    Some((rank, key.position, key.endpoints, key.contenders))
}
