//! Whether the kernel stayed well while something was measured.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

/// Messages after which a figure is worth nothing, as parts of kernel log lines.
const PROBLEMS: [&str; 5] =
    ["soft lockup", "rcu_sched", "rcu_preempt", "Out of memory", "nf_conntrack: table full"];

/// Follows the kernel log from where it is opened. Without the right to read it, it sees nothing.
pub struct KernelLog {
    log: Option<File>,
}

impl KernelLog {
    /// Starts to follow.
    pub fn watch() -> Self {
        let flags = nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC;
        let log = OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg").ok();
        let mut kernel_log = Self { log };
        // The log begins with what was there before.
        kernel_log.problem();
        kernel_log
    }

    /// Whether the log is readable.
    pub fn is_readable(&self) -> bool {
        self.log.is_some()
    }

    /// The first bad message since the last call.
    pub fn problem(&mut self) -> Option<String> {
        let log = self.log.as_mut()?;
        let mut first = None;
        // Each read returns one record (Documentation/ABI/testing/dev-kmsg).
        let mut record = [0; 8192];
        loop {
            match log.read(&mut record) {
                Ok(0) => return first,
                Ok(length) => {
                    let text = String::from_utf8_lossy(&record[..length]);
                    let message = text.split_once(';').map_or(&*text, |(_, message)| message).trim();
                    if first.is_none() && PROBLEMS.iter().any(|ill| message.contains(ill)) {
                        first = Some(message.lines().next().unwrap_or_default().to_owned());
                    }
                }
                // EPIPE: records were overwritten before they were read; go on with the next.
                Err(error) if error.raw_os_error() == Some(nix::libc::EPIPE) => {}
                Err(_) => return first,
            }
        }
    }
}
