//! What columns hold: text, units, clocks and statuses.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Text of a row: a shared, immutable string, one pointer wide, that compares, sorts and serialises as a `str`. Rows of a run
/// share most of theirs, so that a million of them fit into memory; an empty one has no allocation.
pub type Text = arcstr::ArcStr;

/// What the figures of a row count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nanoseconds of the row's [`Clock`].
    Ns,
    /// A plain count.
    Count,
    /// Bytes.
    Bytes,
    /// Events per second.
    PerSecond,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Unit; 4] = [Unit::Ns, Unit::Count, Unit::Bytes, Unit::PerSecond];

    /// The name in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Ns => "ns",
            Unit::Count => "count",
            Unit::Bytes => "bytes",
            Unit::PerSecond => "per_second",
        }
    }
}

/// Which clock measured the row. Rows of different clocks are never compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// CLOCK_MONOTONIC of a real or virtual machine.
    #[default]
    Wall,
    /// A virtual machine's clock that advances by exactly one nanosecond per guest instruction.
    Instructions,
}

impl Clock {
    /// Every clock.
    pub const ALL: [Clock; 2] = [Clock::Wall, Clock::Instructions];

    /// The name in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Clock::Wall => "wall",
            Clock::Instructions => "instructions",
        }
    }

    /// The name in running text.
    pub const fn in_words(self) -> &'static str {
        match self {
            Clock::Wall => "wall clock",
            Clock::Instructions => "instruction clock",
        }
    }
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Measured and verified.
    Ok,
    /// Tried, and the check or the measurement failed; the note says why. No figures.
    Failed,
    /// Refused beforehand; the note says why. No figures.
    Skipped,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 3] = [Status::Ok, Status::Failed, Status::Skipped];

    /// The name in the CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Failed => "failed",
            Status::Skipped => "skipped",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
