use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const NFT: &str = include_str!("../../../dataplane/tests/golden/nft-list-ruleset.txt");
const IPTABLES: &str = include_str!("../../../dataplane/tests/golden/iptables-save.txt");
const IPTABLES_1_20: &str = include_str!("../../../dataplane/tests/golden/1.20/iptables-save.txt");

/// Blocks of a table of nft, which may stand in any order: its head, then chains, sets and maps.
fn blocks(text: &str) -> Vec<Vec<Vec<&str>>> {
    let mut tables: Vec<Vec<Vec<&str>>> = Vec::new();
    for line in text.lines() {
        if line.starts_with("table") {
            tables.push(vec![Vec::new()]);
        }
        let table = tables.last_mut().unwrap();
        let begins = line.starts_with('\t') && line.ends_with('{') && !line.starts_with("\t\t");
        if begins {
            table.push(Vec::new());
        }
        table.last_mut().unwrap().push(line);
    }
    tables
}

/// The same with every table's blocks, and every set's elements, in an order that numbers choose.
fn shuffled_nft(text: &str, keys: &[u64]) -> String {
    let mut keys = keys.iter().copied().cycle();
    let mut out = String::new();
    for table in blocks(text) {
        let (head, blocks) = table.split_first().unwrap();
        let mut blocks: Vec<(u64, String)> = blocks
            .iter()
            .map(|lines| {
                let lines: Vec<&&str> =
                    lines.iter().filter(|line| **line != "}" && !line.is_empty()).collect();
                let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
                (keys.next().unwrap(), with_elements_shuffled(&text, &mut keys))
            })
            .collect();
        blocks.sort();
        head.iter().for_each(|line| out.push_str(&format!("{line}\n")));
        blocks.iter().for_each(|(_, block)| out.push_str(block));
        out.push_str("}\n");
    }
    out
}

fn with_elements_shuffled(block: &str, keys: &mut impl Iterator<Item = u64>) -> String {
    let Some((before, rest)) = block.split_once("elements = { ") else { return block.to_owned() };
    let (elements, after) = rest.split_once(" }").unwrap();
    let mut elements: Vec<(u64, &str)> =
        elements.split(',').map(|element| (keys.next().unwrap(), element.trim())).collect();
    elements.sort_unstable();
    let elements: Vec<&str> = elements.into_iter().map(|(_, element)| element).collect();
    format!("{before}elements = {{ {} }}{after}", elements.join(",\n\t\t"))
}

/// Chains in another order, other counters and times, and Services in another order in the lists that packets walk.
fn shuffled_iptables(text: &str, keys: &[u64]) -> String {
    let mut keys = keys.iter().copied().cycle();
    let mut out = String::new();
    for table in text.split_inclusive("COMMIT\n").filter(|table| table.contains("COMMIT")) {
        let lines: Vec<&str> = table.lines().collect();
        let is_head = |line: &&&str| line.starts_with('#') || line.starts_with('*');
        lines.iter().filter(is_head).for_each(|line| out.push_str(&format!("{line}\n")));
        let mut chains: Vec<(u64, String)> = lines
            .iter()
            .filter(|line| line.starts_with(':'))
            .map(|line| (keys.next().unwrap(), line.replace("[0:0]", "[12:34]")))
            .collect();
        chains.sort();
        chains.iter().for_each(|(_, line)| out.push_str(&format!("{line}\n")));
        let rules: Vec<&str> = lines.iter().copied().filter(|line| line.starts_with("-A")).collect();
        // Rules of different chains may stand in any order; a Service's rules in a list keep theirs.
        let mut services: BTreeMap<String, u64> = BTreeMap::new();
        let mut keyed: Vec<(u64, &str)> = Vec::new();
        for rule in rules {
            let chain = rule.split(' ').nth(1).unwrap();
            let service =
                rule.contains("demo/").then(|| rule.split("demo/").nth(1).unwrap().split(' ').next());
            let is_list = matches!(chain, "KUBE-SERVICES" | "KUBE-NODEPORTS");
            let key = match service.flatten().filter(|_| is_list) {
                Some(service) => {
                    *services.entry(service.to_owned()).or_insert_with(|| keys.next().unwrap() >> 1)
                }
                None if is_list => u64::MAX,
                None => *services.entry(chain.to_owned()).or_insert_with(|| keys.next().unwrap()),
            };
            keyed.push((key, rule));
        }
        keyed.sort_by_key(|(key, _)| *key);
        keyed.iter().for_each(|(_, rule)| out.push_str(&format!("[5:60] {rule}\n")));
        out.push_str("COMMIT\n");
    }
    out
}

/// One of a text's lines that say something, changed.
#[derive(Clone, Copy, Debug)]
enum Mutation {
    Drop,
    Twice,
    /// A number in it is another.
    Number,
}

/// Lines that hold a rule.
fn rules(text: &str) -> Vec<usize> {
    let heads = ["type ", "comment ", "elements ", "flags ", "timeout "];
    let is_rule = |line: &str| {
        let of_nft = line.starts_with("\t\t") && !line.starts_with("\t\t\t");
        line.starts_with("-A ") || (of_nft && !heads.iter().any(|head| line.trim().starts_with(head)))
    };
    text.lines().enumerate().filter(|(_, line)| is_rule(line)).map(|(at, _)| at).collect()
}

fn mutated(text: &str, at: usize, mutation: Mutation) -> Option<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match mutation {
        Mutation::Drop => drop(lines.remove(at)),
        Mutation::Twice => lines.insert(at, lines[at].clone()),
        Mutation::Number => {
            let digit = lines[at].rfind(|c: char| c.is_ascii_digit())?;
            let other = if lines[at].as_bytes()[digit] == b'1' { "2" } else { "1" };
            lines[at].replace_range(digit..=digit, other);
        }
    }
    Some(lines.join("\n") + "\n")
}

fn texts() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(NFT), Just(IPTABLES), Just(IPTABLES_1_20)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn what_makes_no_difference_is_none(keys in prop::collection::vec(any::<u64>(), 7..60)) {
        prop_assert_eq!(compare(NFT, &shuffled_nft(NFT, &keys)).unwrap(), []);
        for text in [IPTABLES, IPTABLES_1_20] {
            let shuffled = shuffled_iptables(text, &keys);
            prop_assert_eq!(compare(text, &shuffled).unwrap(), [], "{}", shuffled);
        }
    }

    #[test]
    fn every_single_mutation_of_a_rule_is_found(
        text in texts(),
        at: Index,
        mutation in prop_oneof![Just(Mutation::Drop), Just(Mutation::Twice), Just(Mutation::Number)],
        keys in prop::collection::vec(any::<u64>(), 7..60),
    ) {
        let rules = rules(text);
        let Some(other) = mutated(text, rules[at.index(rules.len())], mutation) else { return Ok(()) };
        // A comment or head of a table of nft that is there twice, or a chain that is jumped to no more, is no listing.
        let Ok(found) = compare(text, &other) else { return Ok(()) };
        prop_assert!(!found.is_empty(), "{}", other);
        let shuffled = if text == NFT { shuffled_nft(&other, &keys) } else { shuffled_iptables(&other, &keys) };
        prop_assert_eq!(compare(text, &shuffled).unwrap(), found);
    }

    #[test]
    fn any_two_texts_get_an_answer(one in "[ -~\n\t]{0,200}", other in "[ -~\n\t]{0,200}") {
        let _ = compare(&one, &other);
    }
}

#[test]
fn rules_that_change_places_are_found_and_named() {
    let lines: Vec<&str> = NFT.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.contains("goto service-AXK6CI2C") && line.starts_with("\t\tgoto"))
        .unwrap();
    let mut swapped = lines.clone();
    swapped.swap(at - 1, at);
    let found = compare(NFT, &swapped.join("\n")).unwrap();
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "demo/web:http: ip kube-proxy, chain external-AXK6CI2C-demo/web/tcp/http: the same rules in another order"
        ]
    );
}

#[test]
fn differences_are_told_by_service_and_rule() {
    let without =
        NFT.replace("10.96.0.20 . udp . 53 : goto service-34HOXUJH-demo/dns/udp/dns,\n\t\t\t     ", "");
    let found: Vec<String> = compare(NFT, &without).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["demo/dns:dns: ip kube-proxy, map service-ips: only in the first: \
          10.96.0.20 . udp . 53 : goto service-34HOXUJH-demo/dns/udp/dns"]
    );
    let other = IPTABLES.replace("0.50000000000", "0.33333333349");
    let found = compare(IPTABLES, &other).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().all(|difference| difference.service.as_deref() == Some("demo/web:http")),
        "{found:?}"
    );
}

#[test]
fn an_empty_kernel_is_compared_and_what_is_no_ruleset_refused() {
    assert_eq!(compare("", "\n"), Ok(Vec::new()));
    let found = compare("", NFT).unwrap();
    assert!(found.iter().all(|difference| difference.side == Side::Second) && found.len() > 50);
    assert!(compare(NFT, IPTABLES).unwrap_err().to_string().contains("cannot be compared"));
    assert!(compare(NFT, "nonsense").is_err());
}
