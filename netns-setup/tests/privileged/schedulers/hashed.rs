//! Schedulers that hash addresses.

use std::net::{Ipv4Addr, SocketAddrV4};

use netns_setup::ipvs::{MH_FALLBACK, MH_PORT, SH_FALLBACK, SH_PORT, Scheduler};

use super::bench::{Bench, client};
use super::shares;

const CLIENTS: u16 = 400;

/// The server of each client's connection from `port`; `None` for a client that is turned away.
fn map(bench: &mut Bench, port: u16) -> Vec<Option<usize>> {
    (1..=CLIENTS).map(|host| bench.open((client(host), port))).collect()
}

fn all(map: &[Option<usize>]) -> Vec<usize> {
    map.iter().map(|server| server.unwrap()).collect()
}

/// That shares are as the weights, give or take a tenth of all.
fn assert_shares(chosen: &[usize], weights: &[usize]) {
    let sum: usize = weights.iter().sum();
    for (share, weight) in shares(chosen, weights.len()).into_iter().zip(weights) {
        let due = chosen.len() * weight / sum;
        assert!(share.abs_diff(due) <= chosen.len() / 10, "{share} in place of {due}, of {weights:?}");
    }
}

/// What source hashing and Maglev hashing have in common; their flags have the same bits.
fn by_source(scheduler: Scheduler, fallback: u32, with_port: u32) {
    let weights = [1, 3, 4];
    let mut bench = Bench::new(scheduler, &weights);
    let first = map(&mut bench, 1000);
    assert_shares(&all(&first), &[1, 3, 4]);
    for port in [1001, 40_000] {
        assert_eq!(map(&mut bench, port), first, "a client has one server");
    }
    let mut again = Bench::new(scheduler, &weights);
    assert_eq!(map(&mut again, 1000), first, "and it is the same in another place");

    // Without its server, a client is turned away or, with the flag, sent to another.
    let mut fall = Bench::with(scheduler, fallback, None, &weights);
    assert_eq!(map(&mut fall, 1000), first);
    for bench in [&mut bench, &mut fall] {
        bench.set_weight(1, 0);
    }
    let without = map(&mut bench, 1002);
    let fallen = all(&map(&mut fall, 1002));
    assert!(!fallen.contains(&1));
    assert!(without.contains(&None) && !without.contains(&Some(1)));
    let stayed = without.iter().zip(&fallen).filter(|(without, _)| without.is_some());
    assert!(stayed.clone().all(|(without, fallen)| *without == Some(*fallen)), "only they are");
    if scheduler == Scheduler::Mh {
        // It leaves the table as it is; sh fills it anew.
        let expected = first.iter().map(|server| server.filter(|&server| server != 1));
        assert!(without.iter().copied().eq(expected));
    }

    // With the port, a client's connections are spread, and each has its place, whenever it comes.
    let mut one = Bench::with(scheduler, with_port, None, &weights);
    let mut chosen: Vec<_> = (1..=CLIENTS).map(|port| one.open((client(7), 1000 + port)).unwrap()).collect();
    assert_shares(&chosen, &[1, 3, 4]);
    let mut other = Bench::with(scheduler, with_port, None, &weights);
    chosen.reverse();
    assert!((1..=CLIENTS).rev().map(|port| other.open((client(7), 1000 + port)).unwrap()).eq(chosen));
}

pub(crate) fn sh() {
    by_source(Scheduler::Sh, SH_FALLBACK, SH_PORT);
    let (moved, stayed) = moved(Scheduler::Sh);
    assert!(moved > stayed, "{moved} of {} moved: the servers are dealt anew", moved + stayed);
}

/// Of clients whose server is still there when another has gone, how many have another now, and how many have not.
fn moved(scheduler: Scheduler) -> (usize, usize) {
    let mut bench = Bench::new(scheduler, &[1; 5]);
    let before = all(&map(&mut bench, 1000));
    bench.remove(2);
    let after = all(&map(&mut bench, 1001));
    assert!(!after.contains(&2));
    assert_shares(&after, &[1, 1, 0, 1, 1]);
    let kept = before.iter().zip(&after).filter(|(before, _)| **before != 2);
    let moved = kept.clone().filter(|(before, after)| before != after).count();
    (moved, kept.count() - moved)
}

pub(crate) fn mh() {
    by_source(Scheduler::Mh, MH_FALLBACK, MH_PORT);
    // That is what it is for: it moves the clients of a server that goes, and hardly any others.
    let (moved, stayed) = moved(Scheduler::Mh);
    assert!(moved <= stayed / 10, "{moved} of {} moved without need", moved + stayed);
}

pub(crate) fn dh() {
    // One virtual server for each destination: each has one server for all clients, and they are not all the same.
    const DESTINATIONS: u8 = 40;
    let destination = |last, port| SocketAddrV4::new(Ipv4Addr::new(10, 96, 7, last), port);
    let mut bench = Bench::new(Scheduler::Rr, &[1]);
    let mut chosen = Vec::new();
    for last in 0..DESTINATIONS {
        for port in [80, 443] {
            bench.add_virtual_server(destination(last, port), Scheduler::Dh, 0, None, &[1; 3]);
        }
        let server = bench.open_to(destination(last, 80), (client(1), 1000)).unwrap();
        for host in 2..20 {
            assert_eq!(bench.open_to(destination(last, 80), (client(host), 1000)), Some(server));
        }
        // It is the address that counts, not the port.
        assert_eq!(bench.open_to(destination(last, 443), (client(1), 1000)), Some(server));
        chosen.push(server);
    }
    assert_shares(&chosen, &[1, 1, 1]);
}
