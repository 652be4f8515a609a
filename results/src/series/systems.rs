//! Real kube-proxies: how soon a node that joins answers and packets obey changes against scale, one panel for each mode and one
//! line for each system; and what their syncs are made of, as bars.

use std::collections::BTreeMap;

use super::figure::{Bar, Figure, Gap, Line, Panel, Point, XAxis};
use super::notes::notes;
use super::words::{TAIL, subtitle, unit_words};
use crate::groups::{Group, GroupKey};
use crate::names::{metric, position, workload};
use crate::record::{Clock, Record, Unit};
use crate::stats::Medians;
use crate::systems::{PLAN, SyncKind, SyncPhases, Systems, sync_phases};
use crate::text::{shorten, thousands};

/// More bars than this in a panel are not read; the rest is in the tables.
const MOST_BARS: usize = 10;
/// kube-proxy's default for the time between two syncs in iptables and nftables mode (`minSyncPeriod`), nanoseconds.
const LEAST_BETWEEN_SYNCS: f64 = 1e9;

type Cell<'a> = (&'a GroupKey<'a>, &'a Group<'a>);

/// The figures of real kube-proxies, those that there are rows for. `plan`: the version that svcbench's plans imitate; empty: not
/// known.
pub fn systems(systems: &Systems<'_>, plan: &str, medians: &mut Medians) -> Vec<Figure> {
    let mut figures = Vec::new();
    figures.extend(joins(systems, medians));
    figures.extend(latency(systems, medians));
    figures.extend(phases(systems, SyncKind::First, plan));
    figures.extend(phases(systems, SyncKind::Change, plan));
    figures
}

fn joins(systems: &Systems<'_>, medians: &mut Medians) -> Option<Figure> {
    let name = workload::KUBE_PROXY_JOIN;
    let cells =
        systems.of_metric(name, metric::FIRST_ANSWER).filter(|(key, _)| key.position == position::LAST);
    let panels = panels(systems, name, &cells.collect::<Vec<_>>(), &[(Record::p50, false)], medians);
    let title = format!(
        "A node joins: from the start of kube-proxy until its last Service answers, {}",
        unit_words(systems.groups)
    );
    figure(systems, "kube-proxy-join", title, panels, &[(name, metric::FIRST_SYNC_ENDED)], "")
}

fn latency(systems: &Systems<'_>, medians: &mut Medians) -> Option<Figure> {
    let name = workload::KUBE_PROXY_CHANGES;
    let cells: Vec<Cell<'_>> = systems.of_metric(name, metric::PROGRAMMING_LATENCY).collect();
    let fields: [(Field, bool); 2] = [(Record::p50, false), (Record::p99, true)];
    let mut panels = panels(systems, name, &cells, &fields, medians);
    if systems.groups.platform.clock == Clock::Wall {
        for panel in panels.iter_mut().filter(|panel| !panel.lines.is_empty() && panel.heading != "ipvs") {
            panel.limits.push((LEAST_BETWEEN_SYNCS, "1 s between syncs".to_owned()));
        }
    }
    let title =
        format!("Programming latency: from the event until packets obey it, {}", unit_words(systems.groups));
    let sources = [(name, metric::FIRST_SYNC_ENDED), (workload::KUBE_PROXY_JOIN, metric::FIRST_SYNC_ENDED)];
    figure(systems, "programming-latency", title, panels, &sources, TAIL)
}

type Field = fn(&Record) -> Option<u64>;

/// A panel over Services for each mode. `cells`: those with the figure; `name`: the workload whose headline says which have none.
fn panels(
    systems: &Systems<'_>,
    name: &str,
    cells: &[Cell<'_>],
    fields: &[(Field, bool)],
    medians: &mut Medians,
) -> Vec<Panel> {
    let of_mode = |mode: &str| {
        let own: Vec<&Cell<'_>> = cells.iter().filter(|(key, _)| key.mode == mode).collect();
        let mut lines: Vec<Line> = Vec::new();
        for (field, secondary) in fields {
            // By system, and by scale within it.
            let mut found: BTreeMap<usize, Line> = BTreeMap::new();
            for (key, group) in &own {
                let Some(place) = systems.names.iter().position(|own| own.column == key.system) else {
                    continue;
                };
                let Some(y) = group.estimate(medians, *field).filter(|_| key.services > 0) else { continue };
                let line = found.entry(place).or_insert_with(|| Line {
                    mode: systems.label(key.system).to_owned(),
                    secondary: *secondary,
                    level: false,
                    points: Vec::new(),
                });
                line.points.push(Point { x: f64::from(key.services), y, group: Some(group.number) });
            }
            for mut line in found.into_values() {
                line.points.sort_by(|a, b| a.x.total_cmp(&b.x));
                lines.push(line);
            }
        }
        let gaps: Vec<Gap> = missing(systems, name, mode, &own)
            .map(|(system, services)| Gap { mode: systems.label(system).to_owned(), x: f64::from(services) })
            .collect();
        Panel {
            heading: mode.to_owned(),
            x: XAxis::Services,
            quantity: systems.groups.quantity(Unit::Ns),
            lines,
            spans: Vec::new(),
            bars: Vec::new(),
            gaps,
            limits: Vec::new(),
            crosses: Vec::new(),
            empty: why_none(systems, mode),
        }
    };
    systems.modes().into_iter().map(of_mode).collect()
}

/// Cells of a mode that were tried, and have no figure.
fn missing<'s>(
    systems: &'s Systems<'_>,
    name: &'s str,
    mode: &'s str,
    own: &[&Cell<'s>],
) -> impl Iterator<Item = (&'s str, u32)> {
    let measured: Vec<(&str, u32)> = own
        .iter()
        .filter(|(_, group)| !group.measured.is_empty())
        .map(|(key, _)| (key.system, key.services))
        .collect();
    let lost = |name: &'s str| {
        let rows = systems.of_metric(name, metric::FIRST_SYNC_ENDED);
        rows.filter(move |(key, group)| key.mode == mode && !group.lost.is_empty())
            .map(|(key, _)| (key.system, key.services))
    };
    let join = (name != workload::KUBE_PROXY_JOIN).then_some(workload::KUBE_PROXY_JOIN);
    let mut all: Vec<(&str, u32)> =
        lost(name).chain(join.into_iter().flat_map(lost)).filter(|cell| !measured.contains(cell)).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().filter(|(_, services)| *services > 0)
}

/// Why a panel of a mode has nothing to show.
fn why_none(systems: &Systems<'_>, mode: &str) -> String {
    let own = systems
        .groups
        .map
        .iter()
        .filter(|(key, _)| key.mode == mode && crate::systems::is_of_systems(key.workload));
    let lost = own.flat_map(|(_, group)| &group.lost).next();
    lost.map_or_else(
        || "not measured in this run".to_owned(),
        |row| shorten(&crate::text::printable(&format!("{} — {}", row.status, row.note)), 120),
    )
}

fn figure(
    systems: &Systems<'_>,
    name: &'static str,
    title: String,
    panels: Vec<Panel>,
    sources: &[(&str, &str)],
    tail: &str,
) -> Option<Figure> {
    if panels.iter().all(Panel::is_empty) {
        return None;
    }
    Some(Figure {
        name,
        title,
        subtitle: subtitle(&panels.iter().collect::<Vec<_>>(), tail, &scope(systems)),
        remarks: Vec::new(),
        notes: notes(systems.groups, sources, &panels),
        panels,
    })
}

fn scope(systems: &Systems<'_>) -> String {
    let endpoints = systems.endpoints;
    format!(" · {} endpoint{} per Service", thousands(endpoints), if endpoints == 1 { "" } else { "s" })
}

/// What syncs of one kind are made of: in each mode at the largest scale that most systems reached, the same bars in all panels.
fn phases(systems: &Systems<'_>, kind: SyncKind, plan: &str) -> Option<Figure> {
    let all = sync_phases(systems, kind);
    let mut shown: Vec<(&str, u32)> = Vec::new();
    for mode in systems.modes() {
        shown.extend(common_scale(&all, mode).map(|services| (mode, services)));
    }
    let is_shown = |sync: &&SyncPhases<'_>| shown.contains(&(sync.mode, sync.services));
    // Systems in their order, the plan last.
    let mut names: Vec<&str> = systems
        .names
        .iter()
        .map(|name| name.column.as_str())
        .chain([PLAN])
        .filter(|column| all.iter().filter(is_shown).any(|sync| sync.system == *column))
        .collect();
    let left_out = names.len().saturating_sub(MOST_BARS);
    names.truncate(MOST_BARS);
    let short = |column: &&str| match systems.names.iter().find(|name| name.column == *column) {
        Some(name) => shorten(name.short(), 20),
        None => shorten(format!("{PLAN} {plan}").trim(), 20),
    };
    let labels: Vec<String> = names.iter().map(short).collect();
    let panel = |&(mode, services): &(&str, u32)| {
        let own = all.iter().filter(|sync| (sync.mode, sync.services) == (mode, services));
        let bars = own.filter_map(|sync| Some((names.iter().position(|name| *name == sync.system)?, sync)));
        Panel {
            heading: format!("{mode}, {}", crate::text::services(services)),
            x: XAxis::Bars(labels.clone()),
            quantity: systems.groups.quantity(Unit::Ns),
            lines: Vec::new(),
            spans: Vec::new(),
            bars: bars.flat_map(|(row, sync)| pieces(row, sync)).collect(),
            gaps: Vec::new(),
            limits: Vec::new(),
            crosses: Vec::new(),
            empty: String::new(),
        }
    };
    let panels: Vec<Panel> = shown.iter().map(panel).filter(|panel| !panel.bars.is_empty()).collect();
    if panels.is_empty() {
        return None;
    }
    let (name, what, sync) = match kind {
        SyncKind::First => {
            ("first-sync", "The first sync, everything into an empty kernel", "the first sync")
        }
        SyncKind::Change => ("change-sync", "The sync of a change", "the mean over syncs while changes came"),
    };
    let more = if left_out > 0 { format!(" · {left_out} more in the tables") } else { String::new() };
    Some(Figure {
        name,
        title: format!("{what}: what its time goes to, {}", unit_words(systems.groups)),
        subtitle: format!("kube-proxy by version, {sync}; plan: svcbench’s own{}{more}", scope(systems)),
        remarks: Vec::new(),
        notes: Vec::new(),
        panels,
    })
}

/// The largest scale at which most real systems have their parts.
fn common_scale(all: &[SyncPhases<'_>], mode: &str) -> Option<u32> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for sync in all.iter().filter(|sync| sync.mode == mode && sync.system != PLAN) {
        *counts.entry(sync.services).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(services, count)| (*count, *services)).map(|(services, _)| services)
}

fn pieces(row: usize, sync: &SyncPhases<'_>) -> Vec<Bar> {
    let mut end = 0.0;
    let piece = |part: &crate::systems::PhaseTime| {
        let from = end;
        end += part.time;
        Bar { mode: part.phase.to_owned(), row, from, to: end, group: Some(part.group) }
    };
    sync.parts.iter().filter(|part| part.time > 0.0).map(piece).collect()
}
