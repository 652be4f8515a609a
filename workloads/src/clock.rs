//! The wall clock of all measurements, and the core they run on.
//!
//! The clock is `CLOCK_MONOTONIC`, which [`std::time::Instant`] reads through the vDSO: with the `tsc` clock
//! source a read is some 20 ns and no system call. With `hpet` or `acpi_pm` it is a system call and far
//! slower, which [`timer_overhead_ns`] then shows.

use std::hint::black_box;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Reads of the clock behind one figure of [`timer_overhead_ns`].
const READS: usize = 4096;

/// Why a thread could not be placed on a core.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum ClockError {
    /// The kernel would not tell which cores this thread may use.
    #[error("cannot read this thread's allowed cores: {0}")]
    ReadAffinity(nix::Error),
    /// The core does not exist, is offline, or is outside the cpuset of this process.
    #[error("cannot pin this thread to core {core}: {why}; see clock::allowed_cores() and the cpuset cgroup")]
    Pin {
        /// The core asked for.
        core: usize,
        /// What the kernel said.
        why: nix::Error,
    },
}

/// The span as integer nanoseconds; 584 years and more read as `u64::MAX`.
pub fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// What two successive reads of the clock cost, in nanoseconds: the median of 4,096 back-to-back pairs.
///
/// Every figure timed with this clock contains about this much. It is to be reported beside the figures and
/// never subtracted: a difference between two figures is free of it anyway.
pub fn timer_overhead_ns() -> u64 {
    let mut reads = [0; READS];
    // The first round warms the vDSO page and the branch predictor.
    for _ in 0..2 {
        for read in &mut reads {
            let began = Instant::now();
            *read = nanoseconds(black_box(began).elapsed());
        }
    }
    let (_, median, _) = reads.select_nth_unstable(READS / 2);
    *median
}

/// The cores that the calling thread may run on, in ascending order.
///
/// # Errors
/// [`ClockError::ReadAffinity`] if `sched_getaffinity(2)` fails, as on a machine with over 1,024 cores.
pub fn allowed_cores() -> Result<Vec<usize>, ClockError> {
    let set = sched_getaffinity(Pid::from_raw(0)).map_err(ClockError::ReadAffinity)?;
    Ok((0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false)).collect())
}

/// Pins the calling thread, and it alone, to one core.
///
/// # Errors
/// [`ClockError::Pin`] if the core is absent, offline or outside the process's cpuset.
pub fn pin_to_core(core: usize) -> Result<(), ClockError> {
    let pin = |why| ClockError::Pin { core, why };
    let mut set = CpuSet::new();
    set.set(core).map_err(pin)?;
    sched_setaffinity(Pid::from_raw(0), &set).map_err(pin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_the_clock_costs_something_but_not_much() {
        let overhead = timer_overhead_ns();
        assert!((1..100_000).contains(&overhead), "{overhead} ns");
    }

    #[test]
    fn a_pinned_thread_may_run_on_its_core_only() {
        let core = *allowed_cores().unwrap().last().unwrap();
        // On a thread of its own: an affinity would stay with the test runner's thread.
        let allowed = std::thread::spawn(move || {
            pin_to_core(core).unwrap();
            allowed_cores().unwrap()
        });
        assert_eq!(allowed.join().unwrap(), [core]);
    }

    #[test]
    fn an_absent_core_is_refused_by_name() {
        for core in [CpuSet::count() - 1, CpuSet::count()] {
            let refused = pin_to_core(core).unwrap_err();
            assert!(refused.to_string().contains(&format!("core {core}")), "{refused}");
        }
    }

    #[test]
    fn an_age_is_still_a_number() {
        assert_eq!(nanoseconds(Duration::from_micros(3)), 3_000);
        assert_eq!(nanoseconds(Duration::MAX), u64::MAX);
    }
}
