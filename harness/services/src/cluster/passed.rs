//! What there is in a cluster that leaves nothing in the kernel.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::service::Family;

/// Names that are kept of each kind; the rest is counted.
pub(super) const MAX_NAMES: usize = 20;

/// Why kube-proxy passes over a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// `clusterIP: None`, or labelled `service.kubernetes.io/headless`.
    Headless,
    /// `type: ExternalName`.
    ExternalName,
    /// No cluster IP at all, as in a manifest that no API server has seen.
    NoClusterIp,
    /// Labelled `service.kubernetes.io/service-proxy-name`: some other proxy handles it.
    OtherProxy,
    /// No IPv4 cluster IP, so that the IPv4 proxier has nothing to do.
    NoIpv4,
    /// No IPv6 cluster IP.
    NoIpv6,
}

impl Reason {
    /// In words: `4 headless`.
    pub const fn words(self) -> &'static str {
        match self {
            Reason::Headless => "headless",
            Reason::ExternalName => "ExternalName",
            Reason::NoClusterIp => "without a cluster IP",
            Reason::OtherProxy => "for another proxy",
            Reason::NoIpv4 | Reason::NoIpv6 => "of the other IP family",
        }
    }
}

/// A number of things and the first of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// How many.
    pub count: usize,
    /// At most `MAX_NAMES` of them, in the order of the file.
    pub names: Vec<String>,
}

impl Listed {
    pub(super) fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.names.len() < MAX_NAMES {
            self.names.push(name());
        }
    }

    /// `4 (a/b, c/d, ...)`.
    pub fn words(&self) -> String {
        let more = if self.count > self.names.len() { ", ..." } else { "" };
        match self.count {
            0 => "0".into(),
            count => format!("{count} ({}{more})", self.names.join(", ")),
        }
    }
}

/// What is passed over: reported, since a ruleset without it may surprise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// Services, by reason.
    pub services: BTreeMap<Reason, Listed>,
    /// Entries of `externalIPs`, `loadBalancerSourceRanges` and `status.loadBalancer.ingress` that kube-proxy skips since
    /// they are no addresses, or that are there twice.
    pub entries: Listed,
    /// EndpointSlices of names instead of addresses, or without a Service of this file.
    pub slices: Listed,
    /// Services whose endpoints carry topology hints, where it is not known on which node kube-proxy runs: it may use fewer of
    /// them than are planned.
    pub hints: Listed,
    /// Objects of other kinds, by kind.
    pub kinds: BTreeMap<String, usize>,
}

impl PassedOver {
    /// What the proxier of a family passes over.
    pub fn of(&self, family: Family) -> Self {
        let mut own = self.clone();
        own.services.remove(match family {
            Family::Ipv4 => &Reason::NoIpv6,
            Family::Ipv6 => &Reason::NoIpv4,
        });
        own
    }

    /// Each line says what of one sort is passed over; none: nothing is. With names if `named`.
    pub fn lines(&self, named: bool) -> Vec<String> {
        let words = |listed: &Listed| if named { listed.words() } else { listed.count.to_string() };
        let services: Vec<String> = self
            .services
            .iter()
            .map(|(reason, listed)| format!("{} {}", reason.words(), words(listed)))
            .collect();
        let kinds: Vec<String> = self.kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let mut lines = Vec::new();
        let mut add =
            |what: &str, list: String| lines.extend((!list.is_empty()).then(|| format!("{what}: {list}")));
        let of = |listed: &Listed| if listed.count > 0 { words(listed) } else { String::new() };
        add("Services with nothing in the kernel", services.join(", "));
        add("addresses that kube-proxy skips", of(&self.entries));
        add("EndpointSlices of names or without a Service", of(&self.slices));
        add("Services whose topology hints are not followed, as no node is named", of(&self.hints));
        add("objects of other kinds", kinds.join(", "));
        lines
    }

    pub(super) fn service(&mut self, reason: Reason, name: impl FnOnce() -> String) {
        self.services.entry(reason).or_default().add(name);
    }
}
