//! The xtables lock under a busy kube-proxy: syncs run back to back while contenders want the lock.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use workloads::recorder::Times;

use crate::apply::ApplyError;
use crate::dataplane::{Plan, Sync};
use crate::lock::{Contenders, Watch, acquisitions};
use crate::scale::ServiceSet;
use crate::spare::Spare;
use crate::tools::Variant;
use crate::world::World;

/// Exit code of an iptables program that gave up waiting (RESOURCE_PROBLEM, include/xtables.h).
const GAVE_UP: i32 = 4;

/// What a cell found. Times in nanoseconds.
#[derive(Default)]
pub struct Contention {
    /// Whole duration of each contender's `iptables -w 5`.
    pub contender_operations: Times,
    /// Waits of contenders for the lock, those in vain included; empty where there is no lock.
    pub contender_waits: Times,
    /// Holds of contenders.
    pub contender_holds: Times,
    /// Waits of the syncs.
    pub holder_waits: Times,
    /// Holds of the syncs.
    pub holder_holds: Times,
    /// Full syncs over an installed state.
    pub full_syncs: Vec<u64>,
    /// Partial syncs.
    pub partial_syncs: Vec<u64>,
    /// Operations that gave up, of contenders and of the sync.
    pub timeouts: u64,
    /// Which exit codes and messages there were, and how often; empty if all went well.
    pub complaints: String,
    /// Whether there is a lock to wait for.
    pub has_lock: bool,
    /// Seconds for one full and one partial sync, or what was spent on them in vain.
    pub round_seconds: f64,
    /// Set if a sync was not waited for any longer.
    pub unfinished: Option<String>,
}

/// Runs syncs for `seconds`, at least one partial and one full, against `contenders`; no longer than
/// `patience`, after which only what the contenders saw is returned.
///
/// # Errors
/// If a program ends otherwise than by success or by giving up on the lock.
pub fn measure(
    world: &mut World,
    contenders: u32,
    seconds: f64,
    patience: Option<Duration>,
) -> anyhow::Result<Contention> {
    let has_lock = world.runner.tools().variant() == Variant::Legacy;
    let mut found = Contention { has_lock, ..Contention::default() };
    let watch = if has_lock { Some(Watch::start(&world.lab.node)?) } else { None };
    let running = Contenders::start(contenders, &world.lab.node, &world.runner)?;
    let held = hold(world, seconds, patience, &mut found);
    let operations = running.stop()?;
    let holder = held?;

    let mut complaints: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    let mut gave_up: HashSet<u32> = HashSet::new();
    let contender_pids: HashSet<u32> = operations.iter().map(|operation| operation.pid).collect();
    for operation in &operations {
        found.contender_operations.record(operation.nanoseconds);
        if operation.code != Some(0) {
            let code = operation.code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
            *complaints.entry(format!("{code}: {}", operation.message)).or_default() += 1;
        }
        if operation.code == Some(GAVE_UP) && operation.message.contains("xtables lock") {
            found.timeouts += 1;
            gave_up.insert(operation.pid);
        }
    }
    for (pid, message) in holder.gave_up {
        found.timeouts += 1;
        gave_up.insert(pid);
        *complaints.entry(format!("sync, exit code {GAVE_UP}: {message}")).or_default() += 1;
    }
    found.complaints = complaints
        .into_iter()
        .map(|(text, count)| format!("{count} x {text}"))
        .collect::<Vec<_>>()
        .join("; ");

    if let Some(watch) = watch {
        for acquisition in acquisitions(&watch.stop()?, &gave_up) {
            let (waits, holds) = if contender_pids.contains(&acquisition.pid) {
                (&mut found.contender_waits, &mut found.contender_holds)
            } else {
                (&mut found.holder_waits, &mut found.holder_holds)
            };
            waits.record(acquisition.wait);
            if let Some(hold) = acquisition.hold {
                holds.record(hold);
            }
        }
    }
    // Contenders insert and delete; what the last of them left, and their chains, go with the lab.
    Ok(found)
}

#[derive(Default)]
struct Holder {
    /// Programs that gave up on the lock, and what they said.
    gave_up: Vec<(u32, String)>,
}

/// Partial sync, full sync, partial sync, ...: each at least once, then until the time is over.
fn hold(
    world: &mut World,
    seconds: f64,
    patience: Option<Duration>,
    found: &mut Contention,
) -> anyhow::Result<Holder> {
    let begun = Instant::now();
    let mut holder = Holder::default();
    let mut number = 500_000;
    let mut spent = [0.0_f64; 2];
    for round in 0.. {
        if round >= 2 && begun.elapsed().as_secs_f64() >= seconds {
            break;
        }
        let full = round % 2 == 1;
        let to = if full { world.set.clone() } else { replaced(&world.set, world.spare(), &mut number) };
        let plan = world.dataplane.plan(&world.set, &to, if full { Sync::Full } else { Sync::Partial });
        let started = Instant::now();
        let left =
            patience.map(|patience| patience.saturating_sub(begun.elapsed()).max(Duration::from_millis(100)));
        let synced = sync(world, &plan, left);
        spent[usize::from(full)] = started.elapsed().as_secs_f64();
        match synced {
            Ok(()) => {
                let took = workloads::clock::nanoseconds(started.elapsed());
                if full { &mut found.full_syncs } else { &mut found.partial_syncs }.push(took);
                world.set = to;
            }
            Err(ApplyError::Unexpected { code: Some(GAVE_UP), stderr, pid, .. }) => {
                // kube-proxy would try again, with a full sync, after syncPeriod (30 s).
                holder.gave_up.push((pid, stderr));
            }
            Err(ApplyError::OutOfTime { command, .. }) => {
                let kind = if full { "full" } else { "partial" };
                found.unfinished = Some(format!(
                    "no {kind} sync finished within {:.0} s against these contenders; it was at `{command}`",
                    begun.elapsed().as_secs_f64()
                ));
                // What is not finished counts double, so that larger scales are not tried in vain.
                spent[usize::from(full)] *= 2.0;
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    found.round_seconds = spent.iter().sum();
    Ok(holder)
}

fn sync(world: &World, plan: &Plan, limit: Option<Duration>) -> Result<(), ApplyError> {
    world.lab.node.run(|| {
        world.runner.apply(plan, limit)?;
        world.runner.clean_up(plan, limit)?;
        Ok(())
    })
}

/// The set with one endpoint of its middle Service exchanged.
fn replaced(set: &ServiceSet, spare: Spare, number: &mut u32) -> ServiceSet {
    *number += 1;
    match set.nearest_answering(set.len() / 2) {
        Some(index) => set.with_endpoint_replaced(index, spare.endpoint(*number)),
        None => set.clone(),
    }
}
