//! The report of a run's folder: its figures, one HTML page, one Markdown summary.
//!
//! Identical inputs give identical bytes: nothing here reads a clock or a hash map's order.

mod html;
mod markdown;
mod node;
mod pages;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use self::node::Node;
use self::pages::{Chapter, LOOKUP, Pages};
use crate::advice::advice;
use crate::claims::claims;
use crate::environment::{Environment, EnvironmentError};
use crate::findings::findings;
use crate::groups::Groups;
use crate::lanes::{HOST, lanes, rank};
use crate::names::{is_control, metric, workload};
use crate::platform::Platform;
use crate::plot::{PICTURES, Picture, PlotError, draw};
use crate::record::{Record, Unit};
use crate::record_file::{ReadError, read_records, replace};
use crate::series::figures;
use crate::stats::{Estimate, Medians};
use crate::tables::{self, LaneFindings};
use crate::timeline::{self, TIMELINES, TimelineError, Timelines};

/// Lanes beyond this many are in the CSV only; the page says so.
const MOST_PLATFORMS: usize = 8;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The rows could not be read.
    #[error(transparent)]
    Records(#[from] ReadError),
    /// The timelines could not be read.
    #[error(transparent)]
    Timelines(#[from] TimelineError),
    /// The environment record could not be read.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A figure could not be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// A file could not be read or written.
    #[error("{}: {source}; check free space and permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// What [`write_report`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The files written, `report.html` first.
    pub files: Vec<PathBuf>,
    /// Measured rows.
    pub measured: u64,
    /// Failed rows.
    pub failed: u64,
    /// Skipped rows.
    pub skipped: u64,
}

/// A report in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// File name and text of each figure, the lookups of all lanes first. The first lane has plain names
    /// (`lookup.svg`), the others are numbered (`lookup-2.svg`).
    pub figures: Vec<(String, String)>,
    /// The same as pictures (`lookup.png`); none where [`PICTURES`] is false.
    pub images: Vec<(String, Vec<u8>)>,
    /// `report.html`.
    pub html: String,
    /// `summary.md`.
    pub markdown: String,
}

/// Reads `records.csv`, `environment.json` and, if they are there, `sweep.toml`, `timelines.csv` and `impact.csv` in `dir`;
/// writes `lookup.svg`, `sync.svg`, `lock.svg`, `lock-contenders.svg`, `connect.svg`, `load*.svg`, `churn-*.svg`,
/// `disruption-*.svg`, `kube-proxy-join.svg`, `programming-latency.svg`, `first-sync.svg` and `change-sync.svg` (those that there are rows for, and numbered ones for further lanes), each as a PNG too if [`PICTURES`], `report.html`
/// and `summary.md` beside them.
///
/// # Errors
///
/// [`ReportError`]; nothing is written unless everything could be rendered.
pub fn write_report(dir: &Path) -> Result<Report, ReportError> {
    let records = read_records(&dir.join("records.csv"))?;
    let environment = Environment::read(&dir.join("environment.json"))?;
    let sweep_path = dir.join("sweep.toml");
    let sweep = match fs::read_to_string(&sweep_path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(ReportError::Io { path: sweep_path, source }),
    };
    let timeline = Timelines {
        syncs: timeline::read_first(&dir.join(TIMELINES))?,
        impact: timeline::read_first(&timeline::impact_file(dir))?,
    };
    let rendered = render(&records, &timeline, &environment, sweep.as_deref())?;
    let pages = [("report.html".to_owned(), rendered.html), ("summary.md".to_owned(), rendered.markdown)];
    let texts = pages.into_iter().chain(rendered.figures).map(|(name, text)| (name, text.into_bytes()));
    let mut files = Vec::new();
    for (name, bytes) in texts.chain(rendered.images) {
        let path = dir.join(name);
        replace(&path, &bytes).map_err(|source| ReportError::Io { path: path.clone(), source })?;
        files.push(path);
    }
    let [measured, failed, skipped] = tables::tally(&records);
    Ok(Report { files, measured, failed, skipped })
}

/// Renders a report without touching a file. Rows are untrusted: all their text is escaped.
///
/// # Errors
///
/// [`PlotError`] if the drawing library fails.
pub fn render(
    records: &[Record],
    timeline: &Timelines,
    environment: &Environment,
    sweep: Option<&str>,
) -> Result<Rendered, PlotError> {
    let mut platforms = lanes(records, environment);
    let platforms_left_out = platforms.len().saturating_sub(MOST_PLATFORMS);
    platforms.truncate(MOST_PLATFORMS);
    let mut medians = Medians::new();
    let picture = Picture::default();
    let mut chapters = Vec::new();
    let (mut files, mut images) = (Vec::new(), Vec::new());
    for (index, groups) in platforms.into_iter().enumerate() {
        let caption = caption(environment, groups.platform);
        let findings = findings(&groups, &mut medians);
        let thinned = groups.thinned();
        let shown = thinned.as_ref().map_or(&groups, |thinned| &thinned.groups);
        let drawn = figures(shown, &findings, timeline, &mut medians);
        let plan = environment.of(groups.platform).map_or("", |environment| &environment.kube_proxy);
        let node = Node::of(shown, plan, &mut medians);
        for figure in drawn.iter().chain(node.iter().flat_map(|node| &node.figures)) {
            let number = if index == 0 { String::new() } else { format!("-{}", index + 1) };
            files.push((format!("{}{number}.svg", figure.name), draw(figure, &caption)));
            if PICTURES {
                images.push((format!("{}{number}.png", figure.name), picture.png(figure, &caption)?));
            }
        }
        let mut all = tables::tables(shown, &mut medians);
        all.push(tables::others(shown, &mut medians));
        all.retain(|table| !table.rows.is_empty());
        chapters.push(Chapter {
            heading: groups.platform.heading(),
            caption,
            controls: controls(&groups, &mut medians),
            advice: advice(&groups, &findings, &mut medians),
            findings,
            figures: drawn,
            tables: all,
            lost: tables::lost(&groups),
            plans: node::plans(&groups, plan, node.as_ref()),
            node,
            thinned: thinned.map_or_else(String::new, |thinned| thinned.remark),
            groups,
        });
    }
    files.sort_by_key(|(name, _)| !name.starts_with(LOOKUP));
    images.sort_by_key(|(name, _)| !name.starts_with(LOOKUP));
    let lanes: Vec<_> = chapters
        .iter()
        .map(|chapter| LaneFindings { groups: &chapter.groups, findings: &chapter.findings })
        .collect();
    let only_host = chapters.iter().all(|chapter| rank(environment, chapter.groups.platform) == HOST);
    let pages = Pages {
        environment,
        sweep,
        tally: tables::tally(records),
        headline: tables::headline(&lanes),
        claims: claims(&chapters.iter().map(|chapter| &chapter.groups).collect::<Vec<_>>(), environment),
        headings: chapters.len() > 1 || !only_host,
        chapters,
        platforms_left_out,
    };
    Ok(Rendered { html: html::page(&pages), markdown: markdown::summary(&pages), figures: files, images })
}

/// The line of the environment record that belongs to the rows; a guest's kernel is not the host's.
fn caption(environment: &Environment, platform: Platform<'_>) -> String {
    match environment.of(platform) {
        Some(environment) => environment.caption(),
        None => format!("{} · no passport of this lane in environment.json", platform.label()),
    }
}

/// What the same packet costs without Services, at the largest scale at which each control was measured.
fn controls(groups: &Groups<'_>, medians: &mut Medians) -> String {
    let quantity = groups.quantity(Unit::Ns);
    let mut shown: Vec<(&str, Estimate)> = Vec::new();
    for (key, group) in groups.of(workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET) {
        let Some(estimate) = group.estimate(medians, |row| row.p50).filter(|_| is_control(key.mode)) else {
            continue;
        };
        shown.retain(|(mode, _)| *mode != key.mode);
        shown.push((key.mode, estimate));
    }
    if shown.is_empty() {
        return String::new();
    }
    let part = |(mode, estimate): &(&str, Estimate)| format!("{mode} {}", quantity.show_estimate(*estimate));
    let parts: Vec<_> = shown.iter().map(part).collect();
    let identical = shown.iter().all(|(_, estimate)| estimate.identical);
    let agreement = if identical { ", identical in all blocks" } else { "" };
    format!("Controls, without Services: {}{agreement}.", parts.join("; "))
}
