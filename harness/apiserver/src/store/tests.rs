use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::object::KubeObject;

const RESOURCE: Resource = Resource::Services;

fn service(namespace: &str, name: &str, label: &str) -> KubeObject {
    let mut service = Service::default();
    service.metadata.namespace = Some(namespace.into());
    service.metadata.name = Some(name.into());
    service.metadata.labels = Some([("v".to_owned(), label.to_owned())].into());
    service.into()
}

fn apply(store: &mut Store, changes: Vec<Change>) -> Result<u64, ApplyError> {
    let mut staged = store.stage();
    for change in changes {
        staged.add(change, |resource, name| store.get(resource, name).cloned(), Timestamp::UNIX_EPOCH)?;
    }
    Ok(store.commit(staged))
}

/// What is there: (namespace, name) and the label.
type State = BTreeMap<(String, String), String>;

fn state_of(objects: &[Arc<Stored>]) -> State {
    objects
        .iter()
        .map(|object| (key(&object.name), object.label("v").unwrap_or_default().to_owned()))
        .collect()
}

fn key(name: &Name) -> (String, String) {
    (name.namespace.to_string(), name.name.to_string())
}

fn list(store: &Store, at: Option<u64>) -> Result<State, Expired> {
    let page = store.page(RESOURCE, &Part { at, ..Part::default() }, &Selector::default())?;
    Ok(state_of(&page.items))
}

#[derive(Clone, Debug)]
enum Step {
    Put(&'static str, u8, &'static str),
    Delete(&'static str, u8),
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    let namespace = || prop::sample::select(vec!["a", "b"]);
    let label = prop::sample::select(vec!["x", "y"]);
    prop_oneof![
        6 => (namespace(), 0_u8..6, label).prop_map(|(namespace, name, label)| Step::Put(namespace, name, label)),
        3 => (namespace(), 0_u8..6).prop_map(|(namespace, name)| Step::Delete(namespace, name)),
        1 => Just(Step::Compact),
    ]
}

/// Does a step; a deletion of what is not there is refused and changes nothing.
fn run(store: &mut Store, step: &Step) {
    let before = (store.rv(), list(store, None));
    let outcome = match step {
        Step::Put(namespace, name, label) => {
            apply(store, vec![Change::Put(service(namespace, &name.to_string(), label))])
        }
        Step::Delete(namespace, name) => {
            let (namespace, name) = ((*namespace).to_owned(), name.to_string());
            apply(store, vec![Change::Delete(Key { resource: RESOURCE, namespace, name })])
        }
        Step::Compact => {
            store.compact();
            Ok(store.rv())
        }
    };
    if outcome.is_err() {
        assert_eq!((store.rv(), list(store, None)), before);
    }
}

proptest! {
    /// Every moment that is not forgotten can be listed, and events from there on lead to what is there now.
    #[test]
    fn replayed_events_give_the_list(
        steps in prop::collection::vec(step(), 1..40),
        history in 1_usize..40,
    ) {
        let mut store = Store::new(history);
        let mut past = vec![(store.rv(), State::new())];
        let mut compacted = 0;
        for step in &steps {
            run(&mut store, step);
            if matches!(step, Step::Compact) {
                compacted = store.rv();
            }
            past.push((store.rv(), list(&store, None).unwrap()));
        }
        prop_assert!(store.events(RESOURCE) <= history);
        let mut known = 0;
        for (rv, state) in &past {
            let Ok(then) = list(&store, Some(*rv)) else {
                prop_assert!(*rv < compacted || store.rv() - rv > history as u64, "{} is forgotten too early", rv);
                continue;
            };
            known += 1;
            prop_assert_eq!(&then, state, "at {}", rv);
            let mut replayed = then;
            let mut last = *rv;
            for event in store.after(RESOURCE, *rv).unwrap() {
                prop_assert!(event.rv > last);
                last = event.rv;
                match &event.what {
                    What::Put { now, before } => {
                        let old = replayed.insert(key(&now.name), now.label("v").unwrap_or_default().to_owned());
                        prop_assert_eq!(old.is_some(), before.is_some());
                    }
                    What::Deleted { before } => {
                        prop_assert!(replayed.remove(&key(&before.name)).is_some());
                        let json: serde_json::Value = serde_json::from_slice(&before.json_at(event.rv)).unwrap();
                        prop_assert_eq!(&json["metadata"]["resourceVersion"], &event.rv.to_string());
                    }
                }
            }
            prop_assert_eq!(replayed, list(&store, None).unwrap());
        }
        prop_assert!(known > 0, "the present is never forgotten");
    }

    /// Chunks of a list, with changes between them, are together the list of the first chunk's moment.
    #[test]
    fn chunks_are_of_one_moment(
        steps in prop::collection::vec(step().prop_filter("no", |step| !matches!(step, Step::Compact)), 0..40),
        between in prop::collection::vec(step().prop_filter("no", |step| !matches!(step, Step::Compact)), 0..10),
        limit in 1_usize..5,
        selector in prop::sample::select(vec![("", ""), ("a", ""), ("b", "v=x"), ("", "v!=x")]),
    ) {
        let mut store = Store::new(1000);
        steps.iter().for_each(|step| run(&mut store, step));
        let selector = Selector::parse(RESOURCE, selector.0, selector.1, "").unwrap();
        let whole = store.page(RESOURCE, &Part::default(), &selector).unwrap().items;
        let mut part = Part { limit: Some(limit), ..Part::default() };
        let mut found: Vec<Arc<Stored>> = Vec::new();
        let mut between = between.iter();
        loop {
            let page = store.page(RESOURCE, &part, &selector).unwrap();
            prop_assert_eq!(page.remaining, whole.len() - found.len() - page.items.len());
            let next = page.last().cloned();
            part.at = Some(page.rv);
            found.extend(page.items);
            part.after = next;
            if part.after.is_none() {
                break;
            }
            between.next().into_iter().for_each(|step| run(&mut store, step));
        }
        prop_assert_eq!(found, whole);
    }
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let mut store = Store::new(10);
    apply(&mut store, vec![Change::Put(service("a", "one", "x"))]).unwrap();
    let before = store.rv();
    let gone = Key { resource: RESOURCE, namespace: "a".into(), name: "two".into() };
    let refused =
        apply(&mut store, vec![Change::Put(service("a", "new", "x")), Change::Delete(gone.clone())]);
    assert_eq!(refused.unwrap_err().to_string(), "Service a/two is to be deleted but is not there");
    assert_eq!((store.rv(), store.count(RESOURCE), store.events(RESOURCE)), (before, 1, 1));
    for (namespace, name) in [("", "one"), ("a", "")] {
        let refused = apply(&mut store, vec![Change::Put(service(namespace, name, "x"))]);
        assert!(matches!(refused, Err(ApplyError::Unnamed(_))));
    }
    // Within a transaction, what was put can be deleted.
    let put = Change::Put(service("a", "two", "x"));
    assert_eq!(apply(&mut store, vec![put, Change::Delete(gone)]).unwrap(), before + 2);
    assert_eq!(store.count(RESOURCE), 1);
}

#[test]
fn an_object_keeps_its_birth_and_gets_versions() {
    let mut store = Store::new(10);
    let get = |store: &Store| {
        let name = Name { namespace: "a".into(), name: "one".into() };
        let stored = store.get(RESOURCE, &name).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&stored.json).unwrap();
        let field = |name: &str| json["metadata"][name].as_str().unwrap().to_owned();
        (field("resourceVersion"), field("uid"), field("creationTimestamp"))
    };
    apply(&mut store, vec![Change::Put(service("a", "one", "x"))]).unwrap();
    let first = get(&store);
    apply(&mut store, vec![Change::Put(service("a", "one", "y"))]).unwrap();
    let second = get(&store);
    assert_eq!((first.0.as_str(), second.0.as_str()), ("2", "3"));
    assert_eq!((&first.1, &first.2), (&second.1, &second.2));
    let key = Key { resource: RESOURCE, namespace: "a".into(), name: "one".into() };
    apply(&mut store, vec![Change::Delete(key), Change::Put(service("a", "one", "y"))]).unwrap();
    assert_ne!(get(&store).1, first.1, "another object of the same name");
}
