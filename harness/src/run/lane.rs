//! One lane: the cells of a sweep on one kernel with one clock, in order, each to rows; what can't be measured
//! becomes a row that says why. The same loop runs on the host and inside a guest; only where the rows go differs.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use results::record::{Clock, Record};
use results::timeline::{ImpactRow, TimelineRow};

use super::Tally;
use super::before::Before;
use super::foresight::Foresight;
use super::labs::Labs;
use super::replayed;
use super::rows::Rows;
use crate::capacity::{Capacity, Installing, Machine, Refusal};
use crate::cells::{Cell, Workload};
use crate::churn::scenario::Scenario;
use crate::connect;
use crate::cores::Cores;
use crate::dataplane::{Mode, Node, planner};
use crate::disruption::Happening;
use crate::estimate;
use crate::events::{Event, Outcome, Sink};
use crate::explain::explain;
use crate::forwarding;
use crate::health::Health;
use crate::load;
use crate::lookup;
use crate::neighbours::Neighbours;
use crate::predict::Predictor;
use crate::scale::Scale;
use crate::stop::Stop;
use crate::sweep::Sweep;

/// Where the rows of a lane go.
pub trait Outlet {
    /// The next cell belongs to this block of lookups; `None`: to none.
    ///
    /// # Errors
    /// If that cannot be noted.
    fn enter(&mut self, block: Option<u32>) -> anyhow::Result<()>;

    /// Takes what a cell found. When this returns, the rows survive whatever happens next.
    ///
    /// # Errors
    /// If they cannot be kept.
    fn cell(&mut self, found: Found) -> anyhow::Result<()>;
}

/// What a cell found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Its rows.
    pub records: Vec<Record>,
    /// Distributions, by the tag that their rows carry.
    pub histograms: Vec<(String, Histogram<u64>)>,
    /// Syncs of a scenario, one by one.
    pub timeline: Vec<TimelineRow>,
    /// What a load felt of syncs, over time.
    pub felt: Vec<ImpactRow>,
}

/// What the rows of a lane have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Identifier of the run.
    pub run: String,
    /// Which lane, as histogram tags begin; empty for the host's.
    pub lane: String,
    /// What the clock counts.
    pub clock: Clock,
    /// `uname -r`.
    pub kernel: String,
    /// What the kernel runs on.
    pub hypervisor: String,
}

/// Kinds of time that are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cost {
    /// A cold full sync.
    Cold(Mode),
    /// Any small sync: they list the same and differ little in what they write.
    Small(Mode),
    /// A full sync over what is installed.
    Restart(Mode),
    /// One rule or element.
    Append(Mode),
    SyncCell(Mode),
    /// A partial and a full sync against so many contenders.
    LockRound(Mode, u32),
    /// All syncs of a scenario together.
    Churn(Mode, Scenario),
    /// The longest sync beside a load.
    Disruption(Mode, Happening),
}

/// How a lane is to be measured.
pub struct Settings<'a> {
    /// What to measure.
    pub sweep: &'a Sweep,
    /// What its rows have in common.
    pub mark: Mark,
    /// Modes that cannot run here, with the reason.
    pub unable: BTreeMap<Mode, String>,
    /// Whether to measure whatever is predicted to take longer than the sweep's limit, too.
    pub no_limit: bool,
    /// What is done already.
    pub before: Before,
}

/// The loop over a lane's cells.
pub struct Lane<'a> {
    pub(super) sweep: &'a Sweep,
    pub(super) stop: &'a Stop,
    pub(super) node: Node,
    pub(super) predictor: Predictor<Cost>,
    pub(super) labs: Labs,
    pub(super) sync_spent: f64,
    /// Numbers for Services and endpoints that a sync adds.
    pub(super) number: u32,
    no_limit: bool,
    pub(super) cores: Cores,
    unable: BTreeMap<Mode, String>,
    /// Scales that a mode cannot hold, with the reason.
    unfit: BTreeMap<(Mode, Scale), String>,
    mark: Mark,
    finished: HashSet<u32>,
    tally: Tally,
    health: Health,
}

impl<'a> Lane<'a> {
    /// Nothing is measured yet.
    pub fn new(settings: Settings<'a>, cores: Cores, stop: &'a Stop) -> Self {
        let Settings { sweep, mark, unable, no_limit, before } = settings;
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
            health: Health::watch(),
        }
    }

    /// Measures what is left of `cells`.
    ///
    /// # Errors
    /// What keeps rows from being kept. A cell that fails is a row, not an error.
    pub fn measure(
        mut self,
        cells: &[Cell],
        outlet: &mut dyn Outlet,
        sink: Sink<'_>,
    ) -> anyhow::Result<Tally> {
        let left = |run: &Self, from: usize| -> Vec<Cell> {
            cells[from..].iter().filter(|cell| !run.finished.contains(&cell.order)).copied().collect()
        };
        let pending = left(&self, 0);
        let expected = estimate::remaining(self.sweep, &pending, false, 0.0);
        let mut finished = cells.len() - pending.len();
        sink(Event::Started { cells: cells.len(), finished, expected });
        for (mode, reason) in &self.unable {
            sink(Event::Unable(*mode, reason.clone()));
        }
        if !self.health.sees() {
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
            outlet.enter(of_lookups(&cell).then_some(cell.block))?;
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
            let found = rows.into_found();
            if !found.records.is_empty() {
                outlet.cell(found)?;
            }
            self.finished.insert(cell.order);
            finished += 1;
            match &outcome {
                Outcome::NotNeeded => {}
                Outcome::Done => self.tally.done += 1,
                Outcome::Skipped(_) => self.tally.skipped += 1,
                Outcome::Failed(_) => self.tally.failed += 1,
            }
            let left = estimate::remaining(self.sweep, &left(&self, index + 1), true, self.sync_spent);
            sink(Event::Ended { cell: *cell, outcome, finished, of: cells.len(), left });
        }
        outlet.enter(None)?;
        Ok(self.tally)
    }

    /// Finds the scales that a mode, or this machine, cannot hold.
    fn find_unfit(&mut self, cells: &[Cell]) {
        let mut labs: Vec<(Mode, Scale)> = cells.iter().map(|cell| (cell.mode, cell.scale)).collect();
        labs.sort_unstable();
        labs.dedup();
        labs.retain(|(mode, _)| !self.unable.contains_key(mode));
        let mut foresight = Foresight::new(self.limit().filter(|_| self.mark.clock == Clock::Wall));
        let now = Machine::now();
        for (mode, scale) in labs {
            let set = self.labs.set(mode, scale, self.sweep);
            let dataplane = planner(mode, self.node);
            if let Err(reason) = dataplane.fits(&set) {
                self.unfit.insert((mode, scale), reason.to_string());
                continue;
            }
            let neighbours = self.sweep.neighbours.filter(|_| Neighbours::are_in(mode));
            let extra = neighbours.map(|neighbours| neighbours.counts(mode)).unwrap_or_default();
            let planted = self.sweep.plant.map(|plant| plant.counts(mode)).unwrap_or_default();
            foresight.note(mode, scale, Capacity::of_set(mode, dataplane.as_ref(), &set, extra + planted));
            if let Some(refusal) = foresight.too_large(mode, scale, Installing::Load, &now) {
                self.unfit.insert((mode, scale), refusal.to_string());
            }
        }
        self.labs.foresee(foresight);
    }

    pub(super) fn limit(&self) -> Option<Duration> {
        (!self.no_limit).then(|| Duration::from_secs_f64(self.sweep.limit_seconds))
    }

    /// Measures one cell, or says why not.
    fn cell(&mut self, cell: &Cell, sink: Sink<'_>) -> Rows {
        let mut rows = Rows::new(cell, &self.mark);
        let unfit = || self.unfit.get(&(cell.mode, cell.scale));
        if let Some(reason) = self.unable.get(&cell.mode).or_else(unfit) {
            // Once is enough; the cell keeps its place in every block, so that a resumed run finds its own.
            if cell.block == 1 {
                rows.skip_all(self.sweep, reason);
            }
            return rows;
        }
        self.health.ill();
        let begun = Instant::now();
        if let Err(error) = self.workload(cell, &mut rows, sink) {
            match error.downcast_ref::<Refusal>() {
                Some(refusal) => rows.skip_all(self.sweep, &refusal.to_string()),
                None => rows.fail(&explain(&error)),
            }
        }
        if matches!(cell.workload, Workload::Sync) {
            self.sync_spent += begun.elapsed().as_secs_f64();
        }
        if let Some(ill) = self.health.ill() {
            rows.invalidate(&format!("the kernel was not well during this cell: {ill}"));
        }
        rows
    }

    /// Why a cell of a replayed ruleset is not measured; `None`: it is, or is of another mode.
    fn not_replayed(&self, cell: &Cell) -> Option<String> {
        let replay = self.sweep.replay.as_ref().filter(|_| cell.mode == Mode::Replay)?;
        replayed::not_measured(cell.workload, replay)
    }

    fn workload(&mut self, cell: &Cell, rows: &mut Rows, sink: Sink<'_>) -> anyhow::Result<()> {
        if let Some(reason) = self.not_replayed(cell) {
            // Once is enough.
            if cell.block == 1 {
                rows.skip_all(self.sweep, &reason);
            }
            return Ok(());
        }
        match cell.workload {
            Workload::Lookup(position) => {
                let Some(sweep) = &self.sweep.lookup else { return Ok(()) };
                // All cells of a run send the same packets, or the controls would be none.
                let protocol = self.sweep.protocol();
                match self.labs.living(cell.mode, cell.scale) {
                    Err(reason) => rows.missing_lab(&reason),
                    Ok(world) => {
                        let found = lookup::measure(world, position, protocol, sweep.probes, &self.cores)?;
                        rows.lookup(found);
                        if let Some(shares) = world.take_shares() {
                            rows.shares(&shares);
                        }
                    }
                }
            }
            Workload::Connect(position) => {
                let Some(sweep) = &self.sweep.connect else { return Ok(()) };
                match self.labs.living(cell.mode, cell.scale) {
                    Err(reason) => rows.missing_lab(&reason),
                    Ok(world) => {
                        rows.connect(&connect::measure(world, position, sweep.transactions, &self.cores)?);
                    }
                }
            }
            Workload::Load(workload, offered) => {
                let Some(sweep) = &self.sweep.load else { return Ok(()) };
                let seed = self.sweep.seed ^ u64::from(cell.block);
                match self.labs.living(cell.mode, cell.scale) {
                    Err(reason) => rows.missing_lab(&reason),
                    Ok(world) => {
                        let order = load::of_cell(sweep, workload, offered, seed);
                        rows.load(&load::through(world, &order, &self.cores, self.stop)?, offered);
                    }
                }
            }
            Workload::Sync => self.sync(cell, rows, sink)?,
            Workload::Lock(contenders) => self.lock(cell, contenders, rows, sink)?,
            Workload::Churn(scenario) => self.churn(cell, scenario, rows)?,
            Workload::Disruption(happening, workload) => self.disruption(cell, happening, workload, rows)?,
            Workload::Forwarding(method, response) => {
                let Some(sweep) = &self.sweep.forwarding else { return Ok(()) };
                if let Some(missing) = method.needs().iter().find_map(|&need| netns_setup::check(need).err())
                {
                    rows.skip_all(self.sweep, &missing.to_string());
                    return Ok(());
                }
                let config = forwarding::Config {
                    connections: sweep.connections,
                    response_bytes: response.bytes(),
                    seed: self.sweep.seed,
                };
                rows.forwarding(&forwarding::measure(method, &config, &self.cores)?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells;

    fn settings(sweep: &Sweep) -> Settings<'_> {
        let mark = Mark {
            run: "r".into(),
            lane: String::new(),
            clock: Clock::Wall,
            kernel: "k".into(),
            hypervisor: String::new(),
        };
        Settings { sweep, mark, unable: BTreeMap::new(), no_limit: false, before: Before::default() }
    }

    #[test]
    fn a_scale_that_a_mode_cannot_hold_is_skipped_with_the_reason() {
        let text = "question = \"?\"\nseed = 1\nmodes = [\"ipvs\", \"nftables\"]\nservices = [10, 65537]\nendpoints = 1\n\
                    [lookup]\nblocks = 2\npositions = [\"last\"]\nprobes = 10\n[lock]\ncontenders = [4]\nseconds = 1";
        let sweep = Sweep::parse("test", text).unwrap();
        let settings = settings(&sweep);
        let stop = Stop::new();
        let mut lane = Lane::new(settings, Cores::choose().unwrap(), &stop);
        let cells = cells::order(&sweep);
        lane.find_unfit(&cells);
        let large = Scale { services: 65_537, endpoints: 1 };
        assert_eq!(lane.unfit.keys().collect::<Vec<_>>(), [&(Mode::Ipvs, large)]);
        for cell in cells.iter().filter(|cell| (cell.mode, cell.scale) == (Mode::Ipvs, large)) {
            match lane.cell(cell, &mut |_| ()).outcome() {
                Outcome::Skipped(reason) => {
                    assert!(cell.block == 1 && reason.contains("65537 entries"), "{reason}")
                }
                outcome => assert!(cell.block > 1 && outcome == Outcome::NotNeeded, "{outcome:?}"),
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
        let counts = crate::dataplane::Counts { rules: 1, ..crate::dataplane::Counts::default() };
        let small = Capacity::of(Mode::Nftables, 10, 10, &counts);
        let mut foresight = Foresight::new(lane.limit());
        foresight.note(Mode::Nftables, scale, Capacity { sync_seconds: 60.0, load_seconds: 40.0, ..small });
        lane.labs.foresee(foresight);
        for cell in &cells::order(&sweep) {
            let found = lane.cell(cell, &mut |_| ()).into_found();
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
