//! A/A pairs: which cells are visited twice in a block.
//!
//! The two visits do the same at places of the order that are drawn independently, so that whatever differs between them
//! is not the mode's nor the scale's doing: drift, the machine, the state of a lab, chance. What differs more than they do
//! is what this run can show. A pair is in every block, since what is compared is medians over blocks.
//!
//! Of lookups, connections and loads, every mode and control has a pair at the smallest and one at the largest scale: their
//! labs stand anyway. Of syncs, every mode has one at the smallest scale; its cold sync is in it. Of forwarding, the first
//! method has one. There are none where a second visit would cost too much or not find what the first found: contenders
//! for the lock leave chains behind, churn and disruption take their time.

use dataplane::Mode;
use experiments::load::Offered;
use services::service_set::{Position, Scale};

use super::Sweep;
use super::cell::Workload;

/// Whether a cell that visits a standing lab has a second visit.
pub fn has_two_visits(sweep: &Sweep, mode: Mode, scale: Scale, workload: Workload) -> bool {
    let ends = [sweep.services.first(), sweep.services.last()];
    let at_an_end = mode == Mode::Replay || ends.contains(&Some(&scale.services));
    sweep.aa && at_an_end && represents(sweep, workload)
}

/// Whether the syncs of a mode at a scale come twice.
pub fn has_two_syncs(sweep: &Sweep, mode: Mode, scale: Scale) -> bool {
    sweep.aa
        && sweep.sync.is_some()
        && (mode == Mode::Replay || sweep.services.first() == Some(&scale.services))
}

/// One cell stands for all of its kind: the position where rules weigh most, and the first load.
fn represents(sweep: &Sweep, workload: Workload) -> bool {
    let chosen = |positions: &[Position]| {
        let last = positions.iter().find(|position| **position == Position::Last);
        last.or(positions.first()).copied()
    };
    match workload {
        Workload::Lookup(at) => sweep.lookup.as_ref().and_then(|cells| chosen(&cells.positions)) == Some(at),
        Workload::Connect(at) => {
            sweep.connect.as_ref().and_then(|cells| chosen(&cells.positions)) == Some(at)
        }
        Workload::Load(load, offered) => sweep.load.as_ref().is_some_and(|cells| {
            let first: Option<Offered> = cells.offered().next();
            cells.workloads.first() == Some(&load) && first == Some(offered)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sweep::BUILT_IN;
    use crate::sweep::cell::Cell;
    use crate::sweep::order::order;

    /// Every built-in sweep, in both lanes.
    fn sweeps() -> impl Iterator<Item = (&'static str, Sweep)> {
        BUILT_IN.into_iter().flat_map(|(name, text)| {
            let sweep = Sweep::parse(name, text).unwrap();
            [(name, sweep.in_guest()), (name, sweep)]
        })
    }

    fn what(cell: &Cell) -> String {
        format!("{:?}", (cell.block, cell.mode, cell.scale, cell.workload))
    }

    #[test]
    fn every_second_visit_has_a_first_in_its_block_and_no_cell_a_third() {
        for (name, sweep) in sweeps() {
            let mut visits: BTreeMap<String, Vec<bool>> = BTreeMap::new();
            order(&sweep).iter().for_each(|cell| visits.entry(what(cell)).or_default().push(cell.again));
            let paired = visits.values().filter(|visits| visits.len() > 1).count();
            assert!(paired > 0 || sweep.lookup.is_none() && sweep.sync.is_none(), "{name} has no pairs");
            for (cell, visits) in visits {
                assert!(visits == [false] || visits == [false, true], "{name}: {cell}: {visits:?}");
            }
        }
    }

    #[test]
    fn every_mode_has_pairs_at_both_ends_of_each_kind() {
        let sweep = Sweep::parse("default", BUILT_IN[1].1).unwrap();
        let cells = order(&sweep);
        let again = |block, mode, kind: fn(&Workload) -> bool| {
            let cells = cells.iter().filter(|cell| cell.again && cell.block == block && cell.mode == mode);
            let mut scales: Vec<_> =
                cells.filter(|cell| kind(&cell.workload)).map(|cell| cell.scale.services).collect();
            scales.sort_unstable();
            scales
        };
        for &mode in &sweep.modes {
            for block in 1..=5 {
                let of_lookups = if mode == Mode::IpvsBatched { vec![] } else { vec![10, 10_000] };
                let of_syncs = if mode.is_control() { vec![] } else { vec![10] };
                let lookup = |workload: &Workload| matches!(workload, Workload::Lookup(Position::Last));
                let connect = |workload: &Workload| matches!(workload, Workload::Connect(Position::Last));
                assert_eq!(again(block, mode, lookup), of_lookups, "{mode}, block {block}");
                assert_eq!(again(block, mode, connect), of_lookups, "{mode}, block {block}");
                assert_eq!(again(block, mode, |workload| *workload == Workload::Sync), of_syncs, "{mode}");
            }
        }
        let other = |cell: &&Cell| !cell.workload.is_of_lookups() && cell.workload != Workload::Sync;
        assert_eq!(cells.iter().filter(|cell| cell.again).find(other), None);
    }

    #[test]
    fn the_two_visits_are_at_independent_places() {
        let sweep = Sweep::parse("default", BUILT_IN[1].1).unwrap();
        let cells = order(&sweep);
        let lookups = cells.iter().filter(|cell| cell.workload.is_of_lookups());
        let distances: Vec<u32> = lookups
            .filter(|cell| cell.again)
            .map(|cell| {
                let twin = cells.iter().find(|other| !other.again && what(other) == what(cell)).unwrap();
                assert!(twin.order < cell.order);
                cell.order - twin.order
            })
            .collect();
        // Two of n places drawn at random are (n + 1) / 3 apart in the mean. Blocks have 175 + 14 + 70 + 14 visits.
        let mean = f64::from(distances.iter().sum::<u32>()) / distances.len() as f64;
        assert_eq!(distances.len(), 5 * 28);
        assert!((75.0..107.0).contains(&mean), "{mean}");
    }

    #[test]
    fn a_sweep_without_pairs_visits_every_cell_once() {
        for (name, sweep) in sweeps() {
            let cells = order(&Sweep { aa: false, ..sweep });
            assert_eq!(cells.iter().find(|cell| cell.again), None, "{name}");
        }
    }
}
