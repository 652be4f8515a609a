//! The xtables lock: who waits for it, how long, and who holds it how long.
//!
//! iptables-legacy guards the kernel's read-modify-write of a table with flock(2) on `/run/xtables.lock`
//! (iptables/xshared.c). The programs are the real ones and are not slowed: fanotify(7) reports when a
//! process opens and closes the lock file. A process opens it immediately before it queues for the lock
//! and closes it to let go. As one process holds the lock at a time, the one that closes next after a
//! release has held it since that release, or since its own opening if that came later:
//!
//! * wait = acquisition - opening
//! * hold = closing - acquisition
//! * acquisition = the later of its opening and the closing of the previous holder
//!
//! A process that gave up (exit code 4) never held the lock in its last interval.

mod acquisition;
mod contenders;
mod events;
pub mod follow;
mod order;
pub mod present;
pub mod process;
pub mod queue;
mod stamped;

pub use self::acquisition::{Acquisition, Event, Kind, LOCK_FILE, acquisitions};
pub use self::contenders::{Contenders, Operation};
pub use self::events::{Events, Watch, WatchError};
pub use self::order::overtaken;
