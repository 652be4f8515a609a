//! The labs of a run: those that live side by side for lookups, and the one a sync has left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use netns_setup::Egress;

use crate::events::{Event, Sink};
use crate::forecast::admission::Foresight;
use crate::forecast::extrapolate::Predictor;
use crate::forecast::footprint::{Installing, Machine};
use crate::sweep::Sweep;
use dataplane::background::Neighbours;
use dataplane::injected::Plant;
use dataplane::{Mode, Node};
use lab::cluster::Installed;
use lab::explain::explain;
use lab::replay::Replay;
use lab::stop::Stop;
use lab::testbed::{Sets, World};
use services::service_set::{Scale, ServiceSet};

/// How many labs are filled at the same time.
const LOADERS: usize = 2;

/// Why there is no lab to measure in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoLab {
    /// Filling it would take too long.
    Skipped(String),
    /// Filling or checking it failed.
    Failed(String),
}

/// All labs of a run.
pub struct Labs {
    neighbours: Option<Neighbours>,
    plant: Option<Plant>,
    replay: Option<Arc<Replay>>,
    cluster: Option<Arc<Installed>>,
    living: HashMap<(Mode, Scale), Result<World, NoLab>>,
    kept: Option<(Mode, Scale, World)>,
    sets: Sets,
    foresight: Foresight,
}

impl Labs {
    /// None yet. Each will have the sweep's neighbours and what is planted.
    pub fn of(sweep: &Sweep) -> Self {
        let (neighbours, replay, cluster) = (sweep.neighbours, sweep.replay.clone(), sweep.cluster.clone());
        let (living, kept, sets, foresight) = (HashMap::new(), None, Sets::default(), Foresight::default());
        Self { neighbours, plant: sweep.plant, replay, cluster, living, kept, sets, foresight }
    }

    /// Takes what is known of labs that are still to be made.
    pub fn foresee(&mut self, foresight: Foresight) {
        self.foresight = foresight;
    }

    /// What is known of labs that are still to be made.
    pub const fn foresight(&self) -> &Foresight {
        &self.foresight
    }

    /// The Services of a scale, or of the cluster, or of the replayed ruleset.
    pub fn set(&mut self, mode: Mode, scale: Scale, sweep: &Sweep) -> Arc<ServiceSet> {
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
    pub fn load_all(
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
        let (predictor, foresight) = (Mutex::new(Predictor::default()), &self.foresight);
        let (sender, loaded) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..LOADERS.min(wanted.len()) {
                let (sender, queue, predictor) = (sender.clone(), &queue, &predictor);
                scope.spawn(move || {
                    while let Some(((mode, scale), set)) = lock(queue).pop_front() {
                        if stop.is_requested() {
                            return;
                        }
                        let world = load(mode, scale, &set, sweep, node, limit, predictor, foresight, stop);
                        if sender.send((mode, scale, world)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for (mode, scale, world) in loaded {
                self.living.insert((mode, scale), world);
                let what = format!("{mode} with {} Services", scale.services);
                sink(Event::Loading { what, ready: self.living.len(), of: wanted.len() });
            }
        });
    }

    /// A filled lab.
    pub fn living(&mut self, mode: Mode, scale: Scale) -> Result<&mut World, NoLab> {
        match self.living.get_mut(&(mode, scale)) {
            Some(Ok(world)) => Ok(world),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err(NoLab::Failed("its lab was not built".into())),
        }
    }

    /// Removes living labs of some modes.
    pub fn drop_living(&mut self, of: impl Fn(Mode) -> bool) {
        let gone = self.living.keys().filter(|(mode, _)| of(*mode)).map(|(_, scale)| scale.services).max();
        self.living.retain(|&(mode, _), _| !of(mode));
        if let Some(services) = gone {
            settle(services);
        }
    }

    /// A filled lab that has served the lookups and from now on serves nobody else.
    pub fn take_living(&mut self, mode: Mode, scale: Scale) -> Option<World> {
        let world = self.living.remove(&(mode, scale))?.ok()?;
        world.steer(Egress::Tun).ok()?;
        Some(world)
    }

    /// A fresh lab without rules but those of neighbours and those that are planted. The one kept before goes.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn empty(
        &mut self,
        mode: Mode,
        scale: Scale,
        node: Node,
        seed: u64,
        stop: &Stop,
    ) -> anyhow::Result<World> {
        if let Some((_, scale, world)) = self.kept.take() {
            drop(world);
            settle(scale.services);
        }
        let mut world = match (&self.replay, &self.cluster) {
            (Some(replay), _) if mode == Mode::Replay => World::replaying(replay, seed, stop)?,
            (_, Some(cluster)) => World::of_cluster(&cluster.place, mode, scale, node, seed, stop)?,
            _ => World::build(mode, scale, node, seed, stop)?,
        };
        world.move_in(self.neighbours)?;
        world.plant(self.plant)?;
        Ok(world)
    }

    /// Keeps a lab for the cell that follows.
    pub fn keep(&mut self, mode: Mode, scale: Scale, world: World) {
        self.kept = Some((mode, scale, world));
    }

    /// The lab kept, if it is of this mode and scale.
    pub fn take(&mut self, mode: Mode, scale: Scale) -> Option<World> {
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
    foresight: &Foresight,
    stop: &Stop,
) -> Result<World, NoLab> {
    let predicted = lock(predictor).predict(&mode, scale.services);
    let too_long = || foresight.too_long(mode, scale, Installing::Load).filter(|_| predicted.is_none());
    // Those that were filled before have taken their part of the memory.
    let too_large = foresight.too_large(mode, scale, Installing::Load, &Machine::now());
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
    let fill = || -> anyhow::Result<World> {
        let mut world = match (&sweep.replay, &sweep.cluster) {
            (Some(replay), _) if mode == Mode::Replay => World::replaying(replay, sweep.seed, stop)?,
            (_, Some(cluster)) => World::of_cluster(&cluster.place, mode, scale, node, sweep.seed, stop)?,
            _ => World::build(mode, scale, node, sweep.seed, stop)?,
        };
        world.move_in(sweep.neighbours)?;
        world.plant(sweep.plant)?;
        world.check_replayed()?;
        world.load(set, None)?;
        world.verify_counts()?;
        world.verify_traffic()?;
        Ok(world)
    };
    let world = fill().map_err(|error| NoLab::Failed(explain(&error)))?;
    lock(predictor).note(mode, scale.services, begun.elapsed().as_secs_f64());
    Ok(world)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits until the machine is at rest: removing a lab goes on in the kernel after the last handle is
/// closed, and would be counted to whatever is measured next. At most as long as the removal of a lab
/// with so many Services may take; a machine that is busy for other reasons is not waited for.
pub fn settle(services: u32) {
    const GLANCE: Duration = Duration::from_millis(50);
    let begun = Instant::now();
    let mut before = busy();
    let patience = Duration::from_millis((200 + u64::from(services)).min(5_000));
    while begun.elapsed() < patience {
        std::thread::sleep(GLANCE);
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
