//! The same figure of both sides, side by side.

use std::collections::BTreeMap;

use crate::groups::{Group, GroupKey, Groups};
use crate::record::Record;
use crate::stats::{Floor, floor, median};

use super::lanes::Platforms;

/// What is compared.
const FIELD: fn(&Record) -> Option<u64> = |row| row.p50;

/// One figure on one side: its groups, by the index of their run.
#[derive(Debug, Default)]
pub(super) struct SideGroups<'a> {
    pub runs: Vec<(usize, &'a Group<'a>)>,
}

/// A block: index of the run among those of its side, `run` as its rows have it, number.
pub(super) type Block<'a> = (usize, &'a str, u32);

impl<'a> SideGroups<'a> {
    /// One value for each block.
    pub(super) fn blocks(&self) -> Vec<(Block<'a>, f64)> {
        let values = |(run, group): &(usize, &'a Group<'a>)| {
            let run = *run;
            group.per_block(FIELD).into_iter().map(move |((name, block), value)| ((run, name, block), value))
        };
        self.runs.iter().flat_map(values).collect()
    }

    /// One value for each run that has one: the median over its blocks.
    pub(super) fn by_run(&self) -> Vec<f64> {
        let value = |(_, group): &(usize, &Group<'_>)| {
            median(&group.per_block(FIELD).into_values().collect::<Vec<_>>())
        };
        self.runs.iter().filter_map(value).collect()
    }

    /// The first failed or skipped row.
    pub(super) fn lost(&self) -> Option<&'a Record> {
        self.runs.iter().find_map(|(_, group)| group.lost.first().copied())
    }

    /// Number of failed and skipped rows.
    pub(super) fn lost_rows(&self) -> usize {
        self.runs.iter().map(|(_, group)| group.lost.len()).sum()
    }

    /// Logarithm of the ratio of the second visits to the first, over all blocks that had two.
    fn repeated(&self) -> Option<f64> {
        let pairs: Vec<f64> = self
            .runs
            .iter()
            .flat_map(|(_, group)| group.pairs(FIELD))
            .filter(|(first, second)| *first > 0.0 && *second > 0.0)
            .map(|(first, second)| second.ln() - first.ln())
            .collect();
        if pairs.is_empty() { None } else { Some(pairs.iter().sum::<f64>() / pairs.len() as f64) }
    }
}

/// One figure: BASE and NEW.
pub(super) type BothSides<'a> = [SideGroups<'a>; 2];

/// All figures of a lane, sorted. `split`: the groups of each run, by side.
pub(super) fn gather<'a>(
    platforms: Platforms<'_>,
    split: [&'a [Vec<Groups<'a>>]; 2],
) -> BTreeMap<GroupKey<'a>, BothSides<'a>> {
    let mut cells: BTreeMap<GroupKey<'a>, BothSides<'a>> = BTreeMap::new();
    for (side, (platform, runs)) in platforms.into_iter().zip(split).enumerate() {
        for (run, lanes) in runs.iter().enumerate() {
            for lane in lanes.iter().filter(|lane| Some(lane.platform) == platform) {
                for (key, group) in &lane.map {
                    cells.entry(*key).or_default()[side].runs.push((run, group));
                }
            }
        }
    }
    cells
}

/// The A/A floor of each workload and metric: the larger of both sides', as shares.
pub(super) fn floors<'a>(
    cells: &BTreeMap<GroupKey<'a>, BothSides<'a>>,
) -> BTreeMap<(&'a str, &'a str), Floor> {
    let mut repeated: BTreeMap<_, [Vec<f64>; 2]> = BTreeMap::new();
    for (key, cell) in cells {
        for (side, found) in cell.iter().enumerate() {
            if let Some(difference) = found.repeated() {
                repeated.entry((key.workload, key.metric)).or_default()[side].push(difference);
            }
        }
    }
    let larger = |sides: [Vec<f64>; 2]| {
        let floors = sides.iter().filter_map(|differences| floor(differences));
        let found = floors.max_by(|a, b| a.difference.total_cmp(&b.difference))?;
        Some(Floor { difference: found.difference.exp_m1(), ..found })
    };
    repeated.into_iter().filter_map(|(key, sides)| Some((key, larger(sides)?))).collect()
}
