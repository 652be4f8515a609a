//! Load through a lab: clients in the client's namespace, servers that answer for all endpoints in the server's.

mod figures;
pub mod rotation;
mod rows;
mod section;
mod spec;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lab::cores::Cores;
use lab::stop::Stop;
use lab::testbed::Testbed;
use lab::usage::{Cost, Meter, Tables};
use netns_setup::{Egress, SetupError};
use nix::errno::Errno;
use services::addresses::{self, TCP_PORTS, UDP_PORTS};
use services::service::Protocol;
use workloads::clock::pin_to_core;
use workloads::load::{self, Destination, Load, LoadOutcome, Served, Server, Stall, Stopper};

pub use self::figures::{json, times_json};
pub use self::section::{Offered, Section};
pub use self::spec::{LoadSpec, OPEN_FLOWS};

/// Client addresses, used in turn: each has all ports, so that neither ports nor TIME_WAIT limit.
const CLIENTS: u32 = 4_000;
/// From the start of the first thread to the first request.
const LEAD: Duration = Duration::from_millis(20);
/// How long the node's connection tables remember what has ended: else the table of a load that lasts, and not the load,
/// is what is measured. 120 s and 30 s by default (nf_conntrack_proto_tcp.c, nf_conntrack_proto_udp.c).
const REMEMBERED: [(&str, &str); 4] = [
    ("net.netfilter.nf_conntrack_tcp_timeout_time_wait", "1"),
    ("net.netfilter.nf_conntrack_tcp_timeout_close", "1"),
    ("net.netfilter.nf_conntrack_udp_timeout", "1"),
    ("net.netfilter.nf_conntrack_udp_timeout_stream", "5"),
];

/// Servers for all endpoints of a lab, on threads of their own.
pub struct Serving {
    stopper: Stopper,
    threads: Vec<JoinHandle<anyhow::Result<Served>>>,
}

impl Serving {
    /// Starts them, and makes the node ready for traffic to them.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn start(
        testbed: &Testbed,
        protocol: Protocol,
        threads: NonZeroU32,
        cores: &Cores,
        stall: Option<Stall>,
    ) -> anyhow::Result<Serving> {
        testbed.steer(Egress::Server)?;
        for (key, value) in REMEMBERED {
            match testbed.lab.node.set_sysctl(key, value) {
                // Nothing has loaded connection tracking, so that there is no table.
                Err(error) if is_absent(&error) => {}
                set => set?,
            }
        }
        let port = if protocol == Protocol::Udp { UDP_PORTS.1 } else { TCP_PORTS.1 };
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let count = threads.get() as usize;
        let (servers, stopper) = testbed.lab.server.run(|| Server::bind_many(any, count))?;
        let mut running = Vec::new();
        for (index, server) in servers.into_iter().enumerate() {
            let server = match stall {
                Some(stall) => server.stalling(stall),
                None => server,
            };
            let core = cores.for_server(index);
            running.push(testbed.lab.server.thread("endpoints", move || {
                pin_to_core(core)?;
                Ok(server.run()?)
            })?);
        }
        Ok(Serving { stopper, threads: running })
    }

    /// Stops them: what they have done.
    ///
    /// # Errors
    /// The first that failed.
    pub fn stop(self) -> anyhow::Result<Served> {
        drop(self.stopper);
        let mut served = Served::default();
        for thread in self.threads {
            served.add(joined(thread)?);
        }
        Ok(served)
    }
}

fn is_absent(error: &SetupError) -> bool {
    error.raw_os_error() == Some(Errno::ENOENT as i32)
}

/// A load that runs.
pub struct Running {
    /// When its first request is due.
    pub began: Instant,
    /// What it is.
    pub load: Arc<Load>,
    stop: Stop,
    threads: Vec<JoinHandle<anyhow::Result<LoadOutcome>>>,
}

impl Running {
    /// Starts it in the client's namespace of a lab, from many addresses. It ends with its duration or with `stop`.
    ///
    /// # Errors
    /// If there is no Service to send to, or the system refuses.
    pub fn in_lab(testbed: &Testbed, spec: &LoadSpec, cores: &Cores, stop: &Stop) -> anyhow::Result<Running> {
        let targets = testbed.destinations_of(spec.protocol())?;
        Self::at(testbed, spec, targets, cores, stop)
    }

    /// The same with targets of one's own.
    ///
    /// # Errors
    /// As [`Running::in_lab`].
    pub fn at(
        testbed: &Testbed,
        spec: &LoadSpec,
        targets: Vec<Destination>,
        cores: &Cores,
        stop: &Stop,
    ) -> anyhow::Result<Running> {
        let first = u32::from(addresses::CLIENTS.network()) + 16;
        let sources = (0..CLIENTS).map(|index| Ipv4Addr::from(first + index).into()).collect();
        let load = Arc::new(spec.against(targets, sources)?);
        Self::start(load, cores, stop, |name, work| testbed.lab.client.thread(name, work))
    }

    /// Starts it from wherever this process is.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn here(load: Load, cores: &Cores, stop: &Stop) -> anyhow::Result<Running> {
        Self::start(Arc::new(load), cores, stop, |name, work| {
            std::thread::Builder::new().name(name.to_owned()).spawn(work)
        })
    }

    fn start(
        load: Arc<Load>,
        cores: &Cores,
        stop: &Stop,
        spawn: impl Fn(&str, Work) -> std::io::Result<JoinHandle<anyhow::Result<LoadOutcome>>>,
    ) -> anyhow::Result<Running> {
        let began = Instant::now() + LEAD;
        let mut threads = Vec::new();
        for thread in 0..load.threads.get() {
            let (load, stop, core) = (Arc::clone(&load), stop.clone(), cores.for_client(thread as usize));
            let work = move || {
                pin_to_core(core)?;
                Ok(load::run(&load, thread, began, stop.flag())?)
            };
            threads.push(spawn(&format!("load-{thread}"), Box::new(work))?);
        }
        Ok(Running { began, load, stop: stop.clone(), threads })
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// No more requests begin.
    pub fn halt(&self) {
        self.stop.request();
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The first thread that could not go on.
    pub fn finish(self) -> anyhow::Result<LoadOutcome> {
        let mut all: Option<LoadOutcome> = None;
        for thread in self.threads {
            let outcome = joined(thread)?;
            match &mut all {
                Some(all) => all.merge(&outcome),
                None => all = Some(outcome),
            }
        }
        all.ok_or_else(|| anyhow::anyhow!("a load without threads has done nothing"))
    }
}

type Work = Box<dyn FnOnce() -> anyhow::Result<LoadOutcome> + Send>;

fn joined<T>(thread: JoinHandle<anyhow::Result<T>>) -> anyhow::Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A load, and what it took.
pub struct LoadResult {
    /// What became of it.
    pub outcome: LoadOutcome,
    /// Processor time and context switches of the machine meanwhile, client and server included.
    pub cost: Option<Cost>,
    /// By how much the node's connection tables had grown at its end.
    pub tables: Tables,
}

/// One load through a lab whose Services are installed, with servers of its own.
///
/// # Errors
/// As [`Running::in_lab`] and [`Running::finish`].
pub fn through(
    testbed: &mut Testbed,
    spec: &LoadSpec,
    cores: &Cores,
    stop: &Stop,
) -> anyhow::Result<LoadResult> {
    let serving = Serving::start(testbed, spec.protocol(), spec.template.threads, cores, None)?;
    let (before, meter) = (Tables::of(&testbed.lab.node), Meter::start());
    let found = Running::in_lab(testbed, spec, cores, stop).and_then(Running::finish);
    let cost = meter.stop();
    let tables = Tables::of(&testbed.lab.node).growth(&before);
    serving.stop()?;
    testbed.forget_flows()?;
    Ok(LoadResult { outcome: found?, cost, tables })
}
