//! What two normal forms do not have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::normal::{Normal, Object};

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
