//! Statistics over blocks: medians and slopes with intervals, differences with verdicts' ingredients, traffic shares.
//!
//! Everything is deterministic: nothing here draws a random number. METHODOLOGY.md argues each choice, and
//! `results/tests/calibration.rs` shows on simulated data that intervals hold what they promise.

mod difference;
mod floor;
mod holm;
mod interval;
mod medians;
mod power;
mod shares;
mod slope;
pub(crate) mod student;

pub use self::difference::{Difference, paired, welch};
pub use self::floor::{Floor, floor};
pub use self::holm::holm;
pub use self::interval::{CONFIDENCE, Interval};
pub use self::medians::{Estimate, Medians, median};
pub use self::power::Power;
pub use self::shares::uniform_share_p_value;
pub use self::slope::{Observation, Slope, slope};
