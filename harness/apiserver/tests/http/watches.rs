//! Watches: what they send, how they end, how they are resumed.

use std::time::Instant;

use apiserver::{Options, Server};
use proptest::prelude::*;

use crate::support::{LIMIT, Lines, fetch, server, until, watch};
use crate::{delete, put, service};

fn event(kind: &str, name: &str, rv: u64) -> Option<(String, String, u64)> {
    Some((kind.into(), name.into(), rv))
}

#[test]
fn events_come_as_they_happen() {
    let server = server(Options::default());
    let begin = server.resource_version();
    let mut all = watch(&server, &format!("/api/v1/services?resourceVersion={begin}"));
    let mut of_b = watch(&server, &format!("/api/v1/namespaces/b/services?resourceVersion={begin}"));
    put(&server, "a", "one", "x");
    put(&server, "a", "one", "y");
    put(&server, "b", "two", "x");
    let last = delete(&server, "a", "one");
    assert_eq!(all.event(), event("ADDED", "one", begin + 1));
    assert_eq!(all.event(), event("MODIFIED", "one", begin + 2));
    assert_eq!(all.event(), event("ADDED", "two", begin + 3));
    assert_eq!(all.event(), event("DELETED", "one", last.rv));
    assert_eq!(of_b.event(), event("ADDED", "two", begin + 3));
    assert_eq!(server.stats().watchers, 2);
    drop(of_b);
    until("a watch whose client has gone is over", || {
        put(&server, "b", "two", "x");
        server.stats().watchers == 1
    });
}

#[test]
fn an_object_enters_and_leaves_a_selector() {
    let server = server(Options::default());
    put(&server, "a", "one", "x");
    let mut lines = watch(&server, "/api/v1/services?labelSelector=app%3Dx&resourceVersion=1");
    let gone = put(&server, "a", "one", "y");
    put(&server, "a", "one", "z");
    let back = put(&server, "a", "one", "x");
    assert_eq!(lines.event(), event("ADDED", "one", 2));
    assert_eq!(lines.event(), event("DELETED", "one", gone.rv));
    assert_eq!(lines.event(), event("ADDED", "one", back.rv));
}

#[test]
fn an_initial_state_ends_with_a_bookmark() {
    let server = server(Options::default());
    put(&server, "a", "one", "x");
    put(&server, "a", "two", "x");
    let last = delete(&server, "a", "two").rv;
    let list = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let mut lines = watch(&server, &format!("/api/v1/services?{list}&allowWatchBookmarks=true"));
    assert_eq!(lines.event(), event("ADDED", "one", 2));
    let bookmark = lines.next().unwrap();
    let metadata = &bookmark["object"]["metadata"];
    assert_eq!((&bookmark["type"], &bookmark["object"]["kind"]), (&"BOOKMARK".into(), &"Service".into()));
    assert_eq!(metadata["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(metadata["resourceVersion"], last.to_string());
    let next = put(&server, "a", "three", "x");
    assert_eq!(lines.event(), event("ADDED", "three", next.rv));
    until("it is known when the state was sent", || server.watchers()[0].initial.is_some());
    // Without bookmarks, and in the old way, there is only the state.
    for query in [list, "", "resourceVersion=0"] {
        let mut lines = watch(&server, &format!("/api/v1/services?{query}"));
        assert_eq!(lines.event(), event("ADDED", "one", 2));
        assert_eq!(lines.event(), event("ADDED", "three", next.rv));
    }
    let none = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
    let mut lines = watch(&server, &format!("/api/v1/services?{none}"));
    let next = put(&server, "a", "four", "x");
    assert_eq!(lines.event(), event("ADDED", "four", next.rv));
}

#[test]
fn a_watch_ends_in_time_with_a_bookmark() {
    let server = server(Options::default());
    let rv = put(&server, "a", "one", "x").rv;
    let query = format!("timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion={rv}");
    let mut lines = watch(&server, &format!("/api/v1/services?{query}"));
    assert_eq!(lines.event(), event("BOOKMARK", "", rv));
    assert_eq!(lines.event(), None);
    let mut silent = watch(&server, &format!("/api/v1/services?timeoutSeconds=1&resourceVersion={rv}"));
    assert_eq!(silent.event(), None);
}

#[test]
fn bookmarks_come_from_time_to_time() {
    let options = Options { bookmark_every: std::time::Duration::from_millis(20), ..Options::default() };
    let server = server(options);
    let mut lines = watch(&server, "/api/v1/nodes?allowWatchBookmarks=true&resourceVersion=1");
    let rv = put(&server, "a", "one", "x").rv;
    // What happens to others moves it on, too.
    while lines.event().unwrap().2 < rv {}
}

#[test]
fn what_is_forgotten_is_an_error() {
    let server = server(Options::default());
    let rv = put(&server, "a", "one", "x").rv;
    put(&server, "a", "two", "x");
    let mut open = watch(&server, &format!("/api/v1/services?resourceVersion={rv}"));
    assert_eq!(open.event(), event("ADDED", "two", rv + 1));
    server.compact();
    let mut late = watch(&server, &format!("/api/v1/services?resourceVersion={rv}"));
    let error = late.next().unwrap();
    assert_eq!((&error["type"], &error["object"]["code"]), (&"ERROR".into(), &410.into()));
    assert_eq!(error["object"]["reason"], "Expired");
    assert_eq!(late.next(), None);
    let next = put(&server, "a", "three", "x");
    assert_eq!(open.event(), event("ADDED", "three", next.rv), "a watch that has missed nothing goes on");
    server.expire_watches();
    assert_eq!(open.event(), event("ERROR", "", 0));
    assert_eq!(open.event(), None);
}

/// A watcher that does not read: the server keeps its place, and no events beyond the history.
#[test]
fn a_slow_watcher_is_cut_off_and_slows_nobody() {
    let server = server(Options { history: 100, ..Options::default() });
    let mut slow = watch(&server, "/api/v1/services?resourceVersion=1");
    let mut quick = watch(&server, "/api/v1/services?resourceVersion=1");
    let padding = "x".repeat(60);
    let mut sent = 0_u64;
    let last = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            loop {
                let (kind, name, rv) = quick.event().unwrap();
                assert_ne!(kind, "ERROR");
                last = last.max(rv);
                if name == "end" {
                    return last;
                }
            }
        });
        // More than all buffers between the server and a client that does not read.
        while sent < 40_000 {
            let changes: Vec<_> = (0..50).map(|k| service("a", &format!("{padding}{k}"), "x")).collect();
            let applied = server.apply(changes).unwrap();
            sent += applied.changes;
            // At the pace of the quick one, which then is never behind by more than the history.
            let quick = server.watchers().iter().map(|watcher| watcher.id).max().unwrap();
            let has = |delivered: &apiserver::Delivered| delivered.watcher.id == quick;
            until("the quick one is served", || server.delivered(applied.rv).iter().any(has));
        }
        put(&server, "a", "end", "x");
        reader.join().unwrap()
    });
    assert_eq!(last, server.resource_version());
    let mut count = 0;
    loop {
        let (kind, ..) = slow.event().unwrap();
        if kind == "ERROR" {
            break;
        }
        count += 1;
    }
    assert!(count < sent, "it was sent everything");
    assert_eq!(slow.event(), None);
}

#[test]
fn the_moment_of_a_delivery_is_known() {
    let server = server(Options::default());
    let mut one = watch(&server, "/api/v1/services?resourceVersion=1");
    let mut two = watch(&server, "/api/v1/services?resourceVersion=1&labelSelector=app%3Dy");
    let before = Instant::now();
    let applied = put(&server, "a", "one", "x");
    assert_eq!(one.event(), event("ADDED", "one", applied.rv));
    let delivered = server.wait_delivered(applied.rv, 1, LIMIT);
    let after = Instant::now();
    assert_eq!(delivered.len(), 1, "the other does not want it");
    assert!(before <= applied.at && applied.at <= delivered[0].at && delivered[0].at <= after);
    assert_eq!(delivered[0].watcher.user_agent, "watcher/1");
    let both = put(&server, "a", "two", "y");
    assert_eq!(server.wait_delivered(both.rv, 2, LIMIT).len(), 2);
    assert_eq!(two.event(), event("ADDED", "two", both.rv));
}

#[test]
fn a_table_is_watched_too() {
    let server = server(Options::default());
    let stream = &mut crate::support::connect(server.address());
    use std::io::{BufRead, BufReader, Write};
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let head = format!("GET /api/v1/services?watch=true HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    put(&server, "a", "one", "x");
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let line = lines.into_iter().find(|line| line.starts_with("{\"type\"")).unwrap();
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&event["type"], &event["object"]["kind"]), (&"ADDED".into(), &"Table".into()));
    assert_eq!(event["object"]["rows"][0]["cells"][0], "one");
}

/// Reads events into names and apps until a watch ends; returns the last version.
fn follow(
    lines: &mut Lines,
    state: &mut std::collections::BTreeMap<String, String>,
    mut rv: u64,
    most: usize,
) -> u64 {
    for _ in 0..most {
        let Some(event) = lines.next() else { break };
        let object = &event["object"];
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let seen: u64 = object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        let app = object["metadata"]["labels"]["app"].as_str().unwrap_or_default().to_owned();
        match event["type"].as_str().unwrap() {
            "ADDED" => assert_eq!(state.insert(name, app), None, "it was there already"),
            "MODIFIED" => assert!(state.insert(name, app).is_some(), "it was not there"),
            "DELETED" => assert!(state.remove(&name).is_some(), "it was not there"),
            other => panic!("{other}"),
        }
        assert!(seen > rv);
        rv = seen;
    }
    rv
}

fn listed(server: &Server) -> std::collections::BTreeMap<String, String> {
    let list = fetch(server, "/api/v1/services");
    let items = list["items"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    items.map(|item| (text(&item["metadata"]["name"]), text(&item["metadata"]["labels"]["app"]))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// A client that breaks off anywhere and resumes loses and repeats nothing.
    #[test]
    fn watches_that_resume_lose_and_repeat_nothing(
        steps in prop::collection::vec((0_u8..5, prop::sample::select(vec!["x", "y", ""])), 1..60),
        breaks in prop::collection::vec(1_usize..10, 1..8),
    ) {
        let server = server(Options::default());
        let mut names = std::collections::BTreeSet::new();
        for (name, app) in &steps {
            let name = name.to_string();
            if app.is_empty() {
                if names.remove(&name) {
                    delete(&server, "a", &name);
                }
            } else {
                put(&server, "a", &name, app);
                names.insert(name);
            }
        }
        let (mut state, mut rv) = (std::collections::BTreeMap::new(), 1);
        let end = server.resource_version();
        for most in breaks.iter().copied().chain(std::iter::repeat(100)) {
            if rv == end {
                break;
            }
            let mut lines = watch(&server, &format!("/api/v1/services?resourceVersion={rv}"));
            let left = usize::try_from(end - rv).unwrap();
            rv = follow(&mut lines, &mut state, rv, most.min(left));
        }
        prop_assert_eq!(state, listed(&server));
    }
}
