//! The programs that a kube-proxy starts: which, when, for how long, and what they cost.
//!
//! The kernel says it, over two netlink sockets (`netns_setup::processes`); kube-proxy and its programs do nothing more than
//! they do anyway, and are not stopped. What it costs is this process waking up for each fork, exec and exit of the whole
//! machine. Only root of the machine itself is told: in a container's namespaces there is no [`Watch`], and what would be
//! made of it is absent.

mod tree;

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use netns_setup::processes::{Accounts, Events};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};

use self::tree::Tree;
pub use self::tree::{ProgramRun, Used};

/// What has been seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The programs, in the order of their starts.
    pub programs: Vec<ProgramRun>,
    /// Whether the kernel had more to say than there was room for: then programs are missing, or lack an end.
    pub incomplete: bool,
}

/// Follows what one process starts.
pub struct Watch {
    state: Arc<Mutex<State>>,
    /// Closed to end the thread.
    wake: Option<io::PipeWriter>,
    reader: Option<JoinHandle<()>>,
}

struct State {
    events: Events,
    accounts: Option<Accounts>,
    tree: Tree,
    incomplete: bool,
    /// One moment on both clocks.
    anchor: (Instant, u64),
}

impl Watch {
    /// Listens from now on; open it before the process is started. Not on a thread that is in a lab's namespace.
    ///
    /// # Errors
    /// As [`Events::listen`]. Without [`Accounts`] programs are seen, and not what they cost.
    pub fn open() -> io::Result<Self> {
        let events = Events::listen()?;
        let accounts = Accounts::listen().ok();
        let anchor = (Instant::now(), monotonic_ns()?);
        let state = State { events, accounts, tree: Tree::default(), incomplete: false, anchor };
        let state = Arc::new(Mutex::new(state));
        let (end, wake) = io::pipe()?;
        let theirs = Arc::clone(&state);
        let reader =
            thread::Builder::new().name("process events".into()).spawn(move || follow(&theirs, &end))?;
        Ok(Self { state, wake: Some(wake), reader: Some(reader) })
    }

    /// The process whose programs are wanted: what it has started since the watch was opened, and what it will start. That
    /// of others is forgotten.
    pub fn follow(&self, pid: u32) {
        let mut state = lock(&self.state);
        state.read();
        state.tree.follow(pid);
    }

    /// All that has been seen until now.
    pub fn seen(&self) -> Seen {
        let mut state = lock(&self.state);
        state.read();
        Seen { programs: state.tree.programs(), incomplete: state.incomplete }
    }

    /// The same, and forgets those that have ended.
    pub fn take(&self) -> Seen {
        let mut state = lock(&self.state);
        state.read();
        let seen = Seen { programs: state.tree.programs(), incomplete: state.incomplete };
        state.tree.forget_ended();
        state.incomplete = false;
        seen
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl State {
    /// All that the kernel has said until now.
    fn read(&mut self) {
        let Self { events, accounts, tree, anchor, incomplete } = self;
        let at = |monotonic_ns: u64| instant(*anchor, monotonic_ns);
        // A socket that breaks loses what comes after.
        *incomplete |=
            events.read(|event| tree.happened(event.happening, at(event.monotonic_ns))).unwrap_or(true);
        if let Some(accounts) = accounts {
            *incomplete |= accounts.read(|account| tree.accounted(&account)).unwrap_or(true);
        }
    }
}

/// Reads whenever there is something, so that the sockets never fill, and programs are looked at while they are there.
fn follow(state: &Mutex<State>, end: &io::PipeReader) {
    // Their numbers stay the same as long as the state lives, which is as long as this thread.
    let fds = {
        let state = lock(state);
        let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned();
        let accounts = state.accounts.as_ref().map(|accounts| own(accounts.fd())).transpose();
        own(state.events.fd()).and_then(|events| Ok((events, accounts?)))
    };
    let Ok((events, accounts)) = fds else { return };
    loop {
        let mut polled: Vec<PollFd<'_>> = vec![PollFd::new(end.as_fd(), PollFlags::POLLIN)];
        polled.push(PollFd::new(events.as_fd(), PollFlags::POLLIN));
        polled.extend(accounts.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return,
        }
        if polled[0].any().unwrap_or(true) {
            return;
        }
        lock(state).read();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn monotonic_ns() -> io::Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    let (seconds, nanoseconds) = (u64::try_from(now.tv_sec()), u64::try_from(now.tv_nsec()));
    let (Ok(seconds), Ok(nanoseconds)) = (seconds, nanoseconds) else {
        return Err(io::Error::other("a clock before its beginning"));
    };
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

/// `Instant` reads the same clock, and cannot be made of a number.
fn instant((instant, monotonic_ns): (Instant, u64), at: u64) -> Instant {
    let distance = std::time::Duration::from_nanos(at.abs_diff(monotonic_ns));
    let moved =
        if at >= monotonic_ns { instant.checked_add(distance) } else { instant.checked_sub(distance) };
    moved.unwrap_or(instant)
}
