//! `labelSelector`: `key`, `!key`, `key=value`, `==`, `!=`, `key in (a,b)`, `key notin (a,b)`, `key>1`, `key<1`.

use crate::object::Stored;

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LabelTerm {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    /// Also true where there is no such label.
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl LabelTerm {
    pub(super) fn matches(&self, object: &Stored) -> bool {
        let value = object.label(&self.key);
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
            Test::In(values) => value.is_some_and(|value| values.iter().any(|known| known == value)),
            Test::NotIn(values) => value.is_none_or(|value| values.iter().all(|known| known != value)),
            Test::Above(bound) => number().is_some_and(|number| number > *bound),
            Test::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

/// Reads a selector; an empty one wants everything.
pub(super) fn parse(text: &str) -> Result<Vec<LabelTerm>, String> {
    let mut words = Words { rest: text };
    let mut terms = Vec::new();
    if words.peek() == Word::End {
        return Ok(terms);
    }
    loop {
        terms.push(term(&mut words).map_err(|problem| format!("unable to parse requirement: {problem}"))?);
        match words.next() {
            Word::End => return Ok(terms),
            Word::Sign(",") => {}
            other => return Err(format!("found {other}, expected: ',' or the end")),
        }
    }
}

fn term(words: &mut Words<'_>) -> Result<LabelTerm, String> {
    if words.peek() == Word::Sign("!") {
        words.next();
        return Ok(LabelTerm { key: key(words.next())?, test: Test::Absent });
    }
    let key = key(words.next())?;
    let test = match words.peek() {
        Word::End | Word::Sign(",") => Test::Exists,
        Word::Sign("=" | "==") => {
            words.next();
            Test::In(vec![one_value(words)?])
        }
        Word::Sign("!=") => {
            words.next();
            Test::NotIn(vec![one_value(words)?])
        }
        Word::Sign(">") => {
            words.next();
            Test::Above(number(words)?)
        }
        Word::Sign("<") => {
            words.next();
            Test::Below(number(words)?)
        }
        Word::Text("in") => {
            words.next();
            Test::In(values(words)?)
        }
        Word::Text("notin") => {
            words.next();
            Test::NotIn(values(words)?)
        }
        other => return Err(format!("found {other}, expected: in, notin, =, ==, !=, > or <")),
    };
    Ok(LabelTerm { key, test })
}

/// A qualified name: `[prefix/]name`.
fn key(word: Word<'_>) -> Result<String, String> {
    let Word::Text(text) = word else { return Err(format!("found {word}, expected: a key")) };
    let (prefix, name) = text.rsplit_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let fits = is_value(name)
        && !name.is_empty()
        && prefix.is_none_or(|prefix| {
            (1..=253).contains(&prefix.len())
                && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        });
    if fits { Ok(text.to_owned()) } else { Err(format!("key: Invalid value: {text:?}")) }
}

/// What a label's value can be.
fn is_value(text: &str) -> bool {
    let ends = [text.bytes().next(), text.bytes().last()];
    text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && ends.into_iter().flatten().all(|byte| byte.is_ascii_alphanumeric())
}

fn value(text: &str) -> Result<String, String> {
    if is_value(text) { Ok(text.to_owned()) } else { Err(format!("values: Invalid value: {text:?}")) }
}

/// Nothing at all is the empty value.
fn one_value(words: &mut Words<'_>) -> Result<String, String> {
    match words.peek() {
        Word::End | Word::Sign(",") => Ok(String::new()),
        Word::Text(text) => {
            words.next();
            value(text)
        }
        other => Err(format!("found {other}, expected: a value")),
    }
}

fn number(words: &mut Words<'_>) -> Result<i64, String> {
    match words.next() {
        Word::Text(text) => {
            text.parse().map_err(|_| format!("values: Invalid value: {text:?}: must be an integer"))
        }
        other => Err(format!("found {other}, expected: an integer")),
    }
}

fn values(words: &mut Words<'_>) -> Result<Vec<String>, String> {
    match words.next() {
        Word::Sign("(") => {}
        other => return Err(format!("found {other}, expected: '('")),
    }
    let mut values = Vec::new();
    loop {
        values.push(match words.peek() {
            Word::Text(text) => {
                words.next();
                value(text)?
            }
            Word::Sign("," | ")") => String::new(),
            other => return Err(format!("found {other}, expected: a value, ',' or ')'")),
        });
        match words.next() {
            Word::Sign(",") => {}
            Word::Sign(")") => return Ok(values),
            other => return Err(format!("found {other}, expected: ',' or ')'")),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word<'a> {
    Text(&'a str),
    Sign(&'a str),
    End,
}

impl std::fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Word::Text(text) | Word::Sign(text) => write!(f, "'{text}'"),
            Word::End => f.write_str("the end"),
        }
    }
}

struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Word<'a> {
        self.split().0
    }

    fn next(&mut self) -> Word<'a> {
        let (word, rest) = self.split();
        self.rest = rest;
        word
    }

    fn split(&self) -> (Word<'a>, &'a str) {
        const SIGNS: [&str; 9] = ["==", "!=", "=", "!", ",", "(", ")", "<", ">"];
        let rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if rest.is_empty() {
            return (Word::End, rest);
        }
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            let (sign, rest) = rest.split_at(sign.len());
            return (Word::Sign(sign), rest);
        }
        let end = rest.find(|char| " \t\r\n=!,()<>".contains(char)).unwrap_or(rest.len());
        let (text, rest) = rest.split_at(end);
        (Word::Text(text), rest)
    }
}

#[cfg(test)]
mod tests;
