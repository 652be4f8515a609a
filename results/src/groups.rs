//! Rows gathered: what was measured alike, block by block.

use std::collections::BTreeMap;

use crate::names::{mode_rank, position};
use crate::record::{Record, Status, Unit};
use crate::stats::{Bootstrap, Estimate};
use crate::text::Quantity;
pub use crate::world::World;

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
}

/// The rows of one key.
#[derive(Debug, Default)]
pub struct Group<'a> {
    /// Its number among the groups of all worlds, in their order: reports address its rows by it.
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
        let mut blocks: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        for row in &self.measured {
            let values = blocks.entry((row.run.as_str(), row.block)).or_default();
            values.extend(field(row).map(|value| value as f64));
        }
        blocks
            .into_iter()
            .filter_map(|(block, values)| Some((block, crate::stats::median(&values)?)))
            .collect()
    }

    /// Median of `field` over blocks, with its interval.
    pub fn estimate(&self, bootstrap: &mut Bootstrap, field: fn(&Record) -> Option<u64>) -> Option<Estimate> {
        let values: Vec<f64> = self.per_block(field).into_values().collect();
        bootstrap.estimate(&values)
    }
}

/// All groups of one world.
#[derive(Debug)]
pub struct Groups<'a> {
    /// Clock, kernel and hypervisor.
    pub world: World<'a>,
    /// The groups, sorted.
    pub map: BTreeMap<GroupKey<'a>, Group<'a>>,
}

impl<'a> Groups<'a> {
    /// Splits `records` by world: the wall clock before instructions, then the world with the most rows first.
    pub fn split(records: &'a [Record]) -> Vec<Groups<'a>> {
        let mut worlds: BTreeMap<World<'a>, (usize, BTreeMap<GroupKey<'a>, Group<'a>>)> = BTreeMap::new();
        for (index, row) in records.iter().enumerate() {
            let (count, map) = worlds.entry(World::of(row)).or_default();
            *count += 1;
            let group = map.entry(key(row)).or_default();
            let (rows, places) = match row.status {
                Status::Ok => (&mut group.measured, &mut group.measured_at),
                Status::Failed | Status::Skipped => (&mut group.lost, &mut group.lost_at),
            };
            rows.push(row);
            places.push(index);
        }
        let mut split: Vec<_> = worlds.into_iter().collect();
        split.sort_by_key(|(world, (count, _))| (world.clock, std::cmp::Reverse(*count)));
        let mut split: Vec<_> = split.into_iter().map(|(world, (_, map))| Groups { world, map }).collect();
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
        };
        map.range(start..).take_while(move |(key, _)| key.workload == workload && key.metric == metric)
    }

    /// The number of the first group of one workload and metric, which stands for all of them; None if there is none.
    pub fn first_of(&self, workload: &str, metric: &str) -> Option<usize> {
        self.of(workload, metric).next().map(|(_, group)| group.number)
    }

    /// How figures of `unit` are shown in this world.
    pub fn quantity(&self, unit: Unit) -> Quantity {
        Quantity::of(unit, self.world.clock)
    }
}

fn key(row: &Record) -> GroupKey<'_> {
    let position_rank = position::ALL.iter().position(|name| *name == row.position);
    GroupKey {
        workload: &row.workload,
        metric: &row.metric,
        unit: row.unit,
        rank: mode_rank(&row.mode),
        mode: &row.mode,
        endpoints: row.endpoints,
        contenders: row.contenders,
        position_rank: position_rank.unwrap_or(position::ALL.len()),
        position: &row.position,
        services: row.services,
    }
}
