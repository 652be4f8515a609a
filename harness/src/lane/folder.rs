//! A run's folder: the files that rows, distributions, passport and sweep go to.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use experiments::rows::CellResult;
use results::environment::Environment;
use results::histogram::HistogramWriter;
use results::record::Record;
use results::record_file::{RecordWriter, recover};
use results::timeline::{self, IMPACT, ImpactRow, TIMELINES, TimelineRow};

use super::interference::Interference;
use super::result_sink::ResultSink;
use crate::host::environment;
use crate::sweep::Sweep;

/// Name of the rows' file in a run's folder.
pub const RECORDS: &str = "records.csv";
/// Name of the histogram log.
pub const HISTOGRAMS: &str = "histograms.hlog";
/// Name of the passport.
pub const ENVIRONMENT: &str = "environment.json";
/// Name of the copy of the sweep.
pub const SWEEP: &str = "sweep.toml";

/// The open files of a run.
pub struct Folder {
    /// The host's passport, with those of guests inside; written by [`Folder::write_environment`].
    pub environment: Environment,
    /// The rows that an earlier, broken run has left.
    pub before: Vec<Record>,
    resumed: bool,
    path: PathBuf,
    records: RecordWriter,
    histograms: HistogramWriter,
}

impl Folder {
    /// Makes the folder, or goes on with what is in it if `resume`.
    ///
    /// # Errors
    /// If it holds a run that is not to be resumed, one of another sweep, or cannot be written.
    pub fn open(
        path: &Path,
        resume: bool,
        sweep: &Sweep,
        sweep_text: &str,
        core: usize,
    ) -> anyhow::Result<Self> {
        let exists = path.join(RECORDS).exists();
        anyhow::ensure!(
            resume || !exists,
            "{} holds a run already; give --resume to go on with it, or another --out",
            path.display()
        );
        std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        let resumed = resume && exists;
        let environment = if resumed {
            let own = path.join(SWEEP);
            let before = std::fs::read_to_string(&own).with_context(|| format!("no {SWEEP} to resume"))?;
            anyhow::ensure!(
                before == sweep_text,
                "{} was made with another sweep; its own is {}",
                path.display(),
                own.display()
            );
            let environment = Environment::read(&path.join(ENVIRONMENT))?;
            anyhow::ensure!(
                environment.kernel == environment::kernel(),
                "{} was measured on Linux {}, this is {}: their figures do not belong into one run",
                path.display(),
                environment.kernel,
                environment::kernel()
            );
            let injected = sweep.injected.map_or_else(String::new, |injected| injected.to_string());
            anyhow::ensure!(
                environment.injected == injected,
                "{} was begun {}; give the same --inject to go on with it",
                path.display(),
                if environment.injected.is_empty() {
                    "without an artificial slowdown".to_owned()
                } else {
                    format!("with an artificial slowdown ({})", environment.injected)
                }
            );
            environment
        } else {
            let started = environment::rfc3339(SystemTime::now());
            environment::collect(sweep, &format!("{started}-{}", sweep.seed), &started, core)
        };
        std::fs::write(path.join(SWEEP), sweep_text).with_context(|| format!("cannot write {SWEEP}"))?;
        environment.write(&path.join(ENVIRONMENT))?;
        let before = if resumed { recover(&path.join(RECORDS))? } else { Vec::new() };
        // Timelines are written before their cell's rows: what has none is measured again.
        let whole: HashSet<_> =
            before.iter().map(|row| (row.cell.order, &*row.cell.kernel, row.cell.clock)).collect();
        timeline::retain(&path.join(TIMELINES), |row: &TimelineRow| {
            whole.contains(&(row.cell.order, &*row.cell.kernel, row.cell.clock))
        })?;
        timeline::retain(&timeline::impact_file_to_append(path)?, |row: &ImpactRow| {
            whole.contains(&(row.cell.order, &*row.cell.kernel, row.cell.clock))
        })?;
        Ok(Self {
            environment,
            before,
            resumed,
            path: path.to_owned(),
            records: RecordWriter::open(&path.join(RECORDS))?,
            histograms: HistogramWriter::open(&path.join(HISTOGRAMS))?,
        })
    }

    /// Whether an earlier, broken run goes on.
    pub const fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the passport as it is now.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_environment(&self) -> anyhow::Result<()> {
        Ok(self.environment.write(&self.path.join(ENVIRONMENT))?)
    }

    /// Writes what a cell found: distributions first, so that each row's is there.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn append(&mut self, found: &CellResult) -> anyhow::Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        for (tag, histogram) in &found.histograms {
            self.histograms.append(tag, now, Duration::ZERO, histogram)?;
        }
        if !found.timeline.is_empty() {
            timeline::append(&self.path.join(TIMELINES), &found.timeline)?;
        }
        if !found.impact.is_empty() {
            timeline::append(&self.path.join(IMPACT), &found.impact)?;
        }
        Ok(self.records.append_cell(&found.records)?)
    }
}

/// The host lane's results: the folder, and what disturbed the measuring core.
pub struct HostSink<'a> {
    folder: &'a mut Folder,
    interference: Interference,
}

impl<'a> HostSink<'a> {
    /// `core`: the one that measures.
    pub fn new(folder: &'a mut Folder, core: usize) -> Self {
        let interference = Interference::new(&folder.path, core);
        Self { folder, interference }
    }
}

impl ResultSink for HostSink<'_> {
    fn enter(&mut self, block: Option<u32>) -> anyhow::Result<()> {
        Ok(self.interference.enter(block)?)
    }

    fn cell(&mut self, found: CellResult) -> anyhow::Result<()> {
        self.folder.append(&found)
    }
}
