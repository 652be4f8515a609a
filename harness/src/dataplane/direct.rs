//! The controls: what a packet costs without kube-proxy. Their kernel state is the same at every scale.

use std::net::SocketAddrV4;

use super::{Counts, Dataplane, Expect, Phase, Plan, Program, Step, Sync};
use crate::scale::{Service, ServiceSet, addresses};

/// No rules, no connection tracking: packets are addressed to an endpoint.
pub struct Direct;
/// One rule that matches a connection-tracking state, which makes the kernel track connections in
/// this namespace (`nf_ct_netns_get`), and does nothing else.
pub struct Conntrack;
/// One DNAT rule, with the connection tracking that it brings along.
pub struct Dnat;

/// The address that the DNAT control translates: the network's second, which no Service has.
fn dnat_address() -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::from(u32::from(addresses::SERVICES.network()) + 1)
}

/// The endpoint that every packet of a control goes to.
fn endpoint(service: &Service) -> SocketAddrV4 {
    service.endpoints().first().map_or(service.cluster, |endpoint| endpoint.address)
}

/// All of a control is one transaction, and the same at every sync.
fn one_transaction(input: &str, expect: Counts) -> Plan {
    let step = Step::new(Phase::Restore, Program::Nft, &["-f", "-"], Expect::Success);
    Plan { steps: vec![step.with_input(input.as_bytes().to_vec())], cleanup: Vec::new(), expect }
}

impl Dataplane for Direct {
    fn plan(&self, _: &ServiceSet, _: &ServiceSet, _: Sync) -> Plan {
        Plan::default()
    }

    fn load(&self, _: &ServiceSet) -> Plan {
        Plan::default()
    }

    fn append(&self, _: &ServiceSet) -> Option<Plan> {
        None
    }

    fn counts(&self, _: &ServiceSet) -> Counts {
        Counts::default()
    }

    fn entry(&self, service: &Service) -> SocketAddrV4 {
        endpoint(service)
    }

    fn answers(&self, _: &ServiceSet, service: &Service) -> Vec<SocketAddrV4> {
        vec![endpoint(service)]
    }
}

impl Dataplane for Conntrack {
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan {
        if sync == Sync::Partial && !from.is_empty() {
            return Plan { expect: self.counts(to), ..Plan::default() };
        }
        one_transaction(
            "add table ip svcbench\n\
             add chain ip svcbench forward { type filter hook forward priority 0 ; }\n\
             flush chain ip svcbench forward\n\
             add rule ip svcbench forward ct state new accept\n",
            self.counts(to),
        )
    }

    fn load(&self, to: &ServiceSet) -> Plan {
        self.plan(&ServiceSet::default(), to, Sync::Full)
    }

    fn append(&self, _: &ServiceSet) -> Option<Plan> {
        None
    }

    fn counts(&self, _: &ServiceSet) -> Counts {
        Counts { rules: 1, chains: 1, elements: 0 }
    }

    fn entry(&self, service: &Service) -> SocketAddrV4 {
        endpoint(service)
    }

    fn answers(&self, _: &ServiceSet, service: &Service) -> Vec<SocketAddrV4> {
        vec![endpoint(service)]
    }
}

impl Dataplane for Dnat {
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan {
        if sync == Sync::Partial && !from.is_empty() {
            return Plan { expect: self.counts(to), ..Plan::default() };
        }
        let Some(service) = to.services().first() else { return Plan::default() };
        one_transaction(
            &format!(
                "add table ip svcbench\n\
                 add chain ip svcbench prerouting {{ type nat hook prerouting priority -100 ; }}\n\
                 flush chain ip svcbench prerouting\n\
                 add rule ip svcbench prerouting ip daddr {} dnat to {}\n",
                dnat_address(),
                endpoint(service).ip()
            ),
            self.counts(to),
        )
    }

    fn load(&self, to: &ServiceSet) -> Plan {
        self.plan(&ServiceSet::default(), to, Sync::Full)
    }

    fn append(&self, _: &ServiceSet) -> Option<Plan> {
        None
    }

    fn counts(&self, _: &ServiceSet) -> Counts {
        Counts { rules: 1, chains: 1, elements: 0 }
    }

    fn entry(&self, service: &Service) -> SocketAddrV4 {
        // The rule translates the address and keeps the port.
        SocketAddrV4::new(dnat_address(), endpoint(service).port())
    }

    fn answers(&self, to: &ServiceSet, service: &Service) -> Vec<SocketAddrV4> {
        let translated = to.services().first().map(|first| *endpoint(first).ip());
        vec![SocketAddrV4::new(translated.unwrap_or(*service.cluster.ip()), endpoint(service).port())]
    }
}
