//! One metric by mode and scale, and what it differs by although nothing differs.

use std::collections::{BTreeMap, BTreeSet};

use crate::crossover::Curve;
use crate::groups::{Group, GroupKey, Groups};
use crate::names::is_control;
use crate::record::Record;
use crate::stats::{floor, median};

/// One figure of all modes at one number of endpoints.
pub(crate) struct Curves<'a> {
    /// By mode, controls first.
    pub modes: Vec<(&'a str, Curve<'a>)>,
    /// Endpoints per Service.
    pub endpoints: u32,
    /// By what share each cell that was visited twice in one block differs, in the median over blocks.
    pub repeats: Vec<f64>,
}

impl<'a> Curves<'a> {
    /// Of the rows of one workload, metric and position: those with the number of endpoints that has most cells, the larger on a
    /// tie. None where nothing was measured.
    pub(crate) fn of(
        groups: &'a Groups<'a>,
        workload: &'a str,
        metric: &'a str,
        position: &str,
        field: fn(&Record) -> Option<u64>,
    ) -> Option<Self> {
        let all = |(key, group): &(&GroupKey<'a>, &Group<'a>)| {
            key.position == position && !group.measured.is_empty()
        };
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for (key, _) in groups.of(workload, metric).filter(all) {
            *counts.entry(key.endpoints).or_default() += usize::from(!is_control(key.mode));
        }
        let (endpoints, _) = counts.into_iter().max_by_key(|(endpoints, count)| (*count, *endpoints))?;
        let mut modes: Vec<(&'a str, Curve<'a>)> = Vec::new();
        let mut repeats = Vec::new();
        for (key, group) in groups.of(workload, metric).filter(all) {
            if key.endpoints != endpoints && !is_control(key.mode) {
                continue;
            }
            let blocks = group.per_block(field);
            if blocks.is_empty() {
                continue;
            }
            repeats.extend(repeated(group, field));
            match modes.last_mut().filter(|(mode, _)| *mode == key.mode) {
                Some((_, curve)) => drop(curve.insert(key.services, blocks)),
                None => modes.push((key.mode, Curve::from([(key.services, blocks)]))),
            }
        }
        Some(Curves { modes, endpoints, repeats })
    }

    pub(crate) fn get(&self, mode: &str) -> Option<&Curve<'a>> {
        self.modes.iter().find(|(name, _)| *name == mode).map(|(_, curve)| curve)
    }

    /// The modes that are asked for.
    pub(crate) fn keep(mut self, wanted: impl Fn(&str) -> bool) -> Self {
        self.modes.retain(|(mode, _)| wanted(mode));
        self
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.modes.iter().map(|(mode, _)| (*mode).to_owned()).collect()
    }

    /// Every scale at which one of them was measured.
    pub(crate) fn scales(&self) -> Vec<u32> {
        let all: BTreeSet<u32> = self.modes.iter().flat_map(|(_, curve)| curve.keys().copied()).collect();
        all.into_iter().collect()
    }

    /// What figures differ by although nothing differs (A/A), as a share: what cells visited twice in one block do
    /// ([`crate::stats::floor`]), or a control does between scales, whichever is more; medians over blocks. With no Services in its
    /// way a control is measured under the same conditions again and again.
    pub(crate) fn floor(&self) -> f64 {
        let controls = self.modes.iter().filter(|(mode, _)| is_control(mode));
        let spread = controls.filter_map(|(_, curve)| {
            let medians: Vec<f64> = curve.values().filter_map(middle).collect();
            let low = medians.iter().copied().fold(f64::INFINITY, f64::min);
            let high = medians.iter().copied().fold(0.0, f64::max);
            (low > 0.0 && low.is_finite()).then_some(high / low - 1.0)
        });
        spread.fold(floor(&self.repeats).map_or(0.0, |floor| floor.difference), f64::max)
    }
}

/// By what share the two visits of an A/A pair differ, in the median over blocks.
fn repeated(group: &Group<'_>, field: fn(&Record) -> Option<u64>) -> Option<f64> {
    let shares: Vec<f64> = group
        .pairs(field)
        .into_iter()
        .filter(|(one, other)| one.min(*other) > 0.0)
        .map(|(one, other)| one.max(other) / one.min(other) - 1.0)
        .collect();
    median(&shares)
}

pub(crate) fn values(blocks: &BTreeMap<(&str, u32), f64>) -> Vec<f64> {
    blocks.values().copied().collect()
}

/// Median over blocks.
pub(crate) fn middle(blocks: &BTreeMap<(&str, u32), f64>) -> Option<f64> {
    median(&values(blocks))
}

/// Medians over blocks by scale.
pub(crate) fn medians(curve: &Curve<'_>) -> Vec<(u32, f64)> {
    curve.iter().filter_map(|(services, blocks)| Some((*services, middle(blocks)?))).collect()
}
