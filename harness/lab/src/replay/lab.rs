//! A replayed ruleset meets a kernel: its tool checks it, and what the kernel holds afterwards is read back and compared.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::process::Command;

use anyhow::{Context, bail};
use dataplane::{Counts, Program};
use ruleset::{Format, Inspection, TableCounts, inspect_text};

use super::Replay;
use crate::apply::{Runner, empty_in_memory, last_lines};

/// Has the tool check it, in the namespace of the calling thread.
///
/// # Errors
/// What the tool says, with the line.
pub fn check(replay: &Replay, runner: &Runner) -> anyhow::Result<()> {
    runner
        .apply(&replay.check(), None)
        .with_context(|| format!("{}: {} refuses it", replay.name, replay.tool()))?;
    Ok(())
}

/// Reads the ruleset back, in the namespace of the calling thread: each table must have as many rules, chains and elements
/// as in the file.
///
/// # Errors
/// The first table that has not.
pub fn held(replay: &Replay, runner: &Runner) -> anyhow::Result<Counts> {
    let held = read_back(replay, runner)?;
    for table in &replay.inspection.tables {
        let same = |other: &&TableCounts| (&other.family, &other.name) == (&table.family, &table.name);
        // Base chains of iptables come and go with the tool.
        let shape = |table: &TableCounts| {
            let own =
                if replay.format() == Format::Nft { table.chains } else { table.chains - table.base_chains };
            (table.rules, own, table.elements)
        };
        let found = held.tables.iter().find(same).map(shape);
        // A table without anything of its own may not be there at all.
        let wanted = shape(table);
        anyhow::ensure!(
            found == Some(wanted) || (found.is_none() && wanted == (0, 0, 0)),
            "table {} {} of the file has {wanted:?} rules, chains and elements, but the kernel holds {found:?}",
            table.family,
            table.name
        );
    }
    let (rules, chains, elements) = held.totals();
    Ok(Counts { rules, chains, elements, ..Counts::default() })
}

fn read_back(replay: &Replay, runner: &Runner) -> anyhow::Result<Inspection> {
    let mut text = String::new();
    match replay.format() {
        Format::Nft => text = printed(runner, Program::Nft, &["list", "ruleset"])?,
        _ => {
            for (family, _) in &replay.texts {
                text += &printed(runner, Program::iptables_save(*family), &[])?;
            }
        }
    }
    let found = inspect_text(&text);
    found
        .map_err(|fault| anyhow::anyhow!("cannot read what {} says the kernel holds: {fault}", replay.tool()))
}

/// What a program prints.
fn printed(runner: &Runner, program: Program, args: &[&str]) -> anyhow::Result<String> {
    let path = runner.tools().path(program)?;
    let mut file: File = empty_in_memory()?;
    let mut command = Command::new(path);
    let finished = runner.run_into(command.args(args), program.name(), file.try_clone()?)?;
    if !finished.status.success() {
        bail!("{} failed: {}", program.name(), last_lines(&finished.stderr));
    }
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).map_err(io::Error::other)?;
    Ok(text)
}
