//! The impact of rule changes on loads, as figures: response times over time, with the syncs.

use std::collections::BTreeSet;

use super::figure::{Figure, Line, Panel, Point, Span, XAxis};
use crate::names::{mode_rank, workload};
use crate::platform::Platform;
use crate::record::{Clock, Unit};
use crate::stats::Estimate;
use crate::text::{Quantity, thousands};
use crate::timeline::{ImpactRow, TimelineRow, Timelines};

/// File name, what happens (as in names of workloads), and title.
const RULE_CHANGES: [(&str, &str, &str); 5] = [
    ("disruption-full-sync", "full_sync", "Traffic during the periodic full sync"),
    ("disruption-partial-sync", "partial_sync", "Traffic while one endpoint is replaced"),
    ("disruption-endpoint-churn", "endpoint_churn", "Traffic during a rolling update"),
    ("disruption-service-churn", "service_churn", "Traffic while Services come and go"),
    ("disruption-restart", "restart", "Traffic while kube-proxy restarts"),
];
/// File name, workload, and title, of what happens to a real kube-proxy.
const DISTURBANCES: [(&str, &str, &str); 3] = [
    ("kube-proxy-api-away", workload::KUBE_PROXY_API_AWAY, "Traffic while the API server is away"),
    ("kube-proxy-relist", workload::KUBE_PROXY_RELIST, "Traffic while kube-proxy lists everything anew"),
    ("kube-proxy-restart", workload::KUBE_PROXY_RESTART, "Traffic while a real kube-proxy restarts"),
];
/// More modes than this side by side cannot be read.
const MOST_PANELS: usize = 4;

/// Nor more points than this in a line.
const MOST_POINTS: usize = 1_000;

/// One figure for each that happened in `platform`: the load that names come first of, at the largest scale that most modes
/// have, with a panel per mode.
pub(super) fn disruptions(platform: Platform<'_>, all: &Timelines) -> Vec<Figure> {
    let impact: Vec<&ImpactRow> = all
        .impact
        .iter()
        .filter(|row| {
            Platform { clock: row.cell.clock, kernel: &row.cell.kernel, hypervisor: &row.cell.hypervisor }
                == platform
        })
        .collect();
    let of_plans = RULE_CHANGES.iter().filter_map(|(name, change, title)| {
        let prefix = format!("{}{change}.", workload::DISRUPTION);
        let load = impact.iter().filter_map(|row| row.cell.workload.strip_prefix(&prefix)).min()?;
        let title = format!("{title}: {load}");
        figure(platform, &impact, &all.syncs, name, &format!("{prefix}{load}"), &title, ", ")
    });
    let of_systems = DISTURBANCES.iter().filter_map(|(name, workload, title)| {
        figure(platform, &impact, &all.syncs, name, workload, title, ": ")
    });
    of_plans.chain(of_systems).collect()
}

/// Of one workload. `comma`: between the title and the scale.
fn figure(
    platform: Platform<'_>,
    impact: &[&ImpactRow],
    syncs: &[TimelineRow],
    name: &'static str,
    workload: &str,
    title: &str,
    comma: &str,
) -> Option<Figure> {
    let impact: Vec<&ImpactRow> =
        impact.iter().copied().filter(|row| row.cell.workload == workload).collect();
    let scales: BTreeSet<(u32, u32)> =
        impact.iter().map(|row| (row.cell.services, row.cell.endpoints)).collect();
    let modes_at = |scale: (u32, u32)| {
        let here = impact.iter().filter(|row| (row.cell.services, row.cell.endpoints) == scale);
        here.map(|row| (mode_rank(&row.cell.mode), row.cell.mode.as_str())).collect::<BTreeSet<_>>()
    };
    let scale = *scales.iter().max_by_key(|scale| (modes_at(**scale).len(), **scale))?;
    let quantity = Quantity::of(Unit::Ns, platform.clock);
    let mut remarks = Vec::new();
    let mut panels = Vec::new();
    for (_, mode) in modes_at(scale).into_iter().take(MOST_PANELS) {
        let rows = impact
            .iter()
            .copied()
            .filter(|row| (row.cell.services, row.cell.endpoints) == scale && row.cell.mode == mode);
        let Some(first) = rows.clone().map(|row| (&row.cell.run, row.cell.block, row.cell.order)).min()
        else {
            continue;
        };
        let rows: Vec<&ImpactRow> =
            rows.filter(|row| (&row.cell.run, row.cell.block, row.cell.order) == first).collect();
        let lost: u64 = rows.iter().map(|row| row.lost).sum();
        remarks.push((mode.to_owned(), format!("{} lost", thousands(lost))));
        let spans = syncs
            .iter()
            .filter(|row| (&row.cell.run, row.cell.block, row.cell.order) == first && row.cell.mode == mode)
            // A cell of a real kube-proxy has several workloads.
            .filter(|row| row.cell.workload == workload)
            .map(|row| Span {
                mode: mode.to_owned(),
                from: row.start as f64,
                to: row.end.max(row.start) as f64,
                y: row.end.saturating_sub(row.start) as f64,
                hollow: false,
            });
        panels.push(Panel {
            heading: mode.to_owned(),
            x: XAxis::Time,
            quantity,
            lines: vec![line(mode, &rows, false, |row| row.max), line(mode, &rows, true, |row| row.p50)],
            spans: spans.collect(),
            bars: Vec::new(),
            gaps: Vec::new(),
            limits: Vec::new(),
            crosses: Vec::new(),
            empty: String::new(),
        });
    }
    let mut notes: Vec<String> = super::timelines::thin(&mut panels).into_iter().collect();
    notes.extend(thin(&mut panels));
    let (services, endpoints) = scale;
    let since = match platform.clock {
        Clock::Wall => "",
        Clock::Instructions => ", in 10⁹ instructions, a guest's second",
    };
    Some(Figure {
        name,
        title: format!("{title}{comma}{} Services x {}", thousands(services), thousands(endpoints)),
        subtitle: format!(
            "by when requests were due{since}: the longest response time of each part, dashed: p50; bars with a mark: syncs, \
             as high as they took"
        ),
        remarks,
        panels,
        notes,
    })
}

/// Of so many neighbouring parts that points would lie on one another, leaves the highest; says so.
fn thin(panels: &mut [Panel]) -> Option<String> {
    let mut together = 1;
    for line in panels.iter_mut().flat_map(|panel| &mut panel.lines) {
        let step = line.points.len().div_ceil(MOST_POINTS).max(1);
        let highest = |part: &[Point]| part.iter().copied().max_by(|a, b| a.y.median.total_cmp(&b.y.median));
        line.points = line.points.chunks(step).filter_map(highest).collect();
        together = together.max(step);
    }
    (together > 1).then(|| {
        format!(
            "Of every {} parts the one with the highest value is drawn; impact.csv has all.",
            thousands(together as u64)
        )
    })
}

fn line(mode: &str, rows: &[&ImpactRow], secondary: bool, of: fn(&ImpactRow) -> Option<u64>) -> Line {
    let point = |row: &&ImpactRow| {
        let value = of(row)? as f64;
        let y = Estimate { median: value, interval: None, n: 1, identical: true };
        Some(Point { x: (row.from + row.length / 2) as f64, y, group: None })
    };
    Line { mode: mode.to_owned(), secondary, level: false, points: rows.iter().filter_map(point).collect() }
}
