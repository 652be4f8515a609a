//! Flags, exit codes, and one file per command.

pub mod anonymise;
pub mod claims;
mod cluster;
pub mod compare;
pub mod doctor;
pub mod history;
pub mod inspect;
pub mod load;
pub mod lock;
pub mod plan;
mod progress;
pub mod report;
pub mod run;
pub mod serve;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use harness::run::{Spoilt, Unable};

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
                  69   this machine cannot run any cell, or spoils figures and --strict was given\n  \
                  3    compare: a figure is worse\n  \
                  4    compare: none is worse, but some could not have shown it\n  \
                  5    compare: the runs cannot be compared\n  \
                  69   this machine cannot run any cell\n  \
                  130  interrupted; what was finished is reported, --resume goes on"
)]
pub struct Cli {
    /// Print nothing but results and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
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
    /// Print a ruleset or cluster without the names and addresses of its owner
    Anonymise(anonymise::AnonymiseArgs),
}

/// For which node the Services of a cluster are planned.
#[derive(Debug, Args)]
#[group(skip)]
pub struct NodeArgs {
    /// Name of the node that kube-proxy would run on: its endpoints are local [default: the file's only Node]
    #[arg(long, value_name = "NAME", requires = "from", help_heading = "Services of a cluster")]
    pub node: Option<String>,
    /// Address of that node: where node ports are served [default: what its Node says]
    #[arg(long, value_name = "IP", requires = "from", help_heading = "Services of a cluster")]
    pub node_ip: Option<std::net::IpAddr>,
    /// All pods; traffic to cluster IPs from elsewhere is masqueraded [default: the smallest that holds the pod CIDRs of all
    /// Nodes, if the file has them]
    #[arg(long, value_name = "CIDR", requires = "from", help_heading = "Services of a cluster")]
    pub cluster_cidr: Option<ipnet::IpNet>,
    /// Which of kube-proxy's two proxiers [default: ipv4, unless only IPv6 has Services]
    #[arg(
        long,
        value_enum,
        value_name = "FAMILY",
        requires = "from",
        help_heading = "Services of a cluster"
    )]
    pub family: Option<harness::service::Family>,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All measured, or skipped for a stated reason.
    Ok,
    /// A cell failed.
    Failed,
    /// Bad input.
    BadInput,
    /// A figure is worse.
    Regression,
    /// None is worse, but some could not have shown it.
    Inconclusive,
    /// Runs cannot be compared.
    NotComparable,
    /// This machine cannot run any cell (EX_UNAVAILABLE of sysexits.h).
    Unavailable,
    /// SIGINT and the like.
    Interrupted,
}

impl Exit {
    /// Which exit an error means.
    pub fn of(error: &anyhow::Error) -> Self {
        if error.is::<Unable>() || error.is::<Spoilt>() { Exit::Unavailable } else { Exit::BadInput }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::BadInput => 2,
            Exit::Regression => 3,
            Exit::Inconclusive => 4,
            Exit::NotComparable => 5,
            Exit::Unavailable => 69,
            Exit::Interrupted => 130,
        })
    }
}
