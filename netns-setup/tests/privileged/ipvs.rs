//! IPVS as the kernel does it: codec and client against the real thing, and against `ipvsadm`.

use std::cell::RefCell;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};

use netns_setup::ipvs::{
    Cause, Forwarding, Ipvs, Key, MH_PORT, ONE_PACKET, Protocol, RealServer, Reply, Request, SH_FALLBACK,
    SH_PORT, Scheduler, State, VirtualServer,
};
use netns_setup::{Namespace, find_program};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use crate::helpers::wait_until;

const ESRCH: i32 = 3;
const EEXIST: i32 = 17;

fn open(world: &Namespace) -> Ipvs {
    world.run(Ipvs::open).unwrap()
}

fn key(address: &str) -> Key {
    Key { address: address.parse().unwrap(), protocol: Protocol::Tcp }
}

fn server(key: Key) -> VirtualServer {
    VirtualServer { key, scheduler: Scheduler::Rr, persistence: None, flags: 0 }
}

fn real(address: &str) -> RealServer {
    RealServer { address: address.parse().unwrap(), weight: 1, forwarding: Forwarding::Masquerade }
}

fn lines(text: &str) -> Vec<Request> {
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn state_of(requests: &[Request]) -> State {
    let mut state = State::default();
    requests.iter().for_each(|request| state.apply(request).unwrap());
    state
}

/// One of everything that can be asked for, of the schedulers that this kernel has.
fn varied(ipvs: &mut Ipvs) -> Vec<Request> {
    let mut requests = Vec::new();
    for (index, scheduler) in Scheduler::ALL.into_iter().enumerate() {
        let probe = VirtualServer { scheduler, ..server(key("198.51.100.0:20000")) };
        if ipvs.batch(&[Request::NewService(probe), Request::DelService(probe.key)]).is_err() {
            println!("without {scheduler}");
            continue;
        }
        let plain = server(key(&format!("10.96.0.{index}:80")));
        requests.push(Request::NewService(VirtualServer { scheduler, ..plain }));
        requests.push(Request::NewDest(plain.key, real("10.244.0.11:8080")));
        requests.push(Request::NewDest(plain.key, RealServer { weight: 7, ..real("10.244.1.12:8080") }));
    }
    requests.extend(lines(
        "-A -t 10.97.0.1:443 -s sh -p 10800 -b sh-fallback,sh-port\n\
         -A -u 10.97.0.1:53 -s mh -b mh-port\n\
         -a -u 10.97.0.1:53 -r 10.244.0.11:5353 -m -w 0\n\
         -A -u 10.97.0.2:53 -s rr -o\n\
         -A --sctp-service 10.97.0.1:5000 -s wlc -p 1\n\
         -A -t 10.97.0.3:80 -s lc -b flag-1,flag-2,flag-3\n\
         -a -t 10.97.0.3:80 -r 10.244.0.11:80 -i -w 2147483647 --tun-type ipip\n\
         -a -t 10.97.0.3:80 -r 10.244.0.12:80 -g -w 1\n\
         -A -t 10.97.0.4:0 -s rr -p 2678400\n\
         -A -t [2001:db8::10]:80 -s wrr -p 300\n\
         -a -t [2001:db8::10]:80 -r [2001:db8:1::11]:8080 -m -w 3\n\
         -a -t [2001:db8::10]:80 -r [2001:db8:1::12]:8080 -m -w 4\n\
         -A -u [2001:db8::10]:80 -s dh",
    ));
    requests
}

pub fn read_back() {
    let world = Namespace::create("ipvs").unwrap();
    let mut ipvs = open(&world);
    let requests = varied(&mut ipvs);
    for request in &requests {
        assert_eq!(ipvs.one(request).unwrap(), Reply::Done);
    }
    let expected = state_of(&requests);
    assert_eq!(ipvs.state().unwrap(), expected);

    let sticky = key("10.97.0.1:443");
    let Reply::Service(Some(found)) = ipvs.one(&Request::GetService(sticky)).unwrap() else { panic!() };
    let wanted = VirtualServer {
        key: sticky,
        scheduler: Scheduler::Sh,
        persistence: Some(10800),
        flags: SH_FALLBACK | SH_PORT,
    };
    assert_eq!(found.server, wanted);
    assert_eq!(found.statistics, Default::default());
    // The kernel puts what is new in front.
    let dests = ipvs.dests(&key("10.96.0.0:80")).unwrap();
    let dests = dests.iter().map(|dest| dest.server.address.to_string()).collect::<Vec<_>>();
    assert_eq!(dests, ["10.244.1.12:8080", "10.244.0.11:8080"]);

    let other = Namespace::create("other").unwrap();
    assert!(open(&other).state().unwrap().is_empty(), "a table for each namespace");
    ipvs.flush().unwrap();
    assert!(ipvs.state().unwrap().is_empty());

    ipvs.batch(&requests).unwrap();
    assert_eq!(ipvs.state().unwrap(), expected, "batched");
}

pub fn changes() {
    let world = Namespace::create("ipvs").unwrap();
    let mut ipvs = open(&world);
    let plain = server(key("10.96.0.10:80"));
    let dest = real("10.244.0.11:8080");
    let make = [Request::NewService(plain), Request::NewDest(plain.key, dest)];
    ipvs.batch(&make).unwrap();
    let changed = VirtualServer { scheduler: Scheduler::Mh, persistence: Some(60), flags: MH_PORT, ..plain };
    ipvs.one(&Request::SetService(changed)).unwrap();
    let heavy = RealServer { weight: 9, forwarding: Forwarding::Tunnel, ..dest };
    ipvs.one(&Request::SetDest(plain.key, heavy)).unwrap();
    assert_eq!(ipvs.state().unwrap(), [(changed, vec![heavy])].into_iter().collect());
    // Flags and persistence go again.
    ipvs.one(&Request::SetService(plain)).unwrap();
    ipvs.one(&Request::DelDest(plain.key, dest.address)).unwrap();
    assert_eq!(ipvs.state().unwrap(), [(plain, vec![])].into_iter().collect());
    ipvs.one(&Request::DelService(plain.key)).unwrap();
    assert!(ipvs.state().unwrap().is_empty());

    // What is not there: no error to a read.
    assert_eq!(ipvs.one(&Request::GetService(plain.key)).unwrap(), Reply::Service(None));
    assert_eq!(ipvs.one(&Request::ListDests(plain.key)).unwrap(), Reply::Dests(vec![]));
    let gone = ipvs.one(&Request::DelService(plain.key)).unwrap_err();
    assert_eq!(gone.raw_os_error(), Some(ESRCH));
    assert_eq!(
        gone.to_string(),
        "ipvs refused `-D -t 10.96.0.10:80`: No such process; there is no such virtual server"
    );
}

fn pool(services: u32, dests: u32) -> Vec<Request> {
    let mut requests = Vec::new();
    for service in 0..services {
        let address = std::net::Ipv4Addr::from(0x0a60_0001 + service);
        let key = key(&format!("{address}:80"));
        requests.push(Request::NewService(server(key)));
        for dest in 0..dests {
            let address = std::net::Ipv4Addr::from(0x0af4_0001 + service * dests + dest);
            requests.push(Request::NewDest(key, real(&format!("{address}:8080"))));
        }
    }
    requests
}

/// One duplicate among 3,000: it is named, the rest of its window is carried out, and nothing after.
pub fn duplicate_in_a_batch() {
    const PLACE: usize = 1500;
    let world = Namespace::create("ipvs").unwrap();
    let mut ipvs = open(&world);
    let mut requests = pool(300, 9);
    requests.insert(PLACE, requests[0]);
    assert_eq!(requests.len(), 3001);

    let failed = ipvs.batch(&requests).unwrap_err();
    assert_eq!((failed.index, failed.total, failed.refused), (PLACE, 3001, 1));
    assert_eq!(failed.raw_os_error(), Some(EEXIST));
    assert_eq!(
        failed.to_string(),
        "ipvs refused `-A -t 10.96.0.1:80 -s rr` (message 1501 of 3001): File exists"
    );
    assert!(failed.sent > PLACE && failed.sent < 3001, "several windows: {}", failed.sent);
    let mut expected = State::default();
    let outcomes = requests[..failed.sent].iter().map(|request| expected.apply(request));
    assert_eq!(outcomes.filter(Result::is_err).count(), 1);
    assert_eq!(ipvs.state().unwrap(), expected);

    // Nothing is left over that could disturb what follows.
    ipvs.batch(&requests[failed.sent..]).unwrap();
    requests.remove(PLACE);
    assert_eq!(ipvs.state().unwrap(), state_of(&requests));

    // Every single one refused: all answers are received.
    let failed = ipvs.batch(&requests).unwrap_err();
    assert_eq!((failed.index, failed.refused), (0, failed.sent));
    let refused = format!(" (message 1 of 3000): File exists (and {} more refused)", failed.sent - 1);
    assert!(failed.to_string().ends_with(&refused), "{failed}");
    assert_eq!(ipvs.state().unwrap(), state_of(&requests));
}

pub fn reads_in_a_batch() {
    let world = Namespace::create("ipvs").unwrap();
    let mut ipvs = open(&world);
    let plain = server(key("10.96.0.10:80"));
    let failed = ipvs.batch(&[Request::NewService(plain), Request::GetService(plain.key)]).unwrap_err();
    assert_eq!((failed.index, failed.sent), (1, 0));
    assert!(matches!(failed.cause, Cause::Read));
    assert!(ipvs.state().unwrap().is_empty(), "nothing was sent");
    ipvs.batch(&[]).unwrap();
}

/// Each scheduler works, or is missing and named. Where all are there, unload one to see the other half.
pub fn schedulers() {
    let world = Namespace::create("ipvs").unwrap();
    let mut ipvs = open(&world);
    for scheduler in Scheduler::ALL {
        let wanted = VirtualServer { scheduler, ..server(key("10.96.0.10:80")) };
        match ipvs.one(&Request::NewService(wanted)) {
            Ok(_) => {
                let Reply::Service(Some(found)) = ipvs.one(&Request::GetService(wanted.key)).unwrap() else {
                    panic!("{scheduler}")
                };
                assert_eq!(found.server, wanted);
                ipvs.one(&Request::DelService(wanted.key)).unwrap();
            }
            Err(failed) => {
                assert!(
                    matches!(failed.cause, Cause::NoScheduler(missing) if missing == scheduler),
                    "{failed}"
                );
                assert!(failed.to_string().contains(scheduler.module()), "{failed}");
                // The same to a change of an existing one, which stays as it was.
                let plain = server(wanted.key);
                ipvs.one(&Request::NewService(plain)).unwrap();
                let failed = ipvs.batch(&[Request::SetService(wanted)]).unwrap_err();
                assert!(
                    matches!(failed.cause, Cause::NoScheduler(missing) if missing == scheduler),
                    "{failed}"
                );
                assert_eq!(ipvs.state().unwrap(), [(plain, vec![])].into_iter().collect());
                ipvs.flush().unwrap();
                println!("without {scheduler}: {failed}");
            }
        }
    }
}

/// More than fits one datagram, in both kinds of list.
pub fn long_lists() {
    let world = Namespace::create("ipvs").unwrap();
    let mut ipvs = open(&world);
    let many = pool(1000, 0);
    let crowded = pool(1, 1000);
    ipvs.batch(&many).unwrap();
    ipvs.batch(&crowded[1..]).unwrap();
    assert_eq!(ipvs.services().unwrap().len(), 1000);
    assert_eq!(ipvs.dests(&key("10.96.0.1:80")).unwrap().len(), 1000);
    assert_eq!(ipvs.state().unwrap(), state_of(&[&many[..], &crowded[1..]].concat()));
}

/// A few objects, so that requests often meet.
fn meeting() -> impl Strategy<Value = Request> {
    let address = select(vec!["10.96.0.1:80", "10.96.0.2:80", "[2001:db8::1]:80"]);
    let key = (address, select(vec![Protocol::Tcp, Protocol::Udp]))
        .prop_map(|(address, protocol)| Key { address: address.parse().unwrap(), protocol });
    let scheduler =
        select(vec![Scheduler::Rr, Scheduler::Wrr, Scheduler::Mh, Scheduler::Sh, Scheduler::Lblcr]);
    let server = (key.clone(), scheduler, proptest::option::of(1..100_000u32), 0..8u32).prop_map(
        |(key, scheduler, persistence, flags)| VirtualServer {
            key,
            scheduler,
            persistence,
            flags: flags << 3,
        },
    );
    // Of the same IP version: others can be reached by tunnel only.
    let place = (key.clone(), 1..4u8).prop_map(|(key, last)| {
        let address = match key.address {
            SocketAddr::V4(_) => format!("10.244.0.{last}:80"),
            SocketAddr::V6(_) => format!("[2001:db8:1::{last}]:80"),
        };
        (key, address.parse::<SocketAddr>().unwrap())
    });
    let forwarding = select(vec![
        Forwarding::Masquerade,
        Forwarding::Local,
        Forwarding::Tunnel,
        Forwarding::DirectRouting,
    ]);
    let weight = prop_oneof![8 => 0..100u32, 1 => Just(u32::MAX)];
    let dest = (place.clone(), weight, forwarding)
        .prop_map(|((key, address), weight, forwarding)| (key, RealServer { address, weight, forwarding }));
    prop_oneof![
        4 => server.clone().prop_map(Request::NewService),
        2 => server.prop_map(Request::SetService),
        1 => key.prop_map(Request::DelService),
        6 => dest.clone().prop_map(|(key, dest)| Request::NewDest(key, dest)),
        3 => dest.prop_map(|(key, dest)| Request::SetDest(key, dest)),
        2 => place.prop_map(|(key, address)| Request::DelDest(key, address)),
    ]
}

/// [`State::apply`] is what the kernel does, and what a batch says became of its requests is true.
pub fn model() {
    const WINDOW: usize = 7;
    let world = Namespace::create("ipvs").unwrap();
    let connections = RefCell::new((open(&world), open(&world).with_window(WINDOW)));
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&vec(meeting(), 0..40), |requests| {
        let (ipvs, small) = &mut *connections.borrow_mut();
        ipvs.flush().unwrap();
        let mut state = State::default();
        for request in &requests {
            let refused = ipvs.one(request).err().and_then(|failed| failed.raw_os_error());
            prop_assert_eq!(refused, state.apply(request).err(), "{}", request);
        }
        prop_assert_eq!(&ipvs.state().unwrap(), &state);

        ipvs.flush().unwrap();
        let mut state = State::default();
        let outcome = small.batch(&requests);
        let sent = outcome.as_ref().err().map_or(requests.len(), |failed| failed.sent);
        let refused = requests[..sent].iter().map(|request| state.apply(request).err());
        let refused =
            refused.enumerate().filter_map(|(place, errno)| Some((place, errno?))).collect::<Vec<_>>();
        let reported = outcome.err().map(|failed| (failed.index, failed.raw_os_error(), failed.refused));
        let expected = refused.first().map(|(place, errno)| (*place, Some(*errno), refused.len()));
        prop_assert_eq!(reported, expected);
        prop_assert!(
            sent == requests.len() || refused.iter().all(|(place, _)| place / WINDOW == (sent - 1) / WINDOW)
        );
        prop_assert_eq!(&ipvs.state().unwrap(), &state);
        Ok(())
    });
    outcome.unwrap();
}

fn ipvsadm(world: &Namespace, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(find_program("ipvsadm").unwrap());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = world.spawn(&mut command).unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "ipvsadm {arguments:?}: {} {errors}",
        output.status
    );
    String::from_utf8(output.stdout).unwrap()
}

/// `ipvsadm` makes the same state of our lines as we do, and prints that state as we do.
pub fn as_ipvsadm() {
    let (ours, theirs) = (Namespace::create("ours").unwrap(), Namespace::create("theirs").unwrap());
    let (mut mine, mut yours) = (open(&ours), open(&theirs));
    let requests = [
        varied(&mut mine),
        lines(
            "-E -t 10.97.0.1:443 -s wrr -b flag-2\n\
             -e -t 10.97.0.3:80 -r 10.244.0.12:80 -m -w 5\n\
             -d -u 10.97.0.1:53 -r 10.244.0.11:5353\n\
             -D -t 10.97.0.4:0\n\
             -L -n -t 10.97.0.1:443\n\
             -l -n -t 10.97.0.1:443",
        ),
    ]
    .concat();
    for request in &requests {
        mine.one(request).unwrap();
    }
    let text = requests.iter().map(|request| format!("{request}\n")).collect::<String>();
    ipvsadm(&theirs, &["-R"], &text);
    let state = mine.state().unwrap();
    assert_eq!(state, yours.state().unwrap());
    assert!(state.len() > 15 && state.real_servers() > 25, "not an empty comparison");

    let print = |world| {
        let text = ipvsadm(world, &["-S", "-n"], "");
        let mut lines = text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        lines.sort();
        lines
    };
    let printed = print(&ours);
    assert_eq!(printed, print(&theirs));
    let mut expected = state.requests().map(|request| request.to_string()).collect::<Vec<_>>();
    expected.sort();
    assert_eq!(printed, expected, "the same text");
    assert_eq!(state_of(&lines(&ipvsadm(&ours, &["-S", "-n"], ""))), state, "and it is read back");

    mine.flush().unwrap();
    ipvsadm(&theirs, &["-R"], &format!("{}\n", Request::Flush));
    assert!(yours.state().unwrap().is_empty());
}

/// What other programs set up and this one does not know is an error that names it.
pub fn foreign() {
    let world = Namespace::create("ipvs").unwrap();
    let mut ipvs = open(&world);
    for (line, what) in [
        ("-A -f 7 -s rr", "a virtual server by firewall mark 7"),
        ("-A -t 10.0.0.1:80 -s rr -p 60 -M 255.255.255.0", "persistence netmask 255.255.255.0"),
    ] {
        ipvsadm(&world, &["-R"], &format!("{line}\n"));
        let failed = ipvs.state().unwrap_err();
        assert!(matches!(&failed.cause, Cause::Foreign(found) if found.contains(what)), "{failed}");
        ipvs.flush().unwrap();
        assert!(ipvs.state().unwrap().is_empty(), "the next list is not disturbed");
    }
    ipvsadm(&world, &["-R"], "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 1 -x 9 -y 3\n");
    let failed = ipvs.dests(&key("10.0.0.1:80")).unwrap_err();
    assert!(
        failed.to_string().contains("real server 10.0.0.2:80 with connection thresholds 9 and 3"),
        "{failed}"
    );
}

/// One datagram to the virtual server, one back.
pub fn counters() {
    const PAYLOAD: usize = 100;
    const DATAGRAM: u64 = 20 + 8 + PAYLOAD as u64;
    let world = Namespace::create("ipvs").unwrap();
    let mut ipvs = open(&world);
    let key = Key { address: "127.0.0.1:5000".parse().unwrap(), protocol: Protocol::Udp };
    let plain = VirtualServer { flags: 0, ..server(key) };
    ipvs.batch(&[Request::NewService(plain), Request::NewDest(key, real("127.0.0.1:6000"))]).unwrap();
    let bind = |address: &'static str| world.run(move || UdpSocket::bind(address)).unwrap();
    let (client, backend) = (bind("127.0.0.1:0"), bind("127.0.0.1:6000"));
    let mut buffer = [0; 2 * PAYLOAD];
    for _ in 0..3 {
        client.send_to(&[7; PAYLOAD], key.address).unwrap();
        let (length, peer) = backend.recv_from(&mut buffer).unwrap();
        assert_eq!((length, peer), (PAYLOAD, client.local_addr().unwrap()));
    }
    backend.send_to(&[8; PAYLOAD], client.local_addr().unwrap()).unwrap();
    assert_eq!(client.recv_from(&mut buffer).unwrap(), (PAYLOAD, key.address), "through IPVS");

    // UDP connections count as inactive.
    let dest = ipvs.dests(&key).unwrap()[0];
    assert_eq!((dest.active + dest.inactive, dest.persistent), (1, 0));
    // The kernel sums up its per-CPU counters every two seconds.
    wait_until("the counters are summed up", || ipvs.dests(&key).unwrap()[0].statistics.packets_out > 0);
    let counted = ipvs.dests(&key).unwrap()[0].statistics;
    assert_eq!((counted.connections, counted.packets_in, counted.packets_out), (1, 3, 1));
    assert_eq!((counted.bytes_in, counted.bytes_out), (3 * DATAGRAM, DATAGRAM));
    wait_until("so are the virtual server's", || ipvs.services().unwrap()[0].statistics == counted);

    let one_packet = VirtualServer { flags: ONE_PACKET, ..plain };
    ipvs.one(&Request::SetService(one_packet)).unwrap();
    assert_eq!(ipvs.services().unwrap()[0].server, one_packet);
}
