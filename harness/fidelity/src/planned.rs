//! The node in which plans are carried out.

use std::thread;
use std::time::{Duration, Instant};

use dataplane::{Action, Dataplane, Plan, Sync, planner};
use lab::apply::Runner;
use lab::stop::Stop;
use lab::tools::Tools;
use netns_setup::single_node::SingleNode;
use ruleset::compare::Normal;
use services::service::Family;
use services::service_set::ServiceSet;

use crate::node::NodeSpec;
use crate::state;

/// For one program.
const LIMIT: Duration = Duration::from_secs(300);
/// Before Linux 6.2 a chain is held for a moment after its last element has gone.
const CLEANUP_LIMIT: Duration = Duration::from_secs(3);

/// Planners of both families, and the kernel that their plans are for.
pub(crate) struct Planned {
    spec: NodeSpec,
    planners: Vec<(Family, Box<dyn Dataplane>)>,
    /// What is installed, of each family.
    installed: [ServiceSet; 2],
    runner: Runner,
    node: SingleNode,
}

impl Planned {
    /// An empty node.
    pub(crate) fn prepare(mut spec: NodeSpec, stop: &Stop) -> anyhow::Result<Self> {
        let node = spec.build("planned")?;
        let planner = |&family: &Family| (family, planner(spec.mode, spec.node(family)));
        Ok(Self {
            planners: spec.families.iter().map(planner).collect(),
            runner: Runner::new(Tools::of(spec.mode), node.node.process_group(), stop.clone()),
            installed: Default::default(),
            spec,
            node,
        })
    }

    /// What leads to these Services, for each family.
    ///
    /// # Errors
    /// If the mode cannot hold them.
    pub(crate) fn plans(&self, to: &[ServiceSet; 2], sync: Sync) -> anyhow::Result<Vec<(Family, Plan)>> {
        let plan = |(family, planner): &(Family, Box<dyn Dataplane>)| {
            let (from, to) = (&self.installed[*family as usize], &to[*family as usize]);
            planner.fits(to)?;
            Ok::<_, anyhow::Error>((*family, planner.plan(from, to, sync)))
        };
        self.planners.iter().map(plan).collect()
    }

    /// Carries plans out, what cleans up after them included.
    ///
    /// # Errors
    /// What the kernel or a program refuses: the plan, not the kube-proxy, is wrong then.
    pub(crate) fn carry_out(&mut self, plans: &[(Family, Plan)], to: &[ServiceSet; 2]) -> anyhow::Result<()> {
        for (_, plan) in plans {
            self.node.node.run(|| self.runner.apply(plan, Some(LIMIT)))?;
            let begun = Instant::now();
            while let Err(error) = self.node.node.run(|| self.runner.clean_up(plan, Some(LIMIT))) {
                if begun.elapsed() > CLEANUP_LIMIT {
                    return Err(error.into());
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
        self.installed.clone_from(to);
        Ok(())
    }

    /// What the kernel holds, and the settings that plans have made.
    pub(crate) fn state(&self, settings: &[&'static str]) -> anyhow::Result<Vec<(Family, Normal)>> {
        state::read(&self.spec, &self.node.node, &self.runner, settings)
    }
}

/// The settings that plans make.
pub(crate) fn settings(plans: &[(Family, Plan)]) -> Vec<&'static str> {
    let steps = plans.iter().flat_map(|(_, plan)| &plan.steps);
    let mut keys: Vec<&'static str> = steps
        .filter_map(|step| match step.action {
            Action::Sysctl { key, .. } => Some(key),
            _ => None,
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}
