//! One panel: axes, lines, intervals, gaps and the figures at the ends of the lines.

use std::collections::{BTreeMap, BTreeSet};

use plotters::style::text_anchor::HPos;

use super::axis::{LogAxis, TimeAxis};
use super::canvas::{Canvas, Drawn, fit, text_width};
use super::style::{FRAME, GRID, INK, LIMIT, SOFT, style};
use super::{GUTTER, PLOT_HEIGHT};
use crate::series::{Line, Panel, XAxis};
use crate::text::{Quantity, shorten};

/// More scales than this are not marked one by one.
const MOST_SCALES: usize = 12;

/// The axis of Services or contenders, common to all panels that have one.
pub(super) fn x_axis(panels: &[Panel]) -> LogAxis {
    let panels = panels.iter().filter(|panel| matches!(panel.x, XAxis::Services | XAxis::Contenders));
    LogAxis::close(panels.flat_map(|panel| {
        let lines = panel.lines.iter().filter(|line| !line.level);
        let points = lines.flat_map(|line| &line.points).map(|point| point.x);
        points.chain(panel.gaps.iter().map(|gap| gap.x))
    }))
}

/// One panel's place on the canvas.
pub(super) struct Frame {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub room: f64,
    pub y: LogAxis,
    pub x: LogAxis,
    pub time: TimeAxis,
}

impl Frame {
    fn x(&self, panel: &Panel, value: f64) -> f64 {
        let share = match &panel.x {
            XAxis::Names(names) => (value + 0.5) / names.len().max(1) as f64,
            XAxis::Services | XAxis::Contenders => self.x.share(value),
            XAxis::Time => self.time.share(value),
        };
        self.left + self.width * share
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom() - PLOT_HEIGHT * self.y.share(value)
    }

    fn right(&self) -> f64 {
        self.left + self.width
    }

    fn bottom(&self) -> f64 {
        self.top + PLOT_HEIGHT
    }

    pub fn draw(&self, canvas: &mut Canvas<'_>, panel: &Panel, labelled: bool) -> Drawn {
        // Bold is wider.
        let heading = fit(&panel.heading, 20, self.width + GUTTER - 8.0);
        canvas.bold(&heading, (self.left, self.top - 24.0 - self.room), 19, INK, HPos::Left)?;
        if panel.is_empty() {
            return self.draw_empty(canvas, panel);
        }
        self.draw_axes(canvas, panel, labelled)?;
        for (value, label) in &panel.limits {
            let y = self.y(*value);
            canvas.dashed(&[(self.left, y), (self.right(), y)], (10.0, 5.0), LIMIT, 2)?;
            // Hollow markers stand on the upper edge.
            let beside = if y - self.top < 38.0 && !panel.gaps.is_empty() { 15.0 } else { -14.0 };
            canvas.text(label, (self.left + 8.0, y + beside), 16, LIMIT, HPos::Left)?;
        }
        for line in panel.lines.iter().filter(|line| line.secondary) {
            self.draw_line(canvas, panel, line)?;
        }
        for line in panel.lines.iter().filter(|line| !line.secondary) {
            self.draw_line(canvas, panel, line)?;
        }
        self.draw_spans(canvas, panel)?;
        for cross in &panel.crosses {
            let at = (self.x(panel, cross.x), self.y(cross.y));
            canvas.cross(at, 8.0, style(&cross.mode).colour)?;
            canvas.text(&cross.label, (at.0, at.1 - 20.0), 16, LIMIT, HPos::Center)?;
        }
        self.draw_gaps(canvas, panel)?;
        if panel.x == XAxis::Time {
            return Ok(());
        }
        self.draw_end_labels(canvas, panel)
    }

    fn draw_empty(&self, canvas: &mut Canvas<'_>, panel: &Panel) -> Drawn {
        canvas.rectangle((self.left, self.top), (self.right(), self.bottom()), GRID, false)?;
        let centre = self.left + self.width / 2.0;
        let per_line = ((self.width - 24.0) / (0.58 * 17.0)).max(8.0) as usize;
        let mut y = self.top + PLOT_HEIGHT * 0.4;
        canvas.bold("no data", (centre, y), 19, SOFT, HPos::Center)?;
        for line in wrap(&panel.empty, per_line) {
            y += 26.0;
            canvas.text(&line, (centre, y), 17, SOFT, HPos::Center)?;
        }
        Ok(())
    }

    fn draw_axes(&self, canvas: &mut Canvas<'_>, panel: &Panel, labelled: bool) -> Drawn {
        for tick in self.y.ticks(9) {
            let y = self.y(tick);
            canvas.line((self.left, y), (self.right(), y), GRID, 1)?;
            if labelled {
                canvas.text(&panel.quantity.show_short(tick), (self.left - 10.0, y), 18, INK, HPos::Right)?;
            }
        }
        if labelled {
            let name = panel.quantity.axis_name();
            canvas.text(name, (self.left - 10.0, self.top - 24.0 - self.room), 15, SOFT, HPos::Right)?;
        }
        let below = self.bottom() + 20.0;
        match &panel.x {
            XAxis::Names(names) => {
                for (index, name) in names.iter().enumerate() {
                    let x = self.x(panel, index as f64);
                    canvas.line((x, self.top), (x, self.bottom()), GRID, 1)?;
                    canvas.text(name, (x, below), 18, INK, HPos::Center)?;
                }
            }
            XAxis::Services | XAxis::Contenders => {
                let ticks = self.scales(panel);
                let labels: Vec<_> = ticks.iter().map(|tick| Quantity::Count.show(*tick)).collect();
                let places: Vec<_> = ticks.iter().map(|tick| self.x(panel, *tick)).collect();
                let widths: Vec<_> = labels.iter().map(|label| text_width(label, 18)).collect();
                let shown = without_overlap(&places, &widths, 10.0, &by_weight(&ticks));
                for (index, (x, label)) in places.iter().zip(&labels).enumerate() {
                    canvas.line((*x, self.top), (*x, self.bottom()), GRID, 1)?;
                    if shown.contains(&index) {
                        canvas.text(label, (*x, below), 18, INK, HPos::Center)?;
                    }
                }
            }
            XAxis::Time => {
                for tick in self.time.ticks((self.width / 62.0) as usize) {
                    let x = self.x(panel, tick * 1e9);
                    canvas.line((x, self.top), (x, self.bottom()), GRID, 1)?;
                    let label =
                        if tick > 0.0 { panel.quantity.show_short(tick * 1e9) } else { "0".to_owned() };
                    canvas.text(&label, (x, below), 18, INK, HPos::Center)?;
                }
            }
        }
        let name = match panel.x {
            XAxis::Services => "Services",
            XAxis::Contenders => "contenders for the lock",
            XAxis::Names(_) => "position of the Service that is looked up",
            XAxis::Time => "since the beginning",
        };
        canvas.text(name, (self.left + self.width / 2.0, self.bottom() + 50.0), 18, SOFT, HPos::Center)?;
        canvas.line((self.left, self.bottom()), (self.right(), self.bottom()), FRAME, 2)?;
        canvas.line((self.left, self.top), (self.left, self.bottom()), FRAME, 1)
    }

    /// The scales that were measured; round numbers if they are too many to tell apart.
    fn scales(&self, panel: &Panel) -> Vec<f64> {
        let points = panel.lines.iter().filter(|line| !line.level).flat_map(|line| &line.points);
        let scales: BTreeSet<u64> =
            points.map(|point| point.x as u64).chain(panel.gaps.iter().map(|gap| gap.x as u64)).collect();
        if (1..=MOST_SCALES).contains(&scales.len()) {
            scales.into_iter().map(|scale| scale as f64).collect()
        } else {
            self.x.ticks((self.width / 62.0) as usize)
        }
    }

    fn draw_line(&self, canvas: &mut Canvas<'_>, panel: &Panel, line: &Line) -> Drawn {
        let style = style(&line.mode);
        let path: Vec<_> =
            line.points.iter().map(|point| (self.x(panel, point.x), self.y(point.y.median))).collect();
        if line.level {
            let y = path.first().map_or(self.bottom(), |point| point.1);
            return canvas.dashed(
                &[(self.left, y), (self.right(), y)],
                style.dash.unwrap_or((9.0, 6.0)),
                style.colour,
                style.width,
            );
        }
        // Over time there are too many points for markers.
        if panel.x == XAxis::Time {
            return match line.secondary {
                true => canvas.dashed(&path, (5.0, 4.0), style.colour, 1),
                false => canvas.polyline(&path, style.colour, style.width),
            };
        }
        if line.secondary {
            canvas.dashed(&path, (5.0, 4.0), style.colour, 1)?;
            for at in path {
                canvas.marker(at, style.marker, 4.0, style.colour, true)?;
            }
            return Ok(());
        }
        match style.dash {
            Some(dash) => canvas.dashed(&path, dash, style.colour, style.width)?,
            None => canvas.polyline(&path, style.colour, style.width)?,
        }
        // Bars of different modes stand beside one another, within the width of their markers.
        let modes: Vec<_> = panel.lines.iter().filter(|line| !line.secondary && !line.level).collect();
        let place = modes.iter().position(|other| other.mode == line.mode).unwrap_or(0) as f64;
        let beside = (place - (modes.len().saturating_sub(1)) as f64 / 2.0) * 5.0;
        for (point, (x, _)) in line.points.iter().zip(&path) {
            if let Some(interval) = point.y.interval {
                let (low, high) = (self.y(interval.low), self.y(interval.high));
                // An interval inside its marker would only smudge it.
                if low - high > 16.0 {
                    let x = x + beside;
                    canvas.line((x, low), (x, high), style.colour, 2)?;
                    canvas.line((x - 5.0, low), (x + 5.0, low), style.colour, 2)?;
                    canvas.line((x - 5.0, high), (x + 5.0, high), style.colour, 2)?;
                }
            }
        }
        for at in path {
            canvas.marker(at, style.marker, 7.0, style.colour, false)?;
        }
        Ok(())
    }

    /// Each event from its beginning to its end, with a marker where it begins.
    fn draw_spans(&self, canvas: &mut Canvas<'_>, panel: &Panel) -> Drawn {
        for span in &panel.spans {
            let style = style(&span.mode);
            let (from, y) = (self.x(panel, span.from), self.y(span.y));
            canvas.line((from, y), (self.x(panel, span.to), y), style.colour, style.width)?;
            canvas.marker((from, y), style.marker, 5.0, style.colour, span.hollow)?;
        }
        Ok(())
    }

    /// Hollow markers on the upper edge, stacked where several modes lack the same cell.
    fn draw_gaps(&self, canvas: &mut Canvas<'_>, panel: &Panel) -> Drawn {
        let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
        for gap in &panel.gaps {
            let count = seen.entry(gap.x as u64).or_default();
            let before = std::mem::replace(count, *count + 1).min(5);
            let style = style(&gap.mode);
            let at = (self.x(panel, gap.x), self.top - 17.0 * before as f64);
            canvas.marker(at, style.marker, 7.0, style.colour, true)?;
        }
        Ok(())
    }

    /// The last value of each line that reaches the right end, moved apart where they would touch. A line that ends
    /// before a cell without a figure does not reach it.
    fn draw_end_labels(&self, canvas: &mut Canvas<'_>, panel: &Panel) -> Drawn {
        let furthest = panel.lines.iter().filter(|line| !line.level).flat_map(|line| line.points.last());
        let gaps = panel.gaps.iter().map(|gap| gap.x);
        let furthest = furthest.map(|point| point.x).chain(gaps).fold(0.0, f64::max);
        let mut labels: Vec<(f64, f64, &Line, String)> = Vec::new();
        for line in panel.lines.iter().filter(|line| !line.secondary) {
            let Some(last) = line.points.last().filter(|last| line.level || last.x == furthest) else {
                continue;
            };
            let from = if line.level { self.right() } else { self.x(panel, last.x) };
            labels.push((self.y(last.y.median), from, line, panel.quantity.show_short(last.y.median)));
        }
        labels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted: Vec<f64> = labels.iter().map(|label| label.0).collect();
        for ((y, from, line, text), place) in
            labels.iter().zip(spread(&wanted, 20.0, self.top, self.bottom()))
        {
            let style = style(&line.mode);
            let start = self.right() + 14.0;
            if (place - y).abs() > 4.0 {
                canvas.line((from.max(self.right() - 4.0), *y), (start - 2.0, place), style.colour, 1)?;
            }
            canvas.text(text, (start, place), 17, style.text, HPos::Left)?;
        }
        Ok(())
    }
}

/// Indices of ascending scales in the order in which they claim a label: both ends, powers of ten, the others from
/// the largest down.
fn by_weight(scales: &[f64]) -> Vec<usize> {
    let last = scales.len().saturating_sub(1);
    let decade = |index: usize| scales.get(index).is_some_and(|scale| scale.log10().fract() == 0.0);
    let mut order: Vec<usize> = (0..scales.len()).rev().collect();
    order.sort_by_key(|&index| (index != last, index != 0, !decade(index)));
    order
}

/// Which of the labels, centred on `places`, can be shown `gap` apart if they claim their room in this order.
fn without_overlap(places: &[f64], widths: &[f64], gap: f64, order: &[usize]) -> BTreeSet<usize> {
    let mut shown: BTreeSet<usize> = BTreeSet::new();
    for &index in order {
        let apart = |other: &usize| {
            (places[*other] - places[index]).abs() >= (widths[*other] + widths[index]) / 2.0 + gap
        };
        if shown.iter().all(apart) {
            shown.insert(index);
        }
    }
    shown
}

/// Moves sorted positions at least `gap` apart, as little as needed, within `top` and `bottom` if they fit.
fn spread(wanted: &[f64], gap: f64, top: f64, bottom: f64) -> Vec<f64> {
    // Groups of touching labels, each centred on the mean of what its members want.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    for wish in wanted {
        groups.push((*wish, 1));
        while let [.., (above, m), (below, n)] = groups[..] {
            let needed = gap * (m + n) as f64 / 2.0;
            if below - above >= needed {
                break;
            }
            let centre = (above * m as f64 + below * n as f64) / (m + n) as f64;
            groups.truncate(groups.len() - 2);
            let half = gap * (m + n - 1) as f64 / 2.0;
            groups.push((centre.min(bottom - half).max(top + half), m + n));
        }
    }
    let members = |(centre, n): &(f64, usize)| {
        let first = centre - gap * (*n as f64 - 1.0) / 2.0;
        (0..*n).map(move |index| first + gap * index as f64)
    };
    groups.iter().flat_map(members).collect()
}

/// Breaks text at spaces into at most four lines.
fn wrap(text: &str, per_line: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last > 0 && last + 1 + word.chars().count() > per_line {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.truncate(4);
    lines.iter().map(|line| shorten(line, per_line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_move_apart_and_stay_inside() {
        assert_eq!(spread(&[10.0, 100.0], 20.0, 0.0, 200.0), [10.0, 100.0]);
        assert_eq!(spread(&[100.0, 100.0, 100.0], 20.0, 0.0, 200.0), [80.0, 100.0, 120.0]);
        assert_eq!(spread(&[199.0, 200.0], 20.0, 0.0, 200.0), [180.0, 200.0]);
        assert!(spread(&[], 20.0, 0.0, 1.0).is_empty());
    }

    #[test]
    fn scales_are_labelled_where_there_is_room() {
        assert_eq!(by_weight(&[10.0, 100.0, 1e3, 2e3, 5e3, 1e4]), [5, 0, 2, 1, 4, 3]);
        let shown = |places: &[f64], order: &[usize]| {
            Vec::from_iter(without_overlap(places, &vec![40.0; places.len()], 10.0, order))
        };
        assert_eq!(shown(&[0.0, 50.0, 100.0], &[2, 0, 1]), [0, 1, 2]);
        assert_eq!(shown(&[0.0, 45.0, 50.0, 100.0], &[3, 0, 2, 1]), [0, 2, 3]);
        assert_eq!(shown(&[0.0, 45.0, 50.0, 100.0], &[3, 1, 0, 2]), [1, 3]);
        assert!(by_weight(&[]).is_empty() && shown(&[], &[]).is_empty());
    }

    #[test]
    fn long_reasons_wrap() {
        assert_eq!(wrap("a bb ccc dddd", 6), ["a bb", "ccc", "dddd"]);
        assert_eq!(wrap("", 6), [""]);
    }
}
