//! What goes over the data port: the caller's lines, and between them a few of our own, which begin with a byte that the
//! caller's lines must not begin with.

/// Start of heading (ASCII).
pub(crate) const MARK: u8 = 1;

/// A line of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Control {
    /// The first program runs, on this kernel release.
    Hello { release: String },
    /// All is set up, the work starts.
    Start,
    /// It could not be set up.
    Failed { why: String },
    /// The work has ended so.
    End { code: u8, status: String },
}

impl Control {
    /// With the mark and the line's end.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let text = match self {
            Control::Hello { release } => format!("hello {release}"),
            Control::Start => "start".to_owned(),
            Control::Failed { why } => format!("failed {why}"),
            Control::End { code, status } => format!("end {code} {status}"),
        };
        let mut line = vec![MARK];
        line.extend(text.bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }));
        line.push(b'\n');
        line
    }

    /// `line` without its end. None for the caller's lines, and for nonsense.
    pub(crate) fn decode(line: &[u8]) -> Option<Control> {
        let text = std::str::from_utf8(line.strip_prefix(&[MARK])?).ok()?;
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        Some(match verb {
            "hello" => Control::Hello { release: rest.to_owned() },
            "start" => Control::Start,
            "failed" => Control::Failed { why: rest.to_owned() },
            "end" => {
                let (code, status) = rest.split_once(' ')?;
                Control::End { code: code.parse().ok()?, status: status.to_owned() }
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_sent_is_understood(code: u8, text in "[ -~]{0,40}") {
            let controls = [
                Control::Hello { release: text.clone() },
                Control::Start,
                Control::Failed { why: text.clone() },
                Control::End { code, status: text },
            ];
            for control in controls {
                let line = control.encode();
                prop_assert_eq!(line.last(), Some(&b'\n'));
                prop_assert_eq!(Control::decode(&line[..line.len() - 1]), Some(control));
            }
        }

        #[test]
        fn arbitrary_lines_never_panic(mut line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Control::decode(&line);
            line.insert(0, MARK);
            let _ = Control::decode(&line);
        }
    }

    #[test]
    fn the_callers_lines_are_not_ours() {
        assert_eq!(Control::decode(b"hello 6.1"), None);
        assert_eq!(Control::decode(b""), None);
        assert_eq!(Control::Failed { why: "two\nlines".into() }.encode(), b"\x01failed two lines\n");
    }
}
