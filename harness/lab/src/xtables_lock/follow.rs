//! Follows a lock on a live node, without ever taking it or opening its file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::acquisition::{Event, Kind};
use super::events::{Events, WatchError, prefer_this_thread};
use super::present::{FileId, Present};
use super::process::Process;
use super::queue::{Queue, Turn};
use super::stamped::Stamped;

/// How often the lock is looked at while nothing happens.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Turns that are reported at once, even if more is happening.
const MOST: usize = 64;

/// Why a lock cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Nobody has made the file.
    #[error(
        "there is no {}: no program has taken the lock since this node was started. Only iptables-legacy takes it; iptables-nft \
         and nft have none. For another file give --lock-file", path.display()
    )]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// The kernel refuses to report.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The kernel's table of locks, or the file, cannot be read.
    #[error("cannot read {what}: {why}")]
    Read {
        /// What was read.
        what: String,
        /// Why not.
        why: io::Error,
    },
}

/// A turn of the lock and who had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When, and how long.
    pub turn: Turn,
    /// Who.
    pub process: Process,
}

/// A lock that is being followed.
pub struct Follow {
    events: Stamped,
    path: PathBuf,
    file: FileId,
    queue: Queue,
    processes: BTreeMap<u32, Process>,
}

impl Follow {
    /// Begins, and sees who is there already. Gives this thread real-time priority, if it may.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn begin(path: &Path) -> Result<Self, FollowError> {
        let file = FileId::of(path).map_err(|why| match why.kind() {
            io::ErrorKind::NotFound => FollowError::Absent { path: path.to_owned() },
            _ => FollowError::Read { what: path.display().to_string(), why },
        })?;
        let events = Stamped::begin(Events::of(path)?);
        let events = events.map_err(|why| FollowError::Read { what: "events".into(), why })?;
        // As the thread that stamps has it, which must not wait for one that is waiting for a core.
        prefer_this_thread();
        let (queue, processes) = (Queue::default(), BTreeMap::new());
        let mut follow = Self { events, path: path.to_owned(), file, queue, processes };
        follow.look()?;
        Ok(follow)
    }

    /// Waits for something to happen, for a tenth of a second at most, and returns the turns that have ended.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn turns(&mut self) -> Result<Vec<Notice>, FollowError> {
        self.events.wait(POLL_INTERVAL);
        let mut notices = Vec::new();
        loop {
            let events = self.read()?;
            let nothing = events.is_empty();
            for event in events {
                if event.kind == Kind::Open {
                    self.processes.insert(event.pid, Process::look(event.pid));
                }
                notices.extend(self.queue.event(&event).map(|turn| self.notice(turn)));
            }
            if notices.len() >= MOST {
                return Ok(notices);
            }
            // What is seen is certain only if nothing has happened before it was.
            if nothing && let Some(turns) = self.look()? {
                notices.extend(turns.into_iter().map(|turn| self.notice(turn)));
                return Ok(notices);
            }
        }
    }

    /// Since the beginning, nanoseconds.
    pub fn now(&self) -> u64 {
        self.events.now()
    }

    /// Who holds the lock, and since when, nanoseconds from the beginning.
    pub fn holder(&self) -> Option<(Process, u64)> {
        self.queue.holder().map(|(pid, since)| (self.process(pid), since))
    }

    /// Who waits, and since when; `None`: since before the beginning.
    pub fn waiting(&self) -> Vec<(Process, Option<u64>)> {
        self.queue.waiting().map(|(pid, since)| (self.process(pid), since)).collect()
    }

    fn process(&self, pid: u32) -> Process {
        self.processes.get(&pid).cloned().unwrap_or(Process { pid, ..Process::default() })
    }

    fn notice(&mut self, turn: Turn) -> Notice {
        let process = self.processes.remove(&turn.pid);
        Notice { turn, process: process.unwrap_or(Process { pid: turn.pid, ..Process::default() }) }
    }

    /// Looks at the lock. `None`: something happened meanwhile, and what was seen does not count.
    fn look(&mut self) -> Result<Option<Vec<Turn>>, FollowError> {
        let present =
            Present::of(self.file).map_err(|why| FollowError::Read { what: "/proc/locks".into(), why })?;
        if self.events.wait(Duration::ZERO) {
            return Ok(None);
        }
        for &pid in present.waiting.iter().chain(&present.holder) {
            self.processes.entry(pid).or_insert_with(|| Process::look(pid));
        }
        let is_gone = |pid: u32| !Path::new("/proc").join(pid.to_string()).exists();
        Ok(Some(self.queue.look(&present, is_gone)))
    }

    fn read(&self) -> Result<Vec<Event>, FollowError> {
        let failed = |why| FollowError::Read { what: format!("events of {}", self.path.display()), why };
        self.events.take().map_err(failed)
    }
}
