//! Client and server on loopback, and servers that misbehave.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::libc::linger;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt,
};

use super::*;
use crate::recorder::Recorder;
use crate::target::{Protocol, Shares, Target};

const ANY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

fn loopback(last: u8, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new([127, 0, 0, last].into(), port)
}

fn serve() -> (u16, Stopper, JoinHandle<Served>) {
    let (server, stopper) = Server::bind(ANY).unwrap();
    let port = server.address().port();
    (port, stopper, thread::spawn(move || server.run().unwrap()))
}

/// Runs a closed loop, and checks what must hold whatever happens.
fn run(load: &CrrLoad, shares: Option<&mut Shares>) -> (CrrSummary, Recorder) {
    let mut recorder = Recorder::new();
    let s = TcpCrr::new().unwrap().closed_loop(load, &mut recorder, shares).unwrap();
    let faults = s.refused + s.reset + s.timed_out + s.unreachable + s.wrong_endpoint + s.garbled;
    assert_eq!(s.started, s.answered + faults, "{s:?}");
    assert_eq!(s.all_answered().is_err(), faults > 0, "{s:?}");
    assert_eq!(recorder.response.count(), s.answered + s.timed_out, "{s:?}");
    assert_eq!(recorder.response, recorder.service);
    (s, recorder)
}

/// One transaction with `to`.
fn once(to: SocketAddrV4) -> (CrrSummary, Recorder) {
    let targets = [Target::untranslated(&to, Protocol::Tcp)];
    let timeout = Duration::from_millis(100);
    run(&CrrLoad { timeout, ..CrrLoad::new(&targets, &[0]) }, None)
}

/// A listener that treats each connection in its own way.
fn listen(mut treat: impl FnMut(TcpStream, SocketAddr) + Send + 'static) -> SocketAddrV4 {
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
fn each_answer_names_its_endpoint() {
    let (port, stopper, server) = serve();
    let addresses = [loopback(1, port), loopback(2, port)];
    let targets = [
        Target::untranslated(&addresses[0], Protocol::Tcp),
        Target::new(addresses[1], Protocol::Tcp, &addresses).unwrap(),
    ];
    for (concurrency, busy_poll) in [(1, false), (1, true), (16, false), (16, true)] {
        let picks: Vec<u32> = (0..300).map(|i| u32::from(i % 3 == 0)).collect();
        let mut shares = Shares::new(&targets);
        let concurrency = concurrency.try_into().unwrap();
        let load = CrrLoad { concurrency, busy_poll, ..CrrLoad::new(&targets, &picks) };
        let (summary, recorder) = run(&load, Some(&mut shares));
        assert_eq!((summary.started, summary.answered), (300, 300), "{summary:?}");
        assert_eq!([shares.of(0), shares.of(1)], [&[200][..], &[0, 100]]);
        assert!(summary.per_second() > 0.0);
        let longest = Duration::from_nanos(recorder.response.histogram().max());
        assert!(longest < summary.elapsed + summary.elapsed / 100, "{longest:?} of {:?}", summary.elapsed);
    }
    drop(stopper);
    assert_eq!(server.join().unwrap(), Served { accepted: 1_200, answered: 1_200, broken: 0 });
}

#[test]
fn an_answer_from_another_endpoint_is_a_fault() {
    let (port, _stopper, _) = serve();
    let (to, other) = (loopback(1, port), loopback(9, port));
    let targets = [Target::new(to, Protocol::Tcp, std::slice::from_ref(&other)).unwrap()];
    let mut shares = Shares::new(&targets);
    let (summary, _) = run(&CrrLoad::new(&targets, &[0, 0]), Some(&mut shares));
    assert_eq!((summary.wrong_endpoint, shares.of(0)), (2, &[0][..]));
    assert_eq!(summary.first_fault, Some(TcpFault::WrongEndpoint { to, got: to }));
}

#[test]
fn a_refused_connection_is_counted_and_not_timed() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = loopback(1, closed.local_addr().unwrap().port());
    drop(closed);
    let (summary, _) = once(to);
    assert_eq!((summary.refused, summary.first_fault), (1, Some(TcpFault::Refused { to })));
}

#[test]
fn a_reset_connection_is_counted_and_not_timed() {
    let to = listen(|mut stream, _| {
        let _ = stream.read(&mut [0; 256]);
        setsockopt(&stream, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 }).unwrap();
    });
    let (summary, _) = once(to);
    assert_eq!((summary.reset, summary.first_fault), (1, Some(TcpFault::Reset { to })));
}

#[test]
fn a_transaction_without_end_is_recorded_with_the_time_it_was_given() {
    let mut held = Vec::new();
    let to = listen(move |stream, _| held.push(stream));
    let (summary, recorder) = once(to);
    assert_eq!((summary.timed_out, summary.first_fault), (1, Some(TcpFault::TimedOut { to })));
    let took = recorder.response.histogram().max();
    assert!((99_000_000..5_000_000_000).contains(&took), "{took} ns");
}

#[test]
fn a_slow_handshake_is_waited_for_and_counts() {
    // With a full queue the kernel drops the SYN; its repetition after 1 s finds room (RFC 6298, section 2).
    let flags = SockFlag::SOCK_CLOEXEC;
    let listener = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    bind(listener.as_raw_fd(), &SockaddrIn::from(loopback(1, 0))).unwrap();
    nix::sys::socket::listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let listener = TcpListener::from(listener);
    let port = listener.local_addr().unwrap().port();
    let mut filler = TcpStream::connect(loopback(1, port)).unwrap();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 256]);
            let body = stream.local_addr().unwrap().to_string();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    filler.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let to = loopback(1, port);
    let targets = [Target::untranslated(&to, Protocol::Tcp)];
    let (summary, recorder) = run(&CrrLoad::new(&targets, &[0]), None);
    assert_eq!(summary.answered, 1, "{summary:?}");
    let took = recorder.response.histogram().max();
    assert!(took > 900_000_000, "{took} ns");
}

#[test]
fn a_broadcast_address_is_unreachable() {
    // tcp_v4_connect, net/ipv4/tcp_ipv4.c, refuses it whatever the routes are.
    let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, 80);
    let (summary, _) = once(to);
    assert_eq!((summary.unreachable, summary.first_fault), (1, Some(TcpFault::Unreachable { to })));
}

#[test]
fn only_a_complete_response_is_an_answer() {
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ";
    let too_long = format!("{head}300\r\n\r\n{}", "1".repeat(300));
    for response in [
        String::new(),
        "HTTP/1.1 404 Not Found\r\nContent-Length: 11\r\n\r\n127.0.0.1:1".into(),
        format!("{head}11\r\n\r\n127.0.0.1:"),
        format!("{head}12\r\n\r\n127.0.0.1:1"),
        format!("{head}11\r\n\r\n127.0.0.one"),
        too_long,
    ] {
        let sent = response.clone();
        let to = listen(move |mut stream, _| {
            let _ = stream.read(&mut [0; 256]);
            stream.write_all(sent.as_bytes()).unwrap();
        });
        let (summary, _) = once(to);
        assert_eq!(summary.first_fault, Some(TcpFault::Garbled { to }), "{response:?}");
    }
}

#[test]
fn a_long_response_is_answered_whole_and_counted_whole() {
    // Longer than any send buffer, so that the server must wait for room.
    for padding in [0, 1, 200, 65_536, 12_000_000] {
        let (server, stopper) = Server::bind(ANY).unwrap();
        let to = loopback(1, server.address().port());
        let server = server.padded(padding);
        let length = server.response_length(to);
        let served = thread::spawn(move || server.run().unwrap());
        assert_eq!(once(to).0.answered, 1, "{padding}");
        let mut stream = TcpStream::connect(to).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        thread::sleep(Duration::from_millis(5));
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert_eq!(response.len(), length);
        assert_eq!(response.lines().last(), Some(format!("{to}{}", " ".repeat(padding)).as_str()));
        drop(stopper);
        assert_eq!(served.join().unwrap(), Served { accepted: 2, answered: 2, broken: 0 });
    }
}

#[test]
fn a_long_response_that_is_cut_off_is_no_answer() {
    for missing in [0, 1, 40_000] {
        let to = listen(move |mut stream, _| {
            let _ = stream.read(&mut [0; 256]);
            let body = stream.local_addr().unwrap().to_string() + &" ".repeat(50_000);
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(&text.as_bytes()[..text.len() - missing]).unwrap();
        });
        assert_eq!(once(to).0.garbled, u64::from(missing > 0), "{missing}");
    }
}

#[test]
fn a_named_server_answers_with_its_name() {
    let name = loopback(77, 8080);
    let (server, _stopper) = Server::bind(ANY).unwrap();
    let to = loopback(1, server.address().port());
    thread::spawn(move || server.named(name).run().unwrap());
    let targets = [Target::new(to, Protocol::Tcp, std::slice::from_ref(&name)).unwrap()];
    assert_eq!(run(&CrrLoad::new(&targets, &[0; 3]), None).0.answered, 3);
}

#[test]
fn a_response_in_pieces_is_an_answer() {
    let to = listen(|mut stream, _| {
        let _ = stream.read(&mut [0; 256]);
        let body = stream.local_addr().unwrap().to_string();
        for piece in ["HTTP/1.1 200 OK\r\n", &format!("Content-Length: {}\r\n\r\n", body.len()), &body] {
            stream.write_all(piece.as_bytes()).unwrap();
            thread::sleep(Duration::from_millis(5));
        }
    });
    assert_eq!(once(to).0.answered, 1);
}

#[test]
fn sources_are_used_in_turn() {
    let (tell, told) = std::sync::mpsc::channel();
    let to = listen(move |_, from| tell.send(from.ip()).unwrap());
    let targets = [Target::untranslated(&to, Protocol::Tcp)];
    let sources = [Ipv4Addr::new(127, 0, 0, 5), Ipv4Addr::new(127, 0, 0, 6)];
    let (summary, _) = run(&CrrLoad { sources: &sources, ..CrrLoad::new(&targets, &[0; 4]) }, None);
    assert_eq!(summary.started, 4);
    let seen: Vec<_> = told.iter().take(4).collect();
    assert_eq!(seen, [sources[0], sources[1], sources[0], sources[1]]);
}

#[test]
fn time_up_means_no_more_transactions() {
    let (port, _stopper, _) = serve();
    let to = loopback(1, port);
    let targets = [Target::untranslated(&to, Protocol::Tcp)];
    let picks = vec![0; 10_000_000];
    for limit in [Duration::ZERO, Duration::from_millis(30)] {
        let (summary, _) = run(&CrrLoad { stop_after: Some(limit), ..CrrLoad::new(&targets, &picks) }, None);
        assert_eq!(summary.started == 0, limit.is_zero(), "{summary:?}");
        assert!(summary.elapsed >= limit && summary.elapsed < limit + TIMEOUT);
    }
}

#[test]
fn bad_input_is_refused_with_the_reason() {
    let refused =
        |load: &CrrLoad| TcpCrr::new().unwrap().closed_loop(load, &mut Recorder::new(), None).unwrap_err();
    let to = loopback(1, 9);
    let targets = [Target::untranslated(&to, Protocol::Tcp), Target::untranslated(&to, Protocol::Udp)];
    assert!(matches!(refused(&CrrLoad::new(&targets, &[0, 2])), TcpError::Pick { pick: 2, targets: 2 }));
    assert!(matches!(refused(&CrrLoad::new(&targets, &[1])), TcpError::NotTcp { .. }));
    // TEST-NET-2 (RFC 5737) is no address of any machine.
    let sources = [Ipv4Addr::new(198, 51, 100, 1)];
    let why = refused(&CrrLoad { sources: &sources, ..CrrLoad::new(&targets, &[0]) });
    assert!(why.to_string().contains("cannot bind to source 198.51.100.1"), "{why}");

    let (port, _stopper, _) = serve();
    let why = Server::bind(loopback(1, port)).unwrap_err();
    assert!(why.to_string().starts_with(&format!("the server on 127.0.0.1:{port} cannot listen")), "{why}");
}

#[test]
fn a_request_may_come_byte_by_byte_from_many_at_once() {
    let (port, stopper, server) = serve();
    let request = "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n";
    let mut clients: Vec<_> = (0..5).map(|_| TcpStream::connect(loopback(1, port)).unwrap()).collect();
    for byte in request.bytes() {
        for client in &mut clients {
            client.write_all(&[byte]).unwrap();
        }
    }
    for mut client in clients {
        let mut response = String::new();
        client.read_to_string(&mut response).unwrap();
        assert!(response.ends_with(&format!("\r\n\r\n127.0.0.1:{port}")), "{response}");
    }
    drop(stopper);
    assert_eq!(server.join().unwrap(), Served { accepted: 5, answered: 5, broken: 0 });
}

#[test]
fn half_a_request_is_broken_and_an_open_connection_does_not_hold_the_server_up() {
    let (port, stopper, server) = serve();
    let mut half = TcpStream::connect(loopback(1, port)).unwrap();
    half.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    assert_eq!(half.read(&mut [0; 9]).unwrap(), 0, "closed without an answer");
    let mut idle = TcpStream::connect(loopback(1, port)).unwrap();
    // Answered after `idle` was accepted, because the queue of a listener is first in, first out.
    assert_eq!(once(loopback(1, port)).0.answered, 1);
    let began = Instant::now();
    drop(stopper);
    assert_eq!(server.join().unwrap(), Served { accepted: 3, answered: 1, broken: 1 });
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(idle.read(&mut [0; 9]).unwrap(), 0, "closed with the server");
}
