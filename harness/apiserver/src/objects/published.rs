//! What was published last, and the changes to what comes next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use services::service::Service;
use services::service_set::ServiceSet;

use super::error::ObjectsError;
use super::node::namespace;
use super::slice::{self, Slice};
use super::{packing, rows, service};
use crate::clock;
use crate::object::{Change, Key};
use crate::resource::Resource;

/// Namespace and name.
type Id = (String, String);

/// The Services that an API server has been told, and how their endpoints lie in slices.
#[derive(Clone, Debug)]
pub struct Published {
    node: String,
    services: BTreeMap<Id, Entry>,
    namespaces: BTreeSet<String>,
}

/// One Service object and its slices.
#[derive(Clone, Debug, Default)]
struct Entry {
    ports: Vec<Arc<Service>>,
    slices: Vec<Slice>,
    /// Highest number of a slice so far.
    last: u32,
}

/// A change of which the object is made when it is wanted.
enum Todo {
    Namespace(String),
    Service(Id),
    /// And the number of the slice.
    Slice(Id, u32),
    DeleteService(Id),
    DeleteSlice(Id, u32),
}

impl Published {
    /// Nothing so far. Endpoints that are local have this node's name.
    pub fn new(node: impl Into<String>) -> Self {
        Self { node: node.into(), services: BTreeMap::new(), namespaces: BTreeSet::new() }
    }

    /// The fewest changes to these Services: one set, or one of each family; a Service that is in both is one object with
    /// two families. An endpoint that is exchanged changes one EndpointSlice. Namespaces are added with their first
    /// Service and stay.
    ///
    /// `changed` is when the endpoints have changed, for the annotation from which kube-proxy counts its programming latency
    /// (`endpoints.kubernetes.io/last-change-trigger-time`); none, no annotation.
    ///
    /// Objects are made one by one while the iterator is read. All of it must be applied: this has changed already.
    ///
    /// # Errors
    /// [`ObjectsError`], if no API server could hold these; then nothing has changed.
    pub fn change_to(
        &mut self,
        sets: &[&ServiceSet],
        changed: Option<SystemTime>,
    ) -> Result<impl Iterator<Item = Change> + use<'_>, ObjectsError> {
        let mut wanted: BTreeMap<(&str, &str), Vec<Arc<Service>>> = BTreeMap::new();
        for service in sets.iter().flat_map(|set| set.services()) {
            wanted.entry((&service.namespace, &service.name)).or_default().push(Arc::clone(service));
        }
        let is_new = |(id, ports): &(&(&str, &str), &Vec<Arc<Service>>)| {
            let before = self.services.get(&owned(**id));
            before.is_none_or(|before| !same(&before.ports, ports))
        };
        let is_gone = |id: &&Id| !wanted.contains_key(&(id.0.as_str(), id.1.as_str()));
        let gone: Vec<Id> = self.services.keys().filter(is_gone).cloned().collect();
        let new: Vec<(Id, Vec<Arc<Service>>)> =
            wanted.iter().filter(is_new).map(|(id, ports)| (owned(*id), ports.clone())).collect();
        for (_, ports) in &new {
            service::check(ports)?;
        }

        let mut todo = Vec::new();
        for id in gone {
            let entry = self.services.remove(&id).unwrap_or_default();
            todo.push(Todo::DeleteService(id.clone()));
            todo.extend(entry.slices.iter().map(|slice| Todo::DeleteSlice(id.clone(), slice.number)));
        }
        for (id, ports) in new {
            self.replace(id, ports, &mut todo);
        }
        let changed = changed.map(|moment| clock::timestamp(moment).to_string());
        let this: &Self = self;
        Ok(todo.into_iter().filter_map(move |todo| this.change(todo, changed.as_deref())))
    }

    fn replace(&mut self, id: Id, ports: Vec<Arc<Service>>, todo: &mut Vec<Todo>) {
        if self.namespaces.insert(id.0.clone()) {
            todo.push(Todo::Namespace(id.0.clone()));
        }
        let entry = self.services.entry(id.clone()).or_default();
        if service::object(&entry.ports) != service::object(&ports) {
            todo.push(Todo::Service(id.clone()));
        }
        let families = service::families(&ports);
        let slices = packing::pack(&entry.slices, rows::groups(&ports), &families, &mut entry.last);
        let of = |slices: &[Slice], number: u32| slices.iter().position(|slice| slice.number == number);
        for slice in &slices {
            let before = of(&entry.slices, slice.number).and_then(|at| entry.slices.get(at));
            if before != Some(slice) {
                todo.push(Todo::Slice(id.clone(), slice.number));
            }
        }
        let gone = entry.slices.iter().filter(|slice| of(&slices, slice.number).is_none());
        todo.extend(gone.map(|slice| Todo::DeleteSlice(id.clone(), slice.number)));
        entry.ports = ports;
        entry.slices = slices;
    }

    /// Always `Some` for what [`Published::change_to`] has noted.
    fn change(&self, todo: Todo, changed: Option<&str>) -> Option<Change> {
        let key = |resource, namespace: String, name: String| Key { resource, namespace, name };
        Some(match todo {
            Todo::Namespace(name) => Change::Put(namespace(&name).into()),
            Todo::Service(id) => Change::Put(service::object(&self.services.get(&id)?.ports)?.into()),
            Todo::Slice(id, number) => {
                let slices = &self.services.get(&id)?.slices;
                let slice = slices.iter().find(|slice| slice.number == number)?;
                Change::Put(slice.object((&id.0, &id.1), &self.node, changed).into())
            }
            Todo::DeleteService((namespace, name)) => {
                Change::Delete(key(Resource::Services, namespace, name))
            }
            Todo::DeleteSlice((namespace, service), number) => {
                Change::Delete(key(Resource::EndpointSlices, namespace, slice::name(&service, number)))
            }
        })
    }
}

fn owned((namespace, name): (&str, &str)) -> Id {
    (namespace.to_owned(), name.to_owned())
}

fn same(one: &[Arc<Service>], other: &[Arc<Service>]) -> bool {
    let same = |(one, other): (&Arc<Service>, &Arc<Service>)| Arc::ptr_eq(one, other) || one == other;
    one.len() == other.len() && one.iter().zip(other).all(same)
}

#[cfg(test)]
mod tests;
