//! A [`Repeatability`] in words, for a terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{EXACT_MODE, LookupKey, P50_LIMIT, RepeatFault, Repeatability, RepeatedLookup};
use crate::names::metric;
use crate::text::{printable, shorten, thousands};

/// Lookups listed, unless more are at fault.
const MOST_ROWS: usize = 12;
/// Faults listed before the rest is only counted.
const MOST_FAULTS: usize = 60;

impl fmt::Display for Repeatability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let platforms: BTreeSet<_> = self.compared.iter().map(|cell| cell.key.platform().label()).collect();
        for platform in &platforms {
            writeln!(f, "Lookups twice: {}", printable(platform))?;
        }
        let faults = self.compared.iter().filter(|cell| cell.fault().is_some()).count();
        let listed = faults.clamp(MOST_ROWS, MOST_FAULTS).min(self.compared.len());
        write_rows(f, self.compared.get(..listed).unwrap_or_default(), platforms.len() > 1)?;
        if let Some(next) = self.compared.get(listed) {
            let more = thousands((self.compared.len() - listed) as u64);
            writeln!(f, "… and {more} more, p50 off by {} at most", percent(next.difference()))?;
        }
        // A reason once, however many cells it has cost.
        let mut reasons: BTreeMap<(bool, &[String; 2]), Vec<&LookupKey>> = BTreeMap::new();
        for cell in &self.uncompared {
            reasons.entry((cell.skipped, &cell.passes)).or_default().push(&cell.key);
        }
        for ((_, [first, second]), keys) in &reasons {
            let modes: BTreeSet<&str> = keys.iter().map(|key| key.mode.as_str()).collect();
            let modes = Vec::from_iter(modes).join(", ");
            let passes = if first == second { first.clone() } else { format!("{first}; then {second}") };
            let line = format!("not compared: {} of {modes}: {passes}", lookups(keys.len()));
            writeln!(f, "{}", shorten(&printable(&line), 300))?;
        }
        self.write_conclusion(f, faults)
    }
}

impl Repeatability {
    fn write_conclusion(&self, f: &mut fmt::Formatter<'_>, faults: usize) -> fmt::Result {
        let count = thousands(self.compared.len() as u64);
        let modes: BTreeSet<&str> = self.compared.iter().map(|cell| cell.key.mode.as_str()).collect();
        let worst = self.compared.iter().map(RepeatedLookup::difference).fold(0.0, f64::max);
        let allowed = percent(P50_LIMIT as f64 / 1_000.0);
        let exact = self.compared.iter().filter(|cell| cell.key.mode == EXACT_MODE).count();
        if self.passes() {
            write!(
                f,
                "Repeatable: {count} lookups in {} modes; p50 off by {} at most ({allowed} is allowed)",
                modes.len(),
                percent(worst)
            )?;
            return match exact {
                0 => write!(f, "; {EXACT_MODE} was not measured, so that p1 says nothing."),
                exact => write!(f, "; p1 of {EXACT_MODE} the same in all {}.", thousands(exact as u64)),
            };
        }
        let lost = self.uncompared.iter().filter(|cell| !cell.skipped).count();
        write!(
            f,
            "NOT repeatable: {faults} of {count} lookups differ (allowed: {allowed} in p50, nothing in the p1 of \
             {EXACT_MODE}); {lost} more were not measured in both passes."
        )
    }
}

fn write_rows(f: &mut fmt::Formatter<'_>, cells: &[RepeatedLookup], kernels: bool) -> fmt::Result {
    let mut rows = vec![
        [
            "mode",
            "Services",
            "position",
            "packet",
            "block",
            "p50, first",
            "p50, then",
            "off by",
            "p1, first",
            "p1, then",
            "",
        ]
        .map(str::to_owned),
    ];
    rows.extend(cells.iter().map(|cell| {
        let key = &cell.key;
        let [p1, then] = cell.p1.map(|value| value.map_or_else(|| "—".to_owned(), thousands));
        let packet = if key.metric == metric::LOOKUP_FIRST_PACKET { "first" } else { "established" };
        let mode = if kernels { format!("{} ({})", key.mode, key.kernel) } else { key.mode.to_string() };
        [
            shorten(&printable(&mode), 48),
            thousands(key.services),
            key.position.to_string(),
            packet.to_owned(),
            key.block.to_string(),
            thousands(cell.p50[0]),
            thousands(cell.p50[1]),
            percent(cell.difference()),
            p1,
            then,
            match cell.fault() {
                None => String::new(),
                Some(RepeatFault::P50) => "p50 differs".to_owned(),
                Some(RepeatFault::P1) => "p1 differs".to_owned(),
                Some(RepeatFault::NoHistogram) => "no histogram to take p1 from".to_owned(),
            },
        ]
    }));
    let mut widths = [0; 11];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Names to the left, figures to the right.
            match index {
                0 | 2 | 3 | 10 => line += &format!("{cell:<width$}  "),
                _ => line += &format!("{cell:>width$}  "),
            }
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

fn lookups(count: usize) -> String {
    if count == 1 { "1 lookup".to_owned() } else { format!("{} lookups", thousands(count as u64)) }
}

fn percent(share: f64) -> String {
    if share == 0.0 { "0%".to_owned() } else { format!("{:.3}%", share * 100.0) }
}
