//! Rows, statistics, plots and reports; never sees a kernel.
//!
//! A run's folder holds `records.csv` ([`record_file`]), `histograms.hlog` ([`histogram`]) and
//! `environment.json` ([`environment`]). [`report::write_report`] turns them into figures and pages:
//! rows -> [`groups`] (what was measured alike, one [`platform`] apart from another) -> [`stats`] (medians over blocks)
//! -> [`series`] and [`tables`] (pure data) -> [`plot`] and [`report`] (SVG, HTML, Markdown). [`repeat`] says
//! whether two runs in the instruction clock agree, [`compare`] which figures of one run are better or worse than
//! another's.
//!
//! ```
//! use results::record::{CellKey, Clock, Unit};
//! use results::record_file::{RecordWriter, read_records};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let path = dir.path().join("records.csv");
//! let cell = CellKey {
//!     run: "lab-1".into(),
//!     block: 0,
//!     order: 0,
//!     mode: "nftables".into(),
//!     services: 1_000,
//!     endpoints: 10,
//!     position: "".into(),
//!     workload: results::names::workload::FULL_SYNC_COLD.into(),
//!     contenders: 0,
//!     clock: Clock::Wall,
//!     kernel: "6.18.44".into(),
//!     hypervisor: "none".into(),
//!     system: "".into(),
//! };
//! let apply = cell.scalar(results::names::metric::APPLY, Unit::Ns, 331_000_000);
//! let rules = cell.scalar(results::names::metric::RULES, Unit::Count, 21_018);
//! RecordWriter::open(&path)?.append_cell(&[apply, rules])?;
//! assert_eq!(read_records(&path)?.len(), 2);
//! # Ok(())
//! # }
//! ```

pub mod advice;
pub mod claims;
pub mod compare;
pub mod crossover;
mod curves;
pub mod environment;
pub mod findings;
pub mod groups;
pub mod histogram;
pub mod history;
mod lanes;
pub mod lock_limit;
pub mod names;
pub mod parquet_file;
pub mod platform;
pub mod plot;
pub mod record;
pub mod record_file;
pub mod repeat;
pub mod report;
pub mod series;
pub mod stats;
pub mod systems;
pub mod table;
pub mod tables;
pub mod text;
pub mod timeline;
