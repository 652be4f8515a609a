//! A node in a lab whose rules a real kube-proxy writes: an API server inside the node's namespace, the process that lists and
//! watches it, and the lab's packet probe, which sees what became of it.
//!
//! Everything is in this process, in namespaces that only it holds, or in a room that ends with it: `kill -9` leaves nothing.

use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use apiserver::objects::{NodeSpec, Published, node, service_cidr};
use apiserver::{Applied, Change, Listed, Options, Resource, Server, Stats};
use dataplane::{Mode, Node};
use lab::stop::Stop;
use lab::testbed::Testbed;
use lab::tools::Tools;
use lab::xtables_lock;
use services::addresses;
use services::service_set::{Scale, ServiceSet};

use crate::config::{Config, ContentType, ProxyMode};
use crate::error::ProcessError;
use crate::log::Entry;
use crate::metrics::names;
use crate::process::{Ended, Process};
use crate::programs::{ProgramRun, Seen, Watch};
use crate::subject::Subject;

/// Where the API server listens, inside.
const API_SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);
/// The Node that kube-proxy runs on.
const NODE: &str = "svcbench";
/// How its `User-Agent` begins.
const USER_AGENT: &str = "kube-proxy/";
/// Between two looks at a kube-proxy that comes to rest: longer than it waits between two syncs.
const SETTLED: Duration = Duration::from_millis(1_100);
/// Verbosity of the log at which IPVS mode says when a sync has ended; the other modes do so at their default, 2.
const IPVS_VERBOSITY: u8 = 4;
/// Exit code of the iptables programs that gave up waiting for the xtables lock (RESOURCE_PROBLEM in include/xtables.h).
const NO_LOCK: u32 = 4;
/// For SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// The mode of a real kube-proxy whose rules a mode of ours plans; `None` of controls and of what kube-proxy does not do.
pub const fn proxy_mode(mode: Mode) -> Option<ProxyMode> {
    match mode {
        Mode::IptablesLegacy | Mode::IptablesNft => Some(ProxyMode::Iptables),
        Mode::Nftables => Some(ProxyMode::Nftables),
        Mode::Ipvs => Some(ProxyMode::Ipvs),
        _ => None,
    }
}

/// A lab whose node has an API server, and a kube-proxy when it is started.
pub struct System {
    process: Option<Process>,
    watch: Option<Watch>,
    lock: Option<xtables_lock::Watch>,
    server: Server,
    published: Published,
    subject: Arc<Subject>,
    config: Config,
    tools: Tools,
    stop: Stop,
    /// The lab and its probe. Its set is what the API server serves; its planner only says who answers for a Service. Last,
    /// so that its namespaces go after all that runs in them.
    pub testbed: Testbed,
}

/// A change that the API server has.
#[derive(Debug, Clone, Copy)]
pub struct Changed {
    /// As the API server has it.
    pub applied: Applied,
    /// When the change was wanted, as the annotation of the EndpointSlices says it, from which kube-proxy counts.
    pub wanted: SystemTime,
}

impl System {
    /// An empty lab whose API server serves `set`. No kube-proxy runs yet.
    ///
    /// # Errors
    /// If the kernel refuses, an API server could not hold these Services, or this is no mode of kube-proxy.
    pub fn prepare(
        subject: &Arc<Subject>,
        mode: Mode,
        node: Node,
        set: &ServiceSet,
        seed: u64,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let Some(proxy_mode) = proxy_mode(mode) else {
            anyhow::bail!("{mode} is no mode of kube-proxy");
        };
        let scale = Scale { services: u32::try_from(set.len()).unwrap_or(u32::MAX), endpoints: 0 };
        let mut testbed = Testbed::build(mode, scale, node, seed, stop)?;
        let listener = testbed.lab.node.run(|| TcpListener::bind(API_SERVER));
        let listener = listener.with_context(|| format!("the API server cannot listen at {API_SERVER}"))?;
        let (major, minor) = subject.version.minor();
        let kubernetes = if major == 0 { Options::default().kubernetes } else { (major, minor) };
        let server = Server::start(listener, Options { kubernetes, ..Options::default() })?;
        let own = NodeSpec {
            name: NODE.into(),
            addresses: vec![node.address],
            pod_cidrs: node.cluster_cidr.into_iter().collect(),
            has_zone: true,
            version: subject.version.to_string(),
        };
        let range = [addresses::SERVICES.into()];
        let before = [Change::Put(self::node(&own).into()), Change::Put(service_cidr(&range).into())];
        server.apply(before)?;
        let mut published = Published::new(NODE);
        // Without a moment of change: these are from before kube-proxy's start.
        server.apply(published.change_to(&[set], None)?)?;
        testbed.set = set.clone();
        let mut config = Config::new(proxy_mode, format!("http://{API_SERVER}"), NODE);
        config.cluster_cidrs = node.cluster_cidr.into_iter().collect();
        // Its own choice.
        config.content_type = ContentType::Protobuf;
        config.localhost_node_ports = node.localhost_node_ports;
        if proxy_mode == ProxyMode::Ipvs {
            // It says there when a sync has ended.
            config.verbosity = IPVS_VERBOSITY;
            config.scheduler = Some(node.scheduler.name().to_owned());
        }
        Ok(Self {
            process: None,
            watch: None,
            lock: None,
            server,
            published,
            subject: Arc::clone(subject),
            config,
            tools: Tools::of(mode),
            stop: stop.clone(),
            testbed,
        })
    }

    /// What it is started with from now on.
    pub const fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// Starts a kube-proxy, over whatever rules are there, and does not wait for anything. Says when.
    ///
    /// # Errors
    /// As [`Process::start`]; or if one runs already.
    pub fn start(&mut self) -> anyhow::Result<Instant> {
        anyhow::ensure!(self.process.is_none(), "a kube-proxy runs already");
        // In a container there is none, and what would be made of it is absent.
        self.watch = Watch::open().ok();
        self.watch_lock();
        let Subject { binary, version } = &*self.subject;
        let process = Process::start(&self.testbed.lab.node, binary, version, &self.config, self.tools)?;
        if let Some(watch) = &self.watch {
            watch.follow(process.pid());
        }
        let started = process.started();
        self.process = Some(process);
        Ok(started)
    }

    /// The process.
    ///
    /// # Errors
    /// If none runs.
    pub fn process(&mut self) -> anyhow::Result<&mut Process> {
        self.process.as_mut().context("no kube-proxy runs")
    }

    /// Fails if it has ended, with its last lines.
    ///
    /// # Errors
    /// [`ProcessError::Ended`].
    pub fn check(&mut self) -> anyhow::Result<()> {
        if self.stop.is_requested() {
            return Err(ProcessError::Interrupted.into());
        }
        Ok(self.process()?.check()?)
    }

    /// Waits until a sync has succeeded in every family.
    ///
    /// # Errors
    /// As [`Process::wait_until_synced`].
    pub fn wait_until_synced(&mut self, limit: Duration) -> anyhow::Result<Instant> {
        let stop = self.stop.clone();
        Ok(self.process()?.wait_until_synced(&stop, limit)?)
    }

    /// Waits until nothing waits for a sync and none is under way: its counts stay the same from one look to the next.
    ///
    /// # Errors
    /// If it ends, or is not at rest in time.
    pub fn wait_until_settled(&mut self, limit: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut before = None;
        loop {
            self.check()?;
            let metrics = self.process()?.metrics()?;
            let pending = [names::ENDPOINT_CHANGES_PENDING, names::SERVICE_CHANGES_PENDING];
            let pending: f64 = pending.iter().filter_map(|name| metrics.value(name, &[])).sum();
            let syncs = metrics.histogram(names::SYNC_DURATION, &[]).map_or(0, |syncs| syncs.count());
            if pending == 0.0 && before == Some(syncs) {
                return Ok(());
            }
            anyhow::ensure!(begun.elapsed() < limit, "kube-proxy was not at rest within {limit:?}");
            before = Some(syncs);
            std::thread::sleep(SETTLED);
        }
    }

    /// When the first sync of IPv4 ended by its log, and how long kube-proxy says that it took; `None` until then, or without
    /// such a line.
    pub fn first_sync(&self) -> Option<(Instant, Duration)> {
        let lines = self.process.as_ref()?.log().since(0);
        lines.iter().find_map(|line| {
            let entry = Entry::parse(&line.text)?;
            // Proxiers of one family do not always name it.
            let other = entry.field("ipFamily").is_some_and(|family| family != "IPv4");
            Some((line.at, entry.sync()?)).filter(|_| !other)
        })
    }

    /// When the last byte of all Services and EndpointSlices that were there at its start was in the socket, by a watch that
    /// begins with them (from 1.35 on, as client-go has it) or by a list; `None` until then.
    pub fn listed(&self) -> Option<Instant> {
        let started = self.process.as_ref()?.started();
        let (watchers, lists) = (self.server.watchers(), self.server.lists());
        let of = |resource| {
            let mut watchers = watchers.iter().filter(|watcher| watcher.resource == resource && watcher.open);
            let by_watch = watchers
                .find_map(|watcher| watcher.initial.filter(|_| watcher.user_agent.starts_with(USER_AGENT)));
            let is_own = |list: &&Listed| {
                list.resource == resource && list.at >= started && list.user_agent.starts_with(USER_AGENT)
            };
            by_watch.or_else(|| lists.iter().find(is_own).map(|list| list.at))
        };
        Some(of(Resource::Services)?.max(of(Resource::EndpointSlices)?))
    }

    /// Has the API server serve other Services, by the fewest changes. It returns when watchers can see them.
    ///
    /// # Errors
    /// If no API server could hold them.
    pub fn change(&mut self, to: &ServiceSet) -> anyhow::Result<Changed> {
        let wanted = SystemTime::now();
        let applied = self.server.apply(self.published.change_to(&[to], Some(wanted))?)?;
        self.testbed.set = to.clone();
        Ok(Changed { applied, wanted })
    }

    /// When the first event of a change was in the socket of kube-proxy; `None` until then. It can know of the change since
    /// then, and not before.
    pub fn told(&self, changed: &Changed) -> Option<Instant> {
        let Applied { rv, changes, .. } = changed.applied;
        let all = (rv.saturating_sub(changes) + 1..=rv).flat_map(|rv| self.server.delivered(rv));
        let own = all.filter(|delivered| delivered.watcher.user_agent.starts_with(USER_AGENT));
        own.map(|delivered| delivered.at).min()
    }

    /// Packets to sampled Services: each must arrive at one of the endpoints that kube-proxy promises.
    ///
    /// # Errors
    /// The first packet that went wrong.
    pub fn verify(&mut self) -> anyhow::Result<()> {
        self.testbed.verify_traffic()
    }

    /// What its programs did since the last time that this was asked; `None` where they are not seen.
    pub fn programs(&self) -> Option<Seen> {
        Some(self.watch.as_ref()?.take())
    }

    /// How long each process waited for the xtables lock, in vain or not, since the start or since this was asked last; by
    /// their numbers. `programs`: those that ran meanwhile, which say who waited in vain. `None` in modes that have no such
    /// lock, and where the kernel does not tell.
    pub fn lock_waits(&mut self, programs: &[ProgramRun]) -> Option<BTreeMap<u32, Duration>> {
        let events = self.lock.take()?.stop().ok();
        self.watch_lock();
        let gave_up: HashSet<u32> =
            programs.iter().filter(|run| run.code() == Some(NO_LOCK)).map(|run| run.pid).collect();
        let mut waits: BTreeMap<u32, Duration> = BTreeMap::new();
        for one in xtables_lock::acquisitions(&events?, &gave_up) {
            *waits.entry(one.pid).or_default() += Duration::from_nanos(one.wait);
        }
        Some(waits)
    }

    fn watch_lock(&mut self) {
        let has_lock = self.testbed.mode() == Mode::IptablesLegacy;
        self.lock = if has_lock { xtables_lock::Watch::start(&self.testbed.lab.node).ok() } else { None };
    }

    /// What the API server has done.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What the API server has done so far.
    pub fn server_stats(&self) -> Stats {
        self.server.stats()
    }

    /// Ends the kube-proxy; its rules stay.
    ///
    /// # Errors
    /// As [`Process::stop`]; or if none runs.
    pub fn stop(&mut self) -> anyhow::Result<Ended> {
        let process = self.process.take().context("no kube-proxy runs")?;
        self.watch = None;
        self.lock = None;
        Ok(process.stop(STOP_LIMIT)?)
    }
}
