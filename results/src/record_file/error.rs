//! What can be wrong with a `records.csv`.

use std::io;
use std::path::PathBuf;

use crate::record::{HYPERVISOR, SYSTEM};

/// Why a `records.csv` could not be read. Each names the file, and the line and column where there is one.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be opened or read.
    #[error("{}: {source}; check that the path names a run's folder", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The first line is not the header.
    #[error(
        "{}:1: header column {column}: expected {expected:?}, found {found:?}; \
         not a records.csv of this version: report it with the version that wrote it, or run the sweep again",
        path.display()
    )]
    Header {
        /// The file.
        path: PathBuf,
        /// Column number, from 1.
        column: usize,
        /// The name that belongs there, empty where the header should have ended.
        expected: String,
        /// The start of what is there.
        found: String,
    },
    /// The file lacks a column that came later, and rows were to be added to it.
    #[error(
        "{}: written before the columns {HYPERVISOR:?} and {SYSTEM:?} existed, so that it can be read and reported but not \
         continued: start a new folder, or resume with the version that wrote it",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
    },
    /// A row has too few or too many fields.
    #[error(
        "{}:{line}: expected {expected} fields, found {found}; delete the line or run the cell again",
        path.display()
    )]
    FieldCount {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// Number of columns.
        expected: usize,
        /// Number of fields in the row.
        found: usize,
    },
    /// A field is not what its column holds.
    #[error(
        "{}:{line}: column {column:?}: expected {expected}, found {found:?}; \
         correct the field, delete the row, or run the cell again",
        path.display()
    )]
    Value {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// Column name.
        column: &'static str,
        /// What the column accepts.
        expected: String,
        /// The start of what is there.
        found: String,
    },
    /// The last line has no end: the process that wrote it was killed.
    #[error(
        "{}:{line}: the last line is torn: the run was killed while it wrote; \
         `svcbench run --resume` drops that cell and measures it again",
        path.display()
    )]
    Torn {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
    },
}

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file could not be opened, created or written.
    #[error("{}: {source}; check free space and permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file to append to is not a whole `records.csv`.
    #[error(transparent)]
    Foreign(#[from] ReadError),
}

/// The start of a field, short enough for a message.
pub(super) fn excerpt(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
