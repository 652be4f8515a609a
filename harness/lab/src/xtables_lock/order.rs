//! Whether whoever comes first is served first.
//!
//! Nobody promises that: a release wakes all that wait in flock(2) (`__locks_wake_up_blocks`, fs/locks.c), and the first of them
//! to run again takes the lock, or somebody who has only just come.

use super::acquisition::Acquisition;

/// How many acquisitions were overtaken: somebody who began to wait later got the lock earlier. `acquisitions` are in the order
/// of release, as [`acquisitions`](super::acquisition::acquisitions) gives them, which is the order in which the lock was got. Who gave up
/// neither overtakes nor is counted.
pub fn overtaken(acquisitions: &[Acquisition]) -> u64 {
    let mut latest = 0;
    let mut overtaken = 0;
    for acquisition in acquisitions.iter().filter(|acquisition| acquisition.hold.is_some()) {
        overtaken += u64::from(acquisition.began < latest);
        latest = latest.max(acquisition.began);
    }
    overtaken
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::xtables_lock::acquisition::{Event, Kind, acquisitions};

    fn held(pid: u32, began: u64, acquired: u64, hold: u64) -> Acquisition {
        Acquisition { pid, began, wait: acquired - began, hold: Some(hold) }
    }

    #[test]
    fn who_came_first_and_was_served_later_was_overtaken() {
        // 1 holds from 0 to 10; 2, 3 and 4 come at 2, 3 and 4 and are served 4, 2, 3.
        let served = [held(1, 0, 0, 10), held(4, 4, 10, 5), held(2, 2, 15, 5), held(3, 3, 20, 5)];
        assert_eq!(overtaken(&served), 2);
        let in_order = [held(1, 0, 0, 10), held(2, 2, 10, 5), held(3, 3, 15, 5), held(4, 4, 20, 5)];
        assert_eq!(overtaken(&in_order), 0);
        assert_eq!(overtaken(&[]), 0);
    }

    #[test]
    fn who_came_at_the_same_moment_overtook_nobody() {
        assert_eq!(overtaken(&[held(1, 0, 0, 10), held(3, 2, 10, 5), held(2, 2, 15, 5)]), 0);
    }

    #[test]
    fn who_gave_up_neither_overtakes_nor_is_overtaken() {
        let gave_up = |pid, began| Acquisition { pid, began, wait: 5, hold: None };
        assert_eq!(overtaken(&[gave_up(9, 7), held(1, 0, 0, 20), gave_up(2, 1), held(3, 3, 20, 1)]), 0);
    }

    proptest! {
        /// The same by definition: pair by pair, over waits and moments of a lock with a random queue.
        #[test]
        fn it_is_what_a_look_at_every_pair_finds(
            processes in prop::collection::vec((0..200_u64, 1..20_u64, any::<u32>()), 1..40)
        ) {
            let mut waiting: Vec<(u32, u64, u64, u32)> =
                (1..).zip(&processes).map(|(pid, &(at, hold, luck))| (pid, at, hold, luck)).collect();
            let (mut events, mut now) = (Vec::new(), 0);
            while !waiting.is_empty() {
                let ready = waiting.iter().filter(|w| w.1 <= now).max_by_key(|w| w.3).copied();
                let (pid, at, hold, _) =
                    ready.or_else(|| waiting.iter().min_by_key(|w| (w.1, w.0)).copied()).unwrap();
                waiting.retain(|w| w.0 != pid);
                now = at.max(now) + hold;
                events.extend([
                    Event { at, pid, kind: Kind::Open },
                    Event { at: now, pid, kind: Kind::Close },
                ]);
            }
            events.sort_by_key(|event| event.at);
            let all = acquisitions(&events, &HashSet::new());
            let was = |a: &Acquisition| {
                all.iter().any(|b| b.began > a.began && b.began + b.wait < a.began + a.wait)
            };
            prop_assert_eq!(overtaken(&all), all.iter().filter(|a| was(a)).count() as u64);
        }

        /// First come, first served: nobody is overtaken.
        #[test]
        fn a_fair_lock_overtakes_nobody(
            mut processes in prop::collection::vec((0..200_u64, 0..20_u64), 0..40)
        ) {
            processes.sort_unstable();
            let mut free = 0;
            let served: Vec<_> = (1..)
                .zip(processes)
                .map(|(pid, (at, hold))| {
                    let acquired = free.max(at);
                    free = acquired + hold;
                    held(pid, at, acquired, hold)
                })
                .collect();
            prop_assert_eq!(overtaken(&served), 0);
        }
    }
}
