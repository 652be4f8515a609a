//! A lane on a guest's kernel: boots one guest for each part of its cells, takes their rows, and goes on after a
//! guest that dies: only the cell that it was at is lost.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use experiments::rows::{CellResult, LaneId};
use lab::explain::explain;
use lab::stop::Stop;
use netns_setup::guest::{Facts, GuestError};
use results::environment::Environment;
use results::record::{Record, Text};

use super::machine::Boot;
use super::parts::Parts;
use super::protocol::{self, Job, Message, Part};
use crate::events::{Event, Sink};
use crate::lane::{Folder, Resume, Tally, check_order, lost_cell};
use crate::sweep::Sweep;
use crate::sweep::cell::{Cell, Workload};
use crate::sweep::order;

/// How often the lane looks whether somebody asked to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Guests that may die one after another before a share is given up.
const MOST_DEATHS: u32 = 3;

/// A lane to measure.
pub(super) struct GuestLane<'a> {
    /// What guests measure: the sweep as [`Sweep::in_guest`] has it.
    pub sweep: &'a Sweep,
    /// How a guest is booted.
    pub boot: Boot<'a>,
    /// Without rows of before.
    pub job: Job,
    /// What its rows have in common.
    pub mark: LaneId,
    /// The shares that guests take side by side.
    pub parts: Vec<Part>,
}

/// From a guest's thread.
enum GuestReport {
    Facts(Facts),
    Line(String),
    Ended(Result<(), GuestError>),
}

/// One part and what is known of it.
struct Share {
    part: Part,
    cells: Vec<Cell>,
    rows: Vec<Record>,
    booted: Instant,
    facts: Option<Facts>,
    /// Rows there were when the present guest was booted.
    rows_at_boot: usize,
    /// Guests that have died one after another without finishing a cell.
    deaths: u32,
    done: bool,
    failure: Option<String>,
    over: bool,
}

impl GuestLane<'_> {
    /// Measures what is left.
    ///
    /// # Errors
    /// What keeps rows from being written. A guest that cannot go on makes failed rows.
    pub(super) fn measure(&self, folder: &mut Folder, stop: &Stop, sink: Sink<'_>) -> anyhow::Result<Tally> {
        let all = order::order(self.sweep);
        let before = self.rows_before(&folder.before);
        check_order(&before, &all)?;
        let mut shares: Vec<Share> = self.parts.iter().map(|&part| Share::new(part, &all, &before)).collect();
        let mut parts = Parts::new(shares.len());
        let (sender, receiver) = mpsc::channel();
        let mut interrupted = false;
        thread::scope(|scope| -> anyhow::Result<()> {
            for (index, share) in shares.iter_mut().enumerate() {
                self.boot(scope, index, share, &sender, stop);
            }
            while shares.iter().any(|share| !share.over) {
                let (index, message) = match receiver.recv_timeout(POLL_INTERVAL) {
                    Ok(received) => received,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                let share: &mut Share = &mut shares[index];
                match message {
                    GuestReport::Facts(facts) => share.hear(facts),
                    GuestReport::Line(line) => {
                        if let Err(error) = self.line(index, &line, share, &mut parts, folder, sink) {
                            // Without somewhere to write to there is no use in going on.
                            stop.request();
                            return Err(error);
                        }
                    }
                    GuestReport::Ended(Ok(())) if share.done => share.over = true,
                    GuestReport::Ended(Err(GuestError::Stopped)) => {
                        interrupted = true;
                        share.over = true;
                    }
                    GuestReport::Ended(ended) => {
                        let why = share.why(ended);
                        if self.lost(index, share, &why, &mut parts, folder)? && !stop.is_requested() {
                            sink(Event::Warning(format!("{why}; another guest goes on after the lost cell")));
                            self.boot(scope, index, share, &sender, stop);
                        } else {
                            self.abandon(share, &why, folder)?;
                            sink(Event::Warning(format!("a guest is given up: {why}")));
                            share.over = true;
                        }
                    }
                }
            }
            Ok(())
        })?;
        let mut tally = Tally { interrupted: interrupted || stop.is_requested(), ..Tally::default() };
        shares.iter().for_each(|share| tally.add(Resume::read(&share.rows).tally));
        Ok(tally)
    }

    /// Rows that an earlier run of this lane has left.
    fn rows_before(&self, rows: &[Record]) -> Vec<Record> {
        let LaneId { clock, kernel, hypervisor, .. } = &self.mark;
        let ours = |row: &&Record| {
            row.cell.clock == *clock && row.cell.kernel == *kernel && row.cell.hypervisor == *hypervisor
        };
        rows.iter().filter(ours).cloned().collect()
    }

    /// Boots a guest for what is left of a share, on a thread of its own.
    fn boot<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        index: usize,
        share: &mut Share,
        sender: &Sender<(usize, GuestReport)>,
        stop: &'scope Stop,
    ) {
        share.booted = Instant::now();
        share.rows_at_boot = share.rows.len();
        share.failure = None;
        share.done = false;
        let mut job = Job { part: share.part, before: share.rows.clone(), ..self.job.clone() };
        if !share.cells.iter().any(|cell| matches!(cell.workload, Workload::System(_))) {
            // Files take room in a guest's memory.
            job.files.clear();
        }
        let sender = sender.clone();
        scope.spawn(move || {
            // A receiver that is gone has no use for more.
            let tell = |report| sender.send((index, report)).is_ok();
            let ended = self.boot.run(
                &job,
                stop,
                |facts| tell(GuestReport::Facts(facts)),
                |line| tell(GuestReport::Line(line)),
            );
            tell(GuestReport::Ended(ended));
        });
    }

    fn line(
        &self,
        index: usize,
        line: &str,
        share: &mut Share,
        parts: &mut Parts,
        folder: &mut Folder,
        sink: Sink<'_>,
    ) -> anyhow::Result<()> {
        let envelope = match protocol::read(line) {
            Ok(envelope) => envelope,
            Err(error) => {
                sink(Event::Warning(explain(&error)));
                return Ok(());
            }
        };
        match envelope.message {
            Message::Environment(environment) => {
                self.note(*environment, share.facts.as_ref(), folder)?;
            }
            Message::Event(event) => {
                let heard = parts.hear(index, envelope.uptime, share.booted.elapsed(), event);
                heard.into_iter().for_each(sink);
            }
            Message::Cell(mut records, packed, mut timeline, mut impact) => {
                let ours = Text::from(self.mark.hypervisor.as_str());
                let hypervisors = records.iter_mut().map(|record| &mut record.cell.hypervisor);
                hypervisors
                    .chain(timeline.iter_mut().map(|row| &mut row.cell.hypervisor))
                    .chain(impact.iter_mut().map(|row| &mut row.cell.hypervisor))
                    .for_each(|hypervisor| hypervisor.clone_from(&ours));
                let found = Message::found(records, &packed, timeline, impact)?;
                folder.append(&found)?;
                share.rows.extend(found.records);
            }
            Message::Failed(reason) => share.failure = Some(reason),
            Message::Done(_) => share.done = true,
        }
        Ok(())
    }

    /// Keeps a guest's passport; guests of one lane have the same.
    fn note(
        &self,
        mut environment: Environment,
        facts: Option<&Facts>,
        folder: &mut Folder,
    ) -> anyhow::Result<()> {
        environment.hypervisor.clone_from(&self.mark.hypervisor);
        environment.virtualisation =
            format!("{} on {}", self.mark.hypervisor, folder.environment.virtualisation);
        environment.guest_memory_bytes = Some(u64::from(self.boot.memory_mib) << 20);
        if let Some(facts) = facts {
            environment.emulator.clone_from(&facts.emulator);
        }
        let guests = &mut folder.environment.guests;
        let same = |other: &Environment| {
            (other.clock, &other.kernel, &other.hypervisor)
                == (environment.clock, &environment.kernel, &environment.hypervisor)
        };
        if !guests.iter().any(same) {
            guests.push(environment);
            folder.write_environment()?;
        }
        Ok(())
    }

    /// A guest has died: the cell that it was at becomes a failed row. Returns whether another guest is worth a
    /// try: not if several have died without finishing a cell, or one before it came to a cell.
    fn lost(
        &self,
        index: usize,
        share: &mut Share,
        why: &str,
        parts: &mut Parts,
        folder: &mut Folder,
    ) -> anyhow::Result<bool> {
        let finished_some = share.rows.len() > share.rows_at_boot;
        share.deaths = if finished_some { 1 } else { share.deaths + 1 };
        let running = parts.running(index);
        parts.restarted(index);
        let Some(cell) = running else { return Ok(finished_some) };
        self.fail(share, &[cell], why, folder)?;
        Ok(share.deaths < MOST_DEATHS)
    }

    /// Nothing more comes of a share: what is left of its first block becomes failed rows.
    fn abandon(&self, share: &mut Share, why: &str, folder: &mut Folder) -> anyhow::Result<()> {
        let finished = Resume::read(&share.rows).finished;
        let left = share.cells.iter().filter(|cell| cell.block == 1 && !cell.again);
        let left = left.filter(|cell| !finished.contains(&cell.order));
        let left: Vec<Cell> = left.copied().collect();
        self.fail(share, &left, why, folder)
    }

    fn fail(&self, share: &mut Share, cells: &[Cell], why: &str, folder: &mut Folder) -> anyhow::Result<()> {
        // The console's last lines are for the terminal.
        let why = why.lines().next().unwrap_or_default().trim_end_matches(':');
        for cell in cells {
            let records = lost_cell(cell, &self.mark, why);
            share.rows.extend(records.iter().cloned());
            folder.append(&CellResult { records, ..CellResult::default() })?;
        }
        Ok(())
    }
}

impl Share {
    fn new(part: Part, all: &[Cell], before: &[Record]) -> Self {
        let cells: Vec<Cell> = all.iter().filter(|cell| part.has(cell)).copied().collect();
        let ours = |row: &&Record| cells.iter().any(|cell| cell.order == row.cell.order);
        Self {
            part,
            rows: before.iter().filter(ours).cloned().collect(),
            cells,
            booted: Instant::now(),
            facts: None,
            rows_at_boot: 0,
            deaths: 0,
            done: false,
            failure: None,
            over: false,
        }
    }

    /// Its work begins. The emulator was started when its image had been written, which its uptime does not hold: nor should what its
    /// pace is worked out from.
    fn hear(&mut self, facts: Facts) {
        self.booted = Instant::now().checked_sub(facts.boot + facts.setup).unwrap_or(self.booted);
        self.facts = Some(facts);
    }

    /// Why a guest ended before its time: what it said itself, else what the host saw.
    fn why(&mut self, ended: Result<(), GuestError>) -> String {
        match (self.failure.take(), ended) {
            (Some(said), _) => said,
            (None, Err(error)) => error.to_string(),
            (None, Ok(())) => "the guest ended before its work was done".into(),
        }
    }
}
