//! `svcbench run`: measure a sweep and write its report.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use harness::cells;
use harness::estimate;
use harness::run::{self, Options, default_out, unable_modes};
use harness::stop::Stop;
use harness::sweep::{BUILT_IN, Sweep};

use super::progress::{Progress, span};
use super::{Cli, Exit};

/// Flags of `svcbench run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A built-in sweep (smoke, default) or a TOML file
    #[arg(default_value = "default")]
    sweep: String,
    /// Folder for rows, plots and report [default: svcbench-results/SWEEP-TIME]
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the broken run in DIR: what is finished is not measured again
    #[arg(long, requires = "out")]
    resume: bool,
    /// Print the cells in their order instead of measuring them
    #[arg(long)]
    dry_run: bool,
    /// Measure also what is predicted to take longer than the sweep's limit
    #[arg(long)]
    no_limit: bool,
}

/// Measures.
///
/// # Errors
/// Bad input, a machine that cannot run any cell, or results that cannot be written.
pub fn run(cli: &Cli, args: &RunArgs) -> anyhow::Result<Exit> {
    let (sweep, text) = Sweep::load(&args.sweep)?;
    if args.dry_run {
        return dry_run(cli, &sweep);
    }
    let name =
        if BUILT_IN.iter().any(|(name, _)| *name == args.sweep) { args.sweep.as_str() } else { &args.sweep };
    let out = args.out.clone().unwrap_or_else(|| default_out(name));
    let options = Options { out: out.clone(), resume: args.resume, no_limit: args.no_limit };
    let stop = Stop::on_signals()?;
    let mut progress = Progress::new(cli.quiet, &sweep.question);
    let tally = run::run(&sweep, &text, &options, &stop, &mut |event| progress.tell(event));
    progress.finish();
    let tally = tally?;
    let report = results::report::write_report(&out)?;
    if cli.json {
        let data = serde_json::json!({
            "out": out,
            "report": out.join("report.html"),
            "cells": { "done": tally.done, "skipped": tally.skipped, "failed": tally.failed },
            "interrupted": tally.interrupted,
            "rows": { "ok": report.measured, "failed": report.failed, "skipped": report.skipped },
        });
        println!("{data:#}");
    } else {
        let mut err = std::io::stderr().lock();
        writeln!(err, "{} cells measured, {} skipped, {} failed", tally.done, tally.skipped, tally.failed)?;
        if tally.interrupted {
            writeln!(
                err,
                "interrupted; go on with: svcbench run {} --out {} --resume",
                args.sweep,
                out.display()
            )?;
        }
        println!("{}", out.join("report.html").display());
    }
    Ok(match tally {
        _ if tally.interrupted => Exit::Interrupted,
        _ if tally.failed > 0 => Exit::Failed,
        _ => Exit::Ok,
    })
}

fn dry_run(cli: &Cli, sweep: &Sweep) -> anyhow::Result<Exit> {
    let unable = unable_modes(&sweep.modes);
    let mut cells = cells::order(sweep);
    cells.retain(|cell| cell.block == 1 || !unable.contains_key(&cell.mode));
    let expected = estimate::remaining(sweep, &cells, false, 0.0);
    let mut out = std::io::stdout().lock();
    if cli.json {
        let list: Vec<_> = cells
            .iter()
            .map(|cell| {
                serde_json::json!({
                    "order": cell.order, "block": cell.block, "mode": cell.mode, "services": cell.scale.services,
                    "endpoints": cell.scale.endpoints, "workload": format!("{:?}", cell.workload),
                    "skipped": unable.get(&cell.mode),
                })
            })
            .collect();
        serde_json::to_writer_pretty(
            &mut out,
            &serde_json::json!({ "expected_seconds": expected.as_secs(), "cells": list }),
        )?;
        writeln!(out)?;
        return Ok(Exit::Ok);
    }
    for cell in &cells {
        let note = unable.get(&cell.mode).map(|reason| format!("  skipped: {reason}")).unwrap_or_default();
        let (services, workload) = (cell.scale.services, format!("{:?}", cell.workload).to_lowercase());
        writeln!(
            out,
            "{:5}  block {}  {:15} {services:>7}  {workload}{note}",
            cell.order, cell.block, cell.mode
        )?;
    }
    if !cli.quiet {
        eprintln!("{} cells, about {}", cells.len(), span(expected.max(Duration::from_secs(1))));
    }
    Ok(Exit::Ok)
}
