//! Which modes panels show, and how each looks.

use super::canvas::Canvas;
use super::style::{dark_rules, fill, style};
use crate::names::{is_control, mode_rank};
use crate::series::Panel;

/// How lines of `mode` look: a small drawing beside its name, hidden from those who read the name.
pub fn key(mode: &str) -> String {
    let mut canvas = Canvas::default();
    draw_key(&mut canvas, mode, (0.0, 10.0));
    format!(
        "<svg class=\"key\" viewBox=\"0 0 40 20\" width=\"40\" height=\"20\" aria-hidden=\"true\">{}</svg>",
        canvas.into_text().replace('\n', "")
    )
}

pub(super) fn draw_key(canvas: &mut Canvas, mode: &str, (x, y): (f64, f64)) {
    if let Some(fill) = fill(mode) {
        canvas.piece((x + 4.0, y - 8.0), (x + 36.0, y + 8.0), fill);
        return;
    }
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
    modes.extend(panels.iter().flat_map(|panel| &panel.bars).map(|bar| bar.mode.as_str()));
    modes.sort_by_key(|mode| (mode_rank(mode), *mode));
    modes.dedup();
    modes
}

/// Rules that turn [`super::panels()`] and [`key`] dark, for a media query of the page that they stand in.
pub fn dark_style() -> String {
    dark_rules()
}
