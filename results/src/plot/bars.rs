//! Bars whose pieces are parts of a whole, one beneath the other; their axis begins at zero.

use super::canvas::{Anchor, Canvas, fit};
use super::frame::Frame;
use super::legend::modes;
use super::style::{FRAME, Fill, GRID, INK, fill, style};
use super::words;
use crate::series::Panel;
use crate::text::escape_html;

/// Bars are not thicker than this, however few there are.
const THICKEST: f64 = 34.0;
/// Share of a bar's room that it takes.
const SHARE: f64 = 0.66;

impl Frame<'_> {
    /// Bars from the top, with their names if `labelled`, and what they are as a whole at their ends.
    pub(super) fn draw_bars(&self, canvas: &mut Canvas, panel: &Panel, names: &[String], labelled: bool) {
        let mut grid = Vec::new();
        self.time_ticks(canvas, panel, &mut grid);
        canvas.lines(&grid, GRID, 1);
        let room = self.height / names.len().max(1) as f64;
        let half = (room * SHARE).min(THICKEST) / 2.0;
        let middle = |row: usize| self.top + room * (row as f64 + 0.5);
        for mode in modes(std::slice::from_ref(panel)) {
            canvas.open("g", format!("class=\"mode\" data-mode=\"{}\"", escape_html(mode)));
            for bar in panel.bars.iter().filter(|bar| bar.mode == mode && bar.to > bar.from) {
                let element = match self.address.zip(bar.group) {
                    // As points of lines are: out of the order of Tab until the script puts one back.
                    Some((address, group)) => {
                        let href = escape_html(&address(group));
                        canvas.open("a", format!("class=\"pt\" href=\"{href}\" tabindex=\"-1\""));
                        "a"
                    }
                    None => {
                        canvas.open("g", "class=\"pt\"");
                        "g"
                    }
                };
                canvas.title(&words::bar(panel, names, bar));
                let (from, to) = (self.x(panel, bar.from), self.x(panel, bar.to));
                let (above, below) = (middle(bar.row) - half, middle(bar.row) + half);
                canvas.piece((from, above), (to, below), look(mode));
                canvas.close(element);
            }
            canvas.close("g");
        }
        canvas.line((self.left, self.top), (self.left, self.bottom()), FRAME, 2);
        for (row, name) in names.iter().enumerate() {
            if labelled {
                canvas.text(name, (self.left - 10.0, middle(row)), 18, INK, Anchor::Right);
            }
            let own = panel.bars.iter().filter(|bar| bar.row == row).map(|bar| bar.to);
            let Some(end) = own.reduce(f64::max) else {
                canvas.text("no figure", (self.left + 8.0, middle(row)), 17, INK, Anchor::Left);
                continue;
            };
            let at = self.x(panel, end) + 8.0;
            let whole = fit(&panel.quantity.show_short(end), 17, self.right() + self.gutter - at);
            canvas.text(&whole, (at, middle(row)), 17, INK, Anchor::Left);
        }
    }
}

/// What is no part of a sync looks as its lines do.
fn look(mode: &str) -> Fill {
    let style = style(mode);
    fill(mode).unwrap_or(Fill { inside: style.colour, edge: style.edge, hatched: false })
}
