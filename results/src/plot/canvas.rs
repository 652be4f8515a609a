//! SVG as text: lines, dashes, markers, words and groups.
//!
//! Written here and not by a drawing library, because what a reader does with a figure hangs on what such libraries do not
//! write: groups that can be hidden, titles and links of points, classes that a style sheet turns dark.

use std::fmt::{Display, Write};

use super::style::{Colour, Fill, GROUND, Marker};
use crate::text::{escape_html, shorten};

/// Where text stands relative to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Left,
    Centre,
    Right,
}

impl Anchor {
    fn attribute(self) -> &'static str {
        match self {
            Anchor::Left => "",
            Anchor::Centre => " text-anchor=\"middle\"",
            Anchor::Right => " text-anchor=\"end\"",
        }
    }
}

/// A font stack that every platform has something of.
pub(super) const FONT: &str = "system-ui, -apple-system, Helvetica, Arial, sans-serif";

/// The inside of an SVG; coordinates are pixels from the upper left corner. Each element carries its light colour as an
/// attribute, which any program understands, and a class, by which a style sheet may change it.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    out: String,
}

impl Canvas {
    /// What was drawn.
    pub(super) fn into_text(self) -> String {
        self.out
    }

    /// Opens an element with attributes that the caller has escaped; [`Canvas::close`] ends it.
    pub(super) fn open(&mut self, element: &str, attributes: impl Display) {
        // Writing into a string does not fail, here and below.
        let _ = writeln!(self.out, "<{element} {attributes}>");
    }

    pub(super) fn close(&mut self, element: &str) {
        let _ = writeln!(self.out, "</{element}>");
    }

    /// The title of the element that is open.
    pub(super) fn title(&mut self, text: &str) {
        let _ = writeln!(self.out, "<title>{}</title>", escape_html(text));
    }

    pub(super) fn polyline(&mut self, points: &[(f64, f64)], colour: Colour, width: u32) {
        self.stroke(points, colour, width, None);
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: Colour, width: u32) {
        self.stroke(&[from, to], colour, width, None);
    }

    /// A polyline in dashes that run on across its corners.
    pub(super) fn dashed(&mut self, points: &[(f64, f64)], dash: (f64, f64), colour: Colour, width: u32) {
        self.stroke(points, colour, width, Some(dash));
    }

    fn stroke(&mut self, points: &[(f64, f64)], colour: Colour, width: u32, dash: Option<(f64, f64)>) {
        if points.len() < 2 {
            return;
        }
        let dash = dash.map_or_else(String::new, |(dash, gap)| {
            format!(" stroke-dasharray=\"{} {}\"", number(dash), number(gap))
        });
        let _ = writeln!(
            self.out,
            "<path class=\"s-{}\" d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\"{dash}/>",
            colour.name,
            path(points),
            colour.light
        );
    }

    /// Lines that share a look, such as a grid.
    pub(super) fn lines(&mut self, lines: &[[(f64, f64); 2]], colour: Colour, width: u32) {
        if lines.is_empty() {
            return;
        }
        let paths: Vec<_> = lines.iter().map(|line| path(line)).collect();
        let _ = writeln!(
            self.out,
            "<path class=\"s-{}\" d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\"/>",
            colour.name,
            paths.concat(),
            colour.light
        );
    }

    pub(super) fn ground(&mut self, size: (f64, f64)) {
        let _ = writeln!(
            self.out,
            "<rect class=\"f-{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>",
            GROUND.name,
            number(size.0),
            number(size.1),
            GROUND.light
        );
    }

    /// The outline of a rectangle.
    pub(super) fn rectangle(&mut self, from: (f64, f64), to: (f64, f64), colour: Colour) {
        self.polyline(&[from, (to.0, from.1), to, (from.0, to.1), from], colour, 1);
    }

    /// A piece of a bar.
    pub(super) fn piece(&mut self, from: (f64, f64), to: (f64, f64), fill: Fill) {
        let corners = [from, (to.0, from.1), to, (from.0, to.1)];
        let _ = writeln!(
            self.out,
            "<path class=\"hit f-{} s-{}\" d=\"{}Z\" fill=\"{}\" stroke=\"{}\" stroke-width=\"1\"/>",
            fill.inside.name,
            fill.edge.name,
            path(&corners),
            fill.inside.light,
            fill.edge.light
        );
        if fill.hatched {
            let count = ((to.0 - from.0) / HATCH).clamp(0.0, 400.0) as usize;
            let lines: Vec<_> = (1..=count)
                .map(|index| from.0 + index as f64 * HATCH)
                .filter(|x| *x < to.0 - 1.0)
                .map(|x| [(x, from.1), (x, to.1)])
                .collect();
            self.lines(&lines, fill.edge, 1);
        }
    }

    /// What a pointer may hit around `centre`, as nobody hits a marker exactly. Nothing is seen of it.
    pub(super) fn target(&mut self, (x, y): (f64, f64), r: f64) {
        let _ = writeln!(
            self.out,
            "<circle class=\"hit\" cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"none\" pointer-events=\"all\"/>",
            number(x),
            number(y),
            number(r)
        );
    }

    /// A marker of the given radius in its colour and edge; hollow ones have the ground inside.
    pub(super) fn marker(
        &mut self,
        centre: (f64, f64),
        marker: Marker,
        r: f64,
        (inside, edge): (Colour, Colour),
        hollow: bool,
    ) {
        let fill = if hollow { GROUND } else { inside };
        let look = format!(
            "class=\"f-{} s-{}\" fill=\"{}\" stroke=\"{}\" stroke-width=\"1.5\"",
            fill.name, edge.name, fill.light, edge.light
        );
        let (x, y) = centre;
        let corners = match marker {
            Marker::Dot | Marker::Circle => {
                let r = if marker == Marker::Dot { r * 0.55 } else { r };
                let _ = writeln!(
                    self.out,
                    "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" {look}/>",
                    number(x),
                    number(y),
                    number(r)
                );
                return;
            }
            Marker::Square => vec![(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
            Marker::Triangle => vec![(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            Marker::Diamond => vec![(0.0, -1.3), (1.1, 0.0), (0.0, 1.3), (-1.1, 0.0)],
            Marker::Plus => {
                let (a, b) = (0.42, 1.25);
                vec![(a, b), (a, a), (b, a), (b, -a), (a, -a), (a, -b), (-a, -b), (-a, -a), (-b, -a), (-b, a)]
                    .into_iter()
                    .chain([(-a, a), (-a, b)])
                    .collect()
            }
            Marker::DownTriangle => vec![(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
        };
        let outline: Vec<_> = corners.iter().map(|(dx, dy)| (x + dx * r, y + dy * r)).collect();
        let _ = writeln!(self.out, "<path d=\"{}Z\" {look}/>", path(&outline));
    }

    pub(super) fn cross(&mut self, (x, y): (f64, f64), r: f64, colour: Colour) {
        self.lines(&[[(x - r, y - r), (x + r, y + r)], [(x - r, y + r), (x + r, y - r)]], colour, 3);
    }

    /// Text, vertically centred on `at` and anchored there at `anchor`.
    pub(super) fn text(&mut self, text: &str, at: (f64, f64), size: u32, colour: Colour, anchor: Anchor) {
        self.styled(text, at, size, colour, anchor, "");
    }

    pub(super) fn bold(&mut self, text: &str, at: (f64, f64), size: u32, colour: Colour, anchor: Anchor) {
        self.styled(text, at, size, colour, anchor, " font-weight=\"bold\"");
    }

    fn styled(
        &mut self,
        text: &str,
        (x, y): (f64, f64),
        size: u32,
        colour: Colour,
        anchor: Anchor,
        weight: &str,
    ) {
        let size = f64::from(size) * EM;
        // Half the height of a capital below the centre: not every program knows how to centre text.
        let _ = writeln!(
            self.out,
            "<text class=\"f-{}\" x=\"{}\" y=\"{}\" font-size=\"{}\"{}{weight} fill=\"{}\">{}</text>",
            colour.name,
            number(x),
            number(y + 0.36 * size),
            number(size),
            anchor.attribute(),
            colour.light,
            escape_html(text)
        );
    }
}

/// Between two lines across a piece of a bar.
const HATCH: f64 = 6.0;

/// Height of the letters in pixels for each unit of size.
const EM: f64 = 1.0 / 1.24;

/// Width of `text` in pixels in a wide sans-serif (DejaVu Sans): there is no font to measure, and the others of
/// [`FONT`] are narrower.
pub(super) fn text_width(text: &str, size: u32) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '\'' | '|' | '.' | ',' | ':' | ';' | ' ' | '·' => 0.33,
        'f' | 't' | 'r' | '-' | '/' | '(' | ')' | '[' | ']' | '!' | '“' | '”' => 0.41,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '—' | '…' => 1.0,
        'A'..='Z' | '+' | '=' | '<' | '>' | '×' | '−' | '~' => 0.75,
        _ => 0.63,
    };
    text.chars().map(em).sum::<f64>() * f64::from(size) * EM
}

/// As much of `text` as fits into `width` pixels, with an ellipsis if there is more.
pub(super) fn fit(text: &str, size: u32, width: f64) -> String {
    let mut length = text.chars().count();
    let mut fitting = text.to_owned();
    while length > 1 && text_width(&fitting, size) > width {
        length -= 1;
        fitting = shorten(text, length);
    }
    fitting
}

/// Tenths of a pixel, without needless zeros.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn path(points: &[(f64, f64)]) -> String {
    let mut text = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let _ = write!(text, "{command}{} {}", number(*x), number(*y));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::style::INK;

    #[test]
    fn text_is_cut_to_its_place() {
        assert!(text_width("illicit", 20) < text_width("wwwwwww", 20));
        assert_eq!(fit("short", 20, 500.0), "short");
        let cut = fit("a caption that is much too long for its place", 20, 100.0);
        assert!(cut.ends_with('…') && text_width(&cut, 20) <= 100.0 && cut.len() > 6, "{cut}");
        assert_eq!(fit("wide", 20, 0.0), "…");
    }

    #[test]
    fn what_is_written_is_short_and_escaped() {
        let mut canvas = Canvas::default();
        canvas.text("a<b", (1.04, 20.0), 18, INK, Anchor::Right);
        canvas.polyline(&[(0.0, -0.01), (2.55, 3.0)], INK, 2);
        canvas.polyline(&[(0.0, 0.0)], INK, 2);
        assert_eq!(
            canvas.into_text(),
            "<text class=\"f-ink\" x=\"1\" y=\"25.2\" font-size=\"14.5\" text-anchor=\"end\" fill=\"#222222\">a&lt;b</text>\n\
             <path class=\"s-ink\" d=\"M0 0L2.5 3\" fill=\"none\" stroke=\"#222222\" stroke-width=\"2\"/>\n"
        );
    }
}
