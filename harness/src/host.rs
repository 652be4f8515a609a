//! This machine: what about it decides the figures, and what makes them unreliable.
//!
//! * [`machine`]: its state, read once, then judged; [`strict`]: what a run does about it
//! * [`environment`]: the record of it that a run keeps
//! * [`kernel_log`]: whether the kernel stayed well while something was measured

pub mod environment;
pub mod kernel_log;
pub mod machine;
pub mod strict;
mod tree;
