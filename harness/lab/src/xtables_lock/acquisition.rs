//! Waits and holds from what processes did to the lock file.

use std::collections::HashSet;

/// Path of the lock in every namespace with its own `/run`.
pub const LOCK_FILE: &str = "/run/xtables.lock";

/// Something that a process did to the lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since the watch began.
    pub at: u64,
    /// The process.
    pub pid: u32,
    /// Opened or closed.
    pub kind: Kind,
}

/// What an [`Event`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The file was opened: the process is about to queue.
    Open,
    /// It was closed: the process has let go, or has given up.
    Close,
}

/// One process's wait for the lock, and what came of it. Nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquisition {
    /// The process.
    pub pid: u32,
    /// When it began to wait, since the watch began.
    pub began: u64,
    /// How long it waited; in vain, if there is no hold.
    pub wait: u64,
    /// How long it held the lock; `None`: it gave up.
    pub hold: Option<u64>,
}

/// Waits and holds from the events of one watch, in the order of release. `gave_up`: processes that
/// ended without the lock. Their waits count: without them, an overloaded lock would look quick.
pub fn acquisitions(events: &[Event], gave_up: &HashSet<u32>) -> Vec<Acquisition> {
    let mut intervals = intervals(events);
    intervals.sort_by_key(|interval| interval.close);
    // The last interval of a process that gave up ended in vain.
    let vain: HashSet<usize> = gave_up
        .iter()
        .filter_map(|pid| intervals.iter().rposition(|interval| interval.pid == *pid))
        .collect();
    let mut free_since = 0;
    intervals
        .into_iter()
        .enumerate()
        .map(|(index, Interval { pid, open, close })| {
            if vain.contains(&index) {
                return Acquisition { pid, began: open, wait: close - open, hold: None };
            }
            let acquired = open.max(free_since);
            free_since = close;
            Acquisition { pid, began: open, wait: acquired - open, hold: Some(close - acquired) }
        })
        .collect()
}

#[derive(Clone, Copy)]
struct Interval {
    pid: u32,
    open: u64,
    close: u64,
}

fn intervals(events: &[Event]) -> Vec<Interval> {
    let mut open = std::collections::HashMap::new();
    let mut intervals = Vec::new();
    for event in events {
        match event.kind {
            Kind::Open => {
                open.insert(event.pid, event.at);
            }
            Kind::Close => {
                if let Some(opened) = open.remove(&event.pid) {
                    intervals.push(Interval { pid: event.pid, open: opened, close: event.at });
                }
            }
        }
    }
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(at: u64, pid: u32, kind: Kind) -> Event {
        Event { at, pid, kind }
    }

    #[test]
    fn waits_and_holds_follow_from_opens_and_closes() {
        use Kind::{Close, Open};
        // 1 holds from 0 to 10; 2 and 3 queue at 2 and 3; 3 is served first, then 2.
        let events = [
            event(0, 1, Open),
            event(2, 2, Open),
            event(3, 3, Open),
            event(10, 1, Close),
            event(14, 3, Close),
            event(20, 2, Close),
            event(30, 1, Open),
            event(31, 1, Close),
        ];
        let expected = [(1, 0, 0, 10), (3, 3, 7, 4), (2, 2, 12, 6), (1, 30, 0, 1)]
            .map(|(pid, began, wait, hold)| Acquisition { pid, began, wait, hold: Some(hold) });
        assert_eq!(acquisitions(&events, &HashSet::new()), expected);
    }

    #[test]
    fn who_gave_up_waited_and_held_nothing() {
        use Kind::{Close, Open};
        let events = [event(0, 1, Open), event(1, 2, Open), event(6, 2, Close), event(9, 1, Close)];
        let expected = [
            Acquisition { pid: 2, began: 1, wait: 5, hold: None },
            Acquisition { pid: 1, began: 0, wait: 0, hold: Some(9) },
        ];
        assert_eq!(acquisitions(&events, &HashSet::from([2])), expected);
    }

    proptest! {
        /// Simulates a lock with a random queue and finds every wait and hold again.
        #[test]
        fn a_simulated_lock_is_reconstructed(
            processes in prop::collection::vec((0..1000_u64, 1..50_u64, any::<u32>()), 1..40)
        ) {
            let mut waiting: Vec<(u32, u64, u64, u32)> = processes
                .iter()
                .enumerate()
                .map(|(pid, &(open, hold, luck))| (pid as u32, open, hold, luck))
                .collect();
            let (mut events, mut truth, mut now) = (Vec::new(), Vec::new(), 0);
            while !waiting.is_empty() {
                let ready = waiting.iter().filter(|w| w.1 <= now).max_by_key(|w| w.3).copied();
                let next = ready.or_else(|| waiting.iter().min_by_key(|w| (w.1, w.0)).copied()).unwrap();
                waiting.retain(|w| w.0 != next.0);
                let (pid, open, hold, _) = next;
                let acquired = open.max(now);
                now = acquired + hold;
                events.push(event(open, pid, Kind::Open));
                events.push(event(now, pid, Kind::Close));
                truth.push(Acquisition { pid, began: open, wait: acquired - open, hold: Some(hold) });
            }
            events.sort_by_key(|event| event.at);
            prop_assert_eq!(acquisitions(&events, &HashSet::new()), truth);
        }
    }
}
