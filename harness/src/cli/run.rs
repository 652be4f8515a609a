//! `svcbench run`: measure a sweep and write its report.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use dataplane::injected::Injected;
use lab::replay::{Replay, ReplaySource};
use lab::stop::Stop;
use results::record::Clock;
use results::repeat::{Sample, compare};
use ruleset::Variant;
use svcbench::forecast::duration;
use svcbench::guest::{Guests, KernelPaths, Pass};
use svcbench::lane::{Tally, unable_in};
use svcbench::run::{self, Options, default_out};
use svcbench::sweep::KernelChoice;
use svcbench::sweep::Sweep;
use svcbench::sweep::order;

use super::cluster::Given;
use super::exit::Exit;
use super::node_args::NodeArgs;
use super::output::Output;
use super::progress::{Progress, span};
use super::streams;

/// The sweep that is there for `--replay`.
const REPLAY: &str = "replay";
/// Folder of the second pass, in the run's folder.
const REPEAT: &str = "repeat";

/// Flags of `svcbench run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A built-in sweep (smoke, default, guest, ci, churn, disruption, lock, background, replay, kube-proxy, kube-proxy-guest, versions) or a TOML file [default: default; with --replay: replay]
    #[arg(value_name = "SWEEP")]
    sweep: Option<String>,
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
    /// Refuse to measure by the wall clock on a machine that makes its figures unreliable (`svcbench doctor` lists what does)
    #[arg(long, conflicts_with = "dry_run")]
    strict: bool,
    /// Measure in spite of this warning of `svcbench doctor`; several times: several
    #[arg(long, value_name = "NAME", requires = "strict", value_parser = clap::builder::PossibleValuesParser::new(svcbench::host::machine::NAMES), hide_possible_values = true)]
    allow: Vec<String>,
    /// Services of a real cluster, installed instead of synthetic ones: what `kubectl get services,endpointslices -A -o json`
    /// or `-o yaml` prints; `-` is standard input. On this machine's own kernel
    #[arg(
        long, value_name = "FILE", help_heading = "Services of a cluster",
        conflicts_with_all = ["replay", "guest_kernel", "clock", "repeat_check"]
    )]
    from: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
    /// Measure this ruleset of a real node beside the sweep's modes: output of iptables-save, ip6tables-save (or both in one
    /// file) or nft list ruleset
    #[arg(long, value_name = "FILE", conflicts_with = "repeat_check", help_heading = "Replay")]
    replay: Option<PathBuf>,
    /// ipsets that it refers to: output of ipset save
    #[arg(long, value_name = "FILE", requires = "replay", help_heading = "Replay")]
    replay_sets: Option<PathBuf>,
    /// iptables that installs it [default: the one that has written it; nft if the file does not say]
    #[arg(long, value_enum, value_name = "VARIANT", requires = "replay", help_heading = "Replay")]
    replay_variant: Option<Variant>,
    /// Slow one mode down by so many rules that match nothing, which every first packet walks through: to see whether a gate
    /// finds it. The run says so wherever it says what was measured
    #[arg(long = "inject", alias = "plant", value_name = "MODE:RULES", conflicts_with_all = ["replay", "from"])]
    injected: Option<Injected>,
    /// Measure this kube-proxy in place of the sweep's real ones
    #[arg(long, value_name = "PATH", help_heading = "Real kube-proxy")]
    kube_proxy_binary: Option<PathBuf>,
    /// Whose kernel is measured [default: what the sweep says, else auto]
    #[arg(long, value_enum, help_heading = "Kernels")]
    kernel: Option<KernelChoice>,
    /// Kernel image of a guest [default: Debian's stock kernel, fetched into a cache folder]; several
    /// times: one lane each
    #[arg(long, value_name = "FILE", help_heading = "Kernels")]
    guest_kernel: Vec<PathBuf>,
    /// lib/modules/RELEASE of each guest kernel, in the same order
    #[arg(long, value_name = "DIR", requires = "guest_kernel", help_heading = "Kernels")]
    guest_modules: Vec<PathBuf>,
    /// What a guest's clock counts [default: what the sweep says, else wall if KVM boots a guest, else instructions]
    #[arg(long, value_name = "CLOCK", value_parser = clock, help_heading = "Kernels")]
    clock: Option<Clock>,
    /// Give up a guest that has said nothing for so many seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "600",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000),
        help_heading = "Kernels"
    )]
    guest_patience: u64,
    /// Measure the guest lanes' lookups twice, each from scratch, and fail if they differ
    #[arg(long, conflicts_with_all = ["resume", "dry_run"], help_heading = "Kernels")]
    repeat_check: bool,
}

fn clock(text: &str) -> Result<Clock, String> {
    let found = Clock::ALL.into_iter().find(|clock| clock.name() == text);
    found.ok_or_else(|| format!("clocks are: {}", Clock::ALL.map(Clock::name).join(", ")))
}

impl RunArgs {
    fn guests(&self, sweep: &Sweep) -> anyhow::Result<Guests> {
        let (images, modules) = (self.guest_kernel.len(), self.guest_modules.len());
        anyhow::ensure!(
            modules == 0 || modules == images,
            "{images} times --guest-kernel but {modules} times --guest-modules: give each kernel its own, or none"
        );
        let kernels = self.guest_kernel.iter().enumerate().map(|(index, image)| KernelPaths {
            image: image.clone(),
            modules: self.guest_modules.get(index).cloned(),
        });
        Ok(Guests {
            kernels: kernels.collect(),
            clock: self.clock.or(sweep.clock),
            patience: Duration::from_secs(self.guest_patience),
            pass: if self.repeat_check { Pass::First } else { Pass::Only },
        })
    }
}

/// Measures.
///
/// # Errors
/// Bad input, a machine that cannot run any cell, or results that cannot be written.
pub(crate) fn run(output: &Output, args: &RunArgs) -> anyhow::Result<Exit> {
    let name = args.sweep.as_deref().unwrap_or(if args.replay.is_some() { REPLAY } else { "default" });
    let (mut sweep, mut text) = Sweep::load(name)?;
    let kernel = args.kernel.or(sweep.kernel).unwrap_or_default();
    match &args.replay {
        Some(rules) => {
            anyhow::ensure!(
                kernel != KernelChoice::Guest,
                "a ruleset is replayed on this machine's own kernel; leave out --kernel guest"
            );
            let source = ReplaySource {
                rules: rules.clone(),
                sets: args.replay_sets.clone(),
                variant: args.replay_variant,
            };
            sweep = sweep.with_replay(Arc::new(Replay::read(&source)?));
        }
        None => {
            anyhow::ensure!(name != REPLAY, "sweep {REPLAY} measures a ruleset; give it with --replay FILE")
        }
    }
    if let Some(path) = &args.kube_proxy_binary {
        // Found also from another working directory, and the same in a resumed run.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        sweep = sweep
            .with_kube_proxy(&path)
            .map_err(|problem| anyhow::anyhow!("--kube-proxy-binary: {problem}"))?;
        text.push_str(&format!("\n# --kube-proxy-binary {}\n", path.display()));
    }
    if let Some(path) = &args.from {
        anyhow::ensure!(
            kernel != KernelChoice::Guest,
            "the Services of a cluster are measured on this machine's own kernel; leave out --kernel guest"
        );
        let Given { installed, note } = super::cluster::install(output, path, &args.node)?;
        sweep = sweep.over(installed).map_err(anyhow::Error::msg)?;
        text.push_str(&note);
    }
    if let Some(injected) = args.injected {
        sweep = sweep.with_injected(injected).map_err(|problem| anyhow::anyhow!("--inject: {problem}"))?;
    }
    if args.dry_run {
        return dry_run(output, &sweep, kernel);
    }
    let out = args.out.clone().unwrap_or_else(|| default_out(name));
    let mut options = Options {
        out: out.clone(),
        resume: args.resume,
        no_limit: args.no_limit,
        strict: args.strict.then(|| args.allow.clone()),
        kernel: if args.from.is_some() { KernelChoice::Host } else { kernel },
        guests: args.guests(&sweep)?,
    };
    if args.repeat_check {
        anyhow::ensure!(
            kernel != KernelChoice::Host && args.clock != Some(Clock::Wall),
            "--repeat-check is for guests in the instruction clock, where figures repeat: leave out --kernel host and \
             --clock wall"
        );
        options.kernel = KernelChoice::Guest;
        options.guests.clock = Some(Clock::Instructions);
    }
    let stop = Stop::on_signals()?;
    let mut progress = Progress::new(output.quiet, &sweep.question);
    let tally = run::run(&sweep, &text, &options, &stop, &mut |event| progress.tell(event));
    let mut tally = tally?;
    let repeat = match args.repeat_check && !tally.interrupted {
        true => Some(repeat(&sweep, &text, &options, &stop, &mut progress, &mut tally)?),
        false => None,
    };
    progress.finish();
    let report = results::report::write_report(&out)?;
    if output.json {
        let data = serde_json::json!({
            "out": out,
            "report": out.join("report.html"),
            "cells": { "done": tally.done, "skipped": tally.skipped, "failed": tally.failed },
            "interrupted": tally.interrupted,
            "repeats": repeat,
            "rows": { "ok": report.measured, "failed": report.failed, "skipped": report.skipped },
        });
        streams::result(format_args!("{data:#}"));
    } else {
        let Tally { done, skipped, failed, .. } = &tally;
        streams::tell(format_args!("{done} cells measured, {skipped} skipped, {failed} failed"));
        if tally.interrupted {
            streams::tell(format_args!("interrupted; go on with: {}", resume(&out)));
        }
        streams::result(out.join("report.html").display());
    }
    Ok(match tally {
        _ if tally.interrupted => Exit::Interrupted,
        _ if tally.failed > 0 || repeat == Some(false) => Exit::Failed,
        _ => Exit::Ok,
    })
}

/// The command that goes on with what this one has begun.
fn resume(out: &Path) -> String {
    let mut words: Vec<String> = std::env::args().collect();
    if let Some(program) = words.first_mut() {
        *program = "svcbench".into();
    }
    if !words.iter().any(|word| word == "-o" || word.starts_with("--out")) {
        words.extend(["--out".into(), out.display().to_string()]);
    }
    if !words.iter().any(|word| word == "--resume") {
        words.push("--resume".into());
    }
    words.join(" ")
}

/// Measures the guest lanes' lookups a second time, in guests booted anew, and says whether they are the same.
fn repeat(
    sweep: &Sweep,
    text: &str,
    options: &Options,
    stop: &Stop,
    progress: &mut Progress,
    tally: &mut Tally,
) -> anyhow::Result<bool> {
    let again = Options {
        out: options.out.join(REPEAT),
        kernel: KernelChoice::Guest,
        guests: Guests { pass: Pass::Again, ..options.guests.clone() },
        ..options.clone()
    };
    tally.add(run::run(sweep, text, &again, stop, &mut |event| progress.tell(event))?);
    if tally.interrupted {
        return Ok(false);
    }
    let verdict = compare(&Sample::read(&options.out)?, &Sample::read(&again.out)?)?;
    let table = verdict.to_string();
    std::fs::write(options.out.join("repeat.txt"), format!("{table}\n"))?;
    progress.finish();
    streams::tell(table);
    Ok(verdict.passes())
}

fn dry_run(output: &Output, sweep: &Sweep, kernel: KernelChoice) -> anyhow::Result<Exit> {
    let in_guest = (kernel == KernelChoice::Guest).then(|| sweep.in_guest());
    let sweep = in_guest.as_ref().unwrap_or(sweep);
    // What a guest's kernel offers is known when it has booted.
    let unable = if in_guest.is_some() { BTreeMap::new() } else { unable_in(sweep) };
    let mut cells = order::order(sweep);
    cells.retain(|cell| cell.block == 1 && !cell.again || !unable.contains_key(&cell.mode));
    let expected = duration::remaining(sweep, &cells, false, 0.0);
    let mut out = streams::data();
    if output.json {
        let list: Vec<_> = cells
            .iter()
            .map(|cell| {
                serde_json::json!({
                    "order": cell.order, "block": cell.block, "mode": cell.mode, "services": cell.scale.services,
                    "endpoints": cell.scale.endpoints, "workload": format!("{:?}", cell.workload),
                    "again": cell.again,
                    "skipped": unable.get(&cell.mode),
                })
            })
            .collect();
        let data = serde_json::json!({ "expected_seconds": expected.as_secs(), "cells": list });
        writeln!(out, "{data:#}")?;
        return Ok(Exit::Ok);
    }
    for cell in &cells {
        let note = unable.get(&cell.mode).map(|reason| format!("  skipped: {reason}")).unwrap_or_default();
        let again = if cell.again { "  again (A/A pair)" } else { "" };
        let (services, workload) = (cell.scale.services, format!("{:?}", cell.workload).to_lowercase());
        writeln!(
            out,
            "{:5}  block {}  {:15} {services:>7}  {workload}{again}{note}",
            cell.order, cell.block, cell.mode
        )?;
    }
    if !output.quiet {
        let expected = span(expected.max(Duration::from_secs(1)));
        streams::tell(format_args!("{} cells, about {expected}", cells.len()));
    }
    Ok(Exit::Ok)
}
