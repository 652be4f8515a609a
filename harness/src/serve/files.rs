//! The files of one folder, and nothing beyond it.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// A folder that is open.
#[derive(Debug)]
pub(super) struct Files(File);

/// A file that may be sent.
#[derive(Debug)]
pub(super) struct Found {
    /// At its beginning.
    pub file: File,
    /// Bytes.
    pub length: u64,
    /// Entity tag: another one as soon as the file is another or has changed.
    pub tag: String,
    /// Content type.
    pub kind: &'static str,
}

impl Files {
    /// Opens the folder.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let folder = File::open(folder)?;
        if folder.metadata()?.is_dir() { Ok(Self(folder)) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    /// Walks down from the folder, name by name, without following a symbolic link anywhere; None: there is no such file, or
    /// it is none that is read. A name is one that [`super::request::parse`] lets through.
    pub(super) fn find(&self, names: &[String]) -> io::Result<Option<Found>> {
        let Some((last, folders)) = names.split_last() else { return Ok(None) };
        let mut at = self.0.try_clone()?;
        for name in folders {
            match step(&at, name, OFlag::O_DIRECTORY)? {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        // A pipe would keep us waiting for its other end.
        let Some(file) = step(&at, last, OFlag::O_NONBLOCK)? else { return Ok(None) };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let (length, changed) = (metadata.len(), metadata.mtime_nsec());
        let tag = format!("\"{:x}-{length:x}-{:x}-{changed:x}\"", metadata.ino(), metadata.mtime());
        Ok(Some(Found { file, length, tag, kind: kind(last) }))
    }
}

/// Opens what is called `name` in an open folder.
fn step(at: &File, name: &str, flags: OFlag) -> io::Result<Option<File>> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | flags;
    match openat(at, name, flags, Mode::empty()) {
        Ok(found) => Ok(Some(found.into())),
        Err(
            Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::ELOOP
            | Errno::EACCES
            | Errno::ENAMETOOLONG
            | Errno::ENXIO
            | Errno::EINVAL,
        ) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Content type by the name's ending. What a browser is not to make a page of is not called one.
fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "csv" => "text/csv; charset=utf-8",
        "json" => "application/json",
        "xml" => "application/xml",
        "md" => "text/markdown; charset=utf-8",
        "txt" | "toml" | "hlog" => "text/plain; charset=utf-8",
        "parquet" => "application/vnd.apache.parquet",
        _ => "application/octet-stream",
    }
}
