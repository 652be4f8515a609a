//! Listings of nft: token by token. Names stand in known places, and texts in quotation marks; the other words are those
//! of the language.

use super::names::Names;
use crate::Fault;
use crate::nft::{Kind, Token, tokens, unquoted};

/// Words behind which a name stands.
const BEFORE_NAMES: [&str; 12] = [
    "chain",
    "set",
    "map",
    "goto",
    "jump",
    "flowtable",
    "counter",
    "quota",
    "limit",
    "secmark",
    "synproxy",
    "name",
];
/// Replaces names and addresses; counters become zero.
pub(super) fn anonymise(text: &str, names: &mut Names) -> Result<String, Fault> {
    let mut writer = Writer { names, before: "", second: "", depth: 0, devices: false };
    let mut anonymous = String::with_capacity(text.len() + text.len() / 16);
    let mut end = 0;
    for token in tokens(text) {
        anonymous.push_str(&text[end..token.start]);
        anonymous.push_str(&writer.token(token));
        end = token.start + token.text.len();
    }
    anonymous.push_str(text.get(end..).unwrap_or_default());
    Ok(anonymous)
}

/// What is known of the place of the next token.
struct Writer<'n, 'a> {
    names: &'n mut Names,
    /// The words before.
    before: &'a str,
    second: &'a str,
    depth: u32,
    /// Inside `devices = { ... }`, where names of interfaces stand without quotation marks.
    devices: bool,
}

impl<'a> Writer<'_, 'a> {
    fn token(&mut self, token: Token<'a>) -> String {
        let mapped = match token.kind {
            Kind::Open => {
                self.depth += 1;
                token.text.to_owned()
            }
            Kind::Close => {
                self.depth = self.depth.saturating_sub(1);
                self.devices = false;
                token.text.to_owned()
            }
            Kind::Newline | Kind::Comma | Kind::Semicolon => token.text.to_owned(),
            Kind::Comment => comment(token.text),
            Kind::Quoted => format!("\"{}\"", self.quoted(unquoted(token.text))),
            Kind::Word => self.word(token.text),
        };
        if !matches!(token.kind, Kind::Comment) {
            self.second = std::mem::replace(&mut self.before, token.text);
        }
        mapped
    }

    fn quoted(&mut self, text: &str) -> String {
        match self.before {
            "comment" | "prefix" => self.names.comment(text),
            // Connection-tracking helpers and their protocols.
            "type" | "helper" => self.names.value(text),
            "name" | "set" | "counter" | "quota" | "limit" => self.names.identifier(text),
            // Nearly all other texts are names of interfaces.
            _ => self.names.interface(text),
        }
    }

    fn word(&mut self, word: &'a str) -> String {
        match (self.before, word) {
            (_, "devices") => self.devices = true,
            ("packets" | "bytes", number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                return "0".into();
            }
            _ => {}
        }
        if let Some(name) = word.strip_prefix('@') {
            // Parts of the packet, `@th,16,16`, are words of the language.
            return if matches!(name, "ll" | "nh" | "th" | "ih") {
                word.to_owned()
            } else {
                format!("@{}", self.names.identifier(name))
            };
        }
        if self.is_name(word) {
            return self.names.identifier(word);
        }
        if self.devices && !matches!(word, "devices" | "=") {
            return self.names.interface(word);
        }
        match self.names.address_word(word) {
            Some(address) => address,
            None => word.to_owned(),
        }
    }

    fn is_name(&self, word: &str) -> bool {
        // `table ip NAME`
        if self.second == "table" && self.depth == 0 {
            return true;
        }
        match self.before {
            "helper" | "timeout" | "expectation" if self.second == "ct" => self.depth == 1,
            // `counter packets 0`, `limit rate 5/second`, `meta mark set`, `ct helper set`: statements, not objects.
            "counter" | "limit" | "quota" | "set" | "map" | "synproxy" | "secmark" => self.depth == 1,
            before => BEFORE_NAMES.contains(&before) && word != "{",
        }
    }
}

/// Comments of the tool stay; others do not.
fn comment(text: &str) -> String {
    let is_of_the_tool =
        text.starts_with("# Warning: table ") && text.ends_with("is managed by iptables-nft, do not touch!");
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        ["#", "Warning:", "table", family, name, ..] if is_of_the_tool => {
            let is_built_in = ["filter", "nat", "mangle", "raw", "security"].contains(&name);
            if is_built_in { text.to_owned() } else { format!("# Warning: table {family}") }
        }
        ["#", "handle", number] if number.bytes().all(|byte| byte.is_ascii_digit()) => text.to_owned(),
        _ => "#".to_owned(),
    }
}
