//! Events that are stamped when they come, whatever else their reader does.
//!
//! Who follows a lock looks at `/proc/locks` now and then. That waits for a grace period of RCU (fs/locks.c, `locks_start` takes
//! `file_rwsem` for writing): some ten milliseconds, and far longer on a busy machine. A thread of its own reads what happens
//! meanwhile.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::acquisition::Event;
use super::events::{Events, StopSignal, prefer_this_thread};

/// Events of a lock file, with the moments at which they came.
pub(super) struct Stamped {
    shared: Arc<Shared>,
    /// Ends the thread.
    _signal: StopSignal,
}

struct Shared {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
}

struct Inbox {
    events: Events,
    /// Not taken yet.
    waiting: Vec<Event>,
    failed: Option<io::Error>,
}

impl Inbox {
    /// Takes in what has happened and was not stamped yet.
    fn fill(&mut self) {
        match self.events.read() {
            Ok(events) => self.waiting.extend(events),
            Err(why) => self.failed = Some(why),
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.failed.is_none()
    }
}

impl Stamped {
    /// Begins to stamp.
    ///
    /// # Errors
    /// If there is no descriptor or no thread left.
    pub(super) fn begin(events: Events) -> io::Result<Self> {
        // The thread waits for events without having them, so that others can take them.
        let ready = events.as_fd().try_clone_to_owned()?;
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let signal = StopSignal(Arc::new(stop));
        let stop = Arc::clone(&signal.0);
        let inbox = Mutex::new(Inbox { events, waiting: Vec::new(), failed: None });
        let shared = Arc::new(Shared { inbox, arrived: Condvar::new() });
        let own = Arc::clone(&shared);
        thread::Builder::new().name("lock-events".into()).spawn(move || {
            prefer_this_thread();
            loop {
                let mut fds = [
                    PollFd::new(ready.as_fd(), PollFlags::POLLIN),
                    PollFd::new(stop.as_fd(), PollFlags::POLLIN),
                ];
                let found = poll(&mut fds, PollTimeout::NONE);
                if fds[1].any().unwrap_or(true) {
                    return;
                }
                let mut inbox = own.inbox();
                match found {
                    Ok(_) => inbox.fill(),
                    Err(Errno::EINTR) => {}
                    Err(why) => inbox.failed = Some(why.into()),
                }
                let ended = inbox.failed.is_some();
                drop(inbox);
                own.arrived.notify_all();
                if ended {
                    return;
                }
            }
        })?;
        Ok(Self { shared, _signal: signal })
    }

    /// What has happened until now, in order; does not wait.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn take(&self) -> io::Result<Vec<Event>> {
        let mut inbox = self.shared.inbox();
        inbox.fill();
        match inbox.failed.take() {
            Some(why) => Err(why),
            None => Ok(std::mem::take(&mut inbox.waiting)),
        }
    }

    /// Whether anything has happened until now that was not taken; waits for it for so long.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        let mut inbox = self.shared.inbox();
        inbox.fill();
        let waited = self.shared.arrived.wait_timeout_while(inbox, limit, |inbox| inbox.is_empty());
        let (inbox, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !inbox.is_empty()
    }

    /// Since the beginning, nanoseconds.
    pub(super) fn now(&self) -> u64 {
        self.shared.inbox().events.now()
    }
}

impl Shared {
    /// Nobody panics who has it.
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
