//! Flags, exit codes, and one file per command.

pub(crate) mod anonymise;
pub(crate) mod claims;
mod cluster;
pub(crate) mod compare;
pub(crate) mod doctor;
pub(crate) mod exit;
pub(crate) mod history;
pub(crate) mod inspect;
pub(crate) mod load;
pub(crate) mod lock;
mod node_args;
pub(crate) mod output;
pub(crate) mod plan;
mod progress;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod streams;
pub(crate) mod verify;

use clap::{Parser, Subcommand};

use self::output::Output;

/// Measures what a Kubernetes Service costs on this node in each kube-proxy mode.
#[derive(Debug, Parser)]
#[command(
    name = "svcbench",
    version = env!("SVCBENCH_VERSION"),
    max_term_width = 100,
    after_help = "Exit codes:\n  \
                  0    all measured, or skipped for a stated reason\n  \
                  1    a cell failed\n  \
                  2    bad input\n  \
                  69   this machine cannot run any cell, or figures are unreliable and --strict was given\n  \
                  3    compare: a figure is worse; verify: there are differences\n  \
                  4    compare: none is worse, but some could not have shown it\n  \
                  5    compare: the runs cannot be compared\n  \
                  69   this machine cannot run any cell\n  \
                  74   standard output takes no more\n  \
                  130  interrupted; what was finished is reported, --resume goes on"
)]
pub(crate) struct Cli {
    /// How much is printed, and how.
    #[command(flatten)]
    pub output: Output,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell what this machine offers for each mode, and how to get what is missing
    Doctor,
    /// Print what a mode would send to the kernel; needs no privilege
    Plan(plan::PlanArgs),
    /// Measure a sweep
    Run(run::RunArgs),
    /// Rebuild plots and pages of a finished or broken run from its rows
    Report(report::ReportArgs),
    /// Tell which of the things that people say about proxy modes a run has shown to be so on its machine
    Claims(claims::ClaimsArgs),
    /// Follow figures over many runs, and mark where they changed
    History(history::HistoryArgs),
    /// Open a run in the browser, served to this machine only
    Serve(serve::ServeArgs),
    /// Compare two runs: which figures are better, worse, or not shown to differ
    Compare(compare::CompareArgs),
    /// Print what a ruleset of a real node is, and which Services it has
    Inspect(inspect::InspectArgs),
    /// Drive one load through a lab, or against an address of yours
    Load(load::LoadArgs),
    /// Answer the loads of other machines
    LoadServer(load::ServeArgs),
    /// Tell who holds the xtables lock of this node, how long, and who waits
    Lock(lock::LockArgs),
    /// Compare what a mode is planned to do with what a real kube-proxy does
    Verify(verify::VerifyArgs),
    /// Print a ruleset or cluster without the names and addresses of its owner
    Anonymise(anonymise::AnonymiseArgs),
}
