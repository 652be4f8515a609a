//! The packet probe: one packet through the kernel's whole Service path, timed and verified.
//!
//! Two TUN devices (`IFF_TUN | IFF_NO_PI`) stand in one network namespace. A packet written into the ingress
//! device is received by the kernel inside `write(2)`: without `IFF_NAPI`, `tun_get_user` (drivers/net/tun.c)
//! calls `netif_receive_skb`, and prerouting, Service lookup, DNAT, forwarding, postrouting and the confirmation
//! by conntrack all run before it returns, up to the queue of the egress device. So the time of the `write` is
//! the cost of the dataplane, with no client or server stack in it; one `write` into a device, two reads of the
//! clock, nothing else. Receive packet steering (RPS) on the ingress device would break this: leave it off.
//!
//! The packet is then read from the egress device and verified, outside the timed region. A packet that fails is
//! counted and never timed.

mod verdict;

use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::{read, write};

use crate::clock::nanoseconds;
pub use crate::device::DeviceError;
use crate::device::{Device, GONE};
use crate::recorder::Times;
use crate::sources::Sources;
use crate::target::{ProbeProtocol, ProbeTarget, Shares};
use crate::wire::{Form, Stamp, Template};

use verdict::{Expected, PacketVerdict};
pub use verdict::{PacketFault, Summary};

/// How long a packet is waited for after its `write(2)` has returned by default.
pub const TIMEOUT: Duration = Duration::from_millis(20);

/// Timed packets that a TCP flow can carry: their 16 bytes each must fit the window of 65,535 bytes that the
/// reply opened, or conntrack calls them invalid (`tcp_in_window`, net/netfilter/nf_conntrack_proto_tcp.c).
pub const LONGEST_TCP_FLOW: u32 = 4_000;

/// Bytes of payload per TCP data segment.
const SEGMENT: u32 = 16;

/// Why a series of probes had to stop. What happens to a single packet is a [`PacketFault`] instead.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum ProbeError {
    /// A device refused a system call.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// All flows were used.
    #[error(
        "all {flows} flows of the sources are used up, and one that comes back is no new flow; flush conntrack and \
         IPVS and then call Sources::restart(), or use a larger prefix or port range"
    )]
    SourcesUsedUp {
        /// How many there were.
        flows: u64,
    },
    /// A pick is no index into the targets.
    #[error("pick {pick} of {targets} targets; picks are indices from 0")]
    Pick {
        /// The pick.
        pick: u32,
        /// How many targets there are.
        targets: usize,
    },
    /// A TCP flow cannot carry so many packets.
    #[error(
        "{per_flow} packets per TCP flow; more than {LONGEST_TCP_FLOW} leave the TCP window, use more flows"
    )]
    FlowTooLong {
        /// Packets asked for.
        per_flow: u32,
    },
}

/// A pair of devices and an endless supply of new flows. Allocates nothing after [`Probe::new`].
#[derive(Debug)]
pub struct Probe {
    devices: Devices,
    sources: Sources,
    templates: Templates,
    timeout: Duration,
    tag: u64,
}

impl Probe {
    /// A probe from `ingress` to `egress`, both of which become non-blocking.
    ///
    /// # Errors
    /// [`ProbeError::Device`] if one cannot be made non-blocking.
    pub fn new(
        ingress: impl Into<OwnedFd>,
        egress: impl Into<OwnedFd>,
        sources: Sources,
    ) -> Result<Probe, ProbeError> {
        let devices = Devices {
            ingress: Device { name: "ingress", fd: ingress.into() },
            egress: Device { name: "egress", fd: egress.into() },
            buffer: [0; BUFFER],
        };
        devices.ingress.unblock()?;
        devices.egress.unblock()?;
        Ok(Probe { devices, sources, templates: Templates::new(), timeout: TIMEOUT, tag: 0 })
    }

    /// Sets how long a packet is waited for after its `write(2)` has returned, before it counts as lost.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// The flows still to be used; see [`Sources::restart`].
    pub fn sources_mut(&mut self) -> &mut Sources {
        &mut self.sources
    }

    /// Sends the first packet of one new flow to `targets[pick]` for each of `picks`, and times it.
    ///
    /// Every flow leaves an entry in the connection tables, and tables that grow are what would be measured in
    /// the end. So call this in batches that the tables hold with ease, say 10,000, and flush them in between.
    ///
    /// # Errors
    /// [`ProbeError`]; what was recorded until then stays recorded.
    pub fn first_packets(
        &mut self,
        targets: &[ProbeTarget],
        picks: &[u32],
        into: &mut Times,
        mut shares: Option<&mut Shares>,
    ) -> Result<Summary, ProbeError> {
        check(targets, picks)?;
        let mut summary = Summary::default();
        self.devices.drain(&mut summary)?;
        for &pick in picks {
            let target = &targets[pick as usize];
            let Some(arrival) = self.open(target, &mut summary)? else { continue };
            into.record(arrival.nanoseconds);
            summary.timed += 1;
            summary.busy += Duration::from_nanos(arrival.nanoseconds);
            if let Some(shares) = &mut shares {
                shares.count(pick as usize, arrival.destination);
            }
        }
        Ok(summary)
    }

    /// Opens one flow per pick - first packet, then a reply from the chosen endpoint, which must come back out
    /// of the ingress device from the Service's address - and times `per_flow` further packets on it.
    ///
    /// This is the control: a known flow is translated without a lookup, so its cost must not depend on scale.
    /// A flow whose first packet or reply fails carries no further packets. In TCP, the first packet is a SYN,
    /// the reply a SYN-ACK, and what is timed are data segments.
    ///
    /// # Errors
    /// [`ProbeError`]; what was recorded until then stays recorded.
    pub fn established_packets(
        &mut self,
        targets: &[ProbeTarget],
        picks: &[u32],
        per_flow: u32,
        into: &mut Times,
    ) -> Result<Summary, ProbeError> {
        check(targets, picks)?;
        let tcp = picks.iter().any(|&pick| targets[pick as usize].protocol() == ProbeProtocol::Tcp);
        if tcp && per_flow > LONGEST_TCP_FLOW {
            return Err(ProbeError::FlowTooLong { per_flow });
        }
        let mut summary = Summary::default();
        self.devices.drain(&mut summary)?;
        for &pick in picks {
            let target = &targets[pick as usize];
            let Some(opened) = self.open(target, &mut summary)? else { continue };
            let Some(mut flow) = self.reply(target, &opened, &mut summary)? else { continue };
            for _ in 0..per_flow {
                let Some(nanoseconds) = self.follow(&mut flow, &mut summary)? else { continue };
                into.record(nanoseconds);
                summary.timed += 1;
                summary.busy += Duration::from_nanos(nanoseconds);
            }
        }
        Ok(summary)
    }

    /// The first packet of a new flow.
    fn open(&mut self, target: &ProbeTarget, summary: &mut Summary) -> Result<Option<Opened>, ProbeError> {
        let flows = self.sources.flows();
        let client = self.sources.next().ok_or(ProbeError::SourcesUsedUp { flows })?;
        let tag = self.next_tag();
        // The low half of the tag is the initial sequence number of TCP.
        let sequence = tag as u32;
        let stamp = Stamp { from: client, to: target.address(), number: tag, sequence, acknowledgement: 0 };
        let packet = match target.protocol() {
            ProbeProtocol::Udp => self.templates.udp.stamp(&stamp),
            ProbeProtocol::Tcp => self.templates.syn.stamp(&stamp),
        };
        let expected = Expected {
            protocol: target.protocol(),
            tag,
            sequence,
            to: target.address(),
            source: client,
            masquerade: target.masquerade(),
            any_source: target.any_source(),
            destinations: target.endpoints(),
        };
        let arrival = self.devices.carry(Way::In, packet, &expected, client, self.timeout, summary)?;
        Ok(arrival.map(|Arrival { nanoseconds, destination, source }| Opened {
            nanoseconds,
            destination,
            client,
            seen_as: source,
            endpoint: target.endpoints()[destination],
            sequence,
        }))
    }

    /// The endpoint's answer, which must come back to the client from the target's address.
    fn reply(
        &mut self,
        target: &ProbeTarget,
        opened: &Opened,
        summary: &mut Summary,
    ) -> Result<Option<Flow>, ProbeError> {
        let tag = self.next_tag();
        let (sequence, acknowledgement) = (tag as u32, opened.sequence.wrapping_add(1));
        let stamp =
            Stamp { from: opened.endpoint, to: opened.seen_as, number: tag, sequence, acknowledgement };
        let packet = match target.protocol() {
            ProbeProtocol::Udp => self.templates.udp.stamp(&stamp),
            ProbeProtocol::Tcp => self.templates.syn_ack.stamp(&stamp),
        };
        let expected = Expected {
            protocol: target.protocol(),
            tag,
            sequence,
            to: opened.seen_as,
            source: target.address(),
            masquerade: None,
            any_source: false,
            destinations: &[opened.client],
        };
        let reply =
            self.devices.carry(Way::Out, packet, &expected, opened.endpoint, self.timeout, summary)?;
        Ok(reply.map(|_| Flow {
            protocol: target.protocol(),
            client: opened.client,
            seen_as: opened.seen_as,
            to: target.address(),
            endpoint: opened.endpoint,
            sequence: acknowledgement,
            acknowledgement: sequence.wrapping_add(1),
        }))
    }

    /// A further packet of an established flow; its time in nanoseconds.
    fn follow(&mut self, flow: &mut Flow, summary: &mut Summary) -> Result<Option<u64>, ProbeError> {
        let tag = self.next_tag();
        let Flow { protocol, client, to, sequence, acknowledgement, .. } = *flow;
        let stamp = Stamp { from: client, to, number: tag, sequence, acknowledgement };
        let packet = match protocol {
            ProbeProtocol::Udp => self.templates.udp.stamp(&stamp),
            ProbeProtocol::Tcp => self.templates.data.stamp(&stamp),
        };
        flow.sequence = sequence.wrapping_add(SEGMENT);
        let destinations = &[flow.endpoint];
        let (source, masquerade, any_source) = (flow.seen_as, None, false);
        let expected = Expected { protocol, tag, sequence, to, source, masquerade, any_source, destinations };
        let arrival = self.devices.carry(Way::In, packet, &expected, client, self.timeout, summary)?;
        Ok(arrival.map(|arrival| arrival.nanoseconds))
    }

    fn next_tag(&mut self) -> u64 {
        self.tag += 1;
        self.tag
    }
}

/// A flow after its first packet.
struct Opened {
    nanoseconds: u64,
    destination: usize,
    client: SocketAddrV4,
    /// The client as the endpoint sees it: another one if masqueraded.
    seen_as: SocketAddrV4,
    endpoint: SocketAddrV4,
    sequence: u32,
}

/// A flow after its reply.
struct Flow {
    protocol: ProbeProtocol,
    client: SocketAddrV4,
    seen_as: SocketAddrV4,
    to: SocketAddrV4,
    endpoint: SocketAddrV4,
    sequence: u32,
    acknowledgement: u32,
}

#[derive(Debug)]
struct Templates {
    udp: Template,
    syn: Template,
    syn_ack: Template,
    data: Template,
}

impl Templates {
    fn new() -> Templates {
        Templates {
            udp: Template::new(Form::Udp),
            syn: Template::new(Form::Syn),
            syn_ack: Template::new(Form::SynAck),
            data: Template::new(Form::Data),
        }
    }
}

fn check(targets: &[ProbeTarget], picks: &[u32]) -> Result<(), ProbeError> {
    match picks.iter().find(|&&pick| pick as usize >= targets.len()) {
        Some(&pick) => Err(ProbeError::Pick { pick, targets: targets.len() }),
        None => Ok(()),
    }
}

/// Room for a packet of an ordinary MTU; a longer one is cut, and is not ours.
const BUFFER: usize = 2048;

#[derive(Debug)]
struct Devices {
    ingress: Device,
    egress: Device,
    buffer: [u8; BUFFER],
}

/// From ingress to egress, or back.
#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

/// A packet that came out as it should.
struct Arrival {
    nanoseconds: u64,
    destination: usize,
    source: SocketAddrV4,
}

impl Devices {
    /// Writes a packet into one device and waits for it at the other.
    fn carry(
        &mut self,
        way: Way,
        packet: &[u8],
        expected: &Expected,
        client: SocketAddrV4,
        timeout: Duration,
        summary: &mut Summary,
    ) -> Result<Option<Arrival>, ProbeError> {
        let (from, to) = match way {
            Way::In => (&self.ingress, &self.egress),
            Way::Out => (&self.egress, &self.ingress),
        };
        let entry = from.fd.as_fd();
        let began = Instant::now();
        let written = write(entry, packet);
        let ended = Instant::now();
        written.map_err(|why| from.error("write into", why))?;
        summary.sent += 1;
        loop {
            match read(&to.fd, &mut self.buffer) {
                Ok(0) => return Err(to.error("read", GONE).into()),
                Ok(length) => match expected.judge(&self.buffer[..length]) {
                    PacketVerdict::Verified { destination, source } => {
                        summary.verified += 1;
                        let nanoseconds = nanoseconds(ended - began);
                        return Ok(Some(Arrival { nanoseconds, destination, source }));
                    }
                    PacketVerdict::Bad(fault) => {
                        summary.fault(fault);
                        return Ok(None);
                    }
                    PacketVerdict::Late => summary.late += 1,
                    PacketVerdict::Stray => summary.stray += 1,
                },
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let left = timeout.saturating_sub(ended.elapsed());
                    if left.is_zero() {
                        let Expected { tag, to, .. } = *expected;
                        summary.fault(PacketFault::Lost { tag, client, to, waited: timeout });
                        return Ok(None);
                    }
                    to.wait(left)?;
                }
                Err(why) => return Err(to.error("read", why).into()),
            }
        }
    }

    /// Empties both devices of what has come to them between two series.
    fn drain(&mut self, summary: &mut Summary) -> Result<(), ProbeError> {
        for device in [&self.ingress, &self.egress] {
            loop {
                match read(&device.fd, &mut self.buffer) {
                    Ok(0) => return Err(device.error("read", GONE).into()),
                    Ok(_) => summary.stray += 1,
                    Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => break,
                    Err(why) => return Err(device.error("read", why).into()),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
