//! Cells: the smallest things that are measured, skipped or resumed; and the order in which they come.

mod pairs;

use std::collections::HashSet;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use workloads::load;

use crate::churn::scenario::Scenario;
use crate::dataplane::Mode;
use crate::disruption::Happening;
use crate::forwarding::{Method, REAL_SERVERS};
use crate::scale::{Position, Scale};
use crate::sweep::Sweep;

/// One thing to measure once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// Index in the run; rows carry it, and a resumed run knows by it what is done.
    pub order: u32,
    /// Block, from 1.
    pub block: u32,
    /// Mode or control.
    pub mode: Mode,
    /// How many Services and endpoints.
    pub scale: Scale,
    /// What is done.
    pub workload: Workload,
    /// Whether it is the second of an A/A pair: the block has had the same cell before.
    pub again: bool,
}

impl Cell {
    /// Whether a sync cell runs only if it fits the budget: all but the first visit of the first block.
    pub const fn is_in_budget(&self) -> bool {
        self.block > 1 || self.again
    }
}

/// What is done in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Workload {
    /// Packet probes.
    Lookup(Position),
    /// `tcp_crr`.
    Connect(Position),
    /// A load.
    Load(load::Workload, Offered),
    /// All sync operations, in a lab of their own.
    Sync,
    /// So many contenders for the xtables lock while syncs run.
    Lock(u32),
    /// A sequence of changes.
    Churn(Scenario),
    /// A load while rules change.
    Disruption(Happening, load::Workload),
    /// Connections through an LVS director.
    Forwarding(Method, Response),
}

impl Workload {
    /// Whether it visits the labs that live side by side.
    pub const fn is_of_lookups(self) -> bool {
        matches!(self, Workload::Lookup(_) | Workload::Connect(_) | Workload::Load(..))
    }
}

/// How many requests there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Offered {
    /// Open loop: so many per second.
    PerSecond(u32),
    /// Closed loop: as many as are answered.
    Saturation,
}

/// How much a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Response {
    /// One segment.
    Segment,
    /// 64 KiB.
    Large,
}

impl Response {
    /// Bytes of the response beyond the server's name.
    pub const fn bytes(self) -> u32 {
        match self {
            Response::Segment => 0,
            Response::Large => 65_536,
        }
    }
}

/// All cells of a sweep in the order in which they run.
///
/// Lookups and connections come first, in blocks; each block visits the same labs in a fresh random
/// order. Syncs follow. Their first block goes from the smallest scale to the largest, modes shuffled
/// within a scale, because each rung's time is predicted from the smaller ones; later blocks are shuffled
/// wholly. Churn, disruption and lock cells follow the sync cell whose lab they take over,
/// the lock last, as its contenders leave chains behind. Forwarding methods come last: their labs are others.
///
/// Some cells come twice in a block, at places drawn independently: A/A pairs, whose difference is what this run shows
/// where there is none. See `pairs` for which.
pub fn order(sweep: &Sweep) -> Vec<Cell> {
    let mut random = ChaCha8Rng::seed_from_u64(sweep.seed ^ 0x5eed_0f0d_e7ab_1e00);
    let mut cells: Vec<Cell> = Vec::new();
    let mut seen = HashSet::new();
    let mut add = |block, mode, scale, workload| {
        let again = !seen.insert((block, mode, scale, workload));
        cells.push(Cell { order: cells.len() as u32, block, mode, scale, workload, again });
    };

    let mut grid: Vec<(Mode, Scale)> = Vec::new();
    for &services in &sweep.services {
        let scale = Scale { services, endpoints: sweep.endpoints };
        grid.extend(sweep.modes.iter().filter(|mode| **mode != Mode::Replay).map(|&mode| (mode, scale)));
    }
    // A replayed ruleset is as large as it is.
    grid.extend(sweep.replay.as_ref().map(|replay| (Mode::Replay, replay.scale())));

    let lookup_blocks = sweep.lookup.as_ref().map_or(0, |lookup| lookup.blocks);
    let connect_blocks = sweep.connect.as_ref().map_or(0, |connect| connect.blocks);
    let load_blocks = sweep.load.as_ref().map_or(0, |load| load.blocks);
    for block in 1..=lookup_blocks.max(connect_blocks).max(load_blocks) {
        let mut visits = Vec::new();
        // What batches leave in the kernel is what `ipvs` has: only its syncs differ.
        for &(mode, scale) in grid.iter().filter(|(mode, _)| *mode != Mode::IpvsBatched) {
            if let Some(lookup) = sweep.lookup.as_ref().filter(|lookup| block <= lookup.blocks) {
                visits.extend(lookup.positions.iter().map(|&at| (mode, scale, Workload::Lookup(at))));
            }
            if let Some(connect) = sweep.connect.as_ref().filter(|connect| block <= connect.blocks) {
                visits.extend(connect.positions.iter().map(|&at| (mode, scale, Workload::Connect(at))));
            }
            if let Some(load) = sweep.load.as_ref().filter(|load| block <= load.blocks) {
                for &workload in &load.workloads {
                    let all = load.offered().map(|offered| (mode, scale, Workload::Load(workload, offered)));
                    visits.extend(all);
                }
            }
        }
        let again: Vec<_> = visits
            .iter()
            .filter(|(mode, scale, workload)| pairs::has_two_visits(sweep, *mode, *scale, *workload))
            .copied()
            .collect();
        visits.extend(again);
        visits.shuffle(&mut random);
        for (mode, scale, workload) in visits {
            add(block, mode, scale, workload);
        }
    }

    let sync_blocks = sweep.sync.as_ref().map_or(0, |sync| sync.blocks);
    let lock_blocks = u32::from(sweep.lock.is_some());
    let churn_blocks = sweep.churn.as_ref().map_or(0, |churn| churn.blocks);
    let disruption_blocks = sweep.disruption.as_ref().map_or(0, |disruption| disruption.blocks);
    grid.retain(|(mode, _)| !mode.is_control());
    let twice = |&(mode, scale): &(Mode, Scale)| pairs::has_two_syncs(sweep, mode, scale);
    grid.extend(grid.clone().into_iter().filter(twice));
    for block in 1..=sync_blocks.max(lock_blocks).max(churn_blocks).max(disruption_blocks) {
        grid.shuffle(&mut random);
        if block == 1 {
            grid.sort_by_key(|(_, scale)| *scale);
        }
        let mut visited = HashSet::new();
        for &(mode, scale) in &grid {
            let within = |most: u32| scale.services <= most || mode == Mode::Replay;
            if block <= sync_blocks && sweep.sync.as_ref().is_some_and(|sync| within(sync.most_services)) {
                add(block, mode, scale, Workload::Sync);
            }
            if !visited.insert((mode, scale)) {
                continue;
            }
            for &scenario in
                sweep.churn.iter().filter(|_| block <= churn_blocks).flat_map(|churn| &churn.scenarios)
            {
                add(block, mode, scale, Workload::Churn(scenario));
            }
            let disruption = sweep.disruption.iter().filter(|cells| within(cells.most_services));
            for cells in disruption.filter(|_| block <= disruption_blocks && mode != Mode::IpvsBatched) {
                for &workload in &cells.workloads {
                    for &happening in &cells.events {
                        add(block, mode, scale, Workload::Disruption(happening, workload));
                    }
                }
            }
            let lock = sweep.lock.iter().filter(|lock| within(lock.most_services));
            let lock = lock.filter(|_| block <= lock_blocks && mode != Mode::IpvsBatched);
            for &contenders in lock.flat_map(|lock| &lock.contenders) {
                add(block, mode, scale, Workload::Lock(contenders));
            }
        }
    }

    if let Some(forwarding) = &sweep.forwarding {
        let mut visits: Vec<(Method, Response)> = forwarding
            .methods
            .iter()
            .flat_map(|&method| [(method, Response::Segment), (method, Response::Large)])
            .collect();
        let again = forwarding.methods.first().filter(|_| sweep.aa);
        visits.extend(again.map(|&method| (method, Response::Segment)));
        for block in 1..=forwarding.blocks {
            visits.shuffle(&mut random);
            for &(method, response) in &visits {
                let scale = Scale { services: 1, endpoints: REAL_SERVERS.into() };
                add(block, Mode::Ipvs, scale, Workload::Forwarding(method, response));
            }
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::BUILT_IN;

    fn default_sweep() -> Sweep {
        Sweep::parse("default", BUILT_IN[1].1).unwrap()
    }

    #[test]
    fn every_block_visits_every_lookup_cell() {
        let sweep = default_sweep();
        let cells = order(&sweep);
        let of_block = |block| {
            let mut visits: Vec<_> = cells
                .iter()
                .filter(|c| c.block == block && matches!(c.workload, Workload::Lookup(_)))
                .map(|c| format!("{:?}", (c.mode, c.scale, c.workload, c.again)))
                .collect();
            visits.sort();
            visits
        };
        assert_eq!(of_block(1).len(), 7 * 5 * 5 + 7 * 2);
        assert_eq!(of_block(1), of_block(5));
    }

    #[test]
    fn syncs_go_no_further_than_they_should() {
        let largest = |wanted: fn(&Workload) -> bool| {
            let cells = order(&default_sweep());
            cells.iter().filter(|cell| wanted(&cell.workload)).map(|cell| cell.scale.services).max()
        };
        assert_eq!(largest(|workload| matches!(workload, Workload::Lookup(_))), Some(10_000));
        assert_eq!(largest(|workload| matches!(workload, Workload::Sync)), Some(5_000));
        assert_eq!(largest(|workload| matches!(workload, Workload::Lock(_))), Some(5_000));
    }

    #[test]
    fn blocks_differ_in_order_and_a_seed_repeats_them() {
        let sweep = default_sweep();
        let cells = order(&sweep);
        assert_eq!(cells, order(&sweep));
        let sequence = |block| {
            let in_block =
                cells.iter().filter(move |c| c.block == block && matches!(c.workload, Workload::Lookup(_)));
            in_block.map(|c| (c.mode, c.scale, c.workload)).collect::<Vec<_>>()
        };
        assert_ne!(sequence(1), sequence(2));
        assert_ne!(cells, order(&Sweep { seed: sweep.seed + 1, ..sweep.clone() }));
    }

    #[test]
    fn ipvs_in_batches_is_only_synced() {
        let cells = order(&Sweep { modes: vec![Mode::Ipvs, Mode::IpvsBatched], ..default_sweep() });
        let of = |mode| cells.iter().filter(move |cell| cell.mode == mode);
        assert!(of(Mode::IpvsBatched).count() > 0);
        assert!(of(Mode::IpvsBatched).all(|cell| cell.workload == Workload::Sync));
        assert!(of(Mode::Ipvs).any(|cell| matches!(cell.workload, Workload::Lock(_))));
    }

    #[test]
    fn the_first_sync_block_climbs_and_locks_follow_their_sync() {
        let cells = order(&default_sweep());
        let syncs: Vec<_> = cells.iter().filter(|c| c.workload == Workload::Sync && c.block == 1).collect();
        assert!(syncs.is_sorted_by_key(|cell| cell.scale.services));
        for lock in cells.iter().filter(|c| matches!(c.workload, Workload::Lock(_))) {
            let before = cells[lock.order as usize - 1];
            assert_eq!((before.mode, before.scale, before.again), (lock.mode, lock.scale, false));
        }
        assert!(cells.iter().enumerate().all(|(index, cell)| cell.order as usize == index));
    }
}
