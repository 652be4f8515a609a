//! What a person reads of a load.

use std::io::Write;

use results::text::Quantity;
use serde_json::{Value, json};
use workloads::load::{Bound, Counts, Highest, Load, LoadOutcome, Pace, Trial, Workload};
use workloads::recorder::Times;

fn duration(nanoseconds: u64) -> String {
    Quantity::Duration.show(nanoseconds as f64)
}

fn rate(per_second: f64) -> String {
    Quantity::Rate.show(per_second)
}

/// Counts, rates and times.
pub(super) fn outcome(load: &Load, outcome: &LoadOutcome, out: &mut impl Write) -> std::io::Result<()> {
    let counts = &outcome.counts;
    let seconds = outcome.elapsed.as_secs_f64();
    let pace = match load.pace {
        Pace::Closed { .. } => "closed loop".to_owned(),
        Pace::Open { per_second, .. } => format!("open loop at {}", rate(per_second.get() as f64)),
    };
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    writeln!(
        out,
        "{}, {pace}, {}, {}, {seconds:.1} s",
        load.workload,
        plural(load.threads.get() as usize, "thread"),
        plural(load.flows.get(), "flow")
    )?;
    writeln!(out, "{}", accounts(counts))?;
    writeln!(out, "answered    {}", rate(outcome.per_second()))?;
    if load.workload == Workload::TcpStream {
        let bytes = outcome.bytes as f64 / seconds.max(1e-9);
        writeln!(out, "throughput  {}/s", Quantity::Bytes.show(bytes))?;
    }
    writeln!(out, "{:12}{:>10}{:>10}{:>10}{:>10}{:>10}", "", "p50", "p90", "p99", "p99.9", "max")?;
    for (name, times) in [("response", &outcome.times.response), ("service", &outcome.times.service)] {
        writeln!(out, "{name:12}{}", quantiles(times))?;
    }
    Ok(())
}

/// Syncs beside the load, if there were any.
pub(super) fn syncs(syncs: &Times, out: &mut impl Write) -> std::io::Result<()> {
    match syncs.count() {
        0 => Ok(()),
        count => writeln!(out, "{:12}{}  of {count}", "syncs", quantiles(syncs)),
    }
}

/// `1000 started = 990 answered + 10 refused`
fn accounts(counts: &Counts) -> String {
    let parts: Vec<String> = [
        (counts.answered, "answered"),
        (counts.refused, "refused"),
        (counts.reset, "reset"),
        (counts.timed_out, "timed out"),
        (counts.cancelled, "cancelled"),
    ]
    .iter()
    .filter(|(count, name)| *count > 0 || *name == "answered")
    .map(|(count, name)| format!("{count} {name}"))
    .collect();
    let mut text = format!("{} started = {}", counts.started, parts.join(" + "));
    for (count, what) in [
        (counts.wrong_endpoint, "by somebody who is no endpoint"),
        (counts.late, "late: begun more than 1 ms after they were due"),
    ] {
        if count > 0 {
            text.push_str(&format!("; {count} {what}"));
        }
    }
    text
}

fn quantiles(times: &Times) -> String {
    let histogram = times.histogram();
    if histogram.is_empty() {
        return format!("{:>10}", "none");
    }
    let quantiles = [0.5, 0.9, 0.99, 0.999].map(|quantile| histogram.value_at_quantile(quantile));
    quantiles.into_iter().chain([histogram.max()]).map(|value| format!("{:>10}", duration(value))).collect()
}

/// What makes the figures unreliable.
pub(super) fn warnings(load: &Load, outcome: &LoadOutcome) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(fault) = outcome.first_fault {
        warnings.push(format!("the first fault: {fault}"));
    }
    if matches!(load.pace, Pace::Open { .. }) && !outcome.held_schedule() {
        warnings.push(format!(
            "the client did not hold its schedule: {:.2}% of requests began more than 1 ms late, the latest by {}; lower the \
             rate, or give more --threads or --flows",
            outcome.late_share() * 100.0,
            duration(outcome.latest_ns)
        ));
    }
    warnings
}

/// One step of a search.
pub(super) fn trial(trial: &Trial, bound: &Bound) -> String {
    let verdict = if trial.keeps(bound) { "within" } else { "beyond" };
    let late = if trial.held_schedule { "" } else { "; the client did not hold its schedule" };
    let lost = match trial.lost_share {
        share if share > 0.0 => format!(", {:.2}% lost", share * 100.0),
        _ => String::new(),
    };
    format!(
        "{:>12}  p99 {:>8}{lost}  {verdict} the bound{late}",
        rate(trial.per_second.get() as f64),
        duration(trial.p99_ns)
    )
}

/// What a search has found.
pub(super) fn search(
    workload: Workload,
    bound: &Bound,
    found: &Highest,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let limit = duration(bound.p99_ns);
    match (&found.kept, &found.broken) {
        (Some(kept), Some(broken)) => {
            writeln!(
                out,
                "{workload}: {} with a p99 of {}; {} breaks the bound of {limit}",
                rate(kept.per_second.get() as f64),
                duration(kept.p99_ns),
                rate(broken.per_second.get() as f64)
            )?;
            if !broken.held_schedule {
                writeln!(
                    out,
                    "there the client itself was late, so that it may be the limit: try more --threads"
                )?;
            }
            Ok(())
        }
        (Some(kept), None) => {
            writeln!(
                out,
                "{workload}: at least {}, where the search ends",
                rate(kept.per_second.get() as f64)
            )
        }
        (None, _) => writeln!(out, "{workload}: not even the lowest rate keeps p99 within {limit}"),
    }
}

/// The same as data.
pub(super) fn search_json(workload: Workload, bound: &Bound, found: &Highest) -> Value {
    let of = |trial: &Trial| {
        json!({
            "rate_per_second": trial.per_second,
            "p99_ns": trial.p99_ns,
            "lost_share": trial.lost_share,
            "held_schedule": trial.held_schedule,
            "within_bound": trial.keeps(bound),
        })
    };
    json!({
        "workload": workload.name(),
        "bound": { "p99_ns": bound.p99_ns, "lost_share": bound.lost_share },
        "highest": found.kept.as_ref().map(of),
        "broken": found.broken.as_ref().map(of),
        "trials": found.trials.iter().map(of).collect::<Vec<_>>(),
    })
}
