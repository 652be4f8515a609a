//! Load through a lab: clients in the client's namespace, servers that answer for all endpoints in the server's.

mod figures;
mod rotation;

pub use self::figures::{json, times_json};
pub use self::rotation::{Rotation, churned};

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use netns_setup::{Egress, SetupError};
use nix::errno::Errno;
use workloads::clock::pin_to_core;
use workloads::load::{
    self, Choice, Destination, Load, LoadError, Outcome, Pace, Rhythm, Served, Server, Stall, Stopper,
    Workload,
};

use crate::cells::Offered;
use crate::cores::Cores;
use crate::cost::{Cost, Meter, Tables};
use crate::service::Protocol;
use crate::stop::Stop;
use crate::sweep::LoadCells;
use crate::synthetic::{TCP_PORTS, UDP_PORTS, addresses};
use crate::world::World;

/// Client addresses, used in turn: each has all ports, so that neither ports nor TIME_WAIT limit.
const CLIENTS: u32 = 4_000;
/// Flows that may be busy at once in an open loop, unless told otherwise.
pub const OPEN_FLOWS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// Indices drawn for a choice; after that they come again.
const PICKS: usize = 1 << 16;
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

/// What is asked of a load; where it goes is another matter.
#[derive(Debug, Clone)]
pub struct Order {
    /// What a request is.
    pub workload: Workload,
    /// Which Service each flow goes to.
    pub choice: Choice,
    /// When requests begin.
    pub pace: Pace,
    /// Flows of all threads; `None`: one for each thread in a closed loop, [`OPEN_FLOWS`] in an open one.
    pub flows: Option<NonZeroUsize>,
    /// Threads of the client, and of the server.
    pub threads: NonZeroU32,
    /// See [`Load::requests_per_flow`]; `None`: as the workload has it.
    pub requests_per_flow: Option<NonZeroU32>,
    /// See [`Load::request_bytes`].
    pub request_bytes: Option<u32>,
    /// See [`Load::response_bytes`].
    pub response_bytes: Option<u32>,
    /// See [`Load::duration`].
    pub duration: Duration,
    /// See [`Load::timeout`].
    pub timeout: Duration,
    /// See [`Load::interval`].
    pub interval: Duration,
    /// See [`Load::busy_poll`].
    pub busy_poll: bool,
    /// Decides which Services are chosen.
    pub seed: u64,
    /// Instead of a choice: indices of targets.
    pub picks: Option<Vec<u32>>,
    /// See [`Load::trace`].
    pub trace: usize,
}

impl Order {
    /// A closed loop of one flow over all Services for ten seconds.
    pub fn new(workload: Workload) -> Order {
        Order {
            workload,
            choice: Choice::Uniform,
            pace: Pace::Closed { requests: None },
            flows: None,
            threads: NonZeroU32::MIN,
            requests_per_flow: None,
            request_bytes: None,
            response_bytes: None,
            duration: Duration::from_secs(10),
            timeout: load::TIMEOUT,
            interval: Duration::from_secs(1),
            busy_poll: false,
            seed: 1,
            picks: None,
            trace: 0,
        }
    }

    /// Flows of all threads.
    pub fn flows(&self) -> NonZeroUsize {
        let threads = NonZeroUsize::try_from(self.threads).unwrap_or(NonZeroUsize::MIN);
        self.flows.unwrap_or(match self.pace {
            Pace::Closed { .. } => threads,
            Pace::Open { .. } => OPEN_FLOWS.max(threads),
        })
    }

    /// The load against these targets.
    ///
    /// # Errors
    /// [`LoadError::Nothing`] if there is none.
    pub fn against(&self, aims: Vec<Destination>, sources: Vec<IpAddr>) -> Result<Load, LoadError> {
        let count = NonZeroUsize::new(aims.len()).ok_or(LoadError::Nothing)?;
        let picks = match (&self.picks, self.choice) {
            (Some(picks), _) => picks.clone(),
            (None, Choice::First | Choice::Last) => self.choice.picks(count, 1, self.seed),
            (None, Choice::Uniform | Choice::Zipf { .. }) => self.choice.picks(count, PICKS, self.seed),
        };
        let base = Load::new(self.workload, aims);
        Ok(Load {
            picks: picks.into(),
            sources: sources.into(),
            pace: self.pace,
            flows: self.flows(),
            threads: self.threads,
            requests_per_flow: self.requests_per_flow.or(base.requests_per_flow),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            duration: self.duration,
            timeout: self.timeout,
            interval: self.interval,
            trace: self.trace,
            busy_poll: self.busy_poll,
            ..base
        })
    }

    /// The transport protocol of the Services that it needs.
    pub fn protocol(&self) -> Protocol {
        if self.workload.is_udp() { Protocol::Udp } else { Protocol::Tcp }
    }
}

/// What a sweep's cell asks for.
pub fn of_cell(sweep: &LoadCells, workload: Workload, offered: Offered, seed: u64) -> Order {
    let base = Order { duration: Duration::from_secs_f64(sweep.seconds), seed, ..Order::new(workload) };
    match offered {
        Offered::Saturation => Order { flows: NonZeroUsize::new(sweep.flows as usize), ..base },
        Offered::PerSecond(rate) => {
            let per_second = NonZeroU64::new(rate.into()).unwrap_or(NonZeroU64::MIN);
            Order { pace: Pace::Open { per_second, rhythm: Rhythm::Constant }, ..base }
        }
    }
}

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
        world: &World,
        protocol: Protocol,
        threads: NonZeroU32,
        cores: &Cores,
        stall: Option<Stall>,
    ) -> anyhow::Result<Serving> {
        world.steer(Egress::Server)?;
        for (key, value) in REMEMBERED {
            match world.lab.node.set_sysctl(key, value) {
                // Nothing has loaded connection tracking, so that there is no table.
                Err(error) if is_absent(&error) => {}
                set => set?,
            }
        }
        let port = if protocol == Protocol::Udp { UDP_PORTS.1 } else { TCP_PORTS.1 };
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let count = threads.get() as usize;
        let (servers, stopper) = world.lab.server.run(|| Server::bind_many(any, count))?;
        let mut running = Vec::new();
        for (index, server) in servers.into_iter().enumerate() {
            let server = match stall {
                Some(stall) => server.stalling(stall),
                None => server,
            };
            let core = cores.for_server(index);
            running.push(world.lab.server.thread("endpoints", move || {
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
    threads: Vec<JoinHandle<anyhow::Result<Outcome>>>,
}

impl Running {
    /// Starts it in the client's namespace of a lab, from many addresses. It ends with its duration or with `stop`.
    ///
    /// # Errors
    /// If there is no Service to send to, or the system refuses.
    pub fn in_lab(world: &World, order: &Order, cores: &Cores, stop: &Stop) -> anyhow::Result<Running> {
        let aims = world.aims_of(order.protocol())?;
        Self::at(world, order, aims, cores, stop)
    }

    /// The same with targets of one's own.
    ///
    /// # Errors
    /// As [`Running::in_lab`].
    pub fn at(
        world: &World,
        order: &Order,
        aims: Vec<Destination>,
        cores: &Cores,
        stop: &Stop,
    ) -> anyhow::Result<Running> {
        let first = u32::from(addresses::CLIENTS.network()) + 16;
        let sources = (0..CLIENTS).map(|index| Ipv4Addr::from(first + index).into()).collect();
        let load = Arc::new(order.against(aims, sources)?);
        Self::start(load, cores, stop, |name, work| world.lab.client.thread(name, work))
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
        spawn: impl Fn(&str, Work) -> std::io::Result<JoinHandle<anyhow::Result<Outcome>>>,
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
    pub fn finish(self) -> anyhow::Result<Outcome> {
        let mut all: Option<Outcome> = None;
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

type Work = Box<dyn FnOnce() -> anyhow::Result<Outcome> + Send>;

fn joined<T>(thread: JoinHandle<anyhow::Result<T>>) -> anyhow::Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A load, and what it took.
pub struct Through {
    /// What became of it.
    pub outcome: Outcome,
    /// Processor time and context switches of the machine meanwhile, client and server included.
    pub cost: Option<Cost>,
    /// By how much the node's connection tables had grown at its end.
    pub tables: Tables,
}

/// One load through a lab whose Services are installed, with servers of its own.
///
/// # Errors
/// As [`Running::in_lab`] and [`Running::finish`].
pub fn through(world: &mut World, order: &Order, cores: &Cores, stop: &Stop) -> anyhow::Result<Through> {
    let serving = Serving::start(world, order.protocol(), order.threads, cores, None)?;
    let (before, meter) = (Tables::of(&world.lab.node), Meter::start());
    let found = Running::in_lab(world, order, cores, stop).and_then(Running::finish);
    let cost = meter.stop();
    let tables = Tables::of(&world.lab.node).growth(&before);
    serving.stop()?;
    world.forget_flows()?;
    Ok(Through { outcome: found?, cost, tables })
}
