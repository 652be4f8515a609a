//! Rulesets and clusters without the names and addresses of their owner, and otherwise the same: as many rules and chains,
//! the same jumps, ports and lengths of names.
//!
//! Names become others of the same length, hashes others of the same alphabet, addresses others that have just as much in
//! common with one another: two addresses that share their first *n* bits still do. All of it follows from a key, with one
//! mapping for all files and kinds of places, and each mapping is one to one. What stays is what everybody has: the words
//! of kube-proxy and the tools, ports, marks, loopback and link-local addresses, and that an address is a private one.
//!
//! What a line says is judged by its words, and a word that is not known to be harmless is replaced.

mod address;
mod ipset;
mod iptables;
mod json;
mod key;
mod known;
mod names;
mod nft;
mod permute;

use std::collections::HashSet;

pub use self::key::Key;
use self::names::Names;
use crate::error::Fault;
use crate::format::Format;
use crate::inspect::{Inspection, inspect_text};
use crate::ipset as sets;

/// Keys that are drawn in search of one that maps nothing onto something else of the same file.
const DRAWS: usize = 32;

/// A text without names and addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anonymised {
    /// The text.
    pub text: String,
    /// What a person should know of it.
    pub remarks: Vec<String>,
}

/// Anonymises a ruleset, the output of `ipset save`, or a cluster in JSON.
///
/// Without a key, one is drawn with which no address or name of the text stands for another one of it, so that nothing of
/// the text is found in what comes out.
///
/// # Errors
/// What is wrong with the text, and where. Nothing is anonymised that is not understood.
pub fn anonymise(text: &str, key: Option<&Key>) -> anyhow::Result<Anonymised> {
    let format = Format::detect(text)?;
    let before = check(format, text)?;
    if let Some(key) = key {
        return once(format, text, before.as_ref(), key);
    }
    let mut best: Option<Anonymised> = None;
    for _ in 0..DRAWS {
        let anonymised = once(format, text, before.as_ref(), &Key::random()?)?;
        if anonymised.remarks.is_empty() {
            return Ok(anonymised);
        }
        best.get_or_insert(anonymised);
        // Elsewhere it would be as crowded, and large texts take their time.
        if text.len() > 16 << 20 {
            break;
        }
    }
    best.ok_or_else(|| anyhow::anyhow!("no key was drawn"))
}

fn once(format: Format, text: &str, before: Option<&Inspection>, key: &Key) -> anyhow::Result<Anonymised> {
    let mut names = Names::new(key);
    let anonymous = match format {
        Format::Iptables => iptables::anonymise(text, &mut names)?,
        Format::Nft => nft::anonymise(text, &mut names)?,
        Format::Ipset => ipset::anonymise(text, &mut names)?,
        Format::Json => json::anonymise(text, &mut names)?,
    };
    let after = check(format, &anonymous)?;
    if let (Some(before), Some(after)) = (before, &after) {
        anyhow::ensure!(
            same_structure(before, after),
            "the anonymous ruleset is not like the original, which is a defect of svcbench: nothing is written"
        );
    }
    Ok(Anonymised { text: anonymous, remarks: names.remarks() })
}

/// Reads a text, to see that it is what it seems.
fn check(format: Format, text: &str) -> Result<Option<Inspection>, Fault> {
    match format {
        Format::Iptables | Format::Nft => inspect_text(text).map(Some),
        Format::Ipset => sets::parse(text).map(|_| None),
        Format::Json => Ok(None),
    }
}

fn same_structure(before: &Inspection, after: &Inspection) -> bool {
    let shape = |inspection: &Inspection| {
        let tables: Vec<_> = inspection
            .tables
            .iter()
            .map(|table| (table.rules, table.chains, table.base_chains, table.elements))
            .collect();
        let services: Vec<_> = inspection
            .services
            .found
            .iter()
            .map(|found| {
                (
                    found.line,
                    found.frontend,
                    found.protocol,
                    found.entry.port(),
                    found.answers.len(),
                    found.is_certain,
                )
            })
            .collect();
        (tables, services, inspection.sets.values().copied().collect::<HashSet<_>>())
    };
    shape(before) == shape(after)
}

#[cfg(test)]
mod tests;
