//! How long a sweep takes: said beforehand, corrected as it runs.
//!
//! The first guess comes from one machine (`pace.rs`); after a few cells the run's own pace replaces it. It decides nothing: what is
//! skipped is decided from measured times alone (`extrapolate.rs`).

use std::time::Duration;

use dataplane::Mode;
use lab::tools::Tools;

use super::pace::Pace;
use crate::sweep::Sweep;
use crate::sweep::cell::{Cell, Workload};

/// Seconds for a lab that serves lookups, filled once.
fn fill(sweep: &Sweep, cell: &Cell) -> f64 {
    0.3 + pace(sweep, cell).fill * 0.6
}

fn pace(sweep: &Sweep, cell: &Cell) -> Pace {
    Pace::of(cell.mode, sweep.kube_proxy, f64::from(cell.scale.services) * f64::from(cell.scale.endpoints))
}

/// Seconds for one cell, capped where the limit would skip it.
pub fn cell(sweep: &Sweep, cell: &Cell) -> f64 {
    let Pace { partial, full, .. } = pace(sweep, cell);
    cell.workload.expected_seconds(sweep, partial, full, Tools::of(cell.mode).take_the_lock())
}

/// Time for the cells that are left. `loaded`: lookup labs are ready. `sync_spent`: seconds that sync
/// cells have taken.
pub fn remaining(sweep: &Sweep, cells: &[Cell], loaded: bool, sync_spent: f64) -> Duration {
    let mut seconds = 0.0;
    let mut sync_later = 0.0;
    let mut labs: Vec<(Mode, u32)> = Vec::new();
    for cell in cells {
        match cell.workload {
            Workload::Sync if cell.is_in_budget() => sync_later += self::cell(sweep, cell),
            workload if workload.is_of_lookups() && !loaded => {
                if !labs.contains(&(cell.mode, cell.scale.services)) {
                    labs.push((cell.mode, cell.scale.services));
                    seconds += fill(sweep, cell);
                }
                seconds += self::cell(sweep, cell);
            }
            _ => seconds += self::cell(sweep, cell),
        }
    }
    let first: f64 = cells
        .iter()
        .filter(|c| c.workload == Workload::Sync && !c.is_in_budget())
        .map(|c| self::cell(sweep, c))
        .sum();
    let budget = sweep.sync.as_ref().map_or(0.0, |sync| sync.budget_seconds);
    let later = sync_later.min((budget - sync_spent - first).max(0.0));
    Duration::from_secs_f64(seconds + later)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::BUILT_IN;
    use crate::sweep::order::order;

    #[test]
    fn sweeps_of_real_kube_proxies_take_as_long_as_their_files_say() {
        for (name, minutes) in [("kube-proxy", 10.0), ("versions", 35.0)] {
            let (_, text) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name).unwrap();
            let sweep = Sweep::parse(name, text).unwrap();
            let all = remaining(&sweep, &order(&sweep), false, 0.0).as_secs_f64() / 60.0;
            assert!(all < minutes && all > minutes / 2.0, "{name}: {all}");
        }
    }
}
