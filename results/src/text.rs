//! Figures in human units, and text made safe for HTML, Markdown and SVG.

use crate::record::{Clock, Unit};
use crate::stats::{Estimate, Interval};

/// More reasons than this are listed together.
pub(crate) const MOST_REASONS: usize = 500;

/// What stands for those.
pub(crate) const OTHER_REASONS: &str = "other reasons, each in its row of records.csv";

/// Title of the table.
pub(crate) const LOST: &str = "Failed and skipped cells";

/// What waiting means on a guest's single processor.
pub(crate) const LOCK_ON_ONE_CPU: &str =
    "One processor: a wait is all that others executed meanwhile, idle time that the clock skipped included.";

/// What a figure is, for display: a unit together with its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantity {
    /// Nanoseconds of wall time.
    Duration,
    /// Guest instructions.
    Instructions,
    /// A count.
    Count,
    /// Bytes.
    Bytes,
    /// Events per second of wall time.
    Rate,
    /// Events per 10⁹ guest instructions, which is the guest's own second.
    RatePerGiga,
}

impl Quantity {
    /// The quantity of a row's figures.
    pub fn of(unit: Unit, clock: Clock) -> Self {
        match (unit, clock) {
            (Unit::Ns, Clock::Wall) => Quantity::Duration,
            (Unit::Ns, Clock::Instructions) => Quantity::Instructions,
            (Unit::Count, _) => Quantity::Count,
            (Unit::Bytes, _) => Quantity::Bytes,
            (Unit::PerSecond, Clock::Wall) => Quantity::Rate,
            (Unit::PerSecond, Clock::Instructions) => Quantity::RatePerGiga,
        }
    }

    /// `value` to three significant digits, instructions to four (what the histograms keep), counts to all, and a
    /// unit: `31.2 µs`, `14,370 instr`, `1.2 MB`, `980 /s`.
    pub fn show(self, value: f64) -> String {
        let (scale, unit) = self.scale(value);
        with_unit(number(round(value / scale, self.digits())), unit)
    }

    /// [`Quantity::show`] for an axis or a label in a figure whose axis names the unit: no word for instructions.
    pub fn show_short(self, value: f64) -> String {
        let text = self.show(value);
        match text.strip_suffix("/G instr") {
            Some(rate) => rate.trim_end().to_owned(),
            None => text.strip_suffix("instr").map_or(text.as_str(), str::trim_end).to_owned(),
        }
    }

    /// What a figure's axis is called where its labels have no unit of their own and its heading does not name it.
    pub fn axis_name(self) -> &'static str {
        match self {
            Quantity::Instructions => "instructions",
            _ => "",
        }
    }

    fn digits(self) -> i32 {
        match self {
            Quantity::Count => 15,
            Quantity::Instructions => 4,
            Quantity::Duration | Quantity::Bytes | Quantity::Rate | Quantity::RatePerGiga => 3,
        }
    }

    /// `value` and its interval in one unit, to the digits that the width of the interval deserves:
    /// `2.79 ns [2.7, 2.81]`.
    pub fn show_with_interval(self, value: f64, interval: Option<Interval>) -> String {
        let Some(Interval { low, high }) = interval else { return self.show(value) };
        let (scale, unit) = self.scale(value);
        let largest = value.abs().max(low.abs()).max(high.abs()) / scale;
        // Two digits of the interval's width, within three to four digits of the largest.
        let width = (high - low).abs() / scale;
        let power =
            |value: f64| if value > 0.0 && value.is_finite() { value.log10().floor() as i32 } else { 0 };
        let step = if width > 0.0 { power(width) - 1 } else { i32::MIN };
        let step = step.clamp(power(largest) - 3, power(largest) - 2);
        let show = |value: f64| number(round(value / scale, digits_to(value / scale, step)));
        format!("{} [{}, {}]", with_unit(show(value), unit), show(low), show(high))
    }

    /// A median with its interval; without one where all blocks agree exactly.
    pub fn show_estimate(self, estimate: Estimate) -> String {
        self.show_with_interval(estimate.median, estimate.interval.filter(|_| !estimate.identical))
    }

    fn scale(self, value: f64) -> (f64, &'static str) {
        let steps: &[(f64, &str)] = match self {
            Quantity::Duration => &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")],
            Quantity::Instructions => &[(1e9, "G instr"), (1e6, "M instr"), (1.0, "instr")],
            Quantity::Count => &[(1.0, "")],
            Quantity::Bytes => &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")],
            Quantity::Rate => &[(1.0, "/s")],
            Quantity::RatePerGiga => &[(1.0, "/G instr")],
        };
        let fitting = steps.iter().find(|(scale, _)| round(value.abs() / scale, self.digits()) >= 1.0);
        fitting.or(steps.last()).copied().unwrap_or((1.0, ""))
    }
}

/// Modes joined for a sentence: `a`, `a and b`, `a, b and c`.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [most @ .., last] => {
            let most: Vec<&str> = most.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", most.join(", "), last.as_ref())
        }
    }
}

/// `1 Service`, `5,000 Services`.
pub(crate) fn services(count: u32) -> String {
    if count == 1 { "1 Service".to_owned() } else { format!("{} Services", thousands(count)) }
}

/// A shown figure for running text, where there is room for the whole word.
pub fn in_words(figure: &str) -> String {
    figure.replacen(" instr", " instructions", 1)
}

fn with_unit(number: String, unit: &str) -> String {
    if unit.is_empty() { number } else { format!("{number} {unit}") }
}

/// How many significant digits of `value` lie at or above ten to the `step`.
fn digits_to(value: f64, step: i32) -> i32 {
    if value == 0.0 || !value.is_finite() { 1 } else { value.abs().log10().floor() as i32 - step + 1 }
}

fn round(value: f64, digits: i32) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    if digits < 0 {
        return 0.0;
    }
    let places = digits - 1 - value.abs().log10().floor() as i32;
    // Whole numbers of any size keep their digits left of the point only up to `digits`.
    let factor = 10_f64.powi(places.abs().min(300));
    if places >= 0 { (value * factor).round() / factor } else { (value / factor).round() * factor }
}

/// A rounded number without needless zeros, its integer digits grouped in threes.
fn number(value: f64) -> String {
    let text = format!("{:.6}", value.abs());
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut grouped = String::new();
    if value < 0.0 && text != "0" {
        grouped.push('−');
    }
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if !fraction.is_empty() {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    grouped
}

/// An integer with its digits grouped in threes.
pub fn thousands(value: impl Into<u64>) -> String {
    number(value.into() as f64)
}

/// Text without control characters, which neither XML nor a terminal wants; line breaks become spaces.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { ' ' } else { c })
        .collect()
}

/// Text for an HTML or XML element or a double-quoted attribute.
pub fn escape_html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// Text for a Markdown paragraph or table cell: no markup, no HTML, no mention of anyone.
pub fn escape_markdown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '@' => safe.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => safe.extend(['\\', c]),
            other => safe.push(other),
        }
    }
    safe
}

/// The first `limit` characters, with an ellipsis if there are more.
pub fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_human() {
        let show = |value| Quantity::Duration.show(value);
        assert_eq!(show(0.0), "0 ns");
        assert_eq!(show(2.713), "2.71 ns");
        assert_eq!(show(0.0051), "0.0051 ns");
        assert_eq!(show(-2.7), "−2.7 ns");
        assert_eq!(show(999.9), "1 µs");
        assert_eq!(show(31_240.0), "31.2 µs");
        assert_eq!(show(10_000_000.0), "10 ms");
        assert_eq!(show(104e9), "104 s");
        assert_eq!(show(7_200e9), "7,200 s");
        assert_eq!(Quantity::Instructions.show(14_372.0), "14,370 instr");
        assert_eq!(Quantity::Instructions.show(999_940.0), "999,900 instr");
        assert_eq!(Quantity::Instructions.show(999_960.0), "1 M instr");
        assert_eq!(Quantity::Instructions.show_short(2e9), "2 G");
        assert_eq!(Quantity::RatePerGiga.show(12_345.0), "12,300 /G instr");
        assert_eq!(Quantity::RatePerGiga.show_short(12_345.0), "12,300");
        assert_eq!(Quantity::Count.show(100_003.0), "100,003");
        assert_eq!(Quantity::Bytes.show(1_250_000.0), "1.25 MB");
        assert_eq!(Quantity::Rate.show(12_345.0), "12,300 /s");
        assert_eq!(show(f64::NAN), "0 ns");
        assert_eq!(thousands(50_000_u32), "50,000");
        let range =
            |value, low, high| Quantity::Duration.show_with_interval(value, Some(Interval { low, high }));
        assert_eq!(range(2.79, 2.7, 2.81), "2.79 ns [2.7, 2.81]");
        assert_eq!(range(996e6, 963e6, 1_024e6), "996 ms [963, 1,024]");
        assert_eq!(range(-0.0006, -0.00905, 0.0112), "−0.0006 ns [−0.0091, 0.0112]");
        assert_eq!(range(0.0, 0.0, 0.0), "0 ns [0, 0]");
        assert_eq!(Quantity::Duration.show_with_interval(5e3, None), "5 µs");
        assert_eq!(in_words("1.2 M instr [1.1, 1.3]"), "1.2 M instructions [1.1, 1.3]");
        assert_eq!(in_words("5 µs [4, 6]"), "5 µs [4, 6]");
    }

    #[test]
    fn hostile_text_is_text() {
        assert_eq!(escape_html("<b a='1'>&\u{0}\n"), "&lt;b a=&#39;1&#39;&gt;&amp;  ");
        assert_eq!(escape_markdown("a|b\n[x](y) <i>@me"), "a\\|b \\[x\\](y) &lt;i&gt;&#64;me");
        assert_eq!(shorten("äbcdef", 3), "äb…");
    }
}
