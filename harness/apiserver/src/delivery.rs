//! Which watcher was sent which event, and when the last byte of it was in the socket.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::lock::lock;
use crate::resource::Resource;

/// Events of one watcher whose moments are kept: the newest.
const MOST_MARKS: usize = 1 << 16;
/// Watchers that are kept after their end.
const MOST_CLOSED: usize = 64;
/// Lists that are kept: the newest.
const MOST_LISTS: usize = 64;

/// A watcher: one watch request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// Counts watch requests, from 1.
    pub id: u64,
    /// What it watches.
    pub resource: Resource,
    /// Its `User-Agent`.
    pub user_agent: String,
    /// Its end of the connection.
    pub peer: SocketAddr,
    /// Whether the watch is under way.
    pub open: bool,
    /// When the state that a watch with `sendInitialEvents` begins with was in the socket, with the bookmark that ends it.
    pub initial: Option<Instant>,
}

/// A client that does not ask a watch for the state has been sent all of a resource's objects by a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it has listed.
    pub resource: Resource,
    /// Its `User-Agent`.
    pub user_agent: String,
    /// When the last byte of the list, or of its last chunk, was in the socket (CLOCK_MONOTONIC).
    pub at: Instant,
}

/// An event has left for a watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// To whom.
    pub watcher: Watcher,
    /// When its last byte was in the socket (CLOCK_MONOTONIC).
    pub at: Instant,
}

/// One watcher's events.
#[derive(Debug)]
pub(crate) struct Delivery {
    id: u64,
    resource: Resource,
    user_agent: String,
    peer: SocketAddr,
    open: AtomicBool,
    marks: Mutex<Marks>,
    log: Arc<Moments>,
}

#[derive(Debug, Default)]
struct Marks {
    /// Resource versions of events that are on their way to the socket.
    handed: Vec<u64>,
    /// Those that are in it, in their order, with the moment.
    written: VecDeque<(u64, Instant)>,
    initial_handed: bool,
    initial_written: Option<Instant>,
}

/// Wakes who waits for deliveries.
#[derive(Debug, Default)]
struct Moments {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Delivery {
    /// Events that go to the socket next.
    pub(crate) fn hand(&self, rvs: &[u64]) {
        lock(&self.marks).handed.extend_from_slice(rvs);
    }

    /// The end of the initial state goes to the socket next.
    pub(crate) fn hand_initial(&self) {
        lock(&self.marks).initial_handed = true;
    }

    /// Everything that was handed over is in the socket, since this moment.
    pub(crate) fn flushed(&self, at: Instant) {
        let mut marks = lock(&self.marks);
        if std::mem::take(&mut marks.initial_handed) {
            marks.initial_written = Some(at);
        }
        if marks.handed.is_empty() {
            return;
        }
        let Marks { handed, written, .. } = &mut *marks;
        written.extend(handed.drain(..).map(|rv| (rv, at)));
        let surplus = written.len().saturating_sub(MOST_MARKS);
        written.drain(..surplus);
        drop(marks);
        *lock(&self.log.count) += 1;
        self.log.changed.notify_all();
    }

    fn watcher(&self) -> Watcher {
        Watcher {
            id: self.id,
            resource: self.resource,
            user_agent: self.user_agent.clone(),
            peer: self.peer,
            open: self.open.load(Ordering::Relaxed),
            initial: lock(&self.marks).initial_written,
        }
    }

    fn written(&self, rv: u64) -> Option<Instant> {
        let marks = lock(&self.marks);
        let at = marks.written.binary_search_by_key(&rv, |(rv, _)| *rv).ok()?;
        marks.written.get(at).map(|(_, at)| *at)
    }
}

/// All watchers.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    last: AtomicU64,
    known: Mutex<Known>,
    log: Arc<Moments>,
}

#[derive(Debug, Default)]
struct Known {
    open: BTreeMap<u64, Arc<Delivery>>,
    closed: VecDeque<Arc<Delivery>>,
    lists: VecDeque<Arc<Delivery>>,
}

impl Deliveries {
    /// A watch begins.
    pub(crate) fn open(&self, resource: Resource, user_agent: &str, peer: SocketAddr) -> Arc<Delivery> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let delivery = self.delivery(id, resource, user_agent, peer);
        lock(&self.known).open.insert(id, Arc::clone(&delivery));
        delivery
    }

    /// A list, or the last chunk of one, begins.
    pub(crate) fn list(&self, resource: Resource, user_agent: &str, peer: SocketAddr) -> Arc<Delivery> {
        let delivery = self.delivery(0, resource, user_agent, peer);
        let mut known = lock(&self.known);
        known.lists.push_back(Arc::clone(&delivery));
        let surplus = known.lists.len().saturating_sub(MOST_LISTS);
        known.lists.drain(..surplus);
        delivery
    }

    /// Lists that are in their sockets, in the order in which they were asked for.
    pub(crate) fn lists(&self) -> Vec<Listed> {
        let lists: Vec<_> = lock(&self.known).lists.iter().cloned().collect();
        let listed = |list: &Arc<Delivery>| {
            let Watcher { resource, user_agent, initial, .. } = list.watcher();
            Some(Listed { resource, user_agent, at: initial? })
        };
        lists.iter().filter_map(listed).collect()
    }

    fn delivery(&self, id: u64, resource: Resource, user_agent: &str, peer: SocketAddr) -> Arc<Delivery> {
        Arc::new(Delivery {
            id,
            resource,
            user_agent: user_agent.to_owned(),
            peer,
            open: AtomicBool::new(true),
            marks: Mutex::default(),
            log: Arc::clone(&self.log),
        })
    }

    /// It ends.
    pub(crate) fn close(&self, delivery: &Delivery) {
        delivery.open.store(false, Ordering::Relaxed);
        let mut known = lock(&self.known);
        let ended = known.open.remove(&delivery.id);
        known.closed.extend(ended);
        let surplus = known.closed.len().saturating_sub(MOST_CLOSED);
        known.closed.drain(..surplus);
    }

    /// How many watches are under way.
    pub(crate) fn count(&self) -> usize {
        lock(&self.known).open.len()
    }

    /// All that are known, in the order in which they began.
    pub(crate) fn watchers(&self) -> Vec<Watcher> {
        self.all().iter().map(|delivery| delivery.watcher()).collect()
    }

    fn all(&self) -> Vec<Arc<Delivery>> {
        let known = lock(&self.known);
        let mut all: Vec<_> = known.closed.iter().chain(known.open.values()).cloned().collect();
        all.sort_by_key(|delivery| delivery.id);
        all
    }

    /// Who was sent the event with this resource version.
    pub(crate) fn of(&self, rv: u64) -> Vec<Delivered> {
        let delivered = |delivery: &Arc<Delivery>| {
            let at = delivery.written(rv)?;
            Some(Delivered { watcher: delivery.watcher(), at })
        };
        self.all().iter().filter_map(delivered).collect()
    }

    /// The same, once they are this many, or after the timeout.
    pub(crate) fn wait(&self, rv: u64, watchers: usize, timeout: Duration) -> Vec<Delivered> {
        let deadline = Instant::now() + timeout;
        loop {
            let seen = *lock(&self.log.count);
            let delivered = self.of(rv);
            let left = deadline.saturating_duration_since(Instant::now());
            if delivered.len() >= watchers || left.is_zero() {
                return delivered;
            }
            let count = lock(&self.log.count);
            let waited = self.log.changed.wait_timeout_while(count, left, |count| *count == seen);
            drop(waited);
        }
    }
}
