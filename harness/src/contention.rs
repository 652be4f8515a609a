//! The xtables lock under a busy kube-proxy: syncs run back to back while contenders want the lock.

mod patience;

use std::collections::HashSet;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use workloads::clock::nanoseconds;
use workloads::recorder::Times;

pub use self::patience::{Ended, Kind, Known, LEAST_OPERATIONS, Patience};
use crate::apply::ApplyError;
use crate::dataplane::{Plan, Sync};
use crate::lock::{Contenders, Watch, acquisitions};
use crate::scale::ServiceSet;
use crate::spare::Spare;
use crate::stop::Stop;
use crate::world::World;

/// Exit code of an iptables program that gave up waiting (RESOURCE_PROBLEM, include/xtables.h).
const GAVE_UP: i32 = 4;
/// How often is looked whether a sync has ended, or is to be ended.
const GLANCE: Duration = Duration::from_millis(50);
/// How often a sync that goes on is said to go on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

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
    pub full_syncs: Syncs,
    /// Partial syncs.
    pub partial_syncs: Syncs,
    /// How long the contenders were measured.
    pub lasted: Duration,
    /// Operations that gave up, of contenders and of the sync.
    pub timeouts: u64,
    /// Which exit codes and messages there were, and how often; empty if all went well.
    pub complaints: String,
    /// Whether there is a lock to wait for.
    pub has_lock: bool,
}

/// The syncs of one kind.
#[derive(Default)]
pub struct Syncs {
    /// How long those took that finished.
    pub times: Vec<u64>,
    /// Why there are none, or no more.
    pub unfinished: Option<String>,
}

impl Contention {
    /// Seconds for one full and one partial sync; `None` if one of them did not finish.
    pub fn round_seconds(&self) -> Option<f64> {
        let last = |syncs: &Syncs| syncs.times.last().map(|&time| time as f64 / 1e9);
        Some(last(&self.full_syncs)? + last(&self.partial_syncs)?)
    }

    /// Whether a sync was ended in its midst: then nobody knows what the kernel holds.
    pub fn is_torn(&self) -> bool {
        self.full_syncs.unfinished.is_some() || self.partial_syncs.unfinished.is_some()
    }

    fn syncs(&mut self, kind: Kind) -> &mut Syncs {
        match kind {
            Kind::Partial => &mut self.partial_syncs,
            Kind::Full => &mut self.full_syncs,
        }
    }
}

/// Runs syncs for `seconds`, at least one partial and one full, against `contenders`. When `patience` with one of them
/// is over, it is ended and the cell with it: what the contenders saw stands. `alive` is told now and then what goes on.
///
/// # Errors
/// If a program ends otherwise than by success or by giving up on the lock.
pub fn measure(
    world: &mut World,
    contenders: u32,
    seconds: f64,
    patience: &Patience,
    alive: &mut dyn FnMut(String),
) -> anyhow::Result<Contention> {
    let has_lock = world.runner.tools().take_the_lock();
    let mut found = Contention { has_lock, ..Contention::default() };
    let watch = if has_lock { Some(Watch::start(&world.lab.node)?) } else { None };
    let begun = Instant::now();
    world.disturbed = true;
    let running = Contenders::start(contenders, &world.lab.node, &world.runner)?;
    let held = Holder { running: &running, patience, alive, begun, gave_up: Vec::new() }
        .hold(world, contenders, seconds, &mut found);
    let operations = running.stop()?;
    found.lasted = begun.elapsed();
    let sync_gave_up = held?;

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
    for (pid, message) in sync_gave_up {
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

/// kube-proxy, against contenders.
struct Holder<'a> {
    running: &'a Contenders,
    patience: &'a Patience,
    alive: &'a mut dyn FnMut(String),
    begun: Instant,
    /// Programs that gave up on the lock, and what they said.
    gave_up: Vec<(u32, String)>,
}

/// How a sync ended.
enum Synced {
    Finished(u64),
    Ended { spent: Duration, command: String },
}

impl Holder<'_> {
    /// Partial sync, full sync, partial sync, ...: each at least once, then until the time is over and contenders
    /// have done enough. Returns which programs gave up on the lock.
    fn hold(
        mut self,
        world: &mut World,
        contenders: u32,
        seconds: f64,
        found: &mut Contention,
    ) -> anyhow::Result<Vec<(u32, String)>> {
        let mut number = 500_000;
        for round in 0.. {
            let spent = self.begun.elapsed();
            let enough = self.running.finished() >= LEAST_OPERATIONS
                || self.patience.is_exhausted(spent)
                || !self.running.are_alive();
            if round >= 2 && spent.as_secs_f64() >= seconds && enough {
                break;
            }
            let kind = if round % 2 == 1 { Kind::Full } else { Kind::Partial };
            let (to, sync) = match kind {
                Kind::Full => (world.set.clone(), Sync::Full),
                Kind::Partial => (replaced(&world.set, world.spare(), &mut number), Sync::Partial),
            };
            let plan = world.dataplane.plan(&world.set, &to, sync);
            match self.sync(world, plan, kind) {
                Ok(Synced::Finished(nanoseconds)) => {
                    found.syncs(kind).times.push(nanoseconds);
                    world.set = to;
                }
                Ok(Synced::Ended { spent, command }) => {
                    let why = self.patience.of_ended(kind, &Ended { spent, command, contenders });
                    found.syncs(kind).unfinished = Some(why);
                    if kind == Kind::Partial && found.full_syncs.times.is_empty() {
                        let why = "not begun, as the partial sync before it was ended unfinished";
                        found.full_syncs.unfinished = Some(why.into());
                    }
                    break;
                }
                Err(ApplyError::Unexpected { code: Some(GAVE_UP), stderr, pid, .. }) => {
                    // kube-proxy would try again, with a full sync, after syncPeriod (30 s).
                    self.gave_up.push((pid, stderr));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.gave_up)
    }

    /// One sync, on a thread of its own, so that it can be ended when patience with it is over.
    fn sync(&mut self, world: &World, plan: Plan, kind: Kind) -> Result<Synced, ApplyError> {
        let halt = Stop::new();
        let runner = world.runner.until(halt.clone());
        let (sender, ended) = mpsc::channel();
        let begun = Instant::now();
        let thread = world
            .lab
            .node
            .thread("sync", move || {
                let begun = Instant::now();
                let done = runner.apply(&plan, None).and_then(|_| runner.clean_up(&plan, None));
                let nanoseconds = nanoseconds(begun.elapsed());
                // Nobody else waits for it.
                let _ = sender.send(());
                done.map(|_| nanoseconds)
            })
            .map_err(|source| ApplyError::Run { command: "a sync's thread".into(), source })?;
        let mut told = Duration::ZERO;
        (self.alive)(kind.name().to_owned());
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(GLANCE) {
            let spent = begun.elapsed();
            if world.runner.is_stopped() || self.patience.is_over(spent, self.running.finished()) {
                halt.request();
            }
            if spent >= told + SIGN_OF_LIFE {
                told = spent;
                (self.alive)(format!("{} for {:.0} s", kind.name(), spent.as_secs_f64()));
            }
        }
        match thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            Err(ApplyError::Interrupted { command }) if !world.runner.is_stopped() => {
                Ok(Synced::Ended { spent: begun.elapsed(), command })
            }
            finished => finished.map(Synced::Finished),
        }
    }
}

/// The set with one endpoint of its middle Service exchanged.
fn replaced(set: &ServiceSet, spare: Spare, number: &mut u32) -> ServiceSet {
    *number += 1;
    match set.nearest_answering(set.len() / 2) {
        Some(index) => set.with_endpoint_replaced(index, spare.endpoint(*number)),
        None => set.clone(),
    }
}
