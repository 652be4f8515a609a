//! Rows to series: what each figure shows, as pure data, before anything is drawn.

mod chosen;
mod contenders;
mod disruptions;
mod figure;
mod loads;
mod notes;
mod systems;
mod timelines;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use self::chosen::Chosen;
pub use self::figure::{Bar, Cross, Figure, Gap, Line, Panel, Point, Span, XAxis};
use self::notes::notes;
pub use self::systems::systems;
use self::words::{TAIL, gives_up, subtitle, unit_words};
use crate::findings::Finding;
use crate::groups::Groups;
use crate::names::{is_control, metric, position, workload};
use crate::record::{Clock, Record, Status, Unit};
use crate::stats::Medians;
use crate::text::{LOCK_ON_ONE_CPU, thousands};
use crate::timeline::Timelines;

const PARTIAL_SYNCS: [(&str, &str); 4] = [
    (workload::PARTIAL_SYNC_REPLACE_ENDPOINT, "endpoint replaced"),
    (workload::PARTIAL_SYNC_ADD_SERVICE, "Service added"),
    (workload::PARTIAL_SYNC_REMOVE_SERVICE, "Service removed"),
    (workload::PARTIAL_SYNC_NOOP, "nothing changed"),
];

/// The figures of one platform that it has rows for, in report order: lookup, sync, lock, connect, load, churn, disruption. `findings` are
/// those of the same platform; `timeline` is of all platforms.
pub fn figures(
    groups: &Groups<'_>,
    findings: &[Finding],
    timeline: &Timelines,
    medians: &mut Medians,
) -> Vec<Figure> {
    let has = |wanted: &[&str]| groups.map.keys().any(|key| wanted.contains(&key.workload));
    let mut figures = Vec::new();
    if has(&[workload::PACKET_PROBE]) {
        figures.push(lookup(groups, findings, medians));
    }
    let partial = PARTIAL_SYNCS.map(|(name, _)| name);
    if has(&[workload::FULL_SYNC_COLD, workload::APPEND]) || has(&partial) {
        figures.push(sync(groups, medians));
    }
    if has(&[workload::XTABLES_LOCK]) {
        figures.push(lock(groups, medians));
        figures.extend(contenders::contenders(groups, medians));
    }
    if has(&[workload::TCP_CRR]) {
        figures.push(connect(groups, medians));
    }
    figures.extend(loads::loads(groups, medians));
    figures.extend(timelines::timelines(groups.platform, &timeline.syncs));
    figures.extend(disruptions::disruptions(groups.platform, timeline));
    figures
}

fn lookup(groups: &Groups<'_>, findings: &[Finding], medians: &mut Medians) -> Figure {
    let (probe, first) = (workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET);
    let chosen = Chosen::new(groups, probe, first);
    let mut scale = chosen.panel(groups, "Last Service in the list");
    scale.lines = chosen.lines(medians, Record::p50, false);
    let mut by_position = position_panel(groups, medians, &chosen);
    by_position.gaps.clear();
    let slopes = if findings.is_empty() { "" } else { "; beside each mode: its slope" };
    Figure {
        name: "lookup",
        title: format!("Lookup: first packet of a new flow, {}", unit_words(groups)),
        subtitle: subtitle(&[&scale], slopes, &chosen.scope()),
        remarks: findings.iter().filter_map(|finding| slope_remark(groups, finding)).collect(),
        notes: notes(groups, &[(probe, first)], std::slice::from_ref(&scale)),
        panels: vec![scale, by_position],
    }
}

/// The slope as the legend shows it.
fn slope_remark(groups: &Groups<'_>, finding: &Finding) -> Option<(String, String)> {
    let (slope, interval) = finding.slope_in(groups.quantity(Unit::Ns))?;
    let sign = if finding.slope?.per_service > 0.0 { "+" } else { "" };
    Some((finding.mode.clone(), format!("{sign}{slope} per {}{interval}", finding.per())))
}

/// Lookup against position, at the largest scale that every measured proxy mode reached.
fn position_panel(groups: &Groups<'_>, medians: &mut Medians, chosen: &Chosen<'_>) -> Panel {
    const NAMES: [&str; 4] = [position::FIRST, position::MIDDLE, position::LAST, position::MISS];
    let mut reached: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
    let rows = groups.of(workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET);
    let rows = rows.filter(|(key, _)| chosen.shows(key));
    for (key, group) in rows.clone() {
        if !is_control(key.mode) && NAMES.contains(&key.position) && !group.measured.is_empty() {
            reached.entry(key.services).or_default().insert(key.mode);
        }
    }
    let most = reached.values().map(BTreeSet::len).max().unwrap_or(0);
    let common = reached.iter().rev().find(|(_, modes)| modes.len() == most).map(|(services, _)| *services);
    let heading = common.map_or_else(
        || "By position in the list".to_owned(),
        |services| format!("By position, {} Services", thousands(services)),
    );
    let mut panel = chosen.panel(groups, &heading);
    panel.x = XAxis::Names(NAMES.to_vec());
    let mut lines: Vec<Line> = Vec::new();
    for (key, group) in rows.filter(|(key, _)| Some(key.services) == common) {
        let Some(index) = NAMES.iter().position(|name| *name == key.position) else { continue };
        let Some(y) = group.estimate(medians, Record::p50) else { continue };
        let point = Point { x: index as f64, y, group: Some(group.number) };
        match lines.last_mut().filter(|line| line.mode == key.mode) {
            Some(line) => line.points.push(point),
            None => lines.push(Line {
                mode: key.mode.to_owned(),
                secondary: false,
                level: false,
                points: vec![point],
            }),
        }
    }
    for line in &mut lines {
        line.points.sort_by(|a, b| a.x.total_cmp(&b.x));
        line.points.dedup_by(|a, b| a.x == b.x);
    }
    // Controls without positions are levels to read the modes against.
    for control in chosen.lines(medians, Record::p50, false) {
        let absent = lines.iter().all(|line| line.mode != control.mode);
        let Some(last) = control.points.last().filter(|_| absent && is_control(&control.mode)) else {
            continue;
        };
        lines.push(Line { level: true, points: vec![Point { x: 0.0, ..*last }], ..control.clone() });
    }
    panel.lines = lines;
    panel
}

fn sync(groups: &Groups<'_>, medians: &mut Medians) -> Figure {
    let measured = |name: &str| groups.of(name, metric::APPLY).any(|(_, group)| !group.measured.is_empty());
    let partial = PARTIAL_SYNCS.iter().find(|(name, _)| measured(name)).unwrap_or(&PARTIAL_SYNCS[0]);
    let shown = [
        (workload::FULL_SYNC_COLD, "Full sync, empty kernel".to_owned()),
        (partial.0, format!("Partial sync: {}", partial.1)),
        (workload::APPEND, "Append: one rule or server".to_owned()),
    ];
    let mut scope = String::new();
    let mut panels = Vec::new();
    for (name, heading) in &shown {
        let chosen = Chosen::new(groups, name, metric::APPLY);
        if scope.is_empty() {
            scope = chosen.scope();
        }
        let mut panel = chosen.panel(groups, heading);
        panel.lines = chosen.lines(medians, Record::p50, false);
        panels.push(panel);
    }
    let sources: Vec<_> = shown.iter().map(|(name, _)| (*name, metric::APPLY)).collect();
    Figure {
        name: "sync",
        title: format!("Rule sync: applying the rules to the kernel, {}", unit_words(groups)),
        subtitle: subtitle(&panels.iter().collect::<Vec<_>>(), "", &scope),
        remarks: Vec::new(),
        notes: notes(groups, &sources, &panels),
        panels,
    }
}

fn lock(groups: &Groups<'_>, medians: &mut Medians) -> Figure {
    let name = workload::XTABLES_LOCK;
    let sources = [(name, metric::LOCK_WAIT), (name, metric::CONTENDER_OPERATION)];
    let headings = ["Waiting for the xtables lock", "One contending “iptables -w 5”"];
    let timeouts = Chosen::new(groups, name, metric::LOCK_TIMEOUTS);
    let mut scope = String::new();
    let mut panels = Vec::new();
    for ((name, metric), heading) in sources.into_iter().zip(headings) {
        let chosen = Chosen::new(groups, name, metric);
        if scope.is_empty() {
            scope = chosen.scope();
        }
        let mut panel = chosen.panel(groups, heading);
        panel.lines = chosen.lines(medians, Record::p50, false);
        panel.lines.extend(chosen.lines(medians, Record::p99, true));
        if !panel.lines.is_empty() {
            panel.limits.push(gives_up(groups));
            for (mode, services, group) in timeouts.cells() {
                let total: u64 = group.measured.iter().filter_map(|row| row.p50).fold(0, u64::saturating_add);
                if total > 0 && panel.lines.iter().any(|line| line.mode == mode) {
                    let label = thousands(total);
                    panel.crosses.push(Cross {
                        mode: mode.to_owned(),
                        x: f64::from(services),
                        y: 5e9,
                        label,
                    });
                }
            }
        }
        panels.push(panel);
    }
    let syncs = Chosen::new(groups, name, metric::HOLDER_FULL_SYNC);
    let mut lines = notes(groups, &sources, &panels);
    if panels.iter().any(|panel| !panel.crosses.is_empty()) {
        lines.insert(0, "Crosses count commands that gave up, in all blocks.".to_owned());
    }
    if syncs.cells().next().is_some() {
        let mut held = syncs.panel(groups, "A full sync against them");
        held.lines = syncs.lines(medians, Record::p50, false);
        lines.splice(0..0, unfinished(&syncs, !held.lines.is_empty()));
        panels.push(held);
    }
    if groups.platform.clock == Clock::Instructions {
        lines.insert(0, LOCK_ON_ONE_CPU.to_owned());
    }
    Figure {
        name: "lock",
        title: format!("The xtables lock under contention, {}", unit_words(groups)),
        subtitle: subtitle(&panels.iter().collect::<Vec<_>>(), TAIL, &scope),
        remarks: Vec::new(),
        notes: lines,
        panels,
    }
}

/// Which syncs were ended before they were done. `marked`: there are hollow markers for them.
fn unfinished(syncs: &Chosen<'_>, marked: bool) -> Option<String> {
    let mut modes: Vec<(&str, Vec<String>)> = Vec::new();
    for (mode, services, group) in syncs.cells() {
        if !group.measured.is_empty() || group.lost.iter().all(|row| row.status != Status::Skipped) {
            continue;
        }
        match modes.last_mut().filter(|(known, _)| *known == mode) {
            Some((_, scales)) => scales.push(thousands(services)),
            None => modes.push((mode, vec![thousands(services)])),
        }
    }
    if modes.is_empty() {
        return None;
    }
    let modes = modes.iter().map(|(mode, scales)| format!("{mode} at {}", scales.join("; ")));
    let modes = modes.collect::<Vec<_>>().join(", ");
    let markers = if marked { " (hollow markers)" } else { "" };
    Some(format!(
        "Syncs ended unfinished{markers}, contenders measured all the same: {modes}. Why: in the report."
    ))
}

fn connect(groups: &Groups<'_>, medians: &mut Medians) -> Figure {
    let name = workload::TCP_CRR;
    let response = Chosen::new(groups, name, metric::RESPONSE_TIME);
    let mut time = response.panel(groups, "Response time, connect to close");
    time.lines = response.lines(medians, Record::p50, false);
    time.lines.extend(response.lines(medians, Record::p99, true));
    let rate = Chosen::new(groups, name, metric::TRANSACTIONS_PER_SECOND);
    let heading = match groups.platform.clock {
        Clock::Wall => "Transactions per second",
        Clock::Instructions => "Transactions per 10⁹ instructions",
    };
    let mut per_second = rate.panel(groups, heading);
    per_second.quantity = groups.quantity(Unit::PerSecond);
    per_second.lines = rate.lines(medians, Record::p50, false);
    let sources = [(name, metric::RESPONSE_TIME), (name, metric::TRANSACTIONS_PER_SECOND)];
    let panels = vec![time, per_second];
    Figure {
        name: "connect",
        title: format!("New TCP connections: tcp_crr, {}", unit_words(groups)),
        subtitle: subtitle(&panels.iter().collect::<Vec<_>>(), TAIL, &response.scope()),
        remarks: Vec::new(),
        notes: notes(groups, &sources, &panels),
        panels,
    }
}
