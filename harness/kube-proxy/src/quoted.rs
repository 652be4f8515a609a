//! Texts between quotation marks, as Go writes them.

/// What stands between quotation marks at the beginning of a text, and what follows them: strings of klog's fields (strconv.Quote), which
/// know `\n` and `\t`, and values of labels in metrics, whose format knows no tab. Of any other escape the character behind the backslash
/// is taken. `None` if there is no quotation mark, or no second one.
pub(crate) fn quoted(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut characters = inside.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &inside[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotation_marks_and_escapes_are_taken_off() {
        let found = |text| quoted(text).map(|(value, rest)| (value, rest.to_owned()));
        let is = |value: &str, rest: &str| Some((value.to_owned(), rest.to_owned()));
        assert_eq!(found(r#""a b" c"#), is("a b", " c"));
        assert_eq!(found(r#""" "#), is("", " "));
        assert_eq!(found(r#""a\"b\\\n\t\x""#), is("a\"b\\\n\tx", ""));
        for other in ["", "a", r#"a "b""#, r#""a"#, r#""a\"#, r#""a\""#] {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
