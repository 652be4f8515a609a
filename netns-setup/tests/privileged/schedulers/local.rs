//! Schedulers that keep a destination with the servers that have it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::thread;
use std::time::Duration;

use netns_setup::ipvs::Scheduler;

use super::bench::{Bench, Marked, client};
use super::opened;

/// Three servers of weight 2, in the order in which the list has them.
fn three(scheduler: Scheduler) -> (Bench, [usize; 3]) {
    let mut bench = Bench::new(scheduler, &[2; 3]);
    let order = bench.order().try_into().unwrap();
    (bench, order)
}

pub(crate) fn lblc() {
    let (mut bench, [a, b, c]) = three(Scheduler::Lblc);
    // To one server until it has more than its weight and another has less than half of its own; then to the least
    // loaded. When none is so idle, it stays.
    assert_eq!(opened(&mut bench, 14), [a, a, a, b, b, b, c, c, c, c, c, c, c, c]);
    bench.close_all_of(b);
    assert_eq!(opened(&mut bench, 4), [b, b, b, b], "overloaded, and one is idle");
    bench.close_all_of(a);
    bench.close_all_of(c);
    bench.close_all_of(b);
    assert_eq!(opened(&mut bench, 3), [b; 3], "idle ones do not matter to one that is not overloaded");
    bench.set_weight(b, 0);
    assert!(!opened(&mut bench, 3).contains(&b));
}

pub(crate) fn lblcr() {
    let (mut bench, [a, b, c]) = three(Scheduler::Lblcr);
    assert_eq!(opened(&mut bench, 4), [a, a, a, b], "a second server for an overloaded destination");
    bench.close_all_of(a);
    // lblc would stay with b. Here both belong to the destination, and the least loaded of them gets it; c does not.
    assert_eq!(opened(&mut bench, 2), [a, b]);
    // Both overloaded: a third.
    let more = opened(&mut bench, 20);
    let third = more.iter().position(|&server| server == c).unwrap();
    assert!(third >= 3, "{more:?}");
    for server in [a, b, c] {
        bench.close_all_of(server);
    }
    let mut all = opened(&mut bench, 3);
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2], "all three have it now");

    // A set that has not changed for so long loses its most loaded server.
    let (mut bench, [a, b, _]) = three(Scheduler::Lblcr);
    assert_eq!(opened(&mut bench, 4), [a, a, a, b]);
    thread::sleep(Duration::from_millis(1_200));
    // Not before: on a slow machine it would have expired between two of the four.
    bench.lab.node.set_sysctl("net.ipv4.vs.lblcr_expiration", "1").unwrap();
    assert_eq!(opened(&mut bench, 1), [b]);
    bench.close_all_of(a);
    assert_eq!(opened(&mut bench, 1), [b], "it is b's alone, though a is idle");
}

/// One virtual server for many destinations, as in front of caches: those that a packet mark selects.
pub(crate) fn many_destinations() {
    for scheduler in [Scheduler::Lblc, Scheduler::Lblcr, Scheduler::Dh] {
        let mut marked = Marked::new(scheduler, 3);
        let destination = |last: u8| SocketAddrV4::new(Ipv4Addr::new(10, 96, 1, last), 80);
        let servers: Vec<_> = (0..12).map(|last| marked.open(destination(last), (client(1), 1000))).collect();
        for host in 2..6 {
            for last in (0..12).rev() {
                let server = marked.open(destination(last), (client(host), 1000));
                assert_eq!(server, servers[usize::from(last)], "{scheduler}: a destination has its server");
            }
        }
        for server in 0..3 {
            let count = servers.iter().filter(|&&other| other == server).count();
            assert!(count > 0, "{scheduler}: {servers:?}");
            // New destinations go to the least loaded; a hash has no such rule.
            assert!(count == 4 || scheduler == Scheduler::Dh, "{scheduler}: {servers:?}");
        }
    }
}
