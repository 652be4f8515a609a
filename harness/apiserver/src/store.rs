//! Everything that is served: objects by resource and name, and what happened to them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::history::{Event, Expired, History, What};
use crate::object::{Birth, Change, Key, Name, Stored};
use crate::resource::Resource;
use crate::selector::Selector;

/// Why a transaction is refused; nothing of it is done then.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An object without a name, or in a namespace though its kind is in none, or the other way round.
    #[error("{0} needs a name, and a namespace if and only if objects of its kind are in one")]
    Unnamed(Key),
    /// Deleted but not there.
    #[error("{0} is to be deleted but is not there")]
    NotThere(Key),
    /// It cannot be written as JSON or as protobuf, with the reason.
    #[error("{0}: {1}")]
    Encode(Key, String),
}

/// All objects at this moment, and as much of the past as is kept.
pub(crate) struct Store {
    rv: u64,
    /// Nothing before this resource version can be asked for.
    compacted: u64,
    /// Counts [`Store::expire`].
    epoch: u64,
    tables: Vec<Table>,
}

struct Table {
    objects: BTreeMap<Name, Arc<Stored>>,
    history: History,
}

/// Changes that wait for [`Store::commit`].
pub(crate) struct Staged {
    rv: u64,
    events: Vec<(Resource, Event)>,
    /// What this transaction has made of objects so far.
    made: HashMap<Key, Option<Arc<Stored>>>,
}

/// A part of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub rv: u64,
    pub items: Vec<Arc<Stored>>,
    /// How many come after it.
    pub remaining: usize,
}

impl Page {
    /// Where the next part begins: behind this.
    pub(crate) fn last(&self) -> Option<&Name> {
        self.items.last().filter(|_| self.remaining > 0).map(|object| &object.name)
    }
}

/// Which part of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// As it was then; now if there is none.
    pub at: Option<u64>,
    /// Behind this object.
    pub after: Option<Name>,
    /// At most so many objects.
    pub limit: Option<usize>,
}

impl Store {
    /// An empty one that keeps so many events of each resource.
    pub(crate) fn new(history: usize) -> Self {
        let table = |_| Table { objects: BTreeMap::new(), history: History::new(history) };
        // 0 means "any" to clients, so that the first is 1.
        Self { rv: 1, compacted: 0, epoch: 0, tables: Resource::ALL.into_iter().map(table).collect() }
    }

    /// The resource version of the newest change.
    pub(crate) fn rv(&self) -> u64 {
        self.rv
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    fn table(&self, resource: Resource) -> &Table {
        &self.tables[resource as usize]
    }

    /// One object.
    pub(crate) fn get(&self, resource: Resource, name: &Name) -> Option<&Arc<Stored>> {
        self.table(resource).objects.get(name)
    }

    /// How many objects of a resource there are.
    pub(crate) fn count(&self, resource: Resource) -> usize {
        self.table(resource).objects.len()
    }

    /// Begins a transaction. Only one may be under way.
    pub(crate) fn stage(&self) -> Staged {
        Staged { rv: self.rv, events: Vec::new(), made: HashMap::new() }
    }

    /// Ends it: from here on everybody sees it.
    pub(crate) fn commit(&mut self, staged: Staged) -> u64 {
        self.rv = staged.rv;
        for (resource, event) in staged.events {
            let table = &mut self.tables[resource as usize];
            match &event.what {
                What::Put { now, .. } => table.objects.insert(now.name.clone(), Arc::clone(now)),
                What::Deleted { before, .. } => table.objects.remove(&before.name),
            };
            table.history.push(event);
        }
        self.rv
    }

    /// Forgets the past: who asks for it hears 410.
    pub(crate) fn compact(&mut self) {
        self.compacted = self.rv;
        self.tables.iter_mut().for_each(|table| table.history.clear());
    }

    /// The same, and every watch that is open now ends with 410, even one that has missed nothing.
    pub(crate) fn expire(&mut self) {
        self.compact();
        self.epoch += 1;
    }

    /// Whether a watch can begin behind this resource version.
    pub(crate) fn can_resume(&self, resource: Resource, rv: u64) -> Result<(), Expired> {
        let known = rv >= self.compacted && self.table(resource).history.reaches(rv);
        if known { Ok(()) } else { Err(Expired) }
    }

    /// Events of a watch that has seen everything up to this resource version.
    pub(crate) fn after(&self, resource: Resource, rv: u64) -> Result<impl Iterator<Item = &Event>, Expired> {
        self.table(resource).history.after(rv)
    }

    /// A part of the list of a resource: in the order of names, from one moment.
    pub(crate) fn page(&self, resource: Resource, part: &Part, selector: &Selector) -> Result<Page, Expired> {
        let rv = part.at.unwrap_or(self.rv);
        self.can_resume(resource, rv)?;
        let table = self.table(resource);
        let undone = table.history.undone(rv)?;
        let first = match &part.after {
            Some(name) => Bound::Excluded(name.clone()),
            None => {
                Bound::Included(Name { namespace: selector.namespace.as_str().into(), name: Box::default() })
            }
        };
        let range = (first, Bound::Unbounded);
        let now = table.objects.range(range.clone());
        let now = now.filter(|(name, _)| !undone.contains_key(name)).map(|(_, object)| object);
        let then = undone.iter().filter(|(name, _)| std::ops::RangeBounds::contains(&range, **name));
        let mut then = then.filter_map(|(_, object)| *object).peekable();
        let mut now = now.peekable();
        let next = std::iter::from_fn(move || match (now.peek(), then.peek()) {
            (Some(one), Some(other)) if other.name < one.name => then.next(),
            (Some(_), _) => now.next(),
            (None, _) => then.next(),
        });
        let in_namespace = |object: &&Arc<Stored>| {
            selector.namespace.is_empty() || *object.name.namespace == *selector.namespace
        };
        let mut wanted = next.take_while(in_namespace).filter(|object| selector.matches(object));
        let items = wanted.by_ref().take(part.limit.unwrap_or(usize::MAX)).cloned().collect();
        Ok(Page { rv, items, remaining: wanted.count() })
    }

    #[cfg(test)]
    pub(crate) fn events(&self, resource: Resource) -> usize {
        self.table(resource).history.len()
    }
}

impl Staged {
    /// Adds one change; `store` is the one that this was begun in.
    pub(crate) fn add(
        &mut self,
        change: Change,
        store: impl Fn(Resource, &Name) -> Option<Arc<Stored>>,
        now: k8s_openapi::jiff::Timestamp,
    ) -> Result<(), ApplyError> {
        let key = change.key();
        if key.name.is_empty() || key.namespace.is_empty() == key.resource.facts().namespaced {
            return Err(ApplyError::Unnamed(key));
        }
        let before = match self.made.get(&key) {
            Some(made) => made.clone(),
            None => {
                let name = Name { namespace: key.namespace.as_str().into(), name: key.name.as_str().into() };
                store(key.resource, &name)
            }
        };
        let rv = self.rv + 1;
        let (what, made) = match change {
            Change::Put(object) => {
                let birth = before.as_ref().map_or(Birth { rv, at: now }, |before| before.birth);
                let stored = object
                    .stored(rv, birth)
                    .map_err(|error| ApplyError::Encode(key.clone(), error.to_string()))?;
                let now = Arc::new(stored);
                (What::Put { now: Arc::clone(&now), before }, Some(now))
            }
            Change::Delete(_) => {
                let before = before.ok_or_else(|| ApplyError::NotThere(key.clone()))?;
                (What::Deleted { before }, None)
            }
        };
        self.rv = rv;
        self.events.push((key.resource, Event { rv, what }));
        self.made.insert(key, made);
        Ok(())
    }

    /// Which resources it changes.
    pub(crate) fn resources(&self) -> impl Iterator<Item = Resource> {
        Resource::ALL.into_iter().filter(|resource| self.events.iter().any(|(of, _)| of == resource))
    }
}

#[cfg(test)]
mod tests;
