//! What the kernel says of processes while they start and end, without ptrace, tracepoints or wrappers.
//!
//! * [`Events`]: forks, execs and exits of the whole machine, from the process connector (drivers/connector/cn_proc.c)
//! * [`Accounts`]: what each process used, sent when it ends (kernel/taskstats.c)
//!
//! Both are netlink sockets that the kernel fills; whoever is watched does nothing more than it does anyway. Both are
//! open to root of the machine alone: in the initial network, user and pid namespaces, with CAP_NET_ADMIN.

mod accounts;
mod events;
mod inbox;

pub use self::accounts::{Account, Accounts};
pub use self::events::{Event, Events, Happening};
