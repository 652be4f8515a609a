//! Rows to series: what each figure shows, as pure data, before anything is drawn.

mod chosen;
mod contenders;
mod disruptions;
mod loads;
mod notes;
mod timelines;

use std::collections::{BTreeMap, BTreeSet};

use self::chosen::Chosen;
use self::notes::notes;
use crate::findings::Finding;
use crate::groups::Groups;
use crate::names::{is_control, metric, position, workload};
use crate::record::{Clock, Record, Status, Unit};
use crate::stats::{Estimate, Medians};
use crate::tables::LOCK_ON_ONE_CPU;
use crate::text::{Quantity, thousands};
use crate::timeline::Timelines;

/// One figure: panels side by side under a common title and legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// File name without extension.
    pub name: &'static str,
    /// The quantity, in words.
    pub title: String,
    /// What the points are.
    pub subtitle: String,
    /// What the legend says beside a mode's name: mode and text.
    pub remarks: Vec<(String, String)>,
    /// Panels, left to right.
    pub panels: Vec<Panel>,
    /// What is missing, and why; one line each.
    pub notes: Vec<String>,
}

impl Figure {
    /// What the legend says beside a mode's name; empty if nothing.
    pub fn remark(&self, mode: &str) -> &str {
        self.remarks.iter().find(|(name, _)| name == mode).map_or("", |(_, text)| text)
    }
}

/// One pair of axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Heading.
    pub heading: String,
    /// The horizontal axis.
    pub x: XAxis,
    /// The vertical axis.
    pub quantity: Quantity,
    /// Lines, in legend order.
    pub lines: Vec<Line>,
    /// Single events, of a panel over time.
    pub spans: Vec<Span>,
    /// Cells without a figure.
    pub gaps: Vec<Gap>,
    /// Horizontal reference lines: value and label.
    pub limits: Vec<(f64, String)>,
    /// Crosses with a label, such as timeouts.
    pub crosses: Vec<Cross>,
    /// Why there is nothing to draw; empty if there is something.
    pub empty: String,
}

impl Panel {
    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.spans.is_empty()
    }
}

/// The horizontal axis of a panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XAxis {
    /// Number of Services, logarithmic.
    Services,
    /// Number of contenders, logarithmic.
    Contenders,
    /// Named positions; x is the index.
    Names(Vec<&'static str>),
    /// Time since the beginning, linear, in the panel's quantity.
    Time,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Mode.
    pub mode: String,
    /// Secondary lines (a tail beside its median) are thin, dashed and without interval bars.
    pub secondary: bool,
    /// A control measured at one scale only: drawn across the panel.
    pub level: bool,
    /// Points, left to right.
    pub points: Vec<Point>,
}

/// One point: the median over blocks, its interval and the number of blocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Services, or the index of a name.
    pub x: f64,
    /// In the panel's quantity.
    pub y: Estimate,
    /// Number of the group of rows behind it; None where it is not of `records.csv`.
    pub group: Option<usize>,
}

/// One event that takes time.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Mode.
    pub mode: String,
    /// When it began, in the unit of [`XAxis::Time`].
    pub from: f64,
    /// When it had ended.
    pub to: f64,
    /// In the panel's quantity.
    pub y: f64,
    /// Whether its marker is white inside.
    pub hollow: bool,
}

/// A cell that has no figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// Mode.
    pub mode: String,
    /// Services.
    pub x: f64,
}

/// A labelled cross.
#[derive(Debug, Clone, PartialEq)]
pub struct Cross {
    /// Mode.
    pub mode: String,
    /// Services.
    pub x: f64,
    /// In the panel's quantity.
    pub y: f64,
    /// Text beside it.
    pub label: String,
}

/// Explains the secondary lines.
const TAIL: &str = "; thin and dashed: p99";
const PARTIAL_SYNCS: [(&str, &str); 4] = [
    (workload::PARTIAL_SYNC_REPLACE_ENDPOINT, "endpoint replaced"),
    (workload::PARTIAL_SYNC_ADD_SERVICE, "Service added"),
    (workload::PARTIAL_SYNC_REMOVE_SERVICE, "Service removed"),
    (workload::PARTIAL_SYNC_NOOP, "nothing changed"),
];

/// The figures of one world that it has rows for, in report order: lookup, sync, lock, connect, load, churn, disruption. `findings` are
/// those of the same world; `timeline` is of all worlds.
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
    figures.extend(timelines::timelines(groups.world, &timeline.syncs));
    figures.extend(disruptions::disruptions(groups.world, timeline));
    figures
}

fn p50(row: &Record) -> Option<u64> {
    row.p50
}

fn p99(row: &Record) -> Option<u64> {
    row.p99
}

fn lookup(groups: &Groups<'_>, findings: &[Finding], medians: &mut Medians) -> Figure {
    let (probe, first) = (workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET);
    let chosen = Chosen::new(groups, probe, first);
    let mut scale = chosen.panel(groups, "Last Service in the list");
    scale.lines = chosen.lines(medians, p50, false);
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
        let Some(y) = group.estimate(medians, p50) else { continue };
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
    for control in chosen.lines(medians, p50, false) {
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
        panel.lines = chosen.lines(medians, p50, false);
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
        panel.lines = chosen.lines(medians, p50, false);
        panel.lines.extend(chosen.lines(medians, p99, true));
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
        held.lines = syncs.lines(medians, p50, false);
        lines.splice(0..0, unfinished(&syncs, !held.lines.is_empty()));
        panels.push(held);
    }
    if groups.world.clock == Clock::Instructions {
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

/// When `-w 5` gives up, and its label.
fn gives_up(groups: &Groups<'_>) -> (f64, String) {
    let limit = match groups.world.clock {
        Clock::Wall => "5 s",
        Clock::Instructions => "5 G",
    };
    (5e9, format!("{limit}: “-w 5” gives up"))
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
    time.lines = response.lines(medians, p50, false);
    time.lines.extend(response.lines(medians, p99, true));
    let rate = Chosen::new(groups, name, metric::TRANSACTIONS_PER_SECOND);
    let heading = match groups.world.clock {
        Clock::Wall => "Transactions per second",
        Clock::Instructions => "Transactions per 10⁹ instructions",
    };
    let mut per_second = rate.panel(groups, heading);
    per_second.quantity = groups.quantity(Unit::PerSecond);
    per_second.lines = rate.lines(medians, p50, false);
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

/// What the points of `panels` are: quantile, number of blocks, interval, then the scope.
fn subtitle(panels: &[&Panel], tail: &str, scope: &str) -> String {
    let points = panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
    let blocks: BTreeSet<usize> = points.clone().map(|point| point.y.n).collect();
    let identical = points.clone().all(|point| point.y.identical);
    let what = match (blocks.first(), blocks.last()) {
        (Some(few), Some(many)) if identical && few == many => format!("p50, identical in all {few} blocks"),
        (Some(few), Some(many)) if identical => {
            format!("p50, identical in all blocks, {few} to {many} of them")
        }
        (Some(1), Some(1)) => "p50 of one block, hence no interval".to_owned(),
        (Some(few), Some(many)) if few == many => format!("p50, median over {many} blocks with 95% interval"),
        (Some(few), Some(many)) => format!("p50, median over {few} to {many} blocks with 95% interval"),
        _ => "p50 of each block".to_owned(),
    };
    format!("{what}{tail}{scope}")
}

fn unit_words(groups: &Groups<'_>) -> &'static str {
    match groups.world.clock {
        Clock::Wall => "wall time",
        Clock::Instructions => "guest instructions",
    }
}
