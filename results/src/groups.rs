//! Rows gathered: what was measured alike, block by block.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{mode_rank, position};
use crate::platform::Platform;
use crate::record::{Record, Status, Unit};
use crate::stats::{Estimate, Medians};
use crate::text::{Quantity, thousands};

/// Everything that makes rows of different blocks alike; sorts as tables are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey<'a> {
    /// Workload.
    pub workload: &'a str,
    /// Metric.
    pub metric: &'a str,
    /// Unit of the figures.
    pub unit: Unit,
    rank: usize,
    /// Mode; controls sort first.
    pub mode: &'a str,
    /// Endpoints per Service.
    pub endpoints: u32,
    /// Contenders for the lock.
    pub contenders: u32,
    position_rank: usize,
    /// Position of the Service looked up.
    pub position: &'a str,
    /// Services installed.
    pub services: u32,
    /// See [`CellKey::system`](crate::record::CellKey::system).
    pub system: &'a str,
}

/// The rows of one key.
#[derive(Debug, Default, Clone)]
pub struct Group<'a> {
    /// Its number among the groups of all platforms, in their order: reports address its rows by it.
    pub number: usize,
    /// Measured rows, in file order.
    pub measured: Vec<&'a Record>,
    /// Failed and skipped rows, in file order.
    pub lost: Vec<&'a Record>,
    /// Where each of `measured` is among all rows, from 0.
    pub measured_at: Vec<usize>,
    /// Where each of `lost` is among all rows, from 0.
    pub lost_at: Vec<usize>,
}

impl Group<'_> {
    /// One value per block: the median of `field` over the block's rows.
    pub fn per_block(&self, field: fn(&Record) -> Option<u64>) -> BTreeMap<(&str, u32), f64> {
        let rows = self.measured.iter();
        let mut values: Vec<_> = rows
            .filter_map(|row| Some(((row.cell.run.as_str(), row.cell.block), field(row)? as f64)))
            .collect();
        // Blocks stand one after another in the file: this is quick.
        values.sort_by_key(|(block, _)| *block);
        let blocks = values.chunk_by(|(one, _), (next, _)| one == next);
        let median = |rows: &[((_, _), f64)]| match rows {
            [only] => Some(*only),
            [first, ..] => {
                let values: Vec<f64> = rows.iter().map(|(_, value)| *value).collect();
                Some((first.0, crate::stats::median(&values)?))
            }
            [] => None,
        };
        blocks.filter_map(median).collect()
    }

    /// Blocks in which the cell was visited more than once, as A/A pairs are: `field` at the first two visits.
    pub fn pairs(&self, field: fn(&Record) -> Option<u64>) -> Vec<(f64, f64)> {
        let mut visits: BTreeMap<_, BTreeMap<u32, Vec<f64>>> = BTreeMap::new();
        for row in &self.measured {
            let visit = visits
                .entry((row.cell.run.as_str(), row.cell.block))
                .or_default()
                .entry(row.cell.order)
                .or_default();
            visit.extend(field(row).map(|value| value as f64));
        }
        let pair = |visits: BTreeMap<u32, Vec<f64>>| {
            let mut values = visits.into_values().filter_map(|values| crate::stats::median(&values));
            values.next().zip(values.next())
        };
        visits.into_values().filter_map(pair).collect()
    }

    /// Median of `field` over blocks, with its interval.
    pub fn estimate(&self, medians: &mut Medians, field: fn(&Record) -> Option<u64>) -> Option<Estimate> {
        let values: Vec<f64> = self.per_block(field).into_values().collect();
        medians.estimate(&values)
    }
}

/// More groups than this cannot be read on a page,
const MOST_GROUPS: usize = 10_000;
/// nor more numbers of Services than this in a figure.
const MOST_SCALES: usize = 200;

/// What a page shows of groups that are too many to read.
#[derive(Debug)]
pub struct Thinned<'a> {
    /// The groups of some numbers of Services.
    pub groups: Groups<'a>,
    /// Says so.
    pub remark: String,
}

/// All groups of one platform.
#[derive(Debug)]
pub struct Groups<'a> {
    /// Clock, kernel and hypervisor.
    pub platform: Platform<'a>,
    /// The groups, sorted.
    pub map: BTreeMap<GroupKey<'a>, Group<'a>>,
}

impl<'a> Groups<'a> {
    /// Splits `records` by platform: the wall clock before instructions, then the platform with the most rows first.
    pub fn split(records: &'a [Record]) -> Vec<Groups<'a>> {
        let mut platforms: BTreeMap<Platform<'a>, (usize, BTreeMap<GroupKey<'a>, Group<'a>>)> =
            BTreeMap::new();
        for (index, row) in records.iter().enumerate() {
            let (count, map) = platforms.entry(Platform::of(row)).or_default();
            *count += 1;
            let group = map.entry(key(row)).or_default();
            let (rows, places) = match row.status {
                Status::Ok => (&mut group.measured, &mut group.measured_at),
                Status::Failed | Status::Skipped => (&mut group.lost, &mut group.lost_at),
            };
            rows.push(row);
            places.push(index);
        }
        let mut split: Vec<_> = platforms.into_iter().collect();
        split.sort_by_key(|(platform, (count, _))| (platform.clock, std::cmp::Reverse(*count)));
        let mut split: Vec<_> =
            split.into_iter().map(|(platform, (_, map))| Groups { platform, map }).collect();
        let groups = split.iter_mut().flat_map(|groups| groups.map.values_mut());
        groups.enumerate().for_each(|(number, group)| group.number = number);
        split
    }

    /// The groups of one workload and metric, sorted.
    pub fn of<'s>(
        &'s self,
        workload: &'s str,
        metric: &'s str,
    ) -> impl Iterator<Item = (&'s GroupKey<'s>, &'s Group<'s>)> + Clone {
        // Shortens the map's lifetime to that of the names looked for.
        let map: &'s BTreeMap<GroupKey<'s>, Group<'s>> = &self.map;
        let start = GroupKey {
            workload,
            metric,
            unit: Unit::Ns,
            rank: 0,
            mode: "",
            endpoints: 0,
            contenders: 0,
            position_rank: 0,
            position: "",
            services: 0,
            system: "",
        };
        map.range(start..).take_while(move |(key, _)| key.workload == workload && key.metric == metric)
    }

    /// The groups of fewer numbers of Services, evenly spread over those that were measured, the smallest and the largest among
    /// them; None if all can be read.
    pub fn thinned(&self) -> Option<Thinned<'a>> {
        let scales: BTreeSet<u32> = self.map.keys().map(|key| key.services).collect();
        let readable = scales.len() * MOST_GROUPS / self.map.len().max(MOST_GROUPS);
        let most = readable.clamp(2, MOST_SCALES);
        let last = scales.len().checked_sub(1).filter(|last| *last >= most)?;
        let places: BTreeSet<usize> = (0..most).map(|index| index * last / (most - 1)).collect();
        let shown: BTreeSet<u32> = scales
            .iter()
            .enumerate()
            .filter(|(place, _)| places.contains(place))
            .map(|(_, scale)| *scale)
            .collect();
        let groups = self.map.iter().filter(|(key, _)| shown.contains(&key.services));
        let map = groups.map(|(key, group)| (*key, group.clone())).collect();
        let remark = format!(
            "Measured at {} different numbers of Services, more than can be read: figures and tables show {} of them, evenly \
             spread, the smallest and the largest among them. Slopes are of all; every row is in records.csv.",
            thousands(scales.len() as u64),
            thousands(most as u64)
        );
        Some(Thinned { groups: Groups { platform: self.platform, map }, remark })
    }

    /// The number of the first group of one workload and metric, which stands for all of them; None if there is none.
    pub fn first_of(&self, workload: &str, metric: &str) -> Option<usize> {
        self.of(workload, metric).next().map(|(_, group)| group.number)
    }

    /// How figures of `unit` are shown in this platform.
    pub fn quantity(&self, unit: Unit) -> Quantity {
        Quantity::of(unit, self.platform.clock)
    }
}

fn key(row: &Record) -> GroupKey<'_> {
    let position_rank = position::ALL.iter().position(|name| *name == row.cell.position);
    GroupKey {
        workload: &row.cell.workload,
        metric: &row.metric,
        unit: row.unit,
        rank: mode_rank(&row.cell.mode),
        mode: &row.cell.mode,
        endpoints: row.cell.endpoints,
        contenders: row.cell.contenders,
        position_rank: position_rank.unwrap_or(position::ALL.len()),
        position: &row.cell.position,
        services: row.cell.services,
        system: &row.cell.system,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{CellKey, Clock};

    fn rows(scales: u32, metrics: usize) -> Vec<Record> {
        let mut rows = Vec::new();
        for services in 1..=scales {
            let key = CellKey {
                run: "r".into(),
                block: 1,
                order: services,
                mode: "nftables".into(),
                services,
                endpoints: 1,
                position: "".into(),
                workload: "w".into(),
                contenders: 0,
                clock: Clock::Wall,
                kernel: "k".into(),
                hypervisor: "none".into(),
                system: "".into(),
            };
            rows.extend((0..metrics).map(|metric| key.scalar(&format!("m{metric}"), Unit::Ns, 1)));
        }
        rows
    }

    fn shown(records: &[Record]) -> Option<Vec<u32>> {
        let groups = Groups::split(records);
        let thinned = groups.first()?.thinned()?;
        assert_eq!(thinned.groups.platform, groups[0].platform);
        let scales: BTreeSet<u32> = thinned.groups.map.keys().map(|key| key.services).collect();
        assert!(thinned.remark.contains(&format!("show {} of them", scales.len())), "{}", thinned.remark);
        Some(scales.into_iter().collect())
    }

    #[test]
    fn what_can_be_read_is_shown_whole() {
        assert_eq!(shown(&rows(200, 50)), None);
        assert_eq!(shown(&rows(2, 6_000)), None, "fewer than two scales compare nothing");
    }

    #[test]
    fn of_too_many_scales_some_are_shown_and_both_ends() {
        let scales = shown(&rows(201, 1)).unwrap();
        assert_eq!((scales.len(), scales[0], scales[199]), (200, 1, 201));
        let scales = shown(&rows(41, 1_000)).unwrap();
        assert_eq!(scales, [1, 5, 9, 14, 18, 23, 27, 32, 36, 41], "10,000 groups");
    }
}
