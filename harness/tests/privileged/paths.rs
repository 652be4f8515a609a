//! Where packets come from and go to, and what labs share: nothing.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use dataplane::{KubeProxy, Mode, Node};
use ipnet::Ipv4Net;
use lab::testbed::Testbed;
use netns_setup::{Identity, Route};
use services::addresses;
use services::service::{Endpoint, Protocol, Service};
use services::service_set::ServiceSet;
use workloads::probe::Probe;
use workloads::recorder::Times;
use workloads::sources::Sources;

use crate::testbeds::{cold, empty, scale};

/// Outside the cluster (TEST-NET-1).
const STRANGERS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 2, 0), 24);
/// The link by which probes enter the node.
const INGRESS: &str = "probe-in";

/// A probe whose packets come from elsewhere than the pods.
fn probe_from(testbed: &Testbed, prefix: Ipv4Net) -> Probe {
    let fd = |tun: &netns_setup::Tun| tun.as_fd().try_clone_to_owned().unwrap();
    let sources = Sources::new(prefix.addr(), prefix.prefix_len(), 1024..=65535, 1).unwrap();
    Probe::new(fd(testbed.lab.ingress()), fd(testbed.lab.egress()), sources).unwrap()
}

/// The Service with its endpoints on this node.
fn local(service: &Service) -> Service {
    let mut service = service.clone();
    let endpoints =
        service.endpoints().iter().map(|&endpoint| Endpoint { local: true, ..endpoint }).collect();
    service.set_endpoints(endpoints);
    service
}

pub(crate) fn masquerade(mode: Mode) {
    for version in crate::VERSIONS {
        let set = ServiceSet::synthetic(scale(4, 1), 1);
        // In IPVS mode, and in nftables mode since 1.36, only what asks from this node can be its own answer.
        let set: ServiceSet = set.services().iter().map(|service| local(service)).collect();
        let mut testbed = cold(mode, version, &set);
        testbed.lab.node.links(|links| links.add_route(&Route::device(STRANGERS, INGRESS))).unwrap();
        let mut strangers = probe_from(&testbed, STRANGERS);
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let index =
                testbed.set.services().iter().position(|service| service.protocol == protocol).unwrap();
            let target = testbed.service_target(index).unwrap();
            // Pods keep their address: the testbed's own probe takes a rewritten one for a fault.
            testbed.verify_service(index, 20).unwrap();

            let masqueraded = target.for_probe().unwrap().masqueraded_as(addresses::NODE);
            let sent = strangers.first_packets(&[masqueraded], &[0; 20], &mut Times::new(), None).unwrap();
            sent.all_verified().unwrap();
            // The answer is translated back, to the Service's address and the stranger's.
            let flows = strangers.established_packets(&[masqueraded], &[0; 5], 3, &mut Times::new()).unwrap();
            flows.all_verified().unwrap();
            assert_eq!((sent.verified, flows.timed), (20, 15));

            // An endpoint that asks its own Service would get an answer from itself without a detour.
            let mut endpoint = probe_from(&testbed, Ipv4Net::from(*target.answers[0].ip()));
            let sent = endpoint.first_packets(&[masqueraded], &[0; 5], &mut Times::new(), None).unwrap();
            sent.all_verified().unwrap();
            // Another endpoint is a pod like any other.
            let other_answer = testbed.service_target((index + 2) % testbed.set.len()).unwrap().answers[0];
            let mut other = probe_from(&testbed, Ipv4Net::from(*other_answer.ip()));
            let plain = target.for_probe().unwrap();
            other.first_packets(&[plain], &[0; 5], &mut Times::new(), None).unwrap().all_verified().unwrap();
        }
    }
}

pub(crate) fn two_labs(mode: Mode) {
    let mut one = cold(mode, KubeProxy::NEWEST, &ServiceSet::synthetic(scale(10, 2), 1));
    let mut two = cold(mode, KubeProxy::NEWEST, &ServiceSet::synthetic(scale(5, 3), 1));
    // The same cluster IPs lead to different endpoints; the second lab has left the first as it was.
    for testbed in [&mut one, &mut two] {
        testbed.verify_counts().unwrap();
        testbed.verify_traffic().unwrap();
    }
    drop(one);
    two.verify_counts().unwrap();
    two.verify_traffic().unwrap();
}

pub(crate) fn isolated() {
    let testbeds = [(); 2].map(|()| empty(Mode::Direct, Node::lab(KubeProxy::NEWEST)));
    let mut all = vec![Identity::of_process().unwrap()];
    for testbed in &testbeds {
        let lab = &testbed.lab;
        all.extend([&lab.client, &lab.node, &lab.server].map(netns_setup::Namespace::identity));
    }
    let distinct = |of: fn(&Identity) -> u64| all.iter().map(of).collect::<BTreeSet<_>>().len();
    assert_eq!([distinct(|id| id.net), distinct(|id| id.mnt), distinct(|id| id.run_device)], [7; 3]);
}
