//! What processes used, as the kernel says when they end (include/uapi/linux/taskstats.h).

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;

use netlink_sys::protocols::NETLINK_GENERIC;

use super::inbox::{Inbox, is_loss};
use crate::netlink::Requester;
use crate::netlink::generic::{GENERIC_HEADER, family};
use crate::netlink::message::{Content, Malformed, Writer, attributes, messages, text};

const TASKSTATS_CMD_GET: u8 = 1;
const TASKSTATS_CMD_ATTR_REGISTER_CPUMASK: u16 = 3;
const TASKSTATS_TYPE_STATS: u16 = 3;
const TASKSTATS_TYPE_AGGR_PID: u16 = 4;

/// `TASKSTATS_VERSION` of Linux 6.14 and 6.15: fields were put between the others, and moved to the end again in 6.16.
const MISPLACED: u16 = 15;

/// Where the fields of `struct taskstats` are; version 8 has them all, and later ones add at the end.
mod at {
    pub(super) const VERSION: usize = 0;
    pub(super) const EXIT_CODE: usize = 4;
    pub(super) const CPU_RUN_VIRTUAL: usize = 72;
    pub(super) const NAME: usize = 80;
    pub(super) const NAME_LENGTH: usize = 32;
    pub(super) const PID: usize = 128;
    pub(super) const USER: usize = 152;
    pub(super) const SYSTEM: usize = 160;
    pub(super) const PEAK_RSS: usize = 200;
    pub(super) const LENGTH: usize = 328;
}

/// What one process used until it ended; of a process with several threads, what one of them used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The process, or its thread, as the initial pid namespace numbers it.
    pub pid: u32,
    /// Name of the program: the first 15 bytes of its file's.
    pub name: String,
    /// As wait(2) has it: the exit code in bits 8 to 15, or the signal in bits 0 to 6.
    pub status: u32,
    /// Processor time that the scheduler gave it, nanoseconds; exact.
    pub cpu_ns: u64,
    /// Of that in the program, nanoseconds. Most kernels only look once per tick, so it is 0 for most short programs.
    pub user_ns: u64,
    /// In the kernel; as `user_ns`.
    pub system_ns: u64,
    /// Most memory that it had in use, bytes: its own, not that of the process it was a copy of.
    pub peak_rss: u64,
}

/// Told of every process of the machine that ends.
pub struct Accounts {
    inbox: Inbox,
}

impl Accounts {
    /// Listens from now on. Call it on a thread in the initial network namespace.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_ADMIN, `EINVAL` in another user or pid namespace, `ENOENT` in a kernel without
    /// `CONFIG_TASKSTATS`.
    pub fn listen() -> io::Result<Self> {
        let mut requester = Requester::open(NETLINK_GENERIC)?;
        let family = family(&mut requester, "TASKSTATS")?;
        let processors = fs::read_to_string("/sys/devices/system/cpu/possible")?;
        requester.ask(family, &request(processors.trim()))?;
        Ok(Self { inbox: Inbox::new(requester.into_socket()) })
    }

    /// Hands over all accounts until now, and says whether some were lost.
    ///
    /// # Errors
    /// If the socket breaks or the kernel sends what is no account.
    pub fn read(&mut self, mut take: impl FnMut(Account)) -> io::Result<bool> {
        let mut lost = false;
        loop {
            match self.inbox.next() {
                Ok(None) => return Ok(lost),
                Ok(Some(datagram)) => {
                    for message in messages(datagram) {
                        if let Content::Data { body, .. } = message?.content()? {
                            accounts(body, &mut take)?;
                        }
                    }
                }
                Err(error) if is_loss(&error) => lost = true,
                Err(error) => return Err(error),
            }
        }
    }

    /// For poll(2): readable when there are accounts.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inbox.fd()
    }
}

fn request(processors: &str) -> Vec<u8> {
    let mut buffer = Vec::new();
    let mut writer = Writer::start(&mut buffer, 0, 0, 0);
    writer.raw(&[TASKSTATS_CMD_GET, 1, 0, 0]);
    writer.attribute(TASKSTATS_CMD_ATTR_REGISTER_CPUMASK, &[processors.as_bytes(), &[0]].concat());
    writer.finish();
    buffer.split_off(crate::netlink::message::HEADER)
}

/// Those of single threads; a sum over the threads of a process has no peak.
fn accounts(body: &[u8], take: &mut impl FnMut(Account)) -> Result<(), Malformed> {
    for outer in attributes(body.get(GENERIC_HEADER..).unwrap_or_default()) {
        let (TASKSTATS_TYPE_AGGR_PID, nested) = outer? else { continue };
        for inner in attributes(nested) {
            if let (TASKSTATS_TYPE_STATS, stats) = inner?
                && let Some(account) = account(stats)?
            {
                take(account);
            }
        }
    }
    Ok(())
}

/// `None` if this kernel's fields are elsewhere.
fn account(stats: &[u8]) -> Result<Option<Account>, Malformed> {
    if stats.len() < at::LENGTH {
        return Err(Malformed(format!("a struct taskstats of {} bytes", stats.len())));
    }
    let long = |at: usize| stats[at..].first_chunk().copied().map(u64::from_ne_bytes).unwrap_or_default();
    let word = |at: usize| stats[at..].first_chunk().copied().map(u32::from_ne_bytes).unwrap_or_default();
    if word(at::VERSION) as u16 == MISPLACED {
        return Ok(None);
    }
    Ok(Some(Account {
        pid: word(at::PID),
        name: text(&stats[at::NAME..at::NAME + at::NAME_LENGTH]),
        status: word(at::EXIT_CODE),
        cpu_ns: long(at::CPU_RUN_VIRTUAL),
        // Microseconds.
        user_ns: long(at::USER).saturating_mul(1_000),
        system_ns: long(at::SYSTEM).saturating_mul(1_000),
        // KiB.
        peak_rss: long(at::PEAK_RSS).saturating_mul(1_024),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::message::HEADER;

    fn stats(version: u16) -> Vec<u8> {
        let mut stats = vec![0; at::LENGTH + 100];
        let mut put = |at: usize, bytes: &[u8]| stats[at..at + bytes.len()].copy_from_slice(bytes);
        put(at::VERSION, &version.to_ne_bytes());
        put(at::EXIT_CODE, &256_u32.to_ne_bytes());
        put(at::CPU_RUN_VIRTUAL, &1_234_567_u64.to_ne_bytes());
        put(at::NAME, b"iptables-restor");
        put(at::PID, &4711_u32.to_ne_bytes());
        put(at::SYSTEM, &4_000_u64.to_ne_bytes());
        put(at::PEAK_RSS, &2_048_u64.to_ne_bytes());
        stats
    }

    #[test]
    fn an_account_is_read_and_a_misplaced_one_is_not() {
        let expected = Account {
            pid: 4711,
            name: "iptables-restor".into(),
            status: 256,
            cpu_ns: 1_234_567,
            user_ns: 0,
            system_ns: 4_000_000,
            peak_rss: 2 << 20,
        };
        assert_eq!(account(&stats(14)), Ok(Some(expected.clone())));
        assert_eq!(account(&stats(16)), Ok(Some(expected.clone())));
        assert_eq!(account(&stats(MISPLACED)), Ok(None));
        assert!(account(&stats(14)[..300]).is_err());

        let mut buffer = Vec::new();
        let mut writer = Writer::start(&mut buffer, 30, 0, 0);
        writer.raw(&[2, 1, 0, 0]);
        writer.nest(TASKSTATS_TYPE_AGGR_PID, |inside| {
            inside.attribute(1, &4711_u32.to_ne_bytes());
            inside.attribute(TASKSTATS_TYPE_STATS, &stats(16));
        });
        writer.nest(5, |inside| inside.attribute(TASKSTATS_TYPE_STATS, &stats(16)));
        writer.finish();
        let mut taken = Vec::new();
        accounts(&buffer[HEADER..], &mut |account| taken.push(account)).unwrap();
        assert_eq!(taken, [expected], "the sum over threads is left out");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, stats in prop::collection::vec(any::<u8>(), 300..500)) {
            let _ = (account(&stats), accounts(&bytes, &mut |_| {}));
        }
    }
}
