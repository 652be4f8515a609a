//! Whole figures, each an SVG file of its own.

use super::axis::{LogAxis, TimeAxis};
use super::canvas::{Anchor, Canvas, FONT, fit, number, text_width};
use super::frame::{Frame, axis_width, x_axis};
use super::legend::{draw_key, modes};
use super::panels::{STACKED, begins_family, family, heights, stacked};
use super::style::{INK, SOFT, dark_rules, style};
use super::words;
use crate::series::{Figure, XAxis};
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

/// A figure as an SVG file of its own; `caption` names kernel and machine. It has its own ground, light or, where the reader
/// prefers it, dark.
pub fn draw(figure: &Figure, caption: &str) -> String {
    let dark = format!("<style>@media (prefers-color-scheme:dark){{\n{}}}</style>\n", dark_rules());
    document(figure, caption, &dark)
}

/// [`draw`], light wherever it is read: what pictures are made of.
pub(super) fn draw_light(figure: &Figure, caption: &str) -> String {
    document(figure, caption, "")
}

fn document(figure: &Figure, caption: &str, style: &str) -> String {
    let layout = FigureLayout::of(figure);
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

/// Where things go in a whole figure.
struct FigureLayout {
    legend: Vec<LegendEntry>,
    plot_top: f64,
    /// Room between the headings and the panels for stacked markers.
    room: f64,
    height: f64,
    notes: Vec<String>,
}

/// One mode in the legend.
struct LegendEntry {
    mode: String,
    name: String,
    remark: String,
    remark_x: f64,
    x: f64,
    y: f64,
}

impl FigureLayout {
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
            legend.push(LegendEntry { mode: mode.to_owned(), name, remark, remark_x: x + remark_x, x, y });
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
        FigureLayout { legend, plot_top, room, height, notes }
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

    /// Panels share the width; those of one quantity that stand side by side share the vertical axis.
    fn panels(&self, canvas: &mut Canvas, figure: &Figure) {
        let panels = &figure.panels;
        let axes = (0..panels.len()).filter(|index| begins_family(panels, *index)).count();
        let count = panels.len().max(1) as f64;
        let y = |index: usize| LogAxis::around(family(panels, index).iter().flat_map(heights));
        // Names of bars are wider than figures.
        let bars = panels.iter().enumerate().filter(|(_, panel)| matches!(panel.x, XAxis::Bars(_)));
        let axis = bars.map(|(index, panel)| axis_width(y(index), panel)).fold(AXIS, f64::max);
        let width = (WIDTH - 2.0 * MARGIN - axis * axes as f64) / count - GUTTER;
        let (x, time) = (x_axis(panels), TimeAxis::of(panels));
        let mut left = MARGIN;
        for (index, panel) in panels.iter().enumerate() {
            let labelled = begins_family(panels, index);
            if labelled {
                left += axis;
            }
            let frame = Frame {
                left,
                top: self.plot_top,
                width,
                height: PLOT_HEIGHT,
                gutter: GUTTER,
                room: self.room,
                y: y(index),
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
