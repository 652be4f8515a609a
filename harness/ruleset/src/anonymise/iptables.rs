//! Dumps of iptables: line by line, word by word. Which words a value has is known by the option before it.

use super::names::Names;
use crate::iptables::{TARGETS, Word, Words};
use crate::{Fault, Header};

/// Tables of iptables.
const TABLES: [&str; 6] = ["filter", "nat", "mangle", "raw", "security", "broute"];

/// What the words behind an option are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    /// Names of extensions, protocols and levels: what the tools know, as is.
    Known,
    Chain,
    Interface,
    /// A set, then which parts of the packet are looked up.
    Set,
    Text,
    Identifier,
    /// Values that are judged one by one.
    Any,
}

fn values(option: &str) -> Values {
    match option {
        "-m" | "--match" | "-p" | "--protocol" | "--mode" | "--log-level" | "--reject-with" | "--algo" => {
            Values::Known
        }
        "-j" | "--jump" | "-g" | "--goto" => Values::Chain,
        "-i" | "--in-interface" | "-o" | "--out-interface" | "--physdev-in" | "--physdev-out" | "--oif"
        | "--gateway-dev" => Values::Interface,
        "--match-set" | "--add-set" | "--del-set" | "--map-set" => Values::Set,
        "--comment" | "--log-prefix" | "--nflog-prefix" | "--ulog-prefix" | "--string" | "--hex-string"
        | "--path" | "--bytecode" | "--object-pinned" | "--label" | "--selctx" => Values::Text,
        "--name" | "--hashlimit-name" | "--nfacct-name" | "--rateest-name" | "--led-trigger-id"
        | "--timeout" => Values::Identifier,
        _ => Values::Any,
    }
}

/// Replaces names and addresses; counters become zero.
pub(super) fn anonymise(text: &str, names: &mut Names) -> Result<String, Fault> {
    let mut anonymous = String::with_capacity(text.len() + text.len() / 16);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let bare = line.trim_end_matches(['\n', ' ', '\t']);
        let at = |problem: &str| Fault::at(number, problem);
        match bare.as_bytes().first() {
            None => {}
            Some(b'#') => anonymous.push_str(&comment(bare)),
            Some(b'*') => {
                let table = &bare[1..];
                if !TABLES.contains(&table) {
                    return Err(at("this is no table of iptables"));
                }
                anonymous.push_str(bare);
            }
            Some(b':') => {
                let mut words = bare[1..].split_ascii_whitespace();
                let (chain, policy) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                anonymous.push(':');
                anonymous.push_str(&names.identifier(chain));
                anonymous.push(' ');
                anonymous.push_str(policy);
                if words.next().is_some() {
                    anonymous.push_str(" [0:0]");
                }
            }
            Some(b'C') => anonymous.push_str(bare),
            Some(_) => {
                let rule = match bare.split_once("] ") {
                    Some((_, rule)) if bare.starts_with('[') => {
                        anonymous.push_str("[0:0] ");
                        rule
                    }
                    _ => bare,
                };
                let (chain, rest) = rule
                    .strip_prefix("-A ")
                    .and_then(|rule| rule.split_once(' '))
                    .unwrap_or_else(|| (rule.strip_prefix("-A ").unwrap_or(rule), ""));
                anonymous.push_str("-A ");
                anonymous.push_str(&names.identifier(chain));
                words(rest, names, &mut anonymous).map_err(at)?;
            }
        }
        if line.ends_with('\n') {
            anonymous.push('\n');
        }
    }
    Ok(anonymous)
}

/// Comments of the tool keep what decides how the dump is read, and lose the date.
fn comment(line: &str) -> String {
    const DAY: &str = "Thu Jan  1 00:00:00 1970";
    if Header::parse(line).is_some()
        && let Some((by, _)) = line.split_once(" on ")
    {
        return format!("{by} on {DAY}");
    }
    if line.starts_with("# Completed on ") {
        return format!("# Completed on {DAY}");
    }
    let is_of_the_tool = line.starts_with("# Warning: iptables-legacy tables present")
        || line.starts_with("# Warning: ip6tables-legacy tables present");
    if is_of_the_tool { line.to_owned() } else { "#".to_owned() }
}

fn words(rule: &str, names: &mut Names, into: &mut String) -> Result<(), &'static str> {
    let (mut kind, mut place) = (Values::Any, 0);
    // Behind an option that takes free text, a word is its value whatever it looks like.
    let mut expects_text = false;
    for word in Words::new(rule) {
        let word = word?;
        into.push(' ');
        if !word.quoted && !expects_text && (word.text == "!" || is_option(&word.text)) {
            into.push_str(&word.text);
            if word.text != "!" {
                (kind, place) = (values(&word.text), 0);
                expects_text =
                    matches!(kind, Values::Text | Values::Chain | Values::Interface | Values::Identifier);
            }
            continue;
        }
        let mapped = value(kind, place, &word, names);
        put(&mapped, word.quoted, into);
        (place, expects_text) = (place + 1, false);
        if kind != Values::Set && kind != Values::Known {
            kind = Values::Any;
        }
    }
    Ok(())
}

/// Options begin with a dash and a letter; a negative number does not.
fn is_option(word: &str) -> bool {
    let name = word.trim_start_matches('-');
    word.len() > name.len()
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn value(kind: Values, place: usize, word: &Word<'_>, names: &mut Names) -> String {
    let text = &*word.text;
    match kind {
        Values::Known if place == 0 => text.to_owned(),
        Values::Chain if TARGETS.contains(&text) => text.to_owned(),
        Values::Chain | Values::Identifier => names.identifier(text),
        Values::Interface => names.interface(text),
        Values::Set if place == 0 => names.identifier(text),
        Values::Text => names.comment(text),
        Values::Known | Values::Set | Values::Any => names.value(text),
    }
}

/// As iptables-save writes a string (`xtables_save_string`, libxtables/xtables.c).
fn put(text: &str, quoted: bool, into: &mut String) {
    if !quoted {
        into.push_str(text);
        return;
    }
    into.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '\'') {
            into.push('\\');
        }
        into.push(c);
    }
    into.push('"');
}
