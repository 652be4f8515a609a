//! The xtables lock under a busy kube-proxy: syncs run back to back while contenders want the lock.

mod holder;
mod patience;
mod phases;
mod rows;
mod section;

use std::collections::HashSet;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use dataplane::{Phase, Plan, Sync};
use lab::apply::{Applied, ApplyError};
use lab::stop::Stop;
use lab::testbed::Testbed;
use lab::xtables_lock::{Acquisition, Contenders, Watch, acquisitions, overtaken};
use services::service_set::ServiceSet;
use services::unused::Unused;
use workloads::clock::nanoseconds;
use workloads::recorder::Times;

use self::holder::{Begun, Holds, kind_of};
pub use self::patience::{Ended, Kind, Known, LEAST_OPERATIONS, Patience};
pub use self::phases::{Phases, Restore};
pub use self::section::Section;

/// Exit code of an iptables program that gave up waiting (RESOURCE_PROBLEM, include/xtables.h).
const GAVE_UP: i32 = 4;
/// How often is looked whether a sync has ended, or is to be ended.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often a sync that goes on is said to go on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// What a cell found. Times in nanoseconds.
#[derive(Default)]
pub struct LockContention {
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
    /// Acquisitions of contenders and syncs: how often somebody got the lock.
    pub acquisitions: u64,
    /// Those of them that were overtaken: see [`overtaken`].
    pub overtaken: u64,
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
    /// Their holds of the lock, those of unfinished syncs included.
    pub holds: Times,
    /// Waits of contenders during which they held the lock, longer than syncs of the other kind did.
    pub contender_waits: Times,
    /// The parts of their restores, as far as the lock shows them.
    pub phases: Vec<Phases>,
    /// Why there are none, or no more.
    pub unfinished: Option<String>,
}

impl LockContention {
    /// Seconds for one full and one partial sync; `None` if one of them did not finish.
    pub fn round_seconds(&self) -> Option<f64> {
        let last = |syncs: &Syncs| syncs.times.last().map(|&time| time as f64 / 1e9);
        Some(last(&self.full_syncs)? + last(&self.partial_syncs)?)
    }

    /// Whether a sync was ended in its midst: then nobody knows what the kernel holds.
    pub fn is_torn(&self) -> bool {
        self.full_syncs.unfinished.is_some() || self.partial_syncs.unfinished.is_some()
    }

    /// Notes who waited and who held. What is neither of a contender nor of a sync, as contenders' chains were made, is left out.
    fn take(&mut self, all: &[Acquisition], contenders: &HashSet<u32>, syncs: &[(u64, Kind)]) {
        let is_measured = |of: &&Acquisition| contenders.contains(&of.pid) || kind_of(syncs, of).is_some();
        let measured: Vec<Acquisition> = all.iter().filter(is_measured).copied().collect();
        self.acquisitions = measured.iter().filter(|acquisition| acquisition.hold.is_some()).count() as u64;
        self.overtaken = overtaken(&measured);
        let (contenders, holders): (Vec<_>, Vec<_>) =
            measured.iter().partition(|acquisition| contenders.contains(&acquisition.pid));
        let holders: Vec<(&Acquisition, Kind)> =
            holders.into_iter().filter_map(|holder| Some((holder, kind_of(syncs, holder)?))).collect();
        for (holder, kind) in &holders {
            self.holder_waits.record(holder.wait);
            if let Some(hold) = holder.hold {
                self.holder_holds.record(hold);
                self.syncs(*kind).holds.record(hold);
            }
        }
        let holds = Holds::of(holders);
        for contender in contenders {
            self.contender_waits.record(contender.wait);
            if let Some(hold) = contender.hold {
                self.contender_holds.record(hold);
            }
            if let Some(kind) = holds.during(contender) {
                self.syncs(kind).contender_waits.record(contender.wait);
            }
        }
    }

    fn syncs(&mut self, kind: Kind) -> &mut Syncs {
        match kind {
            Kind::Partial => &mut self.partial_syncs,
            Kind::Full => &mut self.full_syncs,
        }
    }
}

/// Runs syncs for `seconds`, at least one partial and one full, against `contenders`. When `patience` with one of them
/// is over, it is ended and the cell with it: what the contenders saw stands. `alive` hears now and then what goes on.
///
/// # Errors
/// If a program ends otherwise than by success or by giving up on the lock.
pub fn measure(
    testbed: &mut Testbed,
    contenders: u32,
    seconds: f64,
    patience: &Patience,
    alive: &mut dyn FnMut(String),
) -> anyhow::Result<LockContention> {
    let has_lock = testbed.runner.tools().take_the_lock();
    let mut found = LockContention { has_lock, ..LockContention::default() };
    let watch = if has_lock { Some(Watch::start(&testbed.lab.node)?) } else { None };
    let begun = Instant::now();
    testbed.disturbed = true;
    let running = Contenders::start(contenders, &testbed.lab.node, &testbed.runner)?;
    let holder = Holder {
        running: &running,
        patience,
        alive,
        begun,
        watch: watch.as_ref(),
        syncs: Begun::new(),
        restores: Vec::new(),
        gave_up: Vec::new(),
    };
    let held = holder.hold(testbed, contenders, seconds, &mut found);
    let operations = running.stop()?;
    found.lasted = begun.elapsed();
    let Held { syncs, restores, gave_up: sync_gave_up } = held?;

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
        let all = acquisitions(&watch.stop()?, &gave_up);
        found.take(&all, &contender_pids, &syncs);
        for (restore, kind) in &restores {
            let phases = Phases::of(restore, &all);
            found.syncs(*kind).phases.extend(phases);
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
    watch: Option<&'a Watch>,
    syncs: Begun,
    restores: Vec<(Restore, Kind)>,
    gave_up: Vec<(u32, String)>,
}

/// What the syncs left behind.
struct Held {
    /// When each began, if there is a lock.
    syncs: Begun,
    /// Their restores, if there is a lock.
    restores: Vec<(Restore, Kind)>,
    /// Programs that gave up on the lock, and what they said.
    gave_up: Vec<(u32, String)>,
}

/// How a sync ended.
enum Synced {
    Finished(u64, Applied),
    Ended { spent: Duration, command: String },
}

impl Holder<'_> {
    /// Partial sync, full sync, partial sync, ...: each at least once, then until the time is over and contenders
    /// have done enough.
    fn hold(
        mut self,
        testbed: &mut Testbed,
        contenders: u32,
        seconds: f64,
        found: &mut LockContention,
    ) -> anyhow::Result<Held> {
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
                Kind::Full => (testbed.set.clone(), Sync::Full),
                Kind::Partial => (replaced(&testbed.set, testbed.unused(), &mut number), Sync::Partial),
            };
            let plan = testbed.dataplane.plan(&testbed.set, &to, sync);
            self.syncs.extend(self.watch.map(|watch| (watch.now(), kind)));
            match self.sync(testbed, plan, kind) {
                Ok(Synced::Finished(nanoseconds, applied)) => {
                    found.syncs(kind).times.push(nanoseconds);
                    self.note_restores(&applied, kind);
                    testbed.set = to;
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
        Ok(Held { syncs: self.syncs, restores: self.restores, gave_up: self.gave_up })
    }

    fn note_restores(&mut self, applied: &Applied, kind: Kind) {
        let Some(watch) = self.watch else { return };
        let restores = applied.steps.iter().filter(|step| step.phase == Phase::Restore).filter_map(|step| {
            let from = watch.at(step.started);
            Some((Restore { pid: step.pid?, from, until: from + step.nanoseconds }, kind))
        });
        self.restores.extend(restores);
    }

    /// One sync, on a thread of its own, so that it can be ended when patience with it is over.
    fn sync(&mut self, testbed: &Testbed, plan: Plan, kind: Kind) -> Result<Synced, ApplyError> {
        let halt = Stop::new();
        let runner = testbed.runner.until(halt.clone());
        let (sender, ended) = mpsc::channel();
        let begun = Instant::now();
        let thread = testbed
            .lab
            .node
            .thread("sync", move || {
                let begun = Instant::now();
                let applied = runner.apply(&plan, None);
                let done = applied.and_then(|applied| runner.clean_up(&plan, None).map(|_| applied));
                let nanoseconds = nanoseconds(begun.elapsed());
                // Nobody else waits for it.
                let _ = sender.send(());
                done.map(|applied| Synced::Finished(nanoseconds, applied))
            })
            .map_err(|source| ApplyError::Run { command: "a sync's thread".into(), source })?;
        let mut reported = Duration::ZERO;
        (self.alive)(kind.name().to_owned());
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(POLL_INTERVAL) {
            let spent = begun.elapsed();
            if testbed.runner.is_stopped() || self.patience.is_over(spent, self.running.finished()) {
                halt.request();
            }
            if spent >= reported + SIGN_OF_LIFE {
                reported = spent;
                (self.alive)(format!("{} for {:.0} s", kind.name(), spent.as_secs_f64()));
            }
        }
        match thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            Err(ApplyError::Interrupted { command }) if !testbed.runner.is_stopped() => {
                Ok(Synced::Ended { spent: begun.elapsed(), command })
            }
            finished => finished,
        }
    }
}

/// The set with one endpoint of its middle Service exchanged.
fn replaced(set: &ServiceSet, spare: Unused, number: &mut u32) -> ServiceSet {
    *number += 1;
    match set.nearest_answering(set.len() / 2) {
        Some(index) => set.with_endpoint_replaced(index, spare.endpoint(*number)),
        None => set.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_and_holds_are_split_by_who_held_and_what_it_synced() {
        let held = |pid, began, wait, hold| Acquisition { pid, began, wait, hold: Some(hold) };
        // A contender's chain (9), a contender before the syncs (7), a partial sync (1), contenders (2, 3), a full sync (4),
        // contenders (5, 6), of which one gave up.
        let all = [
            held(9, 1, 0, 2),
            held(7, 4, 0, 3),
            held(1, 10, 0, 20),
            held(3, 12, 18, 5),
            held(2, 11, 24, 5),
            Acquisition { pid: 6, began: 52, wait: 30, hold: None },
            held(4, 51, 0, 100),
            held(5, 60, 91, 5),
        ];
        let mut found = LockContention::default();
        found.take(&all, &HashSet::from([2, 3, 5, 6, 7]), &[(10, Kind::Partial), (50, Kind::Full)]);
        let all_of = |times: &Times| {
            let values = times.histogram().iter_recorded();
            values
                .flat_map(|value| vec![value.value_iterated_to(); value.count_at_value() as usize])
                .collect::<Vec<_>>()
        };
        assert_eq!((found.acquisitions, found.overtaken), (6, 1));
        assert_eq!(all_of(&found.holder_holds), [20, 100]);
        assert_eq!(
            [&found.partial_syncs, &found.full_syncs].map(|syncs| all_of(&syncs.holds)),
            [[20], [100]]
        );
        assert_eq!(all_of(&found.contender_waits), [1, 18, 24, 30, 91]);
        assert_eq!(all_of(&found.partial_syncs.contender_waits), [18, 24]);
        assert_eq!(all_of(&found.full_syncs.contender_waits), [30, 91], "a wait in vain counts");
        assert_eq!(all_of(&found.contender_holds), [3, 5, 5, 5]);
    }
}
