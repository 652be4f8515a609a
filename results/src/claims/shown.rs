//! Claims as a table of the report, as Markdown, and for a terminal.

use std::collections::BTreeSet;

use super::claim::{Claim, ClaimVerdict, LaneVerdict, Reference};
use crate::table::Table;
use crate::text::{escape_markdown, listed, printable, thousands};

const TITLE: &str = "What people say";
const REMARK: &str = "Each claim as people state it, and whether it is so on this machine. Intervals are 95%; where several figures \
                      of one claim are compared, they hold together. What is not shown says what is missing. To overtake is to \
                      cost more from there on. Rules are in METHODOLOGY.md.";
/// Characters in a line of a terminal.
const WIDTH: usize = 100;

/// One row for each claim and lane that settles it; a column names the lane if there are several.
pub fn table(claims: &[Claim]) -> Table {
    let lanes = several(claims);
    let mut columns = vec!["claim", "verdict"];
    if lanes {
        columns.insert(1, "lane");
    }
    columns.extend(["measured", "shown by"]);
    let rows = all(claims)
        .map(|(claim, settled)| {
            let mut row = vec![claim.statement.to_owned()];
            if lanes {
                row.push(if settled.lane.is_empty() { "—".to_owned() } else { settled.lane.clone() });
            }
            row.push(verdict(&settled.verdict));
            row.push(if settled.measured.is_empty() { "—".to_owned() } else { settled.measured.clone() });
            row.push(if settled.shown_by.is_empty() { "—".to_owned() } else { sources(&settled.shown_by) });
            row
        })
        .collect();
    Table { rows, ..Table::new(TITLE, REMARK, columns.len(), &columns) }
}

fn all(claims: &[Claim]) -> impl Iterator<Item = (&Claim, &LaneVerdict)> {
    claims.iter().flat_map(|claim| claim.settled.iter().map(move |settled| (claim, settled)))
}

fn several(claims: &[Claim]) -> bool {
    let lanes: BTreeSet<&str> =
        all(claims).map(|(_, settled)| settled.lane.as_str()).filter(|lane| !lane.is_empty()).collect();
    lanes.len() > 1
}

/// `depends on the mode: ...`, `not shown: services up to 20,000`.
fn verdict(verdict: &ClaimVerdict) -> String {
    match verdict {
        ClaimVerdict::Depends { on } => format!("depends on {on}"),
        ClaimVerdict::NotShown { missing } => format!("not shown; missing: {missing}"),
        ClaimVerdict::Holds | ClaimVerdict::DoesNotHold => verdict.name().to_owned(),
    }
}

/// `lookup.svg: packet_probe lookup_first_packet of ipvs, 10 to 5,000 Services`. What differs in the metric or the workload only is named
/// once.
fn sources(shown: &[Reference]) -> String {
    let same_rows =
        |a: &Reference, b: &Reference| (&a.plot, &a.modes, &a.services) == (&b.plot, &b.modes, &b.services);
    let alike =
        |a: &Reference, b: &Reference| same_rows(a, b) && (a.workload == b.workload || a.metric == b.metric);
    let unique = |names: Vec<&'static str>| {
        names.into_iter().fold(Vec::new(), |mut kept, name| {
            if !kept.contains(&name) {
                kept.push(name);
            }
            kept
        })
    };
    let each = |shown: &[Reference]| {
        let first = shown.first()?;
        let scales = match (first.services.first(), first.services.last()) {
            (Some(few), Some(many)) if few != many => {
                format!(", {} to {} Services", thousands(*few), thousands(*many))
            }
            (Some(only), _) if *only > 1 => format!(", {} Services", thousands(*only)),
            _ => String::new(),
        };
        let plot = first.plot.as_ref().map(|plot| format!("{plot}: ")).unwrap_or_default();
        let workloads = unique(shown.iter().map(|shown| shown.workload).collect());
        let metrics = unique(shown.iter().map(|shown| shown.metric).collect());
        Some(format!("{plot}{} {} of {}{scales}", listed(&workloads), listed(&metrics), listed(&first.modes)))
    };
    shown.chunk_by(alike).filter_map(each).collect::<Vec<_>>().join("; ")
}

/// A section for `summary.md`, with a table that is not cut down.
pub fn markdown(claims: &[Claim]) -> String {
    let table = table(claims);
    let line = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| escape_markdown(cell)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut out = format!("## {}\n\n{}\n\n", escape_markdown(&table.title), escape_markdown(&table.remark));
    out += &line(&table.columns);
    out += &format!("| {} |\n", vec!["---"; table.columns.len()].join(" | "));
    table.rows.iter().for_each(|row| out += &line(row));
    out
}

/// For a terminal: each claim, then each lane's verdict and what it rests on.
pub fn text(claims: &[Claim]) -> String {
    let several = several(claims);
    let mut out = String::new();
    for claim in claims {
        out += &wrapped(claim.statement, "", "");
        for settled in &claim.settled {
            let mut verdict = verdict(&settled.verdict);
            if several && !settled.lane.is_empty() {
                verdict += &format!(" ({})", settled.lane);
            }
            out += &wrapped(&verdict, "  → ", "    ");
            if !settled.measured.is_empty() {
                settled.measured.split("; ").for_each(|part| out += &wrapped(part, "    ", "      "));
            }
            if !settled.shown_by.is_empty() {
                out += &wrapped(&format!("see {}", sources(&settled.shown_by)), "    ", "      ");
            }
        }
        out.push('\n');
    }
    out
}

fn wrapped(text: &str, first: &str, rest: &str) -> String {
    let (mut out, mut line, mut empty) = (String::new(), first.to_owned(), true);
    for word in printable(text).split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out += line.trim_end();
            out.push('\n');
            (line, empty) = (rest.to_owned(), true);
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    out + line.trim_end() + "\n"
}
