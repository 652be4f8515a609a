//! Any request, for property tests.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use proptest::sample::select;

use super::types::{
    Forwarding, IpvsProtocol, Key, ONE_PACKET, RealServer, Request, SCHED_1, SCHED_2, SCHED_3, Scheduler,
    VirtualServer,
};

pub(super) fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
    (ip, any::<u16>()).prop_map(SocketAddr::from)
}

pub(super) fn key() -> impl Strategy<Value = Key> {
    (address(), select(&IpvsProtocol::ALL)).prop_map(|(address, protocol)| Key { address, protocol })
}

pub(super) fn virtual_server() -> impl Strategy<Value = VirtualServer> {
    let persistence = proptest::option::of(1..=2_678_400u32);
    let flags = (0..16u32).prop_map(|bits| {
        let pick = |bit: u32, flag: u32| if bits >> bit & 1 == 1 { flag } else { 0 };
        pick(0, ONE_PACKET) | pick(1, SCHED_1) | pick(2, SCHED_2) | pick(3, SCHED_3)
    });
    (key(), select(&Scheduler::ALL), persistence, flags)
        .prop_map(|(key, scheduler, persistence, flags)| VirtualServer { key, scheduler, persistence, flags })
}

/// With a forwarding method that `ipvsadm` can ask for.
pub(super) fn real_server() -> impl Strategy<Value = RealServer> {
    let forwarding = select(&[Forwarding::Masquerade, Forwarding::Tunnel, Forwarding::DirectRouting]);
    let server = (address(), 0..=i32::MAX.cast_unsigned(), forwarding);
    server.prop_map(|(address, weight, forwarding)| RealServer { address, weight, forwarding })
}

pub(super) fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        virtual_server().prop_map(Request::NewService),
        virtual_server().prop_map(Request::SetService),
        key().prop_map(Request::DelService),
        key().prop_map(Request::GetService),
        Just(Request::ListServices),
        (key(), real_server()).prop_map(|(key, server)| Request::NewDest(key, server)),
        (key(), real_server()).prop_map(|(key, server)| Request::SetDest(key, server)),
        (key(), address()).prop_map(|(key, address)| Request::DelDest(key, address)),
        key().prop_map(Request::ListDests),
        Just(Request::Flush),
    ]
}
