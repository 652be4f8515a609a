//! The report of a run's folder: four figures, one HTML page, one Markdown summary.
//!
//! Identical inputs give identical bytes: nothing here reads a clock or a hash map's order.

mod html;
mod markdown;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::environment::{Environment, EnvironmentError};
use crate::findings::{Finding, findings};
use crate::groups::Groups;
use crate::names::{is_control, metric, workload};
use crate::plot::{PlotError, draw};
use crate::record::{Clock, Record, Unit};
use crate::record_file::{ReadError, read_records, replace};
use crate::series::figures;
use crate::stats::Bootstrap;
use crate::tables::{self, Table};
use crate::text::thousands;

/// Kernels and clocks beyond this many are in the CSV only; the page says so.
const MOST_WORLDS: usize = 8;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The rows could not be read.
    #[error(transparent)]
    Records(#[from] ReadError),
    /// The environment passport could not be read.
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
    /// File name and text of each figure. The first kernel and clock have plain names (`lookup.svg`); others are
    /// numbered (`lookup-2.svg`).
    pub figures: Vec<(String, String)>,
    /// `report.html`.
    pub html: String,
    /// `summary.md`.
    pub markdown: String,
}

/// What the pages say about one kernel and clock.
pub(crate) struct Chapter<'a> {
    pub heading: String,
    pub clock: Clock,
    pub findings: Vec<Finding>,
    pub headline: Table,
    /// The controls' lookups in one sentence; empty if there are none.
    pub controls: String,
    pub figures: Vec<(&'static str, String)>,
    pub tables: Vec<Table>,
    pub lost: Table,
    pub groups: &'a Groups<'a>,
}

/// Everything that the pages are made of.
pub(crate) struct Pages<'a> {
    pub environment: &'a Environment,
    pub sweep: Option<&'a str>,
    pub tally: [u64; 3],
    pub chapters: Vec<Chapter<'a>>,
    pub worlds_left_out: usize,
}

/// Reads `records.csv`, `environment.json` and, if there is one, `sweep.toml` in `dir`; writes `lookup.svg`,
/// `sync.svg`, `lock.svg`, `connect.svg`, `report.html` and `summary.md` beside them.
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
    let rendered = render(&records, &environment, sweep.as_deref())?;
    let pages = [("report.html".to_owned(), rendered.html), ("summary.md".to_owned(), rendered.markdown)];
    let mut files = Vec::new();
    for (name, text) in pages.into_iter().chain(rendered.figures) {
        let path = dir.join(name);
        replace(&path, text.as_bytes()).map_err(|source| ReportError::Io { path: path.clone(), source })?;
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
    environment: &Environment,
    sweep: Option<&str>,
) -> Result<Rendered, PlotError> {
    let worlds = Groups::split(records);
    let mut bootstrap = Bootstrap::new();
    let mut chapters = Vec::new();
    let mut files = Vec::new();
    for (index, groups) in worlds.iter().take(MOST_WORLDS).enumerate() {
        let caption = caption(environment, groups);
        let mut drawn = Vec::new();
        for figure in figures(groups, &mut bootstrap) {
            let svg = draw(&figure, &caption)?;
            let number = if index == 0 { String::new() } else { format!("-{}", index + 1) };
            files.push((format!("{}{number}.svg", figure.name), svg.clone()));
            drawn.push((figure.name, svg));
        }
        let findings = findings(groups, &mut bootstrap);
        let mut all = tables::tables(groups, &mut bootstrap);
        all.push(tables::others(groups, &mut bootstrap));
        all.retain(|table| !table.rows.is_empty());
        chapters.push(Chapter {
            heading: format!("Linux {}, {} clock", groups.world.kernel, groups.world.clock),
            clock: groups.world.clock,
            headline: tables::headline(groups, &findings),
            controls: controls(groups, &mut bootstrap),
            findings,
            figures: drawn,
            tables: all,
            lost: tables::lost(groups),
            groups,
        });
    }
    let pages = Pages {
        environment,
        sweep,
        tally: tables::tally(records),
        chapters,
        worlds_left_out: worlds.len().saturating_sub(MOST_WORLDS),
    };
    Ok(Rendered { html: html::page(&pages), markdown: markdown::summary(&pages), figures: files })
}

/// The environment's caption with the kernel that the rows name: a guest's kernel is not the host's.
fn caption(environment: &Environment, groups: &Groups<'_>) -> String {
    let mut environment = environment.clone();
    if !groups.world.kernel.is_empty() {
        environment.kernel = groups.world.kernel.to_owned();
    }
    let caption = environment.caption();
    match groups.world.clock {
        Clock::Wall => caption,
        Clock::Instructions => format!("instruction clock · {caption}"),
    }
}

/// What the same packet costs without Services, at the largest scale at which each control was measured.
fn controls(groups: &Groups<'_>, bootstrap: &mut Bootstrap) -> String {
    let quantity = groups.quantity(Unit::Ns);
    let mut shown: Vec<(&str, String)> = Vec::new();
    for (key, group) in groups.of(workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET) {
        let Some(estimate) = group.estimate(bootstrap, |row| row.p50).filter(|_| is_control(key.mode)) else {
            continue;
        };
        shown.retain(|(mode, _)| *mode != key.mode);
        shown.push((key.mode, quantity.show_with_interval(estimate.median, estimate.interval)));
    }
    let parts: Vec<_> = shown.iter().map(|(mode, figure)| format!("{mode} {figure}")).collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!("Controls, without Services: {}.", parts.join("; "))
    }
}

/// One finding as a sentence after the mode's name.
pub(crate) fn sentence(groups: &Groups<'_>, finding: &Finding) -> String {
    let quantity = groups.quantity(Unit::Ns);
    let [(few, low), (many, high)] = finding.ends;
    let mut text = format!("{} at {} Services", quantity.show(low), thousands(few));
    if many != few {
        text += &format!(", {} at {}", quantity.show(high), thousands(many));
    }
    if let Some(slope) = finding.slope {
        let sign = if slope.per_service > 0.0 { "+" } else { "" };
        let rise = quantity.show_with_interval(slope.per_service, slope.interval);
        let blocks = if slope.n == 1 { "1 block".to_owned() } else { format!("{} blocks", slope.n) };
        text += &format!("; per Service {sign}{rise}, {blocks}");
    }
    format!("{text} — {}.", finding.verdict)
}

/// How to read a figure, by its name.
pub(crate) fn how_to_read(figure: &str) -> &'static str {
    match figure {
        "lookup" => {
            "Left: a line that climbs is a lookup that walks a list; a level line is a lookup that does not. Right: \
             in one and the same list, the later a Service stands the longer its lookup. The grey controls are what \
             the same packet costs without any Service: compare with dnat, not with zero."
        }
        "sync" => {
            "Both axes are logarithmic. Full sync is kube-proxy's start on an empty kernel; partial sync is what one change \
             costs at that size; append is one command. They are three different figures: read each panel by itself."
        }
        "lock" => {
            "Solid lines are the typical wait, thin dashed ones the slowest in a hundred. Where a line nears five \
             seconds, other users of iptables on the node start to fail; crosses count those that did."
        }
        _ => {
            "What a client sees for a whole new connection: both TCP stacks and every packet, of which only the first \
             is looked up. Solid is p50, thin dashed p99."
        }
    }
}
