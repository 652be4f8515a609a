//! Drawing primitives over plotters' SVG backend: lines, dashes, markers, text.

use plotters::prelude::{Color, DrawingBackend, IntoFont, RGBColor, SVGBackend, ShapeStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, TextStyle};

use super::style::{Marker, WHITE};
use crate::text::shorten;

/// What drawing into memory returns; the error is plotters' own message.
pub(super) type Drawn = Result<(), String>;

/// A font stack that every platform has something of.
const FONT: &str = "system-ui, -apple-system, Helvetica, Arial, sans-serif";

/// An SVG being drawn; coordinates are pixels from the upper left corner.
pub(super) struct Canvas<'a>(pub SVGBackend<'a>);

impl Canvas<'_> {
    pub fn polyline(&mut self, points: &[(f64, f64)], colour: RGBColor, width: u32) -> Drawn {
        let points: Vec<_> = points.iter().map(|point| pixel(*point)).collect();
        self.0.draw_path(points, &stroke(colour, width)).map_err(|error| error.to_string())
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBColor, width: u32) -> Drawn {
        self.0.draw_line(pixel(from), pixel(to), &stroke(colour, width)).map_err(|error| error.to_string())
    }

    pub fn rectangle(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBColor, fill: bool) -> Drawn {
        self.0.draw_rect(pixel(from), pixel(to), &stroke(colour, 1), fill).map_err(|error| error.to_string())
    }

    /// A polyline in dashes that run on across its corners.
    pub fn dashed(
        &mut self,
        points: &[(f64, f64)],
        (dash, gap): (f64, f64),
        colour: RGBColor,
        width: u32,
    ) -> Drawn {
        let mut phase = 0.0;
        for pair in points.windows(2) {
            let &[from, to] = pair else { continue };
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            let at = |distance: f64| {
                let share = if length > 0.0 { distance / length } else { 0.0 };
                (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share)
            };
            let mut walked = 0.0;
            while walked < length {
                let drawing = phase < dash;
                let step = (if drawing { dash - phase } else { dash + gap - phase }).min(length - walked);
                if drawing {
                    self.line(at(walked), at(walked + step), colour, width)?;
                }
                walked += step;
                phase += step;
                // The tolerance keeps rounding from producing endless tiny steps.
                if phase + 1e-6 >= dash + gap {
                    phase = 0.0;
                } else if drawing && phase + 1e-6 >= dash {
                    phase = dash;
                }
            }
        }
        Ok(())
    }

    /// A marker of the given radius; hollow ones are white inside.
    pub fn marker(
        &mut self,
        centre: (f64, f64),
        marker: Marker,
        r: f64,
        colour: RGBColor,
        hollow: bool,
    ) -> Drawn {
        let (x, y) = centre;
        let corners = match marker {
            Marker::Dot | Marker::Circle => {
                let r = if marker == Marker::Dot { r * 0.55 } else { r } as u32;
                let fill = if hollow { WHITE } else { colour };
                let inside = self.0.draw_circle(pixel(centre), r, &stroke(fill, 1), true);
                let outline = self.0.draw_circle(pixel(centre), r, &stroke(colour, 2), false);
                return inside.and(outline).map_err(|error| error.to_string());
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
        let mut outline: Vec<_> = corners.iter().map(|(dx, dy)| (x + dx * r, y + dy * r)).collect();
        let fill = if hollow { WHITE } else { colour };
        let inside: Vec<_> = outline.iter().map(|point| pixel(*point)).collect();
        self.0.fill_polygon(inside, &stroke(fill, 1)).map_err(|error| error.to_string())?;
        outline.extend(outline.first().copied());
        self.polyline(&outline, colour, 2)
    }

    pub fn cross(&mut self, (x, y): (f64, f64), r: f64, colour: RGBColor) -> Drawn {
        self.line((x - r, y - r), (x + r, y + r), colour, 3)?;
        self.line((x - r, y + r), (x + r, y - r), colour, 3)
    }

    /// Text, vertically centred on `at` and anchored there at `anchor`.
    pub fn text(&mut self, text: &str, at: (f64, f64), size: u32, colour: RGBColor, anchor: HPos) -> Drawn {
        self.styled(text, at, size, colour, anchor, FontStyle::Normal)
    }

    pub fn bold(&mut self, text: &str, at: (f64, f64), size: u32, colour: RGBColor, anchor: HPos) -> Drawn {
        self.styled(text, at, size, colour, anchor, FontStyle::Bold)
    }

    fn styled(
        &mut self,
        text: &str,
        at: (f64, f64),
        size: u32,
        colour: RGBColor,
        anchor: HPos,
        weight: FontStyle,
    ) -> Drawn {
        let font = (FONT, f64::from(size)).into_font().style(weight);
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(anchor, VPos::Center));
        let text = crate::text::printable(text);
        self.0.draw_text(&text, &style, pixel(at)).map_err(|error| error.to_string())
    }
}

/// Plotters writes a font size of one 1.24th of what it is asked for.
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

fn stroke(colour: RGBColor, width: u32) -> ShapeStyle {
    colour.stroke_width(width)
}

fn pixel((x, y): (f64, f64)) -> (i32, i32) {
    (x.round() as i32, y.round() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_to_its_place() {
        assert!(text_width("illicit", 20) < text_width("wwwwwww", 20));
        assert_eq!(fit("short", 20, 500.0), "short");
        let cut = fit("a caption that is much too long for its place", 20, 100.0);
        assert!(cut.ends_with('…') && text_width(&cut, 20) <= 100.0 && cut.len() > 6, "{cut}");
        assert_eq!(fit("wide", 20, 0.0), "…");
    }
}
