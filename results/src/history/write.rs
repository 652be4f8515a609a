//! A history's files.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::page::{html, svg};
use super::series::History;
use crate::record_file::replace;

/// Writes `history.html` and `history.svg` into `dir`, which is made if it is not there, each in one step.
///
/// # Errors
///
/// What the operating system says, and of which path.
pub fn write(history: &History, dir: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    fs::create_dir_all(dir).map_err(|error| (dir.to_owned(), error))?;
    let mut written = Vec::new();
    for (name, text) in [("history.html", html(history)), ("history.svg", svg(history))] {
        let path = dir.join(name);
        match replace(&path, text.as_bytes()) {
            Ok(()) => written.push(path),
            Err(error) => return Err((path, error)),
        }
    }
    Ok(written)
}
