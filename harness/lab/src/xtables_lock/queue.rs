//! The queue for the lock as it moves: who held it and who gave up, by openings, closings and looks at `/proc/locks`.
//!
//! A closing alone does not tell whether its process had the lock. A look does: a file's locks are given back after its
//! closing has been reported (`__fput`, fs/file_table.c), so a look after which no event was waiting shows a holder that has
//! not closed; and whoever closes while another is known to hold the lock never had it.
//!
//! The kernel names whoever called flock(2). In a shell's `exec 9>>FILE; flock 9` that is a program that has long ended, and the
//! shell holds the lock. Who lets go of such a lock is seen by the next look.

use std::collections::BTreeMap;

use super::acquisition::{Event, Kind};
use super::present::Present;

/// How a process came by the lock, or did not. Nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The process.
    pub pid: u32,
    /// When it closed the file, since the watch began.
    pub ended: u64,
    /// How long it waited; `None`: it had the lock before the watch began.
    pub wait: Option<u64>,
    /// How long it held the lock; `None`: it gave up.
    pub hold: Option<u64>,
}

/// Processes that have the file open.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// Since when; `None`: since before the watch.
    open: BTreeMap<u32, Option<u64>>,
    holder: Option<Holder>,
    /// When the holder before let go.
    free_since: u64,
    /// Who closed while somebody who is gone was named as the holder: number, opening, closing.
    undecided: Vec<(u32, Option<u64>, u64)>,
}

/// Who is named as the holder.
#[derive(Clone, Copy, Debug)]
struct Holder {
    pid: u32,
    since: u64,
    is_gone: bool,
}

impl Queue {
    /// Takes an event; a closing ends a turn.
    pub fn event(&mut self, event: &Event) -> Option<Turn> {
        let Event { at, pid, kind } = *event;
        if kind == Kind::Open {
            self.open.insert(pid, Some(at));
            return None;
        }
        let opened = match self.open.remove(&pid) {
            Some(opened) => opened,
            // It was there before, and may be the one that holds what a program that is gone has locked.
            None if self.holder.is_some_and(|holder| holder.is_gone) => None,
            // Of a process that was there before and was never seen nothing can be said.
            None => return None,
        };
        match self.holder {
            Some(holder) if holder.is_gone => {
                self.undecided.push((pid, opened, at));
                None
            }
            Some(holder) if holder.pid != pid => Some(gave_up(pid, opened, at)),
            known => {
                let acquired = known.map_or_else(|| self.acquired(opened), |holder| holder.since);
                Some(self.let_go(pid, opened, acquired, at))
            }
        }
    }

    /// Takes a look, after which no event was waiting. `is_gone`: whether a process has ended. Returns turns of which it is
    /// known only now how they ended.
    pub fn look(&mut self, present: &Present, is_gone: impl Fn(u32) -> bool) -> Vec<Turn> {
        let same = self.holder.map(|holder| holder.pid) == present.holder;
        let undecided = std::mem::take(&mut self.undecided);
        // One of them let go of the lock, if that is free or another's now: the first to come. Who closed before it gave up, and
        // who closed after it had its turn.
        let first = undecided.iter().enumerate().min_by_key(|(_, (_, opened, _))| *opened);
        let first = first.filter(|_| !same).map_or(usize::MAX, |(index, _)| index);
        let mut turns = Vec::new();
        for (index, (pid, opened, at)) in undecided.into_iter().enumerate() {
            turns.push(match index < first {
                true => gave_up(pid, opened, at),
                false => self.let_go(pid, opened, self.acquired(opened), at),
            });
        }
        let there = present.waiting.iter().chain(&present.holder).filter(|&&pid| !is_gone(pid));
        for &pid in there {
            self.open.entry(pid).or_insert(None);
        }
        if !same {
            self.holder = present.holder.map(|pid| {
                let opened = self.open.get(&pid).copied().flatten();
                Holder { pid, since: self.acquired(opened), is_gone: is_gone(pid) }
            });
        }
        turns
    }

    fn let_go(&mut self, pid: u32, opened: Option<u64>, acquired: u64, at: u64) -> Turn {
        (self.holder, self.free_since) = (None, at);
        let wait = opened.map(|opened| acquired.saturating_sub(opened));
        Turn { pid, ended: at, wait, hold: Some(at.saturating_sub(acquired)) }
    }

    /// Who holds the lock, and since when.
    pub fn holder(&self) -> Option<(u32, u64)> {
        self.holder.map(|holder| (holder.pid, holder.since))
    }

    /// Who waits, and since when; `None`: since before the watch.
    pub fn waiting(&self) -> impl Iterator<Item = (u32, Option<u64>)> {
        let holder = self.holder.map(|holder| holder.pid);
        self.open.iter().map(|(&pid, &since)| (pid, since)).filter(move |(pid, _)| Some(*pid) != holder)
    }

    fn acquired(&self, opened: Option<u64>) -> u64 {
        opened.unwrap_or(0).max(self.free_since)
    }
}

fn gave_up(pid: u32, opened: Option<u64>, at: u64) -> Turn {
    Turn { pid, ended: at, wait: opened.map(|opened| at.saturating_sub(opened)), hold: None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(at: u64, pid: u32) -> Event {
        Event { at, pid, kind: Kind::Open }
    }

    fn close(at: u64, pid: u32) -> Event {
        Event { at, pid, kind: Kind::Close }
    }

    fn held(holder: u32, waiting: &[u32]) -> Present {
        Present { holder: Some(holder), waiting: waiting.to_vec() }
    }

    #[test]
    fn who_closes_while_another_holds_gave_up() {
        let mut queue = Queue::default();
        queue.event(&open(10, 1));
        queue.look(&held(1, &[]), |_| false);
        queue.event(&open(20, 2));
        queue.event(&open(30, 3));
        assert_eq!(queue.waiting().collect::<Vec<_>>(), [(2, Some(20)), (3, Some(30))]);
        let turn = |pid, ended, wait, hold| Some(Turn { pid, ended, wait: Some(wait), hold });
        assert_eq!(queue.event(&close(50, 2)), turn(2, 50, 30, None));
        assert_eq!(queue.event(&close(60, 1)), turn(1, 60, 0, Some(50)));
        // Nobody looked meanwhile: 3 had it since 1 let go.
        assert_eq!(queue.event(&close(65, 3)), turn(3, 65, 30, Some(5)));
    }

    #[test]
    fn who_was_there_before_is_known_by_looking() {
        let mut queue = Queue::default();
        queue.look(&held(1, &[2]), |_| false);
        assert_eq!(queue.holder(), Some((1, 0)));
        assert_eq!(queue.waiting().collect::<Vec<_>>(), [(2, None)]);
        assert_eq!(queue.event(&close(9, 1)), Some(Turn { pid: 1, ended: 9, wait: None, hold: Some(9) }));
        assert_eq!(queue.event(&close(12, 2)), Some(Turn { pid: 2, ended: 12, wait: None, hold: Some(3) }));
        assert_eq!(queue.event(&close(13, 7)), None, "never seen");
    }

    #[test]
    fn a_shell_lets_go_of_what_its_child_has_locked() {
        let mut queue = Queue::default();
        queue.event(&open(5, 1));
        // 99 was `flock 9`.
        let gone = |pid| pid == 99;
        assert_eq!(queue.look(&held(99, &[]), gone), []);
        queue.event(&open(10, 2));
        assert_eq!(queue.event(&close(30, 2)), None);
        let turn = |pid, ended, wait, hold| Turn { pid, ended, wait: Some(wait), hold };
        assert_eq!(queue.look(&held(99, &[]), gone), [turn(2, 30, 20, None)]);
        assert_eq!(queue.event(&close(50, 1)), None);
        assert_eq!(queue.look(&Present::default(), gone), [turn(1, 50, 0, Some(45))]);
        queue.event(&open(60, 3));
        assert_eq!(queue.event(&close(61, 3)), Some(turn(3, 61, 0, Some(1))));
        // The next has it and lets go before anybody looks.
        queue.event(&open(70, 1));
        queue.look(&held(99, &[]), gone);
        for event in [open(71, 2), open(72, 3), close(75, 3), close(80, 1), close(85, 2)] {
            assert_eq!(queue.event(&event), None);
        }
        let all = [turn(3, 75, 3, None), turn(1, 80, 0, Some(10)), turn(2, 85, 9, Some(5))];
        assert_eq!(queue.look(&Present::default(), gone), all);
    }

    proptest! {
        /// A lock with a random queue, in which some give up, looked at after every event: all turns are found again.
        #[test]
        fn a_simulated_lock_is_reported_as_it_was(
            processes in prop::collection::vec((0..1000_u64, 1..50_u64, 1..120_u64, any::<u32>()), 1..40)
        ) {
            // Process, opening, hold, patience, luck.
            let mut left: Vec<(u32, u64, u64, u64, u32)> = processes
                .iter()
                .enumerate()
                .map(|(pid, &(at, hold, patience, luck))| (pid as u32 + 1, at, hold, patience, luck))
                .collect();
            let mut events = Vec::new();
            let mut holds: Vec<(u32, u64, u64)> = Vec::new();
            let mut truth = Vec::new();
            let mut now = 0;
            while !left.is_empty() {
                let ready = left.iter().filter(|p| p.1 <= now && p.1 + p.3 > now).max_by_key(|p| p.4).copied();
                let Some((pid, at, hold, ..)) = ready else {
                    // Whoever has lost patience by now is gone; else time goes on to the next opening.
                    left.retain(|p| {
                        let gone = p.1 <= now;
                        if gone {
                            truth.push(Turn { pid: p.0, ended: p.1 + p.3, wait: Some(p.3), hold: None });
                            events.extend([open(p.1, p.0), close(p.1 + p.3, p.0)]);
                        }
                        !gone
                    });
                    if let Some(next) = left.iter().map(|p| p.1).min() {
                        now = now.max(next);
                    }
                    continue;
                };
                left.retain(|p| p.0 != pid);
                truth.push(Turn { pid, ended: now + hold, wait: Some(now - at), hold: Some(hold) });
                events.extend([open(at, pid), close(now + hold, pid)]);
                holds.push((pid, now, now + hold));
                now += hold;
            }
            // Who loses patience at the moment when the holder lets go has lost it.
            let lets_go = |event: &Event| holds.iter().any(|h| event.kind == Kind::Close && h.0 == event.pid);
            events.sort_by_key(|event| (event.at, lets_go(event)));
            truth.sort_by_key(|turn| turn.pid);
            let mut queue = Queue::default();
            let mut found = Vec::new();
            for (index, event) in events.iter().enumerate() {
                found.extend(queue.event(event));
                // A look shows what is so before the next event.
                if events.get(index + 1).is_some_and(|next| next.at == event.at) {
                    continue;
                }
                let holder = holds.iter().find(|h| h.1 <= event.at && event.at < h.2).map(|h| h.0);
                let late = queue.look(&Present { holder, waiting: Vec::new() }, |_| false);
                prop_assert!(late.is_empty());
            }
            found.sort_by_key(|turn| turn.pid);
            prop_assert_eq!(found, truth);
        }
    }
}
