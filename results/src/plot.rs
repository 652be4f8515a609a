//! Figures to SVG, for slides and for the report: 1200 pixels wide, readable at half that.

mod axis;
mod canvas;
mod frame;
mod style;

use std::collections::BTreeMap;

use plotters::prelude::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::HPos;

use self::axis::{LogAxis, TimeAxis};
use self::canvas::{Canvas, Drawn, fit, text_width};
use self::frame::{Frame, x_axis};
use self::style::{INK, SOFT, WHITE, style};
use crate::names::{is_control, mode_rank};
use crate::series::{Figure, Panel};
use crate::text::{escape_html, shorten};

const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 24.0;
/// Room for a line of text.
const ROOM: f64 = WIDTH - 2.0 * MARGIN;
/// Room for the labels of the vertical axis.
const AXIS: f64 = 86.0;
/// Room right of each panel for the figures at the ends of the lines.
const GUTTER: f64 = 92.0;
const PLOT_HEIGHT: f64 = 390.0;
const LEGEND_ROW: f64 = 32.0;
/// Sizes of the text in the legend.
const NAME_SIZE: u32 = 19;
const REMARK_SIZE: u32 = 17;
const NOTE_ROW: f64 = 24.0;
const MOST_NOTES: usize = 4;

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("figure {figure:?}: {reason}; this is a defect, please report it")]
pub struct PlotError {
    /// Name of the figure.
    pub figure: String,
    /// What the drawing library said.
    pub reason: String,
}

/// Draws a figure; `caption` names kernel and machine. The SVG has a white ground, so that it reads on dark pages.
///
/// # Errors
///
/// [`PlotError`] if the drawing library fails; data never makes it fail.
pub fn draw(figure: &Figure, caption: &str) -> Result<String, PlotError> {
    let layout = Layout::of(figure);
    let mut svg = String::new();
    let mut canvas = Canvas(SVGBackend::with_string(&mut svg, (WIDTH as u32, layout.height as u32)));
    let drawn = layout.draw(&mut canvas, figure, caption);
    let drawn = drawn.and_then(|()| canvas.0.present().map_err(|error| error.to_string()));
    drawn.map_err(|reason| PlotError { figure: figure.name.to_owned(), reason })?;
    drop(canvas);
    // Role and title are for screen readers; plotters has no call for them.
    let (open, rest) = svg.split_once('>').unwrap_or(("<svg", ""));
    Ok(format!("{open} role=\"img\"><title>{}</title>{rest}", escape_html(&figure.title)))
}

/// Where things go.
struct Layout {
    legend: Vec<Entry>,
    plot_top: f64,
    /// Room between the headings and the panels for stacked markers.
    room: f64,
    height: f64,
    notes: Vec<String>,
}

/// One mode in the legend.
struct Entry {
    mode: String,
    name: String,
    remark: String,
    remark_x: f64,
    x: f64,
    y: f64,
}

impl Layout {
    fn of(figure: &Figure) -> Self {
        let mut modes: Vec<&str> =
            figure.panels.iter().flat_map(|panel| &panel.lines).map(|line| line.mode.as_str()).collect();
        modes.extend(figure.panels.iter().flat_map(|panel| &panel.gaps).map(|gap| gap.mode.as_str()));
        modes.extend(figure.panels.iter().flat_map(|panel| &panel.spans).map(|span| span.mode.as_str()));
        modes.sort_by_key(|mode| (mode_rank(mode), *mode));
        modes.dedup();
        let (mut x, mut y) = (MARGIN, 108.0);
        let mut legend = Vec::new();
        for mode in modes {
            let remark = figure.remarks.iter().find(|(name, _)| name == mode).map(|(_, text)| text.as_str());
            let remark = shorten(remark.unwrap_or_default(), 60);
            let name = shorten(mode, 24);
            let remark_x = 48.0 + text_width(&name, NAME_SIZE) + 9.0;
            let width = remark_x + text_width(&remark, REMARK_SIZE) + 20.0;
            if x + width > WIDTH - MARGIN && x > MARGIN {
                (x, y) = (MARGIN, y + LEGEND_ROW);
            }
            legend.push(Entry { mode: mode.to_owned(), name, remark, remark_x: x + remark_x, x, y });
            x += width;
        }
        let stacked = figure.panels.iter().map(most_stacked).max().unwrap_or(0).clamp(1, 6);
        let room = 17.0 * (stacked - 1) as f64;
        let plot_top = y + 70.0 + room;
        let mut notes: Vec<String> =
            figure.notes.iter().take(MOST_NOTES).map(|note| fit(note, 16, ROOM)).collect();
        if figure.notes.len() > MOST_NOTES {
            notes.push(format!("… and {} more in the report", figure.notes.len() - MOST_NOTES));
        }
        let height = plot_top + PLOT_HEIGHT + 84.0 + NOTE_ROW * notes.len() as f64 + 34.0;
        Layout { legend, plot_top, room, height, notes }
    }

    fn draw(&self, canvas: &mut Canvas<'_>, figure: &Figure, caption: &str) -> Drawn {
        canvas.rectangle((0.0, 0.0), (WIDTH, self.height), WHITE, true)?;
        canvas.bold(&fit(&figure.title, 28, ROOM), (MARGIN, 34.0), 28, INK, HPos::Left)?;
        canvas.text(&fit(&figure.subtitle, 18, ROOM), (MARGIN, 70.0), 18, SOFT, HPos::Left)?;
        for entry in &self.legend {
            let style = style(&entry.mode);
            let (x, y) = (entry.x, entry.y);
            let ends = [(x, y), (x + 40.0, y)];
            match style.dash {
                Some(dash) => canvas.dashed(&ends, dash, style.colour, style.width)?,
                None => canvas.polyline(&ends, style.colour, style.width)?,
            }
            if !is_control(&entry.mode) {
                canvas.marker((x + 20.0, y), style.marker, 7.0, style.colour, false)?;
            }
            canvas.text(&entry.name, (x + 48.0, y), NAME_SIZE, style.text, HPos::Left)?;
            canvas.text(&entry.remark, (entry.remark_x, y + 1.0), REMARK_SIZE, INK, HPos::Left)?;
        }
        self.panels(canvas, figure)?;
        let mut y = self.plot_top + PLOT_HEIGHT + 92.0;
        for note in &self.notes {
            canvas.text(note, (MARGIN, y), 16, INK, HPos::Left)?;
            y += NOTE_ROW;
        }
        canvas.text(&fit(caption, 16, ROOM), (MARGIN, y), 16, SOFT, HPos::Left)
    }

    /// Panels share the width; neighbours of one quantity share the vertical axis.
    fn panels(&self, canvas: &mut Canvas<'_>, figure: &Figure) -> Drawn {
        let starts_group = |index: usize| {
            let before = index.checked_sub(1).and_then(|before| figure.panels.get(before));
            before.is_none_or(|before| {
                Some(before.quantity) != figure.panels.get(index).map(|panel| panel.quantity)
            })
        };
        let axes = (0..figure.panels.len()).filter(|index| starts_group(*index)).count();
        let count = figure.panels.len().max(1) as f64;
        let width = (WIDTH - 2.0 * MARGIN - AXIS * axes as f64) / count - GUTTER;
        let x = x_axis(&figure.panels);
        let time = TimeAxis::of(&figure.panels);
        let mut left = MARGIN;
        for (index, panel) in figure.panels.iter().enumerate() {
            let labelled = starts_group(index);
            if labelled {
                left += AXIS;
            }
            let first = (0..=index).rev().find(|index| starts_group(*index)).unwrap_or(index);
            let end = (index + 1..figure.panels.len()).find(|index| starts_group(*index));
            let family = figure.panels.get(first..end.unwrap_or(figure.panels.len())).unwrap_or_default();
            let y = LogAxis::around(family.iter().flat_map(heights));
            let frame = Frame { left, top: self.plot_top, width, room: self.room, y, x, time };
            frame.draw(canvas, panel, labelled)?;
            left += width + GUTTER;
        }
        Ok(())
    }
}

fn heights(panel: &Panel) -> Vec<f64> {
    let points = panel.lines.iter().flat_map(|line| &line.points);
    let intervals = points.clone().filter_map(|point| point.y.interval);
    let ends = intervals.flat_map(|interval| [interval.low, interval.high]);
    let limits = panel.limits.iter().map(|(value, _)| *value);
    let spans = panel.spans.iter().map(|span| span.y);
    points.map(|point| point.y.median).chain(ends).chain(limits).chain(spans).collect()
}

/// The most hollow markers above one another.
fn most_stacked(panel: &Panel) -> usize {
    let mut counts = BTreeMap::new();
    for gap in panel.gaps.iter().filter(|_| !panel.is_empty()) {
        *counts.entry(gap.x as u64).or_insert(0) += 1;
    }
    counts.into_values().max().unwrap_or(0)
}
