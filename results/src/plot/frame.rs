//! One panel: axes, lines, intervals, gaps and the figures at the ends of the lines.

use std::collections::{BTreeMap, BTreeSet};

use super::axis::{LogAxis, TimeAxis};
use super::canvas::{Anchor, Canvas, fit, text_width};
use super::legend::modes;
use super::style::{FRAME, GRID, INK, LIMIT, SOFT, style};
use super::words;
use crate::series::{Line, Panel, Point, XAxis};
use crate::text::{Quantity, escape_html, shorten};

/// More scales than this are not marked one by one.
const MOST_SCALES: usize = 12;
/// Radius of what a pointer may hit of a point.
const REACH: f64 = 12.0;

/// The axis of Services or contenders, common to all panels that have one.
pub(super) fn x_axis(panels: &[Panel]) -> LogAxis {
    let panels = panels.iter().filter(|panel| matches!(panel.x, XAxis::Services | XAxis::Contenders));
    LogAxis::close(panels.flat_map(|panel| {
        let lines = panel.lines.iter().filter(|line| !line.level);
        let points = lines.flat_map(|line| &line.points).map(|point| point.x);
        points.chain(panel.gaps.iter().map(|gap| gap.x))
    }))
}

/// Ticks of the vertical axis, roughly.
const TICKS: usize = 9;

/// Room that the labels of the vertical axis need left of a panel.
pub(super) fn axis_width(y: LogAxis, panel: &Panel) -> f64 {
    let labels: Vec<String> = match &panel.x {
        XAxis::Bars(names) => names.clone(),
        _ => y.ticks(TICKS).into_iter().map(|tick| panel.quantity.show_short(tick)).collect(),
    };
    labels.into_iter().map(|label| text_width(&label, 18)).fold(24.0, f64::max) + 12.0
}

/// Writes the address of the rows behind a point from the number of their group.
pub(super) type Address<'a> = &'a dyn Fn(usize) -> String;

/// One panel's place on the canvas.
pub(super) struct Frame<'a> {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
    /// Room right of the panel for the figures at the ends of the lines.
    pub gutter: f64,
    pub room: f64,
    pub y: LogAxis,
    pub x: LogAxis,
    pub time: TimeAxis,
    /// Where points lead to; None: nowhere.
    pub address: Option<Address<'a>>,
}

/// The figure at the end of a line: where the line ends, where the label stands, and what it says.
struct EndLabel {
    from: (f64, f64),
    place: f64,
    text: String,
}

impl Frame<'_> {
    pub(super) fn x(&self, panel: &Panel, value: f64) -> f64 {
        let share = match &panel.x {
            XAxis::Names(names) => (value + 0.5) / names.len().max(1) as f64,
            XAxis::Services | XAxis::Contenders => self.x.share(value),
            XAxis::Time | XAxis::Bars(_) => self.time.share(value),
        };
        self.left + self.width * share
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom() - self.height * self.y.share(value)
    }

    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Everything but the heading.
    pub(super) fn draw(&self, canvas: &mut Canvas, panel: &Panel, labelled: bool) {
        if panel.is_empty() {
            return self.draw_empty(canvas, panel);
        }
        if let XAxis::Bars(names) = &panel.x {
            return self.draw_bars(canvas, panel, names, labelled);
        }
        self.draw_axes(canvas, panel, labelled);
        for (value, label) in &panel.limits {
            let y = self.y(*value);
            canvas.dashed(&[(self.left, y), (self.right(), y)], (10.0, 5.0), LIMIT, 2);
            // Hollow markers stand on the upper edge.
            let beside = if y - self.top < 38.0 && !panel.gaps.is_empty() { 15.0 } else { -14.0 };
            canvas.text(label, (self.left + 8.0, y + beside), 16, LIMIT, Anchor::Left);
        }
        let gaps = self.gaps(panel);
        let labels = self.end_labels(panel);
        for mode in modes(std::slice::from_ref(panel)) {
            canvas.open("g", format!("class=\"mode\" data-mode=\"{}\"", escape_html(mode)));
            let lines = || panel.lines.iter().enumerate().filter(|(_, line)| line.mode == mode);
            for (_, line) in lines().filter(|(_, line)| line.secondary) {
                self.draw_line(canvas, panel, line);
            }
            for (_, line) in lines().filter(|(_, line)| !line.secondary) {
                self.draw_line(canvas, panel, line);
            }
            self.draw_spans(canvas, panel, mode);
            for cross in panel.crosses.iter().filter(|cross| cross.mode == mode) {
                let at = (self.x(panel, cross.x), self.y(cross.y));
                canvas.cross(at, 8.0, style(mode).edge);
                canvas.text(&cross.label, (at.0, at.1 - 20.0), 16, LIMIT, Anchor::Centre);
            }
            for (at, what) in gaps.iter().filter(|(name, ..)| *name == mode).map(|(_, at, what)| (at, what)) {
                let style = style(mode);
                canvas.open("g", "class=\"gap\"");
                canvas.title(what);
                canvas.marker(*at, style.marker, 7.0, (style.colour, style.edge), true);
                canvas.close("g");
            }
            for label in lines().filter_map(|(index, _)| labels.get(&index)) {
                let start = self.right() + 14.0;
                if (label.place - label.from.1).abs() > 4.0 {
                    let from = (label.from.0.max(self.right() - 4.0), label.from.1);
                    canvas.line(from, (start - 2.0, label.place), style(mode).colour, 1);
                }
                canvas.text(&label.text, (start, label.place), 17, style(mode).edge, Anchor::Left);
            }
            canvas.close("g");
        }
    }

    fn draw_empty(&self, canvas: &mut Canvas, panel: &Panel) {
        canvas.rectangle((self.left, self.top), (self.right(), self.bottom()), GRID);
        let centre = self.left + self.width / 2.0;
        let per_line = ((self.width - 24.0) / (0.58 * 17.0)).max(8.0) as usize;
        let mut y = self.top + self.height * 0.4;
        canvas.bold("no data", (centre, y), 19, SOFT, Anchor::Centre);
        for line in wrap(&panel.empty, per_line) {
            y += 26.0;
            canvas.text(&line, (centre, y), 17, SOFT, Anchor::Centre);
        }
    }

    fn draw_axes(&self, canvas: &mut Canvas, panel: &Panel, labelled: bool) {
        let ticks = self.y.ticks(TICKS);
        let mut grid: Vec<_> =
            ticks.iter().map(|tick| [(self.left, self.y(*tick)), (self.right(), self.y(*tick))]).collect();
        if labelled {
            for tick in &ticks {
                let at = (self.left - 10.0, self.y(*tick));
                canvas.text(&panel.quantity.show_short(*tick), at, 18, INK, Anchor::Right);
            }
            let name = panel.quantity.axis_name();
            if !name.is_empty() {
                let at = (self.left - 10.0, self.top - 24.0 - self.room);
                // In a narrow panel the word is wider than the room left of it.
                let over = text_width(name, 15) - at.0;
                canvas.text(name, (at.0 + over.max(0.0), at.1), 15, SOFT, Anchor::Right);
            }
        }
        let below = self.bottom() + 20.0;
        let mut vertical = |x: f64| grid.push([(x, self.top), (x, self.bottom())]);
        match &panel.x {
            XAxis::Names(names) => {
                for (index, name) in names.iter().enumerate() {
                    let x = self.x(panel, index as f64);
                    vertical(x);
                    canvas.text(name, (x, below), 18, INK, Anchor::Centre);
                }
            }
            XAxis::Services | XAxis::Contenders => {
                let ticks = self.scales(panel);
                let labels: Vec<_> = ticks.iter().map(|tick| Quantity::Count.show(*tick)).collect();
                let places: Vec<_> = ticks.iter().map(|tick| self.x(panel, *tick)).collect();
                let widths: Vec<_> = labels.iter().map(|label| text_width(label, 18)).collect();
                let shown = without_overlap(&places, &widths, 10.0, &by_weight(&ticks));
                for (index, (x, label)) in places.iter().zip(&labels).enumerate() {
                    vertical(*x);
                    if shown.contains(&index) {
                        canvas.text(label, (*x, below), 18, INK, Anchor::Centre);
                    }
                }
            }
            XAxis::Time | XAxis::Bars(_) => self.time_ticks(canvas, panel, &mut grid),
        }
        let name = match panel.x {
            XAxis::Services => "Services",
            XAxis::Contenders => "contenders for the lock",
            XAxis::Names(_) => "position of the Service that is looked up",
            XAxis::Time => "since the beginning",
            XAxis::Bars(_) => "",
        };
        canvas.text(name, (self.left + self.width / 2.0, self.bottom() + 50.0), 18, SOFT, Anchor::Centre);
        canvas.lines(&grid, GRID, 1);
        canvas.line((self.left, self.bottom()), (self.right(), self.bottom()), FRAME, 2);
        canvas.line((self.left, self.top), (self.left, self.bottom()), FRAME, 1);
    }

    /// Labels of a linear axis, and the lines of its grid.
    pub(super) fn time_ticks(&self, canvas: &mut Canvas, panel: &Panel, grid: &mut Vec<[(f64, f64); 2]>) {
        for tick in self.time.ticks((self.width / 62.0) as usize) {
            let x = self.x(panel, tick * 1e9);
            grid.push([(x, self.top), (x, self.bottom())]);
            let label = if tick > 0.0 { panel.quantity.show_short(tick * 1e9) } else { "0".to_owned() };
            canvas.text(&label, (x, self.bottom() + 20.0), 18, INK, Anchor::Centre);
        }
    }

    /// The scales that were measured; round numbers if they are too many to see apart.
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

    fn draw_line(&self, canvas: &mut Canvas, panel: &Panel, line: &Line) {
        let style = style(&line.mode);
        let looks = (style.colour, style.edge);
        let path: Vec<_> =
            line.points.iter().map(|point| (self.x(panel, point.x), self.y(point.y.median))).collect();
        if line.level {
            let y = path.first().map_or(self.bottom(), |point| point.1);
            let ends = [(self.left, y), (self.right(), y)];
            let draw = |canvas: &mut Canvas| {
                canvas.dashed(&ends, style.dash.unwrap_or((9.0, 6.0)), style.colour, style.width);
                canvas.target((self.right() - REACH, y), REACH);
            };
            return match line.points.first() {
                Some(point) => self.point(canvas, panel, line, point, draw),
                None => draw(canvas),
            };
        }
        match style.dash.filter(|_| !line.secondary) {
            Some(dash) => canvas.dashed(&path, dash, style.colour, style.width),
            None if line.secondary => canvas.dashed(&path, (5.0, 4.0), style.colour, 1),
            None => canvas.polyline(&path, style.colour, style.width),
        }
        // Over time there are too many points for markers.
        if panel.x == XAxis::Time {
            return;
        }
        // Bars of different modes stand beside one another, within the width of their markers.
        let modes: Vec<_> = panel.lines.iter().filter(|line| !line.secondary && !line.level).collect();
        let place = modes.iter().position(|other| other.mode == line.mode).unwrap_or(0) as f64;
        let beside = (place - (modes.len().saturating_sub(1)) as f64 / 2.0) * 5.0;
        for (point, at) in line.points.iter().zip(&path) {
            self.point(canvas, panel, line, point, |canvas| {
                canvas.target(*at, REACH);
                if line.secondary {
                    canvas.marker(*at, style.marker, 4.0, looks, true);
                    return;
                }
                if let Some(interval) = point.y.interval {
                    let (low, high) = (self.y(interval.low), self.y(interval.high));
                    // An interval inside its marker would only smudge it.
                    if low - high > 16.0 {
                        let x = at.0 + beside;
                        let bar = [
                            [(x, low), (x, high)],
                            [(x - 5.0, low), (x + 5.0, low)],
                            [(x - 5.0, high), (x + 5.0, high)],
                        ];
                        canvas.lines(&bar, style.edge, 2);
                    }
                }
                canvas.marker(*at, style.marker, 7.0, looks, false);
            });
        }
    }

    /// Draws a point inside its group, or inside the link to its rows, with what it says as the title.
    fn point(
        &self,
        canvas: &mut Canvas,
        panel: &Panel,
        line: &Line,
        point: &Point,
        draw: impl FnOnce(&mut Canvas),
    ) {
        let element = match self.address.zip(point.group) {
            // Out of the order of Tab, in which hundreds of points would be in the way; the script puts one of each panel back.
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
        canvas.title(&words::point(panel, line, point));
        draw(canvas);
        canvas.close(element);
    }

    /// Each event of a mode from its beginning to its end, with a marker where it begins.
    fn draw_spans(&self, canvas: &mut Canvas, panel: &Panel, mode: &str) {
        let style = style(mode);
        for span in panel.spans.iter().filter(|span| span.mode == mode) {
            let (from, y) = (self.x(panel, span.from), self.y(span.y));
            canvas.open("g", "class=\"pt\"");
            canvas.title(&words::span(panel, span));
            canvas.line((from, y), (self.x(panel, span.to), y), style.colour, style.width);
            canvas.marker((from, y), style.marker, 5.0, (style.colour, style.edge), span.hollow);
            canvas.close("g");
        }
    }

    /// Hollow markers on the upper edge, stacked where several modes lack the same cell.
    fn gaps<'p>(&self, panel: &'p Panel) -> Vec<(&'p str, (f64, f64), String)> {
        let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
        let mut gaps = Vec::new();
        for gap in &panel.gaps {
            let count = seen.entry(gap.x as u64).or_default();
            let before = std::mem::replace(count, *count + 1).min(5);
            let at = (self.x(panel, gap.x), self.top - 17.0 * before as f64);
            gaps.push((gap.mode.as_str(), at, words::gap(panel, gap)));
        }
        gaps
    }

    /// The last value of each line that reaches the right end, moved apart where they would touch, by the line's index. A line
    /// that ends before a cell without a figure does not reach it.
    fn end_labels(&self, panel: &Panel) -> BTreeMap<usize, EndLabel> {
        if matches!(panel.x, XAxis::Time | XAxis::Bars(_)) {
            return BTreeMap::new();
        }
        let furthest = panel.lines.iter().filter(|line| !line.level).flat_map(|line| line.points.last());
        let gaps = panel.gaps.iter().map(|gap| gap.x);
        let furthest = furthest.map(|point| point.x).chain(gaps).fold(0.0, f64::max);
        let mut labels: Vec<(usize, (f64, f64), String)> = Vec::new();
        for (index, line) in panel.lines.iter().enumerate().filter(|(_, line)| !line.secondary) {
            let Some(last) = line.points.last().filter(|last| line.level || last.x == furthest) else {
                continue;
            };
            let x = if line.level { self.right() } else { self.x(panel, last.x) };
            let text = panel.quantity.show_short(last.y.median);
            labels.push((index, (x, self.y(last.y.median)), text));
        }
        labels.sort_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let wanted: Vec<f64> = labels.iter().map(|label| label.1.1).collect();
        let places = spread(&wanted, 20.0, self.top, self.bottom());
        let room = self.gutter - 14.0;
        labels
            .into_iter()
            .zip(places)
            .map(|((index, from, text), place)| (index, EndLabel { from, place, text: fit(&text, 17, room) }))
            .collect()
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
