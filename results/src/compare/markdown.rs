//! A comparison in Markdown, for the summary of a CI job.

use super::comparison::{Comparison, ComparisonOutcome};
use super::sections::ComparisonTables;
use crate::text::{escape_markdown, shorten, thousands};

const REASON: usize = 300;

/// The comparison as GitHub-flavoured Markdown: the outcome first, then what matters most. `all`: every figure.
pub fn markdown(comparison: &Comparison, all: bool) -> String {
    let tables = ComparisonTables::new(comparison, all);
    let mark = match comparison.outcome {
        ComparisonOutcome::Ok => "✅",
        ComparisonOutcome::Regression => "❌",
        ComparisonOutcome::Inconclusive | ComparisonOutcome::NotComparable => "⚠️",
    };
    let mut text = format!("## {mark} {}\n\n", escape_markdown(&comparison.summary));
    for (side, sources) in [("BASE", &comparison.base), ("NEW", &comparison.new)] {
        for source in sources {
            let line = format!("{}: {}, svcbench {}", source.name, source.run, source.tool_version);
            text += &format!("- {side} {}\n", escape_markdown(&line));
        }
    }
    for (index, lane) in comparison.lanes.iter().enumerate() {
        let number = if comparison.lanes.len() > 1 { format!(" {}", index + 1) } else { String::new() };
        text += &format!("- Lane{number}: {}\n", escape_markdown(&lane.label));
        if let Some(refusal) = lane.refusal() {
            text += &format!("  - **refused**: {}\n", escape_markdown(&refusal));
        }
        for mismatch in &lane.accepted {
            text += &format!("  - accepted: {}\n", escape_markdown(&mismatch.in_words()));
        }
    }
    for note in &comparison.notes {
        text += &format!("- {}\n", escape_markdown(note));
    }
    for section in tables.sections() {
        text += &format!("\n### {}\n", section.title);
        if !section.rows.is_empty() {
            let columns = tables.columns();
            let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
            let rules: Vec<_> =
                columns.iter().map(|(_, number)| if *number { "---:" } else { "---" }).collect();
            text += &format!("\n| {} |\n| {} |\n", names.join(" | "), rules.join(" | "));
            for row in &section.rows {
                let cells: Vec<_> = row.iter().map(|cell| escape_markdown(cell)).collect();
                text += &format!("| {} |\n", cells.join(" | "));
            }
        }
        if section.more > 0 {
            text += &format!("\n… and {} more.\n", thousands(section.more as u64));
        }
        let (reasons, left_out) = tables.shown_reasons(&section);
        if !reasons.is_empty() {
            text.push('\n');
        }
        for reason in reasons {
            let line = shorten(&format!("{}: {}", reason.whose(), reason.why), REASON);
            text += &format!("- {}\n", escape_markdown(&line));
        }
        if left_out > 0 {
            text += &format!("- … and {} more reasons.\n", thousands(left_out as u64));
        }
    }
    text.push('\n');
    for line in tables.power().into_iter().chain([tables.floors()]) {
        text += &format!("{}\n", escape_markdown(&line));
    }
    text
}
