//! The plugin's nftables backend: a rule for each mapping in chain `hostports` of table `cni_hostport`, with the
//! pod's id for its comment, by which it is found again.
//!
//! Source: `portmap_nftables.go` of v1.9.0, which looks only at packets to local addresses; 1.6 to 1.8 translated
//! whatever passed through the node (CVE-2025-67499).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ipnet::IpNet;
use services::service::Family;

use super::sandbox::{HostPort, Sandbox};
use crate::counts::Counts;
use crate::plan::{Expect, Phase, Program, Step};

const HOST_PORTS: &str = "hostports";
/// Since 1.9 only a relic: older plugins have their rules with a `hostIP` in it.
const HOST_IP_HOST_PORTS: &str = "hostip_hostports";
const MASQUERADING: &str = "masquerading";
/// Chains in which a pod may have rules, in the order in which a removal looks through them.
const OF_PODS: [&str; 3] = [HOST_PORTS, HOST_IP_HOST_PORTS, MASQUERADING];
/// Chains of the table, in order of creation.
const CHAINS: u64 = 6;

/// The two tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    tables: BTreeMap<Family, Table>,
}

/// What the kernel holds: rules with their handles, by chain.
#[derive(Clone, Debug, Default)]
struct Table {
    /// The last handle given out. The kernel numbers a table's chains and rules in one sequence
    /// (`nf_tables_alloc_handle`).
    handle: u64,
    base_rules: u64,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    chain: &'static str,
    handle: u64,
    container_id: String,
}

/// Name of the family in nft.
const fn ip(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ip",
        Family::Ipv6 => "ip6",
    }
}

/// What knftables asks when it is set up: the version, and whether comments on tables are taken.
fn probe(family: Family) -> [Step; 2] {
    let probe = format!("add table {} cni_hostport {{ comment \"test\" ; }}\n", ip(family));
    [
        Step::new(Phase::Setup, Program::Nft, &["--version"], Expect::Success),
        Step::new(Phase::Setup, Program::Nft, &["--check", "-f", "-"], Expect::Success)
            .with_input(probe.into_bytes()),
    ]
}

fn transaction(phase: Phase, text: String) -> Step {
    Step::new(phase, Program::Nft, &["-f", "-"], Expect::Success).with_input(text.into_bytes())
}

impl Tables {
    /// `forwardPorts`.
    pub(crate) fn add(&mut self, sandbox: &Sandbox, family: Family, address: IpNet, steps: &mut Vec<Step>) {
        steps.extend(probe(family));
        let table = self.tables.entry(family).or_default();
        let mut write = Transaction { family, new: table.handle == 0, table, text: String::new() };
        write.add_base();
        for port in sandbox.entries(family) {
            write.rule_of(sandbox, HOST_PORTS, &mapping(port, family, address));
        }
        let (ip, pod) = (ip(family), address.addr());
        write.rule_of(sandbox, MASQUERADING, &format!("{ip} saddr {pod} {ip} daddr {pod} masquerade"));
        if family == Family::Ipv4 {
            let local = format!("{ip} saddr 127.0.0.1 {ip} daddr {pod} masquerade");
            write.rule_of(sandbox, MASQUERADING, &local);
        }
        steps.push(transaction(Phase::Restore, write.text));
    }

    /// `unforwardPorts`: for both families, as the plugin does not know any more which the pod had.
    pub(crate) fn remove(&mut self, sandbox: &Sandbox, steps: &mut Vec<Step>) {
        for family in Family::ALL {
            steps.extend(probe(family));
            let table = self.tables.get_mut(&family);
            let listed = if table.is_some() { Expect::Success } else { Expect::One };
            let mut text = String::new();
            for chain in OF_PODS {
                let args = ["--json", "list", "chain", ip(family), "cni_hostport", chain];
                steps.push(Step::new(Phase::Listing, Program::Nft, &args, listed));
                let rules = table.iter().flat_map(|table| &table.rules);
                for rule in
                    rules.filter(|rule| rule.chain == chain && rule.container_id == sandbox.container_id)
                {
                    // Writing to a string does not fail.
                    let _ = writeln!(
                        text,
                        "delete rule {} cni_hostport {chain} handle {}",
                        ip(family),
                        rule.handle
                    );
                }
            }
            if let Some(table) = table {
                table.rules.retain(|rule| rule.container_id != sandbox.container_id);
            }
            // knftables runs nothing for an empty transaction.
            if !text.is_empty() {
                steps.push(transaction(Phase::Cleanup, text));
            }
        }
    }

    pub(crate) fn counts(&self, family: Family) -> Counts {
        self.tables.get(&family).map_or(Counts::default(), |table| Counts {
            rules: table.base_rules + table.rules.len() as u64,
            chains: CHAINS,
            ..Counts::default()
        })
    }
}

fn mapping(port: &HostPort, family: Family, address: IpNet) -> String {
    let destination =
        port.destination().map_or(String::new(), |host| format!("{} daddr {host} ", ip(family)));
    let (protocol, host_port) = (port.protocol.name(), port.host_port);
    format!("{destination}{protocol} dport {host_port} dnat to {}", port.target(address))
}

/// The text of one transaction, and what it makes of the table.
struct Transaction<'a> {
    family: Family,
    new: bool,
    table: &'a mut Table,
    text: String,
}

impl Transaction<'_> {
    fn line(&mut self, command: &str, chain: &str, rest: &str) {
        let ip = ip(self.family);
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{command} {ip} cni_hostport {chain}{rest}");
    }

    /// What every call writes anew, whether or not it is there.
    fn add_base(&mut self) {
        let _ = writeln!(
            self.text,
            "add table {} cni_hostport {{ comment \"CNI portmap plugin\" ; }}",
            ip(self.family)
        );
        self.table.base_rules = 0;
        self.chain(HOST_PORTS, "");
        self.chain(HOST_IP_HOST_PORTS, "");
        self.chain("hostports_all", "");
        self.flush("hostports_all");
        self.base_rule("hostports_all", "jump hostip_hostports");
        self.base_rule("hostports_all", "jump hostports");
        for hook in ["prerouting", "output"] {
            self.chain(hook, &format!(" {{ type nat hook {hook} priority -100 ; }}"));
            self.flush(hook);
            self.base_rule(hook, "fib daddr type local jump hostports_all");
        }
        self.chain(MASQUERADING, " { type nat hook postrouting priority 100 ; }");
    }

    fn chain(&mut self, name: &str, definition: &str) {
        self.line("add chain", name, definition);
        self.table.handle += u64::from(self.new);
    }

    fn flush(&mut self, chain: &str) {
        self.line("flush chain", chain, "");
    }

    fn base_rule(&mut self, chain: &str, rule: &str) {
        self.line("add rule", chain, &format!(" {rule}"));
        self.table.handle += 1;
        self.table.base_rules += 1;
    }

    fn rule_of(&mut self, sandbox: &Sandbox, chain: &'static str, rule: &str) {
        self.line("add rule", chain, &format!(" {rule} comment \"{}\"", sandbox.container_id));
        self.table.handle += 1;
        let (handle, container_id) = (self.table.handle, sandbox.container_id.clone());
        self.table.rules.push(Rule { chain, handle, container_id });
    }
}
