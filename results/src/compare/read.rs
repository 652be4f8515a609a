//! A side of a comparison from its folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::environment::{Environment, EnvironmentError};
use crate::record::Record;
use crate::record_file::{ReadError, read_records};

/// One run, as it was read.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Where it is, for the reader.
    pub name: String,
    /// Its environment record.
    pub environment: Environment,
    /// Its rows.
    pub records: Vec<Record>,
    /// The text of its `sweep.toml`, if there is one.
    pub sweep: Option<String>,
    /// What its sweep installs that the environment record does not name, by name: must be alike, as the environment record.
    pub setup: BTreeMap<String, String>,
}

/// Why a side could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SideError {
    /// Neither a run nor a folder of runs.
    #[error("{}: no run: expected a folder with records.csv, or with folders that have one", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
    /// Rows.
    #[error(transparent)]
    Records(#[from] ReadError),
    /// Environment record.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The folder or the sweep.
    #[error("{}: {source}; check that the path names a run's folder", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Reads the run in `path`, or all runs in the folders directly in it, by name.
///
/// # Errors
///
/// [`SideError`] for anything that is not whole: nothing is left out silently. Folders without a `records.csv` are no
/// runs.
pub fn read_side(path: &Path) -> Result<Vec<Run>, SideError> {
    if path.join("records.csv").exists() {
        return Ok(vec![read_run(path)?]);
    }
    let io = |source| SideError::Io { path: path.to_owned(), source };
    let mut folders = Vec::new();
    for entry in fs::read_dir(path).map_err(io)? {
        let folder = entry.map_err(io)?.path();
        if folder.join("records.csv").exists() {
            folders.push(folder);
        }
    }
    folders.sort();
    if folders.is_empty() {
        return Err(SideError::NoRun { path: path.to_owned() });
    }
    folders.iter().map(|folder| read_run(folder)).collect()
}

fn read_run(path: &Path) -> Result<Run, SideError> {
    let sweep_path = path.join("sweep.toml");
    let sweep = match fs::read_to_string(&sweep_path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(SideError::Io { path: sweep_path, source }),
    };
    Ok(Run {
        name: path.display().to_string(),
        environment: Environment::read(&path.join("environment.json"))?,
        records: read_records(&path.join("records.csv"))?,
        sweep,
        setup: Default::default(),
    })
}
