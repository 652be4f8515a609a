//! What systems are called.

use std::collections::{BTreeMap, BTreeSet};

use crate::text::{listed as in_a_row, shorten};

/// Digits of a hash that tell two binaries of one version apart, if they differ in them.
const HASH: usize = 4;

/// A system as the column `system` has it, and as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemName {
    /// The column: `kube-proxy v1.37.2 sha256:2020eaee1dd13947`, or the sweep's own words if it never ran: `kube-proxy:1.36`.
    pub column: String,
    /// `kube-proxy 1.37.2`; with some digits of its hash where there are two of that version.
    pub label: String,
    /// What it is: `kube-proxy`.
    program: String,
    /// Version and hash in short: `1.37.2`, `1.37.2 #2020`.
    short: String,
    /// Major, minor and patch version, as far as they are known.
    version: Vec<u32>,
}

impl SystemName {
    /// Of all columns of a lane, by program and version.
    pub(super) fn all(columns: &BTreeSet<&str>) -> Vec<Self> {
        let parsed: Vec<(&str, Parsed<'_>)> =
            columns.iter().map(|column| (*column, Parsed::of(column))).collect();
        let name = |(column, own): &(&str, Parsed<'_>)| {
            let same = |other: &&(&str, Parsed<'_>)| {
                (other.1.program, other.1.version) == (own.program, own.version)
            };
            let twins: Vec<&str> = parsed.iter().filter(same).map(|(_, other)| other.hash).collect();
            let hash = if twins.len() > 1 { distinct(own.hash, &twins) } else { String::new() };
            let short = format!("{}{hash}", own.version);
            let label = format!("{} {short}", own.program);
            SystemName {
                column: (*column).to_owned(),
                label: label.trim().to_owned(),
                program: own.program.to_owned(),
                short: if short.is_empty() { own.program.to_owned() } else { short },
                version: own.version.split('.').map_while(|part| part.parse().ok()).collect(),
            }
        };
        let mut names: Vec<SystemName> = parsed.iter().map(name).collect();
        // Columns are untrusted: two that would be called the same keep their own words.
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        names.iter().for_each(|name| *counts.entry(name.label.clone()).or_default() += 1);
        for name in names.iter_mut().filter(|name| counts.get(&name.label).is_some_and(|count| *count > 1)) {
            (name.label, name.short) = (name.column.clone(), name.column.clone());
        }
        names.sort_by(|a, b| {
            (&a.program, &a.version, &a.label, &a.column).cmp(&(&b.program, &b.version, &b.label, &b.column))
        });
        names
    }

    /// In a place where there is little room and everything else is of kube-proxy: `1.37.2`.
    pub fn short(&self) -> &str {
        if self.program == KUBE_PROXY { &self.short } else { &self.label }
    }

    /// Major and minor version, if it is a kube-proxy and says them.
    pub fn kube_proxy(&self) -> Option<(u32, u32)> {
        match self.version[..] {
            [major, minor, ..] if self.program == KUBE_PROXY => Some((major, minor)),
            _ => None,
        }
    }
}

const KUBE_PROXY: &str = "kube-proxy";

/// A column, taken apart; what cannot be is all program.
struct Parsed<'a> {
    program: &'a str,
    version: &'a str,
    hash: &'a str,
}

impl<'a> Parsed<'a> {
    fn of(column: &'a str) -> Self {
        let mut words = column.split(' ');
        if let (Some(program), Some(version)) = (words.next(), words.next())
            && let Some(version) = version.strip_prefix('v')
            && version.starts_with(|digit: char| digit.is_ascii_digit())
        {
            let hash = words.next().and_then(|word| word.strip_prefix("sha256:"));
            return Parsed { program, version, hash: hash.unwrap_or_default() };
        }
        match column.split_once(':') {
            Some((program, version)) if version.starts_with(|digit: char| digit.is_ascii_digit()) => {
                Parsed { program, version, hash: "" }
            }
            _ => Parsed { program: column, version: "", hash: "" },
        }
    }
}

/// As much of a hash as no other one begins with.
fn distinct(hash: &str, all: &[&str]) -> String {
    if hash.is_empty() {
        return String::new();
    }
    let alike = |length: usize| {
        let short: String = hash.chars().take(length).collect();
        all.iter().filter(|other| other.starts_with(&short)).count() > 1
    };
    let most = hash.chars().count();
    let length = (HASH..most).find(|length| !alike(*length)).unwrap_or(most);
    format!(" #{}", hash.chars().take(length).collect::<String>())
}

/// `kube-proxy 1.36.3 and 1.37.2`; the program's name once, if all are of it.
pub(super) fn listed<'n>(names: impl Iterator<Item = &'n SystemName>) -> String {
    let names: Vec<&SystemName> = names.collect();
    let programs: BTreeSet<&str> = names.iter().map(|name| name.program.as_str()).collect();
    let shown = |name: &&SystemName| match programs.len() {
        1 if name.short != name.program => name.short.clone(),
        _ => name.label.clone(),
    };
    let shown: Vec<String> = names.iter().map(shown).map(|name| shorten(&name, 60)).collect();
    let all = in_a_row(&shown);
    match programs.first().filter(|_| programs.len() == 1) {
        Some(program) if !all.starts_with(program) => format!("{program} {all}"),
        _ => all,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(columns: &[&str]) -> Vec<String> {
        SystemName::all(&columns.iter().copied().collect()).into_iter().map(|name| name.label).collect()
    }

    #[test]
    fn names_are_short_and_tell_apart() {
        let columns = [
            "kube-proxy v1.37.2 sha256:2020eaee1dd13947",
            "kube-proxy v1.9.0 sha256:aaaa",
            "kube-proxy:1.36",
            "kube-proxy:/usr/bin/kube-proxy",
            "kube-router v2.6.1 sha256:bb",
            "",
        ];
        assert_eq!(
            labels(&columns),
            [
                "",
                "kube-proxy 1.9.0",
                "kube-proxy 1.36",
                "kube-proxy 1.37.2",
                "kube-proxy:/usr/bin/kube-proxy",
                "kube-router 2.6.1",
            ]
        );
        let two = ["kube-proxy v1.37.2 sha256:2020eaee", "kube-proxy v1.37.2 sha256:2020ffff"];
        assert_eq!(labels(&two), ["kube-proxy 1.37.2 #2020e", "kube-proxy 1.37.2 #2020f"]);
        let names = SystemName::all(&columns.iter().copied().collect());
        let versions: Vec<_> = names.iter().map(SystemName::kube_proxy).collect();
        assert_eq!(versions, [None, Some((1, 9)), Some((1, 36)), Some((1, 37)), None, None]);
        assert_eq!((names[3].short(), names[5].short()), ("1.37.2", "kube-router 2.6.1"));
        assert_eq!(listed(names[1..4].iter()), "kube-proxy 1.9.0, 1.36 and 1.37.2");
        assert_eq!(
            listed(names[3..].iter()),
            "kube-proxy 1.37.2, kube-proxy:/usr/bin/kube-proxy and kube-router 2.6.1"
        );
    }

    proptest! {
        /// Columns are untrusted: each has a label of its own.
        #[test]
        fn every_column_has_a_label_of_its_own(columns in proptest::collection::btree_set("(kube-proxy |x:|x v)?v?[0-9.]{0,5}( sha256:[a-c]{0,6})?", 0..8)) {
            let columns: BTreeSet<&str> = columns.iter().map(String::as_str).collect();
            let names = SystemName::all(&columns);
            prop_assert_eq!(names.len(), columns.len());
            let labels: BTreeSet<&str> = names.iter().map(|name| name.label.as_str()).collect();
            prop_assert_eq!(labels.len(), names.len());
            let _ = listed(names.iter());
        }
    }
}
