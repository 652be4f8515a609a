//! What the server has done so far, and what it took of a processor.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::gettid;

use crate::lock::lock;

/// Kinds of requests that are told apart; the rest is counted under the user agent `others`.
const MOST_KINDS: usize = 1_000;
/// Bytes that are kept of a user agent.
const MOST_OF_AGENT: usize = 120;

/// A kind of request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKind {
    /// `get`, `list`, `watch` or `create`; `other` for what is none of them.
    pub verb: &'static str,
    /// `services`, or `events`; `discovery` for paths that say what there is; empty for what is not served.
    pub resource: &'static str,
    /// The client's `User-Agent`: `kube-proxy/v1.37.2 (linux/amd64) kubernetes/...`.
    pub user_agent: String,
}

/// What the server has done since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests by kind, counted when they come in.
    pub requests: BTreeMap<RequestKind, u64>,
    /// Bytes that came in, with headers.
    pub bytes_read: u64,
    /// Bytes that went out, with headers.
    pub bytes_written: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that are open now.
    pub connections: usize,
    /// Watches that are under way.
    pub watchers: usize,
    /// Events that were sent in watches, those of the initial state included, bookmarks left out.
    pub events_sent: u64,
    /// Processor time of the server's thread. Encoding objects is the work of who applies them, and not in it.
    pub processor: Duration,
}

#[derive(Default)]
pub(crate) struct Counters {
    requests: Mutex<BTreeMap<RequestKind, u64>>,
    read: AtomicU64,
    written: AtomicU64,
    accepted: AtomicU64,
    connections: AtomicUsize,
    events: AtomicU64,
    clock: Mutex<Clock>,
}

/// Processor time of the server's thread.
#[derive(Default)]
enum Clock {
    #[default]
    NotStarted,
    Running(ClockId),
    Ended(Duration),
}

impl Counters {
    pub(crate) fn request(&self, verb: &'static str, resource: &'static str, user_agent: &str) {
        let mut requests = lock(&self.requests);
        let mut kind = RequestKind { verb, resource, user_agent: shortened(user_agent) };
        if requests.len() >= MOST_KINDS && !requests.contains_key(&kind) {
            kind.user_agent = "others".into();
        }
        *requests.entry(kind).or_default() += 1;
    }

    pub(crate) fn read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn sent_events(&self, events: usize) {
        self.events.fetch_add(events as u64, Ordering::Relaxed);
    }

    pub(crate) fn connected(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Called on the server's thread when it begins.
    pub(crate) fn thread_begins(&self) {
        *lock(&self.clock) = Clock::Running(thread_clock());
    }

    /// Called on the server's thread when it ends.
    pub(crate) fn thread_ends(&self) {
        let used = self.processor();
        *lock(&self.clock) = Clock::Ended(used);
    }

    fn processor(&self) -> Duration {
        match *lock(&self.clock) {
            Clock::NotStarted => Duration::ZERO,
            Clock::Running(clock) => clock_gettime(clock).map(Duration::from).unwrap_or_default(),
            Clock::Ended(used) => used,
        }
    }

    pub(crate) fn stats(&self, watchers: usize) -> Stats {
        Stats {
            requests: lock(&self.requests).clone(),
            bytes_read: self.read.load(Ordering::Relaxed),
            bytes_written: self.written.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
            watchers,
            events_sent: self.events.load(Ordering::Relaxed),
            processor: self.processor(),
        }
    }
}

/// The clock of this thread's processor time that other threads can read: what pthread_getcpuclockid(3) returns, the
/// complement of the thread's number with the bits for "one thread" and "as the scheduler counts it"
/// (include/linux/posix-timers_types.h).
fn thread_clock() -> ClockId {
    const ONE_THREAD_AS_SCHEDULED: i32 = 4 | 2;
    ClockId::from_raw((!gettid().as_raw() << 3) | ONE_THREAD_AS_SCHEDULED)
}

fn shortened(text: &str) -> String {
    let mut end = text.len().min(MOST_OF_AGENT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
