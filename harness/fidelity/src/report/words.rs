//! The report for a person: differences by set, Service and place, then a table of what was compared.

use std::fmt::{self, Write};

use services::service::Family;

use super::{At, Counts, Found, ModeReport, Report, Whose};

/// Differences of a mode that are written out. The first say what is wrong; `--json` has all.
const SHOWN: usize = 60;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self, f)
    }
}

fn write(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Report { kube_proxy, planned, installed, modes } = report;
    writeln!(f, "{kube_proxy} against the plan of {}: {installed}", planned.name())?;
    for mode in modes {
        differences(mode, f)?;
        for failure in &mode.failures {
            writeln!(
                f,
                "\n{}, {}, {}: failed: {}",
                mode.mode, failure.at.set, failure.at.step, failure.reason
            )?;
        }
    }
    writeln!(f)?;
    table(modes, f)?;
    let (differences, failures) = (report.differences(), report.failures());
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    write!(f, "\n{}", count(differences, "difference"))?;
    if failures > 0 {
        write!(f, ", {} failed", count(failures, "set"))?;
    }
    writeln!(f)
}

/// By what they are put together.
fn place_of(found: &Found) -> (&At, Family, &Option<String>, &str) {
    (&found.at, found.family, &found.service, &found.place)
}

fn differences(mode: &ModeReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut found: Vec<&Found> = mode.differences.iter().collect();
    found.sort_by(|one, other| place_of(one).cmp(&place_of(other)));
    let shown = found.len().min(SHOWN);
    let is_one_step = |one: &&Found, other: &&Found| (&one.at, one.family) == (&other.at, other.family);
    for of_step in found[..shown].chunk_by(is_one_step) {
        let first = of_step[0];
        writeln!(f, "\n{} {}, {}, {}:", mode.mode, first.family.name(), first.at.set, first.at.step)?;
        for of_service in of_step.chunk_by(|one, other| one.service == other.service) {
            writeln!(f, "  {}", of_service[0].service.as_deref().unwrap_or("no Service in particular"))?;
            for of_place in of_service.chunk_by(|one, other| one.place == other.place) {
                writeln!(f, "    {}", of_place[0].place)?;
                of_place.iter().try_for_each(|one| line(one, f))?;
            }
        }
    }
    if found.len() > shown {
        writeln!(f, "\n{}: {} more differences; --json has all", mode.mode, found.len() - shown)?;
    }
    Ok(())
}

fn line(found: &Found, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match found.whose {
        Whose::KubeProxy => writeln!(f, "      kube-proxy  {}", found.line),
        Whose::Plan => writeln!(f, "      plan        {}", found.line),
        Whose::Order => writeln!(f, "      the same in another order"),
    }
}

fn table(modes: &[ModeReport], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const HEAD: [&str; 12] = [
        "mode",
        "family",
        "sets",
        "states",
        "starts",
        "Services",
        "rules",
        "programs",
        "several syncs",
        "late",
        "missed zone",
        "differences",
    ];
    let mut rows: Vec<Vec<String>> = vec![HEAD.map(str::to_owned).to_vec()];
    for mode in modes {
        for family in &mode.families {
            let Counts { states, starts, services, rules, programs, several_syncs, late, missed_zone } =
                family.counts;
            let own = mode.differences.iter().filter(|one| one.family == family.family).count();
            let numbers =
                [mode.sets, states, starts, services, rules, programs, several_syncs, late, missed_zone, own];
            let names = [mode.mode.name().to_owned(), family.family.name().to_owned()];
            rows.push(names.into_iter().chain(numbers.iter().map(ToString::to_string)).collect());
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let has_rows = rows.len() > 1;
    for row in rows.iter().filter(|_| has_rows) {
        let mut text = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            match column {
                0 => write!(text, "{cell:<width$}")?,
                1 => write!(text, "  {cell:<width$}")?,
                _ => write!(text, "  {cell:>width$}")?,
            }
        }
        writeln!(f, "{}", text.trim_end())?;
    }
    for mode in modes {
        if let Some(reason) = &mode.skipped {
            writeln!(f, "{} is skipped: {reason}", mode.mode)?;
        }
    }
    Ok(())
}
