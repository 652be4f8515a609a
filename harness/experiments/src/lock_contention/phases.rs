//! The parts of a restore, as far as the lock shows them: until it asks for the lock, waiting for it, holding it, the rest.

use lab::xtables_lock::Acquisition;

/// A restore that has ended. Nanoseconds since the watch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restore {
    /// Its process.
    pub pid: u32,
    /// When the program was about to be started.
    pub from: u64,
    /// When it had ended.
    pub until: u64,
}

/// The parts of one restore, nanoseconds; together they are all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phases {
    /// From before the program is started until it asks for the lock: it is loaded, and reads up to its first table.
    pub spawn: u64,
    /// Waiting for the lock, all tables together.
    pub lock_wait: u64,
    /// Holding it: a table is fetched from the kernel, parsed and committed (`iptables_restore_main`,
    /// iptables/iptables-restore.c, takes the lock at the name of a table and gives it back at its COMMIT). Where parsing ends
    /// and the commit begins cannot be seen.
    pub hold: u64,
    /// What is left: between tables, and until it has ended.
    pub reply: u64,
}

impl Phases {
    /// Of a restore among all acquisitions; `None` if it never had the lock.
    pub fn of(restore: &Restore, acquisitions: &[Acquisition]) -> Option<Phases> {
        let own = || acquisitions.iter().filter(|one| one.pid == restore.pid && one.hold.is_some());
        let asked = own().map(|one| one.began).min()?;
        let total = restore.until.saturating_sub(restore.from);
        // Events are seen a little late, so that parts are cut to what there is.
        let spawn = asked.saturating_sub(restore.from).min(total);
        let sum = |part: fn(&Acquisition) -> u64| own().map(part).fold(0, u64::saturating_add);
        let lock_wait = sum(|one| one.wait).min(total - spawn);
        let hold = sum(|one| one.hold.unwrap_or(0)).min(total - spawn - lock_wait);
        Some(Phases { spawn, lock_wait, hold, reply: total - spawn - lock_wait - hold })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_are_found_by_the_lock() {
        let restore = Restore { pid: 7, from: 100, until: 1_000 };
        let of = |pid, began, wait, hold| Acquisition { pid, began, wait, hold };
        // Two tables, and somebody else.
        let all = [of(7, 130, 20, Some(300)), of(9, 131, 400, Some(5)), of(7, 460, 5, Some(400))];
        assert_eq!(
            Phases::of(&restore, &all),
            Some(Phases { spawn: 30, lock_wait: 25, hold: 700, reply: 145 })
        );
        assert_eq!(Phases::of(&restore, &[of(7, 130, 20, None)]), None, "it gave up");
        assert_eq!(Phases::of(&Restore { pid: 8, ..restore }, &all), None);
    }

    proptest! {
        #[test]
        fn parts_are_the_whole(
            from: u32, length: u32,
            own in prop::collection::vec((any::<u32>(), any::<u32>(), any::<Option<u32>>()), 0..5),
        ) {
            let restore = Restore { pid: 1, from: from.into(), until: u64::from(from) + u64::from(length) };
            let of = |&(began, wait, hold): &(u32, u32, Option<u32>)| Acquisition {
                pid: 1, began: began.into(), wait: wait.into(), hold: hold.map(u64::from),
            };
            let all: Vec<Acquisition> = own.iter().map(of).collect();
            if let Some(Phases { spawn, lock_wait, hold, reply }) = Phases::of(&restore, &all) {
                prop_assert_eq!(spawn + lock_wait + hold + reply, u64::from(length));
            }
        }
    }
}
