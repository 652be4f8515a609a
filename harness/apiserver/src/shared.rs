//! What the server's thread and the embedding program share.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::client_events::EventLog;
use crate::clock;
use crate::counters::Counters;
use crate::delivery::Deliveries;
use crate::lock::lock;
use crate::object::Change;
use crate::resource::Resource;
use crate::store::{ApplyError, Store};

/// What can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Events of each resource that are kept for watches; who falls behind further hears 410. By default 102,400, the most
    /// that the real API server keeps (apiserver/pkg/storage/cacher, `defaultUpperBoundCapacity`).
    pub history: usize,
    /// How often a watch that wants bookmarks gets one: every minute, as from the real API server.
    pub bookmark_every: Duration,
    /// What `/version` says: major and minor.
    pub kubernetes: (u32, u32),
}

impl Default for Options {
    fn default() -> Self {
        Self { history: 100 * 1024, bookmark_every: Duration::from_secs(60), kubernetes: (1, 37) }
    }
}

/// What a transaction became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Resource version of its last change: that of the one before if it had none.
    pub rv: u64,
    /// How many changes it had: their resource versions are the last so many up to `rv`, in their order.
    pub changes: u64,
    /// When watchers could see it: right before they were woken (CLOCK_MONOTONIC).
    pub at: Instant,
}

pub(crate) struct Shared {
    pub options: Options,
    pub store: Mutex<Store>,
    /// Held for a whole transaction, so that objects are encoded while the store can be read.
    writer: Mutex<()>,
    /// By resource: wakes its watches.
    signals: Vec<watch::Sender<()>>,
    pub deliveries: Deliveries,
    pub counters: Arc<Counters>,
    pub events: EventLog,
}

impl Shared {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            store: Mutex::new(Store::new(options.history)),
            options,
            writer: Mutex::default(),
            signals: Resource::ALL.into_iter().map(|_| watch::Sender::new(())).collect(),
            deliveries: Deliveries::default(),
            counters: Arc::default(),
            events: EventLog::default(),
        }
    }

    /// All changes or none.
    pub(crate) fn apply(&self, changes: impl IntoIterator<Item = Change>) -> Result<Applied, ApplyError> {
        let _writer = lock(&self.writer);
        let now = clock::now();
        let before = lock(&self.store).rv();
        let mut staged = lock(&self.store).stage();
        for change in changes {
            let get = |resource, name: &_| lock(&self.store).get(resource, name).cloned();
            staged.add(change, get, now)?;
        }
        let resources: Vec<Resource> = staged.resources().collect();
        let mut store = lock(&self.store);
        let rv = store.commit(staged);
        let at = Instant::now();
        drop(store);
        resources.into_iter().for_each(|resource| self.wake(resource));
        Ok(Applied { rv, changes: rv - before, at })
    }

    /// Something has happened to a resource.
    fn wake(&self, resource: Resource) {
        self.signals[resource as usize].send_replace(());
    }

    /// Something has happened to all.
    pub(crate) fn wake_all(&self) {
        Resource::ALL.into_iter().for_each(|resource| self.wake(resource));
    }

    /// Told when something happens to a resource.
    pub(crate) fn signal(&self, resource: Resource) -> watch::Receiver<()> {
        self.signals[resource as usize].subscribe()
    }
}
