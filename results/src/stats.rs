//! Statistics over blocks: medians and slopes with intervals, differences with verdicts' ingredients, traffic shares.
//!
//! Everything is deterministic: nothing here draws a random number. METHODOLOGY.md argues each choice, and
//! `results/tests/calibration.rs` shows on simulated data that intervals hold what they promise.

mod difference;
mod floor;
mod holm;
mod medians;
mod power;
mod shares;
mod slope;
pub(crate) mod student;

pub use self::difference::{Difference, paired, welch};
pub use self::floor::{Floor, floor};
pub use self::holm::holm;
pub use self::medians::{Estimate, Medians, median};
pub use self::power::Power;
pub use self::shares::uniform_share_p_value;
pub use self::slope::{Observation, Slope, slope};

/// How sure an interval is, and what is left on both sides together.
pub const CONFIDENCE: f64 = 0.95;

/// A closed 95% interval, in the unit of its estimate.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether `value` is inside.
    pub fn holds(self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// The interval of no width.
    pub const fn point(value: f64) -> Self {
        Interval { low: value, high: value }
    }
}
