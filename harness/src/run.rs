//! A run: which lanes there are, and the folder that their rows share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use dataplane::Mode;
use experiments::rows::LaneId;
use lab::cores::Cores;
use lab::replay;
use lab::stop::Stop;
use results::record::Clock;

use crate::events::{Event, Sink};
use crate::guest::{Guests, NoGuest, Terms};
use crate::host::environment;
use crate::host::machine::{self, Facts};
use crate::host::strict::{self, UnreliableMachine};
use crate::lane::{Files, Folder, HostSink, Lane, Resume, Settings, Tally, Unable, lab_obstacles, unable_in};
use crate::sweep::order;
use crate::sweep::{KernelChoice, Sweep};

/// How a run is to be made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder for the results.
    pub out: PathBuf,
    /// Whether to go on with what is in the folder.
    pub resume: bool,
    /// Whether to measure whatever is predicted to take longer than the sweep's limit, too.
    pub no_limit: bool,
    /// Whether to refuse a machine that makes figures unreliable; by the names of the warnings that do not matter.
    pub strict: Option<Vec<String>>,
    /// Whose kernel is measured.
    pub kernel: KernelChoice,
    /// Which guests, and how.
    pub guests: Guests,
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
/// [`Unable`], [`UnreliableMachine`], and what keeps results from being written. A cell that fails is a row, not an error.
pub fn run(
    sweep: &Sweep,
    sweep_text: &str,
    options: &Options,
    stop: &Stop,
    sink: Sink<'_>,
) -> anyhow::Result<Tally> {
    let lanes = lanes(sweep, options, sink)?;
    let cores = Cores::choose()?;
    let watch = if options.strict.is_some() { machine::WATCH } else { machine::POLL_INTERVAL };
    let facts = Facts::here(cores.measuring, watch);
    let warnings = machine::warnings(&facts);
    let unreliable = options.strict.as_ref().and_then(|allowed| UnreliableMachine::of(&warnings, allowed));
    if lanes.host.is_some() || options.guests.clock == Some(Clock::Wall) {
        strict::check(unreliable.as_ref(), &warnings, sink)?;
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
    let steal = environment::steal_ticks();
    let mut tally = Tally::default();
    if let Some(unable) = lanes.host {
        tally.add(host_lane(sweep, options, unable, cores, &mut folder, stop, sink)?);
    }
    if lanes.guests && !tally.interrupted {
        let terms = Terms { no_limit: options.no_limit, unreliable: unreliable.as_ref() };
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
    let mark = LaneId {
        run: environment.run.clone(),
        lane: String::new(),
        clock: Clock::Wall,
        kernel: environment.kernel.clone(),
        hypervisor: environment.hypervisor.clone(),
    };
    let cells = order::order(sweep);
    let before = Resume::of_lane(&folder.before, &mark, &cells)?;
    let files = Files::new();
    let settings = Settings { sweep, mark, unable, no_limit: options.no_limit, before, files };
    let core = cores.measuring;
    let lane = Lane::new(settings, cores, stop);
    sink(Event::Lane(format!("Linux {} of this machine, wall clock", environment::kernel())));
    lane.measure(&cells, &mut HostSink::new(folder, core), sink)
}

/// What is known only at the end.
fn close(folder: &mut Folder, begun: Instant, steal: Option<u64>) -> anyhow::Result<()> {
    let environment = &mut folder.environment;
    let elapsed = begun.elapsed().as_secs_f64();
    let before = environment.elapsed_seconds.unwrap_or(0.0);
    environment.elapsed_seconds = Some(((before + elapsed) * 10.0).round() / 10.0);
    let steal = environment::steal_ticks().zip(steal).map(|(now, then)| now.saturating_sub(then));
    environment.steal_ticks = environment.steal_ticks.map_or(steal, |old| steal.map(|new| old + new));
    folder.write_environment()
}

/// Default folder of a run: `svcbench-results/<sweep>-<time>`.
pub fn default_out(sweep: &str) -> PathBuf {
    let name = Path::new(sweep).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let time = environment::rfc3339(SystemTime::now()).replace([':', '-'], "");
    Path::new("svcbench-results").join(format!("{name}-{time}"))
}
