//! A kernel on paper: what iptables, nft, ipset and the kernel itself would make of a plan, as far as plans go.
//! It shares no code with the planners, and knows Services only from what they write.

mod ipvs;

use std::collections::{BTreeMap, BTreeSet};

use harness::dataplane::{Action, Counts, Expect, Plan, Program, Step};

pub use ipvs::IpvsPaper;

/// (table, chain)
type Chain = (String, String);

/// By default nf_tables before anybody wrote to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paper {
    pub chains: BTreeMap<Chain, Vec<String>>,
    /// Named set or map -> key -> value.
    pub sets: BTreeMap<String, BTreeMap<String, String>>,
    /// What only IPVS mode has.
    pub ipvs: IpvsPaper,
    tables: BTreeSet<String>,
}

impl Paper {
    /// The three tables of iptables that are in use, with their built-in chains.
    pub fn with_iptables() -> Self {
        Self::with_tables(&[
            ("filter", "INPUT FORWARD OUTPUT"),
            ("nat", "PREROUTING INPUT OUTPUT POSTROUTING"),
            ("mangle", "PREROUTING INPUT FORWARD OUTPUT POSTROUTING"),
        ])
    }

    /// The two tables that IPVS mode uses.
    pub fn with_ipvs() -> Self {
        Self::with_tables(&[
            ("filter", "INPUT FORWARD OUTPUT"),
            ("nat", "PREROUTING INPUT OUTPUT POSTROUTING"),
        ])
    }

    fn with_tables(built_in: &[(&str, &str)]) -> Self {
        let chains =
            built_in.iter().flat_map(|(table, chains)| chains.split(' ').map(|chain| key(table, chain)));
        Self { chains: chains.map(|chain| (chain, Vec::new())).collect(), ..Self::default() }
    }

    pub fn counts(&self) -> Counts {
        Counts {
            rules: self.chains.values().map(|rules| rules.len() as u64).sum(),
            chains: self.chains.len() as u64,
            elements: self.sets.values().map(|set| set.len() as u64).sum::<u64>() + self.ipvs.entries(),
            virtual_servers: self.ipvs.servers.len() as u64,
            real_servers: self.ipvs.servers.real_servers() as u64,
            addresses: self.ipvs.addresses.len() as u64,
        }
    }

    /// The sync and what cleans up after it. Panics at whatever a real kernel would refuse, and at a
    /// step that ends otherwise than planned.
    pub fn carry_out(&mut self, plan: &Plan) {
        for step in plan.steps.iter().chain(&plan.cleanup) {
            let code = self.run(step);
            let planned = match step.expect {
                Expect::Success => code == 0,
                Expect::One => code == 1,
                Expect::ZeroOrOne => true,
            };
            assert!(planned, "exit code {code}, planned {:?}: {}", step.expect, step.command_line());
        }
    }

    fn run(&mut self, step: &Step) -> i32 {
        let Action::Run { program, args, input } = &step.action else {
            assert_eq!(step.expect, Expect::Success, "nothing else is planned for requests");
            self.ipvs.ask(&step.action);
            return 0;
        };
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let input = input.as_deref().map(|input| std::str::from_utf8(input).unwrap());
        match (program, input) {
            (Program::Ipset, input) => self.ipvs.ipset(&args, input),
            (Program::Iptables | Program::Ip6tables, None) => {
                let ["-w", "5", "-W", "100000", operation, chain, "-t", table, rule @ ..] = &args[..] else {
                    panic!("{args:?}")
                };
                self.iptables(operation, key(table, chain), &rule.join(" "))
            }
            (Program::IptablesRestore | Program::Ip6tablesRestore, Some(input)) => {
                assert_eq!(args, ["-w", "5", "-W", "100000", "--noflush", "--counters"]);
                self.restore(input);
                0
            }
            (Program::Nft, Some(input)) => {
                assert_eq!(args, ["-f", "-"]);
                input.lines().for_each(|line| self.nft(line));
                0
            }
            // A listing of one table fails while there is none; one of all tables does not.
            (Program::Nft, None) if args.contains(&"list") => {
                i32::from(args.contains(&"kube-proxy") && !self.tables.contains("kube-proxy"))
            }
            (Program::Nft, None) => {
                self.nft(&args.join(" "));
                0
            }
            (Program::IptablesSave | Program::Ip6tablesSave | Program::Conntrack, None) => 0,
            other => panic!("{other:?}"),
        }
    }

    fn iptables(&mut self, operation: &str, chain: Chain, rule: &str) -> i32 {
        if operation == "-N" {
            let exists = self.chains.contains_key(&chain);
            self.chains.entry(chain).or_default();
            return i32::from(exists);
        }
        self.targets_exist(&chain.0, rule);
        let rules = self.chains.get_mut(&chain).unwrap_or_else(|| panic!("no chain {chain:?}"));
        let found = rules.iter().position(|other| other == rule);
        match (operation, found) {
            ("-C", found) => i32::from(found.is_none()),
            ("-I", _) => {
                rules.insert(0, rule.to_owned());
                0
            }
            ("-A", _) => {
                rules.push(rule.to_owned());
                0
            }
            ("-D", Some(index)) => {
                rules.remove(index);
                0
            }
            other => panic!("{other:?} {chain:?} {rule}"),
        }
    }

    /// One `iptables-restore --noflush`.
    pub fn restore(&mut self, input: &str) {
        let mut table = None;
        for line in input.lines() {
            let chain = |name: &str| key(table.expect("inside a table"), name);
            if let Some(name) = line.strip_prefix('*') {
                assert_eq!(table.replace(name), None, "{line}: the table before was not committed");
            } else if line == "COMMIT" {
                let table = table.take().expect("inside a table");
                let rules =
                    self.chains.iter().filter(|((of, _), _)| of == table).flat_map(|(_, rules)| rules);
                rules.for_each(|rule| self.targets_exist(table, rule));
            } else if let Some(name) = line.strip_prefix(':').and_then(|rest| rest.strip_suffix(" - [0:0]")) {
                self.chains.insert(chain(name), Vec::new());
            } else if let Some((name, rule)) = line.strip_prefix("-A ").and_then(|rest| rest.split_once(' '))
            {
                let rules =
                    self.chains.get_mut(&chain(name)).unwrap_or_else(|| panic!("no such chain: {line}"));
                rules.push(rule.to_owned());
            } else if let Some((name, rule)) = line.strip_prefix("-I ").and_then(|rest| rest.split_once(' '))
            {
                let rules =
                    self.chains.get_mut(&chain(name)).unwrap_or_else(|| panic!("no such chain: {line}"));
                // As a single run of iptables gets it from its arguments.
                rules.insert(0, rule.replace('"', ""));
            } else if let Some(name) = line.strip_prefix("-X ") {
                let removed = self.chains.remove(&chain(name));
                assert_eq!(removed, Some(Vec::new()), "{line}: must be there and empty");
            } else {
                panic!("unknown line: {line}");
            }
        }
        assert_eq!(table, None, "the last table was not committed");
    }

    fn targets_exist(&self, table: &str, rule: &str) {
        if let Some((_, target)) = rule.rsplit_once("-j ")
            && target.starts_with("KUBE-")
        {
            assert!(
                self.chains.contains_key(&key(table, target)),
                "no chain {target} in {table} for: {rule}"
            );
        }
        let words: Vec<&str> = rule.split(' ').collect();
        for pair in words.windows(2).filter(|pair| pair[0] == "--match-set") {
            assert!(self.ipvs.sets.contains_key(pair[1]), "no ipset {} for: {rule}", pair[1]);
        }
    }

    fn nft(&mut self, line: &str) {
        let words: Vec<&str> = line.splitn(6, ' ').collect();
        let [operation, kind, "ip", table, rest @ ..] = &words[..] else { panic!("{line}") };
        let name = rest.first().copied().unwrap_or_default();
        let value = rest.get(1).copied().unwrap_or_default();
        if (*operation, *kind) == ("add", "table") {
            self.tables.insert((*table).to_owned());
            return;
        }
        assert!(self.tables.contains(*table), "no table for: {line}");
        let chain = key(table, name);
        match (*operation, *kind) {
            ("add", "chain") => {
                self.chains.entry(chain).or_default();
            }
            ("flush", "chain") => {
                self.chains.get_mut(&chain).unwrap_or_else(|| panic!("no chain: {line}")).clear()
            }
            ("delete", "chain") => {
                assert!(self.chains.remove(&chain).is_some(), "no chain: {line}");
                let rules = self.chains.values().flatten();
                let user = rules
                    .chain(self.sets.values().flat_map(BTreeMap::values))
                    .find(|text| leads_to(text, name));
                assert_eq!(user, None, "in use: {line}");
            }
            ("add", "rule") => {
                self.names_exist(table, value);
                self.chains
                    .get_mut(&chain)
                    .unwrap_or_else(|| panic!("no chain: {line}"))
                    .push(value.to_owned());
            }
            ("add", "set" | "map") => {
                self.sets.entry(name.to_owned()).or_default();
            }
            ("flush", "set" | "map") => self.set(name, line).clear(),
            ("add", "element") => {
                let (element, verdict) = element(value);
                self.names_exist(table, verdict);
                let before = self.set(name, line).insert(element.to_owned(), verdict.to_owned());
                assert!(
                    before.is_none_or(|before| before == verdict),
                    "File exists, with another verdict: {line}"
                );
            }
            ("delete", "element") => {
                assert!(self.set(name, line).remove(element(value).0).is_some(), "no such element: {line}");
            }
            other => panic!("{other:?}: {line}"),
        }
    }

    fn set(&mut self, name: &str, line: &str) -> &mut BTreeMap<String, String> {
        self.sets.get_mut(name).unwrap_or_else(|| panic!("no set or map: {line}"))
    }

    /// Chains and sets that a rule or verdict names.
    fn names_exist(&self, table: &str, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        for pair in words.windows(2).filter(|pair| matches!(pair[0], "jump" | "goto")) {
            assert!(self.chains.contains_key(&key(table, pair[1])), "no chain {} for: {text}", pair[1]);
        }
        for set in words.iter().filter_map(|word| word.strip_prefix('@')) {
            assert!(self.sets.contains_key(set), "no set {set} for: {text}");
        }
    }
}

fn key(table: &str, chain: &str) -> Chain {
    (table.to_owned(), chain.to_owned())
}

fn leads_to(text: &str, chain: &str) -> bool {
    text.split_whitespace().any(|word| word == chain)
}

/// `{ KEY [comment "..."] [: VERDICT] }`
fn element(text: &str) -> (&str, &str) {
    let inner = text.strip_prefix("{ ").and_then(|text| text.strip_suffix(" }")).unwrap();
    let (key, verdict) = inner.split_once(" : ").unwrap_or((inner, ""));
    (key.split(" comment ").next().unwrap(), verdict)
}
