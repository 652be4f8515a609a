//! The rows of records.csv behind the figures. Large runs are cut down here: what is left out is named by line.

use std::fmt::Write;

use super::links::{MOST_GROUPS, ROWS, by_metric, group as group_id, metric as metric_id};
use super::page::Page;
use crate::groups::{Group, GroupKey, Groups};
use crate::record::{Clock, Record, Unit};
use crate::report::pages::Pages;
use crate::text::{escape_html, shorten, thousands};

/// Rows that the page shows at most, over all groups.
const MOST_ROWS: usize = 15_000;
/// The line of the first row: one is the header's.
const FIRST_LINE: usize = 2;

pub(super) fn push(page: &mut Page<'_>, pages: &Pages<'_>) {
    if pages.chapters.is_empty() {
        return;
    }
    page.section(ROWS, "Rows behind the figures");
    page.out += "<p class=\"paper\">They are in records.csv.</p>\n<div class=\"screen\">\n";
    let groups = || pages.chapters.iter().flat_map(|chapter| chapter.groups.map.values());
    let total: usize = groups().map(|group| group.measured.len() + group.lost.len()).sum();
    let shown = groups().filter(|group| group.number < MOST_GROUPS).count().max(1);
    let each = if total <= MOST_ROWS { usize::MAX } else { (MOST_ROWS / shown).max(1) };
    let mut words = "Figures as they stand in records.csv, each with its line there: integers in the unit of the heading. A figure \
                     above is the median, over blocks, of one of these columns."
        .to_owned();
    if each < usize::MAX {
        words += &format!(
            " The run is large: of each figure's rows the first {} are shown, and the others are named by line.",
            thousands(each as u64)
        );
    }
    let left_out = groups().count() - groups().filter(|group| group.number < MOST_GROUPS).count();
    if left_out > 0 {
        words += &format!(
            " Of {} more figures the rows are in records.csv only: look for their workload, metric, mode and scale.",
            thousands(left_out as u64)
        );
    }
    page.paragraph("soft", &words);
    for chapter in &pages.chapters {
        if pages.headings {
            page.out += &format!("<h3>{}</h3>\n", escape_html(&chapter.heading));
        }
        for keys in by_metric(&chapter.groups) {
            metric(&mut page.out, &chapter.groups, &keys, each);
        }
    }
    page.out += "</div>\n";
}

/// The rows of one workload and metric.
fn metric(out: &mut String, groups: &Groups<'_>, keys: &[&GroupKey<'_>], each: usize) {
    let known: Vec<(&GroupKey<'_>, &Group<'_>)> = keys
        .iter()
        .filter_map(|key| Some((*key, groups.map.get(key)?)))
        .filter(|(_, group)| group.number < MOST_GROUPS)
        .collect();
    let Some((key, first)) = known.first() else { return };
    let unit = match (key.unit, groups.platform.clock) {
        (Unit::Ns, Clock::Wall) => "ns",
        (Unit::Ns, Clock::Instructions) => "instructions",
        (Unit::Count, _) => "count",
        (Unit::Bytes, _) => "bytes",
        (Unit::PerSecond, Clock::Wall) => "per second",
        (Unit::PerSecond, Clock::Instructions) => "per 10⁹ instructions",
    };
    let rows: usize = known.iter().map(|(_, group)| group.measured.len() + group.lost.len()).sum();
    let name = escape_html(&format!("{} {}, {unit}", shorten(key.workload, 80), shorten(key.metric, 80)));
    let plural = if rows == 1 { "" } else { "s" };
    let id = metric_id(first.number);
    // Writing into a string does not fail, here and below. Ends of cells and rows may be left out in HTML; of so many they are.
    let _ = writeln!(
        out,
        "<details class=\"rows\"><summary>{name}: {} row{plural}</summary>\n\
         <div class=\"scroll\" role=\"region\" aria-label=\"Rows of {name}\" tabindex=\"0\"><table id=\"{id}\">\n\
         <caption class=\"hide\">Rows of {name}</caption>\n\
         <thead><tr><th scope=\"col\">block<th scope=\"col\">n<th scope=\"col\">min<th scope=\"col\">p50<th scope=\"col\">p99\
         <th scope=\"col\">max<th scope=\"col\">line</tr></thead>",
        thousands(rows as u64)
    );
    for (key, group) in known {
        one_group(out, key, group, each);
    }
    *out += "</table></div></details>\n";
}

fn one_group(out: &mut String, key: &GroupKey<'_>, group: &Group<'_>, each: usize) {
    let mut name = shorten(key.mode, 80);
    let mut push = |text: String| {
        name += ", ";
        name += &text;
    };
    push(format!("{} Services", thousands(key.services)));
    push(format!("{} endpoints", thousands(key.endpoints)));
    if !key.position.is_empty() {
        push(key.position.to_owned());
    }
    if key.contenders > 0 {
        push(format!("{} contenders", thousands(key.contenders)));
    }
    if !key.system.is_empty() {
        push(shorten(key.system, 80));
    }
    let _ = writeln!(
        out,
        "<tbody id=\"{}\"><tr><th colspan=\"7\" scope=\"rowgroup\">{}",
        group_id(group.number),
        escape_html(&name)
    );
    for (row, at) in group.measured.iter().zip(&group.measured_at).take(each) {
        let _ = write!(out, "<tr><td>{}<td>{}", row.cell.block, row.n);
        for value in [row.min, row.p50, row.p99, row.max] {
            let _ = match value {
                Some(value) => write!(out, "<td>{value}"),
                None => write!(out, "<td>—"),
            };
        }
        let _ = writeln!(out, "<td>{}", line(*at));
    }
    left_out(out, &group.measured_at, each);
    for (row, at) in group.lost.iter().zip(&group.lost_at).take(each) {
        let _ = writeln!(
            out,
            "<tr><td>{}<td class=\"why\" colspan=\"5\">{}<td>{}",
            row.cell.block,
            escape_html(&why(row)),
            line(*at)
        );
    }
    left_out(out, &group.lost_at, each);
    *out += "</tbody>\n";
}

fn why(row: &Record) -> String {
    format!(
        "{}: {}",
        row.status,
        shorten(if row.note.is_empty() { "no reason given" } else { &row.note }, 300)
    )
}

/// Names the lines of what is not shown.
fn left_out(out: &mut String, places: &[usize], each: usize) {
    let Some((first, last)) = places.get(each).zip(places.last()) else { return };
    let more = thousands((places.len() - each) as u64);
    let _ = writeln!(
        out,
        "<tr><td class=\"why\" colspan=\"7\">… and {more} more, from line {} to line {} of records.csv",
        line(*first),
        line(*last)
    );
}

fn line(place: usize) -> usize {
    place + FIRST_LINE
}
