//! From forks, execs and exits to programs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::time::{Duration, Instant};

use netns_setup::processes::{Account, Happening};

/// Longer command lines are cut.
const LONGEST: usize = 400;

/// A program that ran, or still runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramRun {
    /// Process number, outside.
    pub pid: u32,
    /// Its command line; empty, if it was gone before it could be looked at.
    pub command: String,
    /// Name of its file, from the command line, else the first 15 bytes of it from the kernel; empty: not known.
    pub name: String,
    /// When the process was forked.
    pub started: Instant,
    /// When it executed the program: before that it is a copy of what started it.
    pub executed: Option<Instant>,
    /// When it ended.
    pub ended: Option<Instant>,
    /// As wait(2) has it: the exit code in bits 8 to 15, or the signal in bits 0 to 6.
    pub status: Option<u32>,
    /// What it used, if the kernel has said so.
    pub used: Option<Used>,
}

/// What a program used from its start to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Processor time, nanoseconds; exact.
    pub cpu_ns: u64,
    /// Of that in the program, nanoseconds: a sample of a look per tick, so 0 for most short ones.
    pub user_ns: u64,
    /// In the kernel; as `user_ns`.
    pub system_ns: u64,
    /// Most memory in use, bytes.
    pub peak_rss: u64,
}

impl ProgramRun {
    /// From fork to end; `None` while it runs.
    pub fn duration(&self) -> Option<Duration> {
        Some(self.ended?.saturating_duration_since(self.started))
    }

    /// Exit code, if it ended with one.
    pub fn code(&self) -> Option<u32> {
        self.status.filter(|status| status & 0x7f == 0).map(|status| status >> 8 & 0xff)
    }
}

/// What has been seen so far.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Those whose programs are wanted. None yet: all.
    root: Option<u32>,
    /// Live processes that belong to it, or, without a root, all that were forked, with their parents.
    parents: HashMap<u32, u32>,
    /// By number: numbers are used again.
    running: HashMap<u32, ProgramRun>,
    /// By start and number.
    ended: BTreeMap<(Instant, u32), ProgramRun>,
    /// Accounts that came before the exit that they belong to.
    accounts: HashMap<u32, (String, Used)>,
}

impl Tree {
    pub(super) fn happened(&mut self, happening: Happening, at: Instant) {
        match happening {
            Happening::Fork { parent, child } => {
                if self.root.is_none_or(|root| parent == root || self.parents.contains_key(&parent)) {
                    self.parents.insert(child, parent);
                    self.accounts.remove(&child);
                    let run = ProgramRun {
                        pid: child,
                        command: String::new(),
                        name: String::new(),
                        started: at,
                        executed: None,
                        ended: None,
                        status: None,
                        used: None,
                    };
                    self.running.insert(child, run);
                }
            }
            Happening::Exec { pid } => {
                if let Some(run) = self.running.get_mut(&pid) {
                    run.executed = Some(at);
                    // Soon, or it is gone.
                    run.command = command(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default());
                    let file = run.command.split(' ').next().unwrap_or_default();
                    run.name = file.rsplit('/').next().unwrap_or_default().to_owned();
                }
            }
            Happening::Exit { pid, status } => {
                // Children of one that ends are still the root's, so its number stays until it is used again.
                if let Some(mut run) = self.running.remove(&pid) {
                    run.ended = Some(at);
                    run.status = Some(status);
                    if let Some(account) = self.accounts.remove(&pid) {
                        fill(&mut run, account);
                    }
                    self.ended.insert((run.started, pid), run);
                }
            }
        }
    }

    /// The kernel sends an account shortly before the exit; they arrive on two sockets, in either order.
    pub(super) fn accounted(&mut self, account: &Account) {
        let &Account { pid, cpu_ns, user_ns, system_ns, peak_rss, .. } = account;
        let account = (account.name.clone(), Used { cpu_ns, user_ns, system_ns, peak_rss });
        if self.running.contains_key(&pid) {
            self.accounts.insert(pid, account);
        } else if let Some(run) =
            self.ended.values_mut().rev().find(|run| run.pid == pid && run.used.is_none())
        {
            fill(run, account);
        }
    }

    pub(super) fn follow(&mut self, root: u32) {
        let belongs = |pid: u32| {
            let (mut at, mut seen) = (pid, HashSet::new());
            while let Some(&parent) = self.parents.get(&at) {
                if parent == root {
                    return true;
                }
                // Numbers that are used again can make a circle.
                if !seen.insert(at) {
                    return false;
                }
                at = parent;
            }
            false
        };
        let kept: HashSet<u32> =
            self.parents.keys().copied().filter(|&pid| pid != root && belongs(pid)).collect();
        self.root = Some(root);
        self.parents.retain(|pid, _| kept.contains(pid));
        self.running.retain(|pid, _| kept.contains(pid));
        self.ended.retain(|(_, pid), _| kept.contains(pid));
        self.accounts.retain(|pid, _| kept.contains(pid));
    }

    /// All of them, by their starts.
    pub(super) fn programs(&self) -> Vec<ProgramRun> {
        let mut all: Vec<ProgramRun> = self.ended.values().chain(self.running.values()).cloned().collect();
        all.sort_by_key(|run| (run.started, run.pid));
        all
    }

    pub(super) fn forget_ended(&mut self) {
        self.ended.clear();
        if self.root.is_some() {
            self.parents.retain(|pid, _| self.running.contains_key(pid));
        }
    }
}

fn fill(run: &mut ProgramRun, (name, used): (String, Used)) {
    run.used = Some(used);
    if run.name.is_empty() {
        run.name = name;
    }
}

/// Arguments, separated by zero bytes, as one line.
fn command(bytes: &[u8]) -> String {
    let words = bytes.split(|&byte| byte == 0).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(String::from_utf8_lossy).collect();
    let line: String = words.join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn account(pid: u32, name: &str) -> Account {
        Account { pid, name: name.into(), status: 0, cpu_ns: 5, user_ns: 0, system_ns: 0, peak_rss: 1 << 20 }
    }

    fn names(tree: &Tree) -> Vec<(u32, String, bool)> {
        tree.programs().into_iter().map(|run| (run.pid, run.name, run.ended.is_some())).collect()
    }

    #[test]
    fn descendants_of_the_root_are_kept_with_what_they_used() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut tree = Tree::default();
        // Numbers that no process has.
        let base = 1 << 30;
        let (root, nft, child, other) = (base, base + 1, base + 2, base + 3);
        tree.happened(Happening::Fork { parent: 1, child: root }, at(0));
        tree.happened(Happening::Fork { parent: root, child: nft }, at(1));
        tree.happened(Happening::Fork { parent: 1, child: other }, at(1));
        tree.follow(root);
        tree.happened(Happening::Exec { pid: nft }, at(2));
        tree.happened(Happening::Fork { parent: nft, child }, at(3));
        tree.happened(Happening::Fork { parent: other, child: base + 4 }, at(3));
        tree.accounted(&account(nft, "nft"));
        tree.happened(Happening::Exit { pid: nft, status: 256 }, at(9));
        tree.happened(Happening::Exit { pid: child, status: 9 }, at(10));
        tree.accounted(&account(child, "sh"));
        assert_eq!(names(&tree), [(nft, "nft".into(), true), (child, "sh".into(), true)]);
        let runs = tree.programs();
        assert_eq!(runs[0].duration(), Some(Duration::from_millis(8)));
        assert_eq!((runs[0].code(), runs[1].code()), (Some(1), None));
        assert_eq!(runs[0].used.unwrap().peak_rss, 1 << 20);

        // The number is used again.
        tree.happened(Happening::Fork { parent: root, child: nft }, at(20));
        assert_eq!(names(&tree).len(), 3);
        tree.forget_ended();
        assert_eq!(names(&tree), [(nft, String::new(), false)]);
        tree.happened(Happening::Fork { parent: nft, child }, at(21));
        assert_eq!(names(&tree).len(), 2);
    }

    #[test]
    fn a_command_line_is_one_line() {
        assert_eq!(command(b"/usr/sbin/nft\0-f\0-\0"), "/usr/sbin/nft -f -");
        assert_eq!(command(b"a\nb\0"), "a b");
        assert_eq!(command(&[b'x'; 900]).len(), LONGEST + 4);
    }

    fn happening() -> impl Strategy<Value = Happening> {
        let pid = || (1_u32 << 30)..(1 << 30) + 6;
        prop_oneof![
            (pid(), pid()).prop_map(|(parent, child)| Happening::Fork { parent, child }),
            pid().prop_map(|pid| Happening::Exec { pid }),
            (pid(), any::<u32>()).prop_map(|(pid, status)| Happening::Exit { pid, status }),
        ]
    }

    proptest! {
        #[test]
        fn any_order_of_events_ends(
            before in prop::collection::vec(happening(), 0..20),
            after in prop::collection::vec((happening(), any::<bool>()), 0..40),
        ) {
            let mut tree = Tree::default();
            let at = Instant::now();
            before.into_iter().for_each(|happening| tree.happened(happening, at));
            tree.follow(1 << 30);
            for (happening, accounted) in after {
                tree.happened(happening, at);
                if let (Happening::Exec { pid }, true) = (happening, accounted) {
                    tree.accounted(&account(pid, "x"));
                }
            }
            for run in tree.programs() {
                prop_assert!(run.ended.is_some() == run.status.is_some());
            }
            tree.forget_ended();
            prop_assert!(tree.programs().iter().all(|run| run.ended.is_none()));
        }
    }
}
