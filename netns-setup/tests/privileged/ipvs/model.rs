//! The model of IPVS against the kernel.

use std::cell::RefCell;
use std::net::SocketAddr;

use netns_setup::Namespace;
use netns_setup::ipvs::{
    Forwarding, IpvsProtocol, Key, RealServer, Request, Scheduler, State, VirtualServer,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::open;

/// A few objects, so that requests often meet.
fn meeting() -> impl Strategy<Value = Request> {
    let address = select(vec!["10.96.0.1:80", "10.96.0.2:80", "[2001:db8::1]:80"]);
    let key = (address, select(vec![IpvsProtocol::Tcp, IpvsProtocol::Udp]))
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
pub(crate) fn model() {
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
