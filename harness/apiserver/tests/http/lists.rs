//! Single objects, lists, discovery, errors.

use std::collections::BTreeSet;
use std::time::Instant;

use apiserver::{Options, Resource, Server};
use serde_json::Value;

use crate::support::{fetch, get, request, server, until};
use crate::{delete, put};

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

fn three() -> Server {
    let server = server(Options::default());
    put(&server, "b", "three", "x");
    put(&server, "a", "two", "headless");
    put(&server, "a", "one", "x");
    server
}

#[test]
fn objects_and_lists_are_served() {
    let server = three();
    let one = fetch(&server, "/api/v1/namespaces/a/services/one");
    assert_eq!((&one["kind"], &one["apiVersion"]), (&"Service".into(), &"v1".into()));
    let list = fetch(&server, "/api/v1/services");
    assert_eq!((names(&list), &list["kind"]), (vec!["one", "two", "three"], &"ServiceList".into()));
    assert_eq!(list["metadata"]["resourceVersion"], server.resource_version().to_string());
    for (query, expected) in [
        ("namespaces/a/services", &["one", "two"][..]),
        ("namespaces/none/services", &[]),
        ("services?labelSelector=app%3Dx", &["one", "three"]),
        ("services?labelSelector=app+notin+(x),app", &["two"]),
        ("services?labelSelector=!service.kubernetes.io/headless", &["one", "two", "three"]),
        ("services?fieldSelector=spec.clusterIP!%3DNone", &["one", "three"]),
        ("services?fieldSelector=metadata.name%3Dtwo", &["two"]),
        ("services?fieldSelector=metadata.namespace%3Db,spec.type%3DClusterIP", &["three"]),
        ("pods", &[]),
        ("endpoints", &[]),
    ] {
        assert_eq!(names(&fetch(&server, &format!("/api/v1/{query}"))), expected, "{query}");
    }
    let policies = fetch(&server, "/apis/networking.k8s.io/v1/networkpolicies");
    assert_eq!(policies["kind"], "NetworkPolicyList");
}

#[test]
fn versions_are_as_asked_for() {
    let server = three();
    let now = server.resource_version();
    delete(&server, "a", "one");
    let of = |query: &str| get(&server, &format!("/api/v1/services?{query}"));
    let listed = |query: &str| {
        let list = of(query).json();
        names(&list).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let exact = format!("resourceVersion={now}&resourceVersionMatch=Exact");
    assert_eq!(listed(&exact), ["one", "two", "three"]);
    assert_eq!(of(&exact).json()["metadata"]["resourceVersion"], now.to_string());
    assert_eq!(listed(&format!("resourceVersion={now}&resourceVersionMatch=NotOlderThan")), ["two", "three"]);
    assert_eq!(listed(&format!("resourceVersion={now}&limit=2")), ["one", "two"], "a limit makes it exact");
    assert_eq!(
        listed("resourceVersion=0&limit=1"),
        ["two", "three"],
        "as from the watch cache: not in chunks"
    );
    let future = of(&format!("resourceVersion={}", now + 100));
    assert_eq!(future.json()["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    future.status(504, "Timeout");
    server.compact();
    let message = of(&exact).status(410, "Expired");
    assert_eq!(message, format!("too old resource version: {now} ({})", now + 1));
    assert_eq!(listed(""), ["two", "three"]);
}

#[test]
fn chunks_are_of_one_moment() {
    let server = three();
    let first = fetch(&server, "/api/v1/services?limit=1");
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["one"], &2.into()));
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    put(&server, "a", "ready", "x");
    delete(&server, "b", "three");
    let rest = fetch(&server, &format!("/api/v1/services?limit=5&continue={token}"));
    assert_eq!(names(&rest), ["two", "three"]);
    assert_eq!(rest["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert!(rest["metadata"].get("continue").is_none());
    server.compact();
    get(&server, &format!("/api/v1/services?continue={token}")).status(410, "Expired");
}

#[test]
fn a_list_is_known_when_all_of_it_has_left() {
    let server = three();
    let begun = Instant::now();
    let first = fetch(&server, "/api/v1/services?limit=1");
    let token = first["metadata"]["continue"].as_str().unwrap();
    fetch(&server, &format!("/api/v1/services?limit=1&continue={token}"));
    assert_eq!(server.lists(), []);
    fetch(&server, &format!("/api/v1/services?limit=5&continue={token}"));
    until("its last byte is in the socket", || !server.lists().is_empty());
    let [list] = &server.lists()[..] else { panic!("one list in three chunks") };
    assert_eq!(list.resource, Resource::Services);
    assert!(list.at > begun && list.at <= Instant::now());
    assert!(server.watchers().is_empty(), "a list is no watch");
}

#[test]
fn errors_are_statuses() {
    let server = three();
    for (path, code, reason) in [
        ("/", 404, "NotFound"),
        ("/api/v1/configmaps", 404, "NotFound"),
        ("/openapi/v3?timeout=32s", 404, "NotFound"),
        ("/openapi/v2", 404, "NotFound"),
        ("/apis/discovery.k8s.io/v1beta1/endpointslices", 404, "NotFound"),
        ("/api/v1/namespaces/a/services/none", 404, "NotFound"),
        ("/api/v1/services?labelSelector=a%3D%3Db%3Dc", 400, "BadRequest"),
        ("/api/v1/services?fieldSelector=spec.color%3Dred", 400, "BadRequest"),
        ("/api/v1/services?limit=many", 400, "BadRequest"),
        ("/api/v1/services?resourceVersion=-1", 400, "BadRequest"),
        ("/api/v1/services?continue=x", 400, "BadRequest"),
        ("/api/v1/services?a=%zz", 400, "BadRequest"),
        ("/api/v1/services?resourceVersionMatch=Exact", 422, "Invalid"),
        ("/api/v1/services?resourceVersion=0&resourceVersionMatch=Exact", 422, "Invalid"),
        ("/api/v1/services?resourceVersion=1&resourceVersionMatch=Newest", 422, "Invalid"),
        ("/api/v1/services?sendInitialEvents=true", 422, "Invalid"),
        ("/api/v1/services?watch=true&sendInitialEvents=true", 422, "Invalid"),
        ("/api/v1/services?watch=true&resourceVersion=1&resourceVersionMatch=NotOlderThan", 422, "Invalid"),
        (
            "/api/v1/services?watch=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan&resourceVersion=99",
            504,
            "Timeout",
        ),
    ] {
        get(&server, path).status(code, reason);
    }
    for method in ["PUT", "PATCH", "DELETE", "POST"] {
        let answer = request(&server, method, "/api/v1/namespaces/a/services/one", "", b"{}");
        answer.status(405, "MethodNotAllowed");
    }
    let message = get(&server, "/api/v1/namespaces/a/services/none").status(404, "NotFound");
    assert_eq!(message, "services \"none\" not found");
    let cbor = "Accept: application/cbor\r\n";
    request(&server, "GET", "/api/v1/services", cbor, b"").status(406, "NotAcceptable");
    assert_eq!(server.stats().watchers, 0);
}

#[test]
fn what_there_is_can_be_discovered() {
    let server = three();
    assert_eq!(fetch(&server, "/version")["minor"], "37");
    assert_eq!(get(&server, "/readyz").body, b"ok");
    assert_eq!(fetch(&server, "/api")["versions"][0], "v1");
    let mut kinds = BTreeSet::new();
    let groups = fetch(&server, "/apis");
    let groups = groups["groups"].as_array().unwrap().iter();
    let groups =
        groups.map(|group| format!("/apis/{}", group["preferredVersion"]["groupVersion"].as_str().unwrap()));
    for path in groups.chain(["/api/v1".to_owned()]) {
        let list = fetch(&server, &path);
        let resources = list["resources"].as_array().unwrap().iter();
        kinds.extend(resources.map(|resource| resource["kind"].as_str().unwrap().to_owned()));
    }
    let expected = [
        "EndpointSlice",
        "Endpoints",
        "Event",
        "Namespace",
        "NetworkPolicy",
        "Node",
        "Pod",
        "Service",
        "ServiceCIDR",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(fetch(&server, "/apis/discovery.k8s.io")["kind"], "APIGroup");
}

#[test]
fn tables_are_for_people() {
    let server = three();
    let accept = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json\r\n";
    let table = request(&server, "GET", "/api/v1/namespaces/a/services?limit=1", accept, b"").json();
    assert_eq!((&table["kind"], &table["apiVersion"]), (&"Table".into(), &"meta.k8s.io/v1".into()));
    let columns = table["columnDefinitions"].as_array().unwrap().iter();
    let columns: Vec<_> = columns.map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(columns, ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector"]);
    assert_eq!(table["rows"][0]["cells"][2], "10.96.0.1");
    assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "one");
    assert!(table["metadata"]["continue"].is_string());
}

#[test]
fn events_of_clients_are_kept() {
    let server = server(Options::default());
    let path = "/apis/events.k8s.io/v1/namespaces/default/events";
    let json = "Content-Type: application/json\r\n";
    let answer = request(&server, "POST", path, json, br#"{"kind":"Event","reason":"Starting"}"#);
    assert_eq!((answer.code, answer.json()["reason"].as_str()), (201, Some("Starting")));
    let protobuf = "Content-Type: application/vnd.kubernetes.protobuf\r\n";
    let answer = request(&server, "POST", "/api/v1/namespaces/default/events", protobuf, b"k8s\0\xff");
    assert_eq!((answer.code, &answer.body[..]), (201, &b"k8s\0\xff"[..]));
    request(&server, "POST", path, json, b"[]").status(400, "BadRequest");
    request(&server, "POST", path, json, &vec![b' '; 2 << 20]).status(413, "RequestEntityTooLarge");
    request(&server, "GET", path, "", b"").status(405, "MethodNotAllowed");
    let events = server.client_events();
    assert_eq!((events.count, events.last.len()), (2, 2));
    assert_eq!((events.last[1].user_agent.as_str(), &events.last[1].body[..]), ("test/1", &b"k8s\0\xff"[..]));
}

#[test]
fn what_is_done_is_counted() {
    let server = three();
    fetch(&server, "/api/v1/services");
    fetch(&server, "/api/v1/services?limit=1");
    get(&server, "/nothing");
    let stats = server.stats();
    let count = |verb, resource| {
        let kind = apiserver::RequestKind { verb, resource, user_agent: "test/1".into() };
        stats.requests.get(&kind).copied()
    };
    assert_eq!(
        [count("list", "services"), count("get", ""), count("get", "nodes")],
        [Some(2), Some(1), None]
    );
    assert!(stats.bytes_read > 100 && stats.bytes_written > 1000 && stats.accepted == 3, "{stats:?}");
    assert!(!stats.processor.is_zero());
    let end = server.stop();
    assert_eq!((end.connections, end.accepted), (0, 3));
    assert!(end.processor >= stats.processor);
}
