//! A server that goes away, comes back, ends.

use std::net::{TcpListener, TcpStream};

use apiserver::{Options, Server, ServerError};

use crate::put;
use crate::support::{fetch, server, until, watch};

/// A port by number: the system keeps no other for a socket that does not listen.
fn on_a_port_by_number() -> Server {
    loop {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        if let Ok(listener) = TcpListener::bind(free) {
            return Server::start(listener, Options::default()).unwrap();
        }
    }
}

#[test]
fn a_server_goes_away_and_comes_back() {
    let server = on_a_port_by_number();
    let rv = put(&server, "a", "one", "x").rv;
    let mut lines = watch(&server, &format!("/api/v1/services?resourceVersion={rv}"));
    for _ in 0..3 {
        server.away().unwrap();
        let refused = TcpStream::connect(server.address()).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert_eq!(lines.next(), None, "its watch is over");
        assert_eq!(server.stats().connections, 0);
        server.away().unwrap();
        let while_away = put(&server, "a", "two", "x").rv;
        server.back().unwrap();
        server.back().unwrap();
        assert_eq!(fetch(&server, "/api/v1/services")["items"].as_array().unwrap().len(), 2);
        lines = watch(&server, &format!("/api/v1/services?resourceVersion={}", while_away - 1));
        assert_eq!(lines.event().unwrap().2, while_away);
    }
    let stats = server.stats();
    assert!(stats.processor.as_secs() < 5, "it turns round and round: {stats:?}");
}

#[test]
fn a_port_of_the_systems_choice_is_lost() {
    let server = server(Options::default());
    server.away().unwrap();
    match server.back() {
        // Where the system happens to give it again, all is well.
        Ok(()) => assert!(fetch(&server, "/api")["versions"].is_array()),
        Err(error) => assert!(matches!(error, ServerError::Moved { .. }), "{error}"),
    }
}

#[test]
fn a_server_that_is_dropped_leaves_nothing() {
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let name = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
        };
        tasks.map(name).filter(|name| name.trim() == "apiserver").count()
    };
    let server = server(Options::default());
    let address = server.address();
    let mut lines = watch(&server, "/api/v1/services?resourceVersion=1");
    assert!(threads() >= 1);
    drop(server);
    assert_eq!(lines.next(), None);
    assert!(TcpStream::connect(address).is_err());
    // Other tests have servers of their own, which end.
    until("no thread is left", || threads() == 0 || TcpListener::bind(address).is_ok());
}
