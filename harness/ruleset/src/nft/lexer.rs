//! Tokens of nft's language, and what is built of them: statements, blocks.

use crate::chains::Rule;
use crate::error::Fault;
use crate::input;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A word: anything up to a space or one of the signs below.
    Word,
    /// A text with its quotation marks.
    Quoted,
    /// `{`
    Open,
    /// `}`
    Close,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// The end of a line.
    Newline,
    /// `#` and what follows it.
    Comment,
}

/// A token, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub text: &'a str,
    /// Line of the text, from 1.
    pub line: u32,
    /// First byte in the text.
    pub start: usize,
}

/// Reads tokens.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

/// The tokens of a part of a text, as far as they are whole.
pub fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut lexer = Lexer::new(text);
    std::iter::from_fn(move || lexer.token().ok().flatten())
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// The next token; `None` at the end.
    pub(super) fn token(&mut self) -> Result<Option<Token<'a>>, Fault> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        let (start, line) = (self.at, self.line);
        let Some(&first) = bytes.get(start) else { return Ok(None) };
        let rest = &bytes[start..];
        let (kind, length) = match first {
            b'\n' => {
                self.line = self.line.saturating_add(1);
                (Kind::Newline, 1)
            }
            b'{' => (Kind::Open, 1),
            b'}' => (Kind::Close, 1),
            b',' => (Kind::Comma, 1),
            b';' => (Kind::Semicolon, 1),
            b'#' => (Kind::Comment, rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())),
            b'"' => match rest[1..].iter().position(|&b| b == b'"' || b == b'\n') {
                Some(end) if rest[1 + end] == b'"' => (Kind::Quoted, end + 2),
                _ => {
                    return Err(Fault::at(
                        line,
                        "a quotation is not closed in its line: the file is cut off",
                    ));
                }
            },
            _ => {
                let end = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'{' | b'}' | b',' | b';' | b'"');
                (Kind::Word, rest.iter().position(end).unwrap_or(rest.len()))
            }
        };
        self.at = start + length;
        Ok(Some(Token { kind, text: &self.text[start..self.at], line, start }))
    }

    fn cut_off(&self, what: &str) -> Fault {
        Fault::at(self.line, format!("the file ends where {what} should stand: it is cut off"))
    }

    /// A word or quoted name.
    pub(super) fn word(&mut self, what: &str) -> Result<Token<'a>, Fault> {
        match self.token()? {
            Some(token) if matches!(token.kind, Kind::Word | Kind::Quoted) => {
                Ok(Token { text: unquoted(token.text), ..token })
            }
            Some(token) => {
                let shown = input::shown(token.text.trim_end());
                Err(Fault::at(token.line, format!("{shown} stands where {what} should")))
            }
            None => Err(self.cut_off(what)),
        }
    }

    /// The brace that begins a block; words before it, such as a priority, are passed over.
    pub(super) fn open(&mut self, what: &str) -> Result<(), Fault> {
        match self.token()? {
            Some(Token { kind: Kind::Open, .. }) => Ok(()),
            Some(token) => {
                let shown = input::shown(token.text.trim_end());
                Err(Fault::at(token.line, format!("{shown} stands where {what} should begin with {{")))
            }
            None => Err(self.cut_off("a brace")),
        }
    }

    /// To the end of the line or the next semicolon.
    pub(super) fn skip_line(&mut self) -> Result<(), Fault> {
        while let Some(token) = self.token()? {
            if matches!(token.kind, Kind::Newline | Kind::Semicolon) {
                break;
            }
        }
        Ok(())
    }

    /// A name and everything between its braces.
    pub(super) fn skip_block(&mut self, kind: &str, line: u32) -> Result<(), Fault> {
        let mut depth = 0_u32;
        while let Some(token) = self.token()? {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close if depth <= 1 => return Ok(()),
                Kind::Close => depth -= 1,
                _ => {}
            }
        }
        Err(Fault::at(line, format!("this {kind} has no end: the file is cut off")))
    }

    /// The next statement of a block, up to a semicolon or the end of its line; braces in it may span lines. `None`: the
    /// block has ended.
    pub(super) fn statement(&mut self, block: &str) -> Result<Option<Rule<'a>>, Fault> {
        let mut first: Option<Token<'_>> = None;
        let mut depth = 0_u32;
        let mut end = self.at;
        loop {
            let Some(token) = self.token()? else {
                return Err(self.cut_off(&format!("the end of {}", input::shown(block))));
            };
            match token.kind {
                Kind::Newline | Kind::Semicolon if depth == 0 => match first {
                    Some(_) => break,
                    None => continue,
                },
                Kind::Newline => continue,
                Kind::Close if depth == 0 => match first {
                    // The closing brace is read again.
                    Some(_) => {
                        self.at = token.start;
                        break;
                    }
                    None => return Ok(None),
                },
                Kind::Open => depth += 1,
                Kind::Close => depth -= 1,
                _ => {}
            }
            first.get_or_insert(token);
            end = self.at;
        }
        Ok(first.map(|first| Rule { line: first.line, text: &self.text[first.start..end] }))
    }
}

/// A name without its quotation marks.
pub(crate) fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_with_their_line_or_semicolon_but_not_inside_braces() {
        let mut lexer = Lexer::new(
            "\n\ttype nat hook prerouting priority dstnat; policy accept;\n\n\tip saddr { 1,\n\t2 } drop # x\n\tjump a }rest",
        );
        let mut all = Vec::new();
        while let Some(rule) = lexer.statement("x").unwrap() {
            all.push((rule.line, rule.text));
        }
        assert_eq!(
            all,
            [
                (2, "type nat hook prerouting priority dstnat"),
                (2, "policy accept"),
                (4, "ip saddr { 1,\n\t2 } drop # x"),
                (6, "jump a"),
            ]
        );
        assert_eq!(lexer.token().unwrap().map(|token| token.text), Some("rest"));
    }

    #[test]
    fn tokens_know_their_place() {
        let found: Vec<_> =
            tokens("a \"b c\",\n{}").map(|token| (token.kind, token.text, token.line)).collect();
        assert_eq!(
            found,
            [
                (Kind::Word, "a", 1),
                (Kind::Quoted, "\"b c\"", 1),
                (Kind::Comma, ",", 1),
                (Kind::Newline, "\n", 1),
                (Kind::Open, "{", 2),
                (Kind::Close, "}", 2)
            ]
        );
        assert!(Lexer::new("\"open\n\"").token().is_err());
    }
}
