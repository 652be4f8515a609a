//! What kube-proxy does about connection tracking after a sync: entries of UDP flows that would lead nowhere are deleted.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use services::service::{Endpoint, Family, Protocol, Service, ServiceKey};
use services::service_set::{Diff, ServiceSet};

use crate::plan::{Expect, Phase, Program, Step};

/// 1.30 (`CleanStaleEntries`, pkg/proxy/conntrack/cleanup.go), in all modes alike: one `conntrack -D` for each address and
/// node port of a UDP Service that has come to life, for the cluster IP of one that has gone, and for each entrance of one
/// that has lost an endpoint. Later versions do it in-process, through netlink, and only when needed.
///
/// `from` is what this kube-proxy has synced before: nothing when it has just been started, whatever the kernel holds.
pub(crate) fn cleanup(from: &ServiceSet, to: &ServiceSet) -> Vec<Step> {
    cleanup_of(from, to, &Diff::between(from, to))
}

/// The same, with the difference at hand.
pub(crate) fn cleanup_of(from: &ServiceSet, to: &ServiceSet, diff: &Diff) -> Vec<Step> {
    let born = |service: &Service| {
        let external = service.external_addresses().map(|address| address.ip());
        std::iter::once(service.cluster.ip()).chain(external).collect()
    };
    let known = Known { endpoints: |service| Cow::Borrowed(service.endpoints()), addresses: born };
    Stale::between(from, to, diff, &known).steps()
}

/// What a kube-proxy knows of a Service.
pub(crate) struct Known {
    /// Its endpoints, ready or at least serving.
    pub(crate) endpoints: fn(&Service) -> Cow<'_, [Endpoint]>,
    /// The addresses that are cleaned up when it comes to life.
    pub(crate) addresses: fn(&Service) -> Vec<IpAddr>,
}

/// Flows whose entries have to go.
#[derive(Debug, Default)]
pub(crate) struct Stale {
    family: Family,
    /// To these addresses of Services.
    addresses: Vec<IpAddr>,
    /// To these node ports.
    pub(crate) ports: Vec<u16>,
    /// That were translated to endpoints that are gone.
    endpoints: Vec<(Entrance, IpAddr)>,
}

#[derive(Clone, Copy, Debug)]
enum Entrance {
    Address(IpAddr),
    NodePort(u16),
}

impl Stale {
    /// Nothing but flows to node ports.
    pub(crate) fn of_ports(family: Family, ports: Vec<u16>) -> Self {
        Self { family, ports, ..Self::default() }
    }

    /// What has become stale between two sets.
    pub(crate) fn between(from: &ServiceSet, to: &ServiceSet, diff: &Diff, known: &Known) -> Self {
        let family = if to.is_empty() { from.family() } else { to.family() };
        let mut stale = Self { family, ..Self::default() };
        let is_udp = |service: &Service| service.protocol == Protocol::Udp;
        let changed = || diff.changed.iter().map(|&index| &*to.services()[index]).filter(|s| is_udp(s));
        let keys: HashSet<ServiceKey<'_>> = changed().map(Service::key).collect();
        let before: HashMap<ServiceKey<'_>, &Service> = match keys.is_empty() {
            true => HashMap::new(),
            false => {
                let all = from.services().iter().map(|service| (service.key(), &**service));
                all.filter(|(key, _)| keys.contains(key)).collect()
            }
        };
        for service in changed() {
            let now = (known.endpoints)(service);
            let before =
                before.get(&service.key()).map(|before| (known.endpoints)(before)).unwrap_or_default();
            if before.is_empty() && !now.is_empty() {
                stale.addresses.extend((known.addresses)(service));
                stale.ports.extend(service.node_port);
            }
            let has = |gone: &&Endpoint| now.iter().any(|endpoint| endpoint.address == gone.address);
            for gone in before.iter().filter(|endpoint| !has(endpoint)) {
                let external = service.external_addresses().map(|address| address.ip());
                let addresses = std::iter::once(service.cluster.ip()).chain(external).map(Entrance::Address);
                let entrances = service.node_port.map(Entrance::NodePort).into_iter().chain(addresses);
                stale.endpoints.extend(entrances.map(|entrance| (entrance, gone.address.ip())));
            }
        }
        let gone = diff.removed.iter().map(|&index| &*from.services()[index]).filter(|s| is_udp(s));
        stale.addresses.extend(gone.map(|service| service.cluster.ip()));
        stale
    }

    /// One `conntrack -D` for each; addresses and node ports are sets in kube-proxy, endpoints are not.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let delete = |args: &[&str]| {
            let family: &[&str] = if self.family == Family::Ipv6 { &["-f", "ipv6"] } else { &[] };
            let args = [&["-D"], args, family].concat();
            Step::new(Phase::Conntrack, Program::Conntrack, &args, Expect::ZeroOrOne)
        };
        let mut steps = Vec::new();
        let mut seen = HashSet::new();
        for address in self.addresses.iter().filter(|&address| seen.insert(address)) {
            steps.push(delete(&["--orig-dst", &address.to_string(), "-p", "udp"]));
        }
        let mut seen = HashSet::new();
        for port in self.ports.iter().filter(|&port| seen.insert(port)) {
            steps.push(delete(&["-p", "udp", "--dport", &port.to_string()]));
        }
        for (entrance, endpoint) in &self.endpoints {
            let endpoint = endpoint.to_string();
            steps.push(match entrance {
                Entrance::NodePort(port) => {
                    delete(&["-p", "udp", "--dport", &port.to_string(), "--dst-nat", &endpoint])
                }
                Entrance::Address(address) => {
                    delete(&["--orig-dst", &address.to_string(), "--dst-nat", &endpoint, "-p", "udp"])
                }
            });
        }
        steps
    }
}
