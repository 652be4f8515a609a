//! Rows, statistics, plots and reports; never sees a kernel.

pub mod environment;
pub mod histogram;
pub mod names;
pub mod record;
pub mod record_file;
pub mod stats;
