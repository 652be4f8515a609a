//! The connection probe: all packets of a TCP connection through a load balancer, timed and verified.
//!
//! As the [packet probe](crate::probe) does for one packet, this writes the packets of a whole connection into the machine
//! under test, each from where it would come: the client's into the ingress, the server's, if its way leads through that
//! machine at all, into that server's exit. The sum of the `write(2)`s is what the machine's kernel spends on the
//! connection: no client, no server and no other machine is in it, even if all share one processor. It contains the copy
//! of each packet from user space, which a network card would spare, and a reading of the clock
//! ([`timer_overhead_ns`](crate::clock::timer_overhead_ns)), and not the card's driver.
//!
//! One TUN for each real server tells where a packet went, also when it came out as it went in.

mod build;
mod judge;
mod outcome;
mod script;
mod treatment;

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::{read, write};

use crate::clock::nanoseconds;
use crate::device::{Device, GONE};
use crate::probe::{ProbeError, TIMEOUT};
use crate::sources::Sources;
use crate::wire::{self, Malformed};

use build::Numbers;
use judge::Expected;
pub use judge::Flaw;
pub use outcome::{ConnectionFault, Costs, Mishap, Tally};
pub use script::{Exchange, SEGMENT, Segment, Side};
pub use treatment::Treatment;

/// The way to a real server.
#[derive(Debug)]
pub struct Exit {
    /// Packets to it are read here, its own are written here.
    pub device: OwnedFd,
    /// Its address, and the port that it listens to.
    pub server: SocketAddrV4,
}

/// The devices around a load balancer, and an endless supply of clients.
#[derive(Debug)]
pub struct ConnectionProbe {
    ingress: Device,
    exits: Vec<(Device, SocketAddrV4)>,
    sources: Sources,
    treatment: Treatment,
    timeout: Duration,
    /// Numbers connections, and so their sequence numbers.
    count: u32,
    packet: Vec<u8>,
    buffer: Vec<u8>,
    /// Of the client's packets of one connection.
    client_times: Vec<u64>,
}

/// Room for a packet of an ordinary MTU and an outer header; a longer one is cut, and is not ours.
const BUFFER: usize = 2048;

/// A connection under way.
struct Progress {
    client: SocketAddrV4,
    to: SocketAddrV4,
    /// Index of its real server's exit, once known.
    exit: Option<usize>,
    numbers: Numbers,
    /// Nanoseconds, on the server's packets.
    spent_on_server: u64,
}

impl ConnectionProbe {
    /// A probe of what `treatment` says between `ingress` and `exits`, all of which become non-blocking.
    ///
    /// # Errors
    /// [`ProbeError::Device`] if one cannot be made non-blocking.
    pub fn new(
        ingress: impl Into<OwnedFd>,
        exits: Vec<Exit>,
        sources: Sources,
        treatment: Treatment,
    ) -> Result<ConnectionProbe, ProbeError> {
        let ingress = Device { name: "ingress", fd: ingress.into() };
        ingress.unblock()?;
        let open = |Exit { device, server }| {
            let device = Device { name: "egress", fd: device };
            device.unblock()?;
            Ok((device, server))
        };
        let exits = exits.into_iter().map(open).collect::<Result<_, ProbeError>>()?;
        Ok(ConnectionProbe {
            ingress,
            exits,
            sources,
            treatment,
            timeout: TIMEOUT,
            count: 0,
            packet: Vec::with_capacity(BUFFER),
            buffer: vec![0; BUFFER],
            client_times: Vec::new(),
        })
    }

    /// Sets how long a packet is waited for after its `write(2)` has returned, before it counts as lost.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// The clients still to be used; see [`Sources::restart`].
    pub fn sources_mut(&mut self) -> &mut Sources {
        &mut self.sources
    }

    /// Makes `connections` connections to `to`, one after another, each with the packets of `script` that pass the
    /// machine, and times them. [`Treatment::Routed`] addresses the real servers in turn in place of `to`.
    ///
    /// Each leaves an entry in the connection tables, for minutes: call this with so many that the tables hold them with
    /// ease, and empty them in between.
    ///
    /// # Errors
    /// [`ProbeError`]; what was recorded until then stays recorded.
    pub fn run(
        &mut self,
        to: SocketAddrV4,
        script: &[Segment],
        connections: u32,
        into: &mut Costs,
    ) -> Result<Tally, ProbeError> {
        let mut tally = Tally { shares: vec![0; self.exits.len()], ..Tally::default() };
        self.drain()?;
        for _ in 0..connections {
            tally.begun += 1;
            match self.connect(to, script)? {
                Ok(connection) => {
                    into.connection
                        .record(self.client_times.iter().sum::<u64>() + connection.spent_on_server);
                    if let Some((first, later)) = self.client_times.split_first() {
                        into.first.record(*first);
                        later.iter().for_each(|time| into.later.record(*time));
                    }
                    tally.sound += 1;
                    let passes = |s: &&Segment| s.side == Side::Client || self.treatment.both_ways();
                    tally.packets += script.iter().filter(passes).count() as u64;
                    tally.bytes += script.iter().filter(passes).map(|s| build::size(s) as u64).sum::<u64>();
                    if let Some(share) = connection.exit.and_then(|exit| tally.shares.get_mut(exit)) {
                        *share += 1;
                    }
                }
                Err(fault) => {
                    tally.first_fault.get_or_insert(fault);
                    self.drain()?;
                }
            }
        }
        Ok(tally)
    }

    fn connect(
        &mut self,
        to: SocketAddrV4,
        script: &[Segment],
    ) -> Result<Result<Progress, ConnectionFault>, ProbeError> {
        let flows = self.sources.flows();
        let client = self.sources.next().ok_or(ProbeError::SourcesUsedUp { flows })?;
        let turn = self.count as usize % self.exits.len().max(1);
        self.count = self.count.wrapping_add(1);
        let routed = (self.treatment == Treatment::Routed).then_some(turn);
        let to = routed.and_then(|turn| self.exits.get(turn)).map_or(to, |(_, server)| *server);
        // Far apart, as they are on real machines.
        let first = self.count.wrapping_mul(64_000);
        let numbers = Numbers { client: first, server: first ^ 0x8000_0000 };
        let mut connection = Progress { client, to, exit: routed, numbers, spent_on_server: 0 };
        self.client_times.clear();
        for (number, segment) in script.iter().enumerate() {
            if segment.side == Side::Server && !self.treatment.both_ways() {
                connection.numbers.server = connection.numbers.server.wrapping_add(build::length(segment));
                continue;
            }
            let fault = |what| ConnectionFault { packet: number, side: segment.side, client, to, what };
            match self.carry(&mut connection, segment)? {
                Ok(nanoseconds) => match segment.side {
                    Side::Client => self.client_times.push(nanoseconds),
                    Side::Server => connection.spent_on_server += nanoseconds,
                },
                Err(what) => return Ok(Err(fault(what))),
            }
        }
        Ok(Ok(connection))
    }

    /// Writes one packet where it comes from, and reads it where it must come out; what the write took.
    fn carry(
        &mut self,
        connection: &mut Progress,
        segment: &Segment,
    ) -> Result<Result<u64, Mishap>, ProbeError> {
        let Progress { client, to, numbers, .. } = *connection;
        let server = |exit: Option<usize>| exit.and_then(|exit| self.exits.get(exit));
        let known = server(connection.exit).map(|(_, server)| *server);
        let (ends, sequences) = match segment.side {
            Side::Client => ((client, to), (numbers.client, numbers.server)),
            // A server that rewriting hides sends from its own address.
            Side::Server => ((known.unwrap_or(to), client), (numbers.server, numbers.client)),
        };
        let identification = numbers.client.wrapping_add(numbers.server) as u16;
        build::build(&mut self.packet, segment, ends, sequences, identification);
        let entry = match segment.side {
            Side::Client => &self.ingress,
            Side::Server => server(connection.exit).map_or(&self.ingress, |(device, _)| device),
        };
        let began = Instant::now();
        let written = write(&entry.fd, &self.packet);
        let ended = Instant::now();
        written.map_err(|why| entry.error("write into", why))?;
        let spent = nanoseconds(ended - began);
        match segment.side {
            Side::Client => connection.numbers.client = numbers.client.wrapping_add(build::length(segment)),
            Side::Server => connection.numbers.server = numbers.server.wrapping_add(build::length(segment)),
        }

        let outcome = self.collect(connection, segment.side, ended)?;
        Ok(outcome.map(|()| spent))
    }

    /// Waits for the packet that was just written, and looks at it.
    fn collect(
        &mut self,
        connection: &mut Progress,
        side: Side,
        written: Instant,
    ) -> Result<Result<(), Mishap>, ProbeError> {
        loop {
            let mut nothing = true;
            let exits = match side {
                Side::Client => self.exits.len(),
                Side::Server => 1,
            };
            for exit in 0..exits {
                let device = match side {
                    Side::Client => &self.exits[exit].0,
                    Side::Server => &self.ingress,
                };
                let length = match read(&device.fd, &mut self.buffer) {
                    Ok(0) => return Err(device.error("read", GONE).into()),
                    Ok(length) => length,
                    Err(Errno::EAGAIN | Errno::EINTR) => continue,
                    Err(why) => return Err(device.error("read", why).into()),
                };
                nothing = false;
                let got = &self.buffer[..length];
                if is_foreign(got, self.treatment) {
                    continue;
                }
                let exit = if side == Side::Client { exit } else { connection.exit.unwrap_or(0) };
                let server = self.exits[exit].1;
                if *connection.exit.get_or_insert(exit) != exit {
                    return Ok(Err(Mishap::Strayed { server }));
                }
                let Progress { client, to, .. } = *connection;
                let expected =
                    Expected { sent: &self.packet, side, treatment: self.treatment, client, to, server };
                return Ok(expected.judge(got).map_err(Mishap::Flawed));
            }
            if nothing {
                let left = self.timeout.saturating_sub(written.elapsed());
                if left.is_zero() {
                    return Ok(Err(Mishap::Lost { waited: self.timeout }));
                }
                // What comes late comes soon or never; several devices are not worth a poll.
                std::thread::sleep(left.min(Duration::from_micros(100)));
            }
        }
    }

    /// Empties all devices.
    fn drain(&mut self) -> Result<(), ProbeError> {
        for device in self.exits.iter().map(|(device, _)| device).chain([&self.ingress]) {
            loop {
                match read(&device.fd, &mut self.buffer) {
                    Ok(0) => return Err(device.error("read", GONE).into()),
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => break,
                    Err(why) => return Err(device.error("read", why).into()),
                }
            }
        }
        Ok(())
    }
}

/// Whether nothing that a probe sends can turn into this packet.
fn is_foreign(packet: &[u8], treatment: Treatment) -> bool {
    match wire::parse_ipv4(packet) {
        Err(Malformed::Protocol(judge::IP_IN_IP)) => !matches!(treatment, Treatment::Encapsulated { .. }),
        Err(defect) => defect.is_foreign(),
        Ok(_) => false,
    }
}

#[cfg(test)]
mod tests;
