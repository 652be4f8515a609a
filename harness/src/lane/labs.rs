//! The labs of a run: those that live side by side for lookups, and the one a sync has left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dataplane::background::Background;
use dataplane::injected::Injected;
use dataplane::{Mode, Node};
use lab::cluster::Installed;
use lab::explain::explain;
use lab::replay::Replay;
use lab::stop::Stop;
use lab::testbed::{Sets, Testbed};
use netns_setup::Egress;
use services::service_set::{Scale, ServiceSet};

use crate::events::{Event, Sink};
use crate::forecast::admission::Admission;
use crate::forecast::extrapolate::Predictor;
use crate::forecast::footprint::{Installing, Machine};
use crate::sweep::Sweep;

/// How many labs are filled at the same time.
const LOADERS: usize = 2;

/// Why there is no lab to measure in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoLab {
    /// Filling it would take too long.
    Skipped(String),
    /// Filling or checking it failed.
    Failed(String),
}

/// All labs of a run.
pub(super) struct Labs {
    background: Option<Background>,
    injected: Option<Injected>,
    replay: Option<Arc<Replay>>,
    cluster: Option<Arc<Installed>>,
    living: HashMap<(Mode, Scale), Result<Testbed, NoLab>>,
    kept: Option<(Mode, Scale, Testbed)>,
    sets: Sets,
    admission: Admission,
}

impl Labs {
    /// None yet. Each will have the sweep's background rules and what is injected.
    pub(super) fn of(sweep: &Sweep) -> Self {
        let (background, replay, cluster) = (sweep.background, sweep.replay.clone(), sweep.cluster.clone());
        let (living, kept, sets, admission) = (HashMap::new(), None, Sets::default(), Admission::default());
        Self { background, injected: sweep.injected, replay, cluster, living, kept, sets, admission }
    }

    /// Takes what is known of labs that are still to be made.
    pub(super) fn admit(&mut self, admission: Admission) {
        self.admission = admission;
    }

    /// What is known of labs that are still to be made.
    pub(super) const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The Services of a scale, or of the cluster, or of the replayed ruleset.
    pub(super) fn set(&mut self, mode: Mode, scale: Scale, sweep: &Sweep) -> Arc<ServiceSet> {
        if let Some(replay) = self.replay.as_ref().filter(|_| mode == Mode::Replay) {
            return Arc::new(replay.services().clone());
        }
        if let Some(cluster) = &self.cluster {
            return Arc::clone(&cluster.set);
        }
        let make = || Arc::new(ServiceSet::shaped(scale, &sweep.shape, sweep.seed));
        Arc::clone(self.sets.entry(scale).or_insert_with(make))
    }

    /// Builds, fills and verifies labs, two at a time, from the smallest scale up. Nothing of this is
    /// timed, and the final state of the kernel is the same as after one full sync.
    pub(super) fn load_all(
        &mut self,
        wanted: &[(Mode, Scale)],
        sweep: &Sweep,
        node: Node,
        limit: Option<Duration>,
        stop: &Stop,
        sink: Sink<'_>,
    ) {
        let sets: Vec<Arc<ServiceSet>> =
            wanted.iter().map(|&(mode, scale)| self.set(mode, scale, sweep)).collect();
        let queue = Mutex::new(wanted.iter().copied().zip(sets).collect::<std::collections::VecDeque<_>>());
        let (predictor, admission) = (Mutex::new(Predictor::default()), &self.admission);
        let (sender, loaded) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..LOADERS.min(wanted.len()) {
                let (sender, queue, predictor) = (sender.clone(), &queue, &predictor);
                scope.spawn(move || {
                    while let Some(((mode, scale), set)) = lock(queue).pop_front() {
                        if stop.is_requested() {
                            return;
                        }
                        let testbed = load(mode, scale, &set, sweep, node, limit, predictor, admission, stop);
                        if sender.send((mode, scale, testbed)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for (mode, scale, testbed) in loaded {
                self.living.insert((mode, scale), testbed);
                let what = format!("{mode} with {} Services", scale.services);
                sink(Event::Loading { what, ready: self.living.len(), of: wanted.len() });
            }
        });
    }

    /// A filled lab.
    pub(super) fn living(&mut self, mode: Mode, scale: Scale) -> Result<&mut Testbed, NoLab> {
        match self.living.get_mut(&(mode, scale)) {
            Some(Ok(testbed)) => Ok(testbed),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err(NoLab::Failed("its lab was not built".into())),
        }
    }

    /// Removes living labs of some modes.
    pub(super) fn drop_living(&mut self, of: impl Fn(Mode) -> bool) {
        let gone = self.living.keys().filter(|(mode, _)| of(*mode)).map(|(_, scale)| scale.services).max();
        self.living.retain(|&(mode, _), _| !of(mode));
        if let Some(services) = gone {
            settle(services);
        }
    }

    /// Removes all labs: the next one is of another kind.
    pub(super) fn drop_all(&mut self) {
        self.drop_living(|_| true);
        if let Some((_, scale, testbed)) = self.kept.take() {
            drop(testbed);
            settle(scale.services);
        }
    }

    /// A filled lab that has served the lookups and from now on serves nobody else.
    pub(super) fn take_living(&mut self, mode: Mode, scale: Scale) -> Option<Testbed> {
        let testbed = self.living.remove(&(mode, scale))?.ok()?;
        testbed.steer(Egress::Tun).ok()?;
        Some(testbed)
    }

    /// A fresh lab without rules but background rules and injected ones. The one kept before goes.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn empty(
        &mut self,
        mode: Mode,
        scale: Scale,
        node: Node,
        seed: u64,
        stop: &Stop,
    ) -> anyhow::Result<Testbed> {
        if let Some((_, scale, testbed)) = self.kept.take() {
            drop(testbed);
            settle(scale.services);
        }
        let mut testbed = match (&self.replay, &self.cluster) {
            (Some(replay), _) if mode == Mode::Replay => Testbed::replaying(replay, seed, stop)?,
            (_, Some(cluster)) => Testbed::of_cluster(&cluster.addresses, mode, scale, node, seed, stop)?,
            _ => Testbed::build(mode, scale, node, seed, stop)?,
        };
        testbed.move_in(self.background)?;
        testbed.injected(self.injected)?;
        Ok(testbed)
    }

    /// Keeps a lab for the cell that follows.
    pub(super) fn keep(&mut self, mode: Mode, scale: Scale, testbed: Testbed) {
        self.kept = Some((mode, scale, testbed));
    }

    /// The lab kept, if it is of this mode and scale.
    pub(super) fn take(&mut self, mode: Mode, scale: Scale) -> Option<Testbed> {
        self.kept.take().filter(|kept| (kept.0, kept.1) == (mode, scale)).map(|kept| kept.2)
    }
}

#[expect(clippy::too_many_arguments, reason = "one call, from the loader's thread")]
fn load(
    mode: Mode,
    scale: Scale,
    set: &ServiceSet,
    sweep: &Sweep,
    node: Node,
    limit: Option<Duration>,
    predictor: &Mutex<Predictor<Mode>>,
    admission: &Admission,
    stop: &Stop,
) -> Result<Testbed, NoLab> {
    let predicted = lock(predictor).predict(&mode, scale.services);
    let too_long = || admission.too_long(mode, scale, Installing::Load).filter(|_| predicted.is_none());
    // Those that were filled before have taken their part of the memory.
    let too_large = admission.too_large(mode, scale, Installing::Load, &Machine::now());
    if let Some(refusal) = too_large.or_else(too_long) {
        return Err(NoLab::Skipped(refusal.to_string()));
    }
    if let (Some(limit), Some(predicted)) = (limit, predicted)
        && predicted > limit.as_secs_f64() * LOADERS as f64
    {
        return Err(NoLab::Skipped(format!(
            "filling its lab is predicted to take {predicted:.0} s, from the smaller scales of this run; the limit is \
             {:.0} s (--no-limit measures it)",
            limit.as_secs_f64()
        )));
    }
    let begun = Instant::now();
    let fill = || -> anyhow::Result<Testbed> {
        let mut testbed = match (&sweep.replay, &sweep.cluster) {
            (Some(replay), _) if mode == Mode::Replay => Testbed::replaying(replay, sweep.seed, stop)?,
            (_, Some(cluster)) => {
                Testbed::of_cluster(&cluster.addresses, mode, scale, node, sweep.seed, stop)?
            }
            _ => Testbed::build(mode, scale, node, sweep.seed, stop)?,
        };
        testbed.move_in(sweep.background)?;
        testbed.injected(sweep.injected)?;
        testbed.check_replayed()?;
        testbed.load(set, None)?;
        testbed.verify_counts()?;
        testbed.verify_traffic()?;
        Ok(testbed)
    };
    let testbed = fill().map_err(|error| NoLab::Failed(explain(&error)))?;
    lock(predictor).note(mode, scale.services, begun.elapsed().as_secs_f64());
    Ok(testbed)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits until the machine is at rest: removing a lab goes on in the kernel after the last handle is
/// closed, and would be counted to whatever is measured next. At most as long as the removal of a lab
/// with so many Services may take; a machine that is busy for other reasons is not waited for.
pub(super) fn settle(services: u32) {
    const POLL_INTERVAL: Duration = Duration::from_millis(50);
    let begun = Instant::now();
    let mut before = busy();
    let patience = Duration::from_millis((200 + u64::from(services)).min(5_000));
    while begun.elapsed() < patience {
        std::thread::sleep(POLL_INTERVAL);
        let now = busy();
        match (before, now) {
            (Some((busy, all)), Some((busy_now, all_now)))
                if (busy_now - busy) * 20 > all_now.saturating_sub(all).max(1) => {}
            _ => return,
        }
        before = now;
    }
}

/// Ticks that all cores were not idle, and all ticks (proc_stat(5)).
fn busy() -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<u64> = stat.lines().next()?.split_whitespace().skip(1).flat_map(str::parse).collect();
    let all: u64 = ticks.iter().take(8).sum();
    Some((all - ticks.get(3)? - ticks.get(4)?, all))
}
