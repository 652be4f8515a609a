//! nftables mode in a kernel, with every feature of a Service and both families: however a set of Services is reached,
//! the table is that of a first sync, and holds what the model counts.

mod steps;

use std::process::Command;

use dataplane::background::Background;
use dataplane::{Counts, Dataplane, KubeProxy, Mode, Plan, Program, Sync, planner};
use lab::apply::Runner;
use lab::readback;
use lab::stop::Stop;
use lab::tools::Tools;
use netns_setup::Namespace;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use services::service::Family;
use services::service_set::ServiceSet;
use trials::Test;

use crate::paper::random_services;
use crate::state::pretty;
use crate::testbeds::{ordered_nft, output, wait_until};
use crate::{VERSIONS, test};

/// Random sets that are synced one after the other.
const SETS: usize = 25;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (version, family) in
        VERSIONS.into_iter().flat_map(|version| Family::ALL.map(|family| (version, family)))
    {
        let mut add = |what: &str, body: fn(KubeProxy, Family)| {
            let name = format!("{what}::nftables::{}::{}", version.name(), family.name());
            tests.push(test(&name, &[Mode::Nftables], move || body(version, family)));
        };
        add("every_change_of_a_feature_leaves_what_a_first_sync_leaves", changes);
        add("every_change_that_a_restart_finds_leaves_what_a_first_sync_leaves", restarts);
        add("random_services_leave_what_a_first_sync_leaves", random);
        add("syncs_keep_what_clients_are_stuck_to", stuck);
    }
    tests
}

/// A namespace in which kube-proxy writes its table.
struct Kernel {
    namespace: Namespace,
    runner: Runner,
    family: Family,
}

impl Kernel {
    fn new(family: Family) -> Self {
        let namespace = Namespace::create("nftables").unwrap();
        let runner = Runner::new(Tools::of(Mode::Nftables), namespace.process_group(), Stop::new());
        Self { namespace, runner, family }
    }

    /// The sync, and what a later one deletes. Before Linux 6.2 a chain is held for a moment after its last element.
    fn carry_out(&self, plan: &Plan) {
        self.namespace.run(|| self.runner.apply(plan, None)).unwrap();
        wait_until("stale chains are deleted", || {
            self.namespace.run(|| self.runner.clean_up(plan, None)).is_ok()
        });
    }

    fn nft(&self, args: &[&str]) -> String {
        output(&self.namespace, Command::new(self.runner.tools().path(Program::Nft).unwrap()).args(args))
    }

    /// The table, in an order.
    fn held(&self) -> String {
        // The order of IPv4, for both.
        let ruleset = self.nft(&["list", "ruleset"]).replace("table ip6 ", "table ip ");
        ordered_nft(&ruleset)
    }

    fn counts(&self) -> Counts {
        let listed = listed(&self.nft(&["list", "ruleset"]));
        let (none, family) = (Background::default(), self.family);
        let read = self.namespace.run(|| readback::counts(Mode::Nftables, family, &none, &self.runner));
        assert_eq!(read.unwrap(), listed);
        listed
    }
}

/// What there is in a listing of `nft`.
fn listed(ruleset: &str) -> Counts {
    let mut counts = Counts::default();
    let mut in_chain = false;
    for line in ruleset.lines().map(str::trim) {
        match line.split(' ').next().unwrap_or_default() {
            "chain" => {
                in_chain = true;
                counts.chains += 1;
            }
            "}" => in_chain = false,
            "type" | "comment" | "" => {}
            _ if in_chain => counts.rules += 1,
            _ => {}
        }
    }
    // Listed one on a line or several, with commas between; there is no other comma.
    for elements in ruleset.split("elements = {").skip(1) {
        counts.elements += elements.split(" }").next().unwrap().split(',').count() as u64;
    }
    counts
}

fn nftables(version: KubeProxy, family: Family) -> Box<dyn Dataplane> {
    planner(Mode::Nftables, random_services::node(family, version))
}

/// Syncs one set after the other and compares the table with that of a first sync after each.
struct Walk {
    dataplane: Box<dyn Dataplane>,
    kernel: Kernel,
    cold: Kernel,
    installed: Option<ServiceSet>,
}

impl Walk {
    fn new(version: KubeProxy, family: Family) -> Self {
        let kernels = [(); 2].map(|()| Kernel::new(family));
        let [kernel, cold] = kernels;
        Self { dataplane: nftables(version, family), kernel, cold, installed: None }
    }

    /// `sync`: of the second and later sets.
    fn go(&mut self, to: &ServiceSet, sync: Sync) {
        let plan = match &self.installed {
            None => self.dataplane.plan(&ServiceSet::default(), to, Sync::Full),
            Some(from) => self.dataplane.plan(from, to, sync),
        };
        self.kernel.carry_out(&plan);
        self.installed = Some(to.clone());
    }

    #[track_caller]
    fn compare(&self, what: &str, of: impl Fn(&Kernel) -> String) {
        let to = self.installed.clone().unwrap_or_default();
        self.cold.nft(&["flush", "ruleset"]);
        self.cold.carry_out(&self.dataplane.plan(&ServiceSet::default(), &to, Sync::Full));
        pretty(&of(&self.kernel), &of(&self.cold), what);
        assert_eq!(self.kernel.counts(), self.dataplane.counts(&to), "{what}");
    }
}

fn changes(version: KubeProxy, family: Family) {
    let mut walk = Walk::new(version, family);
    for (what, set) in steps::steps(family) {
        walk.go(&set, Sync::Partial);
        walk.compare(what, Kernel::held);
    }
}

fn restarts(version: KubeProxy, family: Family) {
    let mut walk = Walk::new(version, family);
    for (what, set) in steps::steps(family) {
        walk.go(&set, Sync::Full);
        walk.compare(what, Kernel::held);
        walk.kernel.carry_out(&walk.dataplane.resync(&set).unwrap());
        walk.compare(&format!("{what}, and everything again"), Kernel::held);
    }
}

fn random(version: KubeProxy, family: Family) {
    let mut walk = Walk::new(version, family);
    let mut runner = TestRunner::deterministic();
    for number in 0..SETS {
        let set = random_services::sets(family).new_tree(&mut runner).unwrap().current();
        // A first sync takes an empty set for an empty kernel.
        let restarts = number % 3 == 2 && walk.installed.as_ref().is_some_and(|set| !set.is_empty());
        walk.go(&set, if restarts { Sync::Full } else { Sync::Partial });
        // An element whose verdict stays keeps the comment of the Service that it belonged to.
        walk.compare(&format!("set {number}"), |kernel| without_comments(&kernel.held()));
    }
}

/// Elements of maps without what `nft` shows behind the word comment.
fn without_comments(held: &str) -> String {
    let line = |line: &str| match line.split_once(" comment \"") {
        Some((key, rest)) if line.contains(" . ") => format!("{key}{}\n", rest.split_once('"').unwrap().1),
        _ => format!("{line}\n"),
    };
    held.lines().map(line).collect()
}

/// Sets of session affinity are not emptied: not by a change, not by a restart, not by 1.30, which writes everything.
fn stuck(version: KubeProxy, family: Family) {
    let mut walk = Walk::new(version, family);
    let [one, two] = steps::with_affinity(family);
    walk.go(&one, Sync::Full);
    let (table, client) = match family {
        Family::Ipv4 => ("ip", "10.244.9.9"),
        Family::Ipv6 => ("ip6", "fd00:244:0:9::9"),
    };
    let sets = walk.kernel.nft(&["list", "sets", table]);
    let set = sets.lines().find_map(|line| line.trim().strip_prefix("set affinity-")).unwrap();
    let set = format!("affinity-{}", set.trim_end_matches(" {"));
    walk.kernel.nft(&["add", "element", table, "kube-proxy", &set, &format!("{{ {client} }}")]);
    let is_stuck =
        |walk: &Walk| walk.kernel.nft(&["list", "set", table, "kube-proxy", &set]).contains(client);
    assert!(is_stuck(&walk));
    walk.go(&two, Sync::Partial);
    assert!(is_stuck(&walk), "after a change");
    walk.go(&one, Sync::Full);
    assert!(is_stuck(&walk), "after a restart");
}
