//! How long a sweep takes: said beforehand, corrected as it runs.
//!
//! The first guess comes from one machine (2 cores, Linux 6.18, iptables 1.8.9, nft 1.0.6; see
//! results/reference-xeon); after a few cells the run's own pace replaces it. It decides nothing: what is
//! skipped is decided from measured times alone (`predict.rs`).

use std::time::Duration;

use crate::cells::{Cell, Workload};
use crate::churn::scenario::Scenario;
use crate::disruption::Happening;
use crate::sweep::Sweep;
use dataplane::Mode;
use lab::tools::Tools;

/// Seconds for 1,000 Services x 10 endpoints and growth with the number of Services: (load, growth, one
/// partial sync, growth, full sync, growth).
const fn costs(mode: Mode) -> [(f64, f64); 3] {
    match mode {
        Mode::Direct | Mode::Conntrack | Mode::Dnat | Mode::NeighboursLegacy | Mode::NeighboursNft => {
            [(0.01, 0.0); 3]
        }
        Mode::IptablesLegacy => [(0.4, 1.3), (0.1, 1.1), (0.9, 1.2)],
        // Whatever its tool is, and whatever it holds besides Services.
        Mode::Replay | Mode::IptablesNft => [(0.7, 1.2), (0.3, 1.5), (6.0, 2.0)],
        Mode::Nftables => [(0.7, 1.5), (1.4, 1.2), (1.5, 2.0)],
        // Guessed from the programs that are run, about a millisecond each.
        Mode::Ipvs => [(0.1, 1.0), (0.15, 0.8), (3.0, 1.0)],
        Mode::IpvsBatched => [(0.1, 1.0), (0.02, 0.5), (0.1, 1.0)],
    }
}

fn at(cost: (f64, f64), cell: &Cell) -> f64 {
    of_endpoints(cost, f64::from(cell.scale.services) * f64::from(cell.scale.endpoints))
}

fn of_endpoints((seconds, growth): (f64, f64), endpoints: f64) -> f64 {
    seconds * (endpoints / 10_000.0).powf(growth)
}

/// Seconds for writing Services with so many endpoints to a kernel, in whatever pieces are quickest.
pub fn load_seconds(mode: Mode, endpoints: f64) -> f64 {
    of_endpoints(costs(mode)[0], endpoints)
}

/// Seconds for a lab that serves lookups, loaded once.
pub fn load(cell: &Cell) -> f64 {
    0.3 + at(costs(cell.mode)[0], cell) * 0.6
}

/// Seconds for one cell, capped where the limit would skip it.
pub fn cell(sweep: &Sweep, cell: &Cell) -> f64 {
    let [_, partial, full] = costs(cell.mode);
    let capped = |seconds: f64| if seconds > sweep.limit_seconds { 0.0 } else { seconds };
    match cell.workload {
        Workload::Lookup(_) => {
            let probes = sweep.lookup.as_ref().map_or(0, |lookup| lookup.probes);
            0.02 + f64::from(probes) * 15e-6
        }
        Workload::Connect(_) => {
            let transactions = sweep.connect.as_ref().map_or(0, |connect| connect.transactions);
            0.02 + f64::from(transactions) * 150e-6
        }
        Workload::Load(..) => 0.3 + sweep.load.as_ref().map_or(0.0, |load| load.seconds),
        Workload::Sync => {
            // Later visits run within a budget, which `remaining` knows.
            0.3 + capped(at(full, cell)) + 4.0 * capped(at(partial, cell)).max(0.08)
        }
        Workload::Churn(scenario) => {
            // A sync a second or so, while it lasts.
            let pods = f64::from(sweep.churn.as_ref().map_or(0, |churn| churn.pods));
            let syncs = match scenario {
                Scenario::RollingUpdate => 20.0,
                Scenario::NodeLoss => 16.0,
                Scenario::ScaleUp => 4.0 + pods / 20.0,
                Scenario::Idle => 10.0,
            };
            let limit = sweep.churn.as_ref().map_or(0.0, |churn| churn.limit_seconds);
            let seconds = syncs * at(partial, cell);
            if seconds > limit { 0.1 } else { 0.5 + seconds }
        }
        Workload::Disruption(happening, _) => {
            let Some(cells) = &sweep.disruption else { return 0.0 };
            let each = match happening {
                Happening::FullSync | Happening::Restart => at(full, cell),
                Happening::PartialSync => at(partial, cell),
                Happening::EndpointChurn | Happening::ServiceChurn => {
                    f64::from(cells.changes) * (at(partial, cell) + 0.2)
                }
            };
            if each > cells.limit_seconds { 0.1 } else { 0.5 + 2.0 * cells.margin_seconds + each }
        }
        Workload::Forwarding(_, response) => {
            let connections = sweep.forwarding.as_ref().map_or(0, |forwarding| forwarding.connections);
            0.2 + f64::from(connections) * (150e-6 + f64::from(response.bytes()) * 5e-9)
        }
        Workload::Lock(_) => {
            let Some(lock) = &sweep.lock else { return 0.0 };
            let alone = at(full, cell) + at(partial, cell);
            // Against contenders: with the lock, each of its programs queues behind all of theirs.
            let round = if Tools::of(cell.mode).take_the_lock() { alone * 8.0 } else { alone * 3.0 };
            let waited = if round > lock.limit_seconds { lock.patience() } else { round };
            waited.max(lock.seconds) + 0.5
        }
    }
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
                    seconds += load(cell);
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
