//! Removed endpoints with connections: they get no new ones, and go when they have none.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::thread;

use dataplane::{KubeProxy, Mode, Sync};
use lab::testbed::Testbed;
use netns_setup::Egress;
use nix::sys::socket::{setsockopt, sockopt::Linger};
use services::addresses::{TCP_PORTS, UDP_PORTS};
use services::service::{Endpoint, Protocol, Service};
use services::service_set::ServiceSet;
use services::synthetic::synthetic_service;

use super::state;
use crate::testbeds::{TIMEOUT, cold, wait_until};

/// Two endpoints, of which the first is to go.
fn service(protocol: Protocol) -> Service {
    synthetic_service(1, protocol, 2)
}

fn only(service: &Service) -> ServiceSet {
    ServiceSet::from_iter([service.clone()])
}

fn without_first(service: &Service) -> Service {
    let mut service = service.clone();
    let endpoints: Vec<Endpoint> = service.endpoints()[1..].to_vec();
    service.set_endpoints(endpoints);
    service
}

/// Says back what it hears, to everybody until they leave.
fn echo(testbed: &Testbed) {
    let listen = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, TCP_PORTS.1)).unwrap();
    let listener = testbed.lab.server.run(listen);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut byte = [0];
                while matches!(stream.read(&mut byte), Ok(1)) && stream.write_all(&byte).is_ok() {}
            });
        }
    });
}

fn connect(testbed: &Testbed, service: &Service) -> TcpStream {
    let stream = testbed.lab.client.run(|| TcpStream::connect(service.cluster)).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

fn talks(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut byte).is_ok()
}

/// Without a handshake: IPVS keeps what was closed in order for two minutes.
fn reset(stream: TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream.as_fd(), Linger, &linger).unwrap();
}

/// Weight and connections of each endpoint that the kernel has, by address.
fn pool(testbed: &Testbed, service: &Service) -> Vec<(SocketAddr, u32, u32)> {
    let key =
        netns_setup::ipvs::Key { address: service.cluster, protocol: netns_setup::ipvs::IpvsProtocol::Tcp };
    let dests = testbed.lab.node.run(|| netns_setup::ipvs::Ipvs::open().unwrap().dests(&key)).unwrap();
    let mut pool: Vec<_> =
        dests.iter().map(|dest| (dest.server.address, dest.server.weight, dest.active)).collect();
    pool.sort_unstable();
    pool
}

fn sync(testbed: &mut Testbed, to: &ServiceSet) {
    let plan = testbed.dataplane.plan(&testbed.set, to, Sync::Partial);
    testbed.carry_out(&plan, to, None).unwrap();
    // The one that waits is not counted.
    testbed.verify_counts().unwrap();
}

pub(crate) fn keeps_connections() {
    for mode in crate::IPVS {
        of_tcp(mode);
        of_udp(mode);
    }
}

fn of_tcp(mode: Mode) {
    let all = service(Protocol::Tcp);
    let [gone, kept] = [0, 1].map(|index| all.endpoints()[index].address);
    let mut testbed = cold(mode, KubeProxy::NEWEST, &only(&all));
    testbed.steer(Egress::Server).unwrap();
    echo(&testbed);
    // One to each endpoint, in turn.
    let mut streams: Vec<TcpStream> = (0..2).map(|_| connect(&testbed, &all)).collect();
    assert!(streams.iter_mut().all(talks), "{mode}");
    assert_eq!(pool(&testbed, &all), [(gone, 1, 1), (kept, 1, 1)], "{mode}");

    let less = without_first(&all);
    sync(&mut testbed, &only(&less));
    assert_eq!(pool(&testbed, &all), [(gone, 0, 1), (kept, 1, 1)], "{mode}: weight 0");
    assert!(streams.iter_mut().all(talks), "{mode}: both connections live on");
    let mut more: Vec<TcpStream> = (0..4).map(|_| connect(&testbed, &all)).collect();
    assert!(more.iter_mut().all(talks), "{mode}");
    assert_eq!(pool(&testbed, &all), [(gone, 0, 1), (kept, 1, 5)], "{mode}: none of them to what has gone");
    // As long as there is a connection, nothing changes.
    assert_eq!(testbed.pass().unwrap(), 1, "{mode}");
    sync(&mut testbed, &only(&less));
    assert_eq!(pool(&testbed, &all), [(gone, 0, 1), (kept, 1, 5)], "{mode}: after another sync");

    // Both, as nothing says which of them has which endpoint.
    streams.into_iter().for_each(reset);
    wait_until("the connection is forgotten and its endpoint removed", || testbed.pass().unwrap() == 0);
    assert_eq!(pool(&testbed, &all).iter().map(|(at, ..)| *at).collect::<Vec<_>>(), [kept], "{mode}");
    super::is_the_model(&testbed);

    // One that comes back before it has gone: kube-proxy removes it first, and so ends its connections.
    sync(&mut testbed, &only(&all));
    let mut streams: Vec<TcpStream> = (0..2).map(|_| connect(&testbed, &all)).collect();
    assert!(streams.iter_mut().all(talks), "{mode}");
    sync(&mut testbed, &only(&less));
    assert_eq!(testbed.runner.draining().len(), 1, "{mode}");
    sync(&mut testbed, &only(&all));
    assert_eq!(testbed.runner.draining().len(), 0, "{mode}");
    assert!(pool(&testbed, &all).iter().all(|(_, weight, _)| *weight == 1), "{mode}");
    super::is_the_model(&testbed);

    // With its virtual server goes everything.
    let mut stream = connect(&testbed, &all);
    assert!(talks(&mut stream), "{mode}");
    sync(&mut testbed, &only(&without_first(&all)));
    sync(&mut testbed, &ServiceSet::default());
    assert_eq!((testbed.pass().unwrap(), state(&testbed).servers.len()), (0, 0), "{mode}");
}

fn of_udp(mode: Mode) {
    let all = service(Protocol::Udp);
    let mut testbed = cold(mode, KubeProxy::NEWEST, &only(&all));
    testbed.steer(Egress::Server).unwrap();
    let server = testbed.lab.server.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, UDP_PORTS.1))).unwrap();
    server.set_read_timeout(Some(TIMEOUT)).unwrap();
    for _ in 0..2 {
        let client = testbed.lab.client.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))).unwrap();
        client.send_to(b"x", all.cluster).unwrap();
        server.recv_from(&mut [0]).unwrap();
    }
    sync(&mut testbed, &only(&without_first(&all)));
    super::is_the_model(&testbed);
    assert!(testbed.runner.draining().is_empty(), "{mode}");
}
