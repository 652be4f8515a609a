//! What several guests of one lane say, as if they were one lane.

use std::collections::BTreeSet;
use std::time::Duration;

use dataplane::Mode;

use crate::events::Event;
use crate::sweep::cell::Cell;

/// How far one guest is.
#[derive(Clone, Debug, Default)]
struct Part {
    cells: Option<usize>,
    finished: usize,
    left: Duration,
    pace: f64,
    running: Option<Cell>,
}

/// The guests of one lane.
#[derive(Debug)]
pub(super) struct Parts {
    parts: Vec<Part>,
    announced: bool,
    unable: BTreeSet<Mode>,
}

impl Parts {
    /// So many guests, none of which has said anything.
    pub(super) fn new(count: usize) -> Self {
        Self { parts: vec![Part::default(); count], announced: false, unable: BTreeSet::new() }
    }

    /// The cell that a guest is at.
    pub(super) fn running(&self, part: usize) -> Option<Cell> {
        self.parts.get(part)?.running
    }

    /// A guest was started anew: what it was at, it is at no more.
    pub(super) fn restarted(&mut self, part: usize) {
        if let Some(part) = self.parts.get_mut(part) {
            part.running = None;
        }
    }

    /// What a person should hear of an event of one guest. `uptime`: since it booted, by its own clock; `wall`: by
    /// ours. From both follows how long its forecasts, which count its own seconds, take here.
    pub(super) fn hear(
        &mut self,
        index: usize,
        uptime: Duration,
        wall: Duration,
        event: Event,
    ) -> Vec<Event> {
        let Some(part) = self.parts.get_mut(index) else { return Vec::new() };
        part.pace = (wall.as_secs_f64() / uptime.as_secs_f64().max(1e-3)).clamp(0.1, 1_000.0);
        match event {
            Event::Started { cells, finished, expected } => {
                part.cells = Some(cells);
                part.finished = finished;
                part.left = expected;
                if self.announced || self.parts.iter().any(|part| part.cells.is_none()) {
                    return Vec::new();
                }
                self.announced = true;
                vec![Event::Started {
                    cells: self.parts.iter().filter_map(|part| part.cells).sum(),
                    finished: self.parts.iter().map(|part| part.finished).sum(),
                    expected: self.left(),
                }]
            }
            Event::Unable(mode, reason) => {
                let first = self.unable.insert(mode);
                first.then_some(Event::Unable(mode, reason)).into_iter().collect()
            }
            Event::Cell(cell) => {
                part.running = Some(cell);
                vec![Event::Cell(cell)]
            }
            Event::Ended { cell, outcome, finished, left, .. } => {
                part.running = None;
                part.finished = finished;
                part.left = left;
                let finished = self.parts.iter().map(|part| part.finished).sum();
                let of = self.parts.iter().filter_map(|part| part.cells).sum();
                vec![Event::Ended { cell, outcome, finished, of, left: self.left() }]
            }
            other @ (Event::Lane(_) | Event::Loading { .. } | Event::Step(_) | Event::Warning(_)) => {
                vec![other]
            }
        }
    }

    /// Wall time until the last guest is done.
    fn left(&self) -> Duration {
        let left = self.parts.iter().map(|part| part.left.mul_f64(part.pace));
        left.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::cell::Workload;
    use experiments::rows::CellOutcome;
    use services::service_set::{Position, Scale};

    const SECOND: Duration = Duration::from_secs(1);

    fn started(cells: usize, finished: usize) -> Event {
        Event::Started { cells, finished, expected: 10 * SECOND }
    }

    #[test]
    fn two_guests_are_reported_as_one_lane() {
        let mut parts = Parts::new(2);
        assert!(
            parts.hear(0, SECOND, SECOND, started(5, 1)).is_empty(),
            "the other has not said how much it has"
        );
        let events = parts.hear(1, SECOND, 3 * SECOND, started(7, 0));
        assert!(
            matches!(events[..], [Event::Started { cells: 12, finished: 1, expected }] if expected == 30 * SECOND),
            "{events:?}"
        );
        let scale = Scale { services: 10, endpoints: 1 };
        let workload = Workload::Lookup(Position::Last);
        let cell = Cell { order: 0, block: 1, mode: Mode::Direct, scale, workload, again: false };
        parts.hear(0, SECOND, SECOND, Event::Cell(cell));
        assert_eq!((parts.running(0), parts.running(1)), (Some(cell), None));
        let ended = Event::Ended { cell, outcome: CellOutcome::Done, finished: 2, of: 5, left: 4 * SECOND };
        let events = parts.hear(0, 2 * SECOND, 2 * SECOND, ended);
        assert!(
            matches!(events[..], [Event::Ended { finished: 2, of: 12, left, .. }] if left == 30 * SECOND),
            "{events:?}"
        );
        assert_eq!(parts.running(0), None);
    }

    #[test]
    fn what_both_lack_is_reported_once() {
        let mut parts = Parts::new(2);
        let unable = || Event::Unable(Mode::Ipvs, "no".into());
        assert_eq!(parts.hear(0, SECOND, SECOND, unable()).len(), 1);
        assert_eq!(parts.hear(1, SECOND, SECOND, unable()).len(), 0);
    }
}
