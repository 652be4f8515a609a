//! nf_tables on paper, as `nft` fills it.

use std::collections::BTreeMap;

use services::service::Family;

/// (family, table)
type TableKey = (String, String);

/// What nf_tables holds. By default nobody has written to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NftPaper {
    pub tables: BTreeMap<TableKey, Table>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// Type and hook, or comment; rules in their order.
    pub chains: BTreeMap<String, (String, Vec<String>)>,
    pub sets: BTreeMap<String, Set>,
}

/// A set or map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set {
    /// Type, flags, timeout, comment.
    pub head: String,
    pub elements: BTreeMap<String, Element>,
}

#[derive(Clone, Debug, Default, Eq)]
pub(crate) struct Element {
    pub verdict: String,
    #[allow(dead_code, reason = "only the tests of nftables mode look at it")]
    pub comment: String,
}

/// kube-proxy leaves an element that leads where it should, though its comment names the Service that had it before.
impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.verdict == other.verdict
    }
}

/// Names that are longer do not fit the kernel (`NFT_NAME_MAXLEN`).
const LONGEST_NAME: usize = 255;

impl NftPaper {
    pub(crate) fn rules(&self) -> u64 {
        self.tables
            .values()
            .flat_map(|table| table.chains.values())
            .map(|(_, rules)| rules.len() as u64)
            .sum()
    }

    pub(crate) fn chains(&self) -> u64 {
        self.tables.values().map(|table| table.chains.len() as u64).sum()
    }

    pub(crate) fn elements(&self) -> u64 {
        self.tables.values().flat_map(|table| table.sets.values()).map(|set| set.elements.len() as u64).sum()
    }

    /// One `nft` that only reads. A listing of one table or of what is in it fails while there is none; one of
    /// all tables does not.
    pub(crate) fn list(&self, args: &[&str]) -> i32 {
        let at = args.iter().position(|arg| *arg == "list").unwrap();
        match &args[at + 1..] {
            ["chains" | "sets", _] => 0,
            ["table", family, table] => i32::from(self.table(family, table).is_none()),
            ["set" | "map", family, table, name] => {
                i32::from(!self.table(family, table).is_some_and(|table| table.sets.contains_key(*name)))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Whether kube-proxy's table is there.
    pub(crate) fn has_table(&self, family: Family) -> bool {
        let ip = if family == Family::Ipv4 { "ip" } else { "ip6" };
        self.table(ip, "kube-proxy").is_some()
    }

    fn table(&self, family: &str, table: &str) -> Option<&Table> {
        self.tables.get(&(family.to_owned(), table.to_owned()))
    }

    /// One line of `nft -f`. Panics at what the kernel would refuse.
    pub(crate) fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.splitn(6, ' ').collect();
        let [operation, kind, family @ ("ip" | "ip6"), table, rest @ ..] = &words[..] else {
            panic!("{line}")
        };
        let name = rest.first().copied().unwrap_or_default();
        let value = rest.get(1).copied().unwrap_or_default();
        let key = ((*family).to_owned(), (*table).to_owned());
        if (*operation, *kind) == ("add", "table") {
            self.tables.entry(key).or_default();
            return;
        }
        let table = self.tables.get_mut(&key).unwrap_or_else(|| panic!("no table for: {line}"));
        assert!(name.len() <= LONGEST_NAME, "too long a name: {line}");
        match (*operation, *kind) {
            ("add", "chain") => {
                table.chains.entry(name.to_owned()).or_insert_with(|| (value.to_owned(), Vec::new()));
            }
            ("flush", "chain") => table.chain(name, line).clear(),
            ("delete", "chain") => table.delete_chain(name, line),
            ("add", "rule") => {
                table.names_exist(value);
                table.chain(name, line).push(value.to_owned());
            }
            ("add", "set" | "map") => table.add_set(name, value),
            ("delete", "set" | "map") => table.delete_set(name, line),
            // Nobody counts with one; it is made only to be deleted.
            ("add" | "delete", "counter") => {}
            ("flush", "set" | "map") => table.set(name, line).elements.clear(),
            ("add", "element") => table.add_element(name, value, line),
            ("delete", "element") => {
                let gone = table.set(name, line).elements.remove(&element(value).0);
                assert!(gone.is_some(), "no such element: {line}");
            }
            other => panic!("{other:?}: {line}"),
        }
    }
}

impl Table {
    fn chain(&mut self, name: &str, line: &str) -> &mut Vec<String> {
        &mut self.chains.get_mut(name).unwrap_or_else(|| panic!("no chain: {line}")).1
    }

    fn set(&mut self, name: &str, line: &str) -> &mut Set {
        self.sets.get_mut(name).unwrap_or_else(|| panic!("no set or map: {line}"))
    }

    fn delete_chain(&mut self, name: &str, line: &str) {
        assert!(self.chains.remove(name).is_some(), "no chain: {line}");
        let rules = self.chains.values().flat_map(|(_, rules)| rules);
        let elements = self.sets.values().flat_map(|set| set.elements.values());
        let mut texts = rules.chain(elements.map(|element| &element.verdict));
        let user = texts.find(|text| text.split_whitespace().any(|word| word == name));
        assert_eq!(user, None, "in use: {line}");
    }

    /// One that is there already must be alike, but for its timeout, which is changed (since Linux 6.2).
    fn add_set(&mut self, name: &str, head: &str) {
        let kind = |head: &str| head.split(" timeout ").next().map(str::to_owned);
        let set = self.sets.entry(name.to_owned()).or_default();
        assert!(
            set.head.is_empty() || kind(&set.head) == kind(head),
            "File exists, and is another: {name} {head}"
        );
        head.clone_into(&mut set.head);
    }

    fn delete_set(&mut self, name: &str, line: &str) {
        assert!(self.sets.remove(name).is_some(), "no set: {line}");
        let mut rules = self.chains.values().flat_map(|(_, rules)| rules);
        let user =
            rules.find(|rule| rule.split_whitespace().any(|word| word.strip_prefix('@') == Some(name)));
        assert_eq!(user, None, "in use: {line}");
    }

    /// One that is there already stays as it is, if it leads to the same place.
    fn add_element(&mut self, name: &str, value: &str, line: &str) {
        let (key, added) = element(value);
        self.names_exist(&added.verdict);
        let present = self.set(name, line).elements.entry(key).or_insert_with(|| added.clone());
        assert_eq!(present.verdict, added.verdict, "File exists, with another verdict: {line}");
    }

    /// Chains and sets that a rule or verdict names.
    fn names_exist(&self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        for pair in words.windows(2).filter(|pair| matches!(pair[0], "jump" | "goto")) {
            assert!(self.chains.contains_key(pair[1]), "no chain {} for: {text}", pair[1]);
        }
        for set in words.iter().filter_map(|word| word.strip_prefix('@')) {
            assert!(self.sets.contains_key(set), "no set {set} for: {text}");
        }
    }
}

/// `{ KEY [comment "..."] [: VERDICT] }`
fn element(text: &str) -> (String, Element) {
    let inner = text.strip_prefix("{ ").and_then(|text| text.strip_suffix(" }")).unwrap();
    // An address of IPv6 has no spaces around its colons.
    let (key, verdict) = inner.split_once(" : ").unwrap_or((inner, ""));
    let (key, comment) = key.split_once(" comment ").unwrap_or((key, ""));
    let comment = comment.trim_matches('"').to_owned();
    (key.to_owned(), Element { verdict: verdict.to_owned(), comment })
}
