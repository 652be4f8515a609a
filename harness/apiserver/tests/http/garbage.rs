//! Whatever a client sends, the server goes on.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::OnceLock;

use apiserver::{Options, Server};
use proptest::prelude::*;

use crate::put;
use crate::support::{connect, fetch, server};

fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = server(Options::default());
        put(&server, "a", "one", "x");
        server
    })
}

/// Sends bytes and nothing more, and reads until the server has closed.
fn send(bytes: &[u8]) {
    let mut stream = connect(shared().address());
    // The server may have heard enough already.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Sends a request, and reads the head of the answer: a watch has no end.
fn ask(bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(shared().address());
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => answer.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    answer
}

fn word() -> impl Strategy<Value = String> {
    let known = [
        "api",
        "apis",
        "v1",
        "namespaces",
        "services",
        "events",
        "a",
        "one",
        "%2F",
        "%",
        "watch=true",
        "limit=1",
        "labelSelector=a%3Db",
        "fieldSelector=metadata.name%3Da",
        "resourceVersion=1",
        "resourceVersion=18446744073709551615",
        "timeoutSeconds=9223372036854775807",
        "timeoutSeconds=1",
        "continue=e30",
        "sendInitialEvents=true",
        "resourceVersionMatch=NotOlderThan",
        "allowWatchBookmarks=true",
        "includeObject=Object",
        "limit=9223372036854775807",
    ];
    prop_oneof![4 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "[!-~]{0,12}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_end_nothing(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        send(&bytes);
        prop_assert_eq!(&fetch(shared(), "/api")["versions"][0], "v1");
    }

    #[test]
    fn random_requests_are_answered(
        method in prop::sample::select(vec!["GET", "GET", "POST", "PUT", "DELETE", "OPTIONS", "BREW"]),
        path in prop::collection::vec(word(), 0..7),
        query in prop::collection::vec(word(), 0..6),
        accept in "[ -~]{0,60}",
        body in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let target = format!("/{}?{}", path.join("/"), query.join("&"));
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ).into_bytes();
        request.extend(body);
        let answer = ask(&request);
        prop_assert!(answer.starts_with(b"HTTP/1.1 "), "{}: {}", target, String::from_utf8_lossy(&answer));
        prop_assert!(!answer.starts_with(b"HTTP/1.1 5") || answer.starts_with(b"HTTP/1.1 504"));
        prop_assert_eq!(&fetch(shared(), "/api")["versions"][0], "v1");
    }
}
