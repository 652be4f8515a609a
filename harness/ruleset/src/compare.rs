//! Whether two kernels hold the same rules: what `nft list ruleset` or `iptables-save` printed in each, in a normal form, and
//! compared Service by Service.
//!
//! What makes no difference to a packet is taken out: the order of tables, chains, sets and their elements, handles,
//! counters, spaces, and in the lists of Services that packets walk (`KUBE-SERVICES` and its like) the order of Services,
//! which is that of a Go map in kube-proxy and another at every sync. The rules of one Service stay in their order, and
//! so do rules of no Service before and behind those of Services. Elements that packets have put into a set are left out, and so
//! are built-in chains of iptables that let everything pass.
//!
//! Comments are compared: they say for whom a rule is.

mod iptables;
mod nft;
mod owner;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use self::iptables::normal as normal_iptables;
pub use self::nft::normal as normal_nft;
use crate::error::Fault;
use crate::format::Format;

/// Which of the two has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The first alone.
    First,
    /// The second alone.
    Second,
    /// Both, in another order.
    Order,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The Service whose rule it is, as kube-proxy shows it, if that is known.
    pub service: Option<String>,
    /// Table, and chain or set: `ip kube-proxy, chain services`.
    pub place: String,
    /// Who has it.
    pub side: Side,
    /// The rule, element or head in normal form. Empty where only the order differs.
    pub line: String,
}

impl fmt::Display for Difference {
    /// `demo/web:http: ip kube-proxy, chain services: only in the first: RULE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(service) = &self.service {
            write!(f, "{service}: ")?;
        }
        match self.side {
            Side::First => write!(f, "{}: only in the first: {}", self.place, self.line),
            Side::Second => write!(f, "{}: only in the second: {}", self.place, self.line),
            Side::Order => write!(f, "{}: the same rules in another order", self.place),
        }
    }
}

/// A chain or set, in normal form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// The Service that it belongs to.
    pub service: Option<String>,
    /// What it is, then its rules or elements, each with the Service it is for, where that is another or the chain has none.
    pub lines: Vec<(Option<String>, String)>,
}

/// A ruleset in normal form: chains and sets by their places.
pub type Normal = BTreeMap<String, Object>;

/// Compares two texts, of whichever of the two formats both are.
///
/// # Errors
/// The first line of one that is no line of a ruleset, or that they are of different formats.
pub fn compare(first: &str, second: &str) -> Result<Vec<Difference>, Fault> {
    // A kernel without a table prints nothing.
    let format = |text: &str| if text.trim().is_empty() { Ok(None) } else { Format::detect(text).map(Some) };
    let normal = match (format(first)?, format(second)?) {
        (None, None) => return Ok(Vec::new()),
        (Some(one), Some(other)) if one != other => {
            return Err(Fault::whole(format!("one is {one}, the other {other}: they cannot be compared")));
        }
        (Some(format), _) | (None, Some(format)) => match format {
            Format::Nft => normal_nft,
            Format::Iptables => normal_iptables,
            Format::Ipset | Format::Json => {
                return Err(Fault::whole(format!("{format} is not compared: give iptables-save or nft")));
            }
        },
    };
    Ok(differences(&normal(first)?, &normal(second)?))
}

/// Differences between two normal forms, by Service and place.
pub fn differences(first: &Normal, second: &Normal) -> Vec<Difference> {
    let mut found = Vec::new();
    let places: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let nothing = Object::default();
    for place in places {
        let (one, other) = (first.get(place).unwrap_or(&nothing), second.get(place).unwrap_or(&nothing));
        if one.lines != other.lines {
            in_object(place, one, other, &mut found);
        }
    }
    found.sort();
    found
}

fn in_object(place: &str, one: &Object, other: &Object, found: &mut Vec<Difference>) {
    // How many more of a line the first has.
    let mut surplus: BTreeMap<&(Option<String>, String), i64> = BTreeMap::new();
    one.lines.iter().for_each(|line| *surplus.entry(line).or_default() += 1);
    other.lines.iter().for_each(|line| *surplus.entry(line).or_default() -= 1);
    let whose = |own: Option<&String>| own.or(one.service.as_ref()).or(other.service.as_ref()).cloned();
    let before = found.len();
    for (line, count) in surplus {
        let (service, line) = line;
        let side = if count > 0 { Side::First } else { Side::Second };
        let difference = Difference {
            service: whose(service.as_ref()),
            place: place.to_owned(),
            side,
            line: line.clone(),
        };
        found.extend(std::iter::repeat_n(difference, count.unsigned_abs() as usize));
    }
    if found.len() == before {
        let place = place.to_owned();
        found.push(Difference { service: whose(None), place, side: Side::Order, line: String::new() });
    }
}

#[cfg(test)]
mod tests;
