//! Figures to SVG: whole ones for slides and README files, 1200 pixels wide, readable at half that; and panel by panel for the
//! report, whose page lays them out to the width that it has.

mod axis;
mod canvas;
mod frame;
mod picture;
mod style;
mod words;

use std::collections::BTreeMap;

use self::axis::{LogAxis, TimeAxis};
use self::canvas::{Anchor, Canvas, FONT, fit, number, text_width};
use self::frame::{Frame, x_axis};
pub use self::picture::{Picture, PlotError};
use self::style::{INK, SOFT, dark_rules, style};
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
/// Room for markers that stand above one another.
const STACKED: f64 = 17.0;

/// A figure as an SVG file of its own; `caption` names kernel and machine. It has its own ground, light or, where the reader
/// prefers it, dark.
pub fn draw(figure: &Figure, caption: &str) -> String {
    let dark = format!("<style>@media (prefers-color-scheme:dark){{\n{}}}</style>\n", dark_rules());
    document(figure, caption, &dark)
}

/// [`draw`], light wherever it is read: what pictures are made of.
fn draw_light(figure: &Figure, caption: &str) -> String {
    document(figure, caption, "")
}

fn document(figure: &Figure, caption: &str, style: &str) -> String {
    let layout = Layout::of(figure);
    let mut canvas = Canvas::default();
    layout.draw(&mut canvas, figure, caption);
    let size = format!("{} {}", number(WIDTH), number(layout.height));
    let panels = figure.panels.iter().map(|panel| format!("{}. {}", panel.heading, words::describe(panel)));
    let name = figure.name;
    format!(
        "<svg width=\"{}\" height=\"{}\" viewBox=\"0 0 {size}\" xmlns=\"http://www.w3.org/2000/svg\" font-family=\"{FONT}\" \
         role=\"img\" aria-labelledby=\"{name}-title {name}-description\">\n<title id=\"{name}-title\">{}</title>\n\
         <desc id=\"{name}-description\">{}</desc>\n{style}{}</svg>\n",
        number(WIDTH),
        number(layout.height),
        escape_html(&figure.title),
        escape_html(&panels.collect::<Vec<_>>().join(" ")),
        canvas.into_text()
    )
}

/// Rules that turn [`panels`] and [`key`] dark, for a media query of the page that they stand in.
pub fn dark_style() -> String {
    dark_rules()
}

/// One panel of a figure, as an element of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanelDrawing {
    /// What the panel shows.
    pub heading: String,
    /// Identifier of the element that is to hold the heading.
    pub heading_id: String,
    /// The drawing, named by the heading and described by a sentence of its own. A group, not one image: its points are links.
    pub svg: String,
}

/// Size of a panel in a page, on whose smallest screens (360 pixels) it stands alone.
const PANEL: (f64, f64) = (420.0, 260.0);
const PANEL_GUTTER: f64 = 82.0;

/// The panels of a figure one by one, without legend. Identifiers begin with `id`, which must be unique in the page; `address`
/// writes where a point leads to, from the number of its group.
pub fn panels(figure: &Figure, id: &str, address: &dyn Fn(usize) -> String) -> Vec<PanelDrawing> {
    let (x, time) = (x_axis(&figure.panels), TimeAxis::of(&figure.panels));
    let room = STACKED * (stacked(figure) - 1) as f64;
    let draw = |(index, panel): (usize, &Panel)| {
        let (width, height) = (PANEL.0, PANEL.1);
        // The name of the axis stands above it.
        let head = if panel.quantity.axis_name().is_empty() { 14.0 } else { 36.0 };
        let y = LogAxis::around(family(&figure.panels, index).iter().flat_map(heights));
        let axis = frame::axis_width(y, panel);
        let frame = Frame {
            left: axis,
            top: head + room,
            width: width - axis - PANEL_GUTTER,
            height,
            gutter: PANEL_GUTTER,
            room,
            y,
            x,
            time,
            address: Some(address),
        };
        let mut canvas = Canvas::default();
        frame.draw(&mut canvas, panel, true);
        let heading_id = format!("{id}-{}", index + 1);
        let svg = format!(
            "<svg class=\"panel\" viewBox=\"0 0 {} {}\" font-family=\"{FONT}\" role=\"group\" \
             aria-labelledby=\"{heading_id}\" aria-describedby=\"{heading_id}-description\">\n\
             <desc id=\"{heading_id}-description\">{}</desc>\n{}</svg>\n",
            number(width),
            number(head + room + height + 64.0),
            escape_html(&words::describe(panel)),
            canvas.into_text()
        );
        PanelDrawing { heading: panel.heading.clone(), heading_id, svg }
    };
    figure.panels.iter().enumerate().map(draw).collect()
}

/// How lines of `mode` look: a small drawing beside its name, hidden from those who read the name.
pub fn key(mode: &str) -> String {
    let mut canvas = Canvas::default();
    draw_key(&mut canvas, mode, (0.0, 10.0));
    format!(
        "<svg class=\"key\" viewBox=\"0 0 40 20\" width=\"40\" height=\"20\" aria-hidden=\"true\">{}</svg>",
        canvas.into_text().replace('\n', "")
    )
}

fn draw_key(canvas: &mut Canvas, mode: &str, (x, y): (f64, f64)) {
    let style = style(mode);
    let ends = [(x, y), (x + 40.0, y)];
    match style.dash {
        Some(dash) => canvas.dashed(&ends, dash, style.colour, style.width),
        None => canvas.polyline(&ends, style.colour, style.width),
    }
    if !is_control(mode) {
        canvas.marker((x + 20.0, y), style.marker, 7.0, (style.colour, style.edge), false);
    }
}

/// Every mode that the panels show, in the order of legends.
pub fn modes(panels: &[Panel]) -> Vec<&str> {
    let mut modes: Vec<&str> =
        panels.iter().flat_map(|panel| &panel.lines).map(|line| line.mode.as_str()).collect();
    modes.extend(panels.iter().flat_map(|panel| &panel.gaps).map(|gap| gap.mode.as_str()));
    modes.extend(panels.iter().flat_map(|panel| &panel.spans).map(|span| span.mode.as_str()));
    modes.extend(panels.iter().flat_map(|panel| &panel.crosses).map(|cross| cross.mode.as_str()));
    modes.sort_by_key(|mode| (mode_rank(mode), *mode));
    modes.dedup();
    modes
}

/// Where things go in a whole figure.
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
        let (mut x, mut y) = (MARGIN, 108.0);
        let mut legend = Vec::new();
        for mode in modes(&figure.panels) {
            let remark = shorten(figure.remark(mode), 60);
            let name = shorten(mode, 24);
            let remark_x = 48.0 + text_width(&name, NAME_SIZE) + 9.0;
            let width = remark_x + text_width(&remark, REMARK_SIZE) + 20.0;
            if x + width > WIDTH - MARGIN && x > MARGIN {
                (x, y) = (MARGIN, y + LEGEND_ROW);
            }
            legend.push(Entry { mode: mode.to_owned(), name, remark, remark_x: x + remark_x, x, y });
            x += width;
        }
        let room = STACKED * (stacked(figure) - 1) as f64;
        let plot_top = y + 70.0 + room;
        let mut notes: Vec<String> =
            figure.notes.iter().take(MOST_NOTES).map(|note| fit(note, 16, ROOM)).collect();
        if figure.notes.len() > MOST_NOTES {
            notes.push(format!("… and {} more in the report", figure.notes.len() - MOST_NOTES));
        }
        let height = plot_top + PLOT_HEIGHT + 84.0 + NOTE_ROW * notes.len() as f64 + 34.0;
        Layout { legend, plot_top, room, height, notes }
    }

    fn draw(&self, canvas: &mut Canvas, figure: &Figure, caption: &str) {
        canvas.ground((WIDTH, self.height));
        canvas.bold(&fit(&figure.title, 28, ROOM), (MARGIN, 34.0), 28, INK, Anchor::Left);
        canvas.text(&fit(&figure.subtitle, 18, ROOM), (MARGIN, 70.0), 18, SOFT, Anchor::Left);
        for entry in &self.legend {
            canvas.open("g", format!("class=\"entry\" data-mode=\"{}\"", escape_html(&entry.mode)));
            draw_key(canvas, &entry.mode, (entry.x, entry.y));
            let name = (entry.x + 48.0, entry.y);
            canvas.text(&entry.name, name, NAME_SIZE, style(&entry.mode).edge, Anchor::Left);
            if !entry.remark.is_empty() {
                let at = (entry.remark_x, entry.y + 1.0);
                canvas.text(&entry.remark, at, REMARK_SIZE, INK, Anchor::Left);
            }
            canvas.close("g");
        }
        self.panels(canvas, figure);
        let mut y = self.plot_top + PLOT_HEIGHT + 92.0;
        for note in &self.notes {
            canvas.text(note, (MARGIN, y), 16, INK, Anchor::Left);
            y += NOTE_ROW;
        }
        canvas.text(&fit(caption, 16, ROOM), (MARGIN, y), 16, SOFT, Anchor::Left);
    }

    /// Panels share the width; neighbours of one quantity share the vertical axis.
    fn panels(&self, canvas: &mut Canvas, figure: &Figure) {
        let panels = &figure.panels;
        let axes = (0..panels.len()).filter(|index| begins_family(panels, *index)).count();
        let count = panels.len().max(1) as f64;
        let width = (WIDTH - 2.0 * MARGIN - AXIS * axes as f64) / count - GUTTER;
        let (x, time) = (x_axis(panels), TimeAxis::of(panels));
        let mut left = MARGIN;
        for (index, panel) in panels.iter().enumerate() {
            let labelled = begins_family(panels, index);
            if labelled {
                left += AXIS;
            }
            let frame = Frame {
                left,
                top: self.plot_top,
                width,
                height: PLOT_HEIGHT,
                gutter: GUTTER,
                room: self.room,
                y: LogAxis::around(family(panels, index).iter().flat_map(heights)),
                x,
                time,
                address: None,
            };
            // Bold is wider.
            let heading = fit(&panel.heading, 20, width + GUTTER - 8.0);
            canvas.bold(&heading, (left, self.plot_top - 24.0 - self.room), 19, INK, Anchor::Left);
            frame.draw(canvas, panel, labelled);
            left += width + GUTTER;
        }
    }
}

/// Whether a panel's quantity is another than that of the panel before it.
fn begins_family(panels: &[Panel], index: usize) -> bool {
    let before = index.checked_sub(1).and_then(|before| panels.get(before));
    before.is_none_or(|before| Some(before.quantity) != panels.get(index).map(|panel| panel.quantity))
}

/// The neighbours of one quantity that a panel is among: they share the bounds of the vertical axis.
fn family(panels: &[Panel], index: usize) -> &[Panel] {
    let first = (0..=index).rev().find(|index| begins_family(panels, *index)).unwrap_or(index);
    let end = (index + 1..panels.len()).find(|index| begins_family(panels, *index));
    panels.get(first..end.unwrap_or(panels.len())).unwrap_or_default()
}

fn heights(panel: &Panel) -> Vec<f64> {
    let points = panel.lines.iter().flat_map(|line| &line.points);
    let intervals = points.clone().filter_map(|point| point.y.interval);
    let ends = intervals.flat_map(|interval| [interval.low, interval.high]);
    let limits = panel.limits.iter().map(|(value, _)| *value);
    let spans = panel.spans.iter().map(|span| span.y);
    points.map(|point| point.y.median).chain(ends).chain(limits).chain(spans).collect()
}

/// The most hollow markers above one another in any panel, at least one.
fn stacked(figure: &Figure) -> usize {
    figure.panels.iter().map(most_stacked).max().unwrap_or(0).clamp(1, 6)
}

fn most_stacked(panel: &Panel) -> usize {
    let mut counts = BTreeMap::new();
    for gap in panel.gaps.iter().filter(|_| !panel.is_empty()) {
        *counts.entry(gap.x as u64).or_insert(0) += 1;
    }
    counts.into_values().max().unwrap_or(0)
}
