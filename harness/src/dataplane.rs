//! What goes to the kernel, as data: a [`Plan`] is a list of program runs that can be printed,
//! counted and compared without privilege. `apply.rs` is the one place that runs it.

pub mod direct;
pub mod iptables;
pub mod ipvs;
mod names;
pub mod nftables;
mod text;

use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;
use netns_setup::Need;
use serde::{Deserialize, Serialize};

use crate::scale::{Service, ServiceSet, addresses};

/// What carries a packet from a Service to an endpoint. The first three are controls.
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
    /// kube-proxy's iptables mode through iptables-legacy.
    IptablesLegacy,
    /// kube-proxy's iptables mode through iptables-nft.
    IptablesNft,
    /// kube-proxy's nftables mode.
    Nftables,
    /// kube-proxy's IPVS mode.
    Ipvs,
}

impl Mode {
    /// All modes: controls first, then kube-proxy's.
    pub const ALL: [Mode; 7] = [
        Mode::Direct,
        Mode::Conntrack,
        Mode::Dnat,
        Mode::IptablesLegacy,
        Mode::IptablesNft,
        Mode::Nftables,
        Mode::Ipvs,
    ];

    /// Name in sweeps, rows and plots.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Direct => "direct",
            Mode::Conntrack => "conntrack",
            Mode::Dnat => "dnat",
            Mode::IptablesLegacy => "iptables-legacy",
            Mode::IptablesNft => "iptables-nft",
            Mode::Nftables => "nftables",
            Mode::Ipvs => "ipvs",
        }
    }

    /// Whether this is a control: its kernel state does not grow with the number of Services.
    pub const fn is_control(self) -> bool {
        matches!(self, Mode::Direct | Mode::Conntrack | Mode::Dnat)
    }

    /// What this machine must offer for the mode, beyond what every lab needs.
    pub const fn needs(self) -> &'static [Need] {
        match self {
            Mode::Direct => &[],
            Mode::Conntrack | Mode::Dnat | Mode::Nftables => &[Need::Conntrack, Need::Nft],
            Mode::IptablesLegacy => &[Need::Conntrack, Need::IptablesLegacy],
            Mode::IptablesNft => &[Need::Conntrack, Need::IptablesNft],
            Mode::Ipvs => &[Need::Conntrack, Need::IpVs, Need::Dummy, Need::IpSet, Need::IptablesLegacy],
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
    /// 1.30: checked line by line against rulesets that the real 1.30.5 installed. In nftables mode it
    /// rewrites the whole table at every sync.
    #[default]
    #[serde(rename = "1.30")]
    #[value(name = "1.30")]
    V1_30,
    /// The newest form, since 1.32: nftables mode sends only what changed, and its filter chains run
    /// after DNAT. The iptables rules are those of 1.30 (on a node without nfnetlink_acct).
    #[serde(rename = "current")]
    #[value(name = "current")]
    Current,
}

impl KubeProxy {
    /// Name on the command line and in sweep files.
    pub const fn name(self) -> &'static str {
        match self {
            KubeProxy::V1_30 => "1.30",
            KubeProxy::Current => "current",
        }
    }
}

/// What kube-proxy knows besides Services: its own node and its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The node's address: where node ports are served.
    pub address: Ipv4Addr,
    /// All pods (`clusterCIDR`). Cluster-IP traffic from elsewhere is masqueraded; none: never.
    pub cluster_cidr: Option<Ipv4Net>,
    /// Whose output is reproduced.
    pub kube_proxy: KubeProxy,
}

impl Node {
    /// The node of a lab.
    pub const fn lab(kube_proxy: KubeProxy) -> Self {
        Self { address: addresses::NODE, cluster_cidr: Some(addresses::PODS), kube_proxy }
    }
}

/// A program that kube-proxy runs. Which variant of iptables answers to the name is the mode's matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Program {
    /// `iptables`: one rule or chain a run.
    Iptables,
    /// `iptables-save`.
    IptablesSave,
    /// `iptables-restore`.
    IptablesRestore,
    /// `nft`.
    Nft,
    /// `conntrack`.
    Conntrack,
}

impl Program {
    /// The name under which kube-proxy runs it.
    pub const fn name(self) -> &'static str {
        match self {
            Program::Iptables => "iptables",
            Program::IptablesSave => "iptables-save",
            Program::IptablesRestore => "iptables-restore",
            Program::Nft => "nft",
            Program::Conntrack => "conntrack",
        }
    }
}

/// Which part of a sync a step belongs to; each is timed apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Creating the canary chains, whose absence later tells that somebody flushed the rules.
    Canary,
    /// Creating top-level chains and checking the jumps to them, one program at a time.
    Jumps,
    /// Reading the kernel's present state.
    Listing,
    /// The transaction itself.
    Restore,
    /// Deleting connection-tracking entries of UDP Services.
    Conntrack,
    /// Deleting what the sync left unreferenced; kube-proxy does it in a later sync.
    Cleanup,
}

impl Phase {
    /// All phases, in the order in which kube-proxy passes through them.
    pub const ALL: [Phase; 6] =
        [Phase::Canary, Phase::Jumps, Phase::Listing, Phase::Restore, Phase::Conntrack, Phase::Cleanup];

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Canary => "canary",
            Phase::Jumps => "jumps",
            Phase::Listing => "listing",
            Phase::Restore => "restore",
            Phase::Conntrack => "conntrack",
            Phase::Cleanup => "cleanup",
        }
    }
}

/// How a run of a program must end. Anything else means that the plan and the kernel disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Exit code 0.
    Success,
    /// Exit code 1, which here is an answer: "exists already" from `-N`, "no such rule" from `-C`.
    One,
    /// 0 or 1: `conntrack -D` says 1 when no entry matched.
    ZeroOrOne,
}

impl Expect {
    /// Whether an exit code satisfies the expectation.
    pub const fn accepts(self, code: i32) -> bool {
        matches!((self, code), (Expect::Success, 0) | (Expect::One, 1) | (Expect::ZeroOrOne, 0 | 1))
    }
}

/// One run of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Part of the sync.
    pub phase: Phase,
    /// What is run.
    pub program: Program,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its standard input; `None`: nothing is written to it.
    pub input: Option<Vec<u8>>,
    /// How it must end.
    pub expect: Expect,
}

impl Step {
    fn new(phase: Phase, program: Program, args: &[&str], expect: Expect) -> Self {
        Self { phase, program, args: args.iter().map(|&arg| arg.to_owned()).collect(), input: None, expect }
    }

    fn with_input(mut self, input: Vec<u8>) -> Self {
        self.input = Some(input);
        self
    }

    /// The command as a shell would take it.
    pub fn command_line(&self) -> String {
        let mut line = self.program.name().to_owned();
        for arg in &self.args {
            line.push(' ');
            if arg.is_empty()
                || arg.contains(|c: char| c.is_whitespace() || "\"'\\$`;&|<>(){}*?!#".contains(c))
            {
                line.push_str(&format!("'{}'", arg.replace('\'', r"'\''")));
            } else {
                line.push_str(arg);
            }
        }
        line
    }
}

/// Kernel objects: what a ruleset amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rules in all tables.
    pub rules: u64,
    /// Chains in all tables, base and built-in ones included.
    pub chains: u64,
    /// Elements of named sets and maps.
    pub elements: u64,
}

/// Everything that one sync does, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What the sync runs.
    pub steps: Vec<Step>,
    /// What a later sync runs to remove what this one left unreferenced.
    pub cleanup: Vec<Step>,
    /// What the kernel holds after all of it.
    pub expect: Counts,
}

impl Plan {
    /// Bytes written to the standard input of programs during the sync.
    pub fn bytes(&self) -> u64 {
        self.steps.iter().filter_map(|step| step.input.as_ref()).map(|input| input.len() as u64).sum()
    }

    /// Writes the plan: each step's command as a comment line, then its input verbatim.
    ///
    /// Both `iptables-restore` and `nft -f` take lines that start with `#` as comments.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        for step in self.steps.iter().chain(&self.cleanup) {
            writeln!(out, "# {}", step.command_line())?;
            if let Some(input) = &step.input {
                out.write_all(input)?;
            }
        }
        Ok(())
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

    /// The same final kernel state as a cold full sync, loaded in whatever pieces are quickest.
    /// For labs that serve lookups only: its time means nothing.
    fn load(&self, to: &ServiceSet) -> Plan;

    /// The smallest possible change at this size: one rule or one element more, with the tool's own
    /// command. Its `expect` counts it; `None` where the mode has no list to append to.
    fn append(&self, to: &ServiceSet) -> Option<Plan>;

    /// What the kernel holds once `to` is installed.
    fn counts(&self, to: &ServiceSet) -> Counts;

    /// Where a client sends a packet that is meant for this Service.
    fn entry(&self, service: &Service) -> SocketAddrV4 {
        service.cluster
    }

    /// Which addresses may answer for this Service; more than one: in equal shares.
    fn answers(&self, to: &ServiceSet, service: &Service) -> Vec<SocketAddrV4> {
        let _ = to;
        service.endpoints().iter().map(|endpoint| endpoint.address).collect()
    }
}

/// The planner of a mode.
///
/// # Errors
/// [`ipvs::NotPlanned`]: IPVS has its place in every list here, but this version cannot program it.
pub fn planner(mode: Mode, node: Node) -> Result<Box<dyn Dataplane>, ipvs::NotPlanned> {
    Ok(match mode {
        Mode::Direct => Box::new(direct::Control::Direct),
        Mode::Conntrack => Box::new(direct::Control::Conntrack),
        Mode::Dnat => Box::new(direct::Control::Dnat),
        Mode::IptablesLegacy => Box::new(iptables::Iptables::legacy(node)),
        Mode::IptablesNft => Box::new(iptables::Iptables::nft(node)),
        Mode::Nftables => Box::new(nftables::Nftables::new(node)),
        Mode::Ipvs => return Err(ipvs::NotPlanned),
    })
}
