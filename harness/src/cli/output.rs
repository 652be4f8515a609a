//! Flags that all commands have.

use clap::Args;

/// How much is printed, and how.
#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Output {
    /// Print nothing but results and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
}
