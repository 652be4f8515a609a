//! Keeping the report as new as the rows.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use lab::explain::explain;
use results::report::write_report;
use results::timeline::{IMPACT, OLD_IMPACT, TIMELINES};

use crate::lane::{ENVIRONMENT, RECORDS};

/// The page that `/` is.
pub(super) const INDEX: &str = "report.html";

/// What a report is made from.
const SOURCES: [&str; 5] = [RECORDS, ENVIRONMENT, TIMELINES, IMPACT, OLD_IMPACT];

/// The report of a folder.
pub(super) struct Fresh {
    folder: PathBuf,
    /// One report at a time: of which sources the last one was made, or failed to be.
    tried: Mutex<Option<SystemTime>>,
}

impl Fresh {
    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), tried: Mutex::new(None) }
    }

    /// Whether there are rows.
    pub fn is_run(&self) -> bool {
        self.changed(RECORDS).is_some()
    }

    /// Makes the report anew if rows are newer. Says what was done, if anything was.
    pub fn rebuild(&self) -> Option<String> {
        // Whoever panicked has written a whole report or none.
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = SOURCES.iter().filter_map(|name| self.changed(name)).max()?;
        let is_old = self.changed(INDEX).is_none_or(|report| report < newest);
        if !is_old || *tried == Some(newest) {
            return None;
        }
        *tried = Some(newest);
        Some(match write_report(&self.folder) {
            Ok(report) => format!("report made anew: {} rows measured", report.measured),
            Err(error) => format!("the report could not be made anew: {}", explain(&error.into())),
        })
    }

    fn changed(&self, name: &str) -> Option<SystemTime> {
        fs::metadata(self.folder.join(name)).ok()?.modified().ok()
    }
}
