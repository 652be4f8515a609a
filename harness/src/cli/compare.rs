//! `svcbench compare`: which figures of one run are better or worse than another's.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, ValueEnum};
use results::compare::{self, Better, Comparison, ComparisonOutcome, Policy, Run, comparability, read_side};
use results::names::current_mode;
use svcbench::sweep::{self, Saved};

use super::exit::Exit;
use super::output::Output;
use super::streams;

/// Flags of `svcbench compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "A difference is claimed if its 95% interval excludes zero, its p value, corrected for all figures that \
    decide (Holm), is below 5%, and it is larger than the threshold and than the A/A differences of both runs. What decides, and \
    from which threshold on, may stand in the sweep's [compare] (that of NEW); flags come before it. Accepted differences are \
    named as in environment.json.\n\n\
    Exit codes:\n  \
    0    no figure that decides is worse, and each could have shown it\n  \
    2    bad input\n  \
    3    regression: a figure that decides is worse\n  \
    4    inconclusive: none is worse, but some could not have shown a difference as large as their threshold, or have no figure in NEW\n  \
    5    not comparable: runs that were not measured alike, or no figure with blocks enough"
)]
pub(crate) struct CompareArgs {
    /// Folder of the run to compare with; or of several runs, a folder each, of which each is then one value
    base: PathBuf,
    /// Folder of the run, or runs, in question
    new: PathBuf,
    /// Smaller differences are not claimed: percent, up or down [default: 5%]
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    threshold: Option<f64>,
    /// The same for one metric; repeatable
    #[arg(long, value_name = "METRIC=PERCENT", value_parser = metric_percent)]
    threshold_for: Vec<(String, f64)>,
    /// Compare runs although they differ in this; repeatable
    #[arg(long, value_name = "FIELD", value_parser = fields())]
    accept: Vec<String>,
    /// Look at this metric only, and let it decide; repeatable
    #[arg(long, short = 'M', value_name = "METRIC")]
    metric: Vec<String>,
    /// Look at this mode only; repeatable
    #[arg(long, short, value_name = "MODE", value_parser = mode_name)]
    mode: Vec<String>,
    /// What to print
    #[arg(long, short, value_enum, default_value_t)]
    format: Format,
    /// Print it into a file; the outcome goes to standard error
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Leave no figure out
    #[arg(long)]
    all: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for a terminal
    #[default]
    Text,
    /// Everything, for machines
    Json,
    /// JUnit XML: a test case for each figure
    Junit,
    /// GitHub-flavoured Markdown, for $GITHUB_STEP_SUMMARY
    Markdown,
    /// Times, bytes and counts of NEW, for github-action-benchmark's tool customSmallerIsBetter
    GithubActionBenchmark,
    /// Rates of NEW, for its tool customBiggerIsBetter
    GithubActionBenchmarkBigger,
    /// Figures of NEW, in Bencher Metric Format (`bencher run --adapter json`)
    Bencher,
}

/// The fields of `--accept`, which old names stand for too.
fn fields() -> PossibleValuesParser {
    let old = |field| {
        comparability::OLD_FIELDS.into_iter().filter(move |(_, new)| *new == field).map(|(old, _)| old)
    };
    PossibleValuesParser::new(
        comparability::FIELDS.map(|field| PossibleValue::new(field).aliases(old(field))),
    )
}

/// A mode, by its name of today or of before.
fn mode_name(text: &str) -> Result<String, Infallible> {
    Ok(current_mode(text).to_owned())
}

/// `5%` or `5`.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    let percent =
        number.parse().map_err(|_| format!("{text:?} is no percentage: expected, for example, 5%"))?;
    sweep::check_threshold(percent)
}

fn metric_percent(text: &str) -> Result<(String, f64), String> {
    let (metric, threshold) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?}: expected METRIC=PERCENT, for example apply=3%"))?;
    Ok((metric.to_owned(), percent(threshold)?))
}

/// Compares.
///
/// # Errors
/// If a side cannot be read, or a flag names what no row has.
pub(crate) fn run(output: &Output, args: &CompareArgs) -> anyhow::Result<Exit> {
    let (base, base_rules) = read(&args.base)?;
    let (new, new_rules) = read(&args.new)?;
    check_names("metric", &args.metric, &compare::metrics([&base, &new]))?;
    let thresholds: Vec<String> = args.threshold_for.iter().map(|(metric, _)| metric.clone()).collect();
    check_names("metric", &thresholds, &compare::metrics([&base, &new]))?;
    check_names("mode", &args.mode, &compare::modes([&base, &new]))?;
    let mut comparison = compare::compare(&base, &new, &policy(args, &new_rules));
    if base_rules != new_rules {
        comparison.notes.push("the sweeps have different [compare] sections: that of NEW counts".to_owned());
    }
    let format = if output.json { Format::Json } else { args.format };
    let text = render(&comparison, format, args.all)?;
    match &args.out {
        Some(path) => {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
            if !output.quiet {
                streams::tell(&comparison.summary);
            }
        }
        // What it ends with is the answer, whoever has read enough.
        None => streams::unless_unread(streams::data().write_all(text.as_bytes()))?,
    }
    Ok(match comparison.outcome {
        ComparisonOutcome::Ok => Exit::Ok,
        ComparisonOutcome::Regression => Exit::Regression,
        ComparisonOutcome::Inconclusive => Exit::Inconclusive,
        ComparisonOutcome::NotComparable => Exit::NotComparable,
    })
}

/// The runs of a side, with what their sweeps install, and the rules of the first's sweep.
fn read(path: &Path) -> anyhow::Result<(Vec<Run>, sweep::Compare)> {
    let mut runs = read_side(path)?;
    let mut rules: Option<sweep::Compare> = None;
    for run in &mut runs {
        let name = Path::new(&run.name).join(svcbench::lane::SWEEP);
        let saved = Saved::parse(&name.to_string_lossy(), run.sweep.as_deref().unwrap_or_default())?;
        run.setup = saved.setup;
        run.setup.extend(
            lab::replay::note::digest(Path::new(&run.name))?.map(|digest| ("replay".to_owned(), digest)),
        );
        let rules = rules.get_or_insert_with(|| saved.compare.clone());
        anyhow::ensure!(
            *rules == saved.compare,
            "{}: the runs in this folder have different [compare] sections in their sweeps; make them the same",
            path.display()
        );
    }
    Ok((runs, rules.unwrap_or_default()))
}

fn policy(args: &CompareArgs, rules: &sweep::Compare) -> Policy {
    let mut policy = rules.policy();
    if let Some(threshold) = args.threshold {
        // A flag for all is for all.
        policy.threshold = threshold;
        policy.thresholds = BTreeMap::new();
    }
    policy.thresholds.extend(args.threshold_for.iter().cloned());
    policy.only_metrics = args.metric.iter().cloned().collect();
    policy.only_modes = args.mode.iter().cloned().collect();
    policy.accept = args.accept.iter().cloned().collect();
    policy
}

fn check_names(what: &str, names: &[String], known: &BTreeSet<&str>) -> anyhow::Result<()> {
    for name in names {
        anyhow::ensure!(
            known.contains(name.as_str()),
            "no row of either side has the {what} {name:?}; they have: {}",
            Vec::from_iter(known.iter().copied()).join(", ")
        );
    }
    Ok(())
}

fn render(comparison: &Comparison, format: Format, all: bool) -> anyhow::Result<String> {
    Ok(match format {
        Format::Text => compare::text(comparison, all),
        Format::Json => serde_json::to_string_pretty(comparison)? + "\n",
        Format::Junit => compare::junit(comparison),
        Format::Markdown => compare::markdown(comparison, all),
        Format::GithubActionBenchmark => compare::github_action_benchmark(comparison, Better::Smaller),
        Format::GithubActionBenchmarkBigger => compare::github_action_benchmark(comparison, Better::Bigger),
        Format::Bencher => compare::bencher(comparison),
    })
}
