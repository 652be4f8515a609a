//! Cells of a replayed ruleset: what can be measured without a planner, and why the rest is not.

use std::time::{Duration, Instant};

use super::Lane;
use super::labs;
use super::time_kind::TimeKind;
use crate::events::Sink;
use crate::sweep::cell::{Cell, NO_PLANNER};
use dataplane::Mode;
use experiments::rows::{Rows, out_of_time};
use experiments::sync::Sample;
use experiments::sync::{Operation, Section};
use lab::explain::explain;
use lab::testbed::World;
use lab::usage::{self, Toll};

/// As for small syncs: repeated in one visit until they have taken this long together, or five times.
const ENOUGH: Duration = Duration::from_millis(1000);
const REPEATS: usize = 5;

impl Lane<'_> {
    /// Its syncs: into an empty kernel, and over itself.
    pub(super) fn replayed(
        &mut self,
        cell: &Cell,
        sweep: &Section,
        rows: &mut Rows,
        sink: Sink<'_>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut world: Option<World> = None;
        for &operation in &sweep.operations {
            let cost = match operation {
                Operation::Cold => TimeKind::Cold(Mode::Replay),
                Operation::Restart => TimeKind::Restart(Mode::Replay),
                _ => {
                    // Once is enough.
                    if cell.block == 1 {
                        rows.skip(operation, NO_PLANNER);
                    }
                    continue;
                }
            };
            super::syncs::step(cell, operation, sink);
            let done = match operation {
                Operation::Cold => self.installed_cold(cell, rows).map(|installed| world = Some(installed)),
                _ => self.installed_again(cell, &mut world, rows),
            };
            if let Err(error) = done {
                match out_of_time(&error) {
                    Some(reason) => {
                        self.predictor.note(cost, cell.scale.services, self.sweep.limit_seconds * 2.0);
                        rows.skip(operation, &reason);
                    }
                    None => rows.fail_operation(operation, &explain(&error)),
                }
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        self.predictor.note(TimeKind::SyncCell(Mode::Replay), cell.scale.services, seconds);
        Ok(())
    }

    fn installed_cold(&mut self, cell: &Cell, rows: &mut Rows) -> anyhow::Result<World> {
        let mut world = self.labs.empty(Mode::Replay, cell.scale, self.node, self.sweep.seed, self.stop)?;
        world.check_replayed()?;
        labs::settle(cell.scale.services);
        let sample = self.install(cell, &mut world, Operation::Cold)?;
        let counts = world.verify_counts()?;
        world.verify_traffic()?;
        rows.sync(Operation::Cold, &[sample], Some(counts));
        Ok(world)
    }

    /// In the lab of the cold sync, or one of its own.
    fn installed_again(
        &mut self,
        cell: &Cell,
        world: &mut Option<World>,
        rows: &mut Rows,
    ) -> anyhow::Result<()> {
        let world = match world {
            Some(world) => world,
            None => {
                let fresh =
                    self.labs.empty(Mode::Replay, cell.scale, self.node, self.sweep.seed, self.stop)?;
                let world = world.insert(fresh);
                self.install(cell, world, Operation::Restart)?;
                world
            }
        };
        let begun = Instant::now();
        let mut samples = Vec::new();
        while samples.is_empty() || (samples.len() < REPEATS && begun.elapsed() < ENOUGH) {
            samples.push(self.install(cell, world, Operation::Restart)?);
        }
        world.verify_counts()?;
        world.verify_traffic()?;
        rows.sync(Operation::Restart, &samples, None);
        Ok(())
    }

    fn install(&mut self, cell: &Cell, world: &mut World, operation: Operation) -> anyhow::Result<Sample> {
        let to = self.labs.set(Mode::Replay, cell.scale, self.sweep);
        let plan = world.dataplane.load(&to);
        let limit = self.limit();
        let mut carry_out = || world.carry_out(&plan, &to, limit);
        let (applied, toll) = match operation {
            Operation::Cold => usage::metered(carry_out),
            _ => (carry_out(), Toll::default()),
        };
        Ok(Sample { generate: None, applied: applied?, toll })
    }
}
