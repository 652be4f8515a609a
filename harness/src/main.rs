//! The `svcbench` command line.

mod cli;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;
use lab::explain::explain;

use crate::cli::exit::Exit;
use crate::cli::{Cli, Command, streams};

fn main() -> ExitCode {
    // In the place of a program of kube-proxy this same program writes down what it is given.
    kube_proxy::recorder::stand_in();
    // In a guest this same program is its first process, and the one that measures.
    netns_setup::guest::inside(svcbench::guest::work);
    // clap ends with 2 on wrong flags, which is what we promise for bad input.
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Doctor => cli::doctor::run(&cli.output),
        Command::Plan(args) => cli::plan::run(&cli.output, args),
        Command::Run(args) => cli::run::run(&cli.output, args),
        Command::Report(args) => cli::report::run(&cli.output, args),
        Command::Claims(args) => cli::claims::run(&cli.output, args),
        Command::History(args) => cli::history::run(&cli.output, args),
        Command::Serve(args) => cli::serve::run(&cli.output, args),
        Command::Compare(args) => cli::compare::run(&cli.output, args),
        Command::Inspect(args) => cli::inspect::run(&cli.output, args),
        Command::Load(args) => cli::load::run(&cli.output, args),
        Command::LoadServer(args) => cli::load::serve(&cli.output, args),
        Command::Lock(args) => cli::lock::run(&cli.output, args),
        Command::Verify(args) => cli::verify::run(&cli.output, args),
        Command::Anonymise(args) => cli::anonymise::run(&cli.output, args),
    };
    match result {
        Ok(exit) => exit.into(),
        // `svcbench plan | head` is no failure.
        Err(error) if streams::unwritable_kind(&error) == Some(ErrorKind::BrokenPipe) => Exit::Ok.into(),
        Err(error) => {
            streams::tell(format_args!("svcbench: {}", explain(&error)));
            Exit::of(&error).into()
        }
    }
}
