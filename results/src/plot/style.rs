//! How modes look: Okabe-Ito colours, and markers and dashes so that black and white suffice.

use plotters::style::RGBColor;

use crate::names::{CONTROLS, FORWARDING_MODES, PROXY_MODES};

/// Marker shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    Dot,
    Circle,
    Square,
    Triangle,
    Diamond,
    DownTriangle,
    Plus,
}

/// The look of one mode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub colour: RGBColor,
    /// The same hue, dark enough for text on white.
    pub text: RGBColor,
    pub marker: Marker,
    /// Dash and gap in pixels; None is solid.
    pub dash: Option<(f64, f64)>,
    pub width: u32,
}

pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const SOFT: RGBColor = RGBColor(0x59, 0x59, 0x59);
pub(super) const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
pub(super) const FRAME: RGBColor = RGBColor(0xa8, 0xa8, 0xa8);
pub(super) const LIMIT: RGBColor = RGBColor(0xb0, 0x00, 0x20);
pub(super) const WHITE: RGBColor = RGBColor(0xff, 0xff, 0xff);

const IPVS: RGBColor = RGBColor(0, 158, 115);

/// The look of `mode`; unknown modes share two spare colours.
pub(super) fn style(mode: &str) -> Style {
    if let Some(index) = CONTROLS.iter().position(|name| *name == mode) {
        let (grey, dash) = [
            (0x9a, (3.0, 6.0)),
            (0x78, (9.0, 6.0)),
            (0x55, (15.0, 5.0)),
            (0x3c, (21.0, 4.0)),
            (0x3c, (27.0, 9.0)),
        ][index];
        let colour = RGBColor(grey, grey, grey);
        return Style { colour, text: SOFT, marker: Marker::Dot, dash: Some(dash), width: 2 };
    }
    let mut dash = None;
    let mut known = PROXY_MODES.iter().chain(&FORWARDING_MODES);
    let (colour, marker) = match known.position(|name| *name == mode) {
        Some(0) => (RGBColor(213, 94, 0), Marker::Circle),
        Some(1) => (RGBColor(230, 159, 0), Marker::Square),
        Some(2) => (RGBColor(0, 114, 178), Marker::Triangle),
        // Everything of IPVS is of one colour.
        Some(3) => (IPVS, Marker::Diamond),
        Some(4) => {
            dash = Some((11.0, 6.0));
            (IPVS, Marker::Plus)
        }
        Some(5) => (IPVS, Marker::Circle),
        Some(6) => (IPVS, Marker::Square),
        Some(7) => (IPVS, Marker::Triangle),
        Some(8) => (IPVS, Marker::DownTriangle),
        _ if mode.len().is_multiple_of(2) => (RGBColor(204, 121, 167), Marker::DownTriangle),
        _ => (RGBColor(86, 180, 233), Marker::DownTriangle),
    };
    let darken = |channel: u8| (f64::from(channel) * 0.72) as u8;
    let text = RGBColor(darken(colour.0), darken(colour.1), darken(colour.2));
    Style { colour, text, marker, dash, width: 3 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::IPVS_BATCHED;

    #[test]
    fn modes_of_one_family_differ_in_more_than_colour() {
        let family: Vec<_> = ["ipvs", IPVS_BATCHED].into_iter().chain(FORWARDING_MODES).map(style).collect();
        assert!(family.iter().all(|style| style.colour == IPVS));
        for (index, one) in family.iter().enumerate() {
            assert!(family[..index].iter().all(|other| other.marker != one.marker));
        }
        assert!(style(IPVS_BATCHED).dash.is_some() && style("ipvs").dash.is_none());
        assert_ne!(style("nftables").colour, IPVS);
    }
}
