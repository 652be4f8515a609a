//! What is installed, one set after another.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use services::cluster::{Chosen, ClusterError};
use services::random::RandomServices;
use services::service::Family;
use services::service_set::ServiceSet;
use services::{features, objects};

/// Changes of each random set.
pub const CHANGES: usize = 3;
/// Of so many random sets one ends with a kube-proxy that is started anew.
const RESTARTS: u64 = 5;

/// Services as they are one after another, and the node that they are for.
#[derive(Clone, Debug)]
pub struct Subjects {
    /// What it is, for a person: `40 random sets, seeds 1 to 40, each with 3 changes`.
    pub title: String,
    /// The node's addresses, IPv4 first.
    pub addresses: [IpAddr; 2],
    /// All pods, of each family.
    pub cluster_cidrs: [Option<IpNet>; 2],
    /// Each begins where the one before has ended.
    pub sequences: Vec<Sequence>,
}

/// A set and changes of it.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// By what it can be had again: `seed 17`.
    pub name: String,
    /// One after another.
    pub steps: Vec<Step>,
}

/// What is installed after a step.
#[derive(Clone, Debug)]
pub struct Step {
    /// In words: `change 2`.
    pub name: String,
    /// Whether kube-proxy is started anew, over what the kernel holds.
    pub restarts: bool,
    /// Services of each family, IPv4 first.
    pub sets: [ServiceSet; 2],
}

impl Subjects {
    /// Random sets with every feature. Each has a seed of its own, the first `seed`: any of them can be had again alone.
    pub fn random(count: u32, seed: u64) -> Self {
        let last = seed.wrapping_add(u64::from(count).saturating_sub(1));
        let seeds = if count == 1 { format!("seed {seed}") } else { format!("seeds {seed} to {last}") };
        let sets = if count == 1 { "random set" } else { "random sets" };
        Self {
            title: format!("{count} {sets}, {seeds}, each with {CHANGES} changes"),
            addresses: Family::ALL.map(objects::node),
            cluster_cidrs: Family::ALL.map(|family| Some(objects::cluster_cidr(family))),
            sequences: (0..u64::from(count))
                .map(|number| random(number, seed.wrapping_add(number)))
                .collect(),
        }
    }

    /// The fixed sets with every feature.
    ///
    /// # Errors
    /// As [`features::steps`].
    pub fn features() -> Result<Self, ClusterError> {
        let steps: Vec<Step> = features::steps()?
            .into_iter()
            .map(|step| Step { restarts: step.name == "restart", name: step.name, sets: step.sets })
            .collect();
        Ok(Self {
            title: format!("Services with every feature, {} steps", steps.len()),
            addresses: Family::ALL.map(features::node),
            cluster_cidrs: Family::ALL.map(|family| Some(features::cluster_cidr(family))),
            sequences: vec![Sequence { name: "every feature".into(), steps }],
        })
    }

    /// Services of a cluster: all, half of them, all again, and a kube-proxy that is started anew. `file`: where they are from.
    pub fn cluster(file: &str, chosen: [Chosen; 2]) -> Self {
        let half = |set: &ServiceSet| -> ServiceSet {
            // An object goes with all its ports.
            let mut names: Vec<(&str, &str)> =
                set.services().iter().map(|one| (one.namespace.as_str(), one.name.as_str())).collect();
            names.sort_unstable();
            names.dedup();
            let kept: BTreeSet<(&str, &str)> = names.into_iter().step_by(2).collect();
            let is_kept = |(namespace, name)| kept.contains(&(namespace, name));
            let own = set.services().iter();
            own.filter(|one| is_kept((one.namespace.as_str(), one.name.as_str()))).cloned().collect()
        };
        let [v4, v6] = chosen;
        let all = [v4.set, v6.set];
        let less = [half(&all[0]), half(&all[1])];
        let step = |name: &str, sets: &[ServiceSet; 2]| Step {
            name: name.into(),
            restarts: name == "restart",
            sets: sets.clone(),
        };
        let count = all.iter().map(ServiceSet::len).sum::<usize>();
        Self {
            title: format!("{count} Service ports of {file}"),
            addresses: [v4.address, v6.address],
            cluster_cidrs: [v4.cluster_cidr, v6.cluster_cidr],
            sequences: vec![Sequence {
                name: file.to_owned(),
                steps: vec![
                    step("all", &all),
                    step("half of them", &less),
                    step("all again", &all),
                    step("restart", &all),
                ],
            }],
        }
    }
}

fn random(number: u64, seed: u64) -> Sequence {
    let mut services = RandomServices::of_seed(seed);
    let mut step = |change: usize| {
        if change > 0 {
            services.change();
        }
        Step {
            name: if change == 0 { "set".into() } else { format!("change {change}") },
            restarts: change == CHANGES && number % RESTARTS == RESTARTS - 1,
            sets: Family::ALL.map(|family| services.set(family)),
        }
    };
    Sequence { name: format!("seed {seed}"), steps: (0..=CHANGES).map(&mut step).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_random_set_can_be_had_alone() {
        let all = Subjects::random(7, 40);
        assert_eq!(all.title, "7 random sets, seeds 40 to 46, each with 3 changes");
        let one = Subjects::random(1, 43);
        assert_eq!(one.title, "1 random set, seed 43, each with 3 changes");
        assert_eq!(all.sequences[3].name, one.sequences[0].name);
        let sets =
            |sequence: &Sequence| sequence.steps.iter().map(|step| step.sets.clone()).collect::<Vec<_>>();
        assert_eq!(sets(&all.sequences[3]), sets(&one.sequences[0]));
        let restarts = |sequence: &Sequence| sequence.steps.iter().filter(|step| step.restarts).count();
        assert_eq!(all.sequences.iter().map(restarts).sum::<usize>(), 1);
    }

    #[test]
    fn of_a_cluster_half_goes_and_comes_back() {
        let cold = features::steps().unwrap().remove(0).sets;
        let chosen = Family::ALL.map(|family| Chosen {
            set: cold[family as usize].clone(),
            family,
            address: features::node(family),
            cluster_cidr: None,
            assumed: Vec::new(),
        });
        let subjects = Subjects::cluster("cluster.json", chosen);
        let lengths: Vec<usize> = subjects.sequences[0].steps.iter().map(|step| step.sets[0].len()).collect();
        assert!(lengths[1] > 0 && lengths[1] < lengths[0], "{lengths:?}");
        assert_eq!((lengths[2], lengths[3]), (lengths[0], lengths[0]));
        assert!(subjects.sequences[0].steps[3].restarts);
    }
}
