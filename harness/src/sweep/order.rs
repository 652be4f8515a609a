//! The order in which the cells of a sweep come.

use std::collections::HashSet;

use dataplane::Mode;
use experiments::forwarding::REAL_SERVERS;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use services::service_set::Scale;

use super::Sweep;
use super::cell::{Cell, Workload};
use super::pairs;

/// All cells of a sweep in the order in which they run.
///
/// Lookups and connections come first, in blocks; each block visits the same labs in a fresh random
/// order. Syncs follow. Their first block goes from the smallest scale to the largest, modes shuffled
/// within a scale, because each rung's time is predicted from the smaller ones; later blocks are shuffled
/// wholly. Churn, disruption and lock cells follow the sync cell whose lab they take over,
/// the lock last, as its contenders leave chains behind. Forwarding methods and real kube-proxies come last: their labs are
/// others.
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

    let systems = grid.clone();
    if !sweep.has_plans() {
        grid.clear();
    }

    for block in 1..=Workload::blocks_of_lookups(sweep) {
        let workloads = Workload::of_lookups(sweep, block);
        // What batches leave in the kernel is what `ipvs` has: only its syncs differ.
        let labs = grid.iter().filter(|(mode, _)| *mode != Mode::IpvsBatched);
        let mut visits: Vec<_> = labs
            .flat_map(|&(mode, scale)| workloads.iter().map(move |&workload| (mode, scale, workload)))
            .collect();
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

    grid.retain(|(mode, _)| !mode.is_control());
    let twice = |&(mode, scale): &(Mode, Scale)| pairs::has_two_syncs(sweep, mode, scale);
    grid.extend(grid.clone().into_iter().filter(twice));
    for block in 1..=Workload::blocks_of_syncs(sweep) {
        grid.shuffle(&mut random);
        if block == 1 {
            grid.sort_by_key(|(_, scale)| *scale);
        }
        let mut visited = HashSet::new();
        for &(mode, scale) in &grid {
            if Workload::has_sync(sweep, block, mode, scale) {
                add(block, mode, scale, Workload::Sync);
            }
            if visited.insert((mode, scale)) {
                for workload in Workload::after_sync(sweep, block, mode, scale) {
                    add(block, mode, scale, workload);
                }
            }
        }
    }

    let mut visits = Workload::of_forwarding(sweep);
    for block in 1..=sweep.forwarding.as_ref().map_or(0, |section| section.blocks) {
        visits.shuffle(&mut random);
        for &workload in &visits {
            let scale = Scale { services: 1, endpoints: REAL_SERVERS.into() };
            add(block, Mode::Ipvs, scale, workload);
        }
    }

    for block in 1..=sweep.system.as_ref().map_or(0, |section| section.blocks) {
        let of = |&(mode, scale): &(Mode, Scale)| {
            let workloads = Workload::of_systems(sweep, block, mode, scale).into_iter();
            workloads.map(move |workload| (mode, scale, workload))
        };
        let mut visits: Vec<_> = systems.iter().flat_map(of).collect();
        visits.shuffle(&mut random);
        // From the smallest scale up: what fails there need not be waited for at the others.
        visits.sort_by_key(|(_, scale, _)| *scale);
        for (mode, scale, workload) in visits {
            add(block, mode, scale, workload);
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
