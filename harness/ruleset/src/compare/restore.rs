//! The normal form of what `iptables-restore --noflush` reads.

use std::collections::BTreeMap;

use super::lists;
use super::normal::{Normal, Object};

/// What an input does with one chain.
#[derive(Default)]
struct Chain<'a> {
    /// Lines that make or flush it.
    declared: Vec<&'a str>,
    rules: Vec<&'a str>,
    /// Lines that delete it.
    deleted: Vec<&'a str>,
}

/// Takes an input apart: every line of it is in the place of its chain, or of the input itself. `program`: for the places.
///
/// The order of chains is left out: a table is one transaction. That of rules is kept, as for
/// [`normal_iptables`](super::normal_iptables).
pub fn normal(program: &str, text: &str) -> Normal {
    let mut chains: BTreeMap<(&str, &str), Chain<'_>> = BTreeMap::new();
    let (mut frame, mut table) = (Vec::new(), "");
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let first = rest.split(' ').next().unwrap_or_default();
        if let Some(name) = word.strip_prefix(':') {
            chains.entry((table, name)).or_default().declared.push(line);
        } else if matches!(word, "-A" | "-I") {
            chains.entry((table, first)).or_default().rules.push(line);
        } else if word == "-X" {
            chains.entry((table, first)).or_default().deleted.push(line);
        } else {
            table = line.strip_prefix('*').unwrap_or(table);
            frame.push((None, line.to_owned()));
        }
    }
    let mut normal = Normal::new();
    if !frame.is_empty() {
        normal.insert(program.to_owned(), Object { service: None, lines: frame });
    }
    for ((table, name), Chain { declared, rules, deleted }) in chains {
        let mut object = lists::object(name, rules.into_iter());
        let line = |line: &str| (None, line.to_owned());
        object.lines.splice(0..0, declared.into_iter().map(line));
        object.lines.extend(deleted.into_iter().map(line));
        normal.insert(format!("{program} {table}, chain {name}"), object);
    }
    normal
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compare::differences;

    const INPUT: &str = include_str!("../../../dataplane/tests/golden/iptables-restore.txt");

    fn lines(normal: &Normal) -> Vec<&str> {
        normal.values().flat_map(|object| object.lines.iter().map(|(_, line)| line.as_str())).collect()
    }

    #[test]
    fn an_input_is_told_by_table_chain_and_service() {
        let normal = normal("iptables-restore", INPUT);
        let of = |place: &str| &normal[place];
        let web = of("iptables-restore nat, chain KUBE-SVC-XRY76EGRC3BSCIIJ");
        assert_eq!((web.service.as_deref(), web.lines.len()), (Some("demo/web:http"), 4));
        assert_eq!(web.lines[0].1, ":KUBE-SVC-XRY76EGRC3BSCIIJ - [0:0]");
        let frame: Vec<&str> = of("iptables-restore").lines.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(frame, ["*filter", "COMMIT", "*nat", "COMMIT"]);
        assert!(super::normal("iptables-restore", "").is_empty());
    }

    #[test]
    fn the_order_of_services_is_none_and_that_of_rules_is() {
        let all: Vec<&str> = INPUT.lines().collect();
        let at = |text: &str| all.iter().position(|line| line.starts_with(text)).unwrap();
        let (web, dns) = (
            at("-A KUBE-SERVICES -m comment --comment \"demo/web"),
            at("-A KUBE-SERVICES -m comment --comment \"demo/dns"),
        );
        let swapped = |one: usize, other: usize| {
            let mut lines = all.clone();
            lines.swap(one, other);
            differences(&normal("r", INPUT), &normal("r", &lines.join("\n")))
        };
        assert_eq!(swapped(web, dns), []);
        let rule = at("-A KUBE-POSTROUTING");
        assert_eq!(swapped(rule, rule + 1).len(), 1);
    }

    proptest! {
        #[test]
        fn every_line_is_kept_and_found_again(text in "([*:a-zA-CX -]{0,12}\n){0,20}", more in "[*:A-CX -]{1,9}") {
            let of = |text: &str| normal("r", text);
            let mut wanted: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
            let one = of(&text);
            let mut found = lines(&one);
            found.sort_unstable();
            wanted.sort_unstable();
            prop_assert_eq!(found, wanted);
            let longer = format!("{text}{more}\n");
            prop_assert!(!differences(&one, &of(&longer)).is_empty());
        }
    }
}
