//! The lines under a figure: what has no figure, and why.

use std::collections::{BTreeMap, BTreeSet};

use super::figure::Panel;
use crate::groups::Groups;
use crate::names::mode_rank;
use crate::record::Status;
use crate::text::{MOST_REASONS, OTHER_REASONS, printable, thousands};

/// Explains the hollow markers.
const GAPS: &str = "Hollow markers on the upper edge are cells without a figure:";

/// More lines under a figure than this are not read.
const MOST_LINES: usize = 40;

/// What one reason cost one mode: rows without a figure, of all rows of the cells that it touched.
#[derive(Default)]
struct Lost {
    services: BTreeSet<u32>,
    rows: usize,
    of: usize,
}

/// Failed and skipped cells behind a figure: one line per reason, after a line that explains the hollow markers if
/// `panels` have any.
pub(super) fn notes(groups: &Groups<'_>, sources: &[(&str, &str)], panels: &[Panel]) -> Vec<String> {
    let mut reasons: BTreeMap<(usize, &str, Status, &str), Lost> = BTreeMap::new();
    let mut measured = BTreeSet::new();
    for (workload, metric) in sources {
        for (key, group) in groups.of(workload, metric) {
            if !group.measured.is_empty() {
                measured.insert(key.mode);
            }
            let mut here: BTreeMap<_, usize> = BTreeMap::new();
            for row in &group.lost {
                let mut reason = (mode_rank(key.mode), key.mode, row.status, row.note.as_str());
                if reasons.len() + here.len() >= MOST_REASONS
                    && !(reasons.contains_key(&reason) || here.contains_key(&reason))
                {
                    reason.3 = OTHER_REASONS;
                }
                *here.entry(reason).or_default() += 1;
            }
            for (reason, rows) in here {
                let lost = reasons.entry(reason).or_default();
                lost.services.insert(key.services);
                lost.rows += rows;
                lost.of += group.lost.len() + group.measured.len();
            }
        }
    }
    // Modes that lost the same for the same reason share a line.
    let mut lines: Vec<(Vec<&str>, String)> = Vec::new();
    for ((_, mode, status, note), lost) in &reasons {
        let mut line = String::new();
        if measured.contains(mode) {
            let scales: Vec<_> = lost.services.iter().take(6).map(|services| thousands(*services)).collect();
            line += &format!(" at {}", scales.join("; "));
        }
        line += &format!(": {status}");
        if lost.rows < lost.of {
            line += &format!(" in {} of {} rows", lost.rows, lost.of);
        }
        line += &format!(" — {}", if note.is_empty() { "no reason given" } else { note });
        match lines.iter_mut().find(|(_, known)| *known == line) {
            Some((modes, _)) => modes.push(mode),
            None => lines.push((vec![mode], line)),
        }
    }
    let mut notes = Vec::new();
    if !lines.is_empty() && panels.iter().any(|panel| !panel.lines.is_empty() && !panel.gaps.is_empty()) {
        notes.push(GAPS.to_owned());
    }
    let shown = lines.iter().take(MOST_LINES);
    notes.extend(shown.map(|(modes, line)| printable(&format!("{}{line}", modes.join(", ")))));
    if let Some(more) = lines.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
        notes.push(format!(
            "and {} more reasons: in the report’s table of failed and skipped cells.",
            thousands(more as u64)
        ));
    }
    notes
}
