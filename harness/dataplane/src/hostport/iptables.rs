//! The plugin's iptables backend: one chain for each pod, and one `iptables` for every rule and question.
//!
//! Source: `portmap_iptables.go`, `chain.go`, `pkg/utils/iptables.go` (`EnsureChain`, `InsertUnique`), go-iptables.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use ipnet::IpNet;
use services::service::{Family, Protocol};
use sha2::{Digest, Sha512};

use super::sandbox::{HostPort, Sandbox};
use crate::counts::Counts;
use crate::plan::{Expect, Phase, Program, Step};

const DNAT: &str = "CNI-HOSTPORT-DNAT";
const SET_MARK: &str = "CNI-HOSTPORT-SETMARK";
const MASQUERADE: &str = "CNI-HOSTPORT-MASQ";
/// Of plugins before 0.7, which each removal still looks for.
const OLD_SNAT: &str = "CNI-HOSTPORT-SNAT";
/// `markMasqBit` 13. kube-proxy uses 14 and kubelet 15, Calico 16 and above.
const MARK: &str = "0x2000/0x2000";
/// Ports that one multiport match takes.
const MULTIPORT: usize = 15;
/// Length of a comment from which on it is cut (`trimComment`).
const COMMENT: usize = 255;

/// The plugin's part of the nat table, by family: its chains, and the rules that lead to them from the table's own.
#[derive(Clone, Debug)]
pub(crate) struct Nat {
    ip6tables: bool,
    tables: BTreeMap<Family, Table>,
}

type Rule = Vec<String>;

#[derive(Clone, Debug, Default)]
struct Table {
    chains: BTreeSet<String>,
    rules: Vec<(String, Rule)>,
}

/// What a call without a configured backend asks first: does iptables work (`utils.SupportsIPTables`)?
pub(crate) fn choice() -> [Step; 2] {
    [version(Family::Ipv4), step(Family::Ipv4, &["-t", "filter", "-S", "INPUT", "1"], Expect::Success)]
}

/// go-iptables asks each time it is set up (`NewWithProtocol`).
fn version(family: Family) -> Step {
    Step::new(Phase::Jumps, Program::iptables(family), &["--version"], Expect::Success)
}

/// One run; `--wait` stands last, and without a number: it waits for the lock for as long as it takes.
fn step(family: Family, args: &[&str], expect: Expect) -> Step {
    let args: Vec<&str> = args.iter().copied().chain(["--wait"]).collect();
    let phase = if args.contains(&"-D") || args.contains(&"-X") { Phase::Cleanup } else { Phase::Jumps };
    Step::new(phase, Program::iptables(family), &args, expect)
}

fn words(rule: &[&str]) -> Rule {
    rule.iter().map(|&word| word.to_owned()).collect()
}

/// `MustFormatChainNameWithPrefix`: 28 characters in all.
fn chain_name(prefix: &str, sandbox: &Sandbox) -> String {
    let hash = Sha512::digest(format!("{}{}", sandbox.network, sandbox.container_id));
    let mut name = format!("CNI-{prefix}{}", HEXLOWER.encode(&hash));
    name.truncate(28);
    name
}

impl Nat {
    pub(crate) fn new(ip6tables: bool) -> Self {
        Self { ip6tables, tables: BTreeMap::new() }
    }

    /// `forwardPorts`.
    pub(crate) fn add(&mut self, sandbox: &Sandbox, family: Family, address: IpNet, steps: &mut Vec<Step>) {
        steps.push(version(family));
        let mut call = Call { family, table: self.tables.entry(family).or_default(), steps };
        call.chain(SET_MARK);
        let comment = ["-m", "comment", "--comment", "CNI portfwd masquerade mark"];
        call.rule(SET_MARK, At::End, &[&comment[..], &["-j", "MARK", "--set-xmark", MARK]].concat());
        call.chain(MASQUERADE);
        call.rule(MASQUERADE, At::End, &["-m", "mark", "--mark", MARK, "-j", "MASQUERADE"]);
        // Before the rules by which other plugins masquerade all that a pod sends.
        let comment = ["-m", "comment", "--comment", "CNI portfwd requiring masquerade"];
        call.rule("POSTROUTING", At::Start, &[&comment[..], &["-j", MASQUERADE]].concat());
        call.chain(DNAT);
        for hook in ["PREROUTING", "OUTPUT"] {
            call.rule(hook, At::End, &["-m", "addrtype", "--dst-type", "LOCAL", "-j", DNAT]);
        }
        let chain = chain_name("DN-", sandbox);
        call.chain(&chain);
        for port in sandbox.entries(family) {
            let rules = rules(port, address);
            rules.iter().for_each(|rule| call.rule(&chain, At::End, rule));
        }
        for mut entry in entries(sandbox) {
            entry.extend(words(&["-j", &chain]));
            call.rule(DNAT, At::End, &entry);
        }
    }

    /// `unforwardPorts`: for both families, as the plugin does not know any more which the pod had.
    pub(crate) fn remove(&mut self, sandbox: &Sandbox, steps: &mut Vec<Step>) {
        let families = if self.ip6tables { &Family::ALL[..] } else { &[Family::Ipv4] };
        for &family in families {
            steps.extend([version(family), step(family, &["-t", "nat", "-S", "OUTPUT"], Expect::Success)]);
        }
        for &family in families {
            let mut call = Call { family, table: self.tables.entry(family).or_default(), steps };
            call.tear_down(&chain_name("DN-", sandbox), DNAT);
            call.tear_down(&chain_name("SN-", sandbox), OLD_SNAT);
        }
    }

    pub(crate) fn counts(&self, family: Family) -> Counts {
        let table = self.tables.get(&family);
        let (rules, chains) = table.map_or((0, 0), |table| (table.rules.len(), table.chains.len()));
        Counts { rules: rules as u64, chains: chains as u64, ..Counts::default() }
    }
}

#[derive(Clone, Copy)]
enum At {
    Start,
    End,
}

/// What one call of the plugin does to one nat table.
struct Call<'a> {
    family: Family,
    table: &'a mut Table,
    steps: &'a mut Vec<Step>,
}

impl Call<'_> {
    fn run(&mut self, args: &[&str], expect: Expect) {
        self.steps.push(step(self.family, args, expect));
    }

    /// `EnsureChain`: lists the whole table for the names of its chains.
    fn chain(&mut self, name: &str) {
        self.run(&["-t", "nat", "-S"], Expect::Success);
        if self.table.chains.insert(name.to_owned()) {
            self.run(&["-t", "nat", "-N", name], Expect::Success);
        }
    }

    /// `InsertUnique`: looks first.
    fn rule<S: AsRef<str>>(&mut self, chain: &str, at: At, rule: &[S]) {
        let rule: Vec<&str> = rule.iter().map(AsRef::as_ref).collect();
        let entry = (chain.to_owned(), words(&rule));
        let present = self.table.rules.contains(&entry);
        let run = |call: &mut Self, operation: &[&str], expect| {
            call.run(&[&["-t", "nat"], operation, &rule[..]].concat(), expect);
        };
        run(self, &["-C", chain], if present { Expect::Success } else { Expect::One });
        if present {
            return;
        }
        match at {
            At::End => run(self, &["-A", chain], Expect::Success),
            At::Start => run(self, &["-I", chain, "1"], Expect::Success),
        }
        self.table.rules.push(entry);
    }

    /// `teardown`: makes the chain if it is not there, empties it, deletes what leads to it, deletes it.
    fn tear_down(&mut self, chain: &str, parent: &str) {
        let present = self.table.chains.remove(chain);
        self.run(&["-t", "nat", "-N", chain], if present { Expect::One } else { Expect::Success });
        if present {
            self.run(&["-t", "nat", "-F", chain], Expect::Success);
            self.table.rules.retain(|(of, _)| of != chain);
        }
        let listed = self.table.chains.contains(parent);
        self.run(&["-t", "nat", "-S", parent], if listed { Expect::Success } else { Expect::One });
        let leads =
            |(of, rule): &(String, Rule)| of == parent && rule.last().is_some_and(|last| last == chain);
        let gone: Vec<Rule> =
            self.table.rules.iter().filter(|entry| leads(entry)).map(|(_, rule)| as_listed(rule)).collect();
        for rule in gone {
            let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
            self.run(&[&["-t", "nat", "-D", parent], &rule[..]].concat(), Expect::Success);
        }
        self.table.rules.retain(|entry| !leads(entry));
        self.run(&["-t", "nat", "-X", chain], Expect::Success);
    }
}

/// The rules of one mapping in the chain of its pod: packets from the pod itself and from 127.0.0.1 are marked, all
/// are translated.
fn rules(port: &HostPort, address: IpNet) -> Vec<Rule> {
    let mut base = words(&["-p", port.protocol.name(), "--dport", &port.host_port.to_string()]);
    if let Some(ip) = port.destination() {
        base.extend(words(&["-d", &ip.to_string()]));
    }
    let with = |rest: &[&str]| [&base[..], &words(rest)[..]].concat();
    let mut rules = vec![with(&["-s", &address.to_string(), "-j", SET_MARK])];
    if address.addr().is_ipv4() {
        rules.push(with(&["-s", "127.0.0.1", "-j", SET_MARK]));
    }
    rules.push(with(&["-j", "DNAT", "--to-destination", &port.target(address).to_string()]));
    rules
}

/// What leads from the common chain to that of a pod: by protocol, in the order of their names, 15 ports at a time.
/// The plugin puts ports of both families here, whatever their `hostIP` says.
fn entries(sandbox: &Sandbox) -> Vec<Rule> {
    let mut comment = format!("dnat name: \"{}\" id: \"{}\"", sandbox.network, sandbox.container_id);
    if comment.len() > COMMENT {
        comment = comment.chars().take(COMMENT - 2).chain("...".chars()).collect();
    }
    let mut protocols = Protocol::ALL;
    protocols.sort_unstable_by_key(|protocol| protocol.name());
    let mut rules = Vec::new();
    for protocol in protocols {
        let of_protocol = sandbox.ports.iter().filter(|port| port.protocol == protocol);
        let ports: Vec<String> = of_protocol.map(|port| port.host_port.to_string()).collect();
        rules.extend(ports.chunks(MULTIPORT).map(|ports| {
            let comment = ["-m", "comment", "--comment", &comment];
            let matches = ["-m", "multiport", "-p", protocol.name(), "--destination-ports", &ports.join(",")];
            words(&[&comment[..], &matches].concat())
        }));
    }
    rules
}

/// An entry as `iptables -S` lists it, which the plugin then deletes word for word.
fn as_listed(rule: &[String]) -> Rule {
    let [m, comment, flag, text, multiport, name, p, protocol, _, ports, j, chain] = rule else {
        return rule.to_vec();
    };
    let listed =
        [p, protocol, m, comment, flag, text, multiport, name, &"--dports".to_owned(), ports, j, chain];
    listed.map(String::clone).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_names_are_those_of_the_plugin() {
        // From the plugin's own tests (portmap_iptables_test.go).
        let sandbox = Sandbox {
            network: "testNetName".into(),
            container_id: "icee6giejonei6sohng6ahngee7laquohquee9shiGo7fohferakah3Feiyoolu2pei7ciPhoh7shaoX6vai3vuf0ahfaeng\
                           8yohb9ceu0daez5hashee8ooYai5wa3y"
                .into(),
            addresses: Vec::new(),
            ports: Vec::new(),
            route_localnet: None,
        };
        assert_eq!(chain_name("DN-", &sandbox), "CNI-DN-bfd599665540dd91d5d28");
    }
}
