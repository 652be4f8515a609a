//! `svcbench report`: plots and pages, from the rows alone.

use std::path::PathBuf;

use clap::Args;

use super::exit::Exit;
use super::output::Output;
use super::streams;

/// Flags of `svcbench report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Folder of a run
    dir: PathBuf,
    /// Write the rows as records.parquet too
    #[arg(long)]
    parquet: bool,
}

/// Rebuilds the report.
///
/// # Errors
/// If the folder holds no readable run.
pub(crate) fn run(output: &Output, args: &ReportArgs) -> anyhow::Result<Exit> {
    let report = results::report::write_report(&args.dir)?;
    let parquet = args.parquet.then(|| results::parquet_file::convert(&args.dir)).transpose()?;
    if !output.quiet {
        streams::result(args.dir.join("report.html").display());
        if let Some(path) = parquet {
            streams::result(path.display());
        }
        let (measured, failed, skipped) = (report.measured, report.failed, report.skipped);
        streams::tell(format_args!("{measured} rows measured, {failed} failed, {skipped} skipped"));
    }
    Ok(Exit::Ok)
}
