//! `svcbench anonymise`: a ruleset or cluster without the names and addresses of its owner, on standard output.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use ruleset::anonymise::{Key, anonymise};
use ruleset::input;

use super::exit::Exit;
use super::output::Output;
use super::streams;

/// Flags of `svcbench anonymise`.
#[derive(Debug, Args)]
#[command(
    after_help = "Names, comments and addresses are replaced by others of the same kind and length; rules, chains, jumps, \
                        ports and what addresses have in common stay. Counters become zero. Read the result before you \
                        publish it."
)]
pub(crate) struct AnonymiseArgs {
    /// Output of iptables-save, ip6tables-save, nft list ruleset, ipset save, or of `kubectl get services,endpointslices -A -o
    /// json`; - for standard input
    file: PathBuf,
    /// File whose content decides every replacement: give the same for several files that belong together, and keep it to
    /// yourself [default: a key that is drawn and not kept]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Prints it.
///
/// # Errors
/// Bad input, with its place, or a closed standard output.
pub(crate) fn run(output: &Output, args: &AnonymiseArgs) -> anyhow::Result<Exit> {
    let key = args.key_file.as_deref().map(Key::of_file).transpose()?;
    let text = input::read(&args.file)?;
    let anonymised = anonymise(&text, key.as_ref()).with_context(|| input::name(&args.file))?;
    let mut out = streams::data();
    out.write_all(anonymised.text.as_bytes())?;
    out.flush()?;
    if !output.quiet {
        anonymised.remarks.iter().for_each(|remark| streams::tell(format_args!("svcbench: {remark}")));
    }
    Ok(Exit::Ok)
}
