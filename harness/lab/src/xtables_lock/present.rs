//! Who holds a lock and who is queued for it now: `/proc/locks`.
//!
//! A line for each lock, `1: FLOCK  ADVISORY  WRITE 4711 00:17:1234 0 EOF`, and one with an arrow, `1: -> FLOCK ...`, for each
//! process that is blocked by it (fs/locks.c, lock_get_status). Process numbers are those of the reader's pid namespace.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file, as `/proc/locks` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    major: u64,
    minor: u64,
    inode: u64,
}

impl FileId {
    /// Of a path.
    ///
    /// # Errors
    /// If it cannot be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(path)?;
        let (major, minor) = (nix::sys::stat::major(found.dev()), nix::sys::stat::minor(found.dev()));
        Ok(Self { major, minor, inode: found.ino() })
    }

    /// From major and minor number of the device and the inode.
    pub const fn new(major: u64, minor: u64, inode: u64) -> Self {
        Self { major, minor, inode }
    }
}

/// The state of one lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Who holds it.
    pub holder: Option<u32>,
    /// Who is blocked, in the kernel's order.
    pub waiting: Vec<u32>,
}

impl Present {
    /// Of a file, now.
    ///
    /// # Errors
    /// If `/proc/locks` cannot be read.
    pub fn of(file: FileId) -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read_to_string("/proc/locks")?, file))
    }

    /// Of a file, from the text of `/proc/locks`. Lines that say something else are passed over.
    pub fn parse(text: &str, file: FileId) -> Self {
        let mut present = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace().skip(1).peekable();
            let waits = words.next_if_eq(&"->").is_some();
            let words: Vec<&str> = words.take(5).collect();
            let &["FLOCK", _, _, pid, id] = &words[..] else { continue };
            // Whoever is not in our pid namespace has no number here.
            let Some(pid) = pid.parse().ok().filter(|&pid: &u32| pid > 0) else { continue };
            if parse_id(id) != Some(file) {
                continue;
            }
            match waits {
                true => present.waiting.push(pid),
                false => present.holder = Some(pid),
            }
        }
        present
    }
}

/// `00:17:1234`: major and minor in hexadecimal, inode in decimal.
fn parse_id(text: &str) -> Option<FileId> {
    let mut parts = text.split(':');
    let (major, minor, inode) = (parts.next()?, parts.next()?, parts.next()?);
    Some(FileId {
        major: u64::from_str_radix(major, 16).ok()?,
        minor: u64::from_str_radix(minor, 16).ok()?,
        inode: inode.parse().ok().filter(|_| parts.next().is_none())?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: FileId = FileId::new(0, 0x17, 1234);

    #[test]
    fn holder_and_queue_are_separate_from_other_locks() {
        let text = "1: POSIX  ADVISORY  WRITE 99 00:17:1234 0 EOF\n\
                    2: FLOCK  ADVISORY  WRITE 4711 00:17:1234 0 EOF\n\
                    2: -> FLOCK  ADVISORY  WRITE 4712 00:17:1234 0 EOF\n\
                    2: -> FLOCK  ADVISORY  WRITE 4713 00:17:1234 0 EOF\n\
                    3: FLOCK  ADVISORY  WRITE 7 fe:00:1234 0 EOF\n\
                    4: FLOCK  ADVISORY  WRITE 0 00:17:1234 0 EOF\n\
                    5: FLOCK  ADVISORY\n";
        let expected = Present { holder: Some(4711), waiting: vec![4712, 4713] };
        assert_eq!(Present::parse(text, FILE), expected);
        assert_eq!(Present::parse(text, FileId::new(0xfe, 0, 1234)).holder, Some(7));
    }

    #[test]
    fn a_lock_that_is_held_is_seen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let id = FileId::of(file.path()).unwrap();
        assert_eq!(Present::of(id).unwrap(), Present::default());
        file.as_file().lock().unwrap();
        let expected = Present { holder: Some(std::process::id()), waiting: Vec::new() };
        assert_eq!(Present::of(id).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(([0-9]{1,3}: )?(-> )?(FLOCK|POSIX)? ?[A-Z]* [A-Z]* -?[0-9]{0,12} [0-9a-f:]{0,20} 0 EOF\n)*|\\PC{0,200}") {
            let _ = Present::parse(&text, FILE);
        }
    }
}
