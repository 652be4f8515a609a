//! IPVS schedulers do what their names say: real connections through a director, packet by packet.
//!
//! What is expected comes from net/netfilter/ipvs/ip_vs_{rr,wrr,lc,...}.c of the kernel, and each expectation is one that
//! other schedulers would not meet.

mod bench;
pub(crate) mod hashed;
pub(crate) mod least;
pub(crate) mod local;

use netns_setup::ipvs::Scheduler;

use bench::{Bench, client};

/// Servers that `count` new connections from different clients were given.
fn opened(bench: &mut Bench, count: u16) -> Vec<usize> {
    (0..count).map(|_| bench.open_next().unwrap()).collect()
}

/// How often each of `servers` servers occurs.
fn shares(chosen: &[usize], servers: usize) -> Vec<usize> {
    (0..servers).map(|server| chosen.iter().filter(|&&other| other == server).count()).collect()
}

pub(crate) fn rr() {
    // In the order of the list, whatever the weights and the connections; only weight 0 is passed over.
    let mut bench = Bench::new(Scheduler::Rr, &[1, 9, 3, 0, 5]);
    let chosen = opened(&mut bench, 40);
    let turn = &chosen[..4];
    assert_eq!(shares(turn, 5), [1, 1, 1, 0, 1]);
    assert!(chosen.chunks(4).all(|next| next == turn), "{chosen:?}");
    let order = bench.order();
    let walked: Vec<_> = order.into_iter().filter(|&server| server != 3).collect();
    assert!((0..4).any(|start| turn.iter().zip(walked.iter().cycle().skip(start)).all(|(a, b)| a == b)));
    bench.close_all_of(turn[0]);
    assert_eq!(opened(&mut bench, 8), [turn, turn].concat(), "an idle server has no precedence");
}

pub(crate) fn wrr() {
    // Exact shares in each round, and a round is as short as it can be: the weights over their greatest common divisor.
    for (weights, round) in
        [([1, 2, 3, 0], [1, 2, 3, 0]), ([10, 20, 30, 0], [1, 2, 3, 0]), ([5, 5, 5, 5], [1; 4])]
    {
        let mut bench = Bench::new(Scheduler::Wrr, &weights);
        let length: usize = round.iter().sum();
        let chosen = opened(&mut bench, 10 * length as u16);
        assert!(chosen.chunks(length).all(|one| shares(one, 4) == round), "{weights:?}: {chosen:?}");
    }
    // Heavy servers are not given their share in one go: from the highest weight down, all that have it take turns.
    let mut bench = Bench::new(Scheduler::Wrr, &[1, 2, 2]);
    let round = opened(&mut bench, 5);
    assert!(round[..2] != [round[0]; 2] && !round[..2].contains(&0), "{round:?}");
    // A new weight counts at once.
    bench.set_weight(1, 7);
    bench.set_weight(2, 0);
    opened(&mut bench, 8);
    assert_eq!(shares(&opened(&mut bench, 80), 3), [10, 70, 0]);
}

pub(crate) fn persistence() {
    let mut bench = Bench::with(Scheduler::Rr, 0, Some(300), &[1; 3]);
    let mut first = Vec::new();
    for host in 1..=3 {
        first.push(bench.open((client(host), 1000)).unwrap());
    }
    assert_eq!(shares(&first, 3), [1; 3], "clients are given servers in turn");
    for port in 1001..1020 {
        for host in 1..=3 {
            assert_eq!(bench.open((client(host), port)), Some(first[usize::from(host) - 1]), "and keep them");
        }
    }
    // Weight 0: no new clients, but those that it has.
    bench.set_weight(first[0], 0);
    assert_eq!(bench.open((client(1), 2000)), Some(first[0]));
    let others: Vec<_> = (10..20).map(|host| bench.open((client(host), 1000)).unwrap()).collect();
    assert_eq!(shares(&others, 3)[first[0]], 0);
    // Unless net.ipv4.vs.expire_quiescent_template is set, as kube-proxy does.
    bench.lab.node.set_sysctl("net.ipv4.vs.expire_quiescent_template", "1").unwrap();
    assert_ne!(bench.open((client(1), 2001)), Some(first[0]));
}
