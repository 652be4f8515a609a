//! Rows, statistics, plots and reports; never sees a kernel.

pub mod environment;
pub mod findings;
pub mod groups;
pub mod histogram;
pub mod names;
pub mod plot;
pub mod record;
pub mod record_file;
pub mod report;
pub mod series;
pub mod stats;
pub mod tables;
pub mod text;
