//! `svcbench lock --watch`: who holds the xtables lock of this node, how long, and who waits.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use lab::stop::Stop;
use lab::xtables_lock::LOCK_FILE;
use lab::xtables_lock::follow::{Follow, Notice};
use lab::xtables_lock::queue::Turn;
use results::text::Quantity;
use serde_json::{Value, json};
use svcbench::host::environment::rfc3339;
use workloads::recorder::Times;

use super::exit::Exit;
use super::output::Output;
use super::streams;

/// A lock that is held for longer is reported before it is let go.
const LONG: u64 = 1_000_000_000;
/// Programs that the summary names.
const MOST_PROGRAMS: usize = 8;

/// Flags of `svcbench lock`.
#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    /// Follow the lock of this node. Nothing is changed, and the lock is never taken
    #[arg(long, required = true)]
    watch: bool,
    /// The file that programs lock
    #[arg(long, value_name = "FILE", default_value = LOCK_FILE)]
    lock_file: PathBuf,
    /// Stop after so many seconds [default: at Ctrl-C]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    duration: Option<u64>,
    /// Tell only turns in which the lock was waited for or held for at least so many milliseconds; the summary has all
    #[arg(long, value_name = "MS", default_value_t = 0)]
    at_least: u64,
}

/// What was seen, all in all.
#[derive(Default)]
struct Seen {
    waits: Times,
    holds: Times,
    gave_up: u64,
    /// By program: nanoseconds held, turns, and how often it gave up.
    programs: BTreeMap<String, (u64, u64, u64)>,
}

/// Follows the lock until the time is over or somebody presses Ctrl-C, which is how it usually ends.
///
/// # Errors
/// If there is no lock, or the kernel does not let it be watched.
pub(crate) fn run(output: &Output, args: &LockArgs) -> anyhow::Result<Exit> {
    let mut follow = Follow::begin(&args.lock_file)?;
    let stop = Stop::on_signals()?;
    if !output.quiet {
        let file = args.lock_file.display();
        streams::tell(format_args!("following {file}; the lock is never taken; Ctrl-C ends and sums up"));
    }
    let begun = Instant::now();
    let length = args.duration.map(Duration::from_secs);
    let (mut seen, mut reported_at) = (Seen::default(), 0);
    let mut out = streams::data();
    while !stop.is_requested() && length.is_none_or(|length| begun.elapsed() < length) {
        for notice in follow.turns()? {
            seen.add(&notice);
            let Turn { wait, hold, .. } = notice.turn;
            let most = wait.unwrap_or(0).max(hold.unwrap_or(0));
            if most < args.at_least.saturating_mul(1_000_000) {
                continue;
            }
            match output.json {
                true => writeln!(out, "{}", as_json(&notice))?,
                false => writeln!(out, "{}  {}", clock_time(), in_words(&notice))?,
            }
        }
        if !output.quiet && !output.json && follow.now() >= reported_at + LONG && holds_long(&follow) {
            reported_at = follow.now();
            writeln!(out, "{}  {}", clock_time(), now(&follow))?;
        }
        out.flush()?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    match output.json {
        true => writeln!(out, "{}", seen.as_json(seconds))?,
        false => seen.print(seconds, &mut out)?,
    }
    Ok(Exit::Ok)
}

fn holds_long(follow: &Follow) -> bool {
    follow.holder().is_some_and(|(_, since)| follow.now().saturating_sub(since) >= LONG)
}

/// Who holds it and who waits.
fn now(follow: &Follow) -> String {
    let Some((holder, since)) = follow.holder() else { return String::new() };
    let held = Quantity::Duration.show(follow.now().saturating_sub(since) as f64);
    let waiting = follow.waiting();
    let queue = match waiting.iter().min_by_key(|(_, since)| since.unwrap_or(0)) {
        None => "nobody waits".to_owned(),
        Some((process, since)) => {
            let longest = follow.now().saturating_sub(since.unwrap_or(0));
            format!(
                "{} waiting, the longest for {}: {}",
                waiting.len(),
                Quantity::Duration.show(longest as f64),
                process.in_words()
            )
        }
    };
    format!("held for {held} so far by {}; {queue}", holder.in_words())
}

fn in_words(notice: &Notice) -> String {
    let show = |nanoseconds: u64| Quantity::Duration.show(nanoseconds as f64);
    let Turn { wait, hold, .. } = notice.turn;
    let what = match (wait, hold) {
        (Some(wait), Some(hold)) => format!("waited {}, held {}", show(wait), show(hold)),
        (None, Some(hold)) => format!("held {} or longer, since before the watch", show(hold)),
        (Some(wait), None) => format!("GAVE UP after {}", show(wait)),
        (None, None) => "GAVE UP".to_owned(),
    };
    format!("{what:<34}  {}", notice.process.in_words())
}

fn as_json(notice: &Notice) -> Value {
    let Turn { wait, hold, .. } = notice.turn;
    json!({
        "at": rfc3339(SystemTime::now()),
        "process": notice.process,
        "wait_ns": wait,
        "hold_ns": hold,
        "gave_up": hold.is_none(),
    })
}

/// `14:03:07Z`
fn clock_time() -> String {
    rfc3339(SystemTime::now()).split_once('T').map_or_else(String::new, |(_, time)| time.to_owned())
}

impl Seen {
    fn add(&mut self, notice: &Notice) {
        let Turn { wait, hold, .. } = notice.turn;
        wait.iter().for_each(|&wait| self.waits.record(wait));
        hold.iter().for_each(|&hold| self.holds.record(hold));
        self.gave_up += u64::from(hold.is_none());
        let (held, turns, gave_up) = self.programs.entry(notice.process.program().to_owned()).or_default();
        *held += hold.unwrap_or(0);
        *turns += 1;
        *gave_up += u64::from(hold.is_none());
    }

    /// Those that held it longest come first.
    fn by_program(&self) -> Vec<(&str, (u64, u64, u64))> {
        let mut programs: Vec<_> =
            self.programs.iter().map(|(name, figures)| (name.as_str(), *figures)).collect();
        programs.sort_by_key(|(name, figures)| (std::cmp::Reverse(figures.0), *name));
        programs
    }

    fn print(&self, seconds: f64, out: &mut impl Write) -> std::io::Result<()> {
        let show = |nanoseconds: u64| Quantity::Duration.show(nanoseconds as f64);
        let turns = self.holds.count() + self.gave_up;
        writeln!(out, "\n{turns} turns in {seconds:.0} s; {} gave up", self.gave_up)?;
        if turns == 0 {
            return Ok(());
        }
        writeln!(out, "{:8}{:>10}{:>10}{:>10}", "", "p50", "p99", "max")?;
        for (name, times) in [("waited", &self.waits), ("held", &self.holds)] {
            let of = |quantile| show(times.histogram().value_at_quantile(quantile));
            if times.count() > 0 {
                let longest = show(times.histogram().max());
                writeln!(out, "{name:8}{:>10}{:>10}{longest:>10}", of(0.5), of(0.99))?;
            }
        }
        for (name, (held, turns, gave_up)) in self.by_program().into_iter().take(MOST_PROGRAMS) {
            let share = held as f64 / (seconds * 1e9) * 100.0;
            let gave_up = if gave_up > 0 { format!(", gave up {gave_up} times") } else { String::new() };
            writeln!(out, "{name}: held {} ({share:.1}% of the time) in {turns} turns{gave_up}", show(held))?;
        }
        Ok(())
    }

    fn as_json(&self, seconds: f64) -> Value {
        let of = |times: &Times| {
            let at = |quantile| times.histogram().value_at_quantile(quantile);
            json!({ "n": times.count(), "p50": at(0.5), "p99": at(0.99), "max": times.histogram().max() })
        };
        let programs = self.by_program().into_iter().map(|(name, (held, turns, gave_up))| {
            (name.to_owned(), json!({ "held_ns": held, "turns": turns, "gave_up": gave_up }))
        });
        json!({ "summary": {
            "seconds": seconds,
            "gave_up": self.gave_up,
            "wait_ns": of(&self.waits),
            "hold_ns": of(&self.holds),
            "programs": programs.collect::<serde_json::Map<_, _>>(),
        } })
    }
}
