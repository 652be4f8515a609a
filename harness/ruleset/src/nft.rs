//! What `nft list ruleset` prints: tables with chains, sets, maps and whatever else (nft(8)).
//!
//! The grammar is read as far as structure goes: blocks and their names, rules line by line, elements of sets, the jumps
//! of rules and verdict maps, and references to sets. What a statement means to the kernel is left to nft.

mod lexer;
mod rule;
mod sets;

use std::collections::HashMap;

use self::lexer::Lexer;
pub(crate) use self::lexer::unquoted;
pub use self::lexer::{Kind, Token, tokens};
pub use self::rule::{Statement, Verdict, parse_statement};
pub use self::sets::{Element, Set};
use crate::chains::{Chains, Rule};
use crate::error::Fault;
use crate::input;

/// A table.
#[derive(Clone, Debug)]
pub struct NftTable<'a> {
    /// `ip`, `ip6`, `inet`, `arp`, `bridge` or `netdev`.
    pub family: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Where it begins.
    pub line: u32,
    /// Its chains.
    pub chains: Chains<'a>,
    /// Its named sets and maps.
    pub sets: Vec<Set<'a>>,
    set_names: HashMap<&'a str, usize>,
    /// Set and line of references.
    references: Vec<(&'a str, u32)>,
}

impl<'a> NftTable<'a> {
    /// A set or map by name.
    pub fn set(&self, name: &str) -> Option<&Set<'a>> {
        self.set_names.get(name).map(|&index| &self.sets[index])
    }

    /// Elements of all sets and maps.
    pub fn elements(&self) -> u64 {
        self.sets.iter().map(|set| set.elements.len() as u64).sum()
    }
}

/// A whole listing.
#[derive(Clone, Debug, Default)]
pub struct Listing<'a> {
    /// Its tables, in their order.
    pub tables: Vec<NftTable<'a>>,
    /// What a person should know of it.
    pub remarks: Vec<String>,
}

const FAMILIES: [&str; 6] = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];
/// Blocks in a table that are passed over: nothing jumps to or from them.
const OBJECTS: [&str; 7] = ["flowtable", "counter", "quota", "limit", "secmark", "synproxy", "ct"];

/// Reads a listing.
///
/// # Errors
/// The first line that nft would not have written there.
pub fn parse(text: &str) -> Result<Listing<'_>, Fault> {
    let mut listing = Listing::default();
    let mut lexer = Lexer::new(text);
    while let Some(token) = lexer.token()? {
        match token.kind {
            Kind::Newline | Kind::Semicolon => {}
            Kind::Comment => {
                if token.text.contains("Warning") {
                    listing.remarks.push(format!(
                        "line {}: {}",
                        token.line,
                        token.text.trim_start_matches('#').trim()
                    ));
                }
            }
            Kind::Word if token.text == "table" => {
                let table = table(&mut lexer, token.line)?;
                let same = listing
                    .tables
                    .iter()
                    .find(|other| (other.family, other.name) == (table.family, table.name));
                if let Some(other) = same {
                    let (family, name) = (table.family, table.name);
                    let problem =
                        format!("table {family} {name} is there twice, first in line {}", other.line);
                    return Err(Fault::at(table.line, problem));
                }
                listing.tables.push(table);
            }
            _ => {
                let shown = input::shown(token.text);
                return Err(Fault::at(token.line, format!("{shown} stands where a table should begin")));
            }
        }
    }
    Ok(listing)
}

/// Behind the word `table`.
fn table<'a>(lexer: &mut Lexer<'a>, line: u32) -> Result<NftTable<'a>, Fault> {
    let family = lexer.word("the family of a table")?;
    if !FAMILIES.contains(&family.text) {
        return Err(Fault::at(
            family.line,
            format!("{} is no family of nftables", input::shown(family.text)),
        ));
    }
    let name = lexer.word("the name of a table")?.text;
    lexer.open("the table")?;
    let mut table = NftTable {
        family: family.text,
        name,
        line,
        chains: Chains::default(),
        sets: Vec::new(),
        set_names: HashMap::new(),
        references: Vec::new(),
    };
    loop {
        let Some(token) = lexer.token()? else {
            return Err(Fault::whole(format!(
                "table {family} {name}, which begins in line {line}, has no end: the file is cut off",
                family = family.text
            )));
        };
        match (token.kind, token.text) {
            (Kind::Newline | Kind::Semicolon | Kind::Comment, _) => {}
            (Kind::Close, _) => break,
            (Kind::Word, "chain") => chain(lexer, &mut table)?,
            (Kind::Word, kind @ ("set" | "map")) => {
                let set = sets::parse(lexer, kind == "map", token.line)?;
                if let Some(&other) = table.set_names.get(set.name) {
                    let before = table.sets[other].line;
                    let shown = input::shown(set.name);
                    return Err(Fault::at(
                        set.line,
                        format!("{kind} {shown} is there twice, first in line {before}"),
                    ));
                }
                table.set_names.insert(set.name, table.sets.len());
                table.sets.push(set);
            }
            (Kind::Word, "comment" | "flags") => lexer.skip_line()?,
            (Kind::Word, object) if OBJECTS.contains(&object) => lexer.skip_block(object, token.line)?,
            _ => {
                let shown = input::shown(token.text);
                return Err(Fault::at(
                    token.line,
                    format!("{shown} stands where a chain, set or map should begin"),
                ));
            }
        }
    }
    check(&mut table)?;
    Ok(table)
}

/// Behind the word `chain`.
fn chain<'a>(lexer: &mut Lexer<'a>, table: &mut NftTable<'a>) -> Result<(), Fault> {
    let name = lexer.word("the name of a chain")?;
    let chain = table.chains.declare(name.text, name.line, false)?;
    lexer.open("the chain")?;
    while let Some(line) = lexer.statement(name.text)? {
        let mut words = tokens(line.text).filter(|token| token.kind != Kind::Comment).peekable();
        let Some(first) = words.peek() else { continue };
        match first.text {
            "type" => {
                table.chains.set_base(chain);
                continue;
            }
            "policy" | "comment" if first.kind == Kind::Word => continue,
            _ => {}
        }
        let at = |problem: &str| Fault::at(line.line, problem);
        let mut before = "";
        // Flow tables are named as sets are.
        let of_flows = first.text == "flow" || line.text.contains(" flow add ");
        while let Some(word) = words.next() {
            let is_name = matches!(word.kind, Kind::Word | Kind::Quoted);
            match before {
                "goto" | "jump" if is_name => table.chains.jump(chain, unquoted(word.text), line.line),
                "goto" | "jump" if word.kind != Kind::Open => {
                    return Err(at("it ends where a chain should stand"));
                }
                "xt" => {
                    return Err(at(
                        "it was made by iptables-nft with an extension that nft can show but not load; take \
                                   iptables-nft-save for its tables, and `nft list table` for the others",
                    ));
                }
                _ => {}
            }
            if let Some(set) = word.text.strip_prefix('@').filter(|_| word.kind == Kind::Word) {
                // `@th,16,16` is a part of the packet (raw payload expression), no set.
                let is_raw = matches!(words.peek().map(|next| next.kind), Some(Kind::Comma))
                    && matches!(set, "ll" | "nh" | "th" | "ih");
                if !is_raw && !of_flows {
                    table.references.push((set, line.line));
                }
            }
            before = if word.kind == Kind::Word { word.text } else { "" };
        }
        if matches!(before, "goto" | "jump") {
            return Err(at("it ends where a chain should stand"));
        }
        if tokens(line.text).any(|token| token.kind == Kind::Comment && token.text.starts_with("# xt_")) {
            return Err(at(
                "it was made by iptables-nft with an extension that this nft could not show; take \
                           iptables-nft-save for its tables",
            ));
        }
        table.chains.append(chain, Rule { line: line.line, text: line.text });
    }
    Ok(())
}

/// That references lead somewhere.
fn check(table: &mut NftTable<'_>) -> Result<(), Fault> {
    for &(set, line) in &table.references {
        if !table.set_names.contains_key(set) {
            let shown = input::shown(set);
            return Err(Fault::at(
                line,
                format!("it refers to set or map {shown}, which its table does not have"),
            ));
        }
    }
    // A verdict map sends packets on from every chain that looks them up in it.
    let mut askers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, chain) in table.chains.all().iter().enumerate() {
        for rule in &chain.rules {
            let mut before = "";
            for word in tokens(rule.text) {
                if before == "vmap"
                    && let Some(map) = word.text.strip_prefix('@')
                {
                    askers.entry(map).or_default().push(index);
                }
                before = word.text;
            }
        }
    }
    for set in &table.sets {
        let from = askers.get(set.name).map(Vec::as_slice).unwrap_or_default();
        for element in &set.elements {
            let Some(to) = element.chain() else { continue };
            if table.chains.index(to).is_none() {
                let shown = input::shown(to);
                let problem = format!("an element jumps to chain {shown}, which its table does not have");
                return Err(Fault::at(element.line, problem));
            }
            for &chain in from {
                table.chains.jump(chain, to, element.line);
            }
        }
    }
    table.chains.check()
}

#[cfg(test)]
mod tests;
