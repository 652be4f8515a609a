//! Loads and servers on loopback, and servers that misbehave.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

use super::*;
use crate::clock::nanoseconds;

fn any() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
}

fn loopback(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], port))
}

struct Serving {
    port: u16,
    stopper: Option<Stopper>,
    thread: Option<JoinHandle<Served>>,
}

fn serve(change: impl FnOnce(Server) -> Server) -> Serving {
    let (server, stopper) = Server::bind(any()).unwrap();
    let server = change(server);
    let port = server.address().port();
    Serving { port, stopper: Some(stopper), thread: Some(thread::spawn(move || server.run().unwrap())) }
}

impl Serving {
    fn stop(mut self) -> Served {
        self.stopper.take();
        self.thread.take().unwrap().join().unwrap()
    }
}

/// Far longer than anything takes that ends by itself, on a busy machine too.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A few requests to one address of loopback, on one flow: however long they take.
fn closed(workload: Workload, to: SocketAddr, requests: u64) -> Load {
    Load {
        pace: Pace::Closed { requests: Some(requests) },
        duration: TIMEOUT,
        timeout: TIMEOUT,
        trace: 2_000,
        ..Load::new(workload, [Destination::new(to, [to])])
    }
}

fn open(rate: u64, rhythm: Rhythm) -> Pace {
    Pace::Open { per_second: NonZeroU64::new(rate).unwrap(), rhythm }
}

/// Runs it, and checks what must hold whatever happens.
fn ran(load: &Load) -> LoadOutcome {
    let (began, halt) = (Instant::now(), AtomicBool::new(false));
    let mut all: Option<LoadOutcome> = None;
    thread::scope(|scope| {
        let halt = &halt;
        let threads: Vec<_> = (0..load.threads.get())
            .map(|t| scope.spawn(move || run(load, t, began, halt).unwrap()))
            .collect();
        for thread in threads {
            let outcome = thread.join().unwrap();
            match &mut all {
                Some(all) => all.merge(&outcome),
                None => all = Some(outcome),
            }
        }
    });
    let outcome = all.unwrap();
    let counts = outcome.counts;
    assert!(counts.is_balanced(), "{counts:?}");
    let timed = counts.answered + counts.timed_out;
    assert_eq!(outcome.times.service.count(), timed, "{counts:?}");
    assert_eq!(outcome.times.response.count(), timed + counts.cancelled, "{counts:?}");
    let ordered =
        outcome.trace.iter().all(|one| one.ended_ns >= one.started_ns && one.started_ns >= one.intended_ns);
    assert!(ordered, "{:?}", outcome.trace);
    let room = load.trace as u64 * u64::from(load.threads.get());
    assert_eq!(outcome.trace.len() as u64, counts.started.min(room));
    let lost = outcome.trace.iter().filter(|one| one.fate.is_lost()).count() as u64;
    assert!(lost == counts.lost() || (lost < counts.lost() && counts.started > room), "{lost} in {counts:?}");
    let in_intervals = outcome.intervals.list.iter().map(|interval| interval.response.count()).sum::<u64>();
    assert_eq!(in_intervals, outcome.times.response.count());
    outcome
}

/// A listener that treats each connection in its own way.
fn listen(mut treat: impl FnMut(TcpStream, SocketAddr) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((stream, from)) = listener.accept() {
            treat(stream, from);
        }
    });
    loopback(1, port)
}

#[test]
fn every_workload_is_answered_by_its_endpoint() {
    for workload in Workload::ALL {
        for (flows, threads, busy_poll) in [(1, 1, false), (1, 1, true), (7, 1, false), (8, 2, false)] {
            let server = serve(|server| server);
            let destinations: Vec<Destination> = (1..=3)
                .map(|last| loopback(last, server.port))
                .map(|to| Destination::new(to, [to]))
                .collect();
            let load = Load {
                flows: flows.try_into().unwrap(),
                threads: threads.try_into().unwrap(),
                busy_poll,
                request_bytes: (workload == Workload::TcpStream).then_some(300_000),
                ..Load {
                    destinations: destinations.into(),
                    picks: Arc::new([0, 1, 2]),
                    ..closed(workload, loopback(1, 1), 60)
                }
            };
            let outcome = ran(&load);
            assert_eq!(
                (outcome.counts.started, outcome.counts.answered),
                (60, 60),
                "{workload}: {outcome:?}"
            );
            outcome.all_answered().unwrap();
            let seen: Vec<u64> = (0..3).map(|destination| outcome.seen.of(destination)[0].count).collect();
            assert_eq!(seen.iter().sum::<u64>(), 60);
            if load.requests_per_flow.is_some() {
                assert_eq!(seen, [20, 20, 20], "{workload}");
            }
            assert!(outcome.per_second() > 0.0 && outcome.bytes > 60);
            let served = server.stop();
            let connections = match (workload.is_udp(), load.requests_per_flow) {
                (true, _) => 0,
                (false, Some(_)) => 60,
                (false, None) => flows as u64,
            };
            assert_eq!((served.accepted, served.answered, served.broken), (connections, 60, 0), "{workload}");
        }
    }
}

#[test]
fn ipv6_works_as_ipv4_does() {
    let (server, stopper) = Server::bind("[::]:0".parse().unwrap()).unwrap();
    let to = SocketAddr::new("::1".parse().unwrap(), server.address().port());
    let server = thread::spawn(move || server.run().unwrap());
    for workload in Workload::ALL {
        assert_eq!(ran(&closed(workload, to, 5)).counts.answered, 5, "{workload}");
    }
    drop(stopper);
    assert_eq!(server.join().unwrap().answered, 30);
}

#[test]
fn flows_are_renewed_after_so_many_requests() {
    for workload in [Workload::TcpRr, Workload::HttpKeepAlive, Workload::UdpRr] {
        let server = serve(|server| server);
        let requests_per_flow = NonZeroU32::new(4);
        let load = Load { requests_per_flow, ..closed(workload, loopback(1, server.port), 12) };
        assert_eq!(ran(&load).counts.answered, 12);
        assert_eq!(server.stop().accepted, if workload.is_udp() { 0 } else { 3 });
    }
}

#[test]
fn several_servers_share_an_address() {
    let (servers, stopper) = Server::bind_many(any(), 3).unwrap();
    let to = loopback(1, servers[0].address().port());
    let threads: Vec<_> = servers.into_iter().map(|server| thread::spawn(|| server.run().unwrap())).collect();
    assert_eq!(ran(&closed(Workload::TcpCrr, to, 60)).counts.answered, 60);
    assert_eq!(ran(&closed(Workload::UdpRr, to, 60)).counts.answered, 60);
    drop(stopper);
    let mut all = Served::default();
    threads.into_iter().for_each(|thread| all.add(thread.join().unwrap()));
    assert_eq!(all, Served { accepted: 60, answered: 120, broken: 0 });
}

#[test]
fn an_answer_from_another_endpoint_is_counted_and_reported() {
    let server = serve(|server| server);
    let (to, other) = (loopback(1, server.port), loopback(9, server.port));
    for workload in Workload::ALL {
        let load =
            Load { destinations: Arc::new([Destination::new(to, [other])]), ..closed(workload, to, 2) };
        let outcome = ran(&load);
        assert_eq!((outcome.counts.answered, outcome.counts.wrong_endpoint), (2, 2), "{workload}");
        assert_eq!(outcome.first_fault, Some(RequestFault::WrongEndpoint { to, got: Some(to) }));
        let anyone = Load { destinations: Arc::new([Destination::new(to, [])]), ..load };
        ran(&anyone).all_answered().unwrap();
    }
}

#[test]
fn refused_requests_are_counted_and_not_timed() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    for workload in Workload::ALL {
        let outcome = ran(&closed(workload, free, 3));
        assert_eq!((outcome.counts.refused, outcome.times.response.count()), (3, 0), "{workload}");
        assert_eq!(outcome.first_fault, Some(RequestFault::Refused { to: free }));
    }
    // tcp_v4_connect, net/ipv4/tcp_ipv4.c, refuses it whatever the routes are.
    let to = SocketAddr::from((Ipv4Addr::BROADCAST, 80));
    let counts = ran(&closed(Workload::TcpCrr, to, 2)).counts;
    assert_eq!((counts.refused, counts.unreachable), (2, 2));
}

#[test]
fn a_reset_connection_is_counted_and_not_timed() {
    let to = listen(|mut stream, _| {
        let _ = stream.read(&mut [0; 256]);
        setsockopt(&stream, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 }).unwrap();
    });
    for workload in [Workload::TcpCrr, Workload::HttpKeepAlive] {
        let outcome = ran(&closed(workload, to, 2));
        assert_eq!(
            (outcome.counts.reset, outcome.first_fault),
            (2, Some(RequestFault::Reset { to })),
            "{workload}"
        );
    }
}

#[test]
fn a_request_without_answer_is_recorded_with_the_time_it_was_given() {
    let mut held = Vec::new();
    let tcp = listen(move |stream, _| held.push(stream));
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for (workload, to) in
        [(Workload::TcpRr, tcp), (Workload::Http, tcp), (Workload::UdpRr, silent.local_addr().unwrap())]
    {
        let timeout = Duration::from_millis(200);
        let outcome = ran(&Load { timeout, ..closed(workload, to, 2) });
        assert_eq!(
            (outcome.counts.timed_out, outcome.first_fault),
            (2, Some(RequestFault::TimedOut { to })),
            "{workload}"
        );
        let shortest = outcome.times.response.histogram().min();
        assert!((199_000_000..nanoseconds(TIMEOUT)).contains(&shortest), "{shortest} ns");
    }
}

#[test]
fn only_a_response_of_the_protocol_is_an_answer() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n";
    for (response, cut) in [
        (String::new(), true),
        ("svb1".into(), false),
        (ok.into(), true),
        (format!("{ok}127.0.0.1:"), true),
        ("SSH-2.0-OpenSSH_9.2\r\n".into(), false),
        (format!("{ok}127.0.0.1:1 and more than there should be"), false),
    ] {
        let sent = response.clone();
        let to = listen(move |mut stream, _| {
            let _ = stream.read(&mut [0; 256]);
            stream.write_all(sent.as_bytes()).unwrap();
        });
        let load = Load {
            destinations: Arc::new([Destination::new(to, [])]),
            ..closed(Workload::HttpKeepAlive, to, 1)
        };
        let outcome = ran(&load);
        let expected = if cut { RequestFault::Reset { to } } else { RequestFault::Garbled { to } };
        if outcome.counts.answered == 0 {
            assert_eq!(outcome.first_fault, Some(expected), "{response:?}");
        } else {
            assert!(response.ends_with("should be"), "{response:?}");
        }
        let frames = ran(&closed(Workload::TcpRr, to, 1));
        assert_eq!((frames.counts.answered, frames.counts.reset), (0, 1), "{response:?}");
    }
}

#[test]
fn other_http_servers_can_be_loaded() {
    for (body, last) in [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno", false),
        ("HTTP/1.1 204 No Content\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\n\r\nuntil the end", true),
    ] {
        let to = listen(move |mut stream, _| {
            let mut request = [0; 256];
            while stream.read(&mut request).unwrap_or(0) > 0 {
                for piece in body.as_bytes().chunks(7) {
                    stream.write_all(piece).unwrap();
                    thread::sleep(Duration::from_millis(1));
                }
                if last {
                    break;
                }
            }
        });
        for workload in [Workload::Http, Workload::HttpKeepAlive] {
            let load = Load { destinations: Arc::new([Destination::new(to, [])]), ..closed(workload, to, 3) };
            let outcome = ran(&load);
            assert_eq!(outcome.counts.answered, 3, "{body:?} {workload}: {outcome:?}");
        }
    }
}

#[test]
fn sources_are_used_in_turn() {
    let (tell, heard) = std::sync::mpsc::channel();
    let to = listen(move |_, from| tell.send(from.ip()).unwrap());
    let sources: [IpAddr; 2] = [[127, 0, 0, 5].into(), [127, 0, 0, 6].into()];
    ran(&Load { sources: Arc::new(sources), ..closed(Workload::TcpCrr, to, 4) });
    let seen: Vec<_> = heard.iter().take(4).collect();
    assert_eq!(seen, [sources[0], sources[1], sources[0], sources[1]]);
}

#[test]
fn an_open_loop_asks_at_its_rate_whatever_happens() {
    let server = serve(|server| server);
    for (workload, threads, rhythm) in [
        (Workload::TcpCrr, 1, Rhythm::Constant),
        (Workload::TcpRr, 2, Rhythm::Poisson { seed: 1 }),
        (Workload::UdpRr, 2, Rhythm::Constant),
    ] {
        let load = Load {
            pace: open(500, rhythm),
            flows: NonZeroUsize::new(64).unwrap(),
            threads: NonZeroU32::new(threads).unwrap(),
            duration: Duration::from_secs(1),
            ..closed(workload, loopback(1, server.port), 0)
        };
        let outcome = ran(&load);
        let expected = if rhythm == Rhythm::Constant { 500..=500 } else { 400..=600 };
        let counts = outcome.counts;
        assert!(expected.contains(&counts.started), "{counts:?}");
        // On a busy machine some are due and cannot begin before the end.
        assert_eq!(counts.answered + counts.cancelled, counts.started, "{outcome:?}");
        assert!(counts.answered > 0, "{counts:?}");
        assert!(outcome.elapsed >= Duration::from_millis(900), "{:?}", outcome.elapsed);
    }
    // A server that takes connections and says nothing.
    let mut held = Vec::new();
    let silent = listen(move |stream, _| held.push(stream));
    let load = Load {
        pace: open(1_000, Rhythm::Constant),
        flows: NonZeroUsize::new(10).unwrap(),
        duration: Duration::from_secs(1),
        timeout: Duration::from_millis(400),
        ..closed(Workload::TcpRr, silent, 0)
    };
    let counts = ran(&load).counts;
    assert_eq!((counts.started, counts.answered), (1_000, 0), "{counts:?}");
    // Each flow times out no more than three times; all others never find a free one.
    assert!((1..=30).contains(&counts.timed_out) && counts.late >= counts.cancelled, "{counts:?}");
    assert_eq!(counts.timed_out + counts.cancelled, counts.started, "{counts:?}");
}

/// Gil Tene's point: a loop that waits for the stalled answer does not ask while it waits, so that it does not see what
/// everyone else would.
#[test]
fn a_stall_shows_in_an_open_loop_and_hides_in_a_closed_one() {
    let stall = Stall { every: Duration::from_secs(1), length: Duration::from_millis(500) };
    let server = serve(|server| server.stalling(stall));
    let base = Load {
        duration: Duration::from_millis(3_500),
        ..closed(Workload::TcpRr, loopback(1, server.port), 0)
    };
    let open = ran(&Load {
        pace: open(1_000, Rhythm::Constant),
        flows: NonZeroUsize::new(200).unwrap(),
        ..base.clone()
    });
    let closed = ran(&Load { pace: Pace::Closed { requests: None }, ..base });
    // Half a stall: no busy machine keeps a request waiting so long, but for a few.
    let slow =
        |outcome: &LoadOutcome| outcome.times.response.histogram().count_between(250_000_000, u64::MAX);
    // What is due in the first half of a stall waits so long: hundreds of requests. The closed loop met each stall once.
    let [open, closed] = [open, closed].map(|outcome| (slow(&outcome), outcome.counts));
    assert!(closed.0 > 0 && open.0 > 20 * closed.0, "{open:?} {closed:?}");
}

#[test]
fn a_halt_ends_a_load_early() {
    let (tell, heard) = std::sync::mpsc::channel();
    let to = listen(move |_, _| tell.send(()).unwrap_or_default());
    let load = Load { duration: Duration::from_secs(3_600), ..closed(Workload::TcpCrr, to, 1) };
    let load = Load { pace: open(100, Rhythm::Constant), ..load };
    let halt = AtomicBool::new(false);
    let outcome = thread::scope(|scope| {
        let running = scope.spawn(|| run(&load, 0, Instant::now(), &halt).unwrap());
        assert_eq!(heard.iter().take(10).count(), 10);
        halt.store(true, std::sync::atomic::Ordering::Relaxed);
        running.join().unwrap()
    });
    // Not a tenth of what an hour would have had.
    assert!((10..36_000).contains(&outcome.counts.started), "{:?}", outcome.counts);
    assert!(outcome.counts.is_balanced());
}

#[test]
fn bad_input_is_refused_with_the_reason() {
    let halt = AtomicBool::new(false);
    let refused = |load: &Load| run(load, 0, Instant::now(), &halt).unwrap_err().to_string();
    let load = closed(Workload::TcpCrr, loopback(1, 9), 1);
    assert!(refused(&Load { destinations: Arc::new([]), ..load.clone() }).contains("nothing to send to"));
    assert!(refused(&Load { picks: Arc::new([0, 3]), ..load.clone() }).contains("pick 3 of 1 targets"));
    // TEST-NET-2 (RFC 5737) is no address of any machine.
    let sources: [IpAddr; 1] = [[198, 51, 100, 1].into()];
    let why = refused(&Load { sources: Arc::new(sources), ..load });
    assert!(why.contains("cannot bind to source 198.51.100.1"), "{why}");
    let server = serve(|server| server);
    let taken = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
    let why = Server::bind(taken).unwrap_err().to_string();
    assert!(why.starts_with(&format!("the server on {taken} cannot ")), "{why}");
}

#[test]
fn long_answers_are_sent_whole_and_wait_for_room() {
    for padding in [0, 1, 200, 65_536, 12_000_000] {
        let (server, stopper) = Server::bind(any()).unwrap();
        let to = loopback(1, server.address().port());
        let server = server.padded(padding);
        let length = server.response_length(to);
        let served = thread::spawn(move || server.run().unwrap());
        assert_eq!(ran(&closed(Workload::Http, to, 1)).counts.answered, 1, "{padding}");
        let long = Load { response_bytes: Some(padding as u32), ..closed(Workload::TcpRr, to, 2) };
        assert_eq!(ran(&long).counts.answered, 2, "{padding}");
        let mut stream = TcpStream::connect(to).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
        thread::sleep(Duration::from_millis(5));
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert_eq!(response.len(), length);
        assert_eq!(response.lines().last(), Some(format!("{to}{}", " ".repeat(padding)).as_str()));
        drop(stopper);
        assert_eq!(served.join().unwrap(), Served { accepted: 3, answered: 4, broken: 0 });
    }
}

#[test]
fn requests_may_come_byte_by_byte_or_many_at_once() {
    let server = serve(|server| server);
    let to = loopback(1, server.port);
    let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut stream = TcpStream::connect(to).unwrap();
    for byte in request.bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    stream.write_all(request.repeat(3).as_bytes()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut responses = String::new();
    stream.read_to_string(&mut responses).unwrap();
    assert_eq!(responses.matches(&to.to_string()).count(), 5, "{responses}");
    assert_eq!(server.stop(), Served { accepted: 1, answered: 5, broken: 0 });
}

#[test]
fn half_a_request_is_broken_and_an_open_connection_does_not_hold_the_server_up() {
    let server = serve(|server| server);
    let to = loopback(1, server.port);
    for half in
        [&b"GET / HTTP/1.1\r\n"[..], b"svb1\x00\x00", b"svb1\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
    {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.write_all(half).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0; 9]).unwrap_or(0), 0, "closed without an answer");
    }
    let mut idle = TcpStream::connect(to).unwrap();
    // Answered after `idle` was accepted, because the queue of a listener is first in, first out.
    assert_eq!(ran(&closed(Workload::TcpCrr, to, 1)).counts.answered, 1);
    assert_eq!(server.stop(), Served { accepted: 5, answered: 1, broken: 3 });
    assert_eq!(idle.read(&mut [0; 9]).unwrap(), 0, "closed with the server");
}

#[test]
fn a_named_server_answers_with_its_name() {
    let name = loopback(77, 8080);
    let server = serve(|server| server.named(name));
    for workload in Workload::ALL {
        let to = loopback(1, server.port);
        let load = Load { destinations: Arc::new([Destination::new(to, [name])]), ..closed(workload, to, 3) };
        ran(&load).all_answered().unwrap();
    }
}
