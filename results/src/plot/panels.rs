//! Figures panel by panel.

use std::collections::BTreeMap;

use super::axis::{LogAxis, TimeAxis};
use super::canvas::{Canvas, FONT, number};
use super::frame::{self, Frame, x_axis};
use super::words;
use crate::series::{Figure, Panel};
use crate::text::escape_html;

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

/// Room for markers that stand above one another.
pub(super) const STACKED: f64 = 17.0;

/// Whether a panel's quantity is another than that of the panel before it.
pub(super) fn begins_family(panels: &[Panel], index: usize) -> bool {
    let before = index.checked_sub(1).and_then(|before| panels.get(before));
    before.is_none_or(|before| Some(before.quantity) != panels.get(index).map(|panel| panel.quantity))
}

/// The panels of one quantity side by side that a panel is among: they share the bounds of the vertical axis.
pub(super) fn family(panels: &[Panel], index: usize) -> &[Panel] {
    let first = (0..=index).rev().find(|index| begins_family(panels, *index)).unwrap_or(index);
    let end = (index + 1..panels.len()).find(|index| begins_family(panels, *index));
    panels.get(first..end.unwrap_or(panels.len())).unwrap_or_default()
}

pub(super) fn heights(panel: &Panel) -> Vec<f64> {
    let points = panel.lines.iter().flat_map(|line| &line.points);
    let intervals = points.clone().filter_map(|point| point.y.interval);
    let ends = intervals.flat_map(|interval| [interval.low, interval.high]);
    let limits = panel.limits.iter().map(|(value, _)| *value);
    let spans = panel.spans.iter().map(|span| span.y);
    points.map(|point| point.y.median).chain(ends).chain(limits).chain(spans).collect()
}

/// The most hollow markers above one another in any panel, at least one.
pub(super) fn stacked(figure: &Figure) -> usize {
    figure.panels.iter().map(most_stacked).max().unwrap_or(0).clamp(1, 6)
}

fn most_stacked(panel: &Panel) -> usize {
    let mut counts = BTreeMap::new();
    for gap in panel.gaps.iter().filter(|_| !panel.is_empty()) {
        *counts.entry(gap.x as u64).or_insert(0) += 1;
    }
    counts.into_values().max().unwrap_or(0)
}
