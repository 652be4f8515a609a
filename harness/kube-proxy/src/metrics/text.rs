//! Prometheus' text format, version 0.0.4.

use std::collections::BTreeMap;

use crate::quoted::quoted;

/// A line that is none of the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the metrics: {why}")]
pub struct TextError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

/// Labels of one series.
pub(super) type LabelSet = BTreeMap<String, String>;

/// Series by name, in the order of the text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Samples(BTreeMap<String, Vec<(LabelSet, f64)>>);

impl Samples {
    /// The series of a name that have these labels.
    pub(super) fn series<'s>(
        &'s self,
        name: &str,
        labels: &'s [(&'s str, &'s str)],
    ) -> impl Iterator<Item = (&'s LabelSet, f64)> + use<'s> {
        let all = self.0.get(name).into_iter().flatten();
        let wanted = move |own: &LabelSet| {
            labels.iter().all(|(name, value)| own.get(*name).is_some_and(|own| own == value))
        };
        all.filter(move |(own, _)| wanted(own)).map(|(own, value)| (own, *value))
    }

    /// The same for a part of a histogram: `_bucket`, `_sum`, `_count`.
    pub(super) fn series_of<'s>(
        &'s self,
        name: &str,
        suffix: &str,
        labels: &'s [(&'s str, &'s str)],
    ) -> impl Iterator<Item = (&'s LabelSet, f64)> + use<'s> {
        self.series(&format!("{name}{suffix}"), labels)
    }
}

pub(super) fn parse(text: &str) -> Result<Samples, TextError> {
    let mut samples = Samples::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, labels, value) = sample(line).map_err(|why| TextError { line: index + 1, why })?;
        samples.0.entry(name.to_owned()).or_default().push((labels, value));
    }
    Ok(samples)
}

/// `name{label="value",...} value [timestamp]`.
fn sample(line: &str) -> Result<(&str, LabelSet, f64), &'static str> {
    let end = line.find(['{', ' ', '\t']).ok_or("a name without a value")?;
    let (name, rest) = line.split_at(end);
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    if name.is_empty() || !name.chars().all(is_name) {
        return Err("no name of a metric");
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (LabelSet::new(), rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let value = words.next().ok_or("a name without a value")?;
    // As Go writes them: also NaN, +Inf and -Inf.
    let value = value.parse().map_err(|_| "a value that is no number")?;
    if words.next().is_some_and(|time| time.parse::<i64>().is_err()) || words.next().is_some() {
        return Err("something behind the value");
    }
    Ok((name, labels, value))
}

fn labels(text: &str) -> Result<(LabelSet, &str), &'static str> {
    let mut labels = LabelSet::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok((labels, behind));
        }
        let (name, after) = rest.split_once('=').ok_or("labels without an end")?;
        let (value, behind) =
            quoted(after.trim_start()).ok_or("a label whose value is not in quotation marks")?;
        labels.insert(name.trim().to_owned(), value);
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn samples_are_read() {
        let text = "# TYPE x counter\nx 5\nx{a=\"1\",b=\"q\\\"\\\\\\n}\",} 2.5e-3 1796071200000\n\ny{} +Inf\nz NaN\n";
        let samples = parse(text).unwrap();
        assert_eq!(samples.series("x", &[]).map(|(_, value)| value).collect::<Vec<_>>(), [5.0, 0.0025]);
        assert_eq!(samples.series("x", &[("b", "q\"\\\n}")]).count(), 1);
        assert_eq!(samples.series("y", &[]).next().unwrap().1, f64::INFINITY);
        assert!(samples.series("z", &[]).next().unwrap().1.is_nan());
    }

    #[test]
    fn what_is_no_sample_is_refused_with_its_line() {
        for (text, why) in [
            ("x", "a name without a value"),
            ("x ", "a name without a value"),
            ("x y", "a value that is no number"),
            ("x 1 y", "something behind the value"),
            ("x 1 2 3", "something behind the value"),
            ("x{a=\"1\" 5", "labels without an end"),
            ("x{a=1} 5", "a label whose value is not in quotation marks"),
            ("<html> 5", "no name of a metric"),
        ] {
            let text = format!("# ok\nok 1\n{text}");
            assert_eq!(parse(&text), Err(TextError { line: 3, why }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,120}", labels in "[a-z=\",\\\\{} ]{0,60}") {
            let _ = parse(&text);
            let _ = parse(&format!("x{{{labels}}} 1"));
        }

        #[test]
        fn what_is_written_is_read(
            name in "[a-z_:][a-z0-9_:]{0,20}",
            labels in prop::collection::btree_map("[a-z_]{1,8}", "\\PC{0,12}", 0..4),
            value: f64,
        ) {
            let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let shown: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", quoted(value))).collect();
            let samples = parse(&format!("{name}{{{}}} {value}\n", shown.join(","))).unwrap();
            let (read, number) = samples.series(&name, &[]).next().unwrap();
            prop_assert_eq!(read, &labels);
            prop_assert!(number == value || value.is_nan());
        }
    }
}
