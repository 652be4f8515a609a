//! What each sync is made of: the programs that kube-proxy runs in it, their waits for the xtables lock, and the rest, which is
//! kube-proxy's own process.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use kube_proxy::log::{Entry, Line};
use kube_proxy::programs::ProgramRun;
use lab::xtables_lock::{Watch, acquisitions};
use netns_setup::Namespace;
use workloads::clock::nanoseconds;

use super::cost::{ProgramPhase, phase};
use super::parts::{Parts, SyncRun};

/// A line of the log is read a little after it was written, so that a sync seems to begin later than it did. Two syncs of one
/// family are a second apart, or follow one another after a failure: no program of another one is that near.
const LATE_LINE: Duration = Duration::from_millis(50);

/// A sync that has ended, by its line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// When the line was read.
    pub at: Instant,
    /// How long it took, as kube-proxy says.
    pub took: Duration,
    /// Whether it was one of IPv6.
    pub ipv6: bool,
}

/// A wait for the xtables lock: from when to when.
pub(super) type Wait = (Instant, Instant);

/// The syncs that these lines end.
pub(super) fn ended(lines: &[Line]) -> Vec<Ended> {
    let each = |line: &Line| {
        let entry = Entry::parse(&line.text)?;
        // Proxiers of one family do not always name it.
        let ipv6 = entry.field("ipFamily").is_some_and(|family| family != "IPv4");
        Some(Ended { at: line.at, took: entry.sync()?, ipv6 })
    };
    lines.iter().filter_map(each).collect()
}

/// Syncs of IPv4 with what they were made of. `programs`: all that ran meanwhile, `None` where they are not seen. `waits`: by
/// process, `None` where nobody takes the lock.
pub(super) fn split(
    syncs: &[Ended],
    programs: Option<&[ProgramRun]>,
    waits: Option<&HashMap<u32, Vec<Wait>>>,
) -> Vec<SyncRun> {
    let ours = syncs.iter().filter(|sync| !sync.ipv6);
    let each = |sync: &Ended| SyncRun {
        whole: nanoseconds(sync.took),
        parts: programs.map(|programs| {
            let own: Vec<&ProgramRun> = programs.iter().filter(|run| is_of(run, sync, syncs)).collect();
            parts(sync, own, waits)
        }),
    };
    ours.map(each).collect()
}

/// Whether a program ran in a sync of IPv4. Both families sync at the same time: programs are those of a family by their name or
/// arguments, and one that could be of either is of the shorter sync that it lies in.
fn is_of(run: &ProgramRun, sync: &Ended, all: &[Ended]) -> bool {
    if !lies_in(run, sync) || names_ipv6(run) {
        return false;
    }
    let shorter = |other: &&Ended| other.ipv6 && other.took < sync.took && lies_in(run, other);
    names_ipv4(run) || !all.iter().any(|other| shorter(&other))
}

fn lies_in(run: &ProgramRun, sync: &Ended) -> bool {
    // Both ends by subtraction from what is known: moments before the machine's start cannot be had.
    let begun = sync.at.saturating_duration_since(run.started) <= sync.took + LATE_LINE;
    begun && run.started <= sync.at && run.ended.is_some_and(|ended| ended <= sync.at)
}

fn names_ipv6(run: &ProgramRun) -> bool {
    run.name.starts_with("ip6tables") || run.command.split(' ').any(|word| word == "ip6")
}

fn names_ipv4(run: &ProgramRun) -> bool {
    run.name.starts_with("iptables") || run.command.split(' ').any(|word| word == "ip")
}

fn parts(sync: &Ended, mut runs: Vec<&ProgramRun>, waits: Option<&HashMap<u32, Vec<Wait>>>) -> Parts {
    runs.sort_by_key(|run| run.started);
    let mut parts = Parts { lock_wait: waits.map(|_| 0), ..Parts::default() };
    let (whole, mut in_programs, mut before) = (nanoseconds(sync.took), 0, None);
    for run in runs {
        let Some(end) = run.ended else { continue };
        // Programs of a sync follow one another; should two overlap, the time is the first one's.
        let from = before.map_or(run.started, |before| run.started.max(before));
        let took = nanoseconds(end.saturating_duration_since(from)).min(whole - in_programs);
        in_programs += took;
        before = Some(before.map_or(end, |before: Instant| before.max(end)));
        let waited = waits.and_then(|waits| waits.get(&run.pid)).map_or(0, |own| {
            let inside =
                |&(begun, over): &Wait| nanoseconds(over.min(end).saturating_duration_since(begun.max(from)));
            own.iter().map(inside).sum::<u64>().min(took)
        });
        parts.lock_wait = parts.lock_wait.map(|all| all + waited);
        let of_phase = match phase(run) {
            ProgramPhase::Listing => &mut parts.listing,
            ProgramPhase::Writing => &mut parts.writing,
            ProgramPhase::Other => &mut parts.other,
        };
        *of_phase += took - waited;
    }
    parts.own = whole - in_programs;
    parts
}

/// Sees waits for the xtables lock of a node, from the outside.
pub(super) struct LockWaits {
    watch: Option<(Watch, Instant)>,
}

impl LockWaits {
    /// From now on, if anybody there takes the lock. Without the right to watch it sees nothing.
    pub(super) fn begin(node: &Namespace, taken: bool) -> Self {
        let mut waits = Self { watch: None };
        if taken {
            waits.again(node);
        }
        waits
    }

    fn again(&mut self, node: &Namespace) {
        let begun = |watch: Watch| {
            let at = Instant::now().checked_sub(Duration::from_nanos(watch.now()))?;
            Some((watch, at))
        };
        self.watch = Watch::start(node).ok().and_then(begun);
    }

    /// Waits since the beginning, or since this was asked, by process.
    pub(super) fn take(&mut self, node: &Namespace) -> Option<HashMap<u32, Vec<Wait>>> {
        let (watch, begun) = self.watch.take()?;
        let events = watch.stop();
        self.again(node);
        let mut waits: HashMap<u32, Vec<Wait>> = HashMap::new();
        for found in acquisitions(&events.ok()?, &HashSet::new()) {
            let from = begun + Duration::from_nanos(found.began);
            waits.entry(found.pid).or_default().push((from, from + Duration::from_nanos(found.wait)));
        }
        Some(waits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Instant {
        use std::sync::OnceLock;
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        *ORIGIN.get_or_init(Instant::now) + Duration::from_millis(ms)
    }

    fn run(pid: u32, command: &str, from: u64, to: u64) -> ProgramRun {
        ProgramRun {
            pid,
            command: command.to_owned(),
            name: command.split(' ').next().unwrap().to_owned(),
            started: at(from),
            executed: Some(at(from)),
            ended: Some(at(to)),
            status: Some(0),
            used: None,
        }
    }

    fn sync(from: u64, to: u64, ipv6: bool) -> Ended {
        Ended { at: at(to), took: Duration::from_millis(to - from), ipv6 }
    }

    #[test]
    fn lines_end_syncs() {
        let line = |text: &str| Line { at: at(1), text: text.to_owned() };
        let head = "I1130 20:40:12.523456       7 proxier.go:649]";
        let lines = [
            line(&format!("{head} \"SyncProxyRules complete\" ipFamily=\"IPv4\" elapsed=\"59ms\"")),
            line(&format!("{head} \"SyncProxyRules complete\" elapsed=\"1ms\" ipFamily=\"IPv6\"")),
            line(&format!("{head} \"SyncProxyRules complete\" elapsed=\"2ms\"")),
            line(&format!("{head} \"Syncing iptables rules\" ipFamily=\"IPv4\"")),
            line("no klog"),
        ];
        let found: Vec<_> = ended(&lines).iter().map(|sync| (sync.took.as_millis(), sync.ipv6)).collect();
        assert_eq!(found, [(59, false), (1, true), (2, false)]);
    }

    #[test]
    fn programs_are_parts_of_the_sync_that_they_ran_in() {
        let syncs = [sync(100, 300, false), sync(105, 125, true)];
        let programs = [
            // Before the sync, of the other family by name, and of the other family by its time.
            run(1, "iptables-save -t nat", 10, 20),
            run(2, "ip6tables-restore -w 5", 110, 120),
            run(3, "nft -f -", 108, 118),
            run(4, "nft --json list table ip kube-proxy", 106, 116),
            run(5, "nft -f -", 150, 250),
            run(6, "iptables -C OUTPUT", 260, 265),
            // Ends after the sync.
            run(7, "nft -f -", 280, 320),
        ];
        let [found] = split(&syncs, Some(&programs), None)[..] else { panic!() };
        assert_eq!(found.whole, 200 * MS);
        let parts = found.parts.unwrap();
        assert_eq!(
            parts,
            Parts { own: 85 * MS, listing: 10 * MS, writing: 100 * MS, other: 5 * MS, lock_wait: None }
        );
        assert_eq!(split(&syncs, None, None)[0].parts, None, "not seen is not zero");
    }

    #[test]
    fn a_wait_for_the_lock_is_no_writing() {
        let syncs = [sync(100, 300, false)];
        let programs = [run(5, "iptables-restore -w 5", 150, 250)];
        let waits = HashMap::from([(5, vec![(at(160), at(190))]), (9, vec![(at(160), at(290))])]);
        let parts = split(&syncs, Some(&programs), Some(&waits))[0].parts.unwrap();
        assert_eq!((parts.writing, parts.lock_wait, parts.own), (70 * MS, Some(30 * MS), 100 * MS));
        let nobody = split(&syncs, Some(&programs), Some(&HashMap::new()))[0].parts.unwrap();
        assert_eq!((nobody.writing, nobody.lock_wait), (100 * MS, Some(0)));
    }

    proptest! {
        /// Whatever ran when, the parts of a sync are the whole of it.
        #[test]
        fn parts_are_the_whole(
            syncs in proptest::collection::vec((0_u64..500, 0_u64..300, any::<bool>()), 0..5),
            programs in proptest::collection::vec((0_u32..4, 0_usize..5, 0_u64..800, 0_u64..300), 0..20),
            waits in proptest::collection::vec((0_u32..4, 0_u64..800, 0_u64..300), 0..6),
        ) {
            const COMMANDS: [&str; 5] =
                ["nft -f -", "nft --json list map ip kube-proxy m", "iptables-restore", "ip6tables-save", "x"];
            let syncs: Vec<Ended> = syncs.iter().map(|&(from, took, ipv6)| sync(from, from + took, ipv6)).collect();
            let programs: Vec<ProgramRun> =
                programs.iter().map(|&(pid, what, from, took)| run(pid, COMMANDS[what], from, from + took)).collect();
            let mut by_pid: HashMap<u32, Vec<Wait>> = HashMap::new();
            for (pid, from, took) in waits {
                by_pid.entry(pid).or_default().push((at(from), at(from + took)));
            }
            for found in split(&syncs, Some(&programs), Some(&by_pid)) {
                let Parts { own, listing, writing, other, lock_wait } = found.parts.unwrap();
                prop_assert_eq!(own + listing + writing + other + lock_wait.unwrap(), found.whole);
            }
        }
    }
}
