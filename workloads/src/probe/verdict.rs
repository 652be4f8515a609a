//! What came out of the egress, judged against what went in.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::AddAssign;
use std::time::Duration;

use crate::target::ProbeProtocol;
use crate::wire::{self, ACK, Malformed, SYN, Segment};

/// What one probe packet suffered. Each is counted in [`Summary`], which also keeps the first.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum PacketFault {
    /// Nothing came out in time.
    #[error(
        "probe {tag}, {client} to {to}: nothing came out within {waited:?}; look at ip_forward, rp_filter, the \
         routes, both devices' state, whether the client is an address of this machine, and for \"table full\" of conntrack in the kernel log"
    )]
    Lost {
        /// Number of the packet.
        tag: u64,
        /// Where it was sent from.
        client: SocketAddrV4,
        /// Where it was sent to.
        to: SocketAddrV4,
        /// How long it was waited for after `write(2)` had returned.
        waited: Duration,
    },
    /// It came out for someone who is no endpoint of the target; or, in a known flow, for another endpoint than
    /// before; or a reply came out for someone who is not the client.
    #[error("probe {tag} to {to} came out for {got}, who may not receive it: stale or missing rules?")]
    WrongDestination {
        /// Number of the packet.
        tag: u64,
        /// Where it was sent to.
        to: SocketAddrV4,
        /// Where it came out for.
        got: SocketAddrV4,
    },
    /// Its source was rewritten, not rewritten as it should be, or, in a reply, is not the Service's address.
    #[error(
        "probe {tag} to {to} came out from {got} in place of {expected}: check masquerade and reverse translation"
    )]
    WrongSource {
        /// Number of the packet.
        tag: u64,
        /// Where it was sent to.
        to: SocketAddrV4,
        /// Where it came out from.
        got: SocketAddrV4,
        /// Where it should come from; if masqueraded, at any port.
        expected: SocketAddrV4,
    },
    /// It is no proper packet any more.
    #[error("probe {tag} to {to} came out damaged: {defect}")]
    Damaged {
        /// Number of the packet.
        tag: u64,
        /// Where it was sent to.
        to: SocketAddrV4,
        /// What is wrong with it.
        defect: Malformed,
    },
}

/// What a series of probes came to.
///
/// `sent == verified + lost + wrong_destination + wrong_source + damaged` always holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Packets written.
    pub sent: u64,
    /// Packets that came out as they should.
    pub verified: u64,
    /// Packets that did not come out in time.
    pub lost: u64,
    /// See [`PacketFault::WrongDestination`].
    pub wrong_destination: u64,
    /// See [`PacketFault::WrongSource`].
    pub wrong_source: u64,
    /// See [`PacketFault::Damaged`].
    pub damaged: u64,
    /// Packets skipped because they belong to an earlier probe: given up, or seen before.
    pub late: u64,
    /// Packets skipped because they are no probe's, such as IPv6 autoconfiguration.
    pub stray: u64,
    /// Packets whose time was recorded: of the timed kind, and verified.
    pub timed: u64,
    /// Sum of the recorded times.
    pub busy: Duration,
    /// The first fault, as an example.
    pub first_fault: Option<PacketFault>,
}

impl Summary {
    /// That every packet sent came out as it should.
    ///
    /// # Errors
    /// The first fault, if there is any.
    pub fn all_verified(&self) -> Result<(), PacketFault> {
        self.first_fault.map_or(Ok(()), Err)
    }

    pub(super) fn fault(&mut self, fault: PacketFault) {
        *match fault {
            PacketFault::Lost { .. } => &mut self.lost,
            PacketFault::WrongDestination { .. } => &mut self.wrong_destination,
            PacketFault::WrongSource { .. } => &mut self.wrong_source,
            PacketFault::Damaged { .. } => &mut self.damaged,
        } += 1;
        self.first_fault.get_or_insert(fault);
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Summary) {
        self.sent += other.sent;
        self.verified += other.verified;
        self.lost += other.lost;
        self.wrong_destination += other.wrong_destination;
        self.wrong_source += other.wrong_source;
        self.damaged += other.damaged;
        self.late += other.late;
        self.stray += other.stray;
        self.timed += other.timed;
        self.busy += other.busy;
        self.first_fault = self.first_fault.or(other.first_fault);
    }
}

/// What must come out for one packet that went in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) protocol: ProbeProtocol,
    pub(super) tag: u64,
    /// TCP sequence number.
    pub(super) sequence: u32,
    /// Where the packet was sent to, before translation.
    pub(super) to: SocketAddrV4,
    pub(super) source: SocketAddrV4,
    /// If there, this address at any port is expected in place of `source`.
    pub(super) masquerade: Option<Ipv4Addr>,
    /// If so, any source is taken.
    pub(super) any_source: bool,
    /// Sorted.
    pub(super) destinations: &'a [SocketAddrV4],
}

/// What a packet that came out is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PacketVerdict {
    /// The expected one, for the destination with this index, from this source.
    Verified { destination: usize, source: SocketAddrV4 },
    /// The expected one, in a bad way.
    Bad(PacketFault),
    /// One of an earlier probe.
    Late,
    /// Someone else's.
    Stray,
}

impl Expected<'_> {
    pub(super) fn judge(&self, bytes: &[u8]) -> PacketVerdict {
        let Expected { tag, to, .. } = *self;
        let packet = match wire::parse_ipv4(bytes) {
            Ok(packet) => packet,
            Err(defect) if defect.is_foreign() => return PacketVerdict::Stray,
            Err(defect) => return PacketVerdict::Bad(PacketFault::Damaged { tag, to, defect }),
        };
        match self.age(&packet.segment) {
            Some(0) => {}
            Some(_) => return PacketVerdict::Late,
            None => return PacketVerdict::Stray,
        }
        let expected = match self.masquerade {
            Some(address) => SocketAddrV4::new(address, packet.from.port()),
            None => self.source,
        };
        if packet.from != expected && !self.any_source {
            return PacketVerdict::Bad(PacketFault::WrongSource { tag, to, got: packet.from, expected });
        }
        match self.destinations.binary_search(&packet.to) {
            Ok(destination) => PacketVerdict::Verified { destination, source: packet.from },
            Err(_) => PacketVerdict::Bad(PacketFault::WrongDestination { tag, to, got: packet.to }),
        }
    }

    /// How many probes ago this packet was sent, if it is a probe's.
    fn age(&self, segment: &Segment) -> Option<u64> {
        let (protocol, age, recent) = match *segment {
            Segment::Udp { number: Some(number) } => {
                (ProbeProtocol::Udp, self.tag.checked_sub(number)?, u64::MAX)
            }
            Segment::Tcp { number: Some(number), .. } => {
                (ProbeProtocol::Tcp, self.tag.checked_sub(number)?, u64::MAX)
            }
            // A SYN or SYN-ACK has no payload, but its sequence number is its tag's low half. Any 32 bits are some age; only
            // a recent one is one of ours.
            Segment::Tcp { flags, sequence, .. } if flags & !ACK == SYN => {
                (ProbeProtocol::Tcp, self.sequence.wrapping_sub(sequence).into(), (1 << 16) - 1)
            }
            _ => return None,
        };
        (age <= recent && (age > 0 || protocol == self.protocol)).then_some(age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::tests::at;
    use crate::wire::{Form, Stamp, Template};

    const FORMS: [(Form, ProbeProtocol); 2] =
        [(Form::Udp, ProbeProtocol::Udp), (Form::Syn, ProbeProtocol::Tcp)];

    fn judged(
        form: (Form, ProbeProtocol),
        from: &str,
        to: &str,
        tag: u64,
        masquerade: Option<Ipv4Addr>,
    ) -> PacketVerdict {
        let destinations = [at("10.0.0.1:8080"), at("10.0.0.2:8080")];
        let expected = Expected {
            protocol: form.1,
            tag: 1 << 33,
            sequence: 0,
            to: at("10.96.0.1:80"),
            source: at("10.1.0.1:1024"),
            masquerade,
            any_source: false,
            destinations: &destinations,
        };
        let stamp =
            Stamp { from: at(from), to: at(to), number: tag, sequence: tag as u32, acknowledgement: 0 };
        expected.judge(Template::new(form.0).stamp(&stamp))
    }

    #[test]
    fn sources_and_destinations_must_be_right() {
        let (tag, to) = (1 << 33, at("10.96.0.1:80"));
        for form in FORMS {
            let (client, endpoint) = ("10.1.0.1:1024", "10.0.0.2:8080");
            let verified = |source| PacketVerdict::Verified { destination: 1, source: at(source) };
            assert_eq!(judged(form, client, endpoint, tag, None), verified(client));
            let got = at("10.0.0.3:8080");
            let bad = PacketVerdict::Bad(PacketFault::WrongDestination { tag, to, got });
            assert_eq!(judged(form, client, "10.0.0.3:8080", tag, None), bad);

            let node = "192.0.2.1:5";
            let bad =
                PacketVerdict::Bad(PacketFault::WrongSource { tag, to, got: at(node), expected: at(client) });
            assert_eq!(judged(form, node, endpoint, tag, None), bad);
            let masquerade = Some(*at(node).ip());
            assert_eq!(judged(form, node, endpoint, tag, masquerade), verified(node));
            let bad = PacketVerdict::Bad(PacketFault::WrongSource {
                tag,
                to,
                got: at(client),
                expected: at("192.0.2.1:1024"),
            });
            assert_eq!(judged(form, client, endpoint, tag, masquerade), bad);
        }
    }

    #[test]
    fn any_source_is_taken_if_asked_for() {
        let destinations = [at("10.0.0.1:8080")];
        for (form, protocol) in FORMS {
            let (to, source) = (at("10.96.0.1:80"), at("10.1.0.1:1024"));
            let expected = |any_source| {
                let destinations = &destinations;
                Expected {
                    protocol,
                    tag: 7,
                    sequence: 7,
                    to,
                    source,
                    masquerade: None,
                    any_source,
                    destinations,
                }
            };
            let from = at("192.0.2.1:5");
            let stamp = Stamp { from, to: destinations[0], number: 7, sequence: 7, acknowledgement: 0 };
            let mut template = Template::new(form);
            let packet = template.stamp(&stamp);
            assert_eq!(
                expected(true).judge(packet),
                PacketVerdict::Verified { destination: 0, source: from }
            );
            assert!(matches!(
                expected(false).judge(packet),
                PacketVerdict::Bad(PacketFault::WrongSource { .. })
            ));
        }
    }

    #[test]
    fn other_numbers_are_late_and_other_packets_stray() {
        for form in FORMS {
            let judged = |tag| judged(form, "10.1.0.1:1024", "10.0.0.2:8080", tag, None);
            assert_eq!(judged((1 << 33) - 1), PacketVerdict::Late);
            assert_eq!(judged((1 << 33) + 1), PacketVerdict::Stray);
        }
        let future_reply =
            judged((Form::SynAck, ProbeProtocol::Udp), "10.1.0.1:1024", "10.0.0.2:8080", 0, None);
        assert_eq!(future_reply, PacketVerdict::Stray, "the wrong protocol");
    }

    #[test]
    fn summaries_add_up_and_keep_the_first_fault() {
        let fault = |tag| PacketFault::Damaged { tag, to: at("10.96.0.1:80"), defect: Malformed::Fragment };
        let mut sum =
            Summary { sent: 1, verified: 1, timed: 1, busy: Duration::from_nanos(5), ..Summary::default() };
        assert_eq!(sum.all_verified(), Ok(()));
        for tag in 1..=2 {
            let mut one = Summary { sent: 1, late: 2, stray: 3, ..Summary::default() };
            one.fault(fault(tag));
            sum += one;
        }
        let expected = Summary {
            sent: 3,
            verified: 1,
            damaged: 2,
            late: 4,
            stray: 6,
            timed: 1,
            busy: Duration::from_nanos(5),
            first_fault: Some(fault(1)),
            ..Summary::default()
        };
        assert_eq!(sum, expected);
        assert_eq!(sum.all_verified(), Err(fault(1)));
    }
}
