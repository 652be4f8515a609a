//! Cells of a replayed ruleset: what can be measured without a planner, and why the rest is not.

use std::time::{Duration, Instant};

use dataplane::Mode;
use experiments::rows::{Rows, out_of_time};
use experiments::sync::Sample;
use experiments::sync::{Operation, Section};
use lab::explain::explain;
use lab::testbed::Testbed;
use lab::usage::{self, ResourceUsage};

use super::Lane;
use super::labs;
use super::time_kind::TimeKind;
use crate::events::Sink;
use crate::sweep::cell::{Cell, NO_PLANNER};

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
        let mut testbed: Option<Testbed> = None;
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
                Operation::Cold => self.installed_cold(cell, rows).map(|installed| testbed = Some(installed)),
                _ => self.installed_again(cell, &mut testbed, rows),
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

    fn installed_cold(&mut self, cell: &Cell, rows: &mut Rows) -> anyhow::Result<Testbed> {
        let mut testbed = self.labs.empty(Mode::Replay, cell.scale, self.node, self.sweep.seed, self.stop)?;
        testbed.check_replayed()?;
        labs::settle(cell.scale.services);
        let sample = self.install(cell, &mut testbed, Operation::Cold)?;
        let counts = testbed.verify_counts()?;
        testbed.verify_traffic()?;
        rows.sync(Operation::Cold, &[sample], Some(counts));
        Ok(testbed)
    }

    /// In the lab of the cold sync, or one of its own.
    fn installed_again(
        &mut self,
        cell: &Cell,
        testbed: &mut Option<Testbed>,
        rows: &mut Rows,
    ) -> anyhow::Result<()> {
        let testbed = match testbed {
            Some(testbed) => testbed,
            None => {
                let fresh =
                    self.labs.empty(Mode::Replay, cell.scale, self.node, self.sweep.seed, self.stop)?;
                let testbed = testbed.insert(fresh);
                self.install(cell, testbed, Operation::Restart)?;
                testbed
            }
        };
        let begun = Instant::now();
        let mut samples = Vec::new();
        while samples.is_empty() || (samples.len() < REPEATS && begun.elapsed() < ENOUGH) {
            samples.push(self.install(cell, testbed, Operation::Restart)?);
        }
        testbed.verify_counts()?;
        testbed.verify_traffic()?;
        rows.sync(Operation::Restart, &samples, None);
        Ok(())
    }

    fn install(
        &mut self,
        cell: &Cell,
        testbed: &mut Testbed,
        operation: Operation,
    ) -> anyhow::Result<Sample> {
        let to = self.labs.set(Mode::Replay, cell.scale, self.sweep);
        let plan = testbed.dataplane.load(&to);
        let limit = self.limit();
        let mut carry_out = || testbed.carry_out(&plan, &to, limit);
        let (applied, usage) = match operation {
            Operation::Cold => usage::metered(carry_out),
            _ => (carry_out(), ResourceUsage::default()),
        };
        Ok(Sample { generate: None, applied: applied?, usage })
    }
}
