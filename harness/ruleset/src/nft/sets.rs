//! Named sets and maps.

use super::lexer::{Kind, Lexer, tokens, unquoted};
use crate::error::Fault;
use crate::input;

/// A set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it begins.
    pub line: u32,
    /// Whether it maps what it holds to something.
    pub is_map: bool,
    /// Whether rules add elements and time removes them.
    pub is_dynamic: bool,
    /// What it holds.
    pub elements: Vec<Element<'a>>,
}

/// An element of a set or map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its line.
    pub line: u32,
    /// `10.96.0.10 . tcp . 80 : goto x`.
    pub text: &'a str,
}

impl<'a> Element<'a> {
    /// What is looked up, part by part, and what follows the colon, word by word. Comments, timeouts and counters are left
    /// out.
    pub fn parts(&self) -> (Vec<&'a str>, Vec<&'a str>) {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let (mut is_value, mut expects) = (false, true);
        for token in tokens(self.text) {
            match (token.kind, token.text) {
                (Kind::Word, ":") => is_value = true,
                (Kind::Word | Kind::Quoted, word) if is_value => value.push(unquoted(word)),
                (Kind::Word, ".") => expects = true,
                (Kind::Word | Kind::Quoted, word) if expects => {
                    key.push(unquoted(word));
                    expects = false;
                }
                _ => {}
            }
        }
        (key, value)
    }

    /// Its comment.
    pub fn comment(&self) -> Option<&'a str> {
        let mut words = tokens(self.text).skip_while(|word| word.text != "comment").skip(1);
        words.next().map(|word| unquoted(word.text))
    }

    /// The chain that it sends packets to.
    pub fn chain(&self) -> Option<&'a str> {
        match self.parts().1[..] {
            ["goto" | "jump", chain] => Some(chain),
            _ => None,
        }
    }
}

/// Behind the word `set` or `map`.
pub(super) fn parse<'a>(lexer: &mut Lexer<'a>, is_map: bool, line: u32) -> Result<Set<'a>, Fault> {
    let name = lexer.word("the name of a set")?.text;
    lexer.open("the set")?;
    let mut set = Set { name, line, is_map, is_dynamic: false, elements: Vec::new() };
    while let Some(statement) = lexer.statement(name)? {
        let mut words = tokens(statement.text);
        match words.next().map(|word| word.text) {
            Some("elements") => set.elements = elements(statement.text, statement.line)?,
            Some("flags") => set.is_dynamic = words.any(|word| matches!(word.text, "dynamic" | "timeout")),
            Some(
                "type" | "typeof" | "timeout" | "gc-interval" | "size" | "policy" | "comment" | "counter"
                | "auto-merge" | "quota" | "limit" | "last",
            ) => {}
            _ => {
                let shown = input::shown(statement.text);
                return Err(Fault::at(statement.line, format!("{shown} is no part of a set")));
            }
        }
    }
    Ok(set)
}

/// Of `elements = { a, b }`.
fn elements(text: &str, line: u32) -> Result<Vec<Element<'_>>, Fault> {
    let (Some(open), Some(close)) = (text.find('{'), text.rfind('}')) else {
        return Err(Fault::at(line, "elements stand between braces, of which some are missing"));
    };
    let inner = text.get(open + 1..close).unwrap_or_default();
    let mut elements = Vec::new();
    let mut first: Option<(u32, usize)> = None;
    let mut end = 0;
    for token in tokens(inner) {
        match token.kind {
            Kind::Newline => continue,
            Kind::Comma => {
                let Some((at, start)) = first.take() else {
                    return Err(Fault::at(line + token.line - 1, "an element is missing before a comma"));
                };
                elements.push(Element { line: line + at - 1, text: &inner[start..end] });
                continue;
            }
            _ => {}
        }
        first.get_or_insert((token.line, token.start));
        end = token.start + token.text.len();
    }
    if let Some((at, start)) = first {
        elements.push(Element { line: line + at - 1, text: &inner[start..end] });
    }
    Ok(elements)
}
