//! The way of a packet through chains, where rules may hold or not: every translation that it may meet.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use services::service::Protocol;

use crate::chains::{Chains, Rule};

/// Rules that are looked at for all Services of a ruleset together. Some 30 do for a Service with ten endpoints; a file
/// made to be slow would take any number.
pub const LIMIT: u64 = 10_000_000;
/// Netfilter's own limit of jumps inside one another (`NFT_JUMP_STACK_SIZE`, include/net/netfilter/nf_tables.h).
const DEPTH: u32 = 16;

/// A packet of a pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct WalkedPacket {
    /// Where it may come from; `None`: anywhere.
    pub from: Option<IpNet>,
    /// Where it goes.
    pub to: SocketAddr,
    /// Its protocol.
    pub protocol: Protocol,
}

/// Whether a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holds {
    /// Not for this packet.
    Never,
    /// It is not known.
    Perhaps,
    /// For this packet, always.
    Always,
}

impl Holds {
    /// Both conditions.
    pub(super) fn and(self, other: Self) -> Self {
        self.min(other)
    }

    fn from(holds: bool, negated: bool) -> Self {
        if holds == negated { Holds::Never } else { Holds::Always }
    }
}

/// What a rule does with a packet for which it holds.
#[derive(Clone, Debug)]
pub(super) enum Then<'a> {
    /// The next rule is looked at.
    Next,
    /// One of these chains is passed; then comes the next rule.
    Jump(Vec<&'a str>),
    /// One of these chains is passed; then comes the next rule of the chain before.
    Goto(Vec<&'a str>),
    /// It is translated, and the table is done with it.
    Dnat(Vec<(IpAddr, Option<u16>)>),
    /// The chain is done with it.
    Return,
    /// The table is done with it, and it is not translated, or who knows to whom.
    End,
}

/// Where a packet may come out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// To whom it may be translated.
    pub answers: BTreeSet<SocketAddr>,
    /// Whether it may leave without that.
    pub may_miss: bool,
}

/// Follows packets.
pub(super) struct Walker<'w, 'a> {
    /// The chains.
    pub chains: &'w Chains<'a>,
    /// Reads a rule.
    pub judge: fn(&Rule<'a>, &WalkedPacket) -> (Holds, Then<'a>),
    /// Rules that may still be looked at.
    pub left: u64,
}

impl<'a> Walker<'_, 'a> {
    /// From the first rule of a chain. `None`: the limit is reached.
    pub(super) fn walk(&mut self, chain: &str, packet: &WalkedPacket) -> Option<Walked> {
        let mut walked = Walked::default();
        let falls = self.chain(chain, packet, DEPTH, &mut walked)?;
        walked.may_miss |= falls;
        Some(walked)
    }

    /// Whether a chain, from its first rule, may put an end to the packet. `None`: the limit is reached.
    pub(super) fn may_end(&mut self, chain: &str, packet: &WalkedPacket) -> Option<bool> {
        let mut walked = Walked::default();
        self.chain(chain, packet, DEPTH, &mut walked)?;
        Some(walked.may_miss)
    }

    /// Whether the packet may come back from the chain.
    fn chain(&mut self, name: &str, packet: &WalkedPacket, depth: u32, walked: &mut Walked) -> Option<bool> {
        let Some(chain) = self.chains.get(name).filter(|_| depth > 0) else { return Some(true) };
        let mut falls = false;
        for rule in &chain.rules {
            self.left = self.left.checked_sub(1)?;
            let (holds, then) = (self.judge)(rule, packet);
            if holds == Holds::Never {
                continue;
            }
            let is_last = match then {
                Then::Next => false,
                Then::Dnat(to) => {
                    let own = packet.to.port();
                    let to =
                        to.into_iter().map(|(address, port)| SocketAddr::new(address, port.unwrap_or(own)));
                    walked.answers.extend(to);
                    true
                }
                Then::Return => {
                    falls = true;
                    true
                }
                Then::End => {
                    walked.may_miss = true;
                    true
                }
                Then::Jump(targets) => {
                    let mut back = false;
                    for target in targets {
                        back |= self.chain(target, packet, depth - 1, walked)?;
                    }
                    !back
                }
                Then::Goto(targets) => {
                    for target in targets {
                        falls |= self.chain(target, packet, depth - 1, walked)?;
                    }
                    true
                }
            };
            if is_last && holds == Holds::Always {
                return Some(falls);
            }
        }
        Some(true)
    }
}

/// Whether one of the networks is asked for that the packet is from.
pub(super) fn source(packet: &WalkedPacket, asked: Option<(bool, &[IpNet])>) -> Holds {
    let Some((negated, networks)) = asked else { return Holds::Always };
    let everybody = networks.iter().any(|network| network.prefix_len() == 0);
    match packet.from {
        _ if everybody => Holds::from(true, negated),
        Some(from) if networks.iter().any(|network| network.contains(&from)) => Holds::from(true, negated),
        Some(from) if networks.iter().all(|network| !from.contains(network)) => Holds::from(false, negated),
        _ => Holds::Perhaps,
    }
}

/// The same of its destination.
pub(super) fn destination(packet: &WalkedPacket, asked: Option<(bool, IpNet)>) -> Holds {
    asked.map_or(Holds::Always, |(negated, network)| Holds::from(network.contains(&packet.to.ip()), negated))
}

/// The same of its destination port.
pub(super) fn ports(packet: &WalkedPacket, asked: Option<&(bool, RangeInclusive<u16>)>) -> Holds {
    asked.map_or(Holds::Always, |(negated, range)| Holds::from(range.contains(&packet.to.port()), *negated))
}

/// The same of its protocol.
pub(super) fn protocol(packet: &WalkedPacket, asked: Option<(bool, &str)>) -> Holds {
    let is = |name: &str| matches!(name, "all" | "0") || name == packet.protocol.name();
    asked.map_or(Holds::Always, |(negated, name)| Holds::from(is(name), negated))
}

/// An address of type LOCAL is one of the node's, which neither end of the packet is; of other types who knows.
pub(super) fn local(asked: Option<(bool, &str)>) -> Holds {
    match asked {
        None => Holds::Always,
        Some((negated, kind)) if kind.eq_ignore_ascii_case("local") => Holds::from(false, negated),
        Some(_) => Holds::Perhaps,
    }
}
