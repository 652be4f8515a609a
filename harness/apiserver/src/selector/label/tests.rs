use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::object::{Birth, KubeObject};

fn object(labels: &BTreeMap<String, String>) -> Stored {
    let mut service = Service::default();
    service.metadata.namespace = Some("n".into());
    service.metadata.name = Some("s".into());
    service.metadata.labels = Some(labels.clone());
    KubeObject::from(service).stored(1, Birth { rv: 1, at: Timestamp::UNIX_EPOCH }).unwrap()
}

/// A requirement as the documentation of labels words it.
#[derive(Clone, Debug)]
enum Wanted {
    Exists(String),
    Absent(String),
    Equal(String, &'static str, String),
    NotEqual(String, String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Above(String, i64),
    Below(String, i64),
}

impl Wanted {
    fn text(&self) -> String {
        match self {
            Wanted::Exists(key) => key.clone(),
            Wanted::Absent(key) => format!("!{key}"),
            Wanted::Equal(key, sign, value) => format!("{key}{sign}{value}"),
            Wanted::NotEqual(key, value) => format!("{key} != {value}"),
            Wanted::In(key, values) => format!("{key} in ({})", values.join(", ")),
            Wanted::NotIn(key, values) => format!("{key} notin ({})", values.join(",")),
            Wanted::Above(key, bound) => format!("{key}>{bound}"),
            Wanted::Below(key, bound) => format!("{key} < {bound}"),
        }
    }

    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let number = |key: &str| labels.get(key).and_then(|value| value.parse::<i64>().ok());
        match self {
            Wanted::Exists(key) => labels.contains_key(key),
            Wanted::Absent(key) => !labels.contains_key(key),
            Wanted::Equal(key, _, value) => labels.get(key) == Some(value),
            Wanted::NotEqual(key, value) => labels.get(key) != Some(value),
            Wanted::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Wanted::NotIn(key, values) => !labels.get(key).is_some_and(|value| values.contains(value)),
            Wanted::Above(key, bound) => number(key).is_some_and(|number| number > *bound),
            Wanted::Below(key, bound) => number(key).is_some_and(|number| number < *bound),
        }
    }
}

/// Few, so that they meet; with the words of the language among them.
fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "in", "notin", "x.io/a", "x.io/in"]).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "b", "in", "notin", "1", "20", "A_b.c-d"]).prop_map(str::to_owned)
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let values = || prop::collection::vec(value(), 1..4);
    prop_oneof![
        key().prop_map(Wanted::Exists),
        key().prop_map(Wanted::Absent),
        (key(), prop::sample::select(vec!["=", "==", " = "]), value())
            .prop_map(|(key, sign, value)| Wanted::Equal(key, sign, value)),
        (key(), value()).prop_map(|(key, value)| Wanted::NotEqual(key, value)),
        (key(), values()).prop_map(|(key, values)| Wanted::In(key, values)),
        (key(), values()).prop_map(|(key, values)| Wanted::NotIn(key, values)),
        (key(), -5_i64..30).prop_map(|(key, bound)| Wanted::Above(key, bound)),
        (key(), 0_i64..30).prop_map(|(key, bound)| Wanted::Below(key, bound)),
    ]
}

proptest! {
    #[test]
    fn a_selector_lets_through_what_its_terms_allow(
        wanted in prop::collection::vec(wanted(), 0..4),
        labels in prop::collection::btree_map(key(), value(), 0..4),
    ) {
        let text = wanted.iter().map(Wanted::text).collect::<Vec<_>>().join(",");
        let terms = parse(&text).map_err(|problem| TestCaseError::fail(format!("{text}: {problem}")))?;
        let object = object(&labels);
        let expected = wanted.iter().all(|wanted| wanted.holds(&labels));
        prop_assert_eq!(terms.iter().all(|term| term.matches(&object)), expected, "{} of {:?}", text, labels);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*|[ab!=,() <>in./-]*") {
        let _ = parse(&text);
    }
}

#[test]
fn what_kube_proxy_asks_for_is_read() {
    let text = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name";
    let terms = parse(text).unwrap();
    assert!(terms.iter().all(|term| term.test == Test::Absent));
    assert_eq!(terms.len(), 2);
}

#[test]
fn what_is_wrong_is_refused() {
    for text in [
        "a=b=c", "a in", "a in b", "a in (b", "a in ()x", ",", "a,", "!", "a!", "a b", "=a", "a>b", "a=b/c",
        "/a", "a/", "-a", "a=-",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}
