//! Cold and partial syncs in a kernel: counts, traffic and shares after each.

use dataplane::background::Neighbours;
use dataplane::{KubeProxy, Mode, Node, Sync};
use lab::readback;
use lab::testbed::World;
use services::addresses::spare_address;
use services::service::Protocol;
use services::service_set::{Position, ServiceSet};
use services::synthetic::synthetic_service;

use crate::state::pretty;
use crate::worlds::{cold, empty, held, scale, sync};

/// Least p-value of a chi-square test that passes. It is missed once in a thousand times, and twice in a row once in
/// a million.
const P_VALUE: f64 = 0.001;

pub fn changes(mode: Mode, version: KubeProxy) {
    // kube-proxy's IPVS mode runs a program for each endpoint, and here in an emulated guest.
    let scales: &[u32] = if mode == Mode::Ipvs { &[3] } else { &[3, 10] };
    for &endpoints in scales {
        let mut world = cold(mode, version, &ServiceSet::synthetic(scale(30, endpoints), 1));
        every_service_answers(&mut world);
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            shares_are_equal(&mut world, protocol);
        }
        add(&mut world, endpoints);
        replace_endpoint(&mut world);
        remove_endpoint(&mut world);
        remove(&mut world);
        no_op(&mut world);
        resync(&mut world);
        append(&mut world);
        every_service_answers(&mut world);
        pretty(
            &held(&world),
            &held(&cold(mode, version, &world.set)),
            "after all changes, and after a cold sync",
        );
    }
}

pub fn control(mode: Mode) {
    let mut world = empty(mode, Node::lab(KubeProxy::Current));
    let set = ServiceSet::synthetic(scale(30, 3), 1);
    // The same at every sync.
    for _ in 0..2 {
        sync(&mut world, &set, Sync::Full);
        every_service_answers(&mut world);
    }
}

fn every_service_answers(world: &mut World) {
    for index in 0..world.set.len() {
        world.verify_service(index, 3).unwrap();
    }
    world.verify_traffic().unwrap();
}

fn shares_are_equal(world: &mut World, protocol: Protocol) {
    let index = world.set.index_at(Position::Middle, protocol).unwrap();
    let aim = world.aim(index).unwrap();
    let mut p_value = || {
        let shares = world.shares(&aim, 200).unwrap();
        assert_eq!(shares.len(), aim.answers.len());
        results::stats::uniform_share_p_value(&shares).unwrap()
    };
    assert!(p_value() > P_VALUE || p_value() > P_VALUE, "unequal shares, twice");
}

fn partial(world: &mut World, to: &ServiceSet) {
    sync(world, to, Sync::Partial);
}

fn add(world: &mut World, endpoints: u32) {
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let number = 100 + world.set.len() as u32;
        let to = world.set.with_added(synthetic_service(number, protocol, endpoints));
        partial(world, &to);
        world.verify_service(to.len() - 1, 20).unwrap();
    }
}

/// A packet to an endpoint that may not get it is a fault; each endpoint gets dozens.
fn changed_service_is_obeyed(world: &mut World, index: usize, gone: std::net::SocketAddr) {
    let aim = world.aim(index).unwrap();
    assert!(aim.answers.iter().all(|&answer| gone != answer.into()));
    let shares = world.shares(&aim, 40).unwrap();
    assert!(shares.iter().all(|&share| share > 0), "{shares:?}");
}

fn replace_endpoint(world: &mut World) {
    for index in [0, 3] {
        let mut service = (*world.set.services()[index]).clone();
        let mut endpoints = service.endpoints().to_vec();
        let gone = endpoints[1].address;
        endpoints[1].address.set_ip(spare_address(1 + index as u32));
        service.set_endpoints(endpoints);
        partial(world, &world.set.with_replaced(index, service));
        changed_service_is_obeyed(world, index, gone);
    }
}

fn remove_endpoint(world: &mut World) {
    let index = 7;
    let mut service = (*world.set.services()[index]).clone();
    let mut endpoints = service.endpoints().to_vec();
    let gone = endpoints.remove(0).address;
    service.set_endpoints(endpoints);
    partial(world, &world.set.with_replaced(index, service));
    changed_service_is_obeyed(world, index, gone);
}

fn remove(world: &mut World) {
    for index in [world.set.len() - 1, 10, 0] {
        let aim = world.aim(index).unwrap();
        partial(world, &world.set.without(index));
        world.verify_gone(&aim).unwrap();
    }
}

fn no_op(world: &mut World) {
    let before = held(world);
    let set = world.set.clone();
    partial(world, &set);
    pretty(&held(world), &before, "after a sync without changes");
}

fn resync(world: &mut World) {
    let before = held(world);
    let set = world.set.clone();
    let plan = world.dataplane.resync(&set).unwrap();
    world.carry_out(&plan, &set, None).unwrap();
    world.verify_counts().unwrap();
    pretty(&held(world), &before, "after a periodic full sync");
}

fn append(world: &mut World) {
    let plan = world.dataplane.append(&world.set).unwrap();
    let before = world.verify_counts().unwrap();
    let (runner, mode, family) = (world.runner.clone(), world.mode(), world.node().family());
    world.lab.node.run(|| runner.apply(&plan, None)).unwrap();
    let held =
        world.lab.node.run(|| readback::counts(mode, family, &Neighbours::default(), &runner)).unwrap();
    let sum = |counts: dataplane::Counts| counts.rules + counts.elements + counts.virtual_servers;
    assert_eq!((sum(held), held.chains), (sum(before) + 1, before.chains));
    world.lab.node.run(|| runner.clean_up(&plan, None)).unwrap();
    assert_eq!(world.verify_counts().unwrap(), before);
}
