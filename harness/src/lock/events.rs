//! fanotify on the lock file of one namespace.

use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use netns_setup::Namespace;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};

use super::{Event, Kind, LOCK_FILE};
use workloads::clock::nanoseconds;

/// Why the lock cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {LOCK_FILE} ({what}): {why}; fanotify needs CAP_SYS_ADMIN and CONFIG_FANOTIFY")]
pub struct WatchError {
    what: &'static str,
    why: std::io::Error,
}

/// A running watch; [`Watch::stop`] ends it and tells what it saw, dropping it only ends it.
pub struct Watch {
    signal: StopSignal,
    reader: JoinHandle<Result<Vec<Event>, WatchError>>,
}

/// Stops the reading thread when dropped: left alone, it would keep the namespace alive.
struct StopSignal(Arc<EventFd>);

impl Drop for StopSignal {
    fn drop(&mut self) {
        // It fails only if the counter is full, and then the thread has been told already.
        let _ = self.0.write(1);
    }
}

impl Watch {
    /// Watches the lock file of a namespace, which is made if it is not there.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn start(namespace: &Namespace) -> Result<Self, WatchError> {
        let failed = |what| move |why: std::io::Error| WatchError { what, why };
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|why| failed("eventfd")(why.into()))?;
        let signal = StopSignal(Arc::new(stop));
        let seen = Arc::clone(&signal.0);
        let (ready, is_ready) = mpsc::channel();
        let reader = namespace
            .thread("lock-watch", move || {
                let fanotify = match open() {
                    Ok(fanotify) => fanotify,
                    Err(error) => {
                        let _ = ready.send(false);
                        return Err(error);
                    }
                };
                prefer_this_thread();
                let _ = ready.send(true);
                read(&fanotify, &seen)
            })
            .map_err(failed("thread"))?;
        match is_ready.recv() {
            Ok(true) => Ok(Self { signal, reader }),
            _ => Err(match reader.join() {
                Ok(Err(error)) => error,
                _ => failed("thread")(std::io::Error::other("the watching thread died")),
            }),
        }
    }

    /// Ends the watch and returns what it saw, in order.
    ///
    /// # Errors
    /// [`WatchError`] if reading failed meanwhile.
    pub fn stop(self) -> Result<Vec<Event>, WatchError> {
        drop(self.signal);
        let died = |_| WatchError { what: "thread", why: std::io::Error::other("the watching thread died") };
        self.reader.join().map_err(died)?
    }
}

fn open() -> Result<Fanotify, WatchError> {
    let failed = |what| move |why: Errno| WatchError { what, why: why.into() };
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(LOCK_FILE)
        .map_err(|why| WatchError { what: "open", why })?;
    let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_NONBLOCK | InitFlags::FAN_CLOEXEC;
    let fanotify = Fanotify::init(
        flags | InitFlags::FAN_UNLIMITED_QUEUE,
        EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC,
    )
    .map_err(failed("fanotify_init"))?;
    let mask = MaskFlags::FAN_OPEN | MaskFlags::FAN_CLOSE;
    fanotify
        .mark(MarkFlags::FAN_MARK_ADD, mask, AT_FDCWD, Some(LOCK_FILE))
        .map_err(failed("fanotify_mark"))?;
    Ok(fanotify)
}

fn read(fanotify: &Fanotify, stop: &EventFd) -> Result<Vec<Event>, WatchError> {
    let failed = |what| move |why: Errno| WatchError { what, why: why.into() };
    let begun = Instant::now();
    let mut events = Vec::new();
    let mut inside = std::collections::HashSet::new();
    loop {
        let mut fds =
            [PollFd::new(fanotify.as_fd(), PollFlags::POLLIN), PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => result.map_err(failed("poll"))?,
        };
        let last = fds[1].any().unwrap_or(true);
        let found = match fanotify.read_events() {
            Ok(found) => found,
            Err(Errno::EAGAIN) => Vec::new(),
            Err(why) => return Err(failed("read")(why)),
        };
        let at = nanoseconds(begun.elapsed());
        for event in found {
            let (Ok(pid), mask) = (u32::try_from(event.pid()), event.mask()) else { continue };
            let opened = mask.contains(MaskFlags::FAN_OPEN);
            let closed = mask.intersects(MaskFlags::FAN_CLOSE);
            // The kernel may merge two events of one process; which came first follows from where it was.
            let order: &[Kind] = match (opened, closed) {
                (true, true) if inside.contains(&pid) => &[Kind::Close, Kind::Open],
                (true, true) => &[Kind::Open, Kind::Close],
                (true, false) => &[Kind::Open],
                _ => &[Kind::Close],
            };
            for &kind in order {
                match kind {
                    Kind::Open => inside.insert(pid),
                    Kind::Close => inside.remove(&pid),
                };
                events.push(Event { at, pid, kind });
            }
        }
        if last {
            return Ok(events);
        }
    }
}

/// Real-time priority, so that an event is stamped when it happens and not when a busy core gets round
/// to it. Without the right to it, stamps are later by scheduling delays.
#[expect(unsafe_code, reason = "nix has no sched_setscheduler; the call reads one small struct")]
fn prefer_this_thread() {
    let parameters = nix::libc::sched_param { sched_priority: 1 };
    // SAFETY: 0 is the calling thread, and the pointer is to a valid struct on this stack.
    unsafe {
        nix::libc::sched_setscheduler(0, nix::libc::SCHED_FIFO, &raw const parameters);
    }
}
