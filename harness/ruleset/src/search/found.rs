//! What a search finds.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use services::service::{Family, Protocol};

/// Which address of a Service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Frontend {
    /// Its cluster IP.
    Cluster,
    /// An external IP.
    External,
    /// An IP of a load balancer.
    LoadBalancer,
}

/// One address of a Service, and who may answer there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundService {
    /// kube-proxy's name of the Service, `namespace/name:port`, as far as the ruleset tells it.
    pub name: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Address and port.
    pub entry: SocketAddr,
    /// Which kind of address.
    pub frontend: Frontend,
    /// To whom a packet may be translated, sorted.
    pub answers: Vec<SocketAddr>,
    /// Whether a packet of a pod is translated for sure.
    pub is_certain: bool,
    /// Line of the rule or element.
    pub line: u32,
    /// How many rules of the list of Services stand before it; 0 where there is no list.
    pub position: usize,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundServices {
    /// In the order of the ruleset.
    pub found: Vec<FoundService>,
    /// Rules in the lists of FoundServices (`KUBE-SERVICES`), both families together.
    pub listed: usize,
    /// Node ports.
    pub node_ports: usize,
    /// The cluster CIDR of each family, if a rule of masquerading tells it: the one that most rules name.
    pub cluster_cidrs: Vec<IpNet>,
    /// Whether the search was given up, as the chains are too entangled.
    pub is_incomplete: bool,
}

impl FoundServices {
    /// Addresses of a family, in the order of the ruleset.
    pub fn of(&self, family: Family) -> impl Iterator<Item = &FoundService> {
        self.found.iter().filter(move |found| Family::of(found.entry.ip()) == family)
    }

    /// The cluster CIDR of a family.
    pub fn cluster_cidr(&self, family: Family) -> Option<IpNet> {
        self.cluster_cidrs.iter().copied().find(|cidr| Family::of(cidr.addr()) == family)
    }

    /// Number of Services of a family: of cluster IPs with their ports.
    pub fn count(&self, family: Family) -> usize {
        self.of(family).filter(|found| found.frontend == Frontend::Cluster).count()
    }

    /// Every address of an entry or endpoint of a family.
    pub fn addresses(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        self.of(family).flat_map(|found| {
            std::iter::once(found.entry.ip()).chain(found.answers.iter().map(SocketAddr::ip))
        })
    }
}

/// Which CIDR most rules name.
#[derive(Default)]
pub(super) struct Votes(BTreeMap<IpNet, usize>);

impl Votes {
    pub(super) fn cast(&mut self, cidr: IpNet) {
        *self.0.entry(cidr).or_default() += 1;
    }

    pub(super) fn winners(&self) -> Vec<IpNet> {
        let winner = |family: Family| {
            let of_family = self.0.iter().filter(|(cidr, _)| Family::of(cidr.addr()) == family);
            of_family.max_by_key(|(_, votes)| **votes).map(|(cidr, _)| *cidr)
        };
        Family::ALL.into_iter().filter_map(winner).collect()
    }
}

/// By its name in iptables and nft.
pub(super) fn protocol(name: &str) -> Option<Protocol> {
    Protocol::ALL.into_iter().find(|protocol| protocol.name() == name)
}
