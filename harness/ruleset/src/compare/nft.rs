//! The normal form of what `nft list ruleset` prints.

use super::normal::{Normal, Object};
use super::owner;
use crate::error::Fault;
use crate::nft::{self, Kind, Token, tokens, unquoted};
use crate::search::name_of_chain;

/// What stands before the chain that an element leads to.
const GOTO: &str = "goto ";

/// Takes a listing apart.
///
/// # Errors
/// The first line that nft would not have written there.
pub fn normal(text: &str) -> Result<Normal, Fault> {
    nft::parse(text)?;
    let mut normal = Normal::new();
    let mut reader =
        Reader { tokens: tokens(text).filter(|token| token.kind != Kind::Comment).collect(), at: 0 };
    while let Some(token) = reader.next() {
        if token.text == "table" {
            let [family, name] = [reader.name(), reader.name()];
            reader.next();
            table(&format!("{family} {name}"), &mut reader, &mut normal);
        }
    }
    Ok(normal)
}

struct Reader<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.tokens.get(self.at).copied();
        self.at += 1;
        token
    }

    fn name(&mut self) -> &'a str {
        self.next().map_or("", |token| unquoted(token.text))
    }

    /// The next statement: up to the end of its line or a semicolon outside of braces. `None`: the block has ended.
    fn statement(&mut self) -> Option<Vec<Token<'a>>> {
        let (mut statement, mut depth) = (Vec::new(), 0_u32);
        while let Some(token) = self.next() {
            match token.kind {
                Kind::Newline | Kind::Semicolon if depth == 0 => {
                    if !statement.is_empty() {
                        break;
                    }
                    continue;
                }
                Kind::Newline => continue,
                Kind::Open => depth += 1,
                Kind::Close if depth == 0 => {
                    if !statement.is_empty() {
                        // It is read again.
                        self.at -= 1;
                        return Some(statement);
                    }
                    return None;
                }
                Kind::Close => depth -= 1,
                _ => {}
            }
            statement.push(token);
        }
        (!statement.is_empty()).then_some(statement)
    }

    /// Whether a block begins, which a statement of the table does not.
    fn block(&mut self) -> bool {
        while let Some(token) = self.next() {
            match token.kind {
                Kind::Open => return true,
                Kind::Newline | Kind::Semicolon => return false,
                _ => {}
            }
        }
        false
    }
}

/// Behind the brace of a table.
fn table(place: &str, reader: &mut Reader<'_>, normal: &mut Normal) {
    normal.insert(place.to_owned(), Object { service: None, lines: vec![(None, "table".to_owned())] });
    while let Some(token) = reader.next() {
        match (token.kind, token.text) {
            (Kind::Newline | Kind::Semicolon, _) => {}
            (Kind::Close, _) => return,
            (_, kind @ ("comment" | "flags")) => {
                let value = reader.statement().unwrap_or_default();
                let line = format!("{kind} {}", joined(&value));
                if let Some(table) = normal.get_mut(place) {
                    table.lines.push((None, line));
                }
            }
            (_, kind) => {
                let name = reader.name();
                let mut object = match (reader.block(), kind) {
                    (false, _) => Object::default(),
                    (true, "chain") => chain(name, reader),
                    (true, "set" | "map") => set(reader),
                    (true, _) => other(reader),
                };
                object.lines.insert(0, (None, kind.to_owned()));
                normal.insert(format!("{place}, {kind} {name}"), object);
            }
        }
    }
}

/// Its head first, whose order says nothing; then its rules.
fn chain(name: &str, reader: &mut Reader<'_>) -> Object {
    let (mut head, mut rules) = (Vec::new(), Vec::new());
    while let Some(statement) = reader.statement() {
        let first = statement.first().map_or("", |token| token.text);
        match first {
            "type" | "policy" | "comment" | "devices" => head.push((None, joined(&statement))),
            _ => rules.push((None, rule(&statement))),
        }
    }
    head.sort();
    head.extend(rules);
    Object { service: name_of_chain(name), lines: head }
}

/// A rule without what its counters have counted.
fn rule(statement: &[Token<'_>]) -> String {
    let mut kept = Vec::with_capacity(statement.len());
    let mut rest = statement;
    while let [first, others @ ..] = rest {
        kept.push(*first);
        rest = match (first.text, others) {
            ("counter", [packets, _, bytes, _, rest @ ..])
                if packets.text == "packets" && bytes.text == "bytes" =>
            {
                rest
            }
            _ => others,
        };
    }
    joined(&kept)
}

fn set(reader: &mut Reader<'_>) -> Object {
    let (mut head, mut elements) = (Vec::new(), Vec::new());
    let mut is_dynamic = false;
    while let Some(statement) = reader.statement() {
        match statement.first().map_or("", |token| token.text) {
            "elements" => elements = statement,
            // It changes with the elements.
            "size" => {}
            first => {
                is_dynamic |= first == "flags" && statement.iter().any(|token| token.text == "dynamic");
                head.push((None, joined(&statement)));
            }
        }
    }
    head.sort();
    if !is_dynamic {
        // Between the braces.
        let open =
            elements.iter().position(|token| token.kind == Kind::Open).map_or(elements.len(), |at| at + 1);
        let inner = elements.get(open..elements.len().saturating_sub(1)).unwrap_or_default();
        let all = inner.split(|token| token.kind == Kind::Comma).map(joined).filter(|line| !line.is_empty());
        let mut all: Vec<_> = all.map(|line| (of_element(&line), line)).collect();
        all.sort();
        head.extend(all);
    }
    Object { service: None, lines: head }
}

/// The Service that an element is for: whose chain it leads to, or whom its comment names.
pub(super) fn of_element(line: &str) -> Option<String> {
    let commented = line.split_once(" comment \"").and_then(|(_, rest)| rest.split_once('"'));
    let leads = line.split_once(GOTO).map(|(_, chain)| chain);
    leads.and_then(name_of_chain).or_else(|| commented.and_then(|(comment, _)| owner::of_comment(comment)))
}

/// Anything else in a table, statement by statement.
fn other(reader: &mut Reader<'_>) -> Object {
    let mut lines = Vec::new();
    while let Some(statement) = reader.statement() {
        lines.push((None, joined(&statement)));
    }
    Object { service: None, lines }
}

/// Words with one space between them.
fn joined(statement: &[Token<'_>]) -> String {
    let words: Vec<&str> = statement.iter().map(|token| token.text).collect();
    words.join(" ")
}
