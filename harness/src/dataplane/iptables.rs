//! kube-proxy's iptables mode, in the form used from 1.25 to today.
//!
//! Source of every line: rulesets written by kube-proxy 1.30.5 (shared/golden) and
//! pkg/proxy/iptables/proxier.go, as condensed in KUBE_PROXY_FACTS.md, section 2. iptables-legacy and
//! iptables-nft get the same input; they differ only in the programs that read it.

mod jumps;

use std::sync::Arc;

use super::conntrack;
use super::names::hash;
use super::text::{AddressText, put};
use super::{Counts, Dataplane, Expect, KubeProxy, Node, Phase, Plan, Program, Step, Sync};
use crate::scale::{Diff, ServiceSet};
use crate::service::{Endpoint, Service};

/// Above this many endpoints kube-proxy leaves the comments out of the rules that there are most of,
/// and no longer looks for stale chains at every sync (`largeClusterEndpointsThreshold`).
const LARGE_CLUSTER: usize = 1000;
/// `-w` and `-W` of every run; iptables 1.8.9 takes `-W` and ignores it.
const WAIT: [&str; 4] = ["-w", "5", "-W", "100000"];
/// The bit that marks packets to be masqueraded (masqueradeBit 14).
pub(super) const MARK: &str = "0x00004000";

type HashName = [u8; 16];

/// Planner of the iptables mode.
pub struct Iptables {
    node: Node,
    load_chunk: Option<usize>,
}

impl Iptables {
    /// A planner for iptables-legacy, which copies the whole table at every transaction: it is loaded
    /// in one.
    pub const fn legacy(node: Node) -> Self {
        Self { node, load_chunk: None }
    }

    /// A planner for iptables-nft, whose time grows with the square of a transaction's chains (linear
    /// scans of its chain list, iptables 1.8.9): 10,000 x 10 take a quarter of an hour in one
    /// transaction and seconds in pieces of 50 Services. Only [`Dataplane::load`] does the latter.
    pub const fn nft(node: Node) -> Self {
        Self { node, load_chunk: Some(50) }
    }
}

/// Which Services get their chains written.
enum Scope<'a> {
    All,
    Only(&'a [usize]),
}

impl Dataplane for Iptables {
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan {
        let diff = Diff::between(from, to);
        let stale = stale_chains(from, to, &diff);
        let large = to.total_endpoints() > LARGE_CLUSTER;
        let mut steps = Vec::new();
        if sync == Sync::Full {
            let present = if from.is_empty() { jumps::Present::Nothing } else { jumps::Present::Everything };
            steps.extend(jumps::steps(present));
        }
        let collects = sync == Sync::Full || !large;
        if collects {
            steps.push(Step::new(Phase::Listing, Program::IptablesSave, &["-t", "nat"], Expect::Success));
        }
        let (scope, removed_now) = match sync {
            Sync::Full => (Scope::All, &stale[..]),
            Sync::Partial => (Scope::Only(&diff.changed), if collects { &stale[..] } else { &[] }),
        };
        steps.push(restore(Phase::Restore, self.input(to, &scope, removed_now)));
        if self.node.kube_proxy == KubeProxy::V1_30 {
            steps.extend(conntrack::cleanup_of(from, to, &diff));
        }
        let cleanup = if collects || stale.is_empty() {
            Vec::new()
        } else {
            vec![restore(Phase::Cleanup, delete_chains(&stale))]
        };
        Plan { steps, cleanup, expect: self.counts(to) }
    }

    fn load(&self, to: &ServiceSet) -> Plan {
        let restores = |inputs: Vec<Vec<u8>>| inputs.into_iter().map(|input| restore(Phase::Restore, input));
        let steps = match self.load_chunk {
            // Jumps last: until a chain can be reached from a hook, nf_tables need not walk it at every
            // commit (nft_table_validate, net/netfilter/nf_tables_api.c).
            Some(chunk) => {
                restores(self.chunked_input(to, chunk)).chain(jumps::steps(jumps::Present::Chains)).collect()
            }
            // Jumps first: each costs a copy of what is there.
            None => jumps::steps(jumps::Present::Nothing)
                .into_iter()
                .chain(restores(vec![self.input(to, &Scope::All, &[])]))
                .collect(),
        };
        Plan { steps, cleanup: Vec::new(), expect: self.counts(to) }
    }

    fn append(&self, to: &ServiceSet) -> Option<Plan> {
        let service = to.services().iter().find(|service| !service.endpoints().is_empty())?;
        let cluster = service.cluster;
        let (ip, port, protocol) = (
            crate::synthetic::spare_address(0).to_string(),
            cluster.port().to_string(),
            service.protocol.name(),
        );
        let chain = chains_of(service).into_iter().find(|chain| chain.starts_with("KUBE-SVC-"))?;
        let mut args = WAIT.to_vec();
        args.extend(["-A", "KUBE-SERVICES", "-t", "nat"]);
        args.extend([
            "-m",
            "comment",
            "--comment",
            "svcbench: one rule more",
            "-m",
            protocol,
            "-p",
            protocol,
        ]);
        args.extend(["-d", &ip, "--dport", &port, "-j", &chain]);
        let delete: Vec<&str> = args.iter().map(|&arg| if arg == "-A" { "-D" } else { arg }).collect();
        Some(Plan {
            steps: vec![Step::new(Phase::Restore, Program::Iptables, &args, Expect::Success)],
            cleanup: vec![Step::new(Phase::Cleanup, Program::Iptables, &delete, Expect::Success)],
            expect: self.counts(to),
        })
    }

    fn counts(&self, to: &ServiceSet) -> Counts {
        // Chains: 12 built in (filter 3, mangle 5, nat 4), 3 canaries, 6 in filter, 4 in nat.
        let mut counts =
            Counts { rules: jumps::COUNT + 9, chains: 12 + 3 + 6 + 4, elements: 0, ..Counts::default() };
        for service in to.services() {
            let endpoints = service.endpoints().len() as u64;
            let external = u64::from(service.node_port.is_some());
            if endpoints == 0 {
                counts.rules += 1 + external;
            } else {
                let masquerade = u64::from(self.node.cluster_cidr.is_some());
                counts.chains += 1 + endpoints + external;
                // The entry, the masquerade rule, the dispatch, two per endpoint; the node port's three.
                counts.rules += 1 + masquerade + endpoints + 2 * endpoints + 3 * external;
            }
        }
        counts
    }
}

/// One `iptables-restore` as kube-proxy runs it.
pub(super) fn restore(phase: Phase, input: Vec<u8>) -> Step {
    let mut args = WAIT.to_vec();
    args.extend(["--noflush", "--counters"]);
    Step::new(phase, Program::IptablesRestore, &args, Expect::Success).with_input(input)
}

/// One `iptables` as kube-proxy runs it: operation and chain, then the table, then the rule.
pub(super) fn iptables(
    phase: Phase,
    operation: &str,
    chain: &str,
    table: &str,
    rule: &[&str],
    expect: Expect,
) -> Step {
    let mut args = WAIT.to_vec();
    args.extend([operation, chain, "-t", table]);
    args.extend(rule);
    Step::new(phase, Program::Iptables, &args, expect)
}

/// Chains of `from` that no Service of `to` uses.
fn stale_chains(from: &ServiceSet, to: &ServiceSet, diff: &Diff) -> Vec<String> {
    let mut stale: Vec<String> = diff.touched(from, to).flat_map(chains_of).collect();
    if stale.is_empty() {
        // Nothing of the kernel's goes, as at every cold sync: spares it the names of all of `to`.
        return stale;
    }
    let used: std::collections::HashSet<String> =
        diff.changed.iter().flat_map(|&index| chains_of(&to.services()[index])).collect();
    stale.retain(|chain| !used.contains(chain));
    stale.sort_unstable();
    stale
}

fn chains_of(service: &Arc<Service>) -> Vec<String> {
    let mut lines = Vec::new();
    chain_lines(std::slice::from_ref(service), &[true], &mut lines);
    let lines = String::from_utf8_lossy(&lines);
    lines.lines().filter_map(|line| line.strip_prefix(':')?.split(' ').next()).map(str::to_owned).collect()
}

/// Input that flushes and deletes chains.
fn delete_chains(chains: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    put!(out, "*nat\n");
    for chain in chains {
        put!(out, ":", chain, " - [0:0]\n");
    }
    for chain in chains {
        put!(out, "-X ", chain, "\n");
    }
    put!(out, "COMMIT\n");
    out
}

impl Iptables {
    /// The text for `iptables-restore --noflush`. The linear lists (KUBE-SERVICES, KUBE-NODEPORTS, the
    /// whole filter table) are always written; chains of single Services only within the scope.
    fn input(&self, to: &ServiceSet, scope: &Scope<'_>, stale: &[String]) -> Vec<u8> {
        let services = to.services();
        let mut in_scope = vec![matches!(scope, Scope::All); services.len()];
        if let Scope::Only(indices) = scope {
            for &index in *indices {
                in_scope[index] = true;
            }
        }
        let comments = to.total_endpoints() <= LARGE_CLUSTER;
        let mut out = Vec::with_capacity(capacity(services, &in_scope, comments));
        filter_table(to, &mut out);
        put!(out, NAT_CHAINS);
        let names = chain_lines(services, &in_scope, &mut out);
        for chain in stale {
            put!(out, ":", chain, " - [0:0]\n");
        }
        fixed_nat_rules(&mut out);
        self.service_rules(services, &in_scope, &names, comments, &mut out);
        for chain in stale {
            put!(out, "-X ", chain, "\n");
        }
        put!(out, LAST_RULE, "COMMIT\n");
        out
    }

    /// One transaction with everything that is there once, one for each chunk of Services, and the rule
    /// that must be last.
    fn chunked_input(&self, to: &ServiceSet, chunk: usize) -> Vec<Vec<u8>> {
        let comments = to.total_endpoints() <= LARGE_CLUSTER;
        let mut first = Vec::new();
        filter_table(to, &mut first);
        put!(first, NAT_CHAINS);
        fixed_nat_rules(&mut first);
        put!(first, "COMMIT\n");
        let mut inputs = vec![first];
        for services in to.services().chunks(chunk) {
            let in_scope = vec![true; services.len()];
            let mut out = Vec::with_capacity(capacity(services, &in_scope, comments));
            put!(out, "*nat\n");
            let mut lines = Vec::new();
            let names = chain_lines(services, &in_scope, &mut lines);
            // iptables-nft keeps its chains in a sorted list that it searches from the front: in reverse
            // order each new one is first. A quarter of the time at 10,000 Services.
            let mut lines: Vec<&[u8]> = lines.split_inclusive(|&byte| byte == b'\n').collect();
            lines.sort_unstable_by(|one, other| other.cmp(one));
            lines.iter().for_each(|line| put!(out, line));
            self.service_rules(services, &in_scope, &names, comments, &mut out);
            put!(out, "COMMIT\n");
            inputs.push(out);
        }
        inputs.push(format!("*nat\n{LAST_RULE}COMMIT\n").into_bytes());
        inputs
    }

    /// `names` as [`chain_lines`] returned them for the same Services and scope.
    fn service_rules(
        &self,
        services: &[Arc<Service>],
        in_scope: &[bool],
        mut names: &[HashName],
        comments: bool,
        out: &mut Vec<u8>,
    ) {
        let mut rules = Rules {
            out,
            not_from_pods: self.node.cluster_cidr.map(|cidr| format!(" ! -s {cidr} -j KUBE-MARK-MASQ\n")),
            comments,
            probabilities: Vec::new(),
            name: Vec::new(),
            matches: Vec::new(),
        };
        for (service, &in_scope) in services.iter().zip(in_scope) {
            if service.endpoints().is_empty() {
                continue;
            }
            let (own, rest) = names.split_at(1 + if in_scope { service.endpoints().len() } else { 0 });
            rules.service(service, &own[0], in_scope.then_some(&own[1..]));
            names = rest;
        }
    }
}

/// Head of the nat table: the chains that are there once.
const NAT_CHAINS: &str = "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-NODEPORTS - [0:0]\n:KUBE-POSTROUTING - [0:0]\n\
                          :KUBE-MARK-MASQ - [0:0]\n";
/// The rule that must stand behind all Services.
const LAST_RULE: &str = "-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: this must be the \
                         last rule in this chain\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\n";

fn fixed_nat_rules(out: &mut Vec<u8>) {
    put!(out, "-A KUBE-POSTROUTING -m mark ! --mark ", MARK, "/", MARK, " -j RETURN\n");
    put!(out, "-A KUBE-POSTROUTING -j MARK --xor-mark ", MARK, "\n");
    put!(out, "-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\"");
    put!(out, " -j MASQUERADE --random-fully\n");
    put!(out, "-A KUBE-MARK-MASQ -j MARK --or-mark ", MARK, "\n");
}

/// Writes the chain lines of Services in scope. Returns all hash names, so that each is made once: of
/// every Service with endpoints its own, followed by those of its endpoints if it is in scope.
fn chain_lines(services: &[Arc<Service>], in_scope: &[bool], out: &mut Vec<u8>) -> Vec<HashName> {
    let mut input = Vec::with_capacity(256);
    let mut names: Vec<HashName> = Vec::with_capacity(services.len());
    for (service, &in_scope) in services.iter().zip(in_scope) {
        if service.endpoints().is_empty() {
            continue;
        }
        let prefix = put_hash_input(service, &mut input);
        let name: HashName = hash(&input);
        names.push(name);
        if !in_scope {
            continue;
        }
        if service.node_port.is_some() {
            put!(out, ":KUBE-EXT-", name, " - [0:0]\n");
        }
        put!(out, ":KUBE-SVC-", name, " - [0:0]\n");
        names.reserve(service.endpoints().len());
        for endpoint in service.endpoints() {
            input.truncate(prefix);
            put!(input, AddressText::new(endpoint.address).whole());
            let name: HashName = hash(&input);
            names.push(name);
            put!(out, ":KUBE-SEP-", name, " - [0:0]\n");
        }
    }
    names
}

/// What a Service's name is the hash of; an endpoint's has its `ip:port` behind it. Returns its length.
fn put_hash_input(service: &Service, input: &mut Vec<u8>) -> usize {
    input.clear();
    put_display_name(input, service);
    put!(input, service.protocol.name());
    input.len()
}

fn filter_table(to: &ServiceSet, out: &mut Vec<u8>) {
    put!(out, "*filter\n");
    for chain in jumps::FILTER_CHAINS {
        put!(out, ":", chain, " - [0:0]\n");
    }
    put!(out, "-A KUBE-FIREWALL -m comment --comment \"block incoming localnet connections\"");
    put!(out, " -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP\n");
    for service in to.services().iter().filter(|service| service.endpoints().is_empty()) {
        let (name, protocol) = (service.display_name(), service.protocol.name());
        let (ip, port) = (service.cluster.ip(), service.cluster.port());
        put!(
            out,
            format!(
                "-A KUBE-SERVICES -m comment --comment \"{name} has no endpoints\" -m {protocol} -p {protocol} \
                 -d {ip} --dport {port} -j REJECT\n"
            )
        );
        if let Some(node_port) = service.node_port {
            put!(
                out,
                format!(
                    "-A KUBE-EXTERNAL-SERVICES -m comment --comment \"{name} has no endpoints\" -m addrtype \
                     --dst-type LOCAL -m {protocol} -p {protocol} --dport {node_port} -j REJECT\n"
                )
            );
        }
    }
    put!(out, "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n");
    put!(out, "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark --mark ");
    put!(out, MARK, "/", MARK, " -j ACCEPT\n");
    put!(out, "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack rule\"");
    put!(out, " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n");
}

/// An upper bound of the text's length, a little above the truth: one allocation, no copy on growth.
fn capacity(services: &[Arc<Service>], in_scope: &[bool], comments: bool) -> usize {
    let per_service = |(service, &in_scope): (&Arc<Service>, &bool)| {
        let name = service.namespace.len() + service.name.len() + service.port_name.len() + 2;
        let entry = 200 + 2 * name;
        if !in_scope {
            return entry;
        }
        let comment = if comments { 3 * (name + 25) + 30 } else { 0 };
        entry + 300 + name * 4 + service.endpoints().len() * (305 + comment)
    };
    4096 + services.iter().zip(in_scope).map(per_service).sum::<usize>()
}

fn put_display_name(out: &mut Vec<u8>, service: &Service) {
    put!(out, service.namespace, "/", service.name);
    if !service.port_name.is_empty() {
        put!(out, ":", service.port_name);
    }
}

/// The rules of one Service after another.
struct Rules<'a> {
    out: &'a mut Vec<u8>,
    /// The tail of the rule that masquerades traffic from outside the cluster, if a CIDR is known.
    not_from_pods: Option<String>,
    /// Whether dispatch and endpoint rules carry comments.
    comments: bool,
    /// Text of 1/n at index n.
    probabilities: Vec<String>,
    name: Vec<u8>,
    matches: Vec<u8>,
}

impl Rules<'_> {
    /// `endpoint_names`: `None` when a partial sync leaves this Service's own chains alone.
    fn service(&mut self, service: &Service, name: &HashName, endpoint_names: Option<&[HashName]>) {
        let protocol = service.protocol.name();
        self.name.clear();
        put_display_name(&mut self.name, service);
        self.matches.clear();
        let cluster = AddressText::new(service.cluster);
        put!(
            self.matches,
            " -m ",
            protocol,
            " -p ",
            protocol,
            " -d ",
            cluster.ip(),
            " --dport ",
            cluster.port()
        );

        let (out, display) = (&mut *self.out, &self.name);
        put!(out, "-A KUBE-SERVICES -m comment --comment \"", display, " cluster IP\"", self.matches);
        put!(out, " -j KUBE-SVC-", name, "\n");
        if let Some(port) = service.node_port {
            put!(out, "-A KUBE-NODEPORTS -m comment --comment ", display, " -m ", protocol, " -p ", protocol);
            put!(out, " --dport ", port.to_string(), " -j KUBE-EXT-", name, "\n");
        }
        let Some(endpoint_names) = endpoint_names else { return };

        if let Some(not_from_pods) = &self.not_from_pods {
            put!(
                out,
                "-A KUBE-SVC-",
                name,
                " -m comment --comment \"",
                display,
                " cluster IP\"",
                self.matches
            );
            put!(out, not_from_pods);
        }
        if service.node_port.is_some() {
            put!(out, "-A KUBE-EXT-", name, " -m comment --comment \"masquerade traffic for ", display);
            put!(out, " external destinations\" -j KUBE-MARK-MASQ\n");
            put!(out, "-A KUBE-EXT-", name, " -j KUBE-SVC-", name, "\n");
        }
        self.dispatch(service.endpoints(), name, endpoint_names);
        self.endpoints(service, endpoint_names);
    }

    fn dispatch(&mut self, endpoints: &[Endpoint], name: &HashName, endpoint_names: &[HashName]) {
        for remaining in self.probabilities.len()..=endpoints.len() {
            self.probabilities.push(format!("{:.10}", 1.0 / remaining as f64));
        }
        let (out, display) = (&mut *self.out, &self.name);
        for (index, (endpoint, endpoint_name)) in endpoints.iter().zip(endpoint_names).enumerate() {
            put!(out, "-A KUBE-SVC-", name);
            if self.comments {
                let address = AddressText::new(endpoint.address);
                put!(out, " -m comment --comment \"", display, " -> ", address.whole(), "\"");
            }
            let remaining = endpoints.len() - index;
            if remaining > 1 {
                put!(out, " -m statistic --mode random --probability ", self.probabilities[remaining]);
            }
            put!(out, " -j KUBE-SEP-", endpoint_name, "\n");
        }
    }

    fn endpoints(&mut self, service: &Service, endpoint_names: &[HashName]) {
        let protocol = service.protocol.name();
        let (out, display) = (&mut *self.out, &self.name);
        for (endpoint, endpoint_name) in service.endpoints().iter().zip(endpoint_names) {
            let address = AddressText::new(endpoint.address);
            put!(out, "-A KUBE-SEP-", endpoint_name);
            if self.comments {
                put!(out, " -m comment --comment ", display);
            }
            put!(out, " -s ", address.ip(), " -j KUBE-MARK-MASQ\n-A KUBE-SEP-", endpoint_name);
            if self.comments {
                put!(out, " -m comment --comment ", display);
            }
            put!(
                out,
                " -m ",
                protocol,
                " -p ",
                protocol,
                " -j DNAT --to-destination ",
                address.whole(),
                "\n"
            );
        }
    }
}
