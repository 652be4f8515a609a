//! What `iptables-save` and `ip6tables-save` print, in either variant, with or without counters.
//!
//! The grammar is that of the program that reads it again (iptables/iptables-restore.c): `*table`, then `:CHAIN POLICY
//! [packets:bytes]` and `[packets:bytes] -A CHAIN ...`, then `COMMIT`; `#` begins a comment.

mod rule;
mod words;

use std::borrow::Cow;
use std::collections::BTreeMap;

use services::service::Family;

pub(crate) use self::rule::network;
pub use self::rule::{Options, parse_rule};
pub use self::words::{Word, Words};

use crate::chains::{Chains, Rule};
use crate::error::Fault;
use crate::header::Header;
use crate::input;
use crate::variant::Variant;

/// Targets of iptables 1.8 that are no chains (its man pages iptables(8) and iptables-extensions(8)).
pub(crate) const TARGETS: [&str; 48] = [
    "ACCEPT",
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CLUSTERIP",
    "CONNMARK",
    "CONNSECMARK",
    "CT",
    "DNAT",
    "DNPT",
    "DROP",
    "DSCP",
    "ECN",
    "HL",
    "HMARK",
    "IDLETIMER",
    "LED",
    "LOG",
    "MARK",
    "MASQUERADE",
    "MIRROR",
    "NETMAP",
    "NFLOG",
    "NFQUEUE",
    "NOTRACK",
    "QUEUE",
    "RATEEST",
    "REDIRECT",
    "REJECT",
    "RETURN",
    "SAME",
    "SECMARK",
    "SET",
    "SNAT",
    "SNPT",
    "STANDARD",
    "SYNPROXY",
    "TARPIT",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TPROXY",
    "TRACE",
    "TTL",
    "ULOG",
    "mark",
    "NULL",
];

/// A table.
#[derive(Clone, Debug)]
pub struct IptablesTable<'a> {
    /// IPv4 or IPv6.
    pub family: Family,
    /// `nat`, `filter`, ...
    pub name: &'a str,
    /// Where it begins.
    pub line: u32,
    /// Where its COMMIT stands.
    pub end: u32,
    /// Its chains.
    pub chains: Chains<'a>,
}

/// A whole dump.
#[derive(Clone, Debug, Default)]
pub struct Dump<'a> {
    /// Its tables, in their order.
    pub tables: Vec<IptablesTable<'a>>,
    /// Which variant of iptables wrote it, if it says so.
    pub variant: Option<Variant>,
    /// Names of ipsets that rules refer to, and the first line that does.
    pub sets: BTreeMap<String, u32>,
    /// Names of matches (`-m`) and of targets that are no chains (`-j`).
    pub extensions: BTreeMap<String, u32>,
    /// What a person should know of the file.
    pub remarks: Vec<String>,
}

/// Reads a dump.
///
/// # Errors
/// The first line that iptables-save would not have written there.
pub fn parse(text: &str) -> Result<Dump<'_>, Fault> {
    let mut dump = Dump::default();
    let mut header: Option<Header> = None;
    let mut open: Option<Open<'_>> = None;
    for (number, line) in input::lines(text) {
        let line = line.trim_end_matches([' ', '\t']);
        let at = |problem: String| Fault::at(number, problem);
        if let Some(comment) = line.strip_prefix('#') {
            if let Some(found) = Header::parse(line) {
                let before = dump.variant.replace(found.variant);
                if before.is_some_and(|before| before != found.variant) {
                    return Err(at(
                        "this part was written by the other variant of iptables; a file can hold the rules \
                                   of one, so split it here"
                            .into(),
                    ));
                }
                header = Some(found);
            } else if comment.contains("Warning") || comment.contains("incompatible") {
                dump.remarks.push(format!("line {number}: {}", comment.trim()));
            }
        } else if line.is_empty() {
        } else if let Some(name) = line.strip_prefix('*') {
            if let Some(open) = &open {
                return Err(at(format!("table {} has no COMMIT before this line", open.table.name)));
            }
            open = Some(Open::begin(name, number, header.map(|header| header.family), &dump.tables)?);
        } else {
            let Some(table) = &mut open else {
                return Err(at(format!("{} stands outside of any table", input::shown(line))));
            };
            match line {
                "COMMIT" => {
                    let table = open.take().map(|open| open.end(number, &mut dump)).transpose()?;
                    dump.tables.extend(table);
                }
                _ => table.line(number, line)?,
            }
        }
    }
    match open {
        Some(Open { table, .. }) => Err(Fault::whole(format!(
            "table {}, which begins in line {}, has no COMMIT: the file is cut off",
            table.name, table.line
        ))),
        None => Ok(dump),
    }
}

/// A table whose COMMIT is still to come.
struct Open<'a> {
    table: IptablesTable<'a>,
    family: Option<Family>,
    sets: BTreeMap<String, u32>,
    extensions: BTreeMap<String, u32>,
    /// Chain, target and line of jumps to what is declared nowhere yet.
    targets: Vec<(usize, &'a str, u32)>,
}

impl<'a> Open<'a> {
    fn begin(
        name: &'a str,
        line: u32,
        family: Option<Family>,
        before: &[IptablesTable<'_>],
    ) -> Result<Self, Fault> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(Fault::at(line, format!("{} is no name of a table", input::shown(name))));
        }
        // Without a header, a table that comes again is taken for that of the other family.
        let family = family.or_else(|| {
            before
                .iter()
                .any(|other| other.name == name && other.family == Family::Ipv4)
                .then_some(Family::Ipv6)
        });
        let table = IptablesTable {
            family: family.unwrap_or_default(),
            name,
            line,
            end: line,
            chains: Chains::default(),
        };
        if let Some(other) =
            before.iter().find(|other| (other.name, other.family) == (table.name, table.family))
        {
            return Err(Fault::at(
                line,
                format!(
                    "table {name} of {} is there twice, first in line {}",
                    table.family.name(),
                    other.line
                ),
            ));
        }
        let (sets, extensions) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { table, family, sets, extensions, targets: Vec::new() })
    }

    fn line(&mut self, number: u32, line: &'a str) -> Result<(), Fault> {
        if let Some(declaration) = line.strip_prefix(':') {
            return self.chain(number, declaration);
        }
        let rule = match line.strip_prefix('[') {
            // `[packets:bytes] -A ...`
            Some(rest) => match rest.split_once("] ") {
                Some((counters, rule)) if are_counters(counters) => rule,
                _ => return Err(Fault::at(number, format!("{} holds no counters", input::shown(line)))),
            },
            None => line,
        };
        match rule.strip_prefix("-A ") {
            Some(rule) => self.rule(number, rule),
            None => {
                Err(Fault::at(number, format!("{} is nothing that iptables-save prints", input::shown(line))))
            }
        }
    }

    /// `NAME POLICY [packets:bytes]`.
    fn chain(&mut self, number: u32, declaration: &'a str) -> Result<(), Fault> {
        let fault = || {
            let problem = "declares no chain; expected `:NAME POLICY [packets:bytes]`";
            Fault::at(number, format!("{} {problem}", input::shown(declaration)))
        };
        let mut words = declaration.split_ascii_whitespace();
        let (Some(name), Some(policy)) = (words.next(), words.next()) else { return Err(fault()) };
        let counters =
            words.next().map(|word| word.strip_prefix('[').and_then(|word| word.strip_suffix(']')));
        if words.next().is_some() || counters.is_some_and(|inner| !inner.is_some_and(are_counters)) {
            return Err(fault());
        }
        let is_base = match policy {
            "-" => false,
            "ACCEPT" | "DROP" | "QUEUE" => true,
            _ => return Err(fault()),
        };
        self.table.chains.declare(name, number, is_base)?;
        Ok(())
    }

    /// `CHAIN matches -j TARGET options`.
    fn rule(&mut self, line: u32, rule: &'a str) -> Result<(), Fault> {
        let (name, text) = rule.split_once(' ').unwrap_or((rule, ""));
        let Some(chain) = self.table.chains.index(name) else {
            let problem = format!("its chain {} is not declared before", input::shown(name));
            return Err(Fault::at(line, problem));
        };
        let at = |problem: &str| Fault::at(line, problem);
        let mut words = Words::new(text);
        let mut next = || words.next().transpose().map_err(at);
        let mut jumps = false;
        while let Some(word) = next()? {
            match &*word.text {
                "-j" | "-g" | "--jump" | "--goto" if !jumps => {
                    jumps = true;
                    let Some(target) = next()? else {
                        return Err(at("it ends where its target should stand"));
                    };
                    let Cow::Borrowed(target) = target.text else {
                        return Err(at("its target is no name"));
                    };
                    self.targets.push((chain, target, line));
                }
                "-m" | "--match" => {
                    let Some(name) = next()? else { return Err(at("it ends where a match should stand")) };
                    self.extensions.entry(name.text.into_owned()).or_insert(line);
                }
                "--match-set" | "--add-set" | "--del-set" | "--map-set" => {
                    let Some(set) = next()? else { return Err(at("it ends where a set should stand")) };
                    self.sets.entry(set.text.into_owned()).or_insert(line);
                }
                // Free text that may look like an option.
                "--comment" | "--log-prefix" | "--nflog-prefix" | "--string" | "--hex-string" => {
                    drop(next()?)
                }
                "-s" | "-d" if self.family.is_none() => {
                    let Some(address) = next()? else {
                        return Err(at("it ends where an address should stand"));
                    };
                    let v6 = address.text.contains(':');
                    self.family = Some(if v6 { Family::Ipv6 } else { Family::Ipv4 });
                    self.table.family = self.family.unwrap_or_default();
                }
                _ => {}
            }
        }
        self.table.chains.append(chain, Rule { line, text });
        Ok(())
    }

    /// At its COMMIT.
    fn end(mut self, line: u32, dump: &mut Dump<'a>) -> Result<IptablesTable<'a>, Fault> {
        for (from, target, line) in std::mem::take(&mut self.targets) {
            if self.table.chains.index(target).is_some() {
                self.table.chains.jump(from, target, line);
            } else if TARGETS.contains(&target) {
                self.extensions.entry(target.to_owned()).or_insert(line);
            } else {
                return Err(Fault::at(
                    line,
                    format!(
                        "it jumps to {}, which is no chain of table {} and no target of iptables",
                        input::shown(target),
                        self.table.name
                    ),
                ));
            }
        }
        self.table.chains.check()?;
        self.table.end = line;
        for (from, into) in [(self.sets, &mut dump.sets), (self.extensions, &mut dump.extensions)] {
            for (name, line) in from {
                into.entry(name).or_insert(line);
            }
        }
        Ok(self.table)
    }
}

fn are_counters(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once(':').is_some_and(|(packets, bytes)| number(packets) && number(bytes))
}

#[cfg(test)]
mod tests;
