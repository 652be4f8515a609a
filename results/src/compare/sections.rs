//! What text and Markdown have in common: sections of figures, and their cells in words.

use std::collections::{BTreeMap, BTreeSet};

use super::comparison::{Compared, Comparison, Judgement};
use crate::stats::Interval;
use crate::text::thousands;

/// Rows of what is worse or better before the rest is only counted.
const MOST_ROWS: usize = 15;
/// Rows of other sections.
const FEW_ROWS: usize = 5;
/// Reasons listed before the rest is only counted.
const MOST_REASONS: usize = 5;

/// Figures of which the same is said.
pub(super) struct Section<'a> {
    pub title: String,
    pub rows: Vec<Vec<String>>,
    /// What [`Section::rows`] leaves out.
    pub more: usize,
    /// Reasons of its figures and how many have them, if the rows do not name them.
    pub reasons: Vec<ReasonCount<'a>>,
}

/// One reason, for however many figures.
pub(super) struct ReasonCount<'a> {
    pub why: &'a str,
    pub figures: usize,
    pub modes: BTreeSet<&'a str>,
}

impl ReasonCount<'_> {
    /// `12 figures of ipvs`.
    pub(super) fn whose(&self) -> String {
        let modes = Vec::from_iter(self.modes.iter().copied()).join(", ");
        match self.figures {
            1 => format!("1 figure of {modes}"),
            many => format!("{} figures of {modes}", thousands(many as u64)),
        }
    }
}

/// How tables are made for one comparison.
pub(super) struct ComparisonTables<'a> {
    comparison: &'a Comparison,
    /// Metrics that one workload alone has: they need no other name.
    own: BTreeSet<&'a str>,
    all: bool,
}

impl<'a> ComparisonTables<'a> {
    /// `all`: leave no row out.
    pub(super) fn new(comparison: &'a Comparison, all: bool) -> Self {
        let mut workloads: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for Compared { figure, .. } in &comparison.figures {
            workloads.entry(&figure.metric).or_default().insert(&figure.workload);
        }
        let own =
            workloads.into_iter().filter(|(_, workloads)| workloads.len() == 1).map(|(metric, _)| metric);
        ComparisonTables { comparison, own: own.collect(), all }
    }

    fn several_lanes(&self) -> bool {
        self.comparison.lanes.len() > 1
    }

    /// Whether any row is of a real kube-proxy.
    fn has_systems(&self) -> bool {
        self.comparison.figures.iter().any(|compared| !compared.figure.system.is_empty())
    }

    /// Names of the columns, and whether each holds figures.
    pub(super) fn columns(&self) -> Vec<(&'static str, bool)> {
        let mut columns = if self.several_lanes() { vec![("lane", true)] } else { Vec::new() };
        columns.extend([("figure", false), ("mode", false)]);
        if self.has_systems() {
            columns.push(("system", false));
        }
        columns.extend([
            ("Services", true),
            ("at", false),
            ("BASE", true),
            ("NEW", true),
            ("difference", true),
            ("could show", true),
            ("n", true),
        ]);
        columns
    }

    fn row(&self, compared: &Compared) -> Vec<String> {
        let figure = &compared.figure;
        let mut row = if self.several_lanes() { vec![(figure.lane + 1).to_string()] } else { Vec::new() };
        let metric = figure.metric.as_str();
        row.push(if self.own.contains(metric) {
            metric.to_owned()
        } else {
            format!("{}: {metric}", figure.workload)
        });
        row.push(figure.mode.clone());
        if self.has_systems() {
            row.push(figure.system.clone());
        }
        row.push(format!("{} x {}", thousands(figure.services), thousands(figure.endpoints)));
        row.push(match (figure.position.as_str(), figure.contenders) {
            ("", 0) => String::new(),
            ("", contenders) => format!("{contenders} contending"),
            (position, _) => position.to_owned(),
        });
        let sides = [compared.base, compared.new];
        let show = |median: f64| figure.quantity().show(median);
        row.extend(sides.map(|side| side.map_or_else(|| "—".to_owned(), |side| show(side.median))));
        row.push(difference(compared));
        let could = compared.difference.and_then(|shown| shown.detectable_percent);
        row.push(could.map_or_else(String::new, percent));
        let n = sides.map(|side| side.map_or(0, |side| side.blocks).to_string());
        row.push(n.join("+"));
        row
    }

    fn section(
        &self,
        title: &str,
        listed: usize,
        reasons: bool,
        of: impl Fn(&Compared) -> bool,
    ) -> Option<Section<'a>> {
        let figures: Vec<&'a Compared> = self.comparison.figures.iter().filter(|figure| of(figure)).collect();
        if figures.is_empty() {
            return None;
        }
        let shown = if self.all { figures.len() } else { figures.len().min(listed) };
        Some(Section {
            title: format!("{title}: {}", thousands(figures.len() as u64)),
            rows: figures.iter().take(shown).map(|figure| self.row(figure)).collect(),
            more: if listed > 0 { figures.len() - shown } else { 0 },
            reasons: if reasons { self.reasons(&figures) } else { Vec::new() },
        })
    }

    fn reasons(&self, figures: &[&'a Compared]) -> Vec<ReasonCount<'a>> {
        let mut by_reason: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
        for figure in figures.iter().filter(|figure| !figure.why.is_empty()) {
            let (count, modes) = by_reason.entry(&figure.why).or_default();
            *count += 1;
            modes.insert(&figure.figure.mode);
        }
        let reason = |(why, (figures, modes))| ReasonCount { why, figures, modes };
        let mut reasons: Vec<_> = by_reason.into_iter().map(reason).collect();
        reasons.sort_by(|a, b| b.figures.cmp(&a.figures).then(a.why.cmp(b.why)));
        reasons
    }

    /// All sections that have figures, what matters most first. What was not shown to differ is only counted.
    pub(super) fn sections(&self) -> Vec<Section<'a>> {
        let verdict = |verdict, decisive| {
            move |figure: &Compared| {
                figure.verdict == verdict && figure.decisive == decisive && !figure.inconclusive
            }
        };
        [
            self.section("Worse", MOST_ROWS, false, verdict(Judgement::Worse, true)),
            self.section("Could have gone unseen, or lost", FEW_ROWS, true, |figure| figure.inconclusive),
            self.section("Better", MOST_ROWS, false, verdict(Judgement::Better, true)),
            self.section("Worse, but not deciding", FEW_ROWS, false, verdict(Judgement::Worse, false)),
            self.section("Better, not deciding", FEW_ROWS, false, verdict(Judgement::Better, false)),
            self.section("Changed exact counts", FEW_ROWS, false, |figure| {
                figure.verdict == Judgement::Changed
            }),
            self.section("No difference shown", 0, false, verdict(Judgement::NoDifference, true)),
            self.section(
                "No difference shown, not deciding",
                0,
                false,
                verdict(Judgement::NoDifference, false),
            ),
            self.section("Not comparable", 0, true, |figure| {
                figure.verdict == Judgement::NotComparable && !figure.inconclusive
            }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The reasons to show, and how many are left out.
    pub(super) fn shown_reasons<'s>(&self, section: &'s Section<'a>) -> (&'s [ReasonCount<'a>], usize) {
        let shown = if self.all { section.reasons.len() } else { section.reasons.len().min(MOST_REASONS) };
        (&section.reasons[..shown], section.reasons.len() - shown)
    }

    /// What the figures that decide, and were not shown to differ, could have shown: a sentence, or nothing.
    pub(super) fn power(&self) -> Option<String> {
        let mut could: Vec<f64> = self
            .comparison
            .figures
            .iter()
            .filter(|figure| figure.decisive && figure.verdict == Judgement::NoDifference)
            .filter_map(|figure| figure.difference?.detectable_percent)
            .collect();
        could.sort_unstable_by(f64::total_cmp);
        let (middle, last) = (*could.get(could.len() / 2)?, *could.last()?);
        Some(format!(
            "Smallest difference that would have been shown four times of five: {} for the median figure, {} for the noisiest.",
            percent(middle),
            percent(last)
        ))
    }

    /// The A/A floors of what decides, or else of everything, one for each metric; or that there are none.
    pub(super) fn floors(&self) -> String {
        let mut floors: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        let figures = &self.comparison.figures;
        let any_decides = figures.iter().any(|figure| figure.decisive && figure.floor_percent.is_some());
        for figure in figures.iter().filter(|figure| figure.decisive || !any_decides) {
            if let Some(floor) = figure.floor_percent {
                let largest = floors.entry((&figure.figure.metric, &figure.figure.workload)).or_default();
                *largest = largest.max(floor);
            }
        }
        if floors.is_empty() {
            return "No A/A pairs in these runs: no false-alarm floor.".to_owned();
        }
        let name = |(metric, workload): (&str, &str)| {
            if self.own.contains(metric) { metric.to_owned() } else { format!("{workload}: {metric}") }
        };
        let parts: Vec<_> =
            floors.into_iter().map(|(key, floor)| format!("{} {}", name(key), percent(floor))).collect();
        format!("False-alarm floor from A/A pairs: {}.", parts.join("; "))
    }
}

/// `+10.2% [9.8, 10.6]`, or what stands in its place.
pub(super) fn difference(compared: &Compared) -> String {
    let Some(shown) = compared.difference else {
        return match compared.verdict {
            Judgement::NoDifference => "the same".to_owned(),
            _ => String::new(),
        };
    };
    let Some(value) = shown.percent else { return "not a share: BASE is 0".to_owned() };
    let sign = if value > 0.0 { "+" } else { "" };
    match shown.interval_percent {
        Some(Interval { low, high }) if low < high => {
            // Two digits of the interval's width, and not more than two decimals.
            let decimals = (1.0 - (high - low).log10().floor()).clamp(0.0, 2.0) as usize;
            let show = |value| signed(value, decimals);
            format!("{sign}{}% [{}, {}]", show(value), show(low), show(high))
        }
        _ if value == 0.0 => "0%, exactly".to_owned(),
        _ => format!("{sign}{}%, exactly", signed(value, 2)),
    }
}

/// A number with a proper minus, and none before a zero.
fn signed(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let sign =
        if value < 0.0 && text.contains(|digit: char| ('1'..='9').contains(&digit)) { "−" } else { "" };
    format!("{sign}{text}")
}

/// Percent to two significant digits: `2.1%`, `0.34%`, `130%`.
fn percent(value: f64) -> String {
    let decimals = match value {
        size if size >= 9.95 || size == 0.0 => 0,
        size if size >= 0.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_have_the_digits_they_deserve() {
        assert_eq!(
            [0.0, 0.1, 0.994, 2.14, 9.96, 130.4].map(percent),
            ["0%", "0.10%", "0.99%", "2.1%", "10%", "130%"]
        );
        assert_eq!([-0.001, -1.25, 3.0].map(|value| signed(value, 1)), ["0.0", "−1.2", "3.0"]);
    }
}
