//! A plan: what goes to the kernel, step by step, as data that can be printed, counted and compared.

use std::fmt::Write as _;
use std::net::IpAddr;

use netns_setup::ipvs;
use services::service::Family;

use crate::counts::Counts;
use crate::drain::Drain;
use crate::way::Way;

/// A program that kube-proxy runs. Which variant of iptables answers to the name is the mode's matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Program {
    /// `iptables`: one rule or chain a run.
    Iptables,
    /// `iptables-save`.
    IptablesSave,
    /// `iptables-restore`.
    IptablesRestore,
    /// `ip6tables`: the same for IPv6.
    Ip6tables,
    /// `ip6tables-save`.
    Ip6tablesSave,
    /// `ip6tables-restore`.
    Ip6tablesRestore,
    /// `nft`.
    Nft,
    /// `conntrack`.
    Conntrack,
    /// `ipset`: one set or entry a run, or many with `restore`.
    Ipset,
}

impl Program {
    /// `iptables` or `ip6tables`.
    pub const fn iptables(family: Family) -> Self {
        match family {
            Family::Ipv4 => Program::Iptables,
            Family::Ipv6 => Program::Ip6tables,
        }
    }

    /// `iptables-save` or `ip6tables-save`.
    pub const fn iptables_save(family: Family) -> Self {
        match family {
            Family::Ipv4 => Program::IptablesSave,
            Family::Ipv6 => Program::Ip6tablesSave,
        }
    }

    /// `iptables-restore` or `ip6tables-restore`.
    pub const fn iptables_restore(family: Family) -> Self {
        match family {
            Family::Ipv4 => Program::IptablesRestore,
            Family::Ipv6 => Program::Ip6tablesRestore,
        }
    }

    /// The name under which kube-proxy runs it.
    pub const fn name(self) -> &'static str {
        match self {
            Program::Iptables => "iptables",
            Program::IptablesSave => "iptables-save",
            Program::IptablesRestore => "iptables-restore",
            Program::Ip6tables => "ip6tables",
            Program::Ip6tablesSave => "ip6tables-save",
            Program::Ip6tablesRestore => "ip6tables-restore",
            Program::Nft => "nft",
            Program::Conntrack => "conntrack",
            Program::Ipset => "ipset",
        }
    }
}

/// Which part of a sync a step belongs to; each is timed apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Sysctls; in IPVS mode also the trial whether it works at all, and the dummy link.
    Setup,
    /// Creating the canary chains, whose absence later tells that somebody flushed the rules.
    Canary,
    /// Creating top-level chains and checking the jumps to them, one program at a time.
    Jumps,
    /// Reading the kernel's present state, where that is a step of its own.
    Listing,
    /// IPVS: virtual and real servers.
    Servers,
    /// IPVS: Service addresses on the dummy link.
    Addresses,
    /// IPVS: sets and their entries.
    Sets,
    /// The transaction itself.
    Restore,
    /// Deleting connection-tracking entries of UDP Services.
    Conntrack,
    /// Deleting what the sync left unreferenced; kube-proxy does it in a later sync.
    Cleanup,
}

impl Phase {
    /// All phases, in an order in which a sync may pass through them. IPVS mode goes from Service to Service, with
    /// [`Phase::Servers`] and [`Phase::Addresses`] in turns.
    pub const ALL: [Phase; 10] = [
        Phase::Setup,
        Phase::Canary,
        Phase::Jumps,
        Phase::Listing,
        Phase::Servers,
        Phase::Addresses,
        Phase::Sets,
        Phase::Restore,
        Phase::Conntrack,
        Phase::Cleanup,
    ];

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Setup => "setup",
            Phase::Canary => "canary",
            Phase::Jumps => "jumps",
            Phase::Listing => "listing",
            Phase::Servers => "servers",
            Phase::Addresses => "addresses",
            Phase::Sets => "sets",
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

/// What is asked about the addresses of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressRequest {
    /// Reads those of the link.
    List,
    /// Reads those of all other links.
    ListOthers {
        /// One dump serves for all links; otherwise there is one for each of them, although each dump
        /// brings the addresses of all.
        once: bool,
    },
    /// Adds some, each as a prefix of its own (/32, /128). With [`Way::KubeProxy`] one that is there already is fine.
    Add(Vec<IpAddr>),
    /// Removes some.
    Remove(Vec<IpAddr>),
}

/// What is read from nf_tables over netlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NftList {
    /// Chains of all tables of the family.
    Chains,
    /// Sets and maps of kube-proxy's table.
    Sets,
}

/// What one step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Runs a program.
    Run {
        /// Which.
        program: Program,
        /// Its arguments.
        args: Vec<String>,
        /// Its standard input; `None`: nothing is written to it.
        input: Option<Vec<u8>>,
    },
    /// Sends requests to IPVS, in order. A [`Request::GetService`](ipvs::Request::GetService) may find nothing
    /// only right before the request that makes that virtual server.
    Ipvs {
        /// One by one or in batches. Batches hold no reads.
        way: Way,
        /// What is sent.
        requests: Vec<ipvs::Request>,
    },
    /// Removes real servers as their connections allow.
    Drain(Drain),
    /// Sees that there is a dummy link of this name.
    Link {
        /// Its name.
        name: &'static str,
        /// With [`Way::KubeProxy`] it is looked for first; otherwise it is added, and may be there already.
        way: Way,
    },
    /// Reads or changes the addresses of a link.
    Addresses {
        /// The link.
        device: &'static str,
        /// One by one, each on a socket of its own; or in batches.
        way: Way,
        /// What is asked.
        request: AddressRequest,
    },
    /// Reads names from nf_tables over netlink, without a program: one dump on a socket of its own.
    NftList {
        /// Of the tables.
        family: Family,
        /// What is read.
        list: NftList,
        /// Whether there is kube-proxy's table. Sets of one that is not there cannot be listed: `ENOENT` then.
        has_table: bool,
    },
    /// Sees that there is a counter of nfacct, over netlink.
    Counter {
        /// Its name.
        name: &'static str,
    },
    /// Reads a sysctl, and sets it if it is another.
    Sysctl {
        /// As sysctl(8) writes it.
        key: &'static str,
        /// The value it must have.
        value: &'static str,
    },
}

/// One step of a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Part of the sync.
    pub phase: Phase,
    /// What is done.
    pub action: Action,
    /// How it must end, if it is a program. Anything else must succeed.
    pub expect: Expect,
}

impl Step {
    /// A program that is run.
    pub fn new(phase: Phase, program: Program, args: &[&str], expect: Expect) -> Self {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Self { phase, action: Action::Run { program, args, input: None }, expect }
    }

    /// The same with this on its standard input.
    pub fn with_input(mut self, bytes: Vec<u8>) -> Self {
        if let Action::Run { input, .. } = &mut self.action {
            *input = Some(bytes);
        }
        self
    }

    pub(super) const fn asks(phase: Phase, action: Action) -> Self {
        Self { phase, action, expect: Expect::Success }
    }

    /// The program that is run, if one is.
    pub const fn program(&self) -> Option<Program> {
        match self.action {
            Action::Run { program, .. } => Some(program),
            _ => None,
        }
    }

    /// Its arguments; none without a program.
    pub fn args(&self) -> &[String] {
        match &self.action {
            Action::Run { args, .. } => args,
            _ => &[],
        }
    }

    /// Its standard input.
    pub fn input(&self) -> Option<&[u8]> {
        match &self.action {
            Action::Run { input, .. } => input.as_deref(),
            _ => None,
        }
    }

    /// Netlink requests that it sends, as far as the plan fixes their number.
    pub fn messages(&self) -> usize {
        match &self.action {
            Action::Run { .. } | Action::Sysctl { .. } => 0,
            Action::Ipvs { requests, .. } => requests.len(),
            Action::Drain(drain) => drain.requests().len(),
            Action::Link { .. } | Action::NftList { .. } | Action::Counter { .. } => 1,
            Action::Addresses { request, .. } => match request {
                AddressRequest::List | AddressRequest::ListOthers { .. } => 1,
                AddressRequest::Add(addresses) | AddressRequest::Remove(addresses) => addresses.len(),
            },
        }
    }

    /// The step as a shell would take it; where it is many commands, the first, and how many follow.
    pub fn command_line(&self) -> String {
        let commands = self.action.commands();
        let first = commands.first().cloned().unwrap_or_default();
        match commands.len() {
            0 | 1 => first,
            count => format!("{first} (and {} more)", count - 1),
        }
    }
}

impl Action {
    /// What it does, as commands for a shell.
    pub(super) fn commands(&self) -> Vec<String> {
        match self {
            Action::Run { program, args, .. } => {
                let mut line = program.name().to_owned();
                args.iter().for_each(|arg| put_word(&mut line, arg));
                vec![line]
            }
            Action::Ipvs { requests, .. } => {
                requests.iter().map(|request| format!("ipvsadm {request}")).collect()
            }
            Action::Drain(drain) => {
                drain.requests().iter().map(|request| format!("ipvsadm {request}")).collect()
            }
            Action::Link { name, .. } => vec![format!("ip link add {name} type dummy")],
            Action::Addresses { device, request, .. } => {
                let each = |verb: &str, addresses: &[IpAddr]| {
                    let line = |&address: &IpAddr| {
                        let bits = Family::of(address).bits();
                        format!("ip address {verb} {address}/{bits} dev {device}")
                    };
                    addresses.iter().map(line).collect()
                };
                match request {
                    AddressRequest::List => vec![format!("ip address show dev {device}")],
                    AddressRequest::ListOthers { .. } => vec!["ip address show".to_owned()],
                    AddressRequest::Add(addresses) => each("add", addresses),
                    AddressRequest::Remove(addresses) => each("del", addresses),
                }
            }
            Action::NftList { family, list, .. } => {
                let ip = match family {
                    Family::Ipv4 => "ip",
                    Family::Ipv6 => "ip6",
                };
                vec![match list {
                    NftList::Chains => format!("nft list chains {ip}"),
                    NftList::Sets => format!("nft --terse list sets table {ip} kube-proxy"),
                }]
            }
            Action::Counter { name } => vec![format!("nfacct add {name}")],
            Action::Sysctl { key, value } => vec![format!("sysctl -w {key}={value}")],
        }
    }
}

fn put_word(line: &mut String, word: &str) {
    line.push(' ');
    if word.is_empty() || word.contains(|c: char| c.is_whitespace() || "\"'\\$`;&|<>(){}*?!#".contains(c)) {
        // Writing to a string does not fail.
        let _ = write!(line, "'{}'", word.replace('\'', r"'\''"));
    } else {
        line.push_str(word);
    }
}

/// Everything that one sync does, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What the sync does.
    pub steps: Vec<Step>,
    /// What a later sync does to remove what this one left unreferenced.
    pub cleanup: Vec<Step>,
    /// What the kernel holds after all of it.
    pub expect: Counts,
}

impl Plan {
    /// Bytes written to the standard input of programs during the sync.
    pub fn bytes(&self) -> u64 {
        self.steps.iter().filter_map(Step::input).map(|input| input.len() as u64).sum()
    }
}
