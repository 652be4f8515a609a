//! A node with one mode's Services on it, all sides of which can be seen.

use conformance::oracle::{Location, Oracle, PacketOutcome, SentPacket};
use dataplane::{Dataplane, Mode, Node, Plan, Sync, planner};
use lab::apply::Runner;
use lab::stop::Stop;
use lab::tools::Tools;
use netns_setup::single_node::Topology;
use services::service::Protocol;
use services::service_set::ServiceSet;

use crate::real::Real;
use crate::testbeds::wait_until;

/// The node of `random_services::node`, with even-numbered pods on it.
fn topology(label: String) -> Topology {
    let parse = |list: [&str; 2]| list.map(|prefix| prefix.parse().unwrap()).to_vec();
    Topology {
        label,
        node: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        local_pods: parse(["10.244.0.0/24", "fd00:244::/64"]),
        remote_pods: parse(["10.244.1.0/24", "fd00:244:0:1::/64"]),
    }
}

/// A node, its proxier, and what it has installed.
pub(crate) struct Proxied {
    pub mode: Mode,
    pub node: Node,
    /// Writes the rules instead of the planner. Before the namespace that it runs in.
    real: Option<Real>,
    oracle: Oracle,
    runner: Runner,
    dataplane: Box<dyn Dataplane>,
    set: ServiceSet,
    synced: bool,
}

impl Proxied {
    pub(crate) fn new(mode: Mode, node: Node) -> Self {
        let oracle = Oracle::build(&topology(format!("test/{mode}"))).unwrap();
        let runner = Runner::new(Tools::of(mode), oracle.node().process_group(), Stop::new());
        Self {
            mode,
            node,
            real: None,
            oracle,
            runner,
            dataplane: planner(mode, node),
            set: ServiceSet::default(),
            synced: false,
        }
    }

    /// The same with a real kube-proxy, which writes the rules.
    pub(crate) fn by_kube_proxy(mode: Mode, node: Node) -> Self {
        let planned = Self::new(mode, node);
        let real = Real::start(planned.oracle.node(), mode, node);
        Self { real: Some(real), ..planned }
    }

    /// The first sync if nothing is installed, else a partial one.
    pub(crate) fn sync(&mut self, to: &ServiceSet) {
        if let Some(real) = &mut self.real {
            let marker = real.tell(to);
            let oracle = &mut self.oracle;
            return wait_until("kube-proxy has synced", || {
                real.check();
                let packet = SentPacket::new(Protocol::Tcp, marker.sender, marker.service);
                let outcome = oracle.send(packet, Location::RemotePod).unwrap();
                outcome.delivered().is_some_and(|delivered| delivered.destination == marker.endpoint)
            });
        }
        let kind = if self.synced { Sync::Partial } else { Sync::Full };
        let plan = self.dataplane.plan(&self.set, to, kind);
        self.apply(&plan);
        (self.set, self.synced) = (to.clone(), true);
    }

    fn apply(&self, plan: &Plan) {
        let node = self.oracle.node();
        node.run(|| self.runner.apply(plan, None)).unwrap_or_else(|error| panic!("{}: {error}", self.mode));
        // Before Linux 6.2 a chain is held for a moment after its last element has gone.
        wait_until("what is stale can be deleted", || node.run(|| self.runner.clean_up(plan, None)).is_ok());
    }

    pub(crate) fn send(&mut self, packet: SentPacket, origin: Location) -> PacketOutcome {
        let sent = self.oracle.send(packet, origin);
        sent.unwrap_or_else(|error| panic!("{}: {packet} from {origin}: {error}", self.mode))
    }

    /// Whether the answer to a delivered packet arrives, as from the address that it was sent to.
    pub(crate) fn is_answered(&mut self, outcome: &PacketOutcome) -> bool {
        let Some(delivered) = outcome.delivered().copied() else { return false };
        let reply = self
            .oracle
            .reply(&delivered)
            .unwrap_or_else(|error| panic!("{}: {delivered}: {error}", self.mode));
        delivered.is_answered_by(&reply)
    }

    pub(crate) fn forget_flows(&mut self) {
        self.oracle.forget_flows().unwrap();
    }
}
