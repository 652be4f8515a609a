//! What happened to one resource, as far back as it is kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::object::{Name, Stored};

/// A change of one object.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub rv: u64,
    pub what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// New, or another; then with what it was.
    Put { now: Arc<Stored>, before: Option<Arc<Stored>> },
    /// Gone; with what it was.
    Deleted { before: Arc<Stored> },
}

impl Event {
    pub(crate) fn name(&self) -> &Name {
        match &self.what {
            What::Put { now: object, .. } | What::Deleted { before: object } => &object.name,
        }
    }

    fn before(&self) -> Option<&Arc<Stored>> {
        match &self.what {
            What::Put { before, .. } => before.as_ref(),
            What::Deleted { before } => Some(before),
        }
    }
}

/// What was asked for is no longer known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired;

/// Events in their order; the oldest go when there are too many.
#[derive(Debug)]
pub(crate) struct History {
    events: VecDeque<Event>,
    most: usize,
    /// Resource version of the newest event that is no longer known.
    dropped: u64,
}

impl History {
    pub(crate) fn new(most: usize) -> Self {
        Self { events: VecDeque::new(), most: most.max(1), dropped: 0 }
    }

    pub(crate) fn push(&mut self, event: Event) {
        if self.events.len() == self.most
            && let Some(oldest) = self.events.pop_front()
        {
            self.dropped = oldest.rv;
        }
        self.events.push_back(event);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        if let Some(newest) = self.events.back() {
            self.dropped = newest.rv;
        }
        self.events = VecDeque::new();
    }

    /// Whether nothing after this resource version is forgotten.
    pub(crate) fn reaches(&self, rv: u64) -> bool {
        rv >= self.dropped
    }

    /// Events after a resource version.
    pub(crate) fn after(&self, rv: u64) -> Result<impl Iterator<Item = &Event>, Expired> {
        if !self.reaches(rv) {
            return Err(Expired);
        }
        let first = self.events.partition_point(|event| event.rv <= rv);
        Ok(self.events.range(first..))
    }

    /// What each object that has changed since was at a resource version; `None`: it did not exist.
    pub(crate) fn undone(&self, rv: u64) -> Result<BTreeMap<&Name, Option<&Arc<Stored>>>, Expired> {
        let mut before = BTreeMap::new();
        for event in self.after(rv)? {
            before.entry(event.name()).or_insert_with(|| event.before());
        }
        Ok(before)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }
}
