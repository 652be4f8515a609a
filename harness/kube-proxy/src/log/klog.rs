//! Lines of klog: `I1130 20:40:12.123456       7 proxier.go:649] "SyncProxyRules complete" ipFamily="IPv4" elapsed="59.3ms"`.

use std::time::Duration;

use crate::quoted::quoted;

/// The letter that a line begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// `I`
    Info,
    /// `W`
    Warning,
    /// `E`
    Error,
    /// `F`
    Fatal,
}

/// A line of klog, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// How bad it is.
    pub severity: Severity,
    /// Source file and line: `proxier.go:649`.
    pub source: String,
    /// What is said, without quotation marks.
    pub message: String,
    /// Names and values, in order, without quotation marks.
    pub fields: Vec<(String, String)>,
}

impl Entry {
    /// `None` if the line is not klog's.
    pub fn parse(line: &str) -> Option<Self> {
        let severity = match line.as_bytes().first()? {
            b'I' => Severity::Info,
            b'W' => Severity::Warning,
            b'E' => Severity::Error,
            b'F' => Severity::Fatal,
            _ => return None,
        };
        let (head, rest) = line.get(1..)?.split_once("] ")?;
        let mut words = head.split_ascii_whitespace();
        let (date, time, _thread, source) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let is_date = date.len() == 4 && date.bytes().all(|byte| byte.is_ascii_digit());
        if !is_date || !time.contains(':') || words.next().is_some() {
            return None;
        }
        let (message, fields) = match quoted(rest) {
            Some((message, rest)) => (message, fields(rest)),
            // Of old calls without structure.
            None => (rest.to_owned(), Vec::new()),
        };
        Some(Self { severity, source: source.to_owned(), message, fields })
    }

    /// The value of a name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// How long a sync took, if this is the line that ends one, of 1.34 to 1.37: `"SyncProxyRules complete"` at verbosity 2
    /// in iptables and nftables mode, `"syncProxyRules complete"` at verbosity 4 in IPVS mode (syncProxyRules in
    /// pkg/proxy/iptables, nftables and ipvs).
    pub fn sync(&self) -> Option<Duration> {
        let ended = ["SyncProxyRules complete", "syncProxyRules complete"].contains(&self.message.as_str());
        ended.then(|| duration(self.field("elapsed")?))?
    }
}

/// `name="value"` or `name=value`, until something else comes.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        if name.is_empty() || name.contains([' ', '"']) {
            break;
        }
        let (value, behind) = match quoted(after) {
            Some(found) => found,
            None => {
                let end = after.find(' ').unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        fields.push((name.to_owned(), value));
        rest = behind.trim_start();
    }
    fields
}

/// Reads what Go prints of a `time.Duration`: `1m2.5s`, `59.306012ms`, `750µs`, `0s`. `None` of anything else.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut nanoseconds = 0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let units =
            [("ns", 1.0), ("µs", 1e3), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9)];
        let (unit, factor) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        nanoseconds += number * factor;
        rest = &rest[unit.len()..];
    }
    // Go's longest is 292 years.
    (nanoseconds <= i64::MAX as f64).then(|| Duration::from_nanos(nanoseconds.round() as u64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let lines: Vec<Option<Entry>> = include_str!("klog-1.37.txt").lines().map(Entry::parse).collect();
        let failed = lines[3].as_ref().unwrap();
        assert_eq!(failed.severity, Severity::Error);
        assert_eq!((failed.source.as_str(), failed.message.as_str()), ("proxier.go:700", "Sync failed"));
        assert_eq!(failed.field("err"), Some("exit \"1\""));
        assert_eq!(failed.field("retryingTime"), Some("30s"));
        assert_eq!(lines[1].as_ref().unwrap().field("fullSync"), Some("true"));
        assert_eq!(lines[2].as_ref().unwrap().sync(), Some(Duration::from_nanos(59_306_012)));
        assert!(lines.iter().all(Option::is_some));
        let ipvs = "I1130 20:40:12.123456       7 proxier.go:678] \"syncProxyRules complete\" ipFamily=\"IPv4\" elapsed=\"2ms\"";
        assert_eq!(Entry::parse(ipvs).unwrap().sync(), Some(Duration::from_millis(2)));
        let old = Entry::parse("W1130 20:40:12.123456       7 reflector.go:5] watch ended: too old").unwrap();
        assert_eq!((old.message.as_str(), old.fields.len()), ("watch ended: too old", 0));
        for other in
            ["", "panic: x", "Error: unknown flag: --x", "Ignoring deprecated --wait-interval option."]
        {
            assert_eq!(Entry::parse(other), None, "{other}");
        }
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let nanoseconds = |text| duration(text).map(|duration| duration.as_nanos());
        assert_eq!(nanoseconds("1m2.5s"), Some(62_500_000_000));
        assert_eq!(nanoseconds("750µs"), Some(750_000));
        assert_eq!(nanoseconds("1h0m0.000000001s"), Some(3_600_000_000_001));
        assert_eq!(nanoseconds("0s"), Some(0));
        for other in ["", "5", "s", "1.2.3s", "-1s", "1y", "1e99h"] {
            assert_eq!(nanoseconds(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read(text in "\\PC{0,120}") {
            let _ = (Entry::parse(&text), duration(&text));
            let _ = Entry::parse(&format!("I1130 20:40:12.1 7 a.go:1] \"x\" {text}"));
        }

        #[test]
        fn durations_keep_their_value(nanoseconds in 0_u64..1 << 50) {
            let text = format!("{}.{:09}s", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
            let read = duration(&text).unwrap().as_nanos() as u64;
            prop_assert!(read.abs_diff(nanoseconds) <= 1, "{text}: {read}");
        }
    }
}
