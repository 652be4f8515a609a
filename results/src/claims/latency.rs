//! What the latency and the syncs of real kube-proxies are made of.

use super::claim::{ClaimVerdict, LaneVerdict, MeasuredValue, Reference};
use super::evidence::Evidence;
use crate::curves::middle;
use crate::groups::Group;
use crate::names::{metric, phase, workload};
use crate::record::{Clock, Record, Unit};
use crate::systems::{At, PLAN, SyncKind, SyncPhases, Systems, sync_phases};
use crate::text::{listed, services};

/// Fewer changes than this have no slowest in a hundred that means anything.
const LEAST_CHANGES: u64 = 10;
/// A part above this share is most of the whole; below 1 less this share it is the least. Between the two it is neither.
const MOST: f64 = 0.6;
/// Parts that are said one by one.
const MOST_PARTS: usize = 8;

/// One cell: the slowest change in a hundred, and the mean sync.
struct Cell<'a> {
    at: At<'a>,
    label: &'a str,
    p99: f64,
    sync: f64,
}

impl Cell<'_> {
    /// Whether more than half of what a slow change waits for is no sync. The slowest come when a sync has just begun: they wait for
    /// its end, for the pause after it, and for their own.
    fn waits(&self) -> bool {
        2.0 * self.sync < 0.5 * self.p99
    }
}

/// "Programming latency is bound by minSyncPeriod": kube-proxy waits so long from the end of a sync to the next, one second by default in
/// iptables and nftables mode (KubeProxyConfiguration, and BoundedFrequencyRunner in pkg/util/async).
///
/// Rule, in wall time and these modes, for each kube-proxy and scale with ten changes at least: a slow change (p99) is bound by the wait
/// if two mean syncs, the one before and its own, are less than half of its latency. Holds if all are, does not hold if none is; else it depends on mode and scale. How
/// often changes come decides how many of them wait, and is in the sweep. Changes with a planted stall are left out.
pub(super) fn bound_by_min_sync_period(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let systems = Systems::of(lane.groups)?;
    let name = workload::KUBE_PROXY_CHANGES;
    let mut cells: Vec<Cell<'_>> = Vec::new();
    let mut few = false;
    for at in systems.cells(true).into_iter().filter(|at| at.mode != "ipvs") {
        let found = systems.cell(name, metric::PROGRAMMING_LATENCY, &at);
        let Some(group) = found.filter(|group| group.measured.iter().all(|row| row.note.is_empty())) else {
            continue;
        };
        let sync = systems.cell(name, metric::OWN_SYNC, &at);
        let (Some(p99), Some(sync)) = (
            middle(&group.per_block(Record::p99)),
            sync.and_then(|sync| middle(&sync.per_block(Record::p50))),
        ) else {
            continue;
        };
        few |= changes(group) < LEAST_CHANGES;
        if changes(group) >= LEAST_CHANGES {
            cells.push(Cell { at, label: systems.label(at.system), p99, sync });
        }
    }
    if lane.clock() == Clock::Instructions && (few || !cells.is_empty()) {
        return Some(
            lane.not_shown("seconds: in this lane they are instructions; measure [system] on the host"),
        );
    }
    if cells.is_empty() {
        return few.then(|| lane.not_shown(format!("{LEAST_CHANGES} changes at least in [system]")));
    }
    let verdict = match cells.iter().filter(|cell| cell.waits()).count() {
        0 => ClaimVerdict::DoesNotHold,
        all if all == cells.len() => ClaimVerdict::Holds,
        _ => {
            let others: Vec<&At<'_>> =
                cells.iter().filter(|cell| !cell.waits()).map(|cell| &cell.at).collect();
            ClaimVerdict::Depends {
                on: format!("mode and scale: the sync itself is more in {}", in_words(&others)),
            }
        }
    };
    let quantity = lane.quantity(Unit::Ns);
    let part = |cell: &Cell<'_>| {
        format!(
            "{}, {} at {}: p99 {}, the mean sync {}",
            cell.at.mode,
            cell.label,
            services(cell.at.services),
            quantity.show(cell.p99),
            quantity.show(cell.sync)
        )
    };
    let parts: Vec<String> = cells.iter().rev().take(MOST_PARTS).map(part).collect();
    let figures = cells.iter().map(|cell| {
        let what = format!(
            "{}, {}, {}: mean sync over p99 of latency",
            cell.at.mode,
            cell.label,
            services(cell.at.services)
        );
        MeasuredValue::new(what, "ratio", if cell.p99 > 0.0 { cell.sync / cell.p99 } else { 0.0 }, None, 1)
    });
    let shown =
        |metric| reference(lane, "programming-latency", name, metric, cells.iter().map(|cell| cell.at));
    Some(lane.settled(
        verdict,
        parts.join("; "),
        figures.collect(),
        vec![shown(metric::PROGRAMMING_LATENCY), shown(metric::OWN_SYNC)],
    ))
}

/// Changes in the block with the fewest.
fn changes(group: &Group<'_>) -> u64 {
    group.measured.iter().map(|row| row.n).min().unwrap_or(0)
}

/// "A sync is iptables and nft; kube-proxy's own part is small": what imitations that only carry out rules, such as svcbench's plans, take
/// for granted.
///
/// Rule, for each kube-proxy, mode and kind of sync whose parts were seen, at the largest scale: it is so if its own process, in which none
/// of its programs runs, is at most 40% of the sync, and not so from 60% on; between the two it is neither. Holds if all are so, does
/// not hold if none is; else it depends on the sync. One block is enough: these are shares of one and the same sync.
pub(super) fn syncs_are_programs(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let systems = Systems::of(lane.groups)?;
    let mut found: Vec<(SyncKind, SyncPhases<'_>, f64)> = Vec::new();
    for kind in [SyncKind::First, SyncKind::Change] {
        let mut largest: Vec<SyncPhases<'_>> = Vec::new();
        for sync in sync_phases(&systems, kind).into_iter().filter(|sync| sync.system != PLAN) {
            largest.retain(|other| (other.mode, other.system) != (sync.mode, sync.system));
            largest.push(sync);
        }
        for sync in largest.into_iter().filter(|sync| sync.whole() > 0.0) {
            let Some(own) = sync.of(phase::GENERATING) else { continue };
            let share = own.time / sync.whole();
            found.push((kind, sync, share));
        }
    }
    if found.is_empty() {
        return None;
    }
    let what = |kind: SyncKind| match kind {
        SyncKind::First => "first sync",
        SyncKind::Change => "change",
    };
    let are = |is: fn(f64) -> bool| found.iter().filter(|(_, _, share)| is(*share)).count();
    let (small, large) = (are(|share| share <= 1.0 - MOST), are(|share| share >= MOST));
    let verdict = if small == found.len() {
        ClaimVerdict::Holds
    } else if large == found.len() {
        ClaimVerdict::DoesNotHold
    } else {
        let mut own: Vec<String> = Vec::new();
        for (kind, sync, _) in found.iter().filter(|(_, _, share)| *share > 1.0 - MOST) {
            let name = format!("the {} in {}", what(*kind), sync.mode);
            if !own.contains(&name) {
                own.push(name);
            }
        }
        ClaimVerdict::Depends {
            on: format!("the sync: kube-proxy’s own process is more than 40% of {}", listed(&own)),
        }
    };
    let name = |kind: SyncKind, sync: &SyncPhases<'_>| {
        format!("{}, {}, {}, {}", what(kind), sync.mode, systems.label(sync.system), services(sync.services))
    };
    let parts: Vec<String> = found
        .iter()
        .take(MOST_PARTS)
        .map(|(kind, sync, share)| {
            let whole = lane.quantity(Unit::Ns).show(sync.whole());
            format!("{}: {:.0}% of {whole}", name(*kind, sync), 100.0 * share)
        })
        .collect();
    let figures = found.iter().map(|(kind, sync, share)| {
        MeasuredValue::new(
            format!("{}: share of kube-proxy's own process", name(*kind, sync)),
            "ratio",
            *share,
            None,
            1,
        )
    });
    let shown = [SyncKind::First, SyncKind::Change].into_iter().filter_map(|kind| {
        let own: Vec<At<'_>> = found
            .iter()
            .filter(|(other, ..)| *other == kind)
            .map(|(_, sync, _)| At {
                mode: sync.mode,
                services: sync.services,
                system: sync.system,
                position: "",
            })
            .collect();
        let plot = match kind {
            SyncKind::First => "first-sync",
            SyncKind::Change => "change-sync",
        };
        (!own.is_empty())
            .then(|| reference(lane, plot, kind.workload(), metric::SYNC_OWN_WORK, own.iter().copied()))
    });
    Some(lane.settled(verdict, parts.join("; "), figures.collect(), shown.collect()))
}

fn reference<'a>(
    lane: &Evidence<'_>,
    plot: &str,
    workload: &'static str,
    metric: &'static str,
    cells: impl Iterator<Item = At<'a>>,
) -> Reference {
    let (mut modes, mut services): (Vec<String>, Vec<u32>) = (Vec::new(), Vec::new());
    for at in cells {
        if !modes.iter().any(|mode| mode == at.mode) {
            modes.push(at.mode.to_owned());
        }
        services.push(at.services);
    }
    services.sort_unstable();
    services.dedup();
    Reference { plot: lane.plot(plot), workload, metric, modes, services }
}

/// `nftables at 5,000 Services and iptables-nft at 1,000 Services`.
fn in_words(cells: &[&At<'_>]) -> String {
    let mut names: Vec<String> = Vec::new();
    for at in cells {
        let name = format!("{} at {}", at.mode, services(at.services));
        if !names.contains(&name) {
            names.push(name);
        }
    }
    listed(&names)
}
