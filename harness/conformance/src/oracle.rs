//! The packet oracle: what a node's dataplane does with one packet, seen from all sides.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use conformance::oracle::{Oracle, PacketOutcome, SentPacket, Location};
//! use services::service::{Protocol};
//!
//! let mut oracle = Oracle::build(&netns_setup::single_node::Topology {
//!     label: "example".into(),
//!     node: vec!["192.0.2.1".parse()?, "2001:db8::1".parse()?],
//!     local_pods: vec!["10.244.0.0/24".parse()?, "fd00:244::/64".parse()?],
//!     remote_pods: vec!["10.244.1.0/24".parse()?, "fd00:244:0:1::/64".parse()?],
//! })?;
//! // Put rules into `oracle.node()`. Then:
//! let packet = SentPacket::new(Protocol::Tcp, "10.244.0.7".parse()?, "10.96.0.10:80".parse()?);
//! match oracle.send(packet, Location::LocalPod)? {
//!     PacketOutcome::Delivered(delivered) => {
//!         println!("{delivered}, masqueraded as {:?}", delivered.masquerade());
//!         let reply = oracle.reply(&delivered)?;
//!         assert!(delivered.is_answered_by(&reply));
//!     }
//!     PacketOutcome::Rejected(rejected) => println!("{rejected}"),
//!     PacketOutcome::Dropped => println!("dropped"),
//! }
//! oracle.forget_flows()?;
//! # Ok(())
//! # }
//! ```
//!
//! Every packet is written into a TUN device of a [`SingleNode`], or sent by a real socket of the node, and looked for at all
//! devices and on the node. Nothing is decided by time: when the write into a device returns, the kernel has done all that it
//! will do, errors included; what the node sends may take the way over its loopback, and then a marker shows that this has
//! nothing left to deliver ([`Loopback`]). So "dropped" is an observation too. It holds as long as the kernel forwards in
//! place: receive packet steering (RPS) on the devices, a queueing discipline that delays, or a user-space queue (NFQUEUE)
//! would each make it a guess.

mod capture;
mod client;
mod error;
mod judge;
mod outcome;

use std::collections::VecDeque;

use lab::connection_tables::Flows;
use netns_setup::single_node::{SingleNode, Topology};
use netns_setup::{Loopback, Namespace, Tun};
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;
use services::service::Family;
use workloads::wire;
pub use workloads::wire::Reason;

use self::capture::Capture;
use self::client::Client;
pub use self::error::OracleError;
use self::judge::{Number, Sent, transport};
use self::outcome::Answer;
pub use self::outcome::{Delivered, Location, PacketOutcome, Refusal, Rejected, SentPacket};

/// Fresh ports: above those that people give to sockets, and enough to go on for a while.
const FRESH: std::ops::RangeInclusive<u16> = 16_384..=65_535;
/// Sockets of the node that wait for a reply.
const CLIENTS: usize = 64;

/// A node, and eyes on all sides of it.
pub struct Oracle {
    single_node: SingleNode,
    capture: Capture,
    loopback: Loopback,
    flows: Flows,
    /// Of the packet sent last.
    number: u32,
    /// Fresh ports given since flows were last forgotten.
    given: u16,
    /// The last first, each with the number that its packet came out with.
    clients: VecDeque<(u32, Client)>,
}

impl Oracle {
    /// A node without rules.
    ///
    /// # Errors
    /// If the addresses do not make a [`SingleNode`], or the kernel refuses.
    pub fn build(topology: &Topology) -> Result<Oracle, OracleError> {
        let single_node = SingleNode::build(topology)?;
        let refused =
            |why: nix::Error| OracleError::Device { call: "listen", place: Location::Node, why: why.into() };
        let (capture, loopback, flows) = single_node.node.run(|| {
            Ok::<_, OracleError>((Capture::open().map_err(refused)?, Loopback::open()?, Flows::of_kernel()?))
        })?;
        Ok(Oracle { single_node, capture, loopback, flows, number: 0, given: 0, clients: VecDeque::new() })
    }

    /// Where rules are put.
    pub fn node(&self) -> &Namespace {
        &self.single_node.node
    }

    /// Sends a packet.
    ///
    /// An outcome is given only for what makes sense as a whole: delivered at most once, with right checksums, and
    /// rejected in a way that its sender takes for its own - addresses and ports as it knows them, in the quoted packet too;
    /// a socket of the node must have been sent an error.
    ///
    /// # Errors
    /// [`OracleError`]; what came out but does not make sense is [`OracleError::Unexplained`].
    pub fn send(&mut self, packet: SentPacket, origin: Location) -> Result<PacketOutcome, OracleError> {
        let packet = self.with_port(packet)?;
        let number = self.next_number();
        let family = Family::of(packet.to.ip());
        self.capture.hear(&self.single_node, family)?;
        let Some(device) = device(&self.single_node, origin) else {
            return self.send_from_node(packet, number);
        };
        let first = wire::Packet::first(transport(packet.protocol), packet.from, packet.to, number);
        let sent = Sent { packet, origin, number: Number::Given(number) };
        write(device, origin, &first)?;
        sent.judge(&self.capture.hear(&self.single_node, family)?, &[])
    }

    /// Sends back what the receiver of a packet would answer, in the same flow: a datagram, a SYN-ACK or an INIT ACK, from
    /// the address at which the packet came out to the source that it came out with. [`Delivered::is_answered_by`] tells
    /// whether it arrives as the answer that the sender waits for; a socket of the node must have taken it.
    ///
    /// For what came out on the node itself this is what its stack has answered already, commonly "port unreachable" or a
    /// RST; [`PacketOutcome::Dropped`] if nothing.
    ///
    /// # Errors
    /// As [`send`](Oracle::send); [`OracleError::SocketClosed`] if it comes too late.
    pub fn reply(&mut self, delivered: &Delivered) -> Result<PacketOutcome, OracleError> {
        let packet = SentPacket {
            protocol: delivered.sent.protocol,
            from: delivered.destination,
            to: delivered.source,
        };
        let number = self.next_number();
        let (Some(device), Some(answer)) =
            (device(&self.single_node, delivered.at), delivered.received.answer(number))
        else {
            return Ok(answered_by_stack(delivered, packet));
        };
        let client = match delivered.origin {
            Location::Node => Some(self.client_of(delivered)?),
            _ => None,
        };
        let family = Family::of(packet.to.ip());
        self.capture.hear(&self.single_node, family)?;
        write(device, delivered.at, &answer)?;
        let heard = self.capture.hear(&self.single_node, family)?;
        let sent = Sent { packet, origin: delivered.at, number: Number::Given(number) };
        let outcome = sent.judge(&heard, &[])?;
        if let Some(client) = client
            && delivered.is_answered_by(&outcome)
            && !self.clients[client].1.is_answered()
        {
            return Err(sent.unexplained("the socket that it is for has not taken it", &heard));
        }
        Ok(outcome)
    }

    /// Empties the node's tables that know flows, those of connection tracking and of IPVS, for both families. Fresh ports
    /// start anew. Session affinity is forgotten as far as it is kept there, which is in IPVS only.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn forget_flows(&mut self) -> Result<(), OracleError> {
        self.clients.clear();
        self.flows.forget(&self.single_node.node)?;
        self.given = 0;
        Ok(())
    }

    /// All on one core, so that markers on the loopback follow what was sent.
    fn send_from_node(&mut self, packet: SentPacket, number: u32) -> Result<PacketOutcome, OracleError> {
        self.clients.retain(|(_, client)| !client.is_in_the_way_of(&packet));
        // Sockets repeat a SYN that is not answered.
        let stale: Vec<u32> = self.clients.iter().map(|(number, _)| *number).collect();
        let Oracle { single_node, capture, loopback, .. } = self;
        let family = Family::of(packet.to.ip());
        let (client, outcome) = single_node.node.run(|| {
            let _pinned = Pinned::here().map_err(|why| OracleError::Socket { packet, call: "pin", why })?;
            let client = Client::send(packet, number)?;
            let sent = Sent { packet: client.packet, origin: Location::Node, number: client.number };
            let mut heard = capture.hear(single_node, family)?;
            let mut outcome = sent.judge(&heard, &stale)?;
            if outcome.delivered().is_none_or(|delivered| delivered.at == Location::Node) {
                loopback.settle()?;
                heard.extend(capture.hear(single_node, family)?);
                outcome = sent.judge(&heard, &stale)?;
            }
            if outcome.rejected().is_some() && !client.is_refused() {
                return Err(sent.unexplained("the socket that sent it was not told", &heard));
            }
            Ok((client, outcome))
        })?;
        if let Some(number) = outcome.delivered().and_then(|delivered| delivered.received.number()) {
            self.clients.truncate(CLIENTS - 1);
            self.clients.push_front((number, client));
        }
        Ok(outcome)
    }

    /// Index of the socket that has sent a packet.
    fn client_of(&self, delivered: &Delivered) -> Result<usize, OracleError> {
        let closed = OracleError::SocketClosed { packet: delivered.sent, most: CLIENTS };
        let sent = |(number, _): &(u32, Client)| Some(*number) == delivered.received.number();
        self.clients.iter().position(sent).ok_or(closed)
    }

    fn next_number(&mut self) -> u32 {
        // 0 is no initiate tag.
        self.number = self.number.wrapping_add(1).max(1);
        self.number
    }

    fn with_port(&mut self, mut packet: SentPacket) -> Result<SentPacket, OracleError> {
        if packet.from.is_ipv4() != packet.to.is_ipv4() {
            return Err(wire::MixedFamilies { from: packet.from, to: packet.to }.into());
        }
        if packet.from.port() == 0 {
            let count = FRESH.end() - FRESH.start() + 1;
            if self.given == count {
                return Err(OracleError::PortsUsedUp { count });
            }
            packet.from.set_port(FRESH.start() + self.given);
            self.given += 1;
        }
        Ok(packet)
    }
}

/// None for the node itself.
const fn device(single_node: &SingleNode, place: Location) -> Option<&Tun> {
    match place {
        Location::Outside => Some(&single_node.outside),
        Location::LocalPod => Some(&single_node.local_pods),
        Location::RemotePod => Some(&single_node.remote_pods),
        Location::Node => None,
    }
}

fn write(device: &Tun, place: Location, packet: &wire::Packet) -> Result<(), OracleError> {
    device.send(&packet.build()?).map_err(|why| OracleError::Device { call: "write", place, why })
}

/// What came out of the stack at once.
fn answered_by_stack(delivered: &Delivered, packet: SentPacket) -> PacketOutcome {
    match delivered.answer {
        None => PacketOutcome::Dropped,
        Some(Answer::Rejected(rejected)) => PacketOutcome::Rejected(rejected),
        Some(Answer::SentPacket(at, received)) => PacketOutcome::Delivered(Delivered {
            sent: packet,
            origin: Location::Node,
            at,
            destination: received.to,
            source: received.from,
            received,
            answer: None,
        }),
    }
}

/// Keeps the calling thread on its core until it is dropped.
struct Pinned {
    before: CpuSet,
}

impl Pinned {
    fn here() -> nix::Result<Pinned> {
        let before = sched_getaffinity(Pid::from_raw(0))?;
        let mut here = CpuSet::new();
        here.set(sched_getcpu()?)?;
        sched_setaffinity(Pid::from_raw(0), &here)?;
        Ok(Pinned { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // That it was allowed before is why this cannot fail, save on cores that went away.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.before);
    }
}
