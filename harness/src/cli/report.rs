//! `svcbench report`: plots and pages, from the rows alone.

use std::path::PathBuf;

use clap::Args;

use super::{Cli, Exit};

/// Flags of `svcbench report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folder of a run
    dir: PathBuf,
}

/// Rebuilds the report.
///
/// # Errors
/// If the folder holds no readable run.
pub fn run(cli: &Cli, args: &ReportArgs) -> anyhow::Result<Exit> {
    let report = results::report::write_report(&args.dir)?;
    if !cli.quiet {
        println!("{}", args.dir.join("report.html").display());
        eprintln!("{} rows measured, {} failed, {} skipped", report.measured, report.failed, report.skipped);
    }
    Ok(Exit::Ok)
}
