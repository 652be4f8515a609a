//! The controls: what a packet costs without kube-proxy. Their kernel state is the same at every scale.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use services::addresses;
use services::service::Service;
use services::service_set::ServiceSet;

use crate::contract::{Dataplane, Sync};
use crate::counts::Counts;
use crate::plan::{Expect, Phase, Plan, Program, Step};

/// A control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// No rules, no connection tracking: packets are addressed to an endpoint.
    Direct,
    /// One rule that matches a connection-tracking state, which makes the kernel track connections in this
    /// namespace (`nf_ct_netns_get`), and does nothing else.
    Conntrack,
    /// One DNAT rule, with the connection tracking that it brings along.
    Dnat,
    /// The same rule, of iptables.
    DnatOfIptables,
}

/// The address that the DNAT control translates: the network's second, which no Service has.
fn dnat_address() -> IpAddr {
    Ipv4Addr::from(u32::from(addresses::SERVICES.network()) + 1).into()
}

/// The endpoint that stands for a Service.
fn endpoint(service: &Service) -> SocketAddr {
    service.endpoints().first().map_or(service.cluster, |endpoint| endpoint.address)
}

/// The endpoint that everything to [`dnat_address`] goes to.
fn translated(to: &ServiceSet) -> IpAddr {
    let first = to.services().iter().find(|service| !service.endpoints().is_empty());
    first.map_or(Ipv4Addr::UNSPECIFIED.into(), |first| endpoint(first).ip())
}

impl Control {
    /// The one transaction of a control; `None`: it has none.
    fn transaction(self, to: &ServiceSet) -> Option<Step> {
        let (program, args, text) = self.input(to)?;
        Some(Step::new(Phase::Restore, program, args, Expect::Success).with_input(text.into_bytes()))
    }

    fn input(self, to: &ServiceSet) -> Option<(Program, &'static [&'static str], String)> {
        const NFT: &[&str] = &["-f", "-"];
        let (address, translated) = (dnat_address(), translated(to));
        Some(match self {
            Control::Direct => return None,
            Control::Conntrack => (
                Program::Nft,
                NFT,
                "add table ip svcbench\n\
                 add chain ip svcbench forward { type filter hook forward priority 0 ; }\n\
                 flush chain ip svcbench forward\n\
                 add rule ip svcbench forward ct state new accept\n"
                    .to_owned(),
            ),
            Control::Dnat => (
                Program::Nft,
                NFT,
                format!(
                    "add table ip svcbench\n\
                 add chain ip svcbench prerouting {{ type nat hook prerouting priority -100 ; }}\n\
                 flush chain ip svcbench prerouting\n\
                 add rule ip svcbench prerouting ip daddr {address} dnat to {translated}\n"
                ),
            ),
            Control::DnatOfIptables => (
                Program::IptablesRestore,
                &["-w", "5", "--noflush"],
                format!("*nat\n-A PREROUTING -d {address} -j DNAT --to-destination {translated}\nCOMMIT\n"),
            ),
        })
    }
}

impl Dataplane for Control {
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan {
        // A control does not change with its Services.
        let transaction = self.transaction(to).filter(|_| sync == Sync::Full || from.is_empty());
        Plan { steps: transaction.into_iter().collect(), cleanup: Vec::new(), expect: self.counts(to) }
    }

    fn load(&self, to: &ServiceSet) -> Plan {
        self.plan(&ServiceSet::default(), to, Sync::Full)
    }

    fn append(&self, _: &ServiceSet) -> Option<Plan> {
        None
    }

    fn counts(&self, _: &ServiceSet) -> Counts {
        match self {
            Control::Direct => Counts::default(),
            Control::Conntrack | Control::Dnat => {
                Counts { rules: 1, chains: 1, elements: 0, ..Counts::default() }
            }
            // Those that table nat has of itself.
            Control::DnatOfIptables => Counts { rules: 1, chains: 4, elements: 0, ..Counts::default() },
        }
    }

    fn entry(&self, service: &Service) -> SocketAddr {
        match self {
            Control::Direct | Control::Conntrack => endpoint(service),
            // The rule translates the address and keeps the port.
            Control::Dnat | Control::DnatOfIptables => {
                SocketAddr::new(dnat_address(), endpoint(service).port())
            }
        }
    }

    fn answers(&self, to: &ServiceSet, service: &Service) -> Vec<SocketAddr> {
        vec![match self {
            Control::Direct | Control::Conntrack => endpoint(service),
            Control::Dnat | Control::DnatOfIptables => {
                SocketAddr::new(translated(to), endpoint(service).port())
            }
        }]
    }
}
