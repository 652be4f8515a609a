//! Rule sync: what kube-proxy's plans cost, in a lab of their own.

mod rows;
mod section;

use std::time::{Duration, Instant};

use dataplane::{Counts, Phase, Plan, Sync};
use lab::apply::Applied;
use lab::testbed::Testbed;
use lab::usage::{self, ResourceUsage};
use services::service_set::ServiceSet;
use workloads::clock::nanoseconds;

pub use self::section::{Operation, Section, expected_seconds};

/// Small operations are repeated in one visit until they have taken this long together, or five times.
const ENOUGH: Duration = Duration::from_millis(1000);
const REPEATS: usize = 5;
/// Services that repeats may add, more than there are repeats: no two in a lab at once are the same.
const UNUSED_SERVICES: u32 = 40;

/// One sync.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Making the plan, nanoseconds; `None` where there is nothing to make.
    pub generate: Option<u64>,
    /// Running it.
    pub applied: Applied,
    /// What it took from the machine besides; known of cold syncs.
    pub usage: ResourceUsage,
}

impl Sample {
    fn new(generate: Option<u64>, applied: Applied) -> Self {
        Self { generate, applied, usage: ResourceUsage::default() }
    }
}

/// Full sync into an empty kernel, checked by count and by traffic.
///
/// # Errors
/// If a step or a check fails.
pub fn cold(
    testbed: &mut Testbed,
    to: &ServiceSet,
    limit: Option<Duration>,
) -> anyhow::Result<(Sample, Counts)> {
    let (plan, generate) = generate(testbed, to, Sync::Full);
    let (applied, usage) = usage::metered(|| testbed.carry_out(&plan, to, limit));
    let applied = applied?;
    drop(plan);
    let counts = testbed.verify_counts()?;
    testbed.verify_traffic()?;
    Ok((Sample { generate: Some(generate), applied, usage }, counts))
}

/// One small change over an installed set, several times if it is quick; each is checked by traffic.
/// `number` counts what was added, so that nothing comes twice.
///
/// # Errors
/// If a step or a check fails.
pub fn change(
    testbed: &mut Testbed,
    operation: Operation,
    number: &mut u32,
    limit: Option<Duration>,
) -> anyhow::Result<Vec<Sample>> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    while samples.is_empty() || (samples.len() < REPEATS && begun.elapsed() < ENOUGH) {
        samples.push(once(testbed, operation, number, limit)?);
    }
    Ok(samples)
}

fn once(
    testbed: &mut Testbed,
    operation: Operation,
    number: &mut u32,
    limit: Option<Duration>,
) -> anyhow::Result<Sample> {
    let set = testbed.set.clone();
    let near = |index| {
        let found = set.nearest_answering(index);
        found.ok_or_else(|| anyhow::anyhow!("no Service has an endpoint that packets could be sent to"))
    };
    match operation {
        Operation::Cold => anyhow::bail!("a cold sync needs an empty lab"),
        Operation::Restart => {
            let (plan, generate) = generate(testbed, &set, Sync::Full);
            let applied = testbed.carry_out(&plan, &set, limit)?;
            testbed.verify_service(near(set.len())?, 5)?;
            Ok(Sample::new(Some(generate), applied))
        }
        Operation::Resync => {
            let begun = Instant::now();
            let plan = testbed.dataplane.resync(&set);
            let generate = nanoseconds(begun.elapsed());
            let plan = plan.ok_or_else(|| anyhow::anyhow!("this mode has no full sync but its first"))?;
            let applied = testbed.carry_out(&plan, &set, limit)?;
            testbed.verify_service(near(set.len())?, 5)?;
            Ok(Sample::new(Some(generate), applied))
        }
        Operation::AddService => {
            *number += 1;
            let endpoints = (set.total_endpoints() / set.len().max(1)).max(1) as u32;
            let to = set.with_added(testbed.unused().service(*number % UNUSED_SERVICES, endpoints));
            let sample = partial(testbed, &to, limit)?;
            testbed.verify_service(to.len() - 1, 20)?;
            Ok(sample)
        }
        Operation::RemoveService => {
            anyhow::ensure!(set.len() > 1, "the last Service cannot be removed");
            let last = near(set.len())?;
            let target = testbed.service_target(last)?;
            let sample = partial(testbed, &set.without(last), limit)?;
            testbed.verify_gone(&target)?;
            Ok(sample)
        }
        Operation::ReplaceEndpoint => {
            let index = near(set.len() / 2)?;
            *number += 1;
            let to = set.with_endpoint_replaced(index, testbed.unused().endpoint(*number));
            let sample = partial(testbed, &to, limit)?;
            // A packet to the endpoint that is gone would be a fault.
            testbed.verify_service(index, 50)?;
            Ok(sample)
        }
        Operation::Noop => {
            let sample = partial(testbed, &set, limit)?;
            testbed.verify_service(near(set.len())?, 5)?;
            Ok(sample)
        }
        Operation::Append => {
            let plan =
                testbed.dataplane.append(&set).ok_or_else(|| anyhow::anyhow!("this mode has no list"))?;
            let applied = testbed.carry_out(&plan, &set, limit)?;
            Ok(Sample::new(None, applied))
        }
    }
}

fn partial(testbed: &mut Testbed, to: &ServiceSet, limit: Option<Duration>) -> anyhow::Result<Sample> {
    let (plan, generate) = generate(testbed, to, Sync::Partial);
    let applied = testbed.carry_out(&plan, to, limit)?;
    Ok(Sample::new(Some(generate), applied))
}

fn generate(testbed: &Testbed, to: &ServiceSet, sync: Sync) -> (Plan, u64) {
    let begun = Instant::now();
    let plan = testbed.dataplane.plan(&testbed.set, to, sync);
    (plan, nanoseconds(begun.elapsed()))
}

/// Times of one phase in all samples that have it.
pub fn phase(samples: &[Sample], phase: Phase) -> Vec<u64> {
    samples.iter().filter_map(|sample| sample.applied.phase(phase)).collect()
}
