//! Where the time of a sync goes: kube-proxy's own work, listing, writing, other programs, waiting for the xtables lock. Pure.
//!
//! When a sync has ended, and how long it took, is what the log says; which programs ran meanwhile, and how long, is what the
//! kernel says. Only syncs of IPv4, which is what labs have Services of.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube_proxy::log::SyncEnded;
use kube_proxy::programs::ProgramRun;
use workloads::clock::nanoseconds;

use super::program_phase::{ProgramPhase, phase};

/// By so much a line of the log may be late, so that a sync seems to have begun later than its first program.
const LATE: Duration = Duration::from_millis(50);

/// Phases of the syncs of which all programs are known; one entry for each of them in each list, nanoseconds. Their sum is
/// what the sync took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Phases {
    /// The whole sync, as kube-proxy says.
    pub whole: Vec<u64>,
    /// No program ran: kube-proxy's own process worked. It generates rules; from 1.37 on it lists nftables over netlink, too;
    /// and it looks through the connections that have become stale.
    pub own: Vec<u64>,
    /// Programs that list what is installed.
    pub listing: Vec<u64>,
    /// Programs that write what shall be, without their waiting for the lock.
    pub writing: Vec<u64>,
    /// Other programs: jumps, canaries.
    pub other: Vec<u64>,
    /// Programs waited for the xtables lock; none: there is no such lock, or it is not seen.
    pub lock_wait: Option<Vec<u64>>,
    /// Syncs that are not in these lists, since their programs cannot be told from those of the other family.
    pub mixed: usize,
}

/// The family that a program is about, if its name or its arguments say so.
fn is_ipv6(run: &ProgramRun) -> Option<bool> {
    let has = |word: &str| run.command.split(' ').any(|own| own == word);
    match run.name.as_str() {
        name if name.starts_with("ip6tables") => Some(true),
        name if name.starts_with("iptables") => Some(false),
        "nft" if has("ip6") => Some(true),
        "nft" if has("ip") => Some(false),
        _ => None,
    }
}

/// A sync, and the programs that ran in it.
struct Sync<'a> {
    begun: Instant,
    ended: SyncEnded,
    runs: Vec<&'a ProgramRun>,
}

impl Sync<'_> {
    fn holds(&self, run: &ProgramRun) -> bool {
        run.ended.is_some_and(|ended| run.started >= self.begun && ended <= self.ended.at)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.begun <= other.ended.at && other.begun <= self.ended.at
    }

    fn writes(&self) -> bool {
        self.runs.iter().any(|run| phase(run) == ProgramPhase::Writing)
    }
}

/// The phases of these syncs. `waits`: how long each process waited for the lock, where that is known.
pub(super) fn of(
    syncs: &[SyncEnded],
    programs: &[ProgramRun],
    waits: Option<&BTreeMap<u32, Duration>>,
) -> Phases {
    let mut all: Vec<Sync<'_>> = Vec::new();
    for &ended in syncs {
        let before =
            all.iter().rev().find(|other| other.ended.ipv6 == ended.ipv6).map(|other| other.ended.at);
        let begun = ended.at.checked_sub(ended.took + LATE).unwrap_or(ended.at);
        // Nothing of a family runs in two syncs.
        all.push(Sync { begun: before.map_or(begun, |before| begun.max(before)), ended, runs: Vec::new() });
    }
    for run in programs {
        let family = is_ipv6(run);
        let fits =
            |sync: &&mut Sync<'_>| family.is_none_or(|ipv6| ipv6 == sync.ended.ipv6) && sync.holds(run);
        // Of two at once it is the shorter one's: what is only in the longer one is told from it.
        if let Some(sync) = all.iter_mut().filter(fits).min_by_key(|sync| sync.ended.took) {
            sync.runs.push(run);
        }
    }
    // Each sync writes. One of two at once that does not has lost its program to the other.
    let is_mixed = |sync: &Sync<'_>| {
        all.iter().any(|other| {
            other.ended.ipv6 != sync.ended.ipv6 && sync.overlaps(other) && !(sync.writes() && other.writes())
        })
    };
    let mut phases = Phases { lock_wait: waits.map(|_| Vec::new()), ..Phases::default() };
    for sync in all.iter().filter(|sync| !sync.ended.ipv6) {
        if is_mixed(sync) {
            phases.mixed += 1;
            continue;
        }
        phases.push(sync, waits);
    }
    phases
}

impl Phases {
    fn push(&mut self, sync: &Sync<'_>, waits: Option<&BTreeMap<u32, Duration>>) {
        let [mut listing, mut writing, mut other, mut waiting, mut all] = [Duration::ZERO; 5];
        for run in &sync.runs {
            let took = run.duration().unwrap_or_default();
            let waited = waits.and_then(|waits| waits.get(&run.pid)).copied().unwrap_or_default().min(took);
            all += took;
            waiting += waited;
            let part = match phase(run) {
                ProgramPhase::Listing => &mut listing,
                ProgramPhase::Writing => &mut writing,
                ProgramPhase::Other => &mut other,
            };
            *part += took - waited;
        }
        self.whole.push(nanoseconds(sync.ended.took));
        self.own.push(nanoseconds(sync.ended.took.saturating_sub(all)));
        self.listing.push(nanoseconds(listing));
        self.writing.push(nanoseconds(writing));
        self.other.push(nanoseconds(other));
        if let Some(lock_wait) = &mut self.lock_wait {
            lock_wait.push(nanoseconds(waiting));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A kube-proxy's life, by milliseconds since its start.
    struct Life(Instant);

    impl Life {
        fn run(&self, pid: u32, command: &str, from: u64, to: u64) -> ProgramRun {
            ProgramRun {
                pid,
                command: command.to_owned(),
                name: command.split(' ').next().unwrap().to_owned(),
                started: self.0 + ms(from),
                executed: Some(self.0 + ms(from)),
                ended: Some(self.0 + ms(to)),
                status: Some(0),
                used: None,
            }
        }

        fn sync(&self, ipv6: bool, from: u64, to: u64) -> SyncEnded {
            SyncEnded { at: self.0 + ms(to), took: ms(to - from), ipv6 }
        }
    }

    const NS: u64 = 1_000_000;

    #[test]
    fn a_sync_is_cut_into_its_phases() {
        let life = Life(Instant::now());
        let programs = [
            life.run(1, "iptables --version", 10, 20),
            life.run(2, "iptables -w 5 -C OUTPUT -t nat", 1_005, 1_010),
            life.run(3, "iptables-save -t nat", 1_020, 1_050),
            life.run(4, "iptables-restore -w 5 --noflush", 1_060, 1_160),
            life.run(5, "ip6tables-restore -w 5 --noflush", 1_010, 1_015),
            life.run(6, "iptables-restore -w 5 --noflush", 3_000, 3_050),
        ];
        let waits = BTreeMap::from([(4, ms(60))]);
        let syncs =
            [life.sync(true, 1_000, 1_020), life.sync(false, 1_000, 1_200), life.sync(false, 2_990, 3_060)];
        let phases = of(&syncs, &programs, Some(&waits));
        assert_eq!(phases.whole, [200 * NS, 70 * NS]);
        assert_eq!(phases.own, [65 * NS, 20 * NS]);
        assert_eq!(phases.listing, [30 * NS, 0]);
        assert_eq!(phases.writing, [40 * NS, 50 * NS]);
        assert_eq!(phases.other, [5 * NS, 0]);
        assert_eq!((phases.lock_wait, phases.mixed), (Some(vec![60 * NS, 0]), 0));
    }

    #[test]
    fn families_are_told_apart_or_left_out() {
        let life = Life(Instant::now());
        // The program of IPv6 is in both syncs, that of IPv4 only in its own.
        let programs = [life.run(1, "nft -f -", 5, 15), life.run(2, "nft -f -", 10, 90)];
        let syncs = [life.sync(true, 0, 20), life.sync(false, 0, 100)];
        let phases = of(&syncs, &programs, None);
        assert_eq!((phases.writing, phases.mixed, phases.lock_wait), (vec![80 * NS], 0, None));
        // Both are in both: whose is whose?
        let programs = [life.run(1, "nft -f -", 5, 15), life.run(2, "nft -f -", 6, 16)];
        let syncs = [life.sync(true, 0, 20), life.sync(false, 0, 21)];
        let phases = of(&syncs, &programs, None);
        assert_eq!((phases.writing.len(), phases.mixed), (0, 1));
    }

    proptest! {
        /// Programs that run one after another in a sync, and nothing else: the phases add up to the sync.
        #[test]
        fn phases_add_up(pieces in prop::collection::vec((0_u64..30, 0_u64..30, 0_usize..4), 0..12), wait in 0_u64..40) {
            let life = Life(Instant::now());
            let commands = ["iptables-save -t nat", "iptables-restore -w 5", "iptables -S", "conntrack -D"];
            let (mut at, mut programs) = (100, Vec::new());
            for (pid, (gap, length, command)) in (1..).zip(pieces) {
                programs.push(life.run(pid, commands[command], at + gap, at + gap + length));
                at += gap + length;
            }
            let waits = BTreeMap::from([(1, ms(wait))]);
            let phases = of(&[life.sync(false, 100, at + 3)], &programs, Some(&waits));
            let sum = [&phases.own, &phases.listing, &phases.writing, &phases.other, phases.lock_wait.as_ref().unwrap()]
                .map(|part| part[0]).iter().sum::<u64>();
            prop_assert_eq!(sum, (at + 3 - 100) * NS);
        }
    }
}
