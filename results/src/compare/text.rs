//! A comparison for a terminal.

use super::comparison::{ComparedRun, Comparison};
use super::sections::{ComparisonTables, Section};
use crate::text::{printable, shorten, thousands};

/// Longest reason in characters.
const REASON: usize = 300;
/// Longest cell in characters.
const CELL: usize = 48;

/// The comparison as aligned text, what matters most first and the outcome in the last line. `all`: every figure.
pub fn text(comparison: &Comparison, all: bool) -> String {
    let tables = ComparisonTables::new(comparison, all);
    let mut lines = Vec::new();
    lines.extend(sources("BASE", &comparison.base));
    lines.extend(sources("NEW ", &comparison.new));
    for (index, lane) in comparison.lanes.iter().enumerate() {
        let number = if comparison.lanes.len() > 1 { format!(" {}", index + 1) } else { String::new() };
        lines.push(format!("Lane{number}: {}", lane.label));
        lines.extend(lane.refusal().map(|refusal| format!("  refused: {refusal}")));
        lines.extend(lane.accepted.iter().map(|mismatch| format!("  accepted: {}", mismatch.in_words())));
    }
    lines.extend(comparison.notes.iter().map(|note| format!("Note: {note}.")));
    for section in tables.sections() {
        if !(section.rows.is_empty() && section.reasons.is_empty()) {
            lines.push(String::new());
        }
        write_section(&tables, &section, &mut lines);
    }
    lines.push(String::new());
    lines.extend(tables.power());
    lines.push(tables.floors());
    lines.push(comparison.summary.clone());
    lines.iter().map(|line| printable(line).trim_end().to_owned() + "\n").collect()
}

fn sources(side: &str, sources: &[ComparedRun]) -> Vec<String> {
    let line = |source: &ComparedRun| {
        let run = if source.run.is_empty() { "unknown run" } else { &source.run };
        format!("{side} {}: {run}, svcbench {}", source.name, source.tool_version)
    };
    sources.iter().map(line).collect()
}

fn write_section(tables: &ComparisonTables<'_>, section: &Section<'_>, lines: &mut Vec<String>) {
    lines.push(section.title.clone());
    if !section.rows.is_empty() {
        lines.extend(aligned(tables, &section.rows));
    }
    if section.more > 0 {
        lines.push(format!("  … and {} more; --all lists them", thousands(section.more as u64)));
    }
    let (reasons, left_out) = tables.shown_reasons(section);
    for reason in reasons {
        lines.push(shorten(&format!("  {}: {}", reason.whose(), reason.why), REASON));
    }
    if left_out > 0 {
        lines.push(format!("  … and {} more reasons; --all lists them", thousands(left_out as u64)));
    }
}

fn aligned(tables: &ComparisonTables<'_>, rows: &[Vec<String>]) -> Vec<String> {
    let columns = tables.columns();
    let header: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let cells: Vec<Vec<String>> = std::iter::once(&header)
        .chain(rows)
        .map(|row| row.iter().map(|cell| shorten(&printable(cell), CELL)).collect())
        .collect();
    let width = |column: usize| {
        cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for ((cell, width), (_, number)) in row.iter().zip(&widths).zip(&columns) {
            line += "  ";
            line += &if *number { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
        }
        line
    };
    cells.iter().map(line).collect()
}
