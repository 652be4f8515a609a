//! What kube-proxy does about connection tracking after a sync, in iptables and IPVS mode alike.

use std::collections::HashSet;

use super::{Expect, Phase, Program, Step};
use crate::scale::{Diff, ServiceSet};
use crate::service::Protocol;

/// 1.30 runs one `conntrack -D` for each UDP Service that has come to life or gone. Later versions do it in-process,
/// through netlink, and only when needed.
pub fn cleanup(from: &ServiceSet, to: &ServiceSet) -> Vec<Step> {
    cleanup_of(from, to, &Diff::between(from, to))
}

/// The same, with the difference at hand.
pub fn cleanup_of(from: &ServiceSet, to: &ServiceSet, diff: &Diff) -> Vec<Step> {
    let born = diff.changed.iter().map(|&index| &to.services()[index]);
    let gone = diff.removed.iter().map(|&index| &from.services()[index]);
    let known: HashSet<_> =
        from.services().iter().filter(|service| !service.endpoints().is_empty()).map(|s| s.key()).collect();
    born.filter(|service| !known.contains(&service.key()) && !service.endpoints().is_empty())
        .chain(gone)
        .filter(|service| service.protocol == Protocol::Udp)
        .map(|service| {
            let ip = service.cluster.ip().to_string();
            let args = ["-D", "--orig-dst", &ip, "-p", "udp"];
            Step::new(Phase::Conntrack, Program::Conntrack, &args, Expect::ZeroOrOne)
        })
        .collect()
}
