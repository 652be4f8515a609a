//! NEW's figures in the formats of services that keep trends.

use std::collections::BTreeMap;

use serde::Serialize;

use super::comparison::{Compared, Comparison};
use super::direction::{self, Direction};
use super::sections::difference;
use crate::record::{Clock, Unit};
use crate::text::{printable, shorten};

/// Longest name that Bencher takes for a benchmark.
const BENCHMARK: usize = 1_024;
/// Longest name that Bencher takes for a measure.
const MEASURE: usize = 64;

/// Which figures: the tools of github-action-benchmark know one direction each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// `customSmallerIsBetter`: times, bytes, counts.
    Smaller,
    /// `customBiggerIsBetter`: rates.
    Bigger,
}

#[derive(Serialize)]
struct BenchmarkEntry {
    name: String,
    unit: &'static str,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    extra: String,
}

/// The figures of NEW as github-action-benchmark's custom tools read them (its README, "Custom benchmarks"): a list of name,
/// unit, value, range and extra. Values are plain numbers: nanoseconds or instructions, bytes, counts, per second.
pub fn github_action_benchmark(comparison: &Comparison, better: Better) -> String {
    let entries: Vec<BenchmarkEntry> = comparison
        .figures
        .iter()
        .filter(|compared| has_trend(compared) && (better == Better::Bigger) == is_rate(compared))
        .filter_map(|compared| {
            let measured = compared.new?;
            let range =
                measured.interval.map(|interval| format!("{:.1} to {:.1}", interval.low, interval.high));
            let mut extra = format!("{}, {} blocks", compared.verdict.in_words(), measured.blocks);
            for part in [difference(compared), compared.why.clone()] {
                if !part.is_empty() {
                    extra += &format!("; {part}");
                }
            }
            let name = name(comparison, compared, &compared.figure.metric);
            Some(BenchmarkEntry {
                name,
                unit: unit(compared),
                value: measured.median,
                range,
                extra: printable(&extra),
            })
        })
        .collect();
    json(&entries)
}

#[derive(Serialize)]
struct Metric {
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lower_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upper_value: Option<f64>,
}

/// The figures of NEW in Bencher Metric Format (bencher.dev, "Bencher Metric Format"): benchmarks by name, in each its
/// measures, with the 95% interval as lower and upper value. A measure is a metric; instructions have their own, since a
/// measure has one unit.
pub fn bencher(comparison: &Comparison) -> String {
    let mut benchmarks: BTreeMap<String, BTreeMap<String, Metric>> = BTreeMap::new();
    for compared in comparison.figures.iter().filter(|compared| has_trend(compared)) {
        let Some(measured) = compared.new else { continue };
        let name = shorten(&name(comparison, compared, ""), BENCHMARK);
        let instructions = compared.figure.clock == Clock::Instructions && compared.figure.unit == Unit::Ns;
        let suffix = if instructions { "-instructions" } else { "" };
        let measure = shorten(&format!("{}{suffix}", compared.figure.metric.replace('_', "-")), MEASURE);
        let metric = Metric {
            value: measured.median,
            lower_value: measured.interval.map(|interval| interval.low),
            upper_value: measured.interval.map(|interval| interval.high),
        };
        benchmarks.entry(name).or_default().insert(printable(&measure), metric);
    }
    json(&benchmarks)
}

fn is_rate(compared: &Compared) -> bool {
    direction::of(&compared.figure.metric, compared.figure.unit) == Direction::Higher
}

/// Whether more or less of it is better: services that keep trends alert on either.
fn has_trend(compared: &Compared) -> bool {
    direction::of(&compared.figure.metric, compared.figure.unit) != Direction::Neither
}

fn unit(compared: &Compared) -> &'static str {
    match (compared.figure.unit, compared.figure.clock) {
        (Unit::Ns, Clock::Wall) => "ns",
        (Unit::Ns, Clock::Instructions) => "instructions",
        (Unit::Count, _) => "count",
        (Unit::Bytes, _) if is_rate(compared) => "B/s",
        (Unit::Bytes, _) => "B",
        (Unit::PerSecond, Clock::Wall) => "1/s",
        (Unit::PerSecond, Clock::Instructions) => "per 10^9 instructions",
    }
}

/// A name that is this figure's alone, the same in every run: the lane by its clock, and by its number where lanes share one.
fn name(comparison: &Comparison, compared: &Compared, metric: &str) -> String {
    let figure = &compared.figure;
    let same_clock = || comparison.lanes.iter().enumerate().filter(|(_, lane)| lane.clock == figure.clock);
    let mut parts = vec![figure.clock.name().to_owned()];
    if same_clock().count() > 1 {
        let number = same_clock().position(|(index, _)| index == figure.lane).unwrap_or(0) + 1;
        parts.push(number.to_string());
    }
    parts.extend([&figure.workload, metric, &figure.mode].map(str::to_owned));
    parts.push(format!("{}x{}", figure.services, figure.endpoints));
    parts.push(figure.position.clone());
    if figure.contenders > 0 {
        parts.push(format!("{} contending", figure.contenders));
    }
    parts.retain(|part| !part.is_empty());
    printable(&parts.join("/"))
}

fn json(value: &impl Serialize) -> String {
    // Only maps with keys that are no strings, and they have none, cannot be written.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
