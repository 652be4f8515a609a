//! What a run tells about itself while it goes on.

use std::time::Duration;

use dataplane::Mode;
use experiments::rows::CellOutcome;
use serde::{Deserialize, Serialize};

use crate::sweep::cell::Cell;

/// Something worth telling.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    /// A lane begins: the host, or a guest.
    Lane(String),
    /// The cells of a lane begin.
    Started {
        /// Cells in all.
        cells: usize,
        /// Of which an earlier run finished so many.
        finished: usize,
        /// How long it should take.
        expected: Duration,
    },
    /// Labs are being filled for lookups.
    Loading {
        /// Which.
        what: String,
        /// How many are ready.
        ready: usize,
        /// Of how many.
        of: usize,
    },
    /// A cell begins.
    Cell(Cell),
    /// A part of the present cell that may take long begins.
    Step(String),
    /// A cell has ended; its rows are on disk.
    Ended {
        /// Which.
        cell: Cell,
        /// How.
        outcome: CellOutcome,
        /// Cells that have ended, those of an earlier run included.
        finished: usize,
        /// Cells in all.
        of: usize,
        /// Time expected for the rest.
        left: Duration,
    },
    /// A mode cannot run here; all its cells are skipped, for this reason.
    Unable(Mode, String),
    /// Something that the reader of the results should know.
    Warning(String),
}

/// Takes events; called from the run's own thread, between measurements.
pub type Sink<'a> = &'a mut dyn FnMut(Event);
