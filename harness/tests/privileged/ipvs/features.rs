//! Every feature of a Service in a kernel, in both families: what is read back is the model, however it came there.

use std::process::Command;
use std::sync::Arc;

use dataplane::background::Background;
use dataplane::ipvs::State;
use dataplane::{Counts, Dataplane, KubeProxy, Mode, Node, Program, Sync, planner};
use lab::apply::Runner;
use lab::readback;
use lab::stop::Stop;
use lab::tools::Tools;
use netns_setup::Namespace;
use services::service::{Family, Service};
use services::service_set::ServiceSet;

use super::lines;
use crate::paper::features as table;
use crate::state::pretty;
use crate::testbeds::{ordered_iptables, output};

/// A node without background rules.
struct Bare {
    namespace: Arc<Namespace>,
    runner: Runner,
    node: Node,
    mode: Mode,
    dataplane: Box<dyn Dataplane>,
    installed: ServiceSet,
}

impl Bare {
    fn new(mode: Mode, node: Node) -> Self {
        Self::on(Arc::new(Namespace::create("ipvs/features").unwrap()), mode, node)
    }

    fn on(namespace: Arc<Namespace>, mode: Mode, node: Node) -> Self {
        let runner = Runner::new(Tools::of(mode), namespace.process_group(), Stop::new());
        let dataplane = planner(mode, node);
        Self { namespace, runner, node, mode, dataplane, installed: ServiceSet::default() }
    }

    fn carry_out(&mut self, to: &ServiceSet, kind: Sync) {
        let plan = self.dataplane.plan(&self.installed, to, kind);
        self.namespace.run(|| self.runner.apply(&plan, None)).unwrap();
        self.installed = to.clone();
    }

    fn state(&self) -> State {
        self.namespace.run(|| readback::ipvs::state(&self.runner)).unwrap()
    }

    /// Plans, carries out, and compares what the kernel holds with the model.
    fn sync(&mut self, to: &ServiceSet, kind: Sync, what: &str) {
        self.carry_out(to, kind);
        let what = format!("{} {:?} {what}", self.mode, self.node.family());
        let state = self.state();
        // Line by line, so that a failure shows what differs.
        pretty(&lines(&state), &lines(&State::of(&self.node, to)), &what);
        assert_eq!(self.counts(), self.dataplane.counts(to), "{what}");
    }

    fn counts(&self) -> Counts {
        let (family, background) = (self.node.family(), Background::default());
        self.namespace.run(|| readback::counts(self.mode, family, &background, &self.runner)).unwrap()
    }

    /// As they are listed.
    fn rules(&self) -> String {
        let save = self.runner.tools().path(Program::iptables_save(self.node.family())).unwrap();
        ordered_iptables(&output(&self.namespace, &mut Command::new(save)))
    }
}

/// Those that `made` takes, changed as it says.
fn some(all: &[Service], made: impl Fn(usize, &Service) -> Option<Service>) -> ServiceSet {
    all.iter().enumerate().filter_map(|(index, service)| made(index, service)).collect()
}

pub(crate) fn all() {
    for family in Family::ALL {
        let services: Vec<Service> = table::all(family).into_iter().map(|(_, service)| service).collect();
        let set: ServiceSet = services.iter().cloned().collect();
        let without_odd = some(&services, |index, service| (index % 2 == 0).then(|| service.clone()));
        let plain = some(&services, |index, service| {
            let plain = table::plain(family, index as u8 + 1, service.protocol);
            Some(if index % 2 == 0 { plain } else { service.clone() })
        });
        let rules = crate::IPVS.map(|mode| {
            let mut bare = Bare::new(mode, table::node(family, KubeProxy::NEWEST));
            bare.sync(&set, Sync::Full, "cold");
            let rules = bare.rules();
            bare.sync(&set, Sync::Full, "restart");
            assert_eq!(bare.rules(), rules, "{mode} {family:?} after a restart");
            bare.sync(&without_odd, Sync::Partial, "every second gone");
            bare.sync(&plain, Sync::Partial, "every second back, the others plain");
            bare.sync(&set, Sync::Partial, "all as before");
            assert_eq!(bare.rules(), rules, "{mode} {family:?} after all changes");
            rules
        });
        pretty(&rules[1], &rules[0], &format!("rules of both ways, {family:?}"));
    }
}

/// Two proxiers on one node share the dummy link and the table of virtual servers, and leave each other's alone.
pub(crate) fn both_families() {
    for mode in crate::IPVS {
        let four = Bare::new(mode, table::node(Family::Ipv4, KubeProxy::NEWEST));
        let six = Bare::on(Arc::clone(&four.namespace), mode, table::node(Family::Ipv6, KubeProxy::NEWEST));
        let mut proxiers = [four, six];
        let sets = Family::ALL.map(|family| -> [ServiceSet; 2] {
            let of = |wanted: &str| {
                let all = table::all(family).into_iter().filter(|(name, _)| *name == wanted);
                all.map(|(_, service)| service).collect()
            };
            [of("everything"), of("node_port")]
        });
        for (round, kind) in [Sync::Full, Sync::Partial].into_iter().enumerate() {
            for (proxier, sets) in proxiers.iter_mut().zip(&sets) {
                proxier.carry_out(&sets[round], kind);
            }
            let mut model: Vec<String> = Vec::new();
            for proxier in &proxiers {
                let state = State::of(&proxier.node, &proxier.installed);
                model.extend(lines(&state).lines().map(str::to_owned));
            }
            let state = lines(&proxiers[0].state());
            let mut found: Vec<String> = state.lines().map(str::to_owned).collect();
            model.sort();
            found.sort();
            assert_eq!(found, model, "{mode}, round {round}");
            for proxier in &proxiers {
                let model = proxier.dataplane.counts(&proxier.installed);
                assert_eq!(proxier.counts(), model, "{mode}, round {round}");
            }
        }
    }
}
