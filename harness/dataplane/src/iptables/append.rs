//! One rule more in the list that packets walk.

use std::net::{IpAddr, Ipv6Addr};

use services::service::Family;
use services::service_set::ServiceSet;

use super::form::Form;
use super::tools;
use crate::contract::Dataplane;
use crate::plan::{Expect, Phase, Plan};

/// Appends a rule to KUBE-SERVICES that leads from a spare address to the chain of a Service; afterwards deletes it.
pub(crate) fn plan(version: &(impl Form + Dataplane), to: &ServiceSet) -> Option<Plan> {
    let family = version.node().family();
    let service = to.services().iter().find(|service| !version.answers(to, service).is_empty())?;
    let ports = version.ports(std::slice::from_ref(service), |_| true);
    let port = ports.iter().next()?;
    let chain = format!("{}{}", version.internal_chain(port), String::from_utf8_lossy(&port.hash));
    let ip = match family {
        Family::Ipv4 => services::addresses::unused_address(0),
        // For documentation (RFC 3849), so that nobody has it.
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1)),
    };
    let (ip, port, protocol) = (ip.to_string(), service.cluster.port().to_string(), service.protocol.name());
    let rule = ["-m", "comment", "--comment", "svcbench: one rule more", "-m", protocol, "-p", protocol];
    let rule = [&rule[..], &["-d", &ip, "--dport", &port, "-j", &chain]].concat();
    let run = |phase, operation| {
        tools::iptables(version.node(), phase, operation, "KUBE-SERVICES", "nat", &rule, Expect::Success)
    };
    Some(Plan {
        steps: vec![run(Phase::Restore, "-A")],
        cleanup: vec![run(Phase::Cleanup, "-D")],
        expect: version.counts(to),
    })
}
