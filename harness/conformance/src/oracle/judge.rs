//! From what was heard to what became of the packet. Pure.

use services::service::Protocol;
use workloads::wire::{IcmpError, Message, Packet as Wire, WireProtocol as Transport};

use super::capture::Heard;
use super::outcome::Answer;
use super::{Delivered, Location, OracleError, PacketOutcome, Refusal, Rejected, SentPacket};

/// A packet under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub packet: SentPacket,
    pub origin: Location,
    pub number: Number,
}

/// How it is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// By the number that it was given.
    Given(u32),
    /// By what it is: a socket's SYN, whose number the kernel has chosen.
    Any,
}

pub(super) const fn transport(protocol: Protocol) -> Transport {
    match protocol {
        Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
        Protocol::Sctp => Transport::Sctp,
    }
}

impl Sent {
    /// Whether this is it, wherever it has come out and whatever was translated. Numbers that are `stale` belong to sockets
    /// that may repeat their SYN.
    fn is(&self, packet: &Wire, stale: &[u32]) -> bool {
        packet.protocol() == transport(self.packet.protocol)
            && match (self.number, packet.number()) {
                (Number::Given(given), Some(number)) => given == number,
                (Number::Any, Some(number)) => packet.is_first() && !stale.contains(&number),
                (_, None) => false,
            }
    }

    /// Whether a number that something says to be about is its own.
    fn has(&self, number: Option<u32>, goes_back: bool) -> bool {
        match self.number {
            Number::Given(given) => number == Some(given),
            Number::Any => number.is_some() && goes_back,
        }
    }

    /// Whether the packet goes the opposite way, as the sender sees it.
    fn goes_back(&self, packet: &Wire) -> bool {
        packet.protocol() == transport(self.packet.protocol)
            && (packet.from, packet.to) == (self.packet.to, self.packet.from)
    }

    /// Whether the sender takes the error for one about this packet.
    fn takes_for_its_own(&self, error: &IcmpError) -> bool {
        let about = &error.about;
        about.protocol == transport(self.packet.protocol)
            && (about.from, about.to, error.to) == (self.packet.from, self.packet.to, self.packet.from.ip())
    }

    /// What became of it.
    ///
    /// # Errors
    /// [`OracleError::Unexplained`] for what no dataplane should do.
    pub(super) fn judge(&self, heard: &[Heard], stale: &[u32]) -> Result<PacketOutcome, OracleError> {
        let mut came_out = None;
        let mut answer = None;
        for &Heard { at, message } in heard {
            let (understood, what) = match message {
                Message::Packet(packet) if self.is(&packet, stale) => {
                    if came_out.replace((at, packet)).is_some() {
                        return Err(self.unexplained("it came out more than once", heard));
                    }
                    continue;
                }
                Message::Packet(packet) => {
                    let back = self.goes_back(&packet);
                    if self.has(packet.refuses(), back) {
                        let how = match packet.protocol() {
                            Transport::Sctp => Refusal::Abort,
                            _ => Refusal::Reset,
                        };
                        let from = packet.from.ip();
                        (back, Answer::Rejected(Rejected { how, from }))
                    } else if self.has(packet.answers(), back) {
                        (back, Answer::SentPacket(at, packet))
                    } else {
                        continue;
                    }
                }
                Message::Error(error) => {
                    let own = self.takes_for_its_own(&error);
                    if !self.has(error.about.number, own) {
                        continue;
                    }
                    let (kind, code) = (error.kind, error.code);
                    let how = match error.from.is_ipv4() {
                        true => Refusal::Icmp { kind, code },
                        false => Refusal::Icmpv6 { kind, code },
                    };
                    (own, Answer::Rejected(Rejected { how, from: error.from }))
                }
            };
            if !understood || at != self.origin {
                return Err(self.unexplained("an answer that its sender does not take for one", heard));
            }
            // The first is what counts: an error of the kernel's, say, and then that of a socket.
            answer.get_or_insert(what);
        }
        match (came_out, answer) {
            (None, None) => Ok(PacketOutcome::Dropped),
            (None, Some(Answer::Rejected(rejected))) => Ok(PacketOutcome::Rejected(rejected)),
            (None, Some(Answer::SentPacket(..))) => {
                Err(self.unexplained("an answer to what has not come out", heard))
            }
            (Some((at, _)), Some(_)) if at != Location::Node => {
                Err(self.unexplained("an answer of nobody who has received it", heard))
            }
            (Some((at, received)), answer) => Ok(PacketOutcome::Delivered(Delivered {
                sent: self.packet,
                origin: self.origin,
                at,
                destination: received.to,
                source: received.from,
                received,
                answer,
            })),
        }
    }

    pub(super) fn unexplained(&self, what: &'static str, heard: &[Heard]) -> OracleError {
        let heard: Vec<String> =
            heard.iter().map(|Heard { at, message }| format!("{message:?} at {at}")).collect();
        OracleError::Unexplained { packet: self.packet, origin: self.origin, what, heard: heard.join(", ") }
    }
}

#[cfg(test)]
mod tests;
