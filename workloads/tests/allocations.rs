//! What the hot paths allocate, counted per thread by this test's own allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::thread;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{read, write};
use workloads::probe::Probe;
use workloads::recorder::{Recorder, Times};
use workloads::sources::Sources;
use workloads::target::{Protocol, Shares, Target};
use workloads::tcp::{CrrLoad, Server, TcpCrr};

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
    let address = SocketAddrV4::new([10, 96, 0, 1].into(), 80);
    let targets = [Protocol::Udp, Protocol::Tcp].map(|protocol| Target::untranslated(&address, protocol));
    let (mut times, mut shares) = (Times::new(), Shares::new(&targets));
    let picks: Vec<u32> = (0..200).map(|i| i % 2).collect();
    let allocated = allocations(|| {
        let summary = probe.first_packets(&targets, &picks, &mut times, Some(&mut shares)).unwrap();
        assert_eq!(summary.verified, 200);
    });
    assert_eq!(allocated, 0);
}

#[test]
fn a_transaction_allocates_in_tokio_only_and_never_in_the_server() {
    let (server, stopper) = Server::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = server.address();
    let served = thread::spawn(move || {
        allocations(|| {
            server.run().unwrap();
        })
    });
    let client = TcpCrr::new().unwrap();
    let targets = [Target::untranslated(&address, Protocol::Tcp)];
    let mut recorder = Recorder::new();
    let mut run = |count| {
        let picks = vec![0; count];
        allocations(|| {
            let summary = client.closed_loop(&CrrLoad::new(&targets, &picks), &mut recorder, None).unwrap();
            assert_eq!(summary.answered, count as u64);
        })
    };
    run(100);
    let few = run(100);
    let many = run(1_100);
    // tokio/src/runtime/io/registration_set.rs: a ScheduledIo when a socket is registered, and a list of those
    // to be released after it was closed.
    assert!(many - few <= 2 * 1_000, "{} allocations in 1,000 transactions", many - few);
    drop(stopper);
    assert_eq!(served.join().unwrap(), 0);
}
