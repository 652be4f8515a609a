//! The experiment as a whole: which cells, in which order, on which kernel, and what surrounds a run.
//!
//! * [`sweep`]: what to measure, cell by cell
//! * [`forecast`]: how long it takes, and what is not to be tried
//! * [`host`]: this machine
//! * [`lane`]: the cells of a sweep on one kernel with one clock; [`guest`]: the same in virtual machines
//! * [`run`]: which lanes there are; [`events`]: what a run says about itself
//! * [`serve`]: a run's folder in the browser

pub mod events;
pub mod forecast;
pub mod guest;
pub mod host;
pub mod lane;
pub mod run;
pub mod serve;
pub mod sweep;
