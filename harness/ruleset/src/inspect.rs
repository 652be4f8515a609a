//! All that a ruleset tells about itself, without its text.

use std::collections::BTreeMap;
use std::path::Path;

use services::service::Family;

use crate::error::{Fault, RulesetError};
use crate::format::Format;
use crate::search::{self, FoundServices};
use crate::variant::Variant;
use crate::{input, iptables, nft};

/// What a table amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableCounts {
    /// `ip`, `ip6`, `inet`, ...
    pub family: String,
    /// Its name.
    pub name: String,
    /// Rules.
    pub rules: u64,
    /// Chains, base and built-in ones included.
    pub chains: u64,
    /// Of those, the base and built-in ones: the tool makes them as it likes.
    pub base_chains: u64,
    /// Elements of sets and maps that rules do not change.
    pub elements: u64,
}

/// What a ruleset is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// [`Format::Iptables`] or [`Format::Nft`].
    pub format: Format,
    /// Which variant of iptables wrote it, if it says so.
    pub variant: Option<Variant>,
    /// Its tables.
    pub tables: Vec<TableCounts>,
    /// ipsets that its rules refer to, and the first line that does.
    pub sets: BTreeMap<String, u32>,
    /// Extensions of iptables that its rules use, and the first line that does.
    pub extensions: BTreeMap<String, u32>,
    /// Services in it.
    pub services: FoundServices,
    /// What a person should know of it.
    pub remarks: Vec<String>,
}

impl Inspection {
    /// Families of IP that it has rules for.
    pub fn families(&self) -> Vec<Family> {
        let has = |names: &[&str]| self.tables.iter().any(|table| names.contains(&&*table.family));
        let mut families = Vec::new();
        if has(&["ip", "inet"]) {
            families.push(Family::Ipv4);
        }
        if has(&["ip6", "inet"]) {
            families.push(Family::Ipv6);
        }
        families
    }

    /// Sums over all tables.
    pub fn totals(&self) -> (u64, u64, u64) {
        let sum = |of: fn(&TableCounts) -> u64| self.tables.iter().map(of).sum();
        (sum(|table| table.rules), sum(|table| table.chains), sum(|table| table.elements))
    }
}

/// Reads and inspects a file, or standard input for `-`. Returns its text, too.
///
/// # Errors
/// [`RulesetError`].
pub fn inspect(path: &Path) -> Result<(String, Inspection), RulesetError> {
    let text = input::read(path)?;
    let inspection = inspect_text(&text).map_err(|fault| fault.of(input::name(path)))?;
    Ok((text, inspection))
}

/// Inspects a text.
///
/// # Errors
/// What is wrong with it, and where.
pub fn inspect_text(text: &str) -> Result<Inspection, Fault> {
    inspected(text).map_err(|mut fault| {
        let last = input::lines(text).last().map(|(number, _)| number);
        if fault.line.is_some() && fault.line == last && !text.ends_with('\n') {
            fault.problem += "; the file ends in the middle of this line, so it may be cut off";
        }
        fault
    })
}

fn inspected(text: &str) -> Result<Inspection, Fault> {
    match Format::detect(text)? {
        Format::Iptables => Ok(of_iptables(iptables::parse(text)?)),
        Format::Nft => Ok(of_nft(nft::parse(text)?)),
        Format::Ipset => Err(Fault::whole("these are ipsets, not rules; give them with --replay-sets")),
        Format::Json => Err(Fault::whole(
            "this is JSON; rules are read as text, as `nft list ruleset` prints them, and clusters with --from",
        )),
    }
}

fn of_iptables(dump: iptables::Dump<'_>) -> Inspection {
    let services = search::find_iptables(&dump, search::LIMIT);
    let counts = |table: &iptables::IptablesTable<'_>| TableCounts {
        family: match table.family {
            Family::Ipv4 => "ip".into(),
            Family::Ipv6 => "ip6".into(),
        },
        name: table.name.to_owned(),
        rules: table.chains.rules(),
        chains: table.chains.all().len() as u64,
        base_chains: table.chains.all().iter().filter(|chain| chain.is_base).count() as u64,
        elements: 0,
    };
    Inspection {
        format: Format::Iptables,
        variant: dump.variant,
        tables: dump.tables.iter().map(counts).collect(),
        sets: dump.sets,
        extensions: dump.extensions,
        services,
        remarks: dump.remarks,
    }
}

fn of_nft(listing: nft::Listing<'_>) -> Inspection {
    let services = search::find_nft(&listing, search::LIMIT);
    let counts = |table: &nft::NftTable<'_>| TableCounts {
        family: table.family.to_owned(),
        name: table.name.to_owned(),
        rules: table.chains.rules(),
        chains: table.chains.all().len() as u64,
        base_chains: table.chains.all().iter().filter(|chain| chain.is_base).count() as u64,
        elements: table.sets.iter().filter(|set| !set.is_dynamic).map(|set| set.elements.len() as u64).sum(),
    };
    Inspection {
        format: Format::Nft,
        variant: None,
        tables: listing.tables.iter().map(counts).collect(),
        sets: BTreeMap::new(),
        extensions: BTreeMap::new(),
        services,
        remarks: listing.remarks,
    }
}
