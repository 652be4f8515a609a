//! What goes into a guest and what comes out: one job, then one line of JSON for each message.

use std::time::Duration;

use dataplane::injected::Injected;
use experiments::rows::CellResult;
use results::environment::Environment;
use results::histogram::{pack, unpack};
use results::record::{Clock, Record};
use results::timeline::{ImpactRow, TimelineRow};
use serde::{Deserialize, Serialize};

use crate::events::Event;
use crate::lane::{Files, Tally};
use crate::sweep::cell::{Cell, Workload};

/// What a guest is to measure. It runs the same binary, so the two need no version between them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Text of the sweep.
    pub sweep: String,
    /// The artificial slowdown of the command line, which the text does not have.
    pub injected: Option<Injected>,
    /// Which of its cells.
    pub part: Part,
    /// Identifier of the run.
    pub run: String,
    /// When the run started, RFC 3339: a guest's own calendar is not the host's.
    pub started: String,
    /// How tags of this lane's histograms begin.
    pub lane: String,
    /// What the guest's clock counts.
    pub clock: Clock,
    /// As `--no-limit`.
    pub no_limit: bool,
    /// Rows that this lane has already.
    pub before: Vec<Record>,
    /// Key `systems` with what the command line says of it.
    pub systems: Vec<String>,
    /// Where the guest has its real kube-proxies.
    pub files: Files,
}

/// A share of a lane's cells. In the instruction clock two guests of the same kernel do not disturb each other's
/// figures, so each takes a part; what one part measures does not depend on the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// All cells.
    All,
    /// Lookups and connections.
    Lookups,
    /// All but these.
    Syncs,
    /// Lookups, connections, and the syncs of IPVS.
    LookupsAndIpvs,
    /// The syncs and locks of the modes with rules, and forwarding: about as much work again.
    SyncsOfRules,
}

impl Part {
    /// Whether a cell belongs to this part.
    pub const fn has(self, cell: &Cell) -> bool {
        let lookups = cell.workload.is_of_lookups();
        let forwarding = matches!(cell.workload, Workload::Forwarding(..));
        let rules = forwarding || !lookups && !cell.mode.is_ipvs();
        match self {
            Part::All => true,
            Part::Lookups => lookups,
            Part::Syncs => !lookups,
            Part::LookupsAndIpvs => !rules,
            Part::SyncsOfRules => rules,
        }
    }
}

/// One line from the guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envelope {
    /// Since the guest booted, by its own clock.
    pub uptime: Duration,
    /// What it says.
    pub message: Message,
}

/// What a guest says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Message {
    /// Its passport.
    Environment(Box<Environment>),
    /// What a person may want to know.
    Event(Event),
    /// A finished cell: rows, packed histograms by tag, the syncs of a scenario, and their impact on a load.
    Cell(Vec<Record>, Vec<(String, String)>, Vec<TimelineRow>, Vec<ImpactRow>),
    /// It cannot go on.
    Failed(String),
    /// All is measured.
    Done(Tally),
}

impl Message {
    /// What a cell found, for the way out.
    ///
    /// # Errors
    /// If a histogram cannot be packed.
    pub fn cell(found: &CellResult) -> anyhow::Result<Self> {
        let packed = found.histograms.iter().map(|(tag, histogram)| Ok((tag.clone(), pack(histogram)?)));
        let packed = packed.collect::<anyhow::Result<_>>()?;
        Ok(Message::Cell(found.records.clone(), packed, found.timeline.clone(), found.impact.clone()))
    }

    /// The other way: what a cell found.
    ///
    /// # Errors
    /// If a histogram cannot be unpacked.
    pub fn found(
        records: Vec<Record>,
        packed: &[(String, String)],
        timeline: Vec<TimelineRow>,
        impact: Vec<ImpactRow>,
    ) -> anyhow::Result<CellResult> {
        let histograms = packed.iter().map(|(tag, text)| Ok((tag.clone(), unpack(text)?)));
        Ok(CellResult { records, histograms: histograms.collect::<anyhow::Result<_>>()?, timeline, impact })
    }
}

/// A message as a line, without its end.
///
/// # Errors
/// If a passport holds a number that JSON has no form for.
pub fn line(uptime: Duration, message: Message) -> std::io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&Envelope { uptime, message })?)
}

/// Reads one line.
///
/// # Errors
/// If it is no message; its beginning is in the error.
pub fn read(line: &str) -> anyhow::Result<Envelope> {
    serde_json::from_str(line).map_err(|error| {
        let start: String = line.chars().take(80).collect();
        anyhow::anyhow!("the guest sent a line that is no message ({error}): {start:?}")
    })
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    use super::*;
    use dataplane::Mode;
    use experiments::rows::CellOutcome;
    use services::service_set::{Position, Scale};

    #[test]
    fn what_a_cell_found_survives_the_way_out() {
        let mut histogram = Histogram::new_with_bounds(1, 1_000_000, 3).unwrap();
        histogram.record(4711).unwrap();
        let found = CellResult { histograms: vec![("g1.o0".into(), histogram)], ..CellResult::default() };
        let wire = line(Duration::from_nanos(7), Message::cell(&found).unwrap()).unwrap();
        let envelope = read(std::str::from_utf8(&wire).unwrap()).unwrap();
        assert_eq!(envelope.uptime, Duration::from_nanos(7));
        let Message::Cell(records, packed, timeline, impact) = envelope.message else {
            panic!("{envelope:?}")
        };
        assert_eq!(Message::found(records, &packed, timeline, impact).unwrap().histograms, found.histograms);
    }

    #[test]
    fn events_survive_the_way_out() {
        let cell = Cell {
            order: 3,
            block: 1,
            mode: Mode::Ipvs,
            scale: Scale { services: 10, endpoints: 2 },
            workload: Workload::Lookup(Position::Last),
            again: false,
        };
        let outcome = CellOutcome::Failed("a \"quoted\"\nreason".into());
        let left = Duration::from_millis(1500);
        let event = Event::Ended { cell, outcome, finished: 1, of: 2, left };
        let wire = line(Duration::ZERO, Message::Event(event.clone())).unwrap();
        assert!(!wire.contains(&b'\n'), "one line");
        let envelope = read(std::str::from_utf8(&wire).unwrap()).unwrap();
        let Message::Event(read) = envelope.message else { panic!("{envelope:?}") };
        assert_eq!(format!("{read:?}"), format!("{event:?}"));
    }

    proptest! {
        #[test]
        fn any_line_is_a_message_or_an_error(line in "\\PC{0,200}") {
            let _ = read(&line);
        }
    }
}
