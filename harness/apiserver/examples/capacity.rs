//! What the server takes for a large cluster: `cargo run --release -p apiserver --example capacity [SERVICES ENDPOINTS]`.
//!
//! Prints time and memory to publish, list and watch, and the rate of events to 100 watchers, all over the loopback.

#![expect(clippy::print_stdout, reason = "examples talk to whoever runs them")]
#![expect(clippy::unwrap_used, reason = "an example that fails has failed")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use apiserver::objects::Published;
use apiserver::{Options, Server};
use services::service_set::{Scale, ServiceSet};

const WATCHERS: usize = 100;
const EVENTS: u32 = 2_000;

/// A line of `/proc/self/status`, MiB.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<u64>().unwrap() >> 10
}

/// Bytes of an answer that is read and thrown away, and how long it took.
fn drain(server: &Server, path: &str) -> (u64, Duration) {
    let begin = Instant::now();
    let mut stream = support::connect(server.address());
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let (mut bytes, mut buffer) = (0, vec![0; 1 << 18]);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return (bytes, begin.elapsed()),
            read => bytes += read as u64,
        }
    }
}

fn main() {
    let numbers: Vec<u32> = std::env::args().skip(1).map(|text| text.parse().unwrap()).collect();
    let [services, endpoints] = <[u32; 2]>::try_from(numbers).unwrap_or([50_000, 10]);
    let set = ServiceSet::synthetic(Scale { services, endpoints }, 1);
    println!("{services} Services x {endpoints} endpoints: the set itself has {} MiB", memory("VmRSS"));
    let server = support::server(Options::default());
    let mut published = Published::new("node1");

    let begin = Instant::now();
    let applied = server.apply(published.change_to(&[&set], None).unwrap()).unwrap();
    println!(
        "published in {:.2?}: {} objects, {} MiB now, {} MiB at most",
        begin.elapsed(),
        applied.changes,
        memory("VmRSS"),
        memory("VmHWM")
    );
    let begin = Instant::now();
    let exchanged = set.with_endpoint_replaced(0, "10.200.0.1".parse().unwrap());
    let changes = server.apply(published.change_to(&[&exchanged], None).unwrap()).unwrap().changes;
    println!("one endpoint exchanged: {changes} change, {:.2?} to find and apply it", begin.elapsed());

    for (what, path) in [
        ("list of Services", "/api/v1/services"),
        ("list of EndpointSlices", "/apis/discovery.k8s.io/v1/endpointslices"),
        (
            "the same, by kube-proxy's selector",
            "/apis/discovery.k8s.io/v1/endpointslices?labelSelector=%21service.kubernetes.io%2Fheadless%2C%21service.kubernetes.io%2Fservice-proxy-name",
        ),
        (
            "initial state in a watch",
            "/apis/discovery.k8s.io/v1/endpointslices?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1",
        ),
    ] {
        let before = server.stats().processor;
        let (bytes, took) = drain(&server, path);
        let processor = server.stats().processor - before;
        let rate = bytes as f64 / 1e6 / processor.as_secs_f64();
        println!(
            "{what}: {:.1} MB in {took:.2?}, of which the server computed {processor:.2?}: {rate:.0} MB/s",
            bytes as f64 / 1e6
        );
    }
    println!("{} MiB now, {} MiB at most", memory("VmRSS"), memory("VmHWM"));
    events(&server, &exchanged);
}

/// Events one by one, each seen by every watcher before the next.
fn events(server: &Server, set: &ServiceSet) {
    let rv = server.resource_version();
    let watch =
        |_| support::watch(server, &format!("/apis/discovery.k8s.io/v1/endpointslices?resourceVersion={rv}"));
    let watchers: Vec<_> = (0..WATCHERS).map(watch).collect();
    let reader = |mut lines: support::Lines| {
        thread::spawn(move || (0..EVENTS).for_each(|_| drop(lines.event().unwrap())))
    };
    let readers: Vec<_> = watchers.into_iter().map(reader).collect();
    let before = server.stats();
    let (begin, mut last) = (Instant::now(), 0);
    let mut applying = Duration::ZERO;
    // Few Services, so that finding the change does not count.
    let mut some: ServiceSet = set.services().iter().take(50).map(|service| (**service).clone()).collect();
    let mut few = Published::new("node1");
    few.change_to(&[&some], None).unwrap().for_each(drop);
    for number in 0..EVENTS {
        let index = number as usize % some.len();
        let ip = std::net::Ipv4Addr::from(0x0ac9_0000 + number);
        some = some.with_endpoint_replaced(index, ip.into());
        let started = Instant::now();
        last = server.apply(few.change_to(&[&some], None).unwrap()).unwrap().rv;
        applying += started.elapsed();
    }
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let took = begin.elapsed();
    let delivered = server.wait_delivered(last, WATCHERS, support::LIMIT).len();
    let processor = server.stats().processor - before.processor;
    println!(
        "{EVENTS} events to {delivered} watchers: {took:.2?} ({:.0} events/s in all, {:.2?} of it applying); the server computed {processor:.2?}",
        f64::from(EVENTS) * WATCHERS as f64 / took.as_secs_f64(),
        applying
    );
}
