//! A kernel on paper: what iptables, nft, ipset and the kernel itself would make of a plan, as far as plans go.
//! It shares no code with the planners, and knows Services only from what they write.

pub(crate) mod features;
pub(crate) mod found;
mod ipvs;
mod nft;
pub(crate) mod random_services;

use std::collections::BTreeMap;

use dataplane::{Action, Counts, Expect, NftList, Plan, Program, Step};

pub(crate) use ipvs::IpvsPaper;
pub(crate) use nft::NftPaper;

/// (table, chain)
type Chain = (String, String);

/// By default nobody has written to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paper {
    /// Those of iptables.
    pub chains: BTreeMap<Chain, Vec<String>>,
    /// What `nft` wrote.
    pub nft: NftPaper,
    /// What only IPVS mode has.
    pub ipvs: IpvsPaper,
}

impl Paper {
    /// The three tables of iptables that are in use, with their built-in chains.
    pub(crate) fn with_iptables() -> Self {
        Self::with_tables(&[
            ("filter", "INPUT FORWARD OUTPUT"),
            ("nat", "PREROUTING INPUT OUTPUT POSTROUTING"),
            ("mangle", "PREROUTING INPUT FORWARD OUTPUT POSTROUTING"),
        ])
    }

    /// The two tables that IPVS mode uses.
    pub(crate) fn with_ipvs() -> Self {
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

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            rules: self.chains.values().map(|rules| rules.len() as u64).sum::<u64>() + self.nft.rules(),
            chains: self.chains.len() as u64 + self.nft.chains(),
            elements: self.nft.elements() + self.ipvs.entries(),
            virtual_servers: self.ipvs.servers.len() as u64,
            real_servers: self.ipvs.servers.real_servers() as u64,
            addresses: self.ipvs.addresses.len() as u64,
        }
    }

    /// The sync and what cleans up after it. Panics at whatever a real kernel would refuse, and at a
    /// step that ends otherwise than planned.
    pub(crate) fn carry_out(&mut self, plan: &Plan) {
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
        match step.action {
            Action::NftList { list: NftList::Chains, .. } | Action::Counter { .. } => return 0,
            Action::NftList { family, has_table, .. } => {
                assert_eq!(self.nft.has_table(family), has_table);
                return 0;
            }
            _ => {}
        }
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
                let [operation, chain, "-t", table, rule @ ..] = waiting(&args) else { panic!("{args:?}") };
                self.iptables(operation, key(table, chain), &rule.join(" "))
            }
            (Program::IptablesRestore | Program::Ip6tablesRestore, Some(input)) => {
                assert_eq!(waiting(&args), ["--noflush", "--counters"]);
                self.restore(input);
                0
            }
            (Program::Nft, Some(input)) => {
                assert_eq!(args, ["-f", "-"]);
                input.lines().for_each(|line| self.nft.line(line));
                0
            }
            (Program::Nft, None) if args.contains(&"list") => self.nft.list(&args),
            (Program::Nft, None) => {
                self.nft.line(&args.join(" "));
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
    pub(crate) fn restore(&mut self, input: &str) {
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
}

/// What follows `-w 5`, or `-w 5 -W 100000`.
fn waiting<'a>(args: &'a [&'a str]) -> &'a [&'a str] {
    let rest = args.strip_prefix(&["-w", "5"]).unwrap_or_else(|| panic!("{args:?}"));
    rest.strip_prefix(&["-W", "100000"]).unwrap_or(rest)
}

fn key(table: &str, chain: &str) -> Chain {
    (table.to_owned(), chain.to_owned())
}
