//! fanotify on the lock file of one namespace.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use netns_setup::Namespace;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};
use workloads::clock::nanoseconds;

use super::acquisition::{Event, Kind, LOCK_FILE};

/// Why the lock cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {} ({what}): {why}; fanotify needs CAP_SYS_ADMIN and CONFIG_FANOTIFY", path.display())]
pub struct WatchError {
    path: PathBuf,
    what: &'static str,
    why: std::io::Error,
}

/// A running watch; [`Watch::stop`] ends it and tells what it saw, dropping it only ends it.
pub struct Watch {
    signal: StopSignal,
    reader: JoinHandle<Result<Vec<Event>, WatchError>>,
    begun: Instant,
}

/// Stops the reading thread when dropped: left alone, it would keep the namespace alive.
pub(super) struct StopSignal(pub(super) Arc<EventFd>);

impl Drop for StopSignal {
    fn drop(&mut self) {
        // It fails only if the counter is full, and then the thread has been woken already.
        let _ = self.0.write(1);
    }
}

impl Watch {
    /// Watches the lock file of a namespace, which is made if it is not there.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn start(namespace: &Namespace) -> Result<Self, WatchError> {
        let failed = |what| move |why: std::io::Error| WatchError { path: LOCK_FILE.into(), what, why };
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|why| failed("eventfd")(why.into()))?;
        let signal = StopSignal(Arc::new(stop));
        let seen = Arc::clone(&signal.0);
        let (ready, is_ready) = mpsc::channel();
        let reader = namespace
            .thread("lock-watch", move || {
                let mut events = match open() {
                    Ok(events) => events,
                    Err(error) => {
                        let _ = ready.send(None);
                        return Err(error);
                    }
                };
                prefer_this_thread();
                let _ = ready.send(Some(events.begun));
                read(&mut events, &seen)
            })
            .map_err(failed("thread"))?;
        match is_ready.recv() {
            Ok(Some(begun)) => Ok(Self { signal, reader, begun }),
            _ => Err(match reader.join() {
                Ok(Err(error)) => error,
                _ => failed("thread")(std::io::Error::other("the watching thread died")),
            }),
        }
    }

    /// When a moment was, in nanoseconds since the watch began.
    pub fn at(&self, moment: Instant) -> u64 {
        nanoseconds(moment.saturating_duration_since(self.begun))
    }

    /// Nanoseconds since the watch began.
    pub fn now(&self) -> u64 {
        nanoseconds(self.begun.elapsed())
    }

    /// Ends the watch and returns what it saw, in order.
    ///
    /// # Errors
    /// [`WatchError`] if reading failed meanwhile.
    pub fn stop(self) -> Result<Vec<Event>, WatchError> {
        drop(self.signal);
        let died = |_| WatchError {
            path: LOCK_FILE.into(),
            what: "thread",
            why: std::io::Error::other("the watching thread died"),
        };
        self.reader.join().map_err(died)?
    }
}

/// Openings and closings of a lock file, as they come.
pub struct Events {
    fanotify: Fanotify,
    begun: Instant,
    /// Processes that have it open, as far as is known.
    inside: HashSet<u32>,
}

impl Events {
    /// Of a file that is there. Neither is it opened nor is the lock taken.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn of(path: &Path) -> Result<Self, WatchError> {
        let failed = |what| move |why: Errno| WatchError { path: path.to_owned(), what, why: why.into() };
        let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_NONBLOCK | InitFlags::FAN_CLOEXEC;
        let fanotify = Fanotify::init(
            flags | InitFlags::FAN_UNLIMITED_QUEUE,
            EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC,
        )
        .map_err(failed("fanotify_init"))?;
        let mask = MaskFlags::FAN_OPEN | MaskFlags::FAN_CLOSE;
        fanotify
            .mark(MarkFlags::FAN_MARK_ADD, mask, AT_FDCWD, Some(path))
            .map_err(failed("fanotify_mark"))?;
        Ok(Self { fanotify, begun: Instant::now(), inside: HashSet::new() })
    }

    /// Nanoseconds since the watch began.
    pub fn now(&self) -> u64 {
        nanoseconds(self.begun.elapsed())
    }

    /// What has happened since, in order; does not wait.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn read(&mut self) -> std::io::Result<Vec<Event>> {
        let found = match self.fanotify.read_events() {
            Ok(found) => found,
            Err(Errno::EAGAIN) => Vec::new(),
            Err(why) => return Err(why.into()),
        };
        let at = self.now();
        let mut events = Vec::new();
        for event in found {
            let (Ok(pid), mask) = (u32::try_from(event.pid()), event.mask()) else { continue };
            let opened = mask.contains(MaskFlags::FAN_OPEN);
            let closed = mask.intersects(MaskFlags::FAN_CLOSE);
            // The kernel may merge two events of one process; which came first follows from where it was.
            let order: &[Kind] = match (opened, closed) {
                (true, true) if self.inside.contains(&pid) => &[Kind::Close, Kind::Open],
                (true, true) => &[Kind::Open, Kind::Close],
                (true, false) => &[Kind::Open],
                _ => &[Kind::Close],
            };
            for &kind in order {
                match kind {
                    Kind::Open => self.inside.insert(pid),
                    Kind::Close => self.inside.remove(&pid),
                };
                events.push(Event { at, pid, kind });
            }
        }
        Ok(events)
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fanotify.as_fd()
    }
}

fn open() -> Result<Events, WatchError> {
    let path = Path::new(LOCK_FILE);
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(|why| WatchError {
        path: path.to_owned(),
        what: "open",
        why,
    })?;
    Events::of(path)
}

fn read(events: &mut Events, stop: &EventFd) -> Result<Vec<Event>, WatchError> {
    let failed = |what| move |why: std::io::Error| WatchError { path: LOCK_FILE.into(), what, why };
    let mut seen = Vec::new();
    loop {
        let mut fds =
            [PollFd::new(events.as_fd(), PollFlags::POLLIN), PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => result.map_err(|why| failed("poll")(why.into()))?,
        };
        let last = fds[1].any().unwrap_or(true);
        seen.extend(events.read().map_err(failed("read"))?);
        if last {
            return Ok(seen);
        }
    }
}

/// Real-time priority, so that an event is stamped when it happens and not when a busy core gets round
/// to it. Without the right to it, stamps are later by scheduling delays.
#[expect(unsafe_code, reason = "nix has no sched_setscheduler; the call reads one small struct")]
pub(super) fn prefer_this_thread() {
    let parameters = nix::libc::sched_param { sched_priority: 1 };
    // SAFETY: 0 is the calling thread, and the pointer is to a valid struct on this stack.
    unsafe {
        nix::libc::sched_setscheduler(0, nix::libc::SCHED_FIFO, &raw const parameters);
    }
}
