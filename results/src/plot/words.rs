//! What points and panels say in words: titles of points, and descriptions for those who do not see the panel.

use super::legend::modes;
use crate::series::{Bar, Gap, Line, Panel, Point, Span, XAxis};
use crate::stats::Estimate;
use crate::text::{Quantity, in_words, thousands};

/// More modes than this are not listed one by one.
const MOST_MODES: usize = 8;

/// `nftables at 10,000 Services: 1.32 µs [1.3, 1.34], median of 5 blocks`.
pub(super) fn point(panel: &Panel, line: &Line, point: &Point) -> String {
    let tail = if line.secondary { " p99" } else { "" };
    let at = if line.level { String::new() } else { at(panel, point.x) };
    let shown = in_words(&panel.quantity.show_estimate(point.y));
    format!("{}{tail}{at}: {shown}, {}", line.mode, blocks(point.y))
}

/// `nftables, from 1.2 s: 31 ms, nothing had changed`.
pub(super) fn span(panel: &Panel, span: &Span) -> String {
    let [from, took] = [span.from, span.y].map(|value| in_words(&panel.quantity.show(value)));
    let hollow = if span.hollow { ", nothing had changed" } else { "" };
    format!("{}, from {from}: {took}{hollow}", span.mode)
}

/// `1.37.2, writing: 31 ms of 52 ms`.
pub(super) fn bar(panel: &Panel, names: &[String], bar: &Bar) -> String {
    let whole = panel.bars.iter().filter(|other| other.row == bar.row).map(|other| other.to);
    let [own, whole] =
        [bar.to - bar.from, whole.fold(0.0, f64::max)].map(|value| in_words(&panel.quantity.show(value)));
    let name = names.get(bar.row).map_or("", String::as_str);
    format!("{name}, {}: {own} of {whole}", bar.mode)
}

/// Each bar as a whole and by its parts.
fn bars(panel: &Panel, names: &[String]) -> String {
    let show = |value: f64| in_words(&panel.quantity.show(value));
    let each = |(row, name): (usize, &String)| {
        let own: Vec<&Bar> = panel.bars.iter().filter(|bar| bar.row == row).collect();
        if own.is_empty() {
            return format!("{name}: no figure");
        }
        let parts: Vec<_> =
            own.iter().map(|bar| format!("{} {}", bar.mode, show(bar.to - bar.from))).collect();
        format!("{name} {}: {}", show(own.iter().map(|bar| bar.to).fold(0.0, f64::max)), parts.join(", "))
    };
    let all: Vec<_> = names.iter().enumerate().map(each).collect();
    format!("Bars of {} parts at most. {}.", modes(std::slice::from_ref(panel)).len(), all.join("; "))
}

/// `nftables at 10,000 Services: no figure`.
pub(super) fn gap(panel: &Panel, gap: &Gap) -> String {
    format!("{}{}: no figure", gap.mode, at(panel, gap.x))
}

fn at(panel: &Panel, x: f64) -> String {
    let count = || thousands(x as u64);
    let plural = if x == 1.0 { "" } else { "s" };
    match &panel.x {
        XAxis::Services => format!(" at {} Service{plural}", count()),
        XAxis::Contenders => format!(" with {} contender{plural}", count()),
        XAxis::Names(names) => {
            names.get(x as usize).map_or_else(String::new, |name| format!(", position {name}"))
        }
        XAxis::Time => format!(" at {}", panel.quantity.show(x)),
        XAxis::Bars(names) => names.get(x as usize).map_or_else(String::new, |name| format!(" of {name}")),
    }
}

fn blocks(estimate: Estimate) -> String {
    match estimate.n {
        1 => "one block".to_owned(),
        n if estimate.identical => format!("identical in all {} blocks", thousands(n as u64)),
        n => format!("median of {} blocks", thousands(n as u64)),
    }
}

/// One or two sentences with the figures: where the lines are, and where each ends.
pub(super) fn describe(panel: &Panel) -> String {
    if panel.is_empty() {
        return format!("No data: {}.", panel.empty);
    }
    if panel.x == XAxis::Time {
        return over_time(panel);
    }
    if let XAxis::Bars(names) = &panel.x {
        return bars(panel, names);
    }
    let lines: Vec<&Line> =
        panel.lines.iter().filter(|line| !line.secondary && !line.points.is_empty()).collect();
    let points = || lines.iter().flat_map(|line| &line.points).map(|point| point.y.median);
    let (low, high) = (points().fold(f64::INFINITY, f64::min), points().fold(0.0, f64::max));
    let show = |value: f64| in_words(&panel.quantity.show(value));
    let mut text = match lines.len() {
        1 => "One line".to_owned(),
        count => format!("{count} lines"),
    };
    text += &format!(", between {} and {}.", show(low), show(high));
    // Each line by its two ends, the highest end first, as the eye finds them.
    let mut ends: Vec<(f64, String)> = lines
        .iter()
        .filter_map(|line| {
            let (first, last) = (line.points.first()?, line.points.last()?);
            let from = |point: &Point| format!("{}{}", show(point.y.median), at(panel, point.x));
            let way = match line {
                _ if line.level => show(last.y.median),
                _ if first.x == last.x => from(last),
                _ => format!("{} to {}", from(first), from(last)),
            };
            Some((last.y.median, format!("{} {way}", line.mode)))
        })
        .collect();
    ends.sort_by(|a, b| b.0.total_cmp(&a.0));
    let more = ends.len().saturating_sub(MOST_MODES);
    let shown: Vec<_> = ends.into_iter().take(MOST_MODES).map(|(_, words)| words).collect();
    text += &format!(" From left to right: {}", shown.join("; "));
    if more > 0 {
        text += &format!("; and {more} more");
    }
    text + "."
}

fn over_time(panel: &Panel) -> String {
    let modes = modes(std::slice::from_ref(panel));
    let shown = modes.iter().take(MOST_MODES).map(|mode| {
        let spans: Vec<_> = panel.spans.iter().filter(|span| span.mode == *mode).collect();
        let longest = spans.iter().map(|span| span.y).fold(0.0, f64::max);
        let worst = panel.lines.iter().filter(|line| line.mode == *mode && !line.secondary);
        let worst = worst.flat_map(|line| &line.points).map(|point| point.y.median).fold(0.0, f64::max);
        let mut text = format!("{mode}: {} syncs", thousands(spans.len() as u64));
        if longest > 0.0 {
            text += &format!(", the longest {}", Quantity::show(panel.quantity, longest));
        }
        if worst > 0.0 {
            text += &format!(", the slowest response {}", Quantity::show(panel.quantity, worst));
        }
        text
    });
    format!("Over time. {}.", shown.collect::<Vec<_>>().join("; "))
}
