//! Schedulers that look at connections and weights, against their formulas.

use netns_setup::ipvs::Scheduler;

use super::bench::Bench;
use super::{opened, shares};

/// A real server as its scheduler sees it.
#[derive(Debug, Clone, Copy)]
struct Load {
    weight: u64,
    active: u64,
    inactive: u64,
}

/// The index of the chosen one, of servers in the order of the list. Of equals, all take the first.
type Formula = fn(&[Load]) -> Option<usize>;

/// The smallest `cost / weight` of those with a weight.
fn least(loads: &[Load], cost: fn(&Load) -> u64, weighted: bool) -> Option<usize> {
    let candidates = (0..loads.len()).filter(|&index| loads[index].weight > 0);
    candidates.reduce(|best, next| {
        let [b, n] = [loads[best], loads[next]];
        let [wb, wn] = if weighted { [b.weight, n.weight] } else { [1, 1] };
        if cost(&b) * wn > cost(&n) * wb { next } else { best }
    })
}

/// An active connection counts as 256 inactive ones (ip_vs_dest_conn_overhead).
fn overhead(load: &Load) -> u64 {
    (load.active << 8) + load.inactive
}

/// With the one to come.
fn delay(load: &Load) -> u64 {
    load.active + 1
}

fn lc(loads: &[Load]) -> Option<usize> {
    least(loads, overhead, false)
}

fn wlc(loads: &[Load]) -> Option<usize> {
    least(loads, overhead, true)
}

fn sed(loads: &[Load]) -> Option<usize> {
    least(loads, delay, true)
}

fn nq(loads: &[Load]) -> Option<usize> {
    let idle = loads.iter().position(|load| load.weight > 0 && load.active == 0);
    idle.or_else(|| sed(loads))
}

fn heaviest(loads: &[Load], fit: fn(&Load) -> bool) -> Option<usize> {
    let fitting = (0..loads.len()).filter(|&index| loads[index].weight > 0 && fit(&loads[index]));
    fitting.reduce(|best, next| if loads[next].weight > loads[best].weight { next } else { best })
}

fn fo(loads: &[Load]) -> Option<usize> {
    heaviest(loads, |_| true)
}

/// It takes one more than its weight: only then do its connections exceed it.
fn ovf(loads: &[Load]) -> Option<usize> {
    heaviest(loads, |load| load.active <= load.weight)
}

const FORMULAS: [(Scheduler, Formula); 6] = [
    (Scheduler::Lc, lc),
    (Scheduler::Wlc, wlc),
    (Scheduler::Sed, sed),
    (Scheduler::Nq, nq),
    (Scheduler::Fo, fo),
    (Scheduler::Ovf, ovf),
];

/// A walk that a seed decides (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ bits >> 31) % sides as u64) as usize
    }
}

/// Connections come and go, weights change, and each choice is the formula's; it often is none of the other formulas'.
pub(crate) fn by_formula(scheduler: Scheduler) {
    let formula = FORMULAS.iter().find(|(known, _)| *known == scheduler).unwrap().1;
    let mut bench = Bench::new(scheduler, &[1, 2, 5, 10, 0]);
    let mut dice = Dice(7);
    let (mut unlike, mut unlike_turns, mut last) = ([0; FORMULAS.len()], 0, 0);
    for step in 0..250 {
        let open = bench.connections();
        match dice.roll(10) {
            0..4 if !open.is_empty() => bench.close(open[dice.roll(open.len())]),
            4 if step % 5 == 0 => bench.set_weight(dice.roll(5), [0, 1, 3, 8][dice.roll(4)]),
            _ => {
                let dests = bench.dests();
                let load = |(_, dest): &(_, netns_setup::ipvs::Dest)| Load {
                    weight: dest.server.weight.into(),
                    active: dest.active.into(),
                    inactive: dest.inactive.into(),
                };
                let loads: Vec<Load> = dests.iter().map(load).collect();
                let known: u64 = loads.iter().map(|load| load.active).sum();
                assert_eq!(known, open.len() as u64, "the kernel counts as we do");
                let chosen = bench.open_next();
                let after = bench.dests();
                // What was closed is forgotten after ten seconds: nobody knows whether before or after the choice.
                let inactive = |dests: &[(usize, netns_setup::ipvs::Dest)]| -> u64 {
                    dests.iter().map(|(_, dest)| u64::from(dest.inactive)).sum()
                };
                if inactive(&after) < inactive(&dests) {
                    continue;
                }
                let place =
                    chosen.map(|server| dests.iter().position(|(other, _)| *other == server).unwrap());
                assert_eq!(place, formula(&loads), "{scheduler}, step {step}: {loads:?}");
                for (count, (_, other)) in unlike.iter_mut().zip(FORMULAS) {
                    *count += u32::from(other(&loads) != place);
                }
                unlike_turns += u32::from(place != Some((last + 1) % 5));
                last = place.unwrap_or(last);
            }
        }
    }
    for (count, (other, _)) in unlike.iter().zip(FORMULAS) {
        assert_eq!(*count == 0, other == scheduler, "{other} would have chosen otherwise {count} times");
    }
    assert!(unlike_turns > 20, "not in turn");
}

pub(crate) fn lc_fills_the_emptiest() {
    let mut bench = Bench::new(Scheduler::Lc, &[1, 1, 1]);
    let chosen = opened(&mut bench, 6);
    assert_eq!(shares(&chosen, 3), [2, 2, 2]);
    bench.close_all_of(1);
    assert_eq!(opened(&mut bench, 2), [1, 1], "twice in a row");
    assert_ne!(opened(&mut bench, 1), [1], "until it has as many as the others, and old ones");
}

/// A slow server that comes first in the list, and one ten times as fast; both idle.
fn slow_and_fast(scheduler: Scheduler) -> Bench {
    // The kernel puts a new real server before the others.
    let mut bench = Bench::new(scheduler, &[10, 1]);
    assert_eq!(bench.order(), [SLOW, FAST]);
    bench
}

const FAST: usize = 0;
const SLOW: usize = 1;

pub(crate) fn wlc_sed_and_nq_differ() {
    // wlc: without connections, all are equal. Then as many each as their weights allow.
    let mut wlc = slow_and_fast(Scheduler::Wlc);
    let chosen = opened(&mut wlc, 22);
    assert_eq!(chosen[..2], [SLOW, FAST]);
    assert_eq!(shares(&chosen, 2), [20, 2], "by weight");
    // sed: the fast one is sooner done with nine than the slow one with one.
    let mut sed = slow_and_fast(Scheduler::Sed);
    assert_eq!(opened(&mut sed, 10), [vec![FAST; 9], vec![SLOW]].concat());
    // nq: nobody waits while a server is idle, though the fast one would be sooner done.
    let mut nq = slow_and_fast(Scheduler::Nq);
    assert_eq!(opened(&mut nq, 4), [SLOW, FAST, FAST, FAST]);
    nq.close_all_of(SLOW);
    assert_eq!(opened(&mut nq, 2), [SLOW, FAST], "idle again");
}

pub(crate) fn fo_fails_over() {
    let mut bench = Bench::new(Scheduler::Fo, &[1, 3, 2]);
    assert_eq!(opened(&mut bench, 10), [1; 10], "all to the heaviest, however many");
    bench.set_weight(1, 0);
    assert_eq!(opened(&mut bench, 10), [2; 10]);
    bench.remove(2);
    assert_eq!(opened(&mut bench, 3), [0; 3]);
    bench.set_weight(1, 3);
    assert_eq!(opened(&mut bench, 3), [1; 3], "and back");
}

pub(crate) fn ovf_overflows() {
    let mut bench = Bench::new(Scheduler::Ovf, &[2, 3]);
    assert_eq!(opened(&mut bench, 7), [1, 1, 1, 1, 0, 0, 0]);
    assert_eq!(bench.open_next(), None, "all full");
    bench.close_all_of(1);
    assert_eq!(opened(&mut bench, 4), [1; 4]);
    assert_eq!(bench.open_next(), None);
}
