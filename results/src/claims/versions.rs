//! What people say about real kube-proxies and their versions.

use std::collections::{BTreeMap, BTreeSet};

use super::claim::{ClaimVerdict, LaneVerdict, MeasuredValue, Reference};
use super::evidence::Evidence;
use super::measure::{LEAST_BLOCKS, ModeDifference, State, differences, percent};
use crate::crossover::Curve;
use crate::curves::{Curves, middle};
use crate::names::{metric, workload};
use crate::record::{Record, Unit};
use crate::systems::{At, SystemName, Systems};
use crate::text::{services, thousands};

const NFTABLES: &str = "nftables";
/// From this version on nftables is listed over netlink, and a Service with one endpoint has no map.
const NEW: (u32, u32) = (1, 37);
/// A Service that has a map has one of its own; what else there is does not grow with them.
const HAS_MAP: f64 = 0.9;
/// Below this scale what does not grow is too large a share.
const LEAST_SCALE: u32 = 100;

fn is_new(name: &SystemName) -> Option<bool> {
    name.kube_proxy().map(|version| version >= NEW)
}

/// What a change's sync takes in nftables mode, by scale.
fn of_changes<'a>(systems: &Systems<'a>, name: &SystemName) -> Curve<'a> {
    let mut curve = Curve::new();
    for at in systems.cells(true) {
        if at.mode != NFTABLES || at.system != name.column {
            continue;
        }
        let group = systems.cell(workload::KUBE_PROXY_CHANGES, metric::SYNC_DURATION, &at);
        let blocks = group.map(|group| group.per_block(Record::p50)).unwrap_or_default();
        if !blocks.is_empty() {
            curve.insert(at.services, blocks);
        }
    }
    curve
}

/// "kube-proxy 1.37 lists over netlink instead of starting nft, and a change costs less": kubernetes #137536 (gate NFTablesNetlink, on
/// by default in 1.37) and its figures.
///
/// Rule, in nftables mode, from the newest kube-proxy of 1.37 or later and the newest before it, at the largest scale that both have:
/// does not hold if the new one starts programs that list while changes come. Else it holds if the sync of a change takes less in it,
/// by more than 10% and with an interval that leaves out zero (three blocks at least), and does not if it takes more, or as much
/// within 10%.
pub(super) fn netlink_listing(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let systems = Systems::of(lane.groups)?;
    let mut sides: [Option<(&SystemName, Curve<'_>)>; 2] = [None, None];
    for name in &systems.names {
        let Some(new) = is_new(name) else { continue };
        let curve = of_changes(&systems, name);
        if !curve.is_empty() {
            // Names are in the order of versions: the last one is the newest.
            sides[usize::from(new)] = Some((name, curve));
        }
    }
    let [old, new] = sides;
    let (Some((old, before)), Some((new, after))) = (&old, &new) else {
        let missing = if old.is_none() && new.is_none() { return None } else { lacking(old.is_none()) };
        return Some(lane.not_shown(missing));
    };
    let Some(scale) = after.keys().rev().find(|scale| before.contains_key(scale)).copied() else {
        return Some(lane.not_shown("changes of both at one number of Services"));
    };
    let lists = |name: &SystemName| {
        let at = At { mode: NFTABLES, services: scale, system: &name.column, position: "" };
        let seen = systems.cell(workload::KUBE_PROXY_CHANGES, metric::PROGRAM_WRITING, &at);
        let seen = seen.is_some_and(|group| !group.measured.is_empty());
        let listing = systems.cell(workload::KUBE_PROXY_CHANGES, metric::PROGRAM_LISTING, &at);
        let count: u64 = listing.map_or(0, |group| group.measured.iter().map(|row| row.n).sum());
        seen.then_some(count)
    };
    let Some(programs) = lists(new) else {
        return Some(lane.not_shown("its programs: they are seen by root of the machine itself only"));
    };
    let curves = Curves {
        modes: vec![(old.label.as_str(), before.clone()), (new.label.as_str(), after.clone())],
        endpoints: systems.endpoints,
        repeats: Vec::new(),
    };
    let found = differences(&curves, 0.0, |services| services == scale).into_iter().next()?;
    let verdict = match found.state {
        _ if programs > 0 => ClaimVerdict::DoesNotHold,
        State::Differ if found.modes[1] == old.label => ClaimVerdict::Holds,
        State::Differ | State::Same => ClaimVerdict::DoesNotHold,
        State::Unclear if found.blocks < LEAST_BLOCKS => {
            ClaimVerdict::NotShown { missing: format!("blocks = {LEAST_BLOCKS} or more in [system]") }
        }
        State::Unclear => {
            ClaimVerdict::NotShown { missing: "narrower intervals: more blocks in [system]".into() }
        }
    };
    let quantity = lane.quantity(Unit::Ns);
    let took = |curve: &Curve<'_>| {
        curve.get(&scale).and_then(middle).map_or_else(|| "—".into(), |time| quantity.show(time))
    };
    let listed_by = |count: Option<u64>| match count {
        Some(0) => "none".to_owned(),
        Some(count) => thousands(count),
        None => "not seen".to_owned(),
    };
    let measured = format!(
        "the sync of a change at {} takes {} in {} instead of {} in {} ({} for {}); programs that list meanwhile: {} instead of {}",
        services(scale),
        took(after),
        new.label,
        took(before),
        old.label,
        percent(found.share, found.interval),
        found.modes[1],
        listed_by(Some(programs)),
        listed_by(lists(old)),
    );
    let shown = Reference {
        plot: lane.plot("change-sync"),
        workload: workload::KUBE_PROXY_CHANGES,
        metric: metric::SYNC_DURATION,
        modes: vec![NFTABLES.to_owned()],
        services: vec![scale],
    };
    Some(lane.settled(verdict, measured, vec![ratio(&found)], vec![shown]))
}

fn ratio(found: &ModeDifference<'_>) -> MeasuredValue {
    let [cheaper, costlier] = found.modes;
    let what =
        format!("sync of a change, nftables: {costlier} over {cheaper} at {}", services(found.services));
    let interval = found
        .interval
        .map(|interval| crate::stats::Interval { low: interval.low + 1.0, high: interval.high + 1.0 });
    MeasuredValue::new(what, "ratio", found.share + 1.0, interval, found.blocks)
}

fn lacking(old: bool) -> String {
    let which = if old { "kube-proxy:1.36 or older" } else { "kube-proxy:1.37 or newer" };
    format!("{which} in systems, in nftables mode with changes in [system]: svcbench run versions")
}

/// "Since 1.37 a Service with one endpoint has no map": kubernetes #140723. Before, a Service chose among its endpoints by a map in its
/// chain, however few there were.
///
/// Rule, in nftables mode, from what the kernel has at one endpoint per Service and 100 Services at least: holds if every kube-proxy of
/// 1.37 or later has fewer maps without a name than 90% of the Services, and every older one at least so many. One block is enough:
/// counts are exact.
pub(super) fn no_map_for_one_endpoint(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let systems = Systems::of(lane.groups)?;
    let counts = lane.groups.of(workload::KUBE_PROXY_JOIN, metric::ANONYMOUS_MAPS);
    let counts = counts.filter(|(key, group)| key.mode == NFTABLES && !group.measured.is_empty());
    counts.clone().next()?;
    // The largest scale of each version decides.
    let mut found: BTreeMap<usize, (u32, f64)> = BTreeMap::new();
    for (key, group) in counts.filter(|(key, _)| key.endpoints == 1 && key.services >= LEAST_SCALE) {
        let Some(place) = systems.names.iter().position(|name| name.column == key.system) else { continue };
        let Some(maps) = middle(&group.per_block(Record::p50)) else { continue };
        found.insert(place, (key.services, maps));
    }
    let mut seen: [Vec<(&SystemName, u32, f64)>; 2] = [Vec::new(), Vec::new()];
    for (place, (scale, maps)) in found {
        let Some(name) = systems.names.get(place) else { continue };
        if let Some(new) = is_new(name) {
            seen[usize::from(new)].push((name, scale, maps));
        }
    }
    let [old, new] = &seen;
    if new.is_empty() && old.is_empty() {
        return Some(lane.not_shown(format!(
            "endpoints = 1, and {} Services at least, in nftables mode",
            thousands(LEAST_SCALE)
        )));
    }
    if new.is_empty() || old.is_empty() {
        return Some(lane.not_shown(lacking(old.is_empty())));
    }
    let has_map = |(_, scale, maps): &(&SystemName, u32, f64)| *maps >= HAS_MAP * f64::from(*scale);
    let holds = old.iter().all(has_map) && !new.iter().any(has_map);
    let verdict = if holds { ClaimVerdict::Holds } else { ClaimVerdict::DoesNotHold };
    let all = || old.iter().chain(new);
    let parts: Vec<String> = all()
        .map(|(name, scale, maps)| {
            format!(
                "{}: {} maps without a name for {}",
                name.label,
                thousands(*maps as u64),
                services(*scale)
            )
        })
        .collect();
    let figures = all().map(|(name, scale, maps)| {
        let what = format!("{}, nftables, {}: maps without a name", name.label, services(*scale));
        MeasuredValue::new(what, "count", *maps, None, 1)
    });
    let shown = Reference {
        plot: None,
        workload: workload::KUBE_PROXY_JOIN,
        metric: metric::ANONYMOUS_MAPS,
        modes: vec![NFTABLES.to_owned()],
        services: all().map(|(_, scale, _)| *scale).collect::<BTreeSet<_>>().into_iter().collect(),
    };
    Some(lane.settled(verdict, parts.join("; "), figures.collect(), vec![shown]))
}
