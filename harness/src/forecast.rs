//! What is known before anything is measured: how long it takes, and whether it can end well.
//!
//! * [`duration`]: how long a sweep takes; [`pace`]: the constants of one machine
//! * [`extrapolate`]: how long something takes, from smaller scales of the same run
//! * [`footprint`]: what a scale takes of a machine's memory; [`admission`]: which labs are not to be tried

pub mod admission;
pub mod duration;
pub mod extrapolate;
pub mod footprint;
pub mod pace;
