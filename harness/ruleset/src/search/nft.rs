//! In nftables mode: the map `service-ips` of table kube-proxy, and that of those without endpoints.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use services::service::{Family, Protocol};

use super::found::{FoundService, FoundServices, Frontend, Votes, protocol};
use super::names;
use super::walk::{self, Holds, Then, WalkedPacket, Walker};
use crate::chains::Rule;
use crate::nft::{Listing, NftTable, Verdict, parse_statement};

const TABLE: &str = "kube-proxy";
const SERVICES: &str = "service-ips";
const NODE_PORTS: &str = "service-nodeports";
const FIREWALLS: &str = "firewall-ips";
const WITHOUT_ENDPOINTS: &str = "no-endpoint-services";
/// Up to 1.35, in the chain of each Service.
const MASQUERADE: &str = "jump mark-for-masquerade";
/// Since 1.36, for all cluster IPs, in the chain of this name.
const LIST: &str = "services";
const TO_CLUSTER_IPS: &str = " daddr @cluster-ips ";

/// Finds them in all tables, looking at up to [`LIMIT`](super::walk::LIMIT) rules.
pub(crate) fn find(listing: &Listing<'_>, limit: u64) -> FoundServices {
    let mut services = FoundServices::default();
    let mut votes = Votes::default();
    let tables = || listing.tables.iter().filter(|table| table.name == TABLE);
    for table in tables() {
        for chain in table.chains.all() {
            for rule in &chain.rules {
                let of_pods = rule.text.ends_with(MASQUERADE)
                    || (chain.name == LIST && rule.text.contains(TO_CLUSTER_IPS));
                let to_pods = chain.name.starts_with("external-") && rule.text.contains(" goto service-");
                if (of_pods || to_pods)
                    && let Some((negated, cidrs)) = parse_statement(rule.text).source
                    && let ([cidr], true) = (&cidrs[..], negated == of_pods)
                {
                    votes.cast(*cidr);
                }
            }
        }
        services.node_ports += table.set(NODE_PORTS).map_or(0, |map| map.elements.len());
    }
    services.cluster_cidrs = votes.winners();
    let mut left = limit;
    for table in tables() {
        let cidr = services.cluster_cidr(if table.family == "ip6" { Family::Ipv6 } else { Family::Ipv4 });
        let mut walker = Walker { chains: &table.chains, judge, left };
        let firewalls: HashMap<(SocketAddr, Protocol), &str> =
            entries(table, FIREWALLS).map(|entry| ((entry.address, entry.protocol), entry.chain)).collect();
        for entry in entries(table, SERVICES) {
            let packet = WalkedPacket { from: cidr, to: entry.address, protocol: entry.protocol };
            let firewall = firewalls.get(&(entry.address, entry.protocol));
            let shut_out = firewall.map_or(Some(false), |chain| walker.may_end(chain, &packet));
            let (Some(mut walked), Some(shut_out)) = (walker.walk(entry.chain, &packet), shut_out) else {
                services.is_incomplete = true;
                return services;
            };
            walked.may_miss |= shut_out;
            services.found.push(FoundService {
                name: names::of_chain(entry.chain).unwrap_or_else(|| entry.address.to_string()),
                protocol: entry.protocol,
                entry: entry.address,
                frontend: match entry.chain.split('-').next() {
                    Some("service" | "local") => Frontend::Cluster,
                    _ => Frontend::External,
                },
                is_certain: !walked.may_miss && !walked.answers.is_empty(),
                answers: walked.answers.into_iter().collect(),
                line: entry.line,
                position: 0,
            });
        }
        left = walker.left;
        services.add_unmapped(table);
    }
    services
}

/// An element that takes the packets of one address.
struct Entry<'a> {
    address: SocketAddr,
    protocol: Protocol,
    chain: &'a str,
    comment: Option<&'a str>,
    line: u32,
}

/// Elements `address . protocol . port : verdict`.
fn entries<'a>(table: &'a NftTable<'_>, map: &str) -> impl Iterator<Item = Entry<'a>> {
    let elements = table.set(map).map(|map| map.elements.as_slice()).unwrap_or_default();
    elements.iter().filter_map(|element| {
        let (key, value) = element.parts();
        let [address, name, port] = key[..] else { return None };
        let address: IpAddr = address.parse().ok()?;
        let chain = match value[..] {
            ["goto" | "jump", chain] => chain,
            [verdict] => verdict,
            _ => return None,
        };
        Some(Entry {
            address: SocketAddr::new(address, port.parse().ok()?),
            protocol: protocol(name)?,
            chain,
            comment: element.comment(),
            line: element.line,
        })
    })
}

impl FoundServices {
    fn add_unmapped(&mut self, table: &NftTable<'_>) {
        let cluster_ips: Option<HashSet<&str>> = table.set("cluster-ips").map(|set| {
            set.elements.iter().filter_map(|element| element.parts().0.first().copied()).collect()
        });
        let is_cluster_ip =
            |ip: IpAddr| cluster_ips.as_ref().is_none_or(|ips| ips.contains(ip.to_string().as_str()));
        let known: HashSet<(SocketAddr, Protocol)> =
            self.found.iter().map(|found| (found.entry, found.protocol)).collect();
        for entry in entries(table, WITHOUT_ENDPOINTS) {
            // An external address of policy Local without local endpoints stands in both maps.
            if known.contains(&(entry.address, entry.protocol)) {
                continue;
            }
            self.found.push(FoundService {
                name: entry.comment.map_or_else(|| entry.address.to_string(), str::to_owned),
                protocol: entry.protocol,
                entry: entry.address,
                frontend: if is_cluster_ip(entry.address.ip()) {
                    Frontend::Cluster
                } else {
                    Frontend::External
                },
                answers: Vec::new(),
                is_certain: false,
                line: entry.line,
                position: 0,
            });
        }
    }
}

/// What a rule does with a packet of a pod.
fn judge<'a>(rule: &Rule<'a>, packet: &WalkedPacket) -> (Holds, Then<'a>) {
    let statement = parse_statement(rule.text);
    let holds = [
        walk::source(packet, statement.source.as_ref().map(|(negated, all)| (*negated, all.as_slice()))),
        walk::destination(packet, statement.destination),
        walk::protocol(packet, statement.protocol.map(|name| (false, name))),
        walk::ports(packet, statement.ports.as_ref()),
        walk::local(statement.source_type.map(|kind| (false, kind))),
        if statement.unknown { Holds::Perhaps } else { Holds::Always },
    ]
    .into_iter()
    .fold(Holds::Always, Holds::and);
    let then = match statement.verdict {
        Verdict::Next => Then::Next,
        Verdict::Jump(chains) => Then::Jump(chains),
        Verdict::Goto(chains) => Then::Goto(chains),
        Verdict::Dnat(addresses) => Then::Dnat(addresses),
        Verdict::Return => Then::Return,
        Verdict::End => Then::End,
    };
    (holds, then)
}
