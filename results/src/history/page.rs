//! A history as pictures: one SVG of small panels, and a page around it.

use super::machine::Machine;
use super::series::{Change, History, Series};
use super::shown::sparkline;
use crate::text::{escape_html, shorten, thousands};

const STYLE: &str = include_str!("../report/style.css");
const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 24.0;
/// Room left of a panel for its lowest and highest value.
const AXIS: f64 = 110.0;
const HEADING: f64 = 44.0;
const PLOT: f64 = 76.0;
const PANEL: f64 = 162.0;
/// Panels of the picture; all figures are in the table.
const MOST_PANELS: usize = 60;
const FONT: &str = "system-ui, -apple-system, Helvetica, Arial, sans-serif";
const INK: &str = "#222222";
const SOFT: &str = "#595959";
const LINE: &str = "#0072b2";
const CHANGE: &str = "#b00020";
const EVENT: &str = "#9a9a9a";

/// `history.svg`: a panel for each figure, those that changed first. Runs are a step apart, whenever they were; a red line marks a
/// change, a dotted grey one another kernel or tool. The ground is white, so that it reads on dark pages.
pub fn svg(history: &History) -> String {
    let mut chosen: Vec<&Series> = history.series.iter().filter(|series| series.points.len() > 1).collect();
    chosen.sort_by_key(|series| series.changes.is_empty());
    let left_out = chosen.len().saturating_sub(MOST_PANELS);
    chosen.truncate(MOST_PANELS);
    let height = HEADING + PANEL * chosen.len().max(1) as f64 + 40.0;
    let changed = chosen.iter().filter(|series| !series.changes.is_empty()).count();
    let title = format!("{} figures over time, {changed} of them changed", thousands(chosen.len() as u64));
    let mut out = format!(
        "<svg width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" xmlns=\"http://www.w3.org/2000/svg\" \
         role=\"img\" font-family=\"{FONT}\"><title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    label(&mut out, MARGIN, 28.0, 22, INK, "start", &title);
    for (index, series) in chosen.iter().enumerate() {
        panel(&mut out, history, series, HEADING + PANEL * index as f64);
    }
    let foot = match (chosen.len(), left_out) {
        (0, _) => "No figure has two runs of one machine and clock.".to_owned(),
        (_, 0) => {
            "Dots are medians over the blocks of a run; level lines are medians between changes.".to_owned()
        }
        (_, more) => format!("{} more figures without a change are in the table.", thousands(more as u64)),
    };
    label(&mut out, MARGIN, height - 16.0, 15, SOFT, "start", &foot);
    out + "</svg>\n"
}

fn label(out: &mut String, x: f64, y: f64, size: u32, colour: &str, anchor: &str, text: &str) {
    *out += &format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{colour}\" text-anchor=\"{anchor}\">{}</text>\n",
        escape_html(text)
    );
}

fn panel(out: &mut String, history: &History, series: &Series, top: f64) {
    let quantity = history.quantity(series);
    let machine = history.machines.get(series.machine).map(Machine::label).unwrap_or_default();
    let name = if history.machines.len() > 1 {
        format!("{} — {machine}", series.figure.label())
    } else {
        series.figure.label()
    };
    label(out, MARGIN, top + 24.0, 16, INK, "start", &shorten(&name, 130));
    let values: Vec<f64> = series.points.iter().map(|point| point.value).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (left, right) = (MARGIN + AXIS, WIDTH - MARGIN - 8.0);
    let (ceiling, floor) = (top + 58.0, top + 58.0 + PLOT);
    let x = |index: f64| left + (right - left) * index / (values.len().max(2) - 1) as f64;
    let y = |value: f64| {
        let share = if high > low { (value - low) / (high - low) } else { 0.5 };
        floor - PLOT * share
    };
    let axis = left - 10.0;
    if high > low {
        label(out, axis, ceiling + 5.0, 14, SOFT, "end", &quantity.show_short(high));
        label(out, axis, floor + 5.0, 14, SOFT, "end", &quantity.show_short(low));
    } else {
        label(out, axis, y(low) + 5.0, 14, SOFT, "end", &quantity.show_short(low));
    }
    let at = |run: usize| series.points.iter().position(|point| point.run >= run);
    for event in history.events.iter().filter(|event| event.machine == series.machine) {
        if let Some(index) = at(event.run).filter(|index| *index > 0) {
            upright(out, x(index as f64 - 0.5), ceiling - 6.0, floor + 6.0, EVENT, "2 4");
        }
    }
    levels(out, series, &x, &y);
    let path: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(index, value)| format!("{:.1},{:.1}", x(index as f64), y(*value)))
        .collect();
    *out += &format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{LINE}\" stroke-width=\"1.5\"/>\n",
        path.join(" ")
    );
    for (index, (value, point)) in values.iter().zip(&series.points).enumerate() {
        let run = history.runs.get(point.run).map_or("", |run| run.name.as_str());
        *out += &format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{LINE}\"><title>{}: {}</title></circle>\n",
            x(index as f64),
            y(*value),
            escape_html(run),
            escape_html(&quantity.show(*value))
        );
    }
    for change in &series.changes {
        let middle = x(change.at as f64 - 0.5);
        upright(out, middle, ceiling - 24.0, floor + 6.0, CHANGE, "6 3");
        let anchor = if middle > (left + right) / 2.0 { "end" } else { "start" };
        let text = format!("{} at {}", history.size(series, change), history.run(series, change.at));
        let beside = if anchor == "end" { middle - 6.0 } else { middle + 6.0 };
        label(out, beside, ceiling - 12.0, 14, CHANGE, anchor, &text);
    }
}

/// The medians between changes.
fn levels(out: &mut String, series: &Series, x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) {
    let mut from = 0.0;
    let mut level = |from: f64, to: f64, value: f64| {
        *out += &format!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{CHANGE}\" stroke-width=\"1\"/>\n",
            x(from),
            y(value),
            x(to),
            y(value)
        );
    };
    for Change { at, before, .. } in &series.changes {
        level(from, *at as f64 - 0.5, *before);
        from = *at as f64 - 0.5;
    }
    if let Some(last) = series.changes.last() {
        level(from, series.points.len() as f64 - 1.0, last.after);
    }
}

fn upright(out: &mut String, x: f64, from: f64, to: f64, colour: &str, dash: &str) {
    *out += &format!(
        "<line x1=\"{x:.1}\" y1=\"{from:.1}\" x2=\"{x:.1}\" y2=\"{to:.1}\" stroke=\"{colour}\" stroke-width=\"1.5\" \
         stroke-dasharray=\"{dash}\"/>\n"
    );
}

/// `history.html`: the changes, the picture, every figure, the runs; one file, no script, no network.
pub fn html(history: &History) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Figures over time</title>\n\
         <style>\n{STYLE}figure svg {{ max-width: 100%; height: auto; }}\n</style>\n</head>\n<body>\n<main>\n<h1>Figures over time</h1>\n<p>{}</p>\n",
        escape_html(&history.remark())
    );
    let changes: Vec<Vec<String>> = history
        .series
        .iter()
        .flat_map(|series| {
            series.changes.iter().map(|change| {
                vec![
                    history.run(series, change.at),
                    series.figure.label(),
                    history.size(series, change),
                    format!("{:.3}", change.p_value),
                    change.events.join("; "),
                ]
            })
        })
        .collect();
    if changes.is_empty() {
        out += "<h2>Changes</h2>\n<p>None is shown.</p>\n";
    } else {
        table(
            &mut out,
            "Changes",
            &["first run after", "figure", "change", "p", "what else changed"],
            &changes,
        );
    }
    out += &format!("<h2>Series</h2>\n<figure>\n{}</figure>\n", svg(history));
    let figures: Vec<Vec<String>> = history
        .series
        .iter()
        .map(|series| {
            let last = series.points.last().map(|point| history.quantity(series).show(point.value));
            vec![
                history.machines.get(series.machine).map(Machine::label).unwrap_or_default(),
                series.figure.label(),
                last.unwrap_or_default(),
                sparkline(series),
                thousands(series.points.len() as u64),
                thousands(series.changes.len() as u64),
            ]
        })
        .collect();
    table(
        &mut out,
        "Figures",
        &["machine and clock", "figure", "last", "over time", "runs", "changes"],
        &figures,
    );
    let runs: Vec<Vec<String>> = history
        .runs
        .iter()
        .enumerate()
        .map(|(index, run)| {
            let events: Vec<&str> = history
                .events
                .iter()
                .filter(|event| event.run == index)
                .flat_map(|event| event.what.iter().map(String::as_str))
                .collect();
            vec![run.started.clone(), run.name.clone(), events.join("; ")]
        })
        .collect();
    table(&mut out, "Runs", &["started", "folder", "what differs from the run before"], &runs);
    if !history.unreadable.is_empty() {
        let rows: Vec<Vec<String>> = history
            .unreadable
            .iter()
            .map(|left| vec![left.folder.display().to_string(), left.why.clone()])
            .collect();
        table(&mut out, "Left out", &["folder", "why"], &rows);
    }
    out + "</main>\n</body>\n</html>\n"
}

fn table(out: &mut String, title: &str, columns: &[&str], rows: &[Vec<String>]) {
    *out += &format!(
        "<h2>{}</h2>\n<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>",
        escape_html(title)
    );
    columns.iter().for_each(|column| *out += &format!("<th scope=\"col\">{}</th>", escape_html(column)));
    *out += "</tr></thead>\n<tbody>\n";
    for row in rows {
        *out += "<tr>";
        for cell in row {
            // Only sentences may break.
            let class = if cell.chars().count() > 60 { " class=\"wrap\"" } else { "" };
            *out += &format!("<td{class}>{}</td>", escape_html(cell));
        }
        *out += "</tr>\n";
    }
    *out += "</tbody>\n</table></div>\n";
}
