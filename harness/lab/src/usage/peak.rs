//! How much memory a program has in use at most: `VmHWM` of `/proc/PID/status`, looked at while it runs.
//!
//! What the kernel tells when a program has ended is no use here: `ru_maxrss` of wait4(2) and getrusage(2) takes over the peak
//! of the process that started the program (`exec_mmap`, fs/exec.c), so `true`, started by a process of 300 MB, is said to have
//! had 300 MB. And a program that has ended has no `VmHWM` any more. So it is read now and then, less and less often: it
//! never falls, and what is missed is what a program came to need after the last look.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::memory::bytes;

/// Before the first look; the time doubles with each.
const FIRST: Duration = Duration::from_millis(1);
/// Longest time between two looks.
const LONGEST: Duration = Duration::from_millis(50);

/// Watches one program. It is looked at when half its life is over at the latest, and 50 ms before its end.
pub struct Peak {
    status: PathBuf,
    pause: Duration,
    bytes: Option<u64>,
}

impl Peak {
    /// Of a process that this one has started and not yet waited for.
    pub fn of(pid: u32) -> Self {
        Self { status: format!("/proc/{pid}/status").into(), pause: FIRST, bytes: None }
    }

    /// How long to wait until the next look.
    pub const fn pause(&self) -> Duration {
        self.pause
    }

    /// Looks. It takes some 20 us, of this process.
    pub fn look(&mut self) {
        self.pause = (self.pause * 2).min(LONGEST);
        // The name of a process may be any bytes.
        let status = fs::read(&self.status).unwrap_or_default();
        self.bytes = self.bytes.max(high_water(&String::from_utf8_lossy(&status)));
    }

    /// The most that was seen, bytes; since Linux 6.2 a few hundred KiB off on machines of many cores, which count for
    /// themselves. `None` if it has not been seen alive.
    pub const fn bytes(&self) -> Option<u64> {
        self.bytes
    }
}

/// The peak in a `/proc/PID/status`; a program that has ended has none.
fn high_water(status: &str) -> Option<u64> {
    bytes(status, "VmHWM")
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_peak_is_read_and_the_dead_have_none() {
        assert_eq!(high_water("Name:\tnft\nVmPeak:\t   9000 kB\nVmHWM:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(high_water("Name:\tnft\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn a_program_is_seen_and_its_parent_is_not() {
        // What this process has had itself.
        let ours = vec![1_u8; 64 << 20];
        let mut child = Command::new("sleep").arg("3600").stdout(Stdio::null()).spawn().unwrap();
        let mut peak = Peak::of(child.id());
        assert_eq!(peak.bytes(), None);
        let begun = Instant::now();
        // At first it is a page or two.
        while peak.bytes().is_none_or(|seen| seen < 100_000) && begun.elapsed().as_secs() < 120 {
            std::thread::sleep(peak.pause());
            peak.look();
        }
        let seen = peak.bytes().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!((100_000..32 << 20).contains(&seen), "{seen}");
        peak.look();
        assert_eq!(peak.bytes(), Some(seen), "it is kept");
        std::hint::black_box(ours);
    }

    #[test]
    fn looks_are_ever_further_apart() {
        let mut peak = Peak::of(u32::MAX);
        let pauses: Vec<u128> = (0..8)
            .map(|_| {
                let pause = peak.pause().as_millis();
                peak.look();
                pause
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 50, 50]);
        assert_eq!(peak.bytes(), None);
    }

    proptest! {
        #[test]
        fn anything_is_read(text in "\\PC{0,200}", figure in "[0-9kB \\t]{0,30}") {
            let _ = (high_water(&text), high_water(&format!("VmHWM:{figure}")));
        }
    }
}
