//! Which core measures, and keeping the rest off it.

use anyhow::Context;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use workloads::clock::{allowed_cores, pin_to_core};

/// The cores of a run.
#[derive(Clone, Debug)]
pub struct Cores {
    /// Where packets and transactions are timed.
    pub measuring: usize,
    /// Where the server runs: another one, if there is one.
    pub serving: usize,
    allowed: Vec<usize>,
}

impl Cores {
    /// The measuring thread takes the last core that this process may use: interrupts tend to be served by
    /// the first.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn choose() -> anyhow::Result<Self> {
        let allowed = allowed_cores()?;
        let measuring = *allowed.last().context("this process may run on no core at all")?;
        Ok(Self { measuring, serving: allowed[0], allowed })
    }

    /// Where the `index`th thread of a client runs: the first on the measuring core, others on those before it.
    pub fn for_client(&self, index: usize) -> usize {
        self.allowed[self.allowed.len() - 1 - index % self.allowed.len()]
    }

    /// Where the `index`th thread of a server runs: the first on the serving core, others on those behind it.
    pub fn for_server(&self, index: usize) -> usize {
        self.allowed[index % self.allowed.len()]
    }

    /// Where kube-proxy's programs run beside a load: on a core of their own if there are three, else on the server's.
    pub fn for_sync(&self) -> usize {
        match self.allowed.len() {
            0..=2 => self.serving,
            _ => self.allowed[1],
        }
    }

    /// Lets the calling thread run wherever this process may.
    pub fn unpin(&self) {
        let mut all = CpuSet::new();
        for &core in &self.allowed {
            // Only fails for numbers beyond the set, which the system did not give.
            let _ = all.set(core);
        }
        // Should it fail, the thread stays where it is: slower, not wrong.
        let _ = sched_setaffinity(Pid::from_raw(0), &all);
    }

    /// Pins the calling thread to the measuring core until the guard is dropped. Threads and programs
    /// inherit the affinity of whoever starts them, so only the timing itself is done under it.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn pinned(&self) -> anyhow::Result<Pinned<'_>> {
        pin_to_core(self.measuring)?;
        Ok(Pinned { cores: self })
    }
}

/// The calling thread is on the measuring core as long as this lives.
#[must_use]
pub struct Pinned<'a> {
    cores: &'a Cores,
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        self.cores.unpin();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_comes_back_from_the_measuring_core() {
        let cores = Cores::choose().unwrap();
        let pinned = cores.pinned().unwrap();
        assert_eq!(allowed_cores().unwrap(), [cores.measuring]);
        drop(pinned);
        assert_eq!(allowed_cores().unwrap(), cores.allowed);
    }
}
