//! A rule's words, split as iptables-restore splits them (`add_param_to_argv`, iptables/xshared.c).

use std::borrow::Cow;

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// Without quotes and backslashes.
    pub text: Cow<'a, str>,
    /// First byte in the line.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
    /// Whether some of it is quoted.
    pub quoted: bool,
}

/// The words of a line, one after another. After an error there are no more.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    /// From the start of a line.
    pub const fn new(line: &'a str) -> Self {
        Self { line, at: 0 }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Result<Word<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.line.as_bytes();
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = self.at + bytes.get(self.at..)?.iter().position(|byte| !is_space(byte))?;
        let (mut quoted, mut inside) = (false, false);
        // Owned from the first character that the text has and the word has not.
        let mut owned: Option<String> = None;
        let mut end = start;
        let mut kept = start;
        while let Some(byte) = bytes.get(end) {
            match byte {
                b'"' => {
                    owned.get_or_insert_default().push_str(&self.line[kept..end]);
                    kept = end + 1;
                    (quoted, inside) = (true, !inside);
                }
                b'\\' if inside => {
                    owned.get_or_insert_default().push_str(&self.line[kept..end]);
                    // What follows is taken as it is, unless the line ends there.
                    kept = end + 1;
                    end += usize::from(bytes.get(end + 1).is_some_and(u8::is_ascii));
                }
                _ if is_space(byte) && !inside => break,
                _ => {}
            }
            end += 1;
        }
        let end = end.min(bytes.len());
        self.at = end;
        if inside {
            self.at = bytes.len();
            return Some(Err("a quotation is not closed: the line is cut off"));
        }
        let text = match owned {
            // One quotation without anything to take out is still a part of the line.
            Some(_) if is_plain_quotation(&self.line[start..end]) => {
                Cow::Borrowed(&self.line[start + 1..end - 1])
            }
            Some(mut text) => {
                text.push_str(self.line.get(kept..end).unwrap_or_default());
                Cow::Owned(text)
            }
            None => Cow::Borrowed(&self.line[start..end]),
        };
        Some(Ok(Word { text, start, end, quoted }))
    }
}

fn is_plain_quotation(text: &str) -> bool {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner.is_some_and(|inner| !inner.contains(['"', '\\']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        Words::new(line).map(|word| word.unwrap().text.into_owned()).collect()
    }

    #[test]
    fn quotes_and_backslashes_are_taken_out() {
        assert_eq!(
            words(r#"-A x --comment "a \"q\" b\\c" -j Y"#),
            ["-A", "x", "--comment", r#"a "q" b\c"#, "-j", "Y"]
        );
        assert_eq!(words(r#"  a"b c"d  "" \e "#), ["ab cd", "", r"\e"]);
        assert_eq!(words(" \t "), Vec::<String>::new());
    }

    #[test]
    fn an_open_quotation_is_an_error_and_the_end() {
        for line in [r#"a "b"#, r#"a "b\"#, r#"a "b\""#] {
            let all: Vec<_> = Words::new(line).collect();
            assert_eq!(all.len(), 2, "{line}");
            assert!(all[1].is_err());
        }
    }

    #[test]
    fn plain_words_are_parts_of_the_line() {
        for word in Words::new(r#"-s 10.0.0.1 "a b" x"#) {
            assert!(matches!(word.unwrap().text, Cow::Borrowed(_)));
        }
    }

    /// As iptables-save writes a string (`xtables_save_string`, libxtables/xtables.c).
    fn saved(text: &str) -> String {
        let escaped: String = text
            .chars()
            .flat_map(|c| matches!(c, '"' | '\\' | '\'').then_some('\\').into_iter().chain([c]))
            .collect();
        format!("\"{escaped}\"")
    }

    proptest! {
        #[test]
        fn what_is_saved_is_read(texts in prop::collection::vec("[ -~äß]{0,20}", 0..5)) {
            let line = texts.iter().map(|text| saved(text)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(words(&line), texts);
        }

        #[test]
        fn any_line_is_split_and_spans_do_not_overlap(line in "[ \"\\\\a-cä\t]{0,40}") {
            let mut before = 0;
            for word in Words::new(&line).flatten() {
                prop_assert!(before <= word.start && word.start < word.end && word.end <= line.len());
                prop_assert!(line.get(word.start..word.end).is_some());
                before = word.end;
            }
        }
    }
}
