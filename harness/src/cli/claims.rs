//! `svcbench claims`: what people say about proxy modes, and whether it is so on the machine that was measured.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use results::claims;
use results::environment::Environment;
use results::record_file::read_records;

use super::exit::Exit;
use super::output::Output;
use super::streams;

/// Flags of `svcbench claims`.
#[derive(Debug, Args)]
pub(crate) struct ClaimsArgs {
    /// Folder of a run
    dir: PathBuf,
    /// How to print them; --json prints data
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How claims, or a history, are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a terminal.
    Text,
    /// For a job summary or a pull request.
    Markdown,
}

/// Prints every claim with its verdict. A claim that does not hold, or is not shown, is no failure.
///
/// # Errors
/// If the folder holds no readable run.
pub(crate) fn run(output: &Output, args: &ClaimsArgs) -> anyhow::Result<Exit> {
    let records = read_records(&args.dir.join("records.csv"))?;
    let environment = Environment::read(&args.dir.join("environment.json"))?;
    let claims = claims::claims_of(&records, &environment);
    let text = match args.format {
        _ if output.json => serde_json::to_string_pretty(&claims)? + "\n",
        Format::Text => claims::text(&claims),
        Format::Markdown => claims::markdown(&claims),
    };
    streams::data().write_all(text.as_bytes())?;
    Ok(Exit::Ok)
}
