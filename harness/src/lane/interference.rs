//! What disturbed the measuring core during a block: `blocks.csv`, one line per block of lookups.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Name of the file in a run's folder.
pub(super) const BLOCKS: &str = "blocks.csv";

const HEADER: &str = "block,core,seconds,interrupts,steal_ticks\n";

/// Counters of one core at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counters {
    interrupts: u64,
    steal_ticks: u64,
}

/// Watches one core, block by block.
pub(super) struct Interference {
    path: PathBuf,
    core: usize,
    block: Option<(u32, Instant, Option<Counters>)>,
}

impl Interference {
    /// For a run's folder and the core that measures.
    pub(super) fn new(folder: &Path, core: usize) -> Self {
        Self { path: folder.join(BLOCKS), core, block: None }
    }

    /// Says which block the next cell belongs to; `None`: no block of lookups. Closes the one before.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn enter(&mut self, block: Option<u32>) -> io::Result<()> {
        if self.block.as_ref().map(|(block, ..)| *block) == block {
            return Ok(());
        }
        if let Some((block, since, Some(before))) = self.block.take()
            && let Some(after) = counters(self.core)
        {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            let header = if file.metadata()?.len() == 0 { HEADER } else { "" };
            let seconds = since.elapsed().as_secs_f64();
            let interrupts = after.interrupts.saturating_sub(before.interrupts);
            let steal = after.steal_ticks.saturating_sub(before.steal_ticks);
            file.write_all(
                format!("{header}{block},{},{seconds:.3},{interrupts},{steal}\n", self.core).as_bytes(),
            )?;
        }
        self.block = block.map(|block| (block, Instant::now(), counters(self.core)));
        Ok(())
    }
}

fn counters(core: usize) -> Option<Counters> {
    let interrupts = interrupts(&fs::read_to_string("/proc/interrupts").ok()?, core)?;
    let steal_ticks = steal(&fs::read_to_string("/proc/stat").ok()?, core)?;
    Some(Counters { interrupts, steal_ticks })
}

/// Sum of a core's column in /proc/interrupts.
fn interrupts(text: &str, core: usize) -> Option<u64> {
    let mut lines = text.lines();
    let column = lines.next()?.split_whitespace().position(|name| name == format!("CPU{core}"))?;
    Some(lines.filter_map(|line| line.split_whitespace().nth(column + 1)?.parse::<u64>().ok()).sum())
}

/// The eighth figure of a core's line in /proc/stat (proc_stat(5)).
fn steal(text: &str, core: usize) -> Option<u64> {
    let name = format!("cpu{core}");
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(&name))?;
    line.split_whitespace().nth(8)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cores_own_counters_are_read() {
        let text = "           CPU0       CPU1\n  0:         10          3   IO-APIC   2-edge  timer\nLOC:        100         50   Local\nERR:          0\n";
        assert_eq!(interrupts(text, 1), Some(53));
        assert_eq!(interrupts(text, 2), None);
        let text = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 0 0 0 0 0 0 0 5 0 0\ncpu1 0 0 0 0 0 0 0 6 0 0\n";
        assert_eq!(steal(text, 1), Some(6));
        assert_eq!(steal(text, 3), None);
    }

    #[test]
    fn each_block_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut interference = Interference::new(folder.path(), 0);
        for block in [Some(1), Some(1), Some(2), None, None] {
            interference.enter(block).unwrap();
        }
        let text = fs::read_to_string(folder.path().join(BLOCKS)).unwrap();
        let blocks: Vec<&str> = text.lines().map(|line| line.split(',').next().unwrap()).collect();
        assert_eq!(blocks, ["block", "1", "2"]);
    }
}
