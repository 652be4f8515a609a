//! `summary.md`: the headline for a CI log or a pull request.

use super::node::Node;
use super::pages::Pages;
use crate::record::Clock;
use crate::table::Table;
use crate::tables::LOCK_LIMITS;
use crate::text::{escape_markdown, shorten, thousands};

/// Tables that the summary holds, cut down to the largest scale.
const IN_SUMMARY: [&str; 4] = [SYNCS, "The xtables lock", "New TCP connections", "What the director carries"];
/// The table of plans' syncs.
const SYNCS: &str = "Rule sync";
/// Rows listed before the rest is only counted.
const MOST_ROWS: usize = 40;

pub(super) fn summary(pages: &Pages<'_>) -> String {
    let [measured, failed, skipped] = pages.tally.map(thousands);
    let environment = pages.environment;
    let question = if environment.question.is_empty() { "svcbench" } else { &environment.question };
    let mut out = format!("# {}\n\n", escape_markdown(question));
    let caption = environment.caption();
    if !caption.is_empty() {
        let host = if environment.guests.is_empty() { "" } else { "Host: " };
        out += &format!("{host}{}\n\n", escape_markdown(&caption));
    }
    push_advice(&mut out, pages);
    out += &format!("Rows: {measured} measured, {failed} failed, {skipped} skipped.\n");
    if !pages.headline.rows.is_empty() {
        push_table(&mut out, &pages.headline, usize::MAX);
    }
    if !pages.chapters.is_empty() {
        out += &format!("\n{}", crate::claims::markdown(&pages.claims));
    }
    for chapter in &pages.chapters {
        if pages.headings {
            out += &format!("\n## {}\n", escape_markdown(&chapter.heading));
            out += &format!("\n{}\n", escape_markdown(&chapter.caption));
        }
        if chapter.clock() == Clock::Instructions {
            out += "\nFigures are guest instructions (instr), not time.\n";
        }
        if chapter.findings.is_empty() {
            out += "\nNo lookup was measured.\n";
        }
        if !chapter.controls.is_empty() {
            out += &format!("\n{}\n", escape_markdown(&chapter.controls));
        }
        if !chapter.thinned.is_empty() {
            out += &format!("\n{}\n", escape_markdown(&chapter.thinned));
        }
        for table in &chapter.tables {
            match table.title.as_str() {
                LOCK_LIMITS => push_table(&mut out, table, MOST_ROWS),
                title if IN_SUMMARY.contains(&title) => {
                    push_table(&mut out, &largest(table), MOST_ROWS);
                    if title == SYNCS && !chapter.plans.is_empty() {
                        out += &format!("\n{}\n", escape_markdown(&chapter.plans));
                    }
                }
                _ => {}
            }
        }
        if let Some(node) = &chapter.node {
            push_node(&mut out, node, pages.headings);
        }
        if !chapter.lost.rows.is_empty() {
            push_table(&mut out, &chapter.lost, MOST_ROWS);
        }
    }
    if pages.chapters.is_empty() {
        out += "\nThe run has no rows yet.\n";
    }
    if pages.platforms_left_out > 0 {
        out += &format!(
            "\n{} more lanes (clock, kernel, hypervisor) are in records.csv only.\n",
            pages.platforms_left_out
        );
    }
    out
}

/// Tables of real kube-proxies that the summary leaves to the page.
const NOT_IN_SUMMARY: [&str; 3] = ["The knee", "A restart over what is installed", "The API server is away"];

/// The section about real kube-proxies. Beneath the heading of a lane it is one level deeper.
fn push_node(out: &mut String, node: &Node, nested: bool) {
    let level = if nested { "###" } else { "##" };
    *out += &format!("\n{level} {}\n\n", escape_markdown(&node.heading));
    for (what, sentences) in &node.sentences {
        let said: Vec<_> = sentences.iter().map(crate::advice::Sentence::text).collect();
        *out += &format!("- **{}:** {}\n", escape_markdown(what), escape_markdown(&said.join(" ")));
    }
    for table in node.tables.iter().filter(|table| !NOT_IN_SUMMARY.contains(&table.title.as_str())) {
        push_table(out, &largest(table), MOST_ROWS);
    }
}

/// What to choose and why, before any table.
fn push_advice(out: &mut String, pages: &Pages<'_>) {
    for chapter in &pages.chapters {
        let Some(advice) = &chapter.advice else { continue };
        if pages.headings {
            *out += &format!("{}:\n\n", escape_markdown(&chapter.heading));
        }
        *out += &format!("**{}**\n\n", escape_markdown(&advice.lead.text()));
        for topic in &advice.because {
            let sentences: Vec<_> = topic.sentences.iter().map(crate::advice::Sentence::text).collect();
            *out += &format!("- **{}.** {}\n", topic.name, escape_markdown(&sentences.join(" ")));
        }
        if !advice.because.is_empty() {
            *out += "\n";
        }
    }
}

/// The last row of each run of rows that differ in the number of Services only, which is the last name column.
fn largest(table: &Table) -> Table {
    let names = |row: &[String]| row.iter().take(table.left.saturating_sub(1)).cloned().collect::<Vec<_>>();
    let runs = table.rows.chunk_by(|a, b| names(a) == names(b));
    let rows = runs.filter_map(|run| run.last().cloned()).collect();
    Table {
        title: format!("{}, largest scale measured", table.title),
        rows,
        origins: [].into(),
        ..table.clone()
    }
}

fn push_table(out: &mut String, table: &Table, most: usize) {
    let line = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| escape_markdown(&shorten(cell, 200))).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    *out += &format!("\n### {}\n\n{}\n\n", escape_markdown(&table.title), escape_markdown(&table.remark));
    *out += &line(&table.columns);
    let rules: Vec<_> =
        (0..table.columns.len()).map(|i| if i < table.left { "---" } else { "---:" }).collect();
    *out += &format!("| {} |\n", rules.join(" | "));
    for row in table.rows.iter().take(most) {
        *out += &line(row);
    }
    if table.rows.len() > most {
        *out += &format!("\n… and {} more rows in report.html.\n", table.rows.len() - most);
    }
}
