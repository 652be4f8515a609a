//! `report.html`: one file, no network; light and dark, phone and paper. A script of its own adds what pointers and keyboards
//! can do; without it everything still reads.

mod environment;
mod figures;
mod links;
mod page;
mod rows;
mod tables;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use self::links::Links;
use self::page::Page;
use super::pages::{Chapter, LOOKUP, Pages, SYNC, THREE};
use crate::advice::ENOUGH_BLOCKS;
use crate::plot::dark_style;
use crate::record::{Clock, Unit};
use crate::table::{Origin, Source, Table};
use crate::text::{escape_html, thousands};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("report.js");

pub(super) fn page(pages: &Pages<'_>) -> String {
    let mut page = Page { out: String::new(), contents: Vec::new(), links: Links::of(pages) };
    summary(&mut page, pages);
    let summary = std::mem::take(&mut page.out);
    for (name, heading) in THREE {
        three(&mut page, pages, name, heading);
    }
    for (lane, chapter) in pages.chapters.iter().enumerate() {
        node(&mut page, pages, lane, chapter);
    }
    if !pages.chapters.is_empty() {
        let claims = claims(pages);
        page.section("claims", &claims.title);
        tables::push(&mut page, &claims, "claims");
    }
    if !pages.headline.rows.is_empty() {
        page.section("slopes", &pages.headline.title);
        tables::push(&mut page, &pages.headline, "slopes");
    }
    for (lane, chapter) in pages.chapters.iter().enumerate() {
        details(&mut page, pages, lane, chapter);
    }
    if pages.platforms_left_out > 0 {
        let more = pages.platforms_left_out;
        page.paragraph(
            "",
            &format!("{more} more lanes (clock, kernel, hypervisor) are in records.csv only."),
        );
    }
    environment::push(&mut page, "environment", "Environment", pages.environment);
    for (index, guest) in pages.environment.guests.iter().enumerate() {
        let heading = format!("Environment of the guest: {}", guest.platform().label());
        environment::push(&mut page, &format!("environment-{}", index + 2), &heading, guest);
    }
    if let Some(sweep) = pages.sweep {
        page.section("sweep", "Sweep");
        // Line breaks matter here, so each line is escaped by itself.
        let lines: Vec<_> = sweep.lines().map(escape_html).collect();
        page.out += &format!(
            "<div class=\"scroll\" role=\"region\" aria-labelledby=\"sweep\" tabindex=\"0\"><pre>{}</pre></div>\n",
            lines.join("\n")
        );
    }
    rows::push(&mut page, pages);
    frame(pages, &summary, &page)
}

/// The table of claims, where what shows each leads to its rows.
fn claims(pages: &Pages<'_>) -> Table {
    let mut table = crate::claims::table(&pages.claims);
    let column = table.columns.len().saturating_sub(1);
    for (row, settled) in pages.claims.iter().flat_map(|claim| &claim.settled).enumerate() {
        let lane = pages.chapters.iter().find(|chapter| chapter.groups.platform.label() == settled.lane);
        let first = lane
            .zip(settled.shown_by.first())
            .and_then(|(lane, shown)| lane.groups.first_of(shown.workload, shown.metric));
        if let Some(number) = first {
            // Sorted by it, claims stand in their own order.
            let origin = Origin { value: row as f64, source: Source::Metric(number) };
            table.origins.insert((row, column), origin);
        }
    }
    table
}

/// Everything around the sections.
fn frame(pages: &Pages<'_>, summary: &str, page: &Page<'_>) -> String {
    let environment = pages.environment;
    let question = if environment.question.is_empty() { "svcbench report" } else { &environment.question };
    let question = escape_html(question);
    let style = format!("\n{STYLE}@media screen and (prefers-color-scheme: dark) {{\n{}}}\n", dark_style());
    let script = format!("\n{SCRIPT}");
    let hash = |text: &str| format!("'sha256-{}'", BASE64.encode(&Sha256::digest(text.as_bytes())));
    // Nothing from anywhere: no network, and of styles and scripts only those that this program wrote.
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(&style),
        hash(&script)
    );
    let host = if environment.guests.is_empty() { "" } else { "Host: " };
    let [measured, failed, skipped] = pages.tally.map(thousands);
    let entries: String = page
        .contents
        .iter()
        .map(|(id, heading)| format!("<li><a href=\"#{id}\">{}</a></li>\n", escape_html(heading)))
        .collect();
    let version = escape_html(&environment.tool_version);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{question}</title>\n\
         <style>{style}</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the summary</a>\n\
         <header>\n<h1>{question}</h1>\n<p class=\"soft\">{host}{}</p>\n\
         <p>Rows: {measured} measured, {failed} failed, {skipped} skipped.</p>\n</header>\n\
         <main id=\"main\">\n{summary}\
         <nav aria-labelledby=\"contents\">\n<h2 id=\"contents\">Contents</h2>\n<ul>\n{entries}</ul>\n</nav>\n\
         {}</main>\n<footer><p class=\"soft\">Made by svcbench {version} from records.csv and environment.json beside \
         it.</p></footer>\n<script>{script}</script>\n</body>\n</html>\n",
        escape_html(&environment.caption()),
        page.out
    )
}

/// What to choose and why, lane by lane.
fn summary(page: &mut Page<'_>, pages: &Pages<'_>) {
    page.section("summary", "Summary");
    if pages.chapters.is_empty() {
        page.paragraph("", "The run has no rows yet.");
    }
    for chapter in &pages.chapters {
        if pages.headings {
            page.out += &format!("<h3>{}</h3>\n", escape_html(&chapter.heading));
        }
        if chapter.clock() == Clock::Instructions {
            page.paragraph("soft", INSTRUCTIONS);
        }
        match &chapter.advice {
            Some(advice) => {
                page.out += "<p class=\"lead\">";
                page.sentence(&advice.lead);
                page.out += "</p>\n<ul class=\"because\">\n";
                for topic in &advice.because {
                    page.out += &format!("<li><b>{}.</b>", topic.name);
                    for sentence in &topic.sentences {
                        page.out += " ";
                        page.sentence(sentence);
                    }
                    page.out += "</li>\n";
                }
                page.out += "</ul>\n";
            }
            None => page.paragraph("", "Nothing was measured that speaks for or against a proxy mode."),
        }
        if let Some(node) = &chapter.node {
            page.paragraph("", &format!("Real kube-proxies were measured: see “{}” below.", node.heading));
        }
        page.paragraph("", &chapter.thinned);
        if !chapter.lost.rows.is_empty() {
            page.paragraph("", "Some cells failed or were skipped: see the table of reasons below.");
        }
    }
    if pages.chapters.iter().any(|chapter| chapter.advice.is_some()) {
        page.paragraph("soft", &reading());
    }
}

const INSTRUCTIONS: &str = "Figures are guest instructions (instr), not time: the same kernel, programs and emulator give the \
                            same figures on any host.";

fn reading() -> String {
    format!(
        "Each figure is a median over blocks with its 95% interval, and leads to its rows. Modes are ranked only by figures \
         of at least {ENOUGH_BLOCKS} blocks; they count as alike where medians are within 10% or intervals overlap."
    )
}

/// One of the three plots that matter most, of every lane.
fn three(page: &mut Page<'_>, pages: &Pages<'_>, name: &str, heading: &str) {
    let has = |chapter: &Chapter<'_>| chapter.figures.iter().any(|figure| figure.name == name);
    if !pages.chapters.iter().any(has) {
        return;
    }
    page.section(name, heading);
    for (lane, chapter) in pages.chapters.iter().enumerate() {
        for figure in chapter.figures.iter().filter(|figure| figure.name == name) {
            figures::push(page, pages, lane, chapter, figure);
            if name == SYNC {
                page.paragraph("", &chapter.plans);
            }
        }
        if name != LOOKUP {
            continue;
        }
        if !chapter.findings.is_empty() {
            let quantity = chapter.groups.quantity(Unit::Ns);
            page.out += "<ul>\n";
            for finding in &chapter.findings {
                let sentence = escape_html(&finding.sentence(quantity));
                page.out += &format!("<li><b>{}</b>: {sentence}</li>\n", escape_html(&finding.mode));
            }
            page.out += "</ul>\n";
        }
        page.paragraph("", &chapter.controls);
    }
}

/// The real kube-proxies of one lane.
fn node(page: &mut Page<'_>, pages: &Pages<'_>, lane: usize, chapter: &Chapter<'_>) {
    let Some(node) = &chapter.node else { return };
    page.section(&format!("kube-proxy-{}", lane + 1), &node.heading);
    if pages.headings {
        page.paragraph("soft", &chapter.heading);
    }
    if !node.sentences.is_empty() {
        page.out += "<ul>\n";
        for (what, sentences) in &node.sentences {
            page.out += &format!("<li><b>{}</b>:", escape_html(what));
            for sentence in sentences {
                page.out += " ";
                page.sentence(sentence);
            }
            page.out += "</li>\n";
        }
        page.out += "</ul>\n";
    }
    for figure in &node.figures {
        figures::push(page, pages, lane, chapter, figure);
    }
    for (index, table) in node.tables.iter().enumerate() {
        let id = format!("kube-proxy-{}-{}", lane + 1, index + 1);
        page.out += &format!("<h3 id=\"{id}\">{}</h3>\n", escape_html(&table.title));
        tables::push(page, table, &id);
    }
}

/// The other figures and the tables of one lane.
fn details(page: &mut Page<'_>, pages: &Pages<'_>, lane: usize, chapter: &Chapter<'_>) {
    let heading = if pages.headings { chapter.heading.as_str() } else { "All figures" };
    page.section(&format!("lane-{}", lane + 1), heading);
    if pages.headings {
        page.paragraph("soft", &chapter.caption);
    }
    let is_of_three = |name: &str| THREE.iter().any(|(of_three, _)| *of_three == name);
    for figure in chapter.figures.iter().filter(|figure| !is_of_three(figure.name)) {
        figures::push(page, pages, lane, chapter, figure);
    }
    let lost = Some(&chapter.lost).filter(|lost| !lost.rows.is_empty());
    for (index, table) in chapter.tables.iter().chain(lost).enumerate() {
        let id = format!("table-{}-{}", lane + 1, index + 1);
        page.out += &format!("<h3 id=\"{id}\">{}</h3>\n", escape_html(&table.title));
        tables::push(page, table, &id);
    }
}
