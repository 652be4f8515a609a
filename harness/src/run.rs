//! The loop: cells in order, each to rows on disk; what can't be measured becomes a row that says why.

mod before;
mod interference;
mod labs;
mod rows;
mod syncs;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use netns_setup::Need;
use results::environment::Environment;
use results::histogram::HistogramWriter;
use results::record_file::{RecordWriter, recover};

use self::before::Before;
use self::interference::Interference;
use self::labs::Labs;
use self::rows::Rows;
use crate::cells::{self, Cell, Workload};
use crate::connect;
use crate::cores::Cores;
use crate::dataplane::{Mode, Node};
use crate::estimate;
use crate::events::{Event, Outcome, Sink};
use crate::explain::explain;
use crate::health::Health;
use crate::lookup;
use crate::passport;
use crate::predict::Predictor;
use crate::scale::Scale;
use crate::stop::Stop;
use crate::sweep::Sweep;

/// Name of the rows' file in a run's folder.
pub const RECORDS: &str = "records.csv";
/// Name of the histogram log.
pub const HISTOGRAMS: &str = "histograms.hlog";
/// Name of the passport.
pub const ENVIRONMENT: &str = "environment.json";
/// Name of the copy of the sweep.
pub const SWEEP: &str = "sweep.toml";

/// Needs of every lab, whatever the mode.
pub const LAB_NEEDS: [Need; 5] =
    [Need::Root, Need::NetworkNamespace, Need::MountNamespace, Need::Tun, Need::Veth];

/// How a run is to be made.
pub struct Options {
    /// Folder for the results.
    pub out: PathBuf,
    /// Whether to go on with what is in the folder.
    pub resume: bool,
    /// Whether to measure whatever is predicted to take longer than the sweep's limit, too.
    pub no_limit: bool,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cells measured, by this run or the one it resumes.
    pub done: usize,
    /// Cells skipped for a stated reason.
    pub skipped: usize,
    /// Cells that failed.
    pub failed: usize,
    /// Whether somebody stopped it before its end.
    pub interrupted: bool,
}

/// Why this machine cannot run any cell.
#[derive(Debug, thiserror::Error)]
#[error("this machine cannot run any cell:\n{0}")]
pub struct Unable(pub String);

/// Modes that cannot run here, with the reason.
pub fn unable_modes(modes: &[Mode]) -> BTreeMap<Mode, String> {
    let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut reasons = BTreeMap::new();
    for &mode in modes {
        let missing = mode.needs().iter().find_map(|&need| {
            known
                .entry(format!("{need:?}"))
                .or_insert_with(|| {
                    netns_setup::check(need).err().map(|m| format!("{}: {}; {}", m.what, m.why, m.how))
                })
                .clone()
        });
        if let Some(reason) = missing {
            reasons.insert(mode, reason);
        }
    }
    reasons
}

/// What stands in the way of any lab, as text; `None`: nothing.
pub fn lab_obstacles() -> Option<String> {
    let missing: Vec<String> = LAB_NEEDS
        .iter()
        .filter_map(|&need| netns_setup::check(need).err())
        .map(|missing| format!("  {}: {}; {}", missing.what, missing.why, missing.how))
        .collect();
    (!missing.is_empty()).then(|| missing.join("\n"))
}

/// Runs a sweep. Rows are on disk as soon as their cell has ended, whatever happens next.
///
/// # Errors
/// [`Unable`], and what keeps results from being written. A cell that fails is a row, not an error.
pub fn run(
    sweep: &Sweep,
    sweep_text: &str,
    options: &Options,
    stop: &Stop,
    sink: Sink<'_>,
) -> anyhow::Result<Tally> {
    if let Some(obstacles) = lab_obstacles() {
        return Err(Unable(obstacles).into());
    }
    let unable = unable_modes(&sweep.modes);
    if sweep.modes.iter().all(|mode| unable.contains_key(mode)) {
        let reasons: Vec<String> =
            unable.iter().map(|(mode, reason)| format!("  {mode}: {reason}")).collect();
        return Err(Unable(reasons.join("\n")).into());
    }
    let cells = cells::order(sweep);
    let cores = Cores::choose()?;
    let mut run = Run::open(sweep, sweep_text, options, stop, cores, unable)?;
    let tally = run.all(&cells, sink)?;
    run.close()?;
    Ok(tally)
}

/// Kinds of time that are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Cost {
    /// A cold full sync.
    Cold(Mode),
    /// Any small sync: they list the same and differ little in what they write.
    Small(Mode),
    /// One rule or element.
    Append(Mode),
    SyncCell(Mode),
    LockRound(Mode),
}

struct Run<'a> {
    sweep: &'a Sweep,
    options: &'a Options,
    stop: &'a Stop,
    cores: Cores,
    unable: BTreeMap<Mode, String>,
    node: Node,
    environment: Environment,
    begun: Instant,
    steal: Option<u64>,
    records: RecordWriter,
    histograms: HistogramWriter,
    finished: HashSet<u32>,
    tally: Tally,
    predictor: Predictor<Cost>,
    labs: Labs,
    health: Health,
    interference: Interference,
    sync_spent: f64,
    /// Numbers for Services and endpoints that a sync adds.
    number: u32,
}

impl<'a> Run<'a> {
    fn open(
        sweep: &'a Sweep,
        sweep_text: &str,
        options: &'a Options,
        stop: &'a Stop,
        cores: Cores,
        unable: BTreeMap<Mode, String>,
    ) -> anyhow::Result<Self> {
        let out = &options.out;
        let exists = out.join(RECORDS).exists();
        anyhow::ensure!(
            options.resume || !exists,
            "{} holds a run already; give --resume to go on with it, or another --out",
            out.display()
        );
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let resumed = options.resume && exists;
        let started = passport::rfc3339(SystemTime::now());
        let environment = if resumed {
            let before =
                std::fs::read_to_string(out.join(SWEEP)).with_context(|| format!("no {SWEEP} to resume"))?;
            anyhow::ensure!(
                before == sweep_text,
                "{} was made with another sweep; its own is {}",
                out.display(),
                out.join(SWEEP).display()
            );
            let environment = Environment::read(&out.join(ENVIRONMENT))?;
            anyhow::ensure!(
                environment.kernel == passport::kernel(),
                "{} was measured on Linux {}, this is {}: their figures do not belong into one run",
                out.display(),
                environment.kernel,
                passport::kernel()
            );
            environment
        } else {
            let id = format!("{started}-{}", sweep.seed);
            passport::collect(sweep, &id, &started, cores.measuring)
        };
        std::fs::write(out.join(SWEEP), sweep_text).with_context(|| format!("cannot write {SWEEP}"))?;
        environment.write(&out.join(ENVIRONMENT))?;
        let before = if resumed { Before::read(&recover(&out.join(RECORDS))?) } else { Before::default() };
        Ok(Self {
            sweep,
            options,
            stop,
            unable,
            node: Node::lab(sweep.kube_proxy),
            environment,
            begun: Instant::now(),
            steal: passport::steal_ticks(),
            records: RecordWriter::open(&out.join(RECORDS))?,
            histograms: HistogramWriter::open(&out.join(HISTOGRAMS))?,
            finished: before.finished,
            tally: before.tally,
            predictor: before.predictor,
            labs: Labs::default(),
            health: Health::watch(),
            interference: Interference::new(out, cores.measuring),
            cores,
            sync_spent: before.sync_spent,
            number: 0,
        })
    }

    fn all(&mut self, cells: &[Cell], sink: Sink<'_>) -> anyhow::Result<Tally> {
        let left = |run: &Self, from: usize| -> Vec<Cell> {
            cells[from..].iter().filter(|cell| !run.finished.contains(&cell.order)).copied().collect()
        };
        let expected = estimate::remaining(self.sweep, &left(self, 0), false, 0.0);
        sink(Event::Started { cells: cells.len(), finished: self.finished.len(), expected });
        for (mode, reason) in &self.unable {
            sink(Event::Unable(*mode, reason.clone()));
        }
        if !self.health.sees() {
            sink(Event::Warning(
                "the kernel log is not readable: lockups during a cell would go unseen".into(),
            ));
        }
        let pending = left(self, 0);
        let of_lookups = |cell: &&Cell| matches!(cell.workload, Workload::Lookup(_) | Workload::Connect(_));
        let mut wanted: Vec<(Mode, Scale)> = pending
            .iter()
            .filter(of_lookups)
            .filter(|cell| !self.unable.contains_key(&cell.mode))
            .map(|cell| (cell.mode, cell.scale))
            .collect();
        wanted.sort_by_key(|&(mode, scale)| (scale, mode));
        wanted.dedup();
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
            self.interference.enter(of_lookups(&cell).then_some(cell.block))?;
            sink(Event::Cell(*cell));
            let rows = self.cell(cell);
            if self.stop.is_requested() {
                // What was cut short is no figure; a resumed run measures it again.
                self.tally.interrupted = true;
                break;
            }
            let outcome = rows.outcome();
            let records = rows.into_records();
            if !records.is_empty() {
                self.records.append_cell(&records)?;
            }
            self.finished.insert(cell.order);
            match &outcome {
                Outcome::NotNeeded => {}
                Outcome::Done => self.tally.done += 1,
                Outcome::Skipped(_) => self.tally.skipped += 1,
                Outcome::Failed(_) => self.tally.failed += 1,
            }
            let left = estimate::remaining(self.sweep, &left(self, index + 1), true, self.sync_spent);
            let (finished, of) = (self.finished.len(), cells.len());
            sink(Event::Ended { cell: *cell, outcome, finished, of, left });
        }
        Ok(self.tally)
    }

    fn close(mut self) -> anyhow::Result<()> {
        self.interference.enter(None)?;
        let elapsed = self.begun.elapsed().as_secs_f64();
        let before = self.environment.elapsed_seconds.unwrap_or(0.0);
        self.environment.elapsed_seconds = Some(((before + elapsed) * 10.0).round() / 10.0);
        let steal = passport::steal_ticks().zip(self.steal).map(|(now, then)| now.saturating_sub(then));
        self.environment.steal_ticks =
            self.environment.steal_ticks.map_or(steal, |old| steal.map(|new| old + new));
        self.environment.write(&self.options.out.join(ENVIRONMENT))?;
        Ok(())
    }

    fn limit(&self) -> Option<Duration> {
        (!self.options.no_limit).then(|| Duration::from_secs_f64(self.sweep.limit_seconds))
    }

    /// Measures one cell, or says why not.
    fn cell(&mut self, cell: &Cell) -> Rows {
        let mut rows = Rows::new(cell, &self.environment.run, &self.environment.kernel);
        if let Some(reason) = self.unable.get(&cell.mode) {
            // Once is enough; the cell keeps its place in every block, so that a resumed run finds its own.
            if cell.block == 1 {
                rows.skip_all(self.sweep, reason);
            }
            return rows;
        }
        self.health.ill();
        let begun = Instant::now();
        if let Err(error) = self.measure(cell, &mut rows) {
            rows.fail(&explain(&error));
        }
        if matches!(cell.workload, Workload::Sync) {
            self.sync_spent += begun.elapsed().as_secs_f64();
        }
        if let Some(ill) = self.health.ill() {
            rows.invalidate(&format!("the kernel was not well during this cell: {ill}"));
        }
        rows
    }

    fn measure(&mut self, cell: &Cell, rows: &mut Rows) -> anyhow::Result<()> {
        match cell.workload {
            Workload::Lookup(position) => {
                let Some(sweep) = &self.sweep.lookup else { return Ok(()) };
                match self.labs.living(cell.mode, cell.scale) {
                    Err(reason) => rows.missing_lab(&reason),
                    Ok(world) => {
                        let found = lookup::measure(world, position, sweep.probes, &self.cores)?;
                        rows.lookup(&found, &mut self.histograms)?;
                    }
                }
            }
            Workload::Connect(position) => {
                let Some(sweep) = &self.sweep.connect else { return Ok(()) };
                match self.labs.living(cell.mode, cell.scale) {
                    Err(reason) => rows.missing_lab(&reason),
                    Ok(world) => {
                        let found = connect::measure(world, position, sweep.transactions, &self.cores)?;
                        rows.connect(&found, &mut self.histograms)?;
                    }
                }
            }
            Workload::Sync => self.sync(cell, rows)?,
            Workload::Lock(contenders) => self.lock(cell, contenders, rows)?,
        }
        Ok(())
    }
}

/// Default folder of a run: `svcbench-results/<sweep>-<time>`.
pub fn default_out(sweep: &str) -> PathBuf {
    let name = Path::new(sweep).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let time = passport::rfc3339(SystemTime::now()).replace([':', '-'], "");
    Path::new("svcbench-results").join(format!("{name}-{time}"))
}
