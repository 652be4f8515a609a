//! Figures to SVG, for slides and for the report: 1200 pixels wide, readable at half that.

mod axis;
mod canvas;
mod style;

use std::collections::BTreeMap;

use plotters::prelude::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::HPos;

use self::axis::LogAxis;
use self::canvas::{Canvas, Drawn, text_width};
use self::style::{FRAME, GRID, INK, LIMIT, SOFT, WHITE, style};
use crate::names::mode_rank;
use crate::series::{Figure, Line, Panel, XAxis};
use crate::text::{escape_html, shorten};

const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 24.0;
/// Room for the labels of the vertical axis.
const AXIS: f64 = 86.0;
/// Room right of each panel for the figures at the ends of the lines.
const GUTTER: f64 = 92.0;
const PLOT_HEIGHT: f64 = 390.0;
const LEGEND_ROW: f64 = 32.0;
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
    legend: Vec<(String, f64, f64)>,
    plot_top: f64,
    /// Room between the headings and the panels for stacked markers.
    room: f64,
    height: f64,
    notes: Vec<String>,
}

/// How much running text of a size fits between the margins, at the average width of its letters.
fn characters_that_fit(size: f64) -> usize {
    ((WIDTH - 2.0 * MARGIN) / (0.44 * size)) as usize
}

impl Layout {
    fn of(figure: &Figure) -> Self {
        let mut modes: Vec<&str> =
            figure.panels.iter().flat_map(|panel| &panel.lines).map(|line| line.mode.as_str()).collect();
        modes.extend(figure.panels.iter().flat_map(|panel| &panel.gaps).map(|gap| gap.mode.as_str()));
        modes.sort_by_key(|mode| (mode_rank(mode), *mode));
        modes.dedup();
        let (mut x, mut y) = (MARGIN, 108.0);
        let mut legend = Vec::new();
        for mode in modes {
            let name = shorten(mode, 24);
            let width = 52.0 + text_width(&name, 19) + 14.0;
            if x + width > WIDTH - MARGIN && x > MARGIN {
                (x, y) = (MARGIN, y + LEGEND_ROW);
            }
            legend.push((mode.to_owned(), x, y));
            x += width;
        }
        let stacked = figure.panels.iter().map(most_stacked).max().unwrap_or(0).clamp(1, 6);
        let room = 17.0 * (stacked - 1) as f64;
        let plot_top = y + 70.0 + room;
        let fits = characters_that_fit(16.0);
        let mut notes: Vec<String> =
            figure.notes.iter().take(MOST_NOTES).map(|note| shorten(note, fits)).collect();
        if figure.notes.len() > MOST_NOTES {
            notes.push(format!("… and {} more in the report", figure.notes.len() - MOST_NOTES));
        }
        let height = plot_top + PLOT_HEIGHT + 84.0 + NOTE_ROW * notes.len() as f64 + 34.0;
        Layout { legend, plot_top, room, height, notes }
    }

    fn draw(&self, canvas: &mut Canvas<'_>, figure: &Figure, caption: &str) -> Drawn {
        canvas.rectangle((0.0, 0.0), (WIDTH, self.height), WHITE, true)?;
        canvas.bold(&shorten(&figure.title, 72), (MARGIN, 34.0), 28, INK, HPos::Left)?;
        canvas.text(&shorten(&figure.subtitle, 110), (MARGIN, 70.0), 18, SOFT, HPos::Left)?;
        for (mode, x, y) in &self.legend {
            let style = style(mode);
            let ends = [(*x, *y), (x + 40.0, *y)];
            match style.dash {
                Some(dash) => canvas.dashed(&ends, dash, style.colour, style.width)?,
                None => canvas.polyline(&ends, style.colour, style.width)?,
            }
            if style.dash.is_none() {
                canvas.marker((x + 20.0, *y), style.marker, 7.0, style.colour, false)?;
            }
            canvas.text(&shorten(mode, 24), (x + 48.0, *y), 19, style.text, HPos::Left)?;
        }
        self.panels(canvas, figure)?;
        let mut y = self.plot_top + PLOT_HEIGHT + 92.0;
        for note in &self.notes {
            canvas.text(note, (MARGIN, y), 16, INK, HPos::Left)?;
            y += NOTE_ROW;
        }
        canvas.text(&shorten(caption, characters_that_fit(16.0)), (MARGIN, y), 16, SOFT, HPos::Left)
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
            let frame = Frame { left, top: self.plot_top, width, room: self.room, y, x: x_axis(panel) };
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
    points.map(|point| point.y.median).chain(ends).chain(limits).collect()
}

/// The most hollow markers above one another.
fn most_stacked(panel: &Panel) -> usize {
    let mut counts = BTreeMap::new();
    for gap in panel.gaps.iter().filter(|_| !panel.lines.is_empty()) {
        *counts.entry(gap.x as u64).or_insert(0) += 1;
    }
    counts.into_values().max().unwrap_or(0)
}

fn x_axis(panel: &Panel) -> Option<LogAxis> {
    let lines = panel.lines.iter().filter(|line| !line.level);
    let points = lines.flat_map(|line| &line.points).map(|point| point.x);
    match panel.x {
        XAxis::Services => Some(LogAxis::close(points.chain(panel.gaps.iter().map(|gap| gap.x)))),
        XAxis::Names(_) => None,
    }
}

/// One panel's place on the canvas.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    room: f64,
    y: LogAxis,
    x: Option<LogAxis>,
}

impl Frame {
    fn x(&self, panel: &Panel, value: f64) -> f64 {
        let share = match (&panel.x, self.x) {
            (XAxis::Names(names), _) => (value + 0.5) / names.len().max(1) as f64,
            (XAxis::Services, Some(axis)) => axis.share(value),
            (XAxis::Services, None) => 0.5,
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

    fn draw(&self, canvas: &mut Canvas<'_>, panel: &Panel, labelled: bool) -> Drawn {
        let heading = shorten(&panel.heading, ((self.width + GUTTER) / (0.56 * 19.0)) as usize);
        canvas.bold(&heading, (self.left, self.top - 24.0 - self.room), 19, INK, HPos::Left)?;
        if panel.lines.is_empty() {
            return self.draw_empty(canvas, panel);
        }
        self.draw_axes(canvas, panel, labelled)?;
        for (value, label) in &panel.limits {
            let y = self.y(*value);
            canvas.dashed(&[(self.left, y), (self.right(), y)], (10.0, 5.0), LIMIT, 2)?;
            canvas.text(label, (self.left + 8.0, y - 14.0), 16, LIMIT, HPos::Left)?;
        }
        for line in panel.lines.iter().filter(|line| line.secondary) {
            self.draw_line(canvas, panel, line)?;
        }
        for line in panel.lines.iter().filter(|line| !line.secondary) {
            self.draw_line(canvas, panel, line)?;
        }
        for cross in &panel.crosses {
            let at = (self.x(panel, cross.x), self.y(cross.y));
            canvas.cross(at, 8.0, style(&cross.mode).colour)?;
            canvas.text(&cross.label, (at.0, at.1 - 20.0), 16, LIMIT, HPos::Center)?;
        }
        self.draw_gaps(canvas, panel)?;
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
        let below = self.bottom() + 20.0;
        match (&panel.x, self.x) {
            (XAxis::Names(names), _) => {
                for (index, name) in names.iter().enumerate() {
                    let x = self.x(panel, index as f64);
                    canvas.line((x, self.top), (x, self.bottom()), GRID, 1)?;
                    canvas.text(name, (x, below), 18, INK, HPos::Center)?;
                }
            }
            (XAxis::Services, Some(axis)) => {
                for tick in axis.ticks((self.width / 62.0) as usize) {
                    let x = self.x(panel, tick);
                    canvas.line((x, self.top), (x, self.bottom()), GRID, 1)?;
                    let label = crate::text::Quantity::Count.show(tick);
                    canvas.text(&label, (x, below), 18, INK, HPos::Center)?;
                }
            }
            (XAxis::Services, None) => {}
        }
        let name =
            if panel.x == XAxis::Services { "Services" } else { "position of the Service that is looked up" };
        canvas.text(name, (self.left + self.width / 2.0, self.bottom() + 50.0), 18, SOFT, HPos::Center)?;
        canvas.line((self.left, self.bottom()), (self.right(), self.bottom()), FRAME, 2)?;
        canvas.line((self.left, self.top), (self.left, self.bottom()), FRAME, 1)
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

    /// The last value of each line that reaches the right end, moved apart where they would touch.
    fn draw_end_labels(&self, canvas: &mut Canvas<'_>, panel: &Panel) -> Drawn {
        let furthest = panel.lines.iter().filter(|line| !line.level).flat_map(|line| line.points.last());
        let furthest = furthest.map(|point| point.x).fold(0.0, f64::max);
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
    fn long_reasons_wrap() {
        assert_eq!(wrap("a bb ccc dddd", 6), ["a bb", "ccc", "dddd"]);
        assert_eq!(wrap("", 6), [""]);
    }
}
