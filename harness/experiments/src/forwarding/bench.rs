//! A director with real servers that answer, and the two ways to look at it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Add;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataplane::Mode;
use ipnet::Ipv4Net;
use lab::connection_tables::Flows;
use lab::cores::Cores;
use netns_setup::director::{Director, Topology};
use netns_setup::ipvs::{Ipvs, IpvsProtocol, Key, RealServer, Request, Scheduler, VirtualServer};
use netns_setup::{Conntrack, Counters, Egress};
use workloads::connection::{ConnectionProbe, Costs, Exchange, Exit};
use workloads::load::{self, Destination, Load, Pace, Served, Server, Stopper, Workload};
use workloads::recorder::Times;
use workloads::sources::Sources;

use super::method::{DIRECTOR, Method};

/// Connections before the first that counts.
pub(super) const WARM_UP: u32 = 20;
/// Connections written between two times that IPVS forgets them: few against the 4,096 buckets of its table.
const BATCH: u32 = 500;
/// Clients of the connection probe.
const PROBES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 16);
/// The client that opens sockets; its network and the servers' are for benchmarks (RFC 2544).
const CLIENTS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 24);
const SERVERS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 19, 0, 0), 24);
const VIRTUAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 80), PORT);
/// Only masquerading could change it.
const PORT: u16 = 80;
/// Real servers behind the director.
pub const REAL_SERVERS: u8 = 3;

pub(super) struct Bench {
    method: Method,
    director: Director,
    /// In ascending order.
    servers: Vec<SocketAddrV4>,
    flows: Flows,
    seed: u64,
}

impl Bench {
    pub(super) fn build(method: Method, seed: u64) -> anyhow::Result<Self> {
        let topology = Topology {
            label: method.mode().to_owned(),
            method: method.wiring(),
            probe_prefix: PROBES,
            client_prefix: CLIENTS,
            server_prefix: SERVERS,
            director: DIRECTOR,
            virtual_address: *VIRTUAL.ip(),
            servers: REAL_SERVERS,
        };
        let director = Director::build(&topology)?;
        let servers: Vec<_> = topology.real_servers().map(|server| SocketAddrV4::new(server, PORT)).collect();
        let balances = method != Method::Direct;
        let mode = if balances { Mode::Ipvs } else { Mode::Direct };
        let flows = director.director.run(|| Flows::open(mode))?;
        let bench = Bench { method, director, servers, flows, seed };
        if balances {
            bench.program()?;
        }
        Ok(bench)
    }

    /// Round robin over all real servers.
    fn program(&self) -> anyhow::Result<()> {
        let node = &self.director.director;
        // So that IPVS can be made to forget.
        node.set_sysctl("net.ipv4.vs.expire_nodest_conn", "1")?;
        let tracked = self.method == Method::Nat;
        node.set_sysctl("net.ipv4.vs.conntrack", if tracked { "1" } else { "0" })?;
        let mut requests = Vec::new();
        let mut balance = |port| {
            let address = SocketAddrV4::new(*VIRTUAL.ip(), port).into();
            let key = Key { address, protocol: IpvsProtocol::Tcp };
            let server = VirtualServer { key, scheduler: Scheduler::Rr, persistence: None, flags: 0 };
            requests.push(Request::NewService(server));
            requests.extend(self.servers.iter().map(|server| {
                let address = SocketAddrV4::new(*server.ip(), port).into();
                let forwarding = self.method.wiring().into();
                Request::NewDest(key, RealServer { address, weight: 1, forwarding })
            }));
        };
        balance(PORT);
        if tracked {
            // Masquerading to the port of FTP makes IPVS turn connection tracking on in the namespace
            // (ip_vs_register_conntrack in __ip_vs_update_dest), as rules of kube-proxy would, without a rule that
            // packets have to pass.
            balance(21);
        }
        node.run(Ipvs::open)?.batch(&requests)?;
        Ok(())
    }

    /// Runs the servers while `use_them` runs a client: what it found, the client's times, and the length of a response.
    pub(super) fn serve<T: Send>(
        &mut self,
        response_bytes: u32,
        cores: &Cores,
        use_them: impl FnOnce(&mut Client) -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<(T, Times, u32)> {
        self.director.steer(Egress::Server)?;
        let mut length = 0;
        let mut running = Vec::new();
        for (namespace, &name) in self.director.servers.iter().zip(&self.servers) {
            let at = if self.method.wiring().spares_the_way_back() { VIRTUAL } else { name };
            let (server, stopper) = namespace.run(|| Server::bind(at.into()))?;
            let server = server.named(name.into()).padded(response_bytes as usize);
            // Names are equally long.
            length = server.response_length(name.into()) as u32;
            let serving = cores.serving;
            let thread = namespace.thread("real-server", move || {
                workloads::clock::pin_to_core(serving)?;
                Ok(server.run()?)
            })?;
            running.push(Running { stopper, thread });
        }
        let targets = self.service_targets();
        let director = &self.director;
        let found = director.client.run(|| {
            let _pinned = cores.pinned()?;
            let load = Load {
                duration: LONGEST,
                // On a core of its own it polls, as in `connect`.
                busy_poll: cores.measuring != cores.serving,
                ..Load::new(Workload::Http, targets)
            };
            let shares = vec![0; self.servers.len()];
            let mut client = Client { director, load, shares, times: Times::new(), begun: 0 };
            let found = use_them(&mut client)?;
            equal_shares(&client.shares)?;
            anyhow::Ok((found, client.times))
        });
        for Running { stopper, thread } in running {
            drop(stopper);
            let served = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            anyhow::ensure!(found.is_err() || served.broken == 0, "{} requests were cut off", served.broken);
        }
        let (found, times) = found?;
        let tracked = director.director.run(Conntrack::count)?;
        anyhow::ensure!(
            (tracked > 0) == (self.method == Method::Nat),
            "{tracked} connections are tracked by the director of {}",
            self.method.mode()
        );
        self.flows.forget(&self.director.director)?;
        Ok((found, times, length))
    }

    /// Where clients connect to, and who may answer.
    fn service_targets(&self) -> Vec<Destination> {
        let servers = || self.servers.iter().map(|&server| server.into());
        match self.method {
            Method::Direct => servers().map(|server| Destination::new(server, [server])).collect(),
            _ => vec![Destination::new(VIRTUAL.into(), servers())],
        }
    }

    /// Length of a request, bytes: one address is as long as another here, or the first stands for all.
    pub(super) fn request_length(&self) -> usize {
        self.service_targets().first().map_or(0, |target| load::http_request_length(target.to()))
    }

    /// Writes connections like `exchange` into the director: what they cost, and the packets and bytes of one.
    pub(super) fn probe(
        &mut self,
        exchange: &Exchange,
        connections: u32,
        cores: &Cores,
    ) -> anyhow::Result<(Costs, u64, u64)> {
        self.director.steer(Egress::Tun)?;
        let exit = |(tun, &server): (&netns_setup::Tun, _)| {
            Ok(Exit { device: tun.as_fd().try_clone_to_owned()?, server })
        };
        let exits =
            self.director.exits().iter().zip(&self.servers).map(exit).collect::<std::io::Result<_>>()?;
        let sources = Sources::new(PROBES.network(), PROBES.prefix_len(), 1024..=65535, self.seed)?;
        let ingress = self.director.ingress().as_fd().try_clone_to_owned()?;
        let mut probe = ConnectionProbe::new(ingress, exits, sources, self.method.treatment())?;
        let script = exchange.script();
        let mut costs = Costs::default();
        let (mut packets, mut bytes) = (0, 0);
        let _pinned = cores.pinned()?;
        probe.run(VIRTUAL, &script, WARM_UP, &mut Costs::default())?.all_sound()?;
        let mut left = connections;
        while left > 0 {
            self.flows.forget(&self.director.director)?;
            let batch = left.min(BATCH);
            let tally = probe.run(VIRTUAL, &script, batch, &mut costs)?;
            tally.all_sound()?;
            equal_shares(&tally.shares)?;
            (packets, bytes) = (tally.packets / tally.sound, tally.bytes / tally.sound);
            left -= batch;
        }
        self.flows.forget(&self.director.director)?;
        Ok((costs, packets, bytes))
    }
}

struct Running {
    stopper: Stopper,
    thread: JoinHandle<Result<Served, anyhow::Error>>,
}

/// A client that connects again and again, from the thread that it was made on.
pub(super) struct Client<'a> {
    director: &'a Director,
    /// What connections are like.
    load: Load,
    /// Connections of each real server.
    shares: Vec<u64>,
    times: Times,
    begun: u32,
}

/// The longest that connections go on: they end with their number.
const LONGEST: Duration = Duration::from_secs(3_600);
/// How long counters must have stood still to stand still.
const QUIET: Duration = Duration::from_millis(1);
/// How long they may go on.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that may lose a packet before counting is given up.
const MOST_TORN: u32 = 3;

impl Client<'_> {
    /// One connection after another.
    pub(super) fn run(&mut self, connections: u32) -> anyhow::Result<()> {
        let targets = self.load.destinations.len() as u32;
        let picks: Arc<[u32]> =
            (self.begun..self.begun + connections).map(|number| number % targets).collect();
        self.begun += connections;
        let pace = Pace::Closed { requests: Some(connections.into()) };
        let load = Load { picks, pace, ..self.load.clone() };
        let outcome = load::run(&load, 0, Instant::now(), &AtomicBool::new(false))?;
        outcome.all_answered()?;
        let answers = (0..load.destinations.len()).flat_map(|target| outcome.seen.of(target));
        self.shares.iter_mut().zip(answers).for_each(|(share, answers)| *share += answers.count);
        self.times.merge(&outcome.times.response);
        Ok(())
    }

    /// One connection after another, and what passed the director's links for each.
    pub(super) fn count(&mut self, connections: u32) -> anyhow::Result<Vec<Counters>> {
        let mut before = self.quiet()?;
        let mut counted = Vec::new();
        let mut torn = 0;
        while (counted.len() as u32) < connections {
            self.run(1)?;
            let after = self.quiet()?;
            let passed = after - before;
            let [received, sent] = [passed.received, passed.sent].map(|volume| volume.packets);
            if received != sent {
                // A packet that was lost on a busy machine and sent again is no part of what a connection costs.
                torn += 1;
                anyhow::ensure!(
                    torn <= MOST_TORN,
                    "the director received {received} packets for a connection and sent {sent}, and the like {torn} times: somebody \
                     else's among them?"
                );
                before = after;
                continue;
            }
            counted.push(passed);
            before = after;
        }
        Ok(counted)
    }

    /// The director's counters when the last packets of a connection have passed: the client is done before them, and on
    /// a busy machine they take their time.
    fn quiet(&self) -> anyhow::Result<Counters> {
        let passed = || -> anyhow::Result<Counters> {
            let links = self.director.counters()?;
            Ok(links.into_iter().fold(Counters::default(), Counters::add))
        };
        let begun = Instant::now();
        let mut before = passed()?;
        loop {
            std::thread::sleep(QUIET);
            let now = passed()?;
            if now == before && self.all_closed()? {
                return Ok(now);
            }
            anyhow::ensure!(begun.elapsed() < TIMEOUT, "packets still pass the director after {TIMEOUT:?}");
            before = now;
        }
    }

    /// Whether client and servers have seen the end of every connection.
    fn all_closed(&self) -> anyhow::Result<bool> {
        for namespace in self.director.servers.iter().chain([&self.director.client]) {
            if !namespace.run(no_tcp_connection)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn forget_times(&mut self) {
        self.times.clear();
    }
}

/// Whether this thread's namespace has no TCP socket but those that listen or only wait for stray packets.
fn no_tcp_connection() -> std::io::Result<bool> {
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp")?;
    Ok(none_open(&table))
}

/// The same of the kernel's table: the fourth column is the state (`include/net/tcp_states.h`).
fn none_open(table: &str) -> bool {
    const TIME_WAIT: &str = "06";
    const LISTEN: &str = "0A";
    let mut states = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(3));
    states.all(|state| [TIME_WAIT, LISTEN].contains(&state))
}

fn equal_shares(shares: &[u64]) -> anyhow::Result<()> {
    let (least, most) = (shares.iter().min().copied(), shares.iter().max().copied());
    anyhow::ensure!(
        least.zip(most).is_some_and(|(least, most)| most - least <= 1),
        "real servers in turn should have equal shares, but have {shares:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_open_until_both_ends_saw_it_end() {
        let table = |states: &[&str]| {
            let line =
                |state| format!("   0: 0101A8C0:0050 0201A8C0:C350 {state} 00000000:00000000 00:00000000\n");
            let lines: String = states.iter().map(line).collect();
            format!("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n{lines}")
        };
        assert!(none_open(&table(&[])));
        assert!(none_open(&table(&["0A", "06"])));
        assert!(!none_open(&table(&["0A", "09", "06"])), "LAST_ACK");
        assert!(!none_open(&table(&["01"])));
    }
}
