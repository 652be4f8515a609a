//! The figures of a load as JSON.

use serde_json::{Value, json};
use workloads::load::{Counts, Load, LoadOutcome, Pace, Sparse};
use workloads::recorder::Times;

/// All of an outcome: counts, rates, nanoseconds, and the series.
pub fn json(load: &Load, outcome: &LoadOutcome) -> Value {
    let offered = match load.pace {
        Pace::Closed { .. } => None,
        Pace::Open { per_second, .. } => Some(per_second.get()),
    };
    let mut all = counts(&outcome.counts);
    let rest = json!({
        "workload": load.workload.name(),
        "loop": if offered.is_some() { "open" } else { "closed" },
        "offered_per_second": offered,
        "threads": load.threads,
        "flows": load.flows,
        "seconds": outcome.elapsed.as_secs_f64(),
        "rate_per_second": outcome.per_second(),
        "bytes_per_second": outcome.bytes as f64 / outcome.elapsed.as_secs_f64().max(1e-9),
        "held_schedule": offered.map(|_| outcome.held_schedule()),
        "latest_start_ns": outcome.latest_ns,
        "first_fault": outcome.first_fault.map(|fault| fault.to_string()),
        "response_ns": times_json(&outcome.times.response),
        "service_ns": times_json(&outcome.times.service),
        "interval_seconds": outcome.intervals.length.as_secs_f64(),
        "series": outcome.intervals.list.iter().map(|interval| {
            let mut one = counts(&interval.counts);
            extend(&mut one, json!({
                "response_ns": sparse(&interval.response),
                "service_ns": sparse(&interval.service),
            }));
            one
        }).collect::<Vec<_>>(),
    });
    extend(&mut all, rest);
    all
}

fn extend(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

fn counts(counts: &Counts) -> Value {
    json!({
        "started": counts.started,
        "answered": counts.answered,
        "refused": counts.refused,
        "reset": counts.reset,
        "timed_out": counts.timed_out,
        "cancelled": counts.cancelled,
        "late": counts.late,
        "wrong_endpoint": counts.wrong_endpoint,
        "unreachable": counts.unreachable,
        "garbled": counts.garbled,
    })
}

/// Quantiles of times, nanoseconds; null if there are none.
pub fn times_json(times: &Times) -> Value {
    let histogram = times.histogram();
    if histogram.is_empty() {
        return Value::Null;
    }
    let at = |quantile| histogram.value_at_quantile(quantile);
    json!({
        "n": histogram.len(),
        "min": histogram.min(),
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p999": at(0.999),
        "max": histogram.max(),
        "mean": histogram.mean().round() as u64,
    })
}

fn sparse(times: &Sparse) -> Value {
    let at = |quantile| times.quantile(quantile);
    json!({ "n": times.count(), "p50": at(0.5), "p99": at(0.99), "max": times.max() })
}
