//! `svcbench history`: figures over many runs, and where they changed.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use results::history::{self, Width, history, read};

use super::claims::Format;
use super::exit::Exit;
use super::output::Output;
use super::streams;

/// Flags of `svcbench history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Folders of runs, or folders that hold them
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// How to print it; --json prints data
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write history.html and history.svg into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Follow every scale and position, not only the largest scale and the last Service
    #[arg(long)]
    all: bool,
    /// The chance that a figure in which nothing changed is marked; a smaller one needs more runs
    #[arg(long, value_name = "P", default_value_t = history::LEVEL, value_parser = level)]
    level: f64,
}

fn level(text: &str) -> Result<f64, String> {
    let level: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.005..=0.2).contains(&level) { Ok(level) } else { Err("must be from 0.005 to 0.2".into()) }
}

/// Prints the history of runs. Changes are no failure.
///
/// # Errors
/// If no run can be read, or a file cannot be written.
pub(crate) fn run(output: &Output, args: &HistoryArgs) -> anyhow::Result<Exit> {
    let (runs, unreadable) = read(&args.dirs);
    for left in &unreadable {
        streams::tell(format_args!("svcbench: left out {}: {}", left.folder.display(), left.why));
    }
    anyhow::ensure!(
        !runs.is_empty(),
        "no run could be read; name folders with a records.csv and an environment.json"
    );
    let width = if args.all { Width::All } else { Width::Largest };
    let history = history(runs, unreadable, width, args.level);
    if let Some(dir) = &args.out {
        let failed = |(path, error): (PathBuf, std::io::Error)| {
            anyhow::anyhow!("{}: {error}; check free space and permissions", path.display())
        };
        for path in history::write(&history, dir).map_err(failed)? {
            if !output.quiet {
                streams::tell(path.display());
            }
        }
    }
    let text = match args.format {
        _ if output.json => serde_json::to_string_pretty(&history)? + "\n",
        Format::Text => history::text(&history),
        Format::Markdown => history::markdown(&history),
    };
    streams::data().write_all(text.as_bytes())?;
    Ok(Exit::Ok)
}
