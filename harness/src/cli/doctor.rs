//! `svcbench doctor`: what this machine offers, and how to get what is missing.

use std::io::Write;

use dataplane::Mode;
use lab::cores::Cores;
use netns_setup::Need;
use results::environment::{Condition, Severity, Warning};
use serde::Serialize;
use svcbench::host::machine::{Facts, WATCH, warnings};
use svcbench::lane::{LAB_NEEDS, unable_modes};

use super::exit::Exit;
use super::output::Output;
use super::streams;

#[derive(Serialize)]
struct Diagnosis {
    need: String,
    for_modes: Vec<String>,
    present: bool,
    detail: String,
    why: String,
    how: String,
}

#[derive(Serialize)]
struct Offers {
    needs: Vec<Diagnosis>,
    modes: std::collections::BTreeMap<String, String>,
    lab: Lab,
}

/// What decides how good figures of the wall clock are.
#[derive(Serialize)]
struct Lab {
    condition: Condition,
    warnings: Vec<Warning>,
}

impl Lab {
    fn here() -> Self {
        // Without a choice of cores, the first one tells as much as another.
        let facts = Facts::here(Cores::choose().map_or(0, |cores| cores.measuring), WATCH);
        Self { warnings: warnings(&facts), condition: facts.condition }
    }
}

/// Prints every need of every mode, and what makes figures unreliable here.
///
/// # Errors
/// If standard output is closed.
pub(crate) fn run(output: &Output) -> anyhow::Result<Exit> {
    let mut needs: Vec<Need> = LAB_NEEDS.to_vec();
    for mode in Mode::ALL {
        for &need in mode.needs() {
            if !needs.contains(&need) {
                needs.push(need);
            }
        }
    }
    let mut needs: Vec<Diagnosis> = needs.into_iter().map(diagnose).collect();
    let labs = LAB_NEEDS.len();
    let unable = unable_modes(&Mode::ALL);
    let no_lab = needs[..labs].iter().find(|need| !need.present).map(|need| need.need.clone());
    let guests = diagnose_guests();
    let elsewhere = if guests.present { "in a guest only" } else { "cannot run" };
    let verdict = |mode: Mode| match (&no_lab, unable.get(&mode)) {
        (Some(need), _) => format!("{elsewhere}: no lab on this kernel without {need}"),
        (None, Some(reason)) => format!("{elsewhere}: {reason}"),
        (None, None) => "ready".to_owned(),
    };
    let modes = Mode::ALL.map(|mode| (mode.name().to_owned(), verdict(mode))).into();
    let none = !guests.present && (no_lab.is_some() || unable.len() == Mode::ALL.len());
    needs.push(guests);
    let lab = Lab::here();
    let mut out = streams::data();
    if output.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&Offers { needs, modes, lab })?)?;
    } else {
        print(&needs, &modes, &mut out)?;
        print_lab(&lab, &mut out)?;
    }
    Ok(if none { Exit::Unavailable } else { Exit::Ok })
}

/// Whether modes that this kernel lacks can be measured in a guest's.
fn diagnose_guests() -> Diagnosis {
    let (present, detail, why, how) = match netns_setup::guest::check() {
        Ok(found) => (true, found.detail, String::new(), String::new()),
        Err(missing) => (false, missing.what, missing.why, missing.how),
    };
    let for_modes = vec!["those that this kernel lacks".to_owned()];
    Diagnosis { need: "guests".to_owned(), for_modes, present, detail, why, how }
}

fn diagnose(need: Need) -> Diagnosis {
    let for_modes = if LAB_NEEDS.contains(&need) {
        vec!["all".to_owned()]
    } else {
        let modes = Mode::ALL.iter().filter(|mode| mode.needs().contains(&need));
        modes.map(|mode| mode.name().to_owned()).collect()
    };
    let (present, detail, why, how) = match netns_setup::check(need) {
        Ok(found) => (true, found.detail, String::new(), String::new()),
        Err(missing) => (false, missing.what, missing.why, missing.how),
    };
    Diagnosis { need: need.name().to_owned(), for_modes, present, detail, why, how }
}

fn paint(good: bool, text: &str) -> String {
    let colour = streams::are_data_seen() && std::env::var_os("NO_COLOR").is_none();
    match (colour, good) {
        (false, _) => text.to_owned(),
        (true, true) => format!("\x1b[32m{text}\x1b[0m"),
        (true, false) => format!("\x1b[31m{text}\x1b[0m"),
    }
}

fn print_lab(lab: &Lab, out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(out, "\nLab: what figures of the wall clock depend on; instructions of a guest do not")?;
    let width = lab.warnings.iter().map(|warning| warning.name.len()).max().unwrap_or(0);
    for warning in &lab.warnings {
        let Warning { name, severity, what, why, how } = warning;
        let mark = match severity {
            Severity::Unreliable => paint(false, "unreliable"),
            Severity::Differs => "differs   ".to_owned(),
        };
        writeln!(out, "  {name:width$}  {mark}  {what}")?;
        writeln!(out, "  {:width$}              why: {why}", "")?;
        writeln!(out, "  {:width$}              fix: {how}", "")?;
    }
    if lab.warnings.iter().all(|warning| warning.severity != Severity::Unreliable) {
        writeln!(out, "  {}", paint(true, "nothing that can be seen makes them unreliable"))?;
    }
    Ok(())
}

fn print(
    needs: &[Diagnosis],
    modes: &std::collections::BTreeMap<String, String>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    writeln!(out, "Needs")?;
    let width = needs.iter().map(|need| need.need.len()).max().unwrap_or(0);
    for need in needs {
        let mark = if need.present { paint(true, "present") } else { paint(false, "missing") };
        writeln!(
            out,
            "  {:width$}  {mark}  {}  (for {})",
            need.need,
            need.detail,
            need.for_modes.join(", ")
        )?;
        if !need.present {
            writeln!(out, "  {:width$}           why: {}", "", need.why)?;
            writeln!(out, "  {:width$}           get: {}", "", need.how)?;
        }
    }
    writeln!(out, "\nModes")?;
    for mode in Mode::ALL {
        let verdict = modes.get(mode.name()).map_or("", String::as_str);
        writeln!(out, "  {:15}  {}", mode.name(), paint(!verdict.starts_with("cannot"), verdict))?;
    }
    Ok(())
}
