//! A lab with one mode's Services in it, and the probe that checks and measures them.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use dataplane::background::Background;
use dataplane::injected::Injected;
use dataplane::{Counts, Dataplane, KubeProxy, Mode, Node, Plan, Way, ipvs, planner};
use netns_setup::{Egress, Lab, Topology};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use services::addresses;
use services::cluster::lab_addresses::LabAddresses;
use services::service::Protocol;
use services::service_set::{Position, Scale, ServiceSet};
use services::unused::Unused;
use workloads::probe::Probe;
use workloads::recorder::Times;
use workloads::sources::Sources;
use workloads::target::{ProbeTarget, Shares};

use crate::apply::{Applied, Runner};
use crate::connection_tables::Flows;
use crate::readback;
use crate::replay::plan::Replayed;
use crate::replay::{self, Replay};
use crate::stop::Stop;
use crate::tools::Tools;

/// Flows between two flushes of the connection-tracking table: few enough that the table stays small
/// against its 65,536 or more buckets.
pub const BATCH: usize = 4_000;
/// Services that are looked at before anything is timed.
const SAMPLE: usize = 16;
/// Below this the shares of the endpoints are not equal. It is small since a run asks some fifty times.
const LEAST_P_VALUE: f64 = 1e-6;
/// Packets for each endpoint of a Service whose shares are compared.
const PACKETS_PER_ENDPOINT: usize = 200;

/// Where a packet is sent, and who may get it.
#[derive(Clone, Debug)]
pub struct ServiceTarget {
    /// Destination.
    pub entry: SocketAddrV4,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Who may receive it, sorted.
    pub answers: Vec<SocketAddrV4>,
    /// Whether it may come from any source: masqueraded or not, by rules that nobody has planned.
    pub any_source: bool,
}

impl ServiceTarget {
    /// For load against real sockets.
    pub fn for_load(&self) -> workloads::load::Destination {
        workloads::load::Destination::new(self.entry.into(), self.answers.iter().map(|&answer| answer.into()))
    }

    /// For the packet probe.
    ///
    /// # Errors
    /// If nobody may answer.
    pub fn for_probe(&self) -> anyhow::Result<ProbeTarget<'_>> {
        let protocol = match self.protocol {
            Protocol::Tcp => workloads::target::ProbeProtocol::Tcp,
            Protocol::Udp => workloads::target::ProbeProtocol::Udp,
            Protocol::Sctp => anyhow::bail!("the packet probe sends no SCTP, which {} asks for", self.entry),
        };
        let target = ProbeTarget::new(self.entry, protocol, &self.answers)?;
        Ok(if self.any_source { target.from_anywhere() } else { target })
    }
}

/// A lab of one mode at one scale.
pub struct Testbed {
    /// What is installed.
    pub set: ServiceSet,
    /// Its planner.
    pub dataplane: Box<dyn Dataplane>,
    /// Its namespaces.
    pub lab: Lab,
    /// Runs programs in the node's namespace.
    pub runner: Runner,
    /// Whether contenders for the lock have left chains of theirs, so that counts are no longer the model's.
    pub disturbed: bool,
    mode: Mode,
    node: Node,
    background: Background,
    injected: Option<Injected>,
    replay: Option<Arc<Replay>>,
    unused: Unused,
    probe: Probe,
    flows: Flows,
    random: ChaCha8Rng,
    shares: Option<Vec<u64>>,
}

impl Testbed {
    /// An empty lab for a mode.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn build(mode: Mode, scale: Scale, node: Node, seed: u64, stop: &Stop) -> anyhow::Result<Self> {
        let IpAddr::V4(node_address) = node.address else {
            anyhow::bail!("the packet probe sends IPv4, but the node's address is {}", node.address);
        };
        let topology = Topology {
            label: format!("{mode}-{}", scale.services),
            probe_prefix: addresses::PROBES,
            client_prefix: addresses::CLIENTS,
            service_prefix: addresses::SERVICES,
            endpoint_prefix: addresses::ENDPOINTS,
            node_address,
        };
        Self::in_lab(&topology, planner(mode, node), Tools::of(mode), mode, node, seed, stop)
    }

    /// An empty lab for the Services of a cluster: at `place`, with routes to its endpoints.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn of_cluster(
        addresses: &LabAddresses,
        mode: Mode,
        scale: Scale,
        node: Node,
        seed: u64,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let topology = crate::cluster::topology(&addresses.blocks, format!("{mode}-{}", scale.services));
        let testbed = Self::in_lab(&topology, planner(mode, node), Tools::of(mode), mode, node, seed, stop)?;
        testbed.lab.read_also(&addresses.endpoints)?;
        Ok(Self { unused: addresses.unused, ..testbed })
    }

    /// An empty lab for a ruleset of a real node, with addresses that suit it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn replaying(replay: &Arc<Replay>, seed: u64, stop: &Stop) -> anyhow::Result<Self> {
        let topology =
            crate::cluster::topology(&replay.addresses.blocks, format!("replay-{}", replay.scale().services));
        let (dataplane, tools) = (Box::new(Replayed(Arc::clone(replay))), Tools::with(replay.variant));
        let node = Node { address: topology.node_address.into(), ..Node::lab(KubeProxy::NEWEST) };
        let mut testbed = Self::in_lab(&topology, dataplane, tools, Mode::Replay, node, seed, stop)?;
        testbed.lab.catch_all()?;
        testbed.replay = Some(Arc::clone(replay));
        Ok(testbed)
    }

    fn in_lab(
        topology: &Topology,
        dataplane: Box<dyn Dataplane>,
        tools: Tools,
        mode: Mode,
        node: Node,
        seed: u64,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let lab = Lab::build(topology)?;
        let probes = topology.probe_prefix;
        let sources = Sources::new(probes.network(), probes.prefix_len(), 1024..=65535, seed)?;
        let fd = |tun: &netns_setup::Tun| tun.as_fd().try_clone_to_owned();
        let probe = Probe::new(fd(lab.ingress())?, fd(lab.egress())?, sources)?;
        let flows = lab.node.run(|| Flows::open(mode))?;
        let runner = Runner::new(tools, lab.node.process_group(), stop.clone());
        let random = ChaCha8Rng::seed_from_u64(seed);
        let (set, background, replay) = (ServiceSet::default(), Background::default(), None);
        Ok(Self {
            set,
            dataplane,
            lab,
            runner,
            disturbed: false,
            mode,
            node,
            background,
            injected: None,
            replay,
            unused: Unused::Synthetic,
            probe,
            flows,
            random,
            shares: None,
        })
    }

    /// The mode.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// What kube-proxy would know besides Services.
    pub const fn node(&self) -> Node {
        self.node
    }

    /// Addresses that no Service has.
    pub const fn unused(&self) -> Unused {
        self.unused
    }

    /// Installs background rules, before kube-proxy starts; in the labs of some controls none.
    ///
    /// # Errors
    /// As [`Runner::apply`].
    pub fn move_in(&mut self, background: Option<Background>) -> anyhow::Result<()> {
        let Some(background) = background.filter(|_| Background::are_in(self.mode)) else { return Ok(()) };
        let plan = background.install(self.mode);
        self.lab.node.run(|| self.runner.apply(&plan, None)).context("installing background rules")?;
        self.background = background;
        Ok(())
    }

    /// Plants a slow-down, before kube-proxy starts; in labs of other modes none.
    ///
    /// # Errors
    /// As [`Runner::apply`].
    pub fn injected(&mut self, injected: Option<Injected>) -> anyhow::Result<()> {
        let Some(injected) = injected.filter(|injected| injected.mode == self.mode) else { return Ok(()) };
        let plan = injected.install(self.mode);
        self.lab.node.run(|| self.runner.apply(&plan, None)).context("injecting rules")?;
        self.injected = Some(injected);
        Ok(())
    }

    /// Runs a plan in the node and, if it succeeds, what would clean up after it. The cleanup is not timed.
    ///
    /// # Errors
    /// If the mode cannot hold these Services, and as [`Runner::apply`].
    pub fn carry_out(
        &mut self,
        plan: &Plan,
        to: &ServiceSet,
        limit: Option<Duration>,
    ) -> anyhow::Result<Applied> {
        self.dataplane.fits(to)?;
        let runner = self.runner.clone();
        let applied = self.lab.node.run(|| runner.apply(plan, limit))?;
        anyhow::ensure!(
            applied.bytes == plan.bytes(),
            "{} bytes were written, but the plan has {}",
            applied.bytes,
            plan.bytes()
        );
        self.clean_up(plan)?;
        if self.set.is_empty() {
            let plan = self.background.settle(self.mode);
            self.lab
                .node
                .run(|| runner.apply(&plan, None))
                .context("moving the jumps of background rules")?;
            if let Some(injected) = self.injected {
                let plan = injected.settle(self.mode);
                self.lab.node.run(|| runner.apply(&plan, None)).context("moving the injected jump")?;
            }
        }
        self.set = to.clone();
        Ok(applied)
    }

    /// What a later sync would do. Before Linux 6.2 a chain is held for a moment after its last element
    /// has gone, so this is tried for a while.
    fn clean_up(&self, plan: &Plan) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            match self.lab.node.run(|| self.runner.clean_up(plan, None)) {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > Duration::from_secs(3) => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// What kube-proxy does once a minute in IPVS mode: real servers that were kept for their connections go if they have none
    /// any more. Returns how many are left.
    ///
    /// # Errors
    /// As [`Runner::apply`].
    pub fn pass(&mut self) -> anyhow::Result<usize> {
        let way = if self.mode == Mode::IpvsBatched { Way::Batched } else { Way::KubeProxy };
        let plan = ipvs::pass(way, &self.runner.draining().all());
        self.lab.node.run(|| self.runner.apply(&plan, None))?;
        Ok(self.runner.draining().len())
    }

    /// Fills the lab in the quickest way.
    ///
    /// # Errors
    /// As [`Runner::apply`].
    pub fn load(&mut self, to: &ServiceSet, limit: Option<Duration>) -> anyhow::Result<()> {
        let plan = self.dataplane.load(to);
        self.carry_out(&plan, to, limit)?;
        Ok(())
    }

    /// Compares what the kernel holds with the model.
    ///
    /// # Errors
    /// If they differ, with both counts.
    pub fn verify_counts(&self) -> anyhow::Result<Counts> {
        if let Some(replay) = &self.replay {
            return self.lab.node.run(|| replay::lab::held(replay, &self.runner));
        }
        let mut held = self
            .lab
            .node
            .run(|| readback::counts(self.mode, self.node.family(), &self.background, &self.runner))?;
        // Those that wait for the end of their connections are no longer the model's.
        held.real_servers = held.real_servers.saturating_sub(self.runner.draining().len() as u64);
        let injected = self.injected.map(|injected| injected.counts(self.mode)).unwrap_or_default();
        let model = self.dataplane.counts(&self.set) + self.background.counts(self.mode) + injected;
        anyhow::ensure!(
            held == model,
            "the kernel holds {held}, but {} with {} Services should have {model}",
            self.mode,
            self.set.len(),
        );
        Ok(held)
    }

    /// Has the tool of a replayed ruleset check it, without installing a rule. Of other modes there is nothing to check.
    ///
    /// # Errors
    /// What the tool says.
    pub fn check_replayed(&self) -> anyhow::Result<()> {
        match &self.replay {
            Some(replay) => self.lab.node.run(|| replay::lab::check(replay, &self.runner)),
            None => Ok(()),
        }
    }

    /// Sends packets to sampled Services of both protocols: each must arrive at one of its endpoints,
    /// and the endpoints of the middle Service must share them equally, unless the scheduler of IPVS means otherwise.
    ///
    /// # Errors
    /// The first packet that went wrong, or the shares that are not equal.
    pub fn verify_traffic(&mut self) -> anyhow::Result<()> {
        let mut indices: Vec<usize> = Vec::new();
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let ends = [Position::First, Position::Middle, Position::Last];
            indices.extend(ends.iter().filter_map(|&at| self.set.index_at(at, protocol)));
        }
        for _ in indices.len()..SAMPLE.max(indices.len()) {
            let index = self.random.random_range(0..self.set.len().max(1));
            indices.extend(self.set.nearest_answering(index));
        }
        for index in indices {
            self.verify_service(index, 10)?;
        }
        // Whose shares are equal, a ruleset that was not planned does not tell.
        let equal =
            self.mode != Mode::Replay && (!self.mode.is_ipvs() || ipvs::shares_equally(self.node.scheduler));
        if equal
            && let Some(index) = self.set.index_at(Position::Middle, Protocol::Udp)
            // A client that comes again goes where it was.
            && self.set.services()[index].affinity_seconds.is_none()
            && let Some((p_value, shares)) = self.share_test(index)?
        {
            // Chance alone says this once in a million times; twice in a row it does not.
            if p_value < LEAST_P_VALUE
                && let Some((p_value, shares)) = self.share_test(index)?
            {
                anyhow::ensure!(
                    p_value >= LEAST_P_VALUE,
                    "endpoints do not get equal shares: p = {p_value:.1e} for {shares:?}"
                );
            }
            self.shares = Some(shares);
        }
        self.forget_flows()
    }

    /// Sends packets to one Service; each must arrive at one of its endpoints.
    ///
    /// # Errors
    /// The first that did not.
    pub fn verify_service(&mut self, index: usize, packets: usize) -> anyhow::Result<()> {
        let target = self.service_target(index)?;
        self.send(&target, packets, None)?;
        Ok(())
    }

    /// Checks that an address is no Service any more: a packet to it arrives nowhere.
    ///
    /// # Errors
    /// If one arrived.
    pub fn verify_gone(&mut self, target: &ServiceTarget) -> anyhow::Result<()> {
        self.probe.set_timeout(Duration::from_millis(2));
        let summary = self.probe.first_packets(&[target.for_probe()?], &[0; 3], &mut Times::new(), None);
        self.probe.set_timeout(workloads::probe::TIMEOUT);
        let summary = summary?;
        anyhow::ensure!(summary.lost == summary.sent, "a removed Service still answers at {}", target.entry);
        Ok(())
    }

    /// p-value and counts of one Service's shares; `None` where there is nothing to share.
    fn share_test(&mut self, index: usize) -> anyhow::Result<Option<(f64, Vec<u64>)>> {
        let target = self.service_target(index)?;
        if target.answers.len() < 2 {
            return Ok(None);
        }
        let shares = self.shares(&target, PACKETS_PER_ENDPOINT)?;
        let p_value = results::stats::uniform_share_p_value(&shares).unwrap_or(0.0);
        Ok(Some((p_value, shares)))
    }

    /// How many packets each endpoint got when [`Testbed::verify_traffic`] first compared shares. Once: later calls get `None`.
    pub fn take_shares(&mut self) -> Option<Vec<u64>> {
        self.shares.take()
    }

    /// How many of `per_endpoint` packets for each endpoint went to which.
    ///
    /// # Errors
    /// If one went elsewhere.
    pub fn shares(&mut self, target: &ServiceTarget, per_endpoint: usize) -> anyhow::Result<Vec<u64>> {
        let mut shares = Shares::new(&[target.for_probe()?]);
        self.send(target, per_endpoint * target.answers.len(), Some(&mut shares))?;
        Ok(shares.of(0).to_vec())
    }

    fn send(
        &mut self,
        target: &ServiceTarget,
        packets: usize,
        mut shares: Option<&mut Shares>,
    ) -> anyhow::Result<()> {
        let targets = [target.for_probe()?];
        for start in (0..packets).step_by(BATCH) {
            let picks = vec![0; BATCH.min(packets - start)];
            let summary =
                self.probe.first_packets(&targets, &picks, &mut Times::new(), shares.as_deref_mut())?;
            summary.all_verified()?;
            self.forget_flows()?;
        }
        Ok(())
    }

    /// Empties the tables of the node that know flows: that of IPVS, and that of connection tracking.
    ///
    /// # Errors
    /// If the kernel refuses, or keeps some.
    pub fn forget_flows(&mut self) -> anyhow::Result<()> {
        Ok(self.flows.forget(&self.lab.node)?)
    }

    /// Where packets for a Service go, and who may get them.
    ///
    /// # Errors
    /// If it is a Service of IPv6.
    pub fn service_target(&self, index: usize) -> anyhow::Result<ServiceTarget> {
        let service = &self.set.services()[index];
        let answers = self.dataplane.answers(&self.set, service).into_iter();
        let mut answers = answers.map(ipv4).collect::<anyhow::Result<Vec<_>>>()?;
        answers.sort_unstable();
        let (entry, protocol) = (ipv4(self.dataplane.entry(service))?, service.protocol);
        Ok(ServiceTarget { entry, protocol, answers, any_source: self.mode == Mode::Replay })
    }

    /// All Services of a protocol that somebody answers for, in their order.
    ///
    /// # Errors
    /// As [`Testbed::service_target`].
    pub fn destinations_of(&self, protocol: Protocol) -> anyhow::Result<Vec<workloads::load::Destination>> {
        let services = self.set.services();
        let of_protocol = |&index: &usize| services[index].protocol == protocol && self.set.answers(index);
        let targets =
            (0..services.len()).filter(of_protocol).map(|index| Ok(self.service_target(index)?.for_load()));
        targets.collect()
    }

    /// What a load at a position is aimed at, and which of them each of `count` packets takes.
    ///
    /// # Errors
    /// As [`Testbed::service_target`].
    pub fn service_targets(
        &mut self,
        position: Position,
        protocol: Protocol,
        count: usize,
    ) -> anyhow::Result<(Vec<ServiceTarget>, Vec<u32>)> {
        Ok(match position {
            Position::Miss => {
                let port = match protocol {
                    Protocol::Tcp => services::addresses::TCP_PORTS.1,
                    Protocol::Udp => services::addresses::UDP_PORTS.1,
                    Protocol::Sctp => services::addresses::SCTP_PORTS.1,
                };
                let address = match &self.replay {
                    Some(replay) => replay.addresses.miss.into(),
                    None => self.unused.endpoint(77),
                };
                let entry = ipv4(SocketAddr::new(address, port))?;
                let any_source = self.mode == Mode::Replay;
                (vec![ServiceTarget { entry, protocol, answers: vec![entry], any_source }], vec![0; count])
            }
            Position::Uniform => {
                let of_protocol: Vec<usize> = (0..self.set.len())
                    .filter(|&i| self.set.services()[i].protocol == protocol && self.set.answers(i))
                    .collect();
                if of_protocol.is_empty() {
                    return Ok((Vec::new(), Vec::new()));
                }
                let mut chosen: Vec<usize> =
                    (0..count).map(|_| of_protocol[self.random.random_range(0..of_protocol.len())]).collect();
                let mut distinct = chosen.clone();
                distinct.sort_unstable();
                distinct.dedup();
                for index in &mut chosen {
                    *index = distinct.partition_point(|other| other < index);
                }
                (
                    distinct.iter().map(|&i| self.service_target(i)).collect::<anyhow::Result<_>>()?,
                    chosen.into_iter().map(|i| i as u32).collect(),
                )
            }
            // One Service of the list.
            at => match self.set.index_at(at, protocol) {
                Some(index) => (vec![self.service_target(index)?], vec![0; count]),
                None => (Vec::new(), Vec::new()),
            },
        })
    }

    /// Sends the endpoint prefix to the probe or to the server.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn steer(&self, egress: Egress) -> anyhow::Result<()> {
        Ok(self.lab.steer(egress)?)
    }

    /// The probe, for timing.
    pub fn probe(&mut self) -> &mut Probe {
        &mut self.probe
    }
}

/// Has the tool check a ruleset in a lab that is thrown away.
///
/// # Errors
/// What the tool says, with the line.
pub fn rehearse(replay: &Arc<Replay>, stop: &Stop) -> anyhow::Result<()> {
    Testbed::replaying(replay, 0, stop)?.check_replayed().context("nothing was installed")
}

/// What the packet probe can send to.
fn ipv4(address: SocketAddr) -> anyhow::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(address) => anyhow::bail!("the packet probe sends IPv4, not to {address}"),
    }
}

/// The Services of one scale, made once and shared by all labs of that scale.
pub type Sets = std::collections::BTreeMap<Scale, Arc<ServiceSet>>;
