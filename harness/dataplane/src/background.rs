//! Background rules: what else is in the kernel of a real node, and paid for by every packet.
//!
//! Rulesets like those of Calico, Docker and flannel, and host ports as the CNI port-map plugin writes them, sized by
//! numbers. They use iptables in every mode, of the variant that the mode's own iptables has; in nftables mode that
//! is iptables-nft, beside kube-proxy's table, as on nodes where nobody has switched these products to nftables. Only
//! host ports have their nftables backend there. See each file for its source, and for what a packet of a lab walks
//! through.
//!
//! They are there before kube-proxy: its jumps, which are prepended, come first. Calico then moves its own before
//! them, as Felix does when it finds that they are not first (`ChainInsertMode` Insert). So in FORWARD stand
//! cali-FORWARD, kube-proxy's jumps, DOCKER-USER and DOCKER-FORWARD, FLANNEL-FWD, and last what Calico appends.
//!
//! How the products themselves write is not measured, so rulesets are written in one transaction for each of them;
//! host ports by the many programs that the plugin runs. All of it is for IPv4.

mod calico;
mod docker;
mod flannel;
mod ruleset;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Add;

use data_encoding::HEXLOWER;
use ipnet::{IpNet, Ipv4Net};
use netns_setup::Need;
use serde::Deserialize;
use services::addresses::{self, TCP_PORTS, UDP_PORTS, unused_address};
use services::bounded::within;
use services::service::{Family, Protocol};
use sha2::{Digest, Sha256};

pub use self::calico::Calico;
pub use self::docker::Docker;
pub use self::ruleset::{Hook, HookPosition, PlannedTable, Ruleset, Set, built_in_chains};
use crate::hostport::{Backend, HostPort, HostPorts, Sandbox};
use crate::{Counts, Expect, Mode, Phase, Plan, Program, Step};

/// Which background rules there are, and how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Background {
    /// Calico.
    pub calico: Option<Calico>,
    /// Docker.
    pub docker: Option<Docker>,
    /// flannel.
    #[serde(default)]
    pub flannel: bool,
    /// Pods with a host port each. 0 to 1,000.
    #[serde(default, deserialize_with = "within::<_, 0, 1000>")]
    pub host_ports: u32,
}

/// Pods of the node itself: in a lab those that send packets.
const NODE_PODS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 128, 0, 0), 16);
/// The first host port: below Docker's, and below those that Kubernetes gives to Services.
const FIRST_HOST_PORT: u16 = 10_000;
/// Unused addresses that pods with host ports have.
const FIRST_HOST_PORT_POD: u32 = 900_000;

impl Background {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a lab of this mode has them: all but the controls that stand for a kernel without rules, and replayed rulesets,
    /// which bring their own.
    pub const fn are_in(mode: Mode) -> bool {
        !matches!(mode, Mode::Direct | Mode::Conntrack | Mode::Dnat | Mode::Replay)
    }

    /// What is in the kernel before kube-proxy starts, in the order in which it came; Calico's last.
    pub fn rulesets(&self, mode: Mode) -> Vec<Ruleset> {
        let docker = self.docker.map(Docker::ruleset);
        let flannel = self.flannel.then(|| flannel::ruleset(addresses::PODS, NODE_PODS));
        docker.into_iter().chain(flannel).chain(self.calico_in(mode)).collect()
    }

    fn calico_in(&self, mode: Mode) -> Option<Ruleset> {
        let site = calico::Site { node: addresses::NODE, pool: addresses::PODS, ipvs: mode.is_ipvs() };
        Some(self.calico?.ruleset(site))
    }

    /// Installs them.
    pub fn install(&self, mode: Mode) -> Plan {
        let mut steps: Vec<Step> = self.rulesets(mode).iter().flat_map(write).collect();
        steps.extend(self.host_ports(mode).1);
        Plan { steps, cleanup: Vec::new(), expect: self.counts(mode) }
    }

    /// What they do after kube-proxy's first sync: Calico puts its jumps before those of kube-proxy again, and what
    /// it appends behind all else.
    pub fn settle(&self, mode: Mode) -> Plan {
        let steps = self.calico_in(mode).map(|calico| restore(calico.text_of_hooks())).into_iter().collect();
        Plan { steps, cleanup: Vec::new(), expect: self.counts(mode) }
    }

    /// What the kernel must offer for them in a mode, beyond what the mode needs.
    pub fn needs(&self, mode: Mode) -> Vec<Need> {
        let mut needs = Vec::new();
        let iptables = self.calico.is_some() || self.docker.is_some() || self.flannel;
        if mode == Mode::Nftables && iptables {
            needs.push(Need::IptablesNft);
        }
        if self.calico.is_some() && Self::are_in(mode) {
            needs.push(Need::IpSet);
        }
        needs
    }

    /// What they add to what the kernel holds, the built-in chains of tables included that kube-proxy does not use.
    pub fn counts(&self, mode: Mode) -> Counts {
        let (host_ports, _) = self.host_ports(mode);
        let rulesets = self.rulesets(mode);
        let mut counts = rulesets.iter().map(Ruleset::counts).fold(host_ports.counts(Family::Ipv4), Add::add);
        let mut tables: BTreeSet<&str> =
            rulesets.iter().flat_map(|ruleset| &ruleset.tables).map(|table| table.name).collect();
        if self.host_ports > 0 && backend(mode) == Backend::Iptables {
            tables.insert("nat");
        }
        let added = tables.into_iter().filter(|table| !kube_proxy_tables(mode).contains(table));
        counts.chains += added.filter_map(|table| built_in_chains(table.as_bytes())).sum::<u64>();
        counts
    }

    /// The pods with host ports, and what the plugin runs for them.
    fn host_ports(&self, mode: Mode) -> (HostPorts, Vec<Step>) {
        // IPv6 is not in these labs.
        let mut host_ports = HostPorts::new(backend(mode), false);
        let steps = (0..self.host_ports).flat_map(|number| host_ports.add(sandbox(number))).collect();
        (host_ports, steps)
    }

    /// Where pod `number` with a host port is reached: the node's port, the protocol, and the pod.
    pub fn host_port(number: u32) -> (u16, Protocol, SocketAddr) {
        let (protocol, (_, port)) =
            if number.is_multiple_of(2) { (Protocol::Tcp, TCP_PORTS) } else { (Protocol::Udp, UDP_PORTS) };
        // Below 1,000.
        let host_port = FIRST_HOST_PORT + number as u16;
        (host_port, protocol, SocketAddr::new(unused_address(FIRST_HOST_PORT_POD + number), port))
    }
}

impl fmt::Display for Background {
    /// `Calico (30 endpoints, 2 policies of 3 rules), flannel, 4 host ports`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calico = self.calico.map(|Calico { endpoints, policies, rules }| {
            format!("Calico ({endpoints} endpoints, {policies} policies of {rules} rules)")
        });
        let docker = self.docker.map(|Docker { containers, networks }| {
            format!("Docker ({containers} containers, {networks} networks)")
        });
        let flannel = self.flannel.then(|| "flannel".to_owned());
        let host_ports = (self.host_ports > 0).then(|| format!("{} host ports", self.host_ports));
        let all = [calico, docker, flannel, host_ports].into_iter().flatten().collect::<Vec<_>>();
        f.write_str(&all.join(", "))
    }
}

/// With what the plugin writes in a mode.
pub const fn backend(mode: Mode) -> Backend {
    match mode {
        Mode::Nftables => Backend::Nftables,
        _ => Backend::Iptables,
    }
}

fn sandbox(number: u32) -> Sandbox {
    let (host_port, protocol, pod) = Background::host_port(number);
    Sandbox {
        network: "k8s-pod-network".into(),
        container_id: HEXLOWER.encode(&Sha256::digest(format!("host-port-{number}"))),
        addresses: vec![IpNet::from(pod.ip())],
        ports: vec![HostPort { host_ip: None, host_port, protocol, container_port: pod.port() }],
        route_localnet: Some("net.ipv4.conf.probe-out.route_localnet"),
    }
}

/// Tables of iptables that are counted for the mode as it is.
const fn kube_proxy_tables(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::IptablesLegacy | Mode::IptablesNft => &["filter", "nat", "mangle"],
        Mode::Ipvs | Mode::IpvsBatched => &["filter", "nat"],
        Mode::BackgroundLegacy | Mode::BackgroundNft => &["nat"],
        Mode::Direct | Mode::Conntrack | Mode::Dnat | Mode::Nftables | Mode::Replay => &[],
    }
}

/// Sets, then chains and rules.
fn write(ruleset: &Ruleset) -> impl Iterator<Item = Step> + use<> {
    let sets = ruleset.sets_text().map(|text| {
        Step::new(Phase::Sets, Program::Ipset, &["restore"], Expect::Success).with_input(text.into_bytes())
    });
    sets.into_iter().chain([restore(ruleset.text())])
}

/// What `iptables-restore` adds to what is there.
pub(crate) fn restore(text: String) -> Step {
    let args = ["-w", "5", "--noflush"];
    Step::new(Phase::Restore, Program::IptablesRestore, &args, Expect::Success).with_input(text.into_bytes())
}
