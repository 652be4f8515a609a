//! What the process itself costs, and what the programs that it has started cost together; from `/proc`.

use std::fs;
use std::io;

use lab::usage::Peak;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// Processor time since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the process, all its threads, nanoseconds: what the scheduler gave it; exact.
    pub cpu_ns: u64,
    /// Of that in the program, nanoseconds, in steps of a tick, 10 ms. Most kernels look once per tick where a thread is, so
    /// the split is a sample, and only the sum is exact (cputime_adjust in kernel/sched/cputime.c).
    pub user_ns: u64,
    /// In the kernel; as `user_ns`.
    pub system_ns: u64,
    /// In the programs that it has started and that have ended, nanoseconds, in steps of a tick; as `user_ns`.
    pub programs_user_ns: u64,
    /// As `programs_user_ns`.
    pub programs_system_ns: u64,
    /// Most memory that the process had in use so far, bytes.
    pub peak_rss: u64,
}

impl Usage {
    /// Of a process that has not been waited for; `None` if there is none.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let ticks = ticks(&String::from_utf8_lossy(&stat))?;
        let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
        let [user, system, programs_user, programs_system] =
            ticks.map(|ticks| ticks.saturating_mul(1_000_000_000_u64.checked_div(per_second).unwrap_or(0)));
        let mut peak = Peak::of(pid);
        peak.look();
        Some(Self {
            cpu_ns: cpu_ns(pid)?,
            user_ns: user,
            system_ns: system,
            programs_user_ns: programs_user,
            programs_system_ns: programs_system,
            // One that has ended and waits to be waited for has none any more.
            peak_rss: peak.bytes().unwrap_or(0),
        })
    }

    /// What was used since an earlier look; the peak is that of the whole time.
    pub fn since(&self, before: &Usage) -> Usage {
        Usage {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            user_ns: self.user_ns.saturating_sub(before.user_ns),
            system_ns: self.system_ns.saturating_sub(before.system_ns),
            programs_user_ns: self.programs_user_ns.saturating_sub(before.programs_user_ns),
            programs_system_ns: self.programs_system_ns.saturating_sub(before.programs_system_ns),
            peak_rss: self.peak_rss.max(before.peak_rss),
        }
    }
}

/// Has the peak of memory begin anew, with what is in use now (proc_pid_clear_refs(5)).
///
/// # Errors
/// If there is no such process, or it belongs to somebody else.
pub fn forget_peak(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// The clock of a process: it counts what the scheduler gives to all its threads, of those that have ended too.
fn cpu_ns(pid: u32) -> Option<u64> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    let time = clock_gettime(clock).ok()?;
    u64::try_from(time.tv_sec())
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(u64::try_from(time.tv_nsec()).ok()?)
}

/// `utime`, `stime`, `cutime` and `cstime` of a `/proc/PID/stat` (proc_pid_stat(5)); the name may hold brackets.
fn ticks(stat: &str) -> Option<[u64; 4]> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let at = |field: usize| fields.get(field - 3)?.parse().ok();
    Some([at(14)?, at(15)?, at(16)?, at(17)?])
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let stat = "4711 (a) b) S 1 4711 4711 0 -1 4194304 100 0 0 0 7 8 9 10 20 0 1 0 100 0 0";
        assert_eq!(ticks(stat), Some([7, 8, 9, 10]));
        assert_eq!(ticks("4711 (a) S 1"), None);
    }

    #[test]
    fn this_process_and_its_programs_are_seen() {
        let own = std::process::id();
        let before = Usage::of(own).unwrap();
        let begun = Instant::now();
        // Until the clock says so: others may have the cores.
        while Usage::of(own).unwrap().since(&before).cpu_ns < 50_000_000 && begun.elapsed().as_secs() < 120 {
            std::hint::black_box(begun);
        }
        let burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        Command::new("sh").args(["-c", burn]).status().unwrap();
        let used = Usage::of(own).unwrap().since(&before);
        assert!(used.cpu_ns >= 50_000_000 && used.peak_rss > 1 << 20, "{used:?}");
        assert!(used.programs_user_ns + used.programs_system_ns > 0, "{used:?}");
        assert_eq!(Usage::of(u32::MAX), None);
        assert!(forget_peak(u32::MAX).is_err());
    }

    #[test]
    fn a_peak_that_is_forgotten_begins_anew() {
        // In a process of its own, as tests share one.
        let script = "x=$(head -c 60000000 /dev/zero | tr '\\0' x); x=; echo done; read -r _";
        let mut bash = Command::new("bash");
        let mut child =
            bash.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let before = Usage::of(child.id()).unwrap().peak_rss;
        forget_peak(child.id()).unwrap();
        let after = Usage::of(child.id()).unwrap().peak_rss;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(before > 50 << 20 && after < before, "{before} {after}");
    }

    proptest! {
        #[test]
        fn any_stat_is_read(text in "\\PC{0,200}", fields in prop::collection::vec("[0-9-]{1,24}", 0..60)) {
            let _ = ticks(&text);
            let _ = ticks(&format!("1 (x) S {}", fields.join(" ")));
        }
    }
}
