//! Cold and partial syncs in a kernel: counts, traffic and shares after each.

use dataplane::background::Background;
use dataplane::{KubeProxy, Mode, Node, Sync};
use lab::readback;
use lab::testbed::Testbed;
use services::addresses::unused_address;
use services::service::Protocol;
use services::service_set::{Position, ServiceSet};
use services::synthetic::synthetic_service;

use crate::state::pretty;
use crate::testbeds::{cold, empty, held, scale, sync};

/// Least p-value of a chi-square test that passes. It is missed once in a thousand times, and twice in a row once in
/// a million.
const P_VALUE: f64 = 0.001;

pub(crate) fn changes(mode: Mode, version: KubeProxy) {
    // kube-proxy's IPVS mode runs a program for each endpoint, and here in an emulated guest.
    let scales: &[u32] = if mode == Mode::Ipvs { &[3] } else { &[3, 10] };
    for &endpoints in scales {
        let mut testbed = cold(mode, version, &ServiceSet::synthetic(scale(30, endpoints), 1));
        every_service_answers(&mut testbed);
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            shares_are_equal(&mut testbed, protocol);
        }
        add(&mut testbed, endpoints);
        replace_endpoint(&mut testbed);
        remove_endpoint(&mut testbed);
        remove(&mut testbed);
        no_op(&mut testbed);
        resync(&mut testbed);
        append(&mut testbed);
        every_service_answers(&mut testbed);
        pretty(
            &held(&testbed),
            &held(&cold(mode, version, &testbed.set)),
            "after all changes, and after a cold sync",
        );
    }
}

pub(crate) fn control(mode: Mode) {
    let mut testbed = empty(mode, Node::lab(KubeProxy::NEWEST));
    let set = ServiceSet::synthetic(scale(30, 3), 1);
    // The same at every sync.
    for _ in 0..2 {
        sync(&mut testbed, &set, Sync::Full);
        every_service_answers(&mut testbed);
    }
}

fn every_service_answers(testbed: &mut Testbed) {
    for index in 0..testbed.set.len() {
        testbed.verify_service(index, 3).unwrap();
    }
    testbed.verify_traffic().unwrap();
}

fn shares_are_equal(testbed: &mut Testbed, protocol: Protocol) {
    let index = testbed.set.index_at(Position::Middle, protocol).unwrap();
    let target = testbed.service_target(index).unwrap();
    let mut p_value = || {
        let shares = testbed.shares(&target, 200).unwrap();
        assert_eq!(shares.len(), target.answers.len());
        results::stats::uniform_share_p_value(&shares).unwrap()
    };
    assert!(p_value() > P_VALUE || p_value() > P_VALUE, "unequal shares, twice");
}

fn partial(testbed: &mut Testbed, to: &ServiceSet) {
    sync(testbed, to, Sync::Partial);
}

fn add(testbed: &mut Testbed, endpoints: u32) {
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let number = 100 + testbed.set.len() as u32;
        let to = testbed.set.with_added(synthetic_service(number, protocol, endpoints));
        partial(testbed, &to);
        testbed.verify_service(to.len() - 1, 20).unwrap();
    }
}

/// A packet to an endpoint that may not get it is a fault; each endpoint gets dozens.
fn changed_service_is_obeyed(testbed: &mut Testbed, index: usize, gone: std::net::SocketAddr) {
    let target = testbed.service_target(index).unwrap();
    assert!(target.answers.iter().all(|&answer| gone != answer.into()));
    let shares = testbed.shares(&target, 40).unwrap();
    assert!(shares.iter().all(|&share| share > 0), "{shares:?}");
}

fn replace_endpoint(testbed: &mut Testbed) {
    for index in [0, 3] {
        let mut service = (*testbed.set.services()[index]).clone();
        let mut endpoints = service.endpoints().to_vec();
        let gone = endpoints[1].address;
        endpoints[1].address.set_ip(unused_address(1 + index as u32));
        service.set_endpoints(endpoints);
        partial(testbed, &testbed.set.with_replaced(index, service));
        changed_service_is_obeyed(testbed, index, gone);
    }
}

fn remove_endpoint(testbed: &mut Testbed) {
    let index = 7;
    let mut service = (*testbed.set.services()[index]).clone();
    let mut endpoints = service.endpoints().to_vec();
    let gone = endpoints.remove(0).address;
    service.set_endpoints(endpoints);
    partial(testbed, &testbed.set.with_replaced(index, service));
    changed_service_is_obeyed(testbed, index, gone);
}

fn remove(testbed: &mut Testbed) {
    for index in [testbed.set.len() - 1, 10, 0] {
        let target = testbed.service_target(index).unwrap();
        partial(testbed, &testbed.set.without(index));
        testbed.verify_gone(&target).unwrap();
    }
}

fn no_op(testbed: &mut Testbed) {
    let before = held(testbed);
    let set = testbed.set.clone();
    partial(testbed, &set);
    pretty(&held(testbed), &before, "after a sync without changes");
}

fn resync(testbed: &mut Testbed) {
    let before = held(testbed);
    let set = testbed.set.clone();
    let plan = testbed.dataplane.resync(&set).unwrap();
    testbed.carry_out(&plan, &set, None).unwrap();
    testbed.verify_counts().unwrap();
    pretty(&held(testbed), &before, "after a periodic full sync");
}

fn append(testbed: &mut Testbed) {
    let plan = testbed.dataplane.append(&testbed.set).unwrap();
    let before = testbed.verify_counts().unwrap();
    let (runner, mode, family) = (testbed.runner.clone(), testbed.mode(), testbed.node().family());
    testbed.lab.node.run(|| runner.apply(&plan, None)).unwrap();
    let held =
        testbed.lab.node.run(|| readback::counts(mode, family, &Background::default(), &runner)).unwrap();
    let sum = |counts: dataplane::Counts| counts.rules + counts.elements + counts.virtual_servers;
    assert_eq!((sum(held), held.chains), (sum(before) + 1, before.chains));
    testbed.lab.node.run(|| runner.clean_up(&plan, None)).unwrap();
    assert_eq!(testbed.verify_counts().unwrap(), before);
}
