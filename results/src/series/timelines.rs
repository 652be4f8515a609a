//! Churn scenarios as figures: each sync where it began, and how long it took.

use std::collections::{BTreeMap, BTreeSet};

use super::figure::{Figure, Panel, Span, XAxis};
use crate::names::{mode_rank, workload};
use crate::platform::Platform;
use crate::record::{Clock, Unit};
use crate::text::{Quantity, thousands};
use crate::timeline::TimelineRow;

/// File name, workload and title of each scenario.
const SCENARIOS: [(&str, &str, &str); 4] = [
    ("churn-rolling-update", workload::CHURN_ROLLING_UPDATE, "Churn: the rolling update of a Deployment"),
    ("churn-node-loss", workload::CHURN_NODE_LOSS, "Churn: a node is lost"),
    ("churn-scale-up", workload::CHURN_SCALE_UP, "Churn: a Deployment grows from one pod"),
    ("churn-idle", workload::CHURN_IDLE, "Churn: five minutes in which nothing changes"),
];

/// More scales than this side by side cannot be read; the largest are shown.
const MOST_PANELS: usize = 3;

/// Nor more marks than this in a panel.
const MOST_SPANS: usize = 2_000;

/// One figure for each scenario that has syncs in `platform`; in each a panel per scale.
pub(super) fn timelines(platform: Platform<'_>, rows: &[TimelineRow]) -> Vec<Figure> {
    let here: Vec<&TimelineRow> = rows.iter().filter(|row| platform_of(row) == platform).collect();
    SCENARIOS
        .iter()
        .filter_map(|(name, scenario, title)| figure(platform, &here, name, scenario, title))
        .collect()
}

fn platform_of(row: &TimelineRow) -> Platform<'_> {
    Platform { clock: row.cell.clock, kernel: &row.cell.kernel, hypervisor: &row.cell.hypervisor }
}

fn figure(
    platform: Platform<'_>,
    rows: &[&TimelineRow],
    name: &'static str,
    scenario: &str,
    title: &str,
) -> Option<Figure> {
    let rows: Vec<&TimelineRow> = rows.iter().filter(|row| row.cell.workload == scenario).copied().collect();
    let mut scales: BTreeSet<(u32, u32)> =
        rows.iter().map(|row| (row.cell.services, row.cell.endpoints)).collect();
    while scales.len() > MOST_PANELS {
        scales.pop_first();
    }
    let quantity = Quantity::of(Unit::Ns, platform.clock);
    let mut panels: Vec<Panel> = scales
        .iter()
        .map(|&(services, endpoints)| Panel {
            heading: format!("{} Services x {}", thousands(services), thousands(endpoints)),
            x: XAxis::Time,
            quantity,
            lines: Vec::new(),
            spans: spans(
                rows.iter().filter(|row| (row.cell.services, row.cell.endpoints) == (services, endpoints)),
            ),
            bars: Vec::new(),
            gaps: Vec::new(),
            limits: Vec::new(),
            crosses: Vec::new(),
            empty: String::new(),
        })
        .collect();
    let remarks = remarks(&panels);
    let notes = thin(&mut panels).into_iter().collect();
    (!panels.is_empty()).then(|| Figure {
        name,
        title: title.to_owned(),
        subtitle: subtitle(platform.clock),
        remarks,
        panels,
        notes,
    })
}

/// Leaves of the syncs of a panel as many as can be seen apart, evenly spread; says so.
pub(super) fn thin(panels: &mut [Panel]) -> Option<String> {
    let mut left_out = 0;
    for panel in panels {
        let step = panel.spans.len().div_ceil(MOST_SPANS).max(1);
        let before = panel.spans.len();
        let mut place = 0..;
        panel.spans.retain(|_| place.next().is_some_and(|place| place % step == 0));
        left_out += before - panel.spans.len();
    }
    (left_out > 0).then(|| {
        format!(
            "{} more syncs than can be told apart are not drawn; timelines.csv has all.",
            thousands(left_out as u64)
        )
    })
}

fn subtitle(clock: Clock) -> String {
    let what = match clock {
        Clock::Wall => "seconds",
        Clock::Instructions => "10⁹ instructions, a guest's second,",
    };
    format!(
        "each mark is one sync: across, {what} since the scenario began; up, how long it took; hollow: nothing had changed"
    )
}

/// The syncs of the first block of each mode.
fn spans<'a>(rows: impl Iterator<Item = &'a &'a TimelineRow>) -> Vec<Span> {
    let mut modes: BTreeMap<(usize, &str), Vec<&TimelineRow>> = BTreeMap::new();
    for row in rows {
        modes.entry((mode_rank(&row.cell.mode), &row.cell.mode)).or_default().push(row);
    }
    let mut spans = Vec::new();
    for ((_, mode), rows) in modes {
        let Some(first) = rows.iter().map(|row| (&row.cell.run, row.cell.block, row.cell.order)).min() else {
            continue;
        };
        let rows = rows.iter().filter(|row| (&row.cell.run, row.cell.block, row.cell.order) == first);
        spans.extend(rows.map(|row| Span {
            mode: mode.to_owned(),
            from: row.start as f64,
            to: row.end.max(row.start) as f64,
            y: row.end.saturating_sub(row.start) as f64,
            hollow: row.changes == 0,
        }));
    }
    spans
}

/// How many syncs each mode had, scale by scale.
fn remarks(panels: &[Panel]) -> Vec<(String, String)> {
    let modes: BTreeSet<&str> =
        panels.iter().flat_map(|panel| &panel.spans).map(|span| span.mode.as_str()).collect();
    let count = |panel: &Panel, mode: &str| panel.spans.iter().filter(|span| span.mode == mode).count();
    let shown = |mode: &&str| {
        let counts: Vec<String> = panels.iter().map(|panel| thousands(count(panel, mode) as u64)).collect();
        let noun = if counts == ["1"] { "sync" } else { "syncs" };
        ((*mode).to_owned(), format!("{} {noun}", counts.join(" / ")))
    };
    modes.iter().map(shown).collect()
}
