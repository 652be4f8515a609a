//! Progress of a run: a bar on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use dataplane::Mode;
use experiments::rows::CellOutcome;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use svcbench::events::Event;

use super::streams::{are_messages_seen, tell};

/// Without a terminal, a line at most this often.
const EVERY: Duration = Duration::from_secs(5);

/// Shows events to a person.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    unable: Vec<Mode>,
    last: Instant,
    begun: Instant,
}

impl Progress {
    /// Nothing is shown yet.
    pub(super) fn new(quiet: bool, question: &str) -> Self {
        if !quiet {
            tell(question);
        }
        Self { bar: None, quiet, unable: Vec::new(), last: Instant::now(), begun: Instant::now() }
    }

    /// Shows one event.
    pub(super) fn tell(&mut self, event: Event) {
        match event {
            Event::Warning(text) => self.line(&format!("warning: {text}")),
            Event::Unable(mode, reason) => {
                self.unable.push(mode);
                if !self.quiet {
                    self.line(&format!("{mode} is skipped: {reason}"));
                }
            }
            // What went wrong is said even to those who want quiet.
            Event::Ended { cell, outcome: CellOutcome::Failed(reason), .. } if self.quiet => {
                tell(format_args!("failed: {cell}: {reason}"));
            }
            _ if self.quiet => {}
            Event::Lane(name) => self.lane(&name),
            Event::Started { cells, finished, expected } => self.start(cells, finished, expected),
            Event::Loading { what, ready, of } => {
                self.step(&format!("filling labs ({ready} of {of}): {what} ready"), None);
            }
            Event::Cell(cell) => {
                if let Some(bar) = &self.bar {
                    bar.set_message(cell.to_string());
                }
            }
            Event::Step(what) => {
                if let Some(bar) = &self.bar {
                    bar.set_message(what);
                }
            }
            Event::Ended { cell, outcome, finished, of, left } => {
                match outcome {
                    CellOutcome::Failed(reason) => self.line(&format!("failed: {cell}: {reason}")),
                    // A mode that is skipped as a whole was named at the start.
                    CellOutcome::Skipped(reason)
                        if cell.workload.is_of_syncs() && !self.unable.contains(&cell.mode) =>
                    {
                        self.line(&format!("skipped: {cell}: {reason}"));
                    }
                    _ => {}
                }
                if let Some(bar) = &self.bar {
                    bar.set_position(finished as u64);
                }
                let text = format!("{finished} of {of} cells, about {} left", span(left));
                self.step(&text, Some(&cell.to_string()));
            }
        }
    }

    /// A lane begins: what is said from now on belongs to it.
    fn lane(&mut self, name: &str) {
        self.finish();
        self.bar = None;
        self.unable.clear();
        tell(name);
    }

    fn start(&mut self, cells: usize, finished: usize, expected: Duration) {
        let resumed =
            if finished > 0 { format!(", {finished} of them finished before") } else { String::new() };
        tell(format_args!("{cells} cells{resumed}; this takes about {}", span(expected)));
        if are_messages_seen() {
            let bar =
                ProgressBar::with_draw_target(Some(cells as u64), ProgressDrawTarget::stderr_with_hz(4));
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {prefix}  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_position(finished as u64);
            self.bar = Some(bar);
        }
    }

    /// A step forward: into the bar, or now and then onto a line.
    fn step(&mut self, text: &str, cell: Option<&str>) {
        match &self.bar {
            Some(bar) => bar.set_prefix(text.to_owned()),
            None if self.last.elapsed() >= EVERY => {
                self.last = Instant::now();
                let cell = cell.map(|cell| format!("; {cell} done")).unwrap_or_default();
                let seconds = self.begun.elapsed().as_secs_f64();
                tell(format_args!("[{seconds:>4.0} s] {text}{cell}"));
            }
            None => {}
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => tell(text),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A duration as people say it.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    match seconds {
        0..90 => format!("{seconds} s"),
        90..5400 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}
