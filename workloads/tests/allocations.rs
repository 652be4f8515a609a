//! What the hot paths allocate, counted per thread by this test's own allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{read, write};
use workloads::load::{self, Destination, Load, Pace, Server, Workload};
use workloads::probe::Probe;
use workloads::recorder::Times;
use workloads::sources::Sources;
use workloads::target::{ProbeProtocol, ProbeTarget, Shares};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe to implement; this one hands everything to the system's"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Far longer than anything here takes, on a busy machine too.
const TIMEOUT: Duration = Duration::from_secs(120);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(of: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    of();
    ALLOCATIONS.get() - before
}

fn device() -> nix::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_probe_allocates_nothing() {
    let ((ingress, fake_ingress), (egress, fake_egress)) = (device().unwrap(), device().unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 128];
        while let Ok(length @ 1..) = read(&fake_ingress, &mut buffer) {
            write(&fake_egress, &buffer[..length]).unwrap();
        }
    });
    let sources = Sources::new([10, 1, 0, 0].into(), 16, 1_024..=65_535, 1).unwrap();
    let mut probe = Probe::new(ingress, egress, sources).unwrap();
    // The thread that passes packets on may have to wait for a processor.
    probe.set_timeout(TIMEOUT);
    let address = SocketAddrV4::new([10, 96, 0, 1].into(), 80);
    let targets = [ProbeProtocol::Udp, ProbeProtocol::Tcp]
        .map(|protocol| ProbeTarget::untranslated(&address, protocol));
    let (mut times, mut shares) = (Times::new(), Shares::new(&targets));
    let picks: Vec<u32> = (0..200).map(|i| i % 2).collect();
    let allocated = allocations(|| {
        let summary = probe.first_packets(&targets, &picks, &mut times, Some(&mut shares)).unwrap();
        assert_eq!(summary.verified, 200);
    });
    assert_eq!(allocated, 0);
}

#[test]
fn neither_a_request_nor_its_answer_allocates() {
    for workload in Workload::ALL {
        let (server, stopper) = Server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = server.address();
        let served = thread::spawn(move || {
            allocations(|| {
                server.run().unwrap();
            })
        });
        let destinations: Arc<[Destination]> = Arc::new([Destination::new(address, [address])]);
        let run = |requests| {
            let load = Load {
                pace: Pace::Closed { requests: Some(requests) },
                duration: TIMEOUT,
                timeout: TIMEOUT,
                // One interval: each has its distribution.
                interval: 2 * TIMEOUT,
                request_bytes: (workload == Workload::TcpStream).then_some(200_000),
                ..Load::new(workload, Arc::clone(&destinations))
            };
            allocations(|| {
                let outcome = load::run(&load, 0, Instant::now(), &AtomicBool::new(false)).unwrap();
                assert_eq!(outcome.counts.answered, requests);
            })
        };
        run(100);
        // The distribution at the end has as many parts as there were different times.
        let (few, many) = (run(100), run(1_100));
        assert!(many <= few + 12, "{workload}: {few} allocations for 100 requests, {many} for 1,100");
        drop(stopper);
        let allocated = served.join().unwrap();
        assert!(allocated <= 12, "{workload}: the server allocated {allocated} times");
    }
}
