//! In iptables mode: the chain KUBE-SERVICES of table nat, and that of table filter for those without endpoints.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::SocketAddr;

use services::service::Protocol;

use super::found::{FoundService, FoundServices, Frontend, Votes, protocol};
use super::names;
use super::walk::{self, Holds, Then, WalkedPacket, Walker};
use crate::chains::Rule;
use crate::iptables::{Dump, IptablesTable, Options, parse_rule};

/// The list of FoundServices, in tables nat and filter.
const LIST: &str = "KUBE-SERVICES";
/// The list of node ports.
const NODE_PORTS: &str = "KUBE-NODEPORTS";
/// Where addresses without endpoints are rejected that are not cluster IPs.
const EXTERNAL: &str = "KUBE-EXTERNAL-SERVICES";
/// Marks for masquerading.
const MASQUERADE: &str = "KUBE-MARK-MASQ";

/// Finds them in all tables, looking at up to [`LIMIT`](super::walk::LIMIT) rules.
pub(crate) fn find(dump: &Dump<'_>, limit: u64) -> FoundServices {
    let mut services = FoundServices::default();
    let mut votes = Votes::default();
    let nat = || dump.tables.iter().filter(|table| table.name == "nat");
    for table in nat() {
        for chain in table.chains.all() {
            for rule in &chain.rules {
                // Rules of masquerading are few words; the others are not taken apart.
                let of_pods = names::is_of_services(chain.name) && rule.text.ends_with(MASQUERADE);
                let to_pods = names::is_external(chain.name) && rule.text.contains("-j KUBE-SVC-");
                if (of_pods || to_pods)
                    && let Some((negated, cidr)) = parse_rule(rule.text).source
                    && negated == of_pods
                {
                    votes.cast(cidr);
                }
            }
        }
    }
    services.cluster_cidrs = votes.winners();
    let mut left = limit;
    for table in nat() {
        let from = services.cluster_cidr(table.family);
        let mut walker = Walker { chains: &table.chains, judge, left };
        let Some(list) = table.chains.get(LIST) else { continue };
        services.listed += list.rules.len();
        for (position, rule) in list.rules.iter().enumerate() {
            let Some(entry) = Entry::of(rule) else { continue };
            if entry.chain == MASQUERADE {
                continue;
            }
            let packet = WalkedPacket { from, to: entry.address, protocol: entry.protocol };
            let Some(mut walked) = walker.walk(&entry.chain, &packet) else {
                services.is_incomplete = true;
                return services;
            };
            // What the rule itself asks beyond the address.
            walked.may_miss |= judge(rule, &packet).0 != Holds::Always;
            services.add(entry, walked, rule.line, position);
        }
        left = walker.left;
        if let Some(list) = table.chains.get(NODE_PORTS) {
            services.node_ports += node_ports(&list.rules);
        }
    }
    for table in dump.tables.iter().filter(|table| table.name == "filter") {
        services.add_without_endpoints(table);
    }
    services
}

/// A rule that takes the packets of one address.
struct Entry {
    address: SocketAddr,
    protocol: Protocol,
    chain: String,
    comment: String,
}

impl Entry {
    fn of(rule: &Rule<'_>) -> Option<Self> {
        let options = parse_rule(rule.text);
        let (Some((false, network)), Some((false, ports))) = (&options.destination, &options.ports) else {
            return None;
        };
        if network.prefix_len() != network.max_prefix_len() || ports.start() != ports.end() {
            return None;
        }
        let (negated, name) = options.protocol.as_ref()?;
        Some(Self {
            address: SocketAddr::new(network.addr(), *ports.start()),
            protocol: protocol(name).filter(|_| !negated)?,
            chain: options.jump.or(options.goto)?.into_owned(),
            comment: options.comment.unwrap_or_default().into_owned(),
        })
    }

    fn frontend(&self) -> Frontend {
        match names::frontend_of_comment(&self.comment) {
            Some(frontend) => frontend,
            None if self.chain.starts_with("KUBE-SVC-") || self.chain.starts_with("KUBE-SVL-") => {
                Frontend::Cluster
            }
            None if self.chain.starts_with("KUBE-FW-") => Frontend::LoadBalancer,
            None => Frontend::External,
        }
    }
}

impl FoundServices {
    fn add(&mut self, entry: Entry, walked: walk::Walked, line: u32, position: usize) {
        // 1.20 has several rules for an external IP, by where the packet comes from.
        if let Some(before) = self
            .found
            .iter_mut()
            .rev()
            .take(3)
            .find(|found| (found.entry, found.protocol) == (entry.address, entry.protocol))
        {
            let answers = before.answers.iter().copied().chain(walked.answers);
            before.answers = answers.collect::<BTreeSet<_>>().into_iter().collect();
            return;
        }
        self.found.push(FoundService {
            name: names::of_comment(&entry.comment).unwrap_or_else(|| entry.address.to_string()),
            protocol: entry.protocol,
            entry: entry.address,
            frontend: entry.frontend(),
            is_certain: !walked.may_miss && !walked.answers.is_empty(),
            answers: walked.answers.into_iter().collect(),
            line,
            position,
        });
    }

    /// Those of table filter are rejected or dropped.
    fn add_without_endpoints(&mut self, table: &IptablesTable<'_>) {
        for (list, frontend) in [(LIST, Frontend::Cluster), (EXTERNAL, Frontend::External)] {
            let rules = table.chains.get(list).map(|chain| chain.rules.as_slice()).unwrap_or_default();
            for rule in rules {
                let Some(entry) = Entry::of(rule).filter(|entry| matches!(&*entry.chain, "REJECT" | "DROP"))
                else {
                    continue;
                };
                self.found.push(FoundService {
                    name: names::of_comment(&entry.comment).unwrap_or_else(|| entry.address.to_string()),
                    protocol: entry.protocol,
                    entry: entry.address,
                    frontend,
                    answers: Vec::new(),
                    is_certain: false,
                    line: rule.line,
                    position: 0,
                });
            }
        }
    }
}

/// Different ports with their protocols; a port may have several rules.
fn node_ports(rules: &[Rule<'_>]) -> usize {
    let ports = rules.iter().filter_map(|rule| {
        let options = parse_rule(rule.text);
        let (_, protocol) = options.protocol?;
        Some((protocol.into_owned(), *options.ports?.1.start()))
    });
    ports.collect::<BTreeSet<_>>().len()
}

/// What a rule does with a packet of a pod.
fn judge<'a>(rule: &Rule<'a>, packet: &WalkedPacket) -> (Holds, Then<'a>) {
    let options = parse_rule(rule.text);
    let holds = holds(&options, packet);
    let text = |name: Option<Cow<'a, str>>| match name {
        Some(Cow::Borrowed(name)) => Some(name),
        _ => None,
    };
    let is_unclear = options.destinations.is_empty();
    let (jump, goto, destinations) = (text(options.jump), text(options.goto), options.destinations);
    let then = match (jump, goto) {
        (_, Some(chain)) => Then::Goto(vec![chain]),
        (None, None) => Then::Next,
        (Some("DNAT"), _) if is_unclear => Then::End,
        (Some("DNAT"), _) => Then::Dnat(destinations),
        (Some("RETURN"), _) => Then::Return,
        (
            Some(
                "ACCEPT" | "DROP" | "QUEUE" | "REJECT" | "MASQUERADE" | "SNAT" | "REDIRECT" | "NETMAP"
                | "NFQUEUE",
            ),
            _,
        ) => Then::End,
        // Targets that change or log the packet, and chains; a target is no chain, so that nothing is passed.
        (Some(chain), _) => Then::Jump(vec![chain]),
    };
    (holds, then)
}

fn holds(options: &Options<'_>, packet: &WalkedPacket) -> Holds {
    fn name<'o>(asked: &'o Option<(bool, Cow<'_, str>)>) -> Option<(bool, &'o str)> {
        asked.as_ref().map(|(negated, name)| (*negated, &**name))
    }
    let new = match name(&options.states) {
        None => Holds::Always,
        Some((false, states)) if states.split(',').any(|state| state == "NEW") => Holds::Always,
        Some(_) => Holds::Perhaps,
    };
    let interfaces = if options.interfaces.is_empty() { Holds::Always } else { Holds::Perhaps };
    let bridged = if options.is_bridged { Holds::Never } else { Holds::Always };
    let unknown = if options.unknown { Holds::Perhaps } else { Holds::Always };
    [
        walk::source(
            packet,
            options.source.as_ref().map(|(negated, one)| (*negated, std::slice::from_ref(one))),
        ),
        walk::destination(packet, options.destination),
        walk::protocol(packet, name(&options.protocol)),
        walk::ports(packet, options.ports.as_ref()),
        walk::local(name(&options.source_type)),
        walk::local(name(&options.destination_type)),
        new,
        interfaces,
        bridged,
        unknown,
    ]
    .into_iter()
    .fold(Holds::Always, Holds::and)
}
