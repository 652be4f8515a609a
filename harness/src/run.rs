//! A run: which lanes there are, and the folder that their rows share.

mod before;
mod folder;
mod foresight;
mod interference;
mod labs;
mod lane;
mod replayed;
mod rows;
mod strict;
mod syncs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use netns_setup::Need;
use results::record::{Clock, Record};
use serde::{Deserialize, Serialize};

pub use self::before::{Before, check_order};
use self::folder::HostOutlet;
pub use self::folder::{ENVIRONMENT, Folder, HISTOGRAMS, RECORDS, SWEEP};
pub use self::lane::{Found, Lane, Mark, Outlet, Settings};
use self::rows::Rows;
pub use self::strict::Spoilt;
use crate::cells::{self, Cell};
use crate::events::{Event, Sink};
use crate::guest::{Guests, NoGuest, Terms};
use crate::machine::{self, Facts};
use crate::passport;
use crate::sweep::Sweep;
use dataplane::Mode;
use lab::cores::Cores;
use lab::replay;
use lab::stop::Stop;

/// Needs of every lab, whatever the mode.
pub const LAB_NEEDS: [Need; 5] =
    [Need::Root, Need::NetworkNamespace, Need::MountNamespace, Need::Tun, Need::Veth];

/// Whose kernel is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum KernelChoice {
    /// The host's for what it can do; a guest's for all modes if the host's lacks one
    #[default]
    Auto,
    /// The host's; modes that it lacks are skipped
    Host,
    /// That of a guest
    Guest,
}

/// How a run is to be made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder for the results.
    pub out: PathBuf,
    /// Whether to go on with what is in the folder.
    pub resume: bool,
    /// Whether to measure whatever is predicted to take longer than the sweep's limit, too.
    pub no_limit: bool,
    /// Whether to refuse a machine that spoils figures; by the names of the warnings that do not matter.
    pub strict: Option<Vec<String>>,
    /// Whose kernel is measured.
    pub kernel: KernelChoice,
    /// Which guests, and how.
    pub guests: Guests,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

impl Tally {
    /// Counts of two lanes, or of two parts of one.
    pub fn add(&mut self, other: Tally) {
        self.done += other.done;
        self.skipped += other.skipped;
        self.failed += other.failed;
        self.interrupted |= other.interrupted;
    }
}

/// Why this machine cannot run any cell.
#[derive(Debug, thiserror::Error)]
#[error("this machine cannot run any cell:\n{0}")]
pub struct Unable(pub String);

/// Modes of a sweep that cannot run on this kernel with its neighbours, with the reason.
pub fn unable_in(sweep: &Sweep) -> BTreeMap<Mode, String> {
    unable(&sweep.modes, |mode| sweep.neighbours.map_or(Vec::new(), |neighbours| neighbours.needs(mode)))
}

/// Modes that cannot run on this kernel, with the reason.
pub fn unable_modes(modes: &[Mode]) -> BTreeMap<Mode, String> {
    unable(modes, |_| Vec::new())
}

fn unable(modes: &[Mode], more: impl Fn(Mode) -> Vec<Need>) -> BTreeMap<Mode, String> {
    let mut known: BTreeMap<Need, Option<String>> = BTreeMap::new();
    let mut reasons = BTreeMap::new();
    for &mode in modes {
        let missing = mode.needs().iter().chain(&more(mode)).find_map(|&need| {
            known
                .entry(need)
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

/// Which lanes a run has.
struct Lanes {
    /// Modes that the host cannot run, if there is a host lane.
    host: Option<BTreeMap<Mode, String>>,
    /// Whether there are guest lanes.
    guests: bool,
}

/// Decides which lanes there are.
///
/// # Errors
/// [`Unable`]: none.
fn lanes(sweep: &Sweep, options: &Options, sink: Sink<'_>) -> Result<Lanes, Unable> {
    if options.kernel == KernelChoice::Guest {
        return match options.guests.check() {
            Ok(()) => Ok(Lanes { host: None, guests: true }),
            Err(NoGuest(reason)) => Err(Unable(format!("  guest: {reason}"))),
        };
    }
    let obstacles = lab_obstacles();
    let unable = if obstacles.is_none() { unable_in(sweep) } else { BTreeMap::new() };
    let none = sweep.modes.iter().all(|mode| unable.contains_key(mode));
    let lacking = obstacles.is_some() || !unable.is_empty();
    let guest = match options.kernel {
        KernelChoice::Auto if lacking => options.guests.check(),
        _ => Err(NoGuest(String::new())),
    };
    if let (Some(reasons), Err(NoGuest(why))) = (
        obstacles.clone().or_else(|| {
            let each = unable.iter().map(|(mode, reason)| format!("  {mode}: {reason}"));
            none.then(|| each.collect::<Vec<_>>().join("\n"))
        }),
        &guest,
    ) {
        let guest = if why.is_empty() { String::new() } else { format!("\n  guest: {why}") };
        return Err(Unable(reasons + &guest));
    }
    if let (true, KernelChoice::Auto, Err(NoGuest(why))) = (lacking, options.kernel, &guest) {
        sink(Event::Warning(format!("there is no guest lane for what this kernel lacks: {why}")));
    }
    Ok(Lanes { host: (obstacles.is_none() && !none).then_some(unable), guests: guest.is_ok() })
}

/// Runs a sweep. Rows are on disk as soon as their cell has ended, whatever happens next.
///
/// # Errors
/// [`Unable`], [`Spoilt`], and what keeps results from being written. A cell that fails is a row, not an error.
pub fn run(
    sweep: &Sweep,
    sweep_text: &str,
    options: &Options,
    stop: &Stop,
    sink: Sink<'_>,
) -> anyhow::Result<Tally> {
    let lanes = lanes(sweep, options, sink)?;
    let cores = Cores::choose()?;
    let watch = if options.strict.is_some() { machine::WATCH } else { machine::GLANCE };
    let facts = Facts::here(cores.measuring, watch);
    let warnings = machine::warnings(&facts);
    let spoilt = options.strict.as_ref().and_then(|allowed| Spoilt::of(&warnings, allowed));
    if lanes.host.is_some() || options.guests.clock == Some(Clock::Wall) {
        strict::check(spoilt.as_ref(), &warnings, sink)?;
    }
    if let Some(replay) = &sweep.replay {
        match &lanes.host {
            None => {
                let why = "a ruleset is replayed on this machine's own kernel; `svcbench doctor` says what is missing there";
                return Err(Unable(format!("  replay: {why}")).into());
            }
            Some(unable) if unable.contains_key(&Mode::Replay) => {}
            Some(_) => lab::testbed::rehearse(replay, stop)?,
        }
    }
    let mut folder = Folder::open(&options.out, options.resume, sweep, sweep_text, cores.measuring)?;
    strict::note(&mut folder.environment, facts.condition, warnings);
    folder.write_environment()?;
    replay::note::keep(folder.path(), sweep.replay.as_deref(), folder.is_resumed())?;
    let begun = Instant::now();
    let steal = passport::steal_ticks();
    let mut tally = Tally::default();
    if let Some(unable) = lanes.host {
        tally.add(host_lane(sweep, options, unable, cores, &mut folder, stop, sink)?);
    }
    if lanes.guests && !tally.interrupted {
        let terms = Terms { no_limit: options.no_limit, spoilt: spoilt.as_ref() };
        let guests = options.guests.measure(sweep, sweep_text, terms, &mut folder, stop, sink);
        let closed = close(&mut folder, begun, steal);
        // What ended the lane comes first: a full disk fails both.
        tally.add(guests?);
        closed?;
    } else {
        close(&mut folder, begun, steal)?;
    }
    Ok(tally)
}

/// All cells on the host's own kernel.
fn host_lane(
    sweep: &Sweep,
    options: &Options,
    unable: BTreeMap<Mode, String>,
    cores: Cores,
    folder: &mut Folder,
    stop: &Stop,
    sink: Sink<'_>,
) -> anyhow::Result<Tally> {
    let environment = &folder.environment;
    let mark = Mark {
        run: environment.run.clone(),
        lane: String::new(),
        clock: Clock::Wall,
        kernel: environment.kernel.clone(),
        hypervisor: environment.hypervisor.clone(),
    };
    let cells = cells::order(sweep);
    let before = Before::of_lane(&folder.before, &mark, &cells)?;
    let settings = Settings { sweep, mark, unable, no_limit: options.no_limit, before };
    let core = cores.measuring;
    let lane = Lane::new(settings, cores, stop);
    sink(Event::Lane(format!("Linux {} of this machine, wall clock", passport::kernel())));
    lane.measure(&cells, &mut HostOutlet::new(folder, core), sink)
}

/// Rows of a cell that was lost for a reason that lies outside it.
pub fn lost_cell(cell: &Cell, mark: &Mark, reason: &str) -> Vec<Record> {
    let mut rows = Rows::new(cell, mark);
    rows.fail(reason);
    rows.into_found().records
}

/// What is known only at the end.
fn close(folder: &mut Folder, begun: Instant, steal: Option<u64>) -> anyhow::Result<()> {
    let environment = &mut folder.environment;
    let elapsed = begun.elapsed().as_secs_f64();
    let before = environment.elapsed_seconds.unwrap_or(0.0);
    environment.elapsed_seconds = Some(((before + elapsed) * 10.0).round() / 10.0);
    let steal = passport::steal_ticks().zip(steal).map(|(now, then)| now.saturating_sub(then));
    environment.steal_ticks = environment.steal_ticks.map_or(steal, |old| steal.map(|new| old + new));
    folder.write_environment()
}

/// Default folder of a run: `svcbench-results/<sweep>-<time>`.
pub fn default_out(sweep: &str) -> PathBuf {
    let name = Path::new(sweep).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let time = passport::rfc3339(SystemTime::now()).replace([':', '-'], "");
    Path::new("svcbench-results").join(format!("{name}-{time}"))
}
