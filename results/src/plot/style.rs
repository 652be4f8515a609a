//! How modes look: Okabe-Ito colours, and markers and dashes so that black and white suffice; for light and dark grounds.

use std::fmt::Write;

use crate::names::{CONTROLS, FORWARDING_MODES, PROXY_MODES, phase};

/// A colour by name, with its value on a light and on a dark ground.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour {
    /// Part of the names of the classes that style sheets address.
    pub name: &'static str,
    /// What the drawing itself says.
    pub light: &'static str,
    /// What style sheets make of it where the reader prefers dark.
    pub dark: &'static str,
}

const fn colour(name: &'static str, light: &'static str, dark: &'static str) -> Colour {
    Colour { name, light, dark }
}

pub(super) const GROUND: Colour = colour("ground", "#ffffff", "#161616");
pub(super) const INK: Colour = colour("ink", "#222222", "#e8e8e8");
pub(super) const SOFT: Colour = colour("soft", "#595959", "#b0b0b0");
pub(super) const GRID: Colour = colour("grid", "#e4e4e4", "#333333");
pub(super) const FRAME: Colour = colour("frame", "#8c8c8c", "#7a7a7a");
pub(super) const LIMIT: Colour = colour("limit", "#b00020", "#ff8a80");

/// A colour for lines and insides, and one of the same hue that has contrast enough for text and edges of markers.
type Pair = (Colour, Colour);

const VERMILLION: Pair =
    (colour("vermillion", "#d55e00", "#e26a0c"), colour("vermillion-edge", "#994300", "#f08a3c"));
const ORANGE: Pair = (colour("orange", "#e69f00", "#e69f00"), colour("orange-edge", "#855a00", "#f0b43c"));
const BLUE: Pair = (colour("blue", "#0072b2", "#2f8fd0"), colour("blue-edge", "#005280", "#6cb8ec"));
const GREEN: Pair = (colour("green", "#009e73", "#12b386"), colour("green-edge", "#00694c", "#4fd0a9"));
const PURPLE: Pair = (colour("purple", "#cc79a7", "#cc79a7"), colour("purple-edge", "#8a4c6f", "#e0a3c4"));
const SKY: Pair = (colour("sky", "#56b4e9", "#56b4e9"), colour("sky-edge", "#2a6a92", "#8accf2"));
const GREYS: [Colour; 4] = [
    colour("grey-1", "#8c8c8c", "#868686"),
    colour("grey-2", "#747474", "#9c9c9c"),
    colour("grey-3", "#555555", "#b4b4b4"),
    colour("grey-4", "#3c3c3c", "#cecece"),
];

/// Every colour that a drawing may have.
fn all() -> Vec<Colour> {
    let pairs = [VERMILLION, ORANGE, BLUE, GREEN, PURPLE, SKY];
    let mut all = vec![GROUND, INK, SOFT, GRID, FRAME, LIMIT];
    all.extend(pairs.into_iter().flat_map(|(line, edge)| [line, edge]));
    all.extend(GREYS);
    all
}

/// Rules of a style sheet that turn a drawing dark; they belong in a media query.
pub(super) fn dark_rules() -> String {
    let mut rules = String::new();
    for Colour { name, dark, .. } in all() {
        // Writing into a string does not fail.
        let _ = writeln!(rules, ".s-{name}{{stroke:{dark}}}.f-{name}{{fill:{dark}}}");
    }
    rules
}

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
    /// Lines, and the insides of markers.
    pub colour: Colour,
    /// Text, and the edges of markers.
    pub edge: Colour,
    pub marker: Marker,
    /// Dash and gap in pixels; None is solid.
    pub dash: Option<(f64, f64)>,
    pub width: u32,
}

/// How a part of a sync looks in a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fill {
    /// The inside.
    pub inside: Colour,
    /// Its outline, and the lines across it.
    pub edge: Colour,
    /// Whether lines run across it, so that black and white suffice.
    pub hatched: bool,
}

/// How `name` looks in a bar, if it is a part of a sync. Those that touch differ in lightness or are hatched.
pub(super) fn fill(name: &str) -> Option<Fill> {
    let ((inside, edge), hatched) = match phase::ALL.iter().position(|phase| *phase == name)? {
        0 => (BLUE, false),
        1 => (SKY, true),
        2 => ((GROUND, INK), true),
        3 => (VERMILLION, false),
        _ => (ORANGE, false),
    };
    Some(Fill { inside, edge, hatched })
}

/// The look of a kube-proxy: six minor versions in a row differ, and another build of one has another marker.
fn kube_proxy(name: &str) -> Option<(Pair, Marker)> {
    const LOOKS: [(Pair, Marker); 6] = [
        (VERMILLION, Marker::Circle),
        (ORANGE, Marker::Square),
        (BLUE, Marker::Triangle),
        (GREEN, Marker::Diamond),
        (PURPLE, Marker::DownTriangle),
        (SKY, Marker::Plus),
    ];
    let version = name.strip_prefix("kube-proxy 1.")?;
    let minor: usize = version.split(['.', ' ']).next()?.parse().ok()?;
    let build: usize = version.split_once('#').map_or(0, |(_, hash)| hash.bytes().map(usize::from).sum());
    // 1.34 is the first.
    let at = (minor % 6 + 2) % 6;
    Some((LOOKS.get(at)?.0, LOOKS.get((at + build) % 6)?.1))
}

/// The look of `mode`; unknown modes share two spare colours.
pub(super) fn style(mode: &str) -> Style {
    if let Some(Fill { inside, edge, .. }) = fill(mode) {
        return Style { colour: inside, edge, marker: Marker::Square, dash: None, width: 3 };
    }
    if let Some(((colour, edge), marker)) = kube_proxy(mode) {
        return Style { colour, edge, marker, dash: None, width: 3 };
    }
    if let Some(index) = CONTROLS.iter().position(|name| *name == mode) {
        let (grey, dash) =
            [(0, (3.0, 6.0)), (1, (9.0, 6.0)), (2, (15.0, 5.0)), (3, (21.0, 4.0)), (3, (27.0, 9.0))][index];
        let colour = GREYS[grey];
        return Style { colour, edge: SOFT, marker: Marker::Dot, dash: Some(dash), width: 2 };
    }
    let mut dash = None;
    let mut known = PROXY_MODES.iter().chain(&FORWARDING_MODES);
    let ((colour, edge), marker) = match known.position(|name| *name == mode) {
        Some(0) => (VERMILLION, Marker::Circle),
        Some(1) => (ORANGE, Marker::Square),
        Some(2) => (BLUE, Marker::Triangle),
        // Everything of IPVS is of one colour.
        Some(3) => (GREEN, Marker::Diamond),
        Some(4) => {
            dash = Some((11.0, 6.0));
            (GREEN, Marker::Plus)
        }
        Some(5) => (GREEN, Marker::Circle),
        Some(6) => (GREEN, Marker::Square),
        Some(7) => (GREEN, Marker::Triangle),
        Some(8) => (GREEN, Marker::DownTriangle),
        _ if mode.len().is_multiple_of(2) => (PURPLE, Marker::DownTriangle),
        _ => (SKY, Marker::DownTriangle),
    };
    Style { colour, edge, marker, dash, width: 3 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::IPVS_BATCHED;

    #[test]
    fn modes_of_one_family_differ_in_more_than_colour() {
        let family: Vec<_> = ["ipvs", IPVS_BATCHED].into_iter().chain(FORWARDING_MODES).map(style).collect();
        assert!(family.iter().all(|style| style.colour == GREEN.0));
        for (index, one) in family.iter().enumerate() {
            assert!(family[..index].iter().all(|other| other.marker != one.marker));
        }
        assert!(style(IPVS_BATCHED).dash.is_some() && style("ipvs").dash.is_none());
        assert_ne!(style("nftables").colour, GREEN.0);
    }

    #[test]
    fn versions_differ_in_colour_and_marker() {
        let versions = ["1.34.4", "1.35.4", "1.36.3", "1.37.2", "1.38.0", "1.39"];
        let styles: Vec<_> = versions.iter().map(|version| style(&format!("kube-proxy {version}"))).collect();
        for (index, one) in styles.iter().enumerate() {
            assert!(
                styles[..index].iter().all(|other| other.marker != one.marker && other.colour != one.colour)
            );
        }
        let builds = ["kube-proxy 1.37.2 #2020", "kube-proxy 1.37.2 #2021"].map(style);
        assert!(builds[0].colour == builds[1].colour && builds[0].marker != builds[1].marker);
        assert!(kube_proxy("kube-proxy 1.").is_none() && kube_proxy("kube-proxy 2.1").is_none());
    }

    #[test]
    fn parts_that_touch_differ_in_lightness_or_are_hatched() {
        let fills: Vec<Fill> = phase::ALL.iter().filter_map(|phase| fill(phase)).collect();
        assert_eq!(fills.len(), phase::ALL.len());
        // Any may be absent.
        for (index, one) in fills.iter().enumerate() {
            for other in &fills[index + 1..] {
                let apart = contrast(one.inside.light, other.inside.light) >= 1.3;
                assert!(one.hatched != other.hatched || apart, "{} {}", one.inside.name, other.inside.name);
            }
        }
        assert!(fill("nftables").is_none());
    }

    /// Relative luminance, WCAG 2.1.
    fn luminance(hex: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// 4.5 for text (WCAG 2.1, 1.4.3), which edges of markers have too, so that 1.4.11 asks no more of lines.
    #[test]
    fn text_and_edges_have_contrast_on_both_grounds() {
        assert_eq!((contrast("#ffffff", "#000000") * 10.0).round(), 210.0);
        let modes = CONTROLS.iter().chain(&PROXY_MODES).chain(&FORWARDING_MODES).chain(&["other", "others"]);
        let versions =
            ["kube-proxy 1.34", "kube-proxy 1.35", "kube-proxy 1.36", "kube-proxy 1.37", "kube-proxy 1.38"];
        let modes = modes.chain(&phase::ALL).chain(&versions);
        let edges = modes.map(|mode| style(mode).edge).chain([INK, SOFT, LIMIT]);
        for edge in edges {
            let [light, dark] = [(edge.light, GROUND.light), (edge.dark, GROUND.dark)]
                .map(|(ink, ground)| contrast(ink, ground));
            assert!(light >= 4.5 && dark >= 4.5, "{}: {light:.2} {dark:.2}", edge.name);
        }
        for grey in GREYS.into_iter().chain([FRAME]) {
            assert!(contrast(grey.light, GROUND.light) >= 3.0, "{}", grey.name);
            assert!(contrast(grey.dark, GROUND.dark) >= 3.0, "{}", grey.name);
        }
    }

    #[test]
    fn every_colour_has_a_dark_rule_of_its_own() {
        let rules = dark_rules();
        for Colour { name, dark, .. } in all() {
            assert_eq!(rules.matches(&format!(".f-{name}{{fill:{dark}}}")).count(), 1, "{name}");
        }
    }
}
