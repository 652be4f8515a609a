//! A history for a terminal and for Markdown.

use super::key::{Quantile, SeriesKey, Worse};
use super::series::{Change, History, Series};
use crate::claims::percent;
use crate::stats::Interval;
use crate::text::{Quantity, escape_markdown, printable, shorten, thousands};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Runs that a sparkline shows, the newest last.
const MOST_BARS: usize = 40;

impl History {
    /// How the figures of a series are shown.
    pub(super) fn quantity(&self, series: &Series) -> Quantity {
        let clock = self.machines.get(series.machine).map_or_else(Default::default, |machine| machine.clock);
        Quantity::of(series.figure.unit, clock)
    }

    /// `+12% [10, 14], worse`.
    pub(super) fn size(&self, series: &Series, change: &Change) -> String {
        let Some(share) = change.share else {
            let quantity = self.quantity(series);
            return format!("{} → {}", quantity.show(change.before), quantity.show(change.after));
        };
        let interval = change.interval.map(|(low, high)| Interval { low, high });
        let way = match (series.figure.worse(), share > 0.0) {
            (None, _) => "",
            (Some(Worse::Up), true) | (Some(Worse::Down), false) => ", worse",
            (Some(Worse::Up), false) | (Some(Worse::Down), true) => ", better",
        };
        format!("{}{way}", percent(share, interval))
    }

    /// `run-12 (2026-02-03)`.
    pub(super) fn run(&self, series: &Series, at: usize) -> String {
        let run = series.points.get(at).and_then(|point| self.runs.get(point.run));
        run.map_or_else(String::new, |run| {
            let date: String = run.started.chars().take_while(|c| *c != 'T').collect();
            format!("{} ({date})", shorten(&printable(&run.name), 40))
        })
    }

    /// `+12% [10, 14], worse at run-12 (2026-02-03), p 0.001; kernel 6.18.44 → 6.18.45`.
    pub(super) fn sentence(&self, series: &Series, change: &Change) -> String {
        let events: String = change.events.iter().map(|event| format!("; {}", shorten(event, 120))).collect();
        format!(
            "{} at {}, p {:.3}{events}",
            self.size(series, change),
            self.run(series, change.at),
            change.p_value
        )
    }

    /// How many series were looked at, and what that means for changes that are none.
    pub(super) fn remark(&self) -> String {
        let enough = self.series.iter().filter(|one| one.points.len() >= self.least_series).count();
        let level = self.level * 100.0;
        let mut text = format!(
            "{} figures over {}. Changes are marked at {level}%: so many of the figures in which nothing changed are marked all the \
             same, {:.2} of {} here. A change has three runs on each side at least; one of the newest runs may still be unseen.",
            thousands(self.series.len() as u64),
            runs(self.runs.len()),
            enough as f64 * self.level,
            thousands(enough as u64)
        );
        if enough < self.series.len() {
            text += &format!(
                " {} figures have fewer than {} runs of one machine and clock, which cannot show a change at {level}%.",
                thousands((self.series.len() - enough) as u64),
                self.least_series
            );
        }
        text
    }
}

fn runs(count: usize) -> String {
    if count == 1 { "1 run".to_owned() } else { format!("{} runs", thousands(count as u64)) }
}

impl SeriesKey {
    /// `packet_probe lookup_first_packet p50, nftables, last of 10,000 × 10`.
    pub fn label(&self) -> String {
        let field = match self.field {
            Quantile::P50 => "p50",
            Quantile::P99 => "p99",
        };
        let position =
            if self.position.is_empty() { String::new() } else { format!("{} of ", self.position) };
        let contenders = match self.contenders {
            0 => String::new(),
            contenders => format!(", {} contenders", thousands(contenders)),
        };
        let system = if self.system.is_empty() { String::new() } else { format!(", {}", self.system) };
        printable(&format!(
            "{} {} {field}, {}, {position}{} × {}{contenders}{system}",
            self.workload,
            self.metric,
            self.mode,
            thousands(self.services),
            thousands(self.endpoints)
        ))
    }
}

/// One character a run, from the lowest value to the highest.
pub(super) fn sparkline(series: &Series) -> String {
    let from = series.points.len().saturating_sub(MOST_BARS);
    let values: Vec<f64> = series.points.iter().skip(from).map(|point| point.value).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let bar = |value: &f64| {
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        BARS[((share * 7.0).round() as usize).min(7)]
    };
    values.iter().map(bar).collect()
}

/// For a terminal: by machine and clock, each figure with its last value, a sparkline and its changes.
pub fn text(history: &History) -> String {
    let mut out = String::new();
    for (index, machine) in history.machines.iter().enumerate() {
        let series: Vec<&Series> = history.series.iter().filter(|series| series.machine == index).collect();
        if series.is_empty() {
            continue;
        }
        out += &format!("{}\n", printable(&machine.label()));
        let rows: Vec<[String; 2]> =
            series.iter().map(|one| [one.figure.label(), last(history, one)]).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (names, values) = (width(0), width(1));
        for (one, [name, value]) in series.iter().zip(&rows) {
            out += &format!("  {name:<names$}  {value:>values$}  {}\n", sparkline(one));
            for change in &one.changes {
                out += &format!("    ^ {}\n", history.sentence(one, change));
            }
        }
        for event in history.events.iter().filter(|event| event.machine == index) {
            let run = history.runs.get(event.run).map_or("", |run| run.name.as_str());
            let what: Vec<String> = event.what.iter().map(|what| shorten(what, 120)).collect();
            out += &format!("  from {} on: {}\n", printable(run), printable(&what.join("; ")));
        }
        out.push('\n');
    }
    out + &history.remark() + "\n"
}

fn last(history: &History, series: &Series) -> String {
    let quantity = history.quantity(series);
    series.points.last().map_or_else(String::new, |point| quantity.show(point.value))
}

/// A section for a job summary: changes first, then all figures.
pub fn markdown(history: &History) -> String {
    let mut out = format!("## Figures over time\n\n{}\n", escape_markdown(&history.remark()));
    for (index, machine) in history.machines.iter().enumerate() {
        let series: Vec<&Series> = history.series.iter().filter(|series| series.machine == index).collect();
        if series.is_empty() {
            continue;
        }
        out += &format!(
            "\n### {}\n\n| figure | last | over time | changes |\n",
            escape_markdown(&machine.label())
        );
        out += "| --- | ---: | --- | --- |\n";
        for one in series {
            let changes: Vec<String> =
                one.changes.iter().map(|change| history.sentence(one, change)).collect();
            let changes = if changes.is_empty() { "none".to_owned() } else { changes.join("; then ") };
            out += &format!(
                "| {} | {} | {} | {} |\n",
                escape_markdown(&one.figure.label()),
                escape_markdown(&last(history, one)),
                sparkline(one),
                escape_markdown(&changes)
            );
        }
    }
    if !history.unreadable.is_empty() {
        out += "\nLeft out:\n\n";
        for left in &history.unreadable {
            let line = format!("{}: {}", left.folder.display(), left.why);
            out += &format!("- {}\n", escape_markdown(&shorten(&line, 300)));
        }
    }
    out
}
