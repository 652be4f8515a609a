//! Cells of syncs and of the lock: those whose time grows with the scale, and is predicted.

use std::time::{Duration, Instant};

use anyhow::Context;
use dataplane::Mode;
use experiments::churn;
use experiments::churn::scenario::Scenario;
use experiments::disruption::{self, RuleChange};
use experiments::lock_contention::{self, Known, Patience};
use experiments::rows::{Rows, out_of_time};
use experiments::sync;
use experiments::sync::Operation;
use lab::explain::explain;
use lab::testbed::Testbed;
use lab::tools::Tools;
use services::service_set::{Scale, ServiceSet};
use workloads::load;

use super::Lane;
use super::labs;
use super::time_kind::TimeKind;
use crate::events::{Event, Sink};
use crate::forecast::footprint::{Installing, Machine, Refusal};
use crate::sweep::cell::Cell;

impl Lane<'_> {
    /// Why something is not to be tried: its prediction, if over the limit.
    fn over_limit(&self, cost: &TimeKind, services: u32) -> Option<String> {
        let limit = self.limit()?.as_secs_f64();
        let predicted = self.predictor.predict(cost, services)?;
        (predicted > limit).then(|| {
            format!(
                "predicted to take {predicted:.0} s, from the smaller scales of this run; the limit is {limit:.0} s \
                 (--no-limit measures it)"
            )
        })
    }

    /// All sync operations of one mode and scale, in a lab of their own.
    pub(super) fn sync(&mut self, cell: &Cell, rows: &mut Rows, sink: Sink<'_>) -> anyhow::Result<()> {
        let Some(sweep) = &self.sweep.sync else { return Ok(()) };
        let services = cell.scale.services;
        if cell.is_in_budget() {
            let expected = self.predictor.predict(&TimeKind::SyncCell(cell.mode), services).unwrap_or(0.0);
            if expected > sweep.budget_seconds - self.sync_spent {
                // Nothing is missing: a figure has as many blocks as fit, and says how many.
                return Ok(());
            }
        }
        if cell.mode == Mode::Replay {
            return self.replayed(cell, sweep, rows, sink);
        }
        let begun = Instant::now();
        let to = self.labs.set(cell.mode, cell.scale, self.sweep);
        let limit = self.limit();
        let cold = sweep.operations.contains(&Operation::Cold);
        let cost = TimeKind::Cold(cell.mode);
        let too_long = match self.predictor.predict(&cost, services) {
            Some(_) => self.over_limit(&cost, services),
            None => self
                .labs
                .admission()
                .too_long(cell.mode, cell.scale, Installing::Sync)
                .map(|why| why.to_string()),
        };
        let too_long = too_long.filter(|_| cold);
        let filled = self.labs.take_living(cell.mode, cell.scale);
        let installed = match too_long {
            Some(reason) => {
                rows.skip(Operation::Cold, &reason);
                filled
            }
            None if cold => {
                step(cell, Operation::Cold, sink);
                drop(filled);
                self.cold(cell, &to, rows)?
            }
            None => filled,
        };
        // The small changes do not need the one big transaction, only its result: the lab that has served
        // the lookups will do, else one loaded in pieces.
        let mut testbed = match installed {
            Some(testbed) => testbed,
            None => match self.filled(cell) {
                Ok(testbed) => testbed,
                Err(error) => {
                    let refusal = error.downcast::<Refusal>()?;
                    let others = sweep.operations.iter().filter(|&&operation| operation != Operation::Cold);
                    others.for_each(|&operation| rows.skip(operation, &refusal.to_string()));
                    return Ok(());
                }
            },
        };
        for &operation in sweep.operations.iter().filter(|&&operation| operation != Operation::Cold) {
            let cost = match operation {
                Operation::Append => TimeKind::Append(cell.mode),
                Operation::Restart | Operation::Resync => TimeKind::Restart(cell.mode),
                _ => TimeKind::Small(cell.mode),
            };
            if let Some(reason) = self.over_limit(&cost, services) {
                rows.skip(operation, &reason);
                continue;
            }
            step(cell, operation, sink);
            match sync::change(&mut testbed, operation, &mut self.number, limit) {
                Ok(samples) => {
                    if let Some(sample) = samples.last() {
                        self.note(cost, services, sample);
                    }
                    rows.sync(operation, &samples, None);
                }
                Err(error) => match out_of_time(&error) {
                    Some(reason) => {
                        self.predictor.note(cost, services, self.sweep.limit_seconds * 2.0);
                        rows.skip(operation, &reason);
                    }
                    None => rows.fail_operation(operation, &explain(&error)),
                },
            }
        }
        if let Err(error) = testbed.verify_counts() {
            // Times of syncs that left something other than the model are no figures.
            rows.invalidate(&explain(&error));
            return Ok(());
        }
        self.predictor.note(TimeKind::SyncCell(cell.mode), services, begun.elapsed().as_secs_f64());
        self.labs.keep(cell.mode, cell.scale, testbed);
        Ok(())
    }

    /// A cold full sync in a lab of its own, which is returned if all went well.
    fn cold(&mut self, cell: &Cell, to: &ServiceSet, rows: &mut Rows) -> anyhow::Result<Option<Testbed>> {
        let cost = TimeKind::Cold(cell.mode);
        let mut testbed = self.labs.empty(cell.mode, cell.scale, self.node, self.sweep.seed, self.stop)?;
        labs::settle(cell.scale.services);
        // Only now is the memory of the lab before free again.
        let now = Machine::now();
        if let Some(refusal) = self.labs.admission().too_large(cell.mode, cell.scale, Installing::Sync, &now)
        {
            rows.skip(Operation::Cold, &refusal.to_string());
            return Ok(None);
        }
        match sync::cold(&mut testbed, to, self.limit()) {
            Ok((sample, counts)) => {
                self.note(cost, cell.scale.services, &sample);
                rows.sync(Operation::Cold, &[sample], Some(counts));
                Ok(Some(testbed))
            }
            Err(error) => {
                match out_of_time(&error) {
                    Some(reason) => {
                        // It ran into the limit although its prediction did not: say so, and remember.
                        self.predictor.note(cost, cell.scale.services, self.sweep.limit_seconds * 2.0);
                        rows.skip(Operation::Cold, &reason);
                    }
                    None => rows.fail_operation(Operation::Cold, &explain(&error)),
                }
                Ok(None)
            }
        }
    }

    /// A lab that has been used already if there is one that will do, else one filled anew.
    fn used(&mut self, cell: &Cell, will_do: impl Fn(&Testbed) -> bool) -> anyhow::Result<Testbed> {
        let kept = self.labs.take(cell.mode, cell.scale).filter(will_do);
        match kept.or_else(|| self.labs.take_living(cell.mode, cell.scale)) {
            Some(testbed) => Ok(testbed),
            None => self.filled(cell),
        }
    }

    /// A lab filled in the quickest way, outside any timed region.
    fn filled(&mut self, cell: &Cell) -> anyhow::Result<Testbed> {
        let to = self.labs.set(cell.mode, cell.scale, self.sweep);
        // Before there is anything of it.
        if let Some(refusal) = self.labs.admission().too_long(cell.mode, cell.scale, Installing::Load) {
            return Err(refusal.into());
        }
        let mut testbed = self.labs.empty(cell.mode, cell.scale, self.node, self.sweep.seed, self.stop)?;
        let now = Machine::now();
        if let Some(refusal) = self.labs.admission().too_large(cell.mode, cell.scale, Installing::Load, &now)
        {
            return Err(refusal.into());
        }
        testbed.load(&to, None).context("filling a lab")?;
        testbed.verify_counts()?;
        Ok(testbed)
    }

    fn note(&mut self, cost: TimeKind, services: u32, sample: &sync::Sample) {
        let nanoseconds = sample.generate.unwrap_or(0) + sample.applied.nanoseconds();
        self.predictor.note(cost, services, nanoseconds as f64 / 1e9);
    }

    /// Contention for the lock, in the lab that the syncs have left.
    pub(super) fn lock(
        &mut self,
        cell: &Cell,
        contenders: u32,
        rows: &mut Rows,
        sink: Sink<'_>,
    ) -> anyhow::Result<()> {
        let Some(sweep) = &self.sweep.lock else { return Ok(()) };
        let services = cell.scale.services;
        let cost = TimeKind::LockRound(cell.mode, contenders);
        let known = Known {
            has_lock: Tools::of(cell.mode).take_the_lock(),
            predicted: self.predictor.predict(&cost, services),
            alone: self.predictor.seen(&TimeKind::Small(cell.mode), services),
        };
        let patience = Patience::of(sweep, known, self.limit().is_none());
        let mut testbed = self.used(cell, |_| true)?;
        labs::settle(services);
        let mut alive = |what: String| {
            let Scale { services, endpoints } = cell.scale;
            sink(Event::Step(format!(
                "{} {services} x {endpoints}, {what} against {contenders} contenders",
                cell.mode
            )));
        };
        let found = lock_contention::measure(&mut testbed, contenders, sweep.seconds, &patience, &mut alive)?;
        if let Some(seconds) = found.round_seconds() {
            self.predictor.note(cost, services, seconds);
        }
        rows.lock(&found);
        if found.is_torn() {
            drop(testbed);
            labs::settle(services);
        } else {
            self.labs.keep(cell.mode, cell.scale, testbed);
        }
        Ok(())
    }
}

/// A change of rules that is predicted, measured in the lab that the syncs have left, and noted.
struct InUsedLab {
    kind: TimeKind,
    /// Of the section.
    limit_seconds: f64,
    /// What is predicted to take so long.
    what: &'static str,
    /// And how.
    how: &'static str,
}

impl Lane<'_> {
    /// A scenario, in the lab that the syncs have left.
    pub(super) fn churn(&mut self, cell: &Cell, scenario: Scenario, rows: &mut Rows) -> anyhow::Result<()> {
        let Some(section) = &self.sweep.churn else { return Ok(()) };
        let (kind, limit_seconds) = (TimeKind::Churn(cell.mode, scenario), section.limit_seconds);
        let limit = self.limit().map(|_| Duration::from_secs_f64(limit_seconds));
        let seed = self.sweep.seed ^ u64::from(cell.block);
        let terms = InUsedLab { kind, limit_seconds, what: "its syncs are", how: "together" };
        let measure = |testbed: &mut Testbed| churn::measure(testbed, scenario, section.pods, seed, limit);
        let Some(found) = self.in_used_lab(cell, &terms, rows, measure)? else { return Ok(()) };
        self.predictor.note(kind, cell.scale.services, found.busy() as f64 / 1e9);
        rows.churn(&found);
        Ok(())
    }

    /// A load while rules change.
    pub(super) fn disruption(
        &mut self,
        cell: &Cell,
        change: RuleChange,
        workload: load::Workload,
        rows: &mut Rows,
    ) -> anyhow::Result<()> {
        let Some(section) = &self.sweep.disruption else { return Ok(()) };
        let (kind, limit_seconds) = (TimeKind::Disruption(cell.mode, change), section.limit_seconds);
        let seed = self.sweep.seed ^ u64::from(cell.block);
        let config = section.config(workload, self.limit().is_some(), seed);
        let cores = self.cores.clone();
        let terms = InUsedLab { kind, limit_seconds, what: "a sync is", how: "beside the load" };
        let measure = |testbed: &mut Testbed| disruption::measure(testbed, change, &config, &cores);
        let Some(found) = self.in_used_lab(cell, &terms, rows, measure)? else { return Ok(()) };
        let longest = found.steps.iter().map(|step| step.applied_ns - step.decided_ns).max();
        self.predictor.note(kind, cell.scale.services, longest.unwrap_or(0) as f64 / 1e9);
        rows.disruption(&found);
        Ok(())
    }

    /// Measures in the lab that the syncs have left, unless it is predicted to take too long. `None`: a row says why there is
    /// nothing.
    fn in_used_lab<T>(
        &mut self,
        cell: &Cell,
        terms: &InUsedLab,
        rows: &mut Rows,
        measure: impl FnOnce(&mut Testbed) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        let &InUsedLab { kind, limit_seconds, what, how } = terms;
        let services = cell.scale.services;
        let predicted = self.predictor.predict(&kind, services).unwrap_or(0.0);
        if self.limit().is_some() && predicted > limit_seconds {
            let reason = format!(
                "{what} predicted to take {predicted:.0} s {how}, from the smaller scales of this run; the limit is \
                 {limit_seconds:.0} s (--no-limit measures it)"
            );
            cell.skip(self.sweep, rows, &reason);
            return Ok(None);
        }
        let mut testbed = self.used(cell, |testbed| !testbed.disturbed)?;
        labs::settle(services);
        match measure(&mut testbed) {
            Ok(found) => {
                self.labs.keep(cell.mode, cell.scale, testbed);
                Ok(Some(found))
            }
            Err(error) => match out_of_time(&error) {
                Some(reason) => {
                    self.predictor.note(kind, services, limit_seconds * 2.0);
                    cell.skip(self.sweep, rows, &reason);
                    Ok(None)
                }
                None => Err(error),
            },
        }
    }
}

/// Says what comes next; for a guest it is also the sign that it is alive.
pub(super) fn step(cell: &Cell, operation: Operation, sink: Sink<'_>) {
    let scale = cell.scale;
    sink(Event::Step(format!(
        "{} {} x {}, {}",
        cell.mode,
        scale.services,
        scale.endpoints,
        operation.name()
    )));
}
