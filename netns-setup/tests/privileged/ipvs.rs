//! IPVS as the kernel does it: codec and client against the real thing.

mod ipvsadm;
mod model;

use std::net::UdpSocket;

use netns_setup::Namespace;
use netns_setup::ipvs::{
    Cause, Forwarding, Ipvs, IpvsProtocol, Key, MH_PORT, ONE_PACKET, RealServer, Reply, Request, SH_FALLBACK,
    SH_PORT, Scheduler, State, VirtualServer,
};

pub(crate) use ipvsadm::{as_ipvsadm, foreign};
pub(crate) use model::model;

use crate::support::wait_until;

const ESRCH: i32 = 3;
const EEXIST: i32 = 17;

fn open(world: &Namespace) -> Ipvs {
    world.run(Ipvs::open).unwrap()
}

fn key(address: &str) -> Key {
    Key { address: address.parse().unwrap(), protocol: IpvsProtocol::Tcp }
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

pub(crate) fn read_back() {
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

pub(crate) fn changes() {
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
pub(crate) fn duplicate_in_a_batch() {
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

pub(crate) fn reads_in_a_batch() {
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
pub(crate) fn schedulers() {
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
pub(crate) fn long_lists() {
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

/// One datagram to the virtual server, one back.
pub(crate) fn counters() {
    const PAYLOAD: usize = 100;
    const DATAGRAM: u64 = 20 + 8 + PAYLOAD as u64;
    let world = Namespace::create("ipvs").unwrap();
    let mut ipvs = open(&world);
    let key = Key { address: "127.0.0.1:5000".parse().unwrap(), protocol: IpvsProtocol::Udp };
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
