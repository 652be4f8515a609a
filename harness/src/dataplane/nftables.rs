//! kube-proxy's nftables mode: 1.30, which rewrites its table at every sync, and the newest form,
//! which since 1.32 sends only what changed.
//!
//! Sources: transactions written by kube-proxy 1.30.5 (shared/golden), pkg/proxy/nftables/proxier.go
//! and its library knftables, as condensed in KUBE_PROXY_FACTS.md, section 4. The table of the newest
//! form is that of a node where kube-proxy knows no ServiceCIDR and keeps no metrics counters.

mod base;
mod elements;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use self::elements::{Element, elements_of};
use super::names::hash;
use super::text::{AddressText, put};
use super::{Counts, Dataplane, Expect, KubeProxy, Mode, Node, Phase, Plan, Program, Step, Sync, Unfit};
use crate::scale::{Diff, ServiceSet};
use crate::service::{Endpoint, Service};

/// Chain names are cut to this length (knftables.NameLengthMax less the longest prefix).
const NAME_LENGTH: usize = 240;
/// Services per transaction when a lab is loaded only to be looked up in: one huge transaction takes
/// time in the square of its anonymous maps (`__nft_set_trans_bind`, net/netfilter/nf_tables_api.c).
const LOAD_CHUNK: usize = 500;

/// Planner of the nftables mode.
pub struct Nftables {
    node: Node,
}

impl Nftables {
    /// A planner for this node.
    pub const fn new(node: Node) -> Self {
        Self { node }
    }

    fn is_current(&self) -> bool {
        self.node.kube_proxy == KubeProxy::Current
    }
}

impl Dataplane for Nftables {
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan {
        let diff = Diff::between(from, to);
        let stale = stale_chains(from, to, &diff);
        let mut out = Vec::with_capacity(capacity(to.services()));
        if sync == Sync::Full || !self.is_current() {
            base::write(&self.node, sync == Sync::Full, &mut out);
        }
        if self.is_current() {
            self.changes(from, to, &diff, sync, &mut out);
        } else {
            for service in to.services() {
                self.service(service, elements_of(service), &|_| false, &mut out);
            }
        }
        for chain in &stale {
            put!(out, "flush chain ip kube-proxy ", chain, "\n");
        }
        if self.is_current() {
            elements::delete_leftovers(from, to, &diff, &mut out);
        }
        let mut steps = self.listings(sync, from.is_empty());
        steps.push(transaction(Phase::Restore, out));
        let cleanup = if stale.is_empty() {
            Vec::new()
        } else {
            // At least one second later, with the next sync: before Linux 6.2 a deleted map element
            // holds on to its chain for a moment (comment in syncProxyRules).
            let mut out = Vec::new();
            for chain in &stale {
                put!(out, "delete chain ip kube-proxy ", chain, "\n");
            }
            vec![transaction(Phase::Cleanup, out)]
        };
        Plan { steps, cleanup, expect: self.counts(to) }
    }

    fn load(&self, to: &ServiceSet) -> Plan {
        let mut first = Vec::new();
        base::write(&self.node, true, &mut first);
        let chunks = to.services().chunks(LOAD_CHUNK).map(|services| {
            let mut out = Vec::with_capacity(capacity(services));
            for service in services {
                self.service(service, elements_of(service), &|_| false, &mut out);
            }
            out
        });
        let steps =
            std::iter::once(first).chain(chunks).map(|input| transaction(Phase::Restore, input)).collect();
        Plan { steps, cleanup: Vec::new(), expect: self.counts(to) }
    }

    fn fits(&self, _: &ServiceSet) -> Result<(), Unfit> {
        match self.node.kube_proxy {
            version @ KubeProxy::V1_20 => {
                let why = "there was no such mode before 1.29; use iptables-legacy or iptables-nft, or a newer version";
                Err(Unfit::Version { version, mode: Mode::Nftables, why })
            }
            KubeProxy::V1_30 | KubeProxy::Current => Ok(()),
        }
    }

    fn append(&self, to: &ServiceSet) -> Option<Plan> {
        let service = to.services().iter().find(|service| !service.endpoints().is_empty())?;
        let key = format!(
            "{} . {} . {}",
            crate::synthetic::spare_address(0),
            service.protocol.name(),
            service.cluster.port()
        );
        let target = String::from_utf8_lossy(&base_name(service)).into_owned();
        let add = format!("{{ {key} : goto service-{target} }}");
        let delete = format!("{{ {key} }}");
        let nft = |phase, operation, element: &str| {
            let args = [operation, "element", "ip", "kube-proxy", "service-ips", element];
            Step::new(phase, Program::Nft, &args, Expect::Success)
        };
        Some(Plan {
            steps: vec![nft(Phase::Restore, "add", &add)],
            cleanup: vec![nft(Phase::Cleanup, "delete", &delete)],
            expect: self.counts(to),
        })
    }

    fn counts(&self, to: &ServiceSet) -> Counts {
        // The node's own address is the one element of nodeport-ips.
        let mut counts =
            Counts { rules: base::RULES, chains: base::CHAINS, elements: 1, ..Counts::default() };
        let mut cluster_ips = HashSet::new();
        for service in to.services() {
            let endpoints = service.endpoints().len() as u64;
            let external = u64::from(service.node_port.is_some());
            cluster_ips.insert(service.cluster.ip());
            counts.elements += 1 + external;
            if endpoints > 0 {
                let masquerade = u64::from(self.node.cluster_cidr.is_some());
                counts.chains += 1 + endpoints + external;
                counts.rules += masquerade + 1 + 2 * endpoints + 2 * external;
            }
        }
        counts.elements += cluster_ips.len() as u64;
        counts
    }
}

/// One `nft -f -` as knftables runs it.
fn transaction(phase: Phase, input: Vec<u8>) -> Step {
    Step::new(phase, Program::Nft, &["-f", "-"], Expect::Success).with_input(input)
}

/// What stands behind the prefix (`service-` or `external-`) in the names of a Service's own chains.
fn base_name(service: &Service) -> Vec<u8> {
    hash_and_truncate(&path(service))
}

/// What stands behind the prefix `endpoint-` in the names of its endpoints' chains.
fn endpoint_names(service: &Service) -> Vec<Vec<u8>> {
    let mut path = path(service);
    put!(path, "__");
    let prefix = path.len();
    let name = |endpoint: &Endpoint| {
        let address = AddressText::new(endpoint.address);
        path.truncate(prefix);
        put!(path, address.ip(), "/", address.port());
        hash_and_truncate(&path)
    };
    service.endpoints().iter().map(name).collect()
}

fn path(service: &Service) -> Vec<u8> {
    let mut path = Vec::with_capacity(128);
    put!(path, service.namespace, "/", service.name, "/", service.protocol.name(), "/", service.port_name);
    path
}

fn hash_and_truncate(path: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(path.len() + 9);
    put!(name, hash::<8>(path), "-", path);
    if name.len() > NAME_LENGTH {
        name.truncate(NAME_LENGTH - 3);
        put!(name, "...");
    }
    name
}

/// All chains of a Service, with their prefixes.
fn chains_of(service: &Service) -> Vec<String> {
    if service.endpoints().is_empty() {
        return Vec::new();
    }
    let base = base_name(service);
    let base = String::from_utf8_lossy(&base);
    let external = service.node_port.map(|_| format!("external-{base}"));
    let endpoints = endpoint_names(service);
    let endpoints = endpoints.iter().map(|name| format!("endpoint-{}", String::from_utf8_lossy(name)));
    endpoints.chain([format!("service-{base}")]).chain(external).collect()
}

/// Chains of `from` that no Service of `to` uses.
fn stale_chains(from: &ServiceSet, to: &ServiceSet, diff: &Diff) -> Vec<String> {
    let mut stale: Vec<String> = diff.touched(from, to).flat_map(|service| chains_of(service)).collect();
    if stale.is_empty() {
        // Nothing of the kernel's goes, as at every cold sync: spares it the names of all of `to`.
        return stale;
    }
    let used: HashSet<String> =
        diff.changed.iter().flat_map(|&index| chains_of(&to.services()[index])).collect();
    stale.retain(|chain| !used.contains(chain));
    stale.sort_unstable();
    stale
}

fn capacity(services: &[Arc<Service>]) -> usize {
    let per_service = |service: &Arc<Service>| {
        let name = 90 + service.namespace.len() + service.name.len() + service.port_name.len();
        11 * name + 500 + service.endpoints().len() * 5 * (name + 50)
    };
    8192 + services.iter().map(per_service).sum::<usize>()
}

impl Nftables {
    /// Reads of the present state before the transaction.
    fn listings(&self, sync: Sync, empty: bool) -> Vec<Step> {
        let list = |args: &[&str]| {
            // There is no table yet: nft says so with exit code 1, and knftables goes on.
            let expect = if empty && self.is_current() { Expect::One } else { Expect::Success };
            Step::new(Phase::Listing, Program::Nft, args, expect)
        };
        if !self.is_current() {
            return vec![list(&["--json", "list", "chains", "ip"]), list(&["--json", "list", "sets", "ip"])];
        }
        let mut steps = Vec::new();
        if sync == Sync::Full {
            for (kind, name) in elements::CONTAINERS {
                steps.push(list(&["--json", "list", kind, "ip", "kube-proxy", name]));
            }
        }
        // Once for the names of chains and once for those of sets.
        for _ in 0..2 {
            steps.push(list(&["--json", "--terse", "list", "table", "ip", "kube-proxy"]));
        }
        steps
    }

    /// The newest form: changed Services only; at the first sync of a process all of them, but without
    /// the elements and endpoint chains that are there already.
    fn changes(&self, from: &ServiceSet, to: &ServiceSet, diff: &Diff, sync: Sync, out: &mut Vec<u8>) {
        let mut present: HashMap<(&str, String), Element> =
            diff.touched(from, to).flat_map(|service| elements_of(service)).map(|e| (e.slot(), e)).collect();
        let mut new_elements = |service: &Service, out: &mut Vec<u8>| {
            let mut elements = elements_of(service);
            elements.retain(|element| match present.insert(element.slot(), element.clone()) {
                Some(before) if before.has_value_of(element) => false,
                // nft adds no second element with the same key: the old one goes first.
                Some(before) => {
                    before.put_delete(out);
                    true
                }
                None => true,
            });
            elements
        };
        if sync == Sync::Partial {
            for &index in &diff.changed {
                let service = &to.services()[index];
                let elements = new_elements(service, out);
                self.service(service, elements, &|_| false, out);
            }
            return;
        }
        let existing: HashSet<Vec<u8>> =
            from.services().iter().flat_map(|service| endpoint_names(service)).collect();
        let mut changed = diff.changed.iter().copied().peekable();
        for (index, service) in to.services().iter().enumerate() {
            let elements = match changed.next_if_eq(&index) {
                Some(_) => new_elements(service, out),
                None => Vec::new(),
            };
            self.service(service, elements, &|name| existing.contains(name), out);
        }
    }

    /// One Service: its chains, its elements, its rules. `written` tells which endpoint chains are left
    /// as they are.
    fn service(
        &self,
        service: &Service,
        elements: Vec<Element>,
        written: &dyn Fn(&[u8]) -> bool,
        out: &mut Vec<u8>,
    ) {
        let has_endpoints = !service.endpoints().is_empty();
        let (base, endpoints) = (base_name(service), endpoint_names(service));
        let fresh = |out: &mut Vec<u8>, prefix: &str, name: &[u8]| {
            put!(
                out,
                "add chain ip kube-proxy ",
                prefix,
                name,
                "\nflush chain ip kube-proxy ",
                prefix,
                name,
                "\n"
            );
        };
        for name in endpoints.iter().filter(|name| !written(name)) {
            fresh(out, "endpoint-", name);
        }
        if has_endpoints {
            fresh(out, "service-", &base);
            if service.node_port.is_some() {
                fresh(out, "external-", &base);
            }
        }
        for element in elements {
            element.put_add(out);
        }
        if !has_endpoints {
            return;
        }
        self.dispatch(service, &base, &endpoints, out);
        let protocol = service.protocol.name();
        for (endpoint, name) in service.endpoints().iter().zip(&endpoints).filter(|(_, name)| !written(name))
        {
            let address = AddressText::new(endpoint.address);
            put!(out, "add rule ip kube-proxy endpoint-", name, " ip saddr ", address.ip());
            put!(out, " jump mark-for-masquerade\nadd rule ip kube-proxy endpoint-", name);
            put!(out, " meta l4proto ", protocol, " dnat to ", address.whole(), "\n");
        }
    }

    fn dispatch(&self, service: &Service, base: &[u8], endpoints: &[Vec<u8>], out: &mut Vec<u8>) {
        if let Some(cidr) = self.node.cluster_cidr {
            let cluster = AddressText::new(service.cluster);
            put!(out, "add rule ip kube-proxy service-", base, " ip daddr ", cluster.ip());
            if !self.is_current() {
                put!(out, " ", service.protocol.name(), " dport ", cluster.port());
            }
            put!(out, " ip saddr != ", cidr.to_string(), " jump mark-for-masquerade\n");
        }
        if service.node_port.is_some() {
            put!(out, "add rule ip kube-proxy external-", base, " jump mark-for-masquerade\n");
            put!(out, "add rule ip kube-proxy external-", base, " goto service-", base, "\n");
        }
        put!(out, "add rule ip kube-proxy service-", base, " numgen random mod ");
        put!(out, endpoints.len().to_string(), " vmap { ");
        for (index, name) in endpoints.iter().enumerate() {
            put!(out, if index > 0 { " , " } else { "" }, index.to_string(), " : goto endpoint-", name);
        }
        put!(out, " }\n");
    }
}
