//! `report.html`: one file, no network, no script; light and dark, phone and paper.

use super::{Chapter, LOOKUP, Pages, how_to_read};
use crate::environment::Environment;
use crate::record::{Clock, Unit};
use crate::tables::Table;
use crate::text::{Quantity, escape_html, thousands};

const STYLE: &str = include_str!("style.css");

pub(super) fn page(pages: &Pages<'_>) -> String {
    let environment = pages.environment;
    let question = if environment.question.is_empty() { "svcbench report" } else { &environment.question };
    let question = escape_html(question);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{question}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{question}</h1>\n"
    );
    let host = if environment.guests.is_empty() { "" } else { "Host: " };
    out += &format!("<p class=\"soft\">{host}{}</p>\n", escape_html(&environment.caption()));
    let [measured, failed, skipped] = pages.tally.map(thousands);
    out += &format!("<p>Rows: {measured} measured, {failed} failed, {skipped} skipped.</p>\n");
    push_in_short(&mut out, pages);
    if !pages.chapters.is_empty() {
        push_table(&mut out, &crate::claims::table(&pages.claims));
    }
    for chapter in &pages.chapters {
        push_chapter(&mut out, chapter, pages.headings);
    }
    if pages.chapters.is_empty() {
        out += "<p>The run has no rows yet.</p>\n";
    }
    if pages.worlds_left_out > 0 {
        out += &format!(
            "<p>{} more lanes (clock, kernel, hypervisor) are in records.csv only.</p>\n",
            pages.worlds_left_out
        );
    }
    push_passport(&mut out, "Environment", environment);
    for guest in &environment.guests {
        let heading = format!("Environment of the guest: {}", guest.world().label());
        push_passport(&mut out, &heading, guest);
    }
    if let Some(sweep) = pages.sweep {
        // Line breaks matter here, so each line is escaped by itself.
        let lines: Vec<_> = sweep.lines().map(escape_html).collect();
        out += &format!(
            "<h2>Sweep</h2>\n<div class=\"scroll\" tabindex=\"0\"><pre>{}</pre></div>\n",
            lines.join("\n")
        );
    }
    out += "</main>\n</body>\n</html>\n";
    out
}

/// What lookups say about scale, and their figure, for every lane before any lane's details.
fn push_in_short(out: &mut String, pages: &Pages<'_>) {
    if pages.chapters.is_empty() {
        return;
    }
    *out += &format!("<h2>In short</h2>\n<p class=\"soft\">{}</p>\n", escape_html(&pages.headline.remark));
    for chapter in &pages.chapters {
        if pages.headings {
            *out += &format!("<h3>{}</h3>\n", escape_html(&chapter.heading));
        }
        if chapter.clock() == Clock::Instructions {
            *out += "<p>Figures are guest instructions (instr), not time: the same kernel, programs and emulator give \
                     the same figures on any host.</p>\n";
        }
        if chapter.findings.is_empty() {
            *out += "<p>No lookup was measured.</p>\n";
        } else {
            let quantity = chapter.groups.quantity(Unit::Ns);
            *out += "<ul>\n";
            for finding in &chapter.findings {
                let sentence = escape_html(&finding.sentence(quantity));
                *out += &format!("<li><b>{}</b>: {sentence}</li>\n", escape_html(&finding.mode));
            }
            *out += "</ul>\n";
        }
        if !chapter.controls.is_empty() {
            *out += &format!("<p>{}</p>\n", escape_html(&chapter.controls));
        }
        if !chapter.thinned.is_empty() {
            *out += &format!("<p>{}</p>\n", escape_html(&chapter.thinned));
        }
        if !chapter.lost.rows.is_empty() {
            *out += "<p>Some cells failed or were skipped: see the table of reasons below.</p>\n";
        }
        push_figures(out, chapter, |name| name == LOOKUP);
    }
}

fn push_chapter(out: &mut String, chapter: &Chapter<'_>, heading: bool) {
    if heading {
        *out += &format!(
            "<h2>{}</h2>\n<p class=\"soft\">{}</p>\n",
            escape_html(&chapter.heading),
            escape_html(&chapter.caption)
        );
    }
    push_figures(out, chapter, |name| name != LOOKUP);
    for table in &chapter.tables {
        push_table(out, table);
    }
    if !chapter.lost.rows.is_empty() {
        push_table(out, &chapter.lost);
    }
}

fn push_figures(out: &mut String, chapter: &Chapter<'_>, wanted: fn(&str) -> bool) {
    for (name, svg) in chapter.figures.iter().filter(|(name, _)| wanted(name)) {
        *out += &format!(
            "<figure>\n{svg}<figcaption><b>How to read this.</b> {}</figcaption>\n</figure>\n",
            escape_html(how_to_read(name, chapter.clock()))
        );
    }
}

fn push_table(out: &mut String, table: &Table) {
    *out += &format!(
        "<h3>{}</h3>\n<p class=\"soft\">{}</p>\n",
        escape_html(&table.title),
        escape_html(&table.remark)
    );
    *out += "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>";
    let class = |index: usize| if index < table.left { "" } else { " class=\"n\"" };
    for (index, column) in table.columns.iter().enumerate() {
        *out += &format!("<th{}>{}</th>", class(index), escape_html(column));
    }
    *out += "</tr></thead>\n<tbody>\n";
    for row in &table.rows {
        *out += "<tr>";
        for (index, cell) in row.iter().enumerate() {
            // Only sentences may break; a broken figure is hard to read.
            let class = if cell.len() > 60 { " class=\"wrap\"" } else { class(index) };
            *out += &format!("<td{class}>{}</td>", escape_html(cell));
        }
        *out += "</tr>\n";
    }
    *out += "</tbody>\n</table></div>\n";
}

fn push_passport(out: &mut String, heading: &str, environment: &Environment) {
    let optional = |value: Option<u64>, unit: &str| {
        value.map_or_else(String::new, |v| format!("{} {unit}", thousands(v)))
    };
    let tick = match environment.clock {
        Clock::Wall => "ns",
        Clock::Instructions => "instr",
    };
    let mut facts = vec![
        ("run", environment.run.clone()),
        ("started", environment.started.clone()),
        (
            "elapsed",
            environment.elapsed_seconds.map_or_else(String::new, |s| Quantity::Duration.show(s * 1e9)),
        ),
        ("seed", environment.seed.to_string()),
        ("svcbench", environment.tool_version.clone()),
        ("kube-proxy planned", environment.kube_proxy.clone()),
        ("kernel", environment.kernel.clone()),
        ("kernel version", environment.kernel_version.clone()),
        ("kernel command line", environment.command_line.clone()),
        ("machine", environment.machine.clone()),
        ("processor", environment.cpu_model.clone()),
        ("cores", thousands(environment.cores)),
        ("memory", Quantity::Bytes.show(environment.memory_bytes as f64)),
        ("clock", environment.clock.to_string()),
        ("hypervisor", environment.hypervisor.clone()),
        ("virtualisation", environment.virtualisation.clone()),
        ("governor", environment.governor.clone()),
        ("SMT", environment.smt.clone()),
        ("measuring core", environment.measuring_core.map_or_else(String::new, |core| core.to_string())),
        ("load average", environment.load_average.clone()),
        ("timer overhead", optional(environment.timer_overhead_ns, tick)),
        ("steal", optional(environment.steal_ticks, "ticks")),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect::<Vec<_>>();
    if !environment.neighbours.is_empty() {
        facts.push(("neighbours".to_owned(), environment.neighbours.clone()));
    }
    if !environment.planted.is_empty() {
        facts.push(("planted".to_owned(), environment.planted.clone()));
    }
    if !environment.emulator.is_empty() {
        facts.push(("emulator".to_owned(), environment.emulator.clone()));
    }
    if let Some(bytes) = environment.guest_memory_bytes {
        facts.push(("memory given to the guest".to_owned(), Quantity::Bytes.show(bytes as f64)));
    }
    facts.extend(environment.condition.facts().into_iter().map(|(name, value)| (name.to_owned(), value)));
    for (prefix, map) in [
        ("program ", &environment.programs),
        ("sysctl ", &environment.sysctls),
        ("mitigation ", &environment.mitigations),
    ] {
        facts.extend(map.iter().map(|(name, value)| (format!("{prefix}{name}"), value.clone())));
    }
    *out += &format!(
        "<h2>{}</h2>\n<div class=\"scroll\" tabindex=\"0\"><table>\n<tbody>\n",
        escape_html(heading)
    );
    for (name, value) in facts {
        let value = if value.is_empty() { "unknown".to_owned() } else { escape_html(&value) };
        *out += &format!("<tr><th>{}</th><td class=\"wrap\">{value}</td></tr>\n", escape_html(&name));
    }
    *out += "</tbody>\n</table></div>\n";
    if !environment.warnings.is_empty() {
        push_table(out, &crate::tables::warnings(&environment.warnings));
    }
}
