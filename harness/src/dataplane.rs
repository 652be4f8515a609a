//! What goes to the kernel, as data: a [`Plan`] is a list of program runs and netlink requests that can be
//! printed, counted and compared without privilege. `apply.rs` is the one place that carries it out.

mod conntrack;
mod counts;
pub mod direct;
mod drain;
pub mod hostport;
pub mod iptables;
pub mod ipvs;
mod names;
pub mod nftables;
mod plan;
mod print;
mod text;
mod unfit;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use netns_setup::Need;
use netns_setup::ipvs::Scheduler;
use serde::{Deserialize, Serialize};
use services::cluster::Chosen;

pub use self::counts::Counts;
pub use self::drain::Drain;
pub use self::plan::{Action, AddressRequest, Expect, Phase, Plan, Program, Step, Way};
pub use self::print::Part;
pub use self::unfit::Unfit;
use crate::scale::ServiceSet;
use crate::service::{Family, Service};
use crate::synthetic::addresses;

/// What carries a packet from a Service to an endpoint. The first five are controls.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Control: no rules, no connection tracking; packets go straight to an endpoint.
    Direct,
    /// Control: one rule that turns connection tracking on and does nothing else.
    Conntrack,
    /// Control: one plain DNAT rule.
    Dnat,
    /// Control: one plain DNAT rule of iptables-legacy, beside the sweep's neighbours.
    NeighboursLegacy,
    /// Control: the same of iptables-nft.
    NeighboursNft,
    /// kube-proxy's iptables mode through iptables-legacy.
    IptablesLegacy,
    /// kube-proxy's iptables mode through iptables-nft.
    IptablesNft,
    /// kube-proxy's nftables mode.
    Nftables,
    /// kube-proxy's IPVS mode, programmed as kube-proxy does it.
    Ipvs,
    /// kube-proxy's IPVS mode, programmed in the best way that the kernel allows.
    // The same state of the kernel, so that it has syncs of its own and no lookups.
    IpvsBatched,
    /// A ruleset of a real node, replayed. It has no planner, and is in a sweep only if `--replay` puts it there.
    #[value(skip)]
    Replay,
}

impl Mode {
    /// All modes that can be planned: controls first, then kube-proxy's.
    pub const ALL: [Mode; 10] = [
        Mode::Direct,
        Mode::Conntrack,
        Mode::Dnat,
        Mode::NeighboursLegacy,
        Mode::NeighboursNft,
        Mode::IptablesLegacy,
        Mode::IptablesNft,
        Mode::Nftables,
        Mode::Ipvs,
        Mode::IpvsBatched,
    ];

    /// Name in sweeps, rows and plots.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Direct => "direct",
            Mode::Conntrack => "conntrack",
            Mode::Dnat => "dnat",
            Mode::NeighboursLegacy => "neighbours-legacy",
            Mode::NeighboursNft => "neighbours-nft",
            Mode::IptablesLegacy => "iptables-legacy",
            Mode::IptablesNft => "iptables-nft",
            Mode::Nftables => "nftables",
            Mode::Ipvs => "ipvs",
            Mode::IpvsBatched => "ipvs-batched",
            Mode::Replay => "replay",
        }
    }

    /// Whether this is a control: its kernel state does not grow with the number of Services.
    pub const fn is_control(self) -> bool {
        matches!(self, Mode::Direct | Mode::Conntrack | Mode::Dnat) || self.is_of_neighbours()
    }

    /// Whether it is a control for neighbours: without any in the sweep it has no meaning.
    pub const fn is_of_neighbours(self) -> bool {
        matches!(self, Mode::NeighboursLegacy | Mode::NeighboursNft)
    }

    /// Whether it is IPVS, programmed in whichever way.
    pub const fn is_ipvs(self) -> bool {
        matches!(self, Mode::Ipvs | Mode::IpvsBatched)
    }

    /// What this machine must offer for the mode, beyond what every lab needs.
    pub const fn needs(self) -> &'static [Need] {
        match self {
            Mode::Direct => &[],
            // And its own tool, which is asked to check it.
            Mode::Replay => &[Need::Conntrack],
            Mode::Conntrack | Mode::Dnat | Mode::Nftables => &[Need::Conntrack, Need::Nft],
            Mode::NeighboursLegacy | Mode::IptablesLegacy => &[Need::Conntrack, Need::IptablesLegacy],
            Mode::NeighboursNft | Mode::IptablesNft => &[Need::Conntrack, Need::IptablesNft],
            Mode::Ipvs | Mode::IpvsBatched => {
                &[Need::Conntrack, Need::IpVs, Need::Dummy, Need::IpSet, Need::IptablesLegacy]
            }
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The kube-proxy whose output a plan reproduces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum KubeProxy {
    /// 1.20: the form of many write-ups. Two rules for each cluster IP in the list that packets walk, KUBE-XLB-*,
    /// KUBE-FW-* and KUBE-MARK-DROP; every sync is a full one. iptables mode only.
    #[serde(rename = "1.20")]
    #[value(name = "1.20")]
    V1_20,
    /// 1.30: checked line by line against rulesets that the real 1.30.5 installed. In nftables mode it
    /// rewrites the whole table at every sync.
    #[serde(rename = "1.30")]
    #[value(name = "1.30")]
    V1_30,
    /// The newest form, since 1.32: nftables mode sends only what changed, and its filter chains run
    /// after DNAT. The iptables rules are those of 1.30 (on a node without nfnetlink_acct).
    #[default]
    #[serde(rename = "current")]
    #[value(name = "current")]
    Current,
}

impl KubeProxy {
    /// All, the oldest first.
    pub const ALL: [KubeProxy; 3] = [KubeProxy::V1_20, KubeProxy::V1_30, KubeProxy::Current];

    /// Name on the command line and in sweep files.
    pub const fn name(self) -> &'static str {
        match self {
            KubeProxy::V1_20 => "1.20",
            KubeProxy::V1_30 => "1.30",
            KubeProxy::Current => "current",
        }
    }
}

/// What kube-proxy knows besides Services: its own node and its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The node's address: where node ports are served. It tells the IP family of the proxier.
    pub address: IpAddr,
    /// All pods (`clusterCIDR`). Cluster-IP traffic from elsewhere is masqueraded; none: never.
    pub cluster_cidr: Option<IpNet>,
    /// Whose output is reproduced.
    pub kube_proxy: KubeProxy,
    /// Whether node ports are served on 127.0.0.1, too (`iptables.localhostNodePorts`; IPv4 in iptables mode only).
    pub localhost_node_ports: bool,
    /// Scheduler of every virtual server, in IPVS mode (`ipvs.scheduler`).
    pub scheduler: Scheduler,
}

impl Node {
    /// The node of a lab, with kube-proxy's default scheduler.
    pub const fn lab(kube_proxy: KubeProxy) -> Self {
        Self {
            address: IpAddr::V4(addresses::NODE),
            cluster_cidr: Some(IpNet::V4(addresses::PODS)),
            kube_proxy,
            localhost_node_ports: true,
            scheduler: Scheduler::Rr,
        }
    }

    /// The same settings on the node that was chosen in a cluster.
    pub const fn of_cluster(self, chosen: &Chosen) -> Self {
        Self { address: chosen.address, cluster_cidr: chosen.cluster_cidr, ..self }
    }

    /// IP family of the proxier.
    pub const fn family(&self) -> Family {
        Family::of(self.address)
    }
}

/// How kube-proxy comes to sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sync {
    /// The first sync of a kube-proxy process, over whatever the kernel holds: everything is written.
    Full,
    /// A later sync: what changed, and whatever that version of kube-proxy rewrites besides.
    Partial,
}

/// One kube-proxy mode: Services in, plans out. Pure and deterministic.
pub trait Dataplane: Send + std::marker::Sync {
    /// What kube-proxy runs to get from one set of Services to another.
    ///
    /// `from` empty: the kernel holds nothing of kube-proxy's yet.
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan;

    /// What kube-proxy runs when it is time to write everything again: after 30 s in IPVS mode and in the nftables mode
    /// of 1.30, else after an hour. `None`: there is no kube-proxy.
    fn resync(&self, set: &ServiceSet) -> Option<Plan> {
        let _ = set;
        None
    }

    /// The same final kernel state as a cold full sync, loaded in whatever pieces are quickest.
    /// For labs that serve lookups only: its time means nothing.
    fn load(&self, to: &ServiceSet) -> Plan;

    /// The smallest possible change at this size: one rule or one element more, with the tool's own
    /// command. Its `expect` counts it; `None` where the mode has no list to append to.
    fn append(&self, to: &ServiceSet) -> Option<Plan>;

    /// What the kernel holds once `to` is installed.
    fn counts(&self, to: &ServiceSet) -> Counts;

    /// Whether the mode can hold these Services at all.
    ///
    /// # Errors
    /// What stands against it.
    fn fits(&self, to: &ServiceSet) -> Result<(), Unfit> {
        let _ = to;
        Ok(())
    }

    /// Where a client sends a packet that is meant for this Service.
    fn entry(&self, service: &Service) -> SocketAddr {
        service.cluster
    }

    /// Which addresses may answer for its cluster IP; more than one: in equal shares.
    fn answers(&self, to: &ServiceSet, service: &Service) -> Vec<SocketAddr> {
        let _ = to;
        service.routes().internal(service).iter().map(|endpoint| endpoint.address).collect()
    }
}

/// The planner of a mode.
pub fn planner(mode: Mode, node: Node) -> Box<dyn Dataplane> {
    match mode {
        // What is replayed stands in its file: whoever plans it gets nothing.
        Mode::Direct | Mode::Replay => Box::new(direct::Control::Direct),
        Mode::Conntrack => Box::new(direct::Control::Conntrack),
        Mode::Dnat => Box::new(direct::Control::Dnat),
        Mode::NeighboursLegacy | Mode::NeighboursNft => Box::new(direct::Control::DnatOfIptables),
        Mode::IptablesLegacy => Box::new(iptables::Iptables::legacy(node)),
        Mode::IptablesNft => Box::new(iptables::Iptables::nft(node)),
        Mode::Nftables => Box::new(nftables::Nftables::new(node)),
        Mode::Ipvs => Box::new(ipvs::Ipvs::new(node, Way::KubeProxy)),
        Mode::IpvsBatched => Box::new(ipvs::Ipvs::new(node, Way::Batched)),
    }
}
