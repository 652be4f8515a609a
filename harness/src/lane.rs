//! One lane: the cells of a sweep on one kernel with one clock, in order, each to rows; what can't be measured
//! becomes a row that says why. The same loop runs on the host and inside a guest; only where the rows go differs.

mod folder;
mod interference;
mod labs;
mod measure;
mod needs;
mod replayed;
mod result_sink;
mod resume;
mod subjects;
mod syncs;
mod systems;
mod tally;
mod time_kind;

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use dataplane::background::Background;
use dataplane::{Mode, Node, planner};
use experiments::rows::{CellOutcome, LaneId, Rows};
use lab::cores::Cores;
use lab::explain::explain;
use lab::stop::Stop;
use results::record::{Clock, Record};
use services::service_set::Scale;

pub use self::folder::{ENVIRONMENT, Folder, HISTOGRAMS, HostSink, RECORDS, SWEEP};
use self::labs::Labs;
pub use self::needs::{LAB_NEEDS, Unable, lab_obstacles, unable_in, unable_modes};
pub use self::result_sink::ResultSink;
pub use self::resume::{Resume, check_order};
use self::subjects::Subjects;
pub use self::subjects::{Files, GivenFile, NoSubject, look_at};
pub use self::tally::Tally;
use self::time_kind::TimeKind;
use crate::events::{Event, Sink};
use crate::forecast::admission::Admission;
use crate::forecast::duration;
use crate::forecast::extrapolate::Predictor;
use crate::forecast::footprint::{Footprint, Installing, Machine, Refusal};
use crate::host::kernel_log::KernelLog;
use crate::sweep::Sweep;
use crate::sweep::cell::{Cell, Workload};

/// How a lane is to be measured.
pub struct Settings<'a> {
    /// What to measure.
    pub sweep: &'a Sweep,
    /// What its rows have in common.
    pub mark: LaneId,
    /// Modes that cannot run here, with the reason.
    pub unable: BTreeMap<Mode, String>,
    /// Whether to measure whatever is predicted to take longer than the sweep's limit, too.
    pub no_limit: bool,
    /// What is done already.
    pub before: Resume,
    /// Real kube-proxies that are elsewhere than the sweep says.
    pub files: Files,
}

/// The loop over a lane's cells.
pub struct Lane<'a> {
    sweep: &'a Sweep,
    stop: &'a Stop,
    node: Node,
    predictor: Predictor<TimeKind>,
    labs: Labs,
    sync_spent: f64,
    /// Numbers for Services and endpoints that a sync adds.
    number: u32,
    no_limit: bool,
    cores: Cores,
    unable: BTreeMap<Mode, String>,
    /// Scales that a mode cannot hold, with the reason.
    unfit: BTreeMap<(Mode, Scale), String>,
    mark: LaneId,
    finished: HashSet<u32>,
    tally: Tally,
    kernel_log: KernelLog,
    /// Real kube-proxies that were looked at, by their places in the sweep.
    subjects: Subjects,
    files: Files,
}

impl<'a> Lane<'a> {
    /// Nothing is measured yet.
    pub fn new(settings: Settings<'a>, cores: Cores, stop: &'a Stop) -> Self {
        let Settings { sweep, mark, unable, no_limit, before, files } = settings;
        Self {
            sweep,
            stop,
            node: sweep.node(),
            predictor: before.predictor,
            labs: Labs::of(sweep),
            sync_spent: before.sync_spent,
            number: 0,
            no_limit,
            cores,
            unable,
            unfit: BTreeMap::new(),
            mark,
            finished: before.finished,
            tally: before.tally,
            kernel_log: KernelLog::watch(),
            subjects: Subjects::default(),
            files,
        }
    }

    /// Measures what is left of `cells`.
    ///
    /// # Errors
    /// What keeps rows from being kept. A cell that fails is a row, not an error.
    pub fn measure(
        mut self,
        cells: &[Cell],
        results: &mut dyn ResultSink,
        sink: Sink<'_>,
    ) -> anyhow::Result<Tally> {
        let left = |run: &Self, from: usize| -> Vec<Cell> {
            cells[from..].iter().filter(|cell| !run.finished.contains(&cell.order)).copied().collect()
        };
        let pending = left(&self, 0);
        let expected = duration::remaining(self.sweep, &pending, false, 0.0);
        let mut finished = cells.len() - pending.len();
        sink(Event::Started { cells: cells.len(), finished, expected });
        for (mode, reason) in &self.unable {
            sink(Event::Unable(*mode, reason.clone()));
        }
        if !self.kernel_log.is_readable() {
            sink(Event::Warning(
                "the kernel log is not readable: lockups during a cell would go unseen".into(),
            ));
        }
        let of_lookups = |cell: &&Cell| cell.workload.is_of_lookups();
        let mut wanted: Vec<(Mode, Scale)> = pending
            .iter()
            .filter(of_lookups)
            .filter(|cell| !self.unable.contains_key(&cell.mode) && self.not_replayed(cell).is_none())
            .map(|cell| (cell.mode, cell.scale))
            .collect();
        wanted.sort_by_key(|&(mode, scale)| (scale, mode));
        wanted.dedup();
        self.find_unfit(&pending);
        wanted.retain(|lab| !self.unfit.contains_key(lab));
        self.labs.load_all(&wanted, self.sweep, self.node, self.limit(), self.stop, sink);

        for (index, cell) in cells.iter().enumerate() {
            if self.finished.contains(&cell.order) {
                continue;
            }
            if self.stop.is_requested() {
                self.tally.interrupted = true;
                break;
            }
            if !of_lookups(&cell) {
                // The labs of controls have served; the others wait for their syncs.
                self.labs.drop_living(|mode| mode.is_control());
            }
            results.enter(of_lookups(&cell).then_some(cell.block))?;
            sink(Event::Cell(*cell));
            let mut rows = self.cell(cell, sink);
            if cell.again {
                // The first visit has said why.
                rows.drop_skipped();
            }
            if self.stop.is_requested() {
                // What was cut short is no figure; a resumed run measures it again.
                self.tally.interrupted = true;
                break;
            }
            let outcome = rows.outcome();
            let found = rows.into_result();
            if !found.records.is_empty() {
                results.cell(found)?;
            }
            self.finished.insert(cell.order);
            finished += 1;
            match &outcome {
                CellOutcome::NotNeeded => {}
                CellOutcome::Done => self.tally.done += 1,
                CellOutcome::Skipped(_) => self.tally.skipped += 1,
                CellOutcome::Failed(_) => self.tally.failed += 1,
            }
            let left = duration::remaining(self.sweep, &left(&self, index + 1), true, self.sync_spent);
            sink(Event::Ended { cell: *cell, outcome, finished, of: cells.len(), left });
        }
        results.enter(None)?;
        Ok(self.tally)
    }

    /// Finds the scales that a mode, or this machine, cannot hold.
    fn find_unfit(&mut self, cells: &[Cell]) {
        let mut labs: Vec<(Mode, Scale)> = cells.iter().map(|cell| (cell.mode, cell.scale)).collect();
        labs.sort_unstable();
        labs.dedup();
        labs.retain(|(mode, _)| !self.unable.contains_key(mode));
        let mut admission = Admission::new(self.limit().filter(|_| self.mark.clock == Clock::Wall));
        let now = Machine::now();
        for (mode, scale) in labs {
            let set = self.labs.set(mode, scale, self.sweep);
            let dataplane = planner(mode, self.node);
            if let Err(reason) = dataplane.fits(&set) {
                self.unfit.insert((mode, scale), reason.to_string());
                continue;
            }
            let background = self.sweep.background.filter(|_| Background::are_in(mode));
            let extra = background.map(|background| background.counts(mode)).unwrap_or_default();
            let injected = self.sweep.injected.map(|injected| injected.counts(mode)).unwrap_or_default();
            admission.note(mode, scale, Footprint::of_set(mode, dataplane.as_ref(), &set, extra + injected));
            if let Some(refusal) = admission.too_large(mode, scale, Installing::Load, &now) {
                self.unfit.insert((mode, scale), refusal.to_string());
            }
        }
        self.labs.admit(admission);
    }

    fn limit(&self) -> Option<Duration> {
        (!self.no_limit).then(|| Duration::from_secs_f64(self.sweep.limit_seconds))
    }

    /// Measures one cell, or says why not.
    fn cell(&mut self, cell: &Cell, sink: Sink<'_>) -> Rows {
        let mut rows = cell.rows(&self.mark);
        self.name_system(cell, &mut rows);
        let unfit = || self.unfit.get(&(cell.mode, cell.scale));
        if let Some(reason) = self.unable.get(&cell.mode).or_else(unfit) {
            // Once is enough; the cell keeps its place in every block, so that a resumed run finds its own.
            if cell.block == 1 {
                cell.skip(self.sweep, &mut rows, reason);
            }
            return rows;
        }
        self.kernel_log.problem();
        let begun = Instant::now();
        if let Err(error) = self.workload(cell, &mut rows, sink) {
            match error.downcast_ref::<Refusal>() {
                Some(refusal) => cell.skip(self.sweep, &mut rows, &refusal.to_string()),
                None => rows.fail(&explain(&error)),
            }
        }
        if matches!(cell.workload, Workload::Sync) {
            self.sync_spent += begun.elapsed().as_secs_f64();
        }
        if let Some(ill) = self.kernel_log.problem() {
            rows.invalidate(&format!("the kernel was not well during this cell: {ill}"));
        }
        rows
    }
}

/// Rows of a cell that was lost for a reason that lies outside it.
pub fn lost_cell(cell: &Cell, mark: &LaneId, reason: &str) -> Vec<Record> {
    let mut rows = cell.rows(mark);
    rows.fail(reason);
    rows.into_result().records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::order;

    fn settings(sweep: &Sweep) -> Settings<'_> {
        let mark = LaneId {
            run: "r".into(),
            lane: String::new(),
            clock: Clock::Wall,
            kernel: "k".into(),
            hypervisor: String::new(),
        };
        Settings {
            sweep,
            mark,
            unable: BTreeMap::new(),
            no_limit: false,
            before: Resume::default(),
            files: Files::new(),
        }
    }

    #[test]
    fn a_scale_that_a_mode_cannot_hold_is_skipped_with_the_reason() {
        let text = "question = \"?\"\nseed = 1\nmodes = [\"ipvs\", \"nftables\"]\nservices = [10, 65537]\nendpoints = 1\n\
                    [lookup]\nblocks = 2\npositions = [\"last\"]\nprobes = 10\n[lock]\ncontenders = [4]\nseconds = 1";
        let sweep = Sweep::parse("test", text).unwrap();
        let settings = settings(&sweep);
        let stop = Stop::new();
        let mut lane = Lane::new(settings, Cores::choose().unwrap(), &stop);
        let cells = order::order(&sweep);
        lane.find_unfit(&cells);
        let large = Scale { services: 65_537, endpoints: 1 };
        assert_eq!(lane.unfit.keys().collect::<Vec<_>>(), [&(Mode::Ipvs, large)]);
        for cell in cells.iter().filter(|cell| (cell.mode, cell.scale) == (Mode::Ipvs, large)) {
            match lane.cell(cell, &mut |_| ()).outcome() {
                CellOutcome::Skipped(reason) => {
                    assert!(cell.block == 1 && reason.contains("65537 entries"), "{reason}")
                }
                outcome => assert!(cell.block > 1 && outcome == CellOutcome::NotNeeded, "{outcome:?}"),
            }
        }
    }

    #[test]
    fn what_takes_far_too_long_is_skipped_before_there_is_a_lab() {
        let text = "question = \"?\"\nseed = 1\nmodes = [\"nftables\"]\nservices = [10]\nendpoints = 1\nlimit_seconds = 5\n\
                    [sync]\noperations = [\"cold\", \"noop\"]\nblocks = 1\nbudget_seconds = 9\n[lock]\ncontenders = [4]\nseconds = 1";
        let sweep = Sweep::parse("test", text).unwrap();
        let settings = settings(&sweep);
        let stop = Stop::new();
        let mut lane = Lane::new(settings, Cores::choose().unwrap(), &stop);
        let scale = Scale { services: 10, endpoints: 1 };
        let counts = dataplane::Counts { rules: 1, ..dataplane::Counts::default() };
        let small = Footprint::of(Mode::Nftables, 10, 10, &counts);
        let mut admission = Admission::new(lane.limit());
        admission.note(Mode::Nftables, scale, Footprint { sync_seconds: 60.0, load_seconds: 40.0, ..small });
        lane.labs.admit(admission);
        for cell in &order::order(&sweep) {
            let found = lane.cell(cell, &mut |_| ()).into_result();
            let notes: Vec<&str> = found.records.iter().map(|record| record.note.as_str()).collect();
            let predicted: Vec<bool> =
                notes.iter().map(|note| note.contains("predicted to take 40 s, from constants")).collect();
            match cell.workload {
                Workload::Sync => {
                    assert!(notes[0].contains("a cold full sync is predicted to take 60 s"), "{notes:?}");
                    assert_eq!(predicted, [false, true], "{notes:?}");
                }
                _ => assert_eq!(predicted, [true], "{notes:?}"),
            }
        }
    }
}
