//! What all figures together mean.

use std::collections::BTreeSet;

use super::comparison::{Compared, ComparisonOutcome, Judgement};
use super::lanes::LanePair;
use super::policy::Policy;
use super::read::Run;
use crate::text::thousands;

/// Whether all runs say that they measured one and the same sweep.
pub(super) fn same_sweep(sides: [&[Run]; 2]) -> bool {
    let sweeps: BTreeSet<_> = sides.into_iter().flatten().map(|run| &run.sweep).collect();
    sweeps.len() == 1 && sweeps.iter().all(|sweep| sweep.is_some())
}

/// What the reader should know of both sides.
pub(super) fn notes(sides: [&[Run]; 2], same_sweep: bool) -> Vec<String> {
    let mut notes = Vec::new();
    for (name, runs) in ["BASE", "NEW"].into_iter().zip(sides) {
        let unfinished: Vec<_> =
            runs.iter().filter(|run| run.environment.elapsed_seconds.is_none()).collect();
        for run in unfinished {
            notes.push(format!("{name} ({}) did not finish: it is compared as far as it came", run.name));
        }
    }
    let runs = |side: &[Run]| BTreeSet::from_iter(side.iter().map(|run| run.environment.run.clone()));
    if runs(sides[0]).intersection(&runs(sides[1])).any(|run| !run.is_empty()) {
        notes.push("BASE and NEW have a run in common".to_owned());
    }
    match sides.map(<[Run]>::len) {
        [1, 1] => {}
        [1, many] | [many, 1] => notes.push(format!(
            "{many} runs on one side and one on the other: their blocks are compared, and how runs differ among \
             themselves is in no interval"
        )),
        [base, new] => notes.push(format!("{base} runs against {new}: each run is one value")),
    }
    if !same_sweep {
        notes.push("the sweeps are not the same: only figures that both have are compared".to_owned());
    }
    notes
}

/// Metrics that should decide and have no row.
pub(super) fn unmeasured(figures: &[Compared], policy: &Policy) -> Vec<String> {
    let measured: BTreeSet<&str> = figures.iter().map(|figure| figure.figure.metric.as_str()).collect();
    let named = policy.named().into_iter().flatten();
    named.filter(|metric| !measured.contains(metric.as_str())).cloned().collect()
}

/// What all figures together mean.
pub(super) fn outcome(figures: &[Compared], lanes: &[LanePair], unmeasured: bool) -> ComparisonOutcome {
    let deciding = || figures.iter().filter(|figure| figure.decisive);
    if deciding().any(|figure| figure.verdict == Judgement::Worse) {
        ComparisonOutcome::Regression
    } else if lanes.iter().any(|lane| !lane.refused.is_empty())
        || deciding().all(|figure| figure.difference.is_none())
    {
        ComparisonOutcome::NotComparable
    } else if unmeasured || deciding().any(|figure| figure.inconclusive) {
        ComparisonOutcome::Inconclusive
    } else {
        ComparisonOutcome::Ok
    }
}

/// The same in one line.
pub(super) fn summary(
    outcome: ComparisonOutcome,
    figures: &[Compared],
    lanes: &[LanePair],
    unmeasured: &[String],
) -> String {
    let deciding: Vec<_> = figures.iter().filter(|figure| figure.decisive).collect();
    let count = |verdict| deciding.iter().filter(|figure| figure.verdict == verdict).count();
    let inconclusive = deciding.iter().filter(|figure| figure.inconclusive).count() + unmeasured.len();
    let refused = lanes.iter().filter(|lane| !lane.refused.is_empty()).count();
    let deciding_in_words = match deciding.len() {
        1 => "1 deciding figure".to_owned(),
        many => format!("{} deciding figures", thousands(many as u64)),
    };
    let better = match count(Judgement::Better) {
        0 => String::new(),
        better => format!("; {} better", thousands(better as u64)),
    };
    match outcome {
        ComparisonOutcome::Regression => {
            let worse = thousands(count(Judgement::Worse) as u64);
            format!("REGRESSION: worse: {worse} of {deciding_in_words}{better}")
        }
        ComparisonOutcome::NotComparable if refused > 0 => {
            let lanes = if refused == 1 { "1 lane".to_owned() } else { format!("{refused} lanes") };
            format!("NOT COMPARABLE: {lanes} refused, as the runs were not measured alike")
        }
        ComparisonOutcome::NotComparable => {
            "NOT COMPARABLE: no deciding figure has blocks enough on both sides".to_owned()
        }
        ComparisonOutcome::Inconclusive => format!(
            "INCONCLUSIVE: none of {deciding_in_words} is worse, but {} could have gone unseen or are lost{better}",
            thousands(inconclusive as u64)
        ),
        ComparisonOutcome::Ok => format!("OK: none of {deciding_in_words} is worse{better}"),
    }
}
