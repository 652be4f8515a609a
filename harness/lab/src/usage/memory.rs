//! `/proc/meminfo`: what the kernel uses for itself (proc_meminfo(5)).

use std::fs;
use std::time::{Duration, Instant};

/// How long between two readings of a memory that may still change: longer than the grace period after which the kernel
/// frees what a transaction has replaced.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long rest is waited for; a machine that is busy for other reasons is not.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Change between two readings that counts as none, bytes.
const REST: u64 = 64 << 10;
/// Growth below which nothing is said, bytes: opening a namespace or a log costs as much.
pub(super) const LEAST_GROWTH: u64 = 256 << 10;

/// What the kernel uses for itself, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelMemory {
    /// `Slab`: all small objects, those that could be reclaimed included.
    pub slab: u64,
    /// `SUnreclaim`: the part of it that cannot: nftables' rules, chains and elements, IPVS's servers, connections.
    pub unreclaimable: u64,
    /// `VmallocUsed`: large tables, such as those of iptables-legacy, and the stacks. 0 before Linux 5.3.
    pub vmalloc: u64,
    /// `Percpu`, over all cores: counters of rules, statistics. 0 before Linux 4.20.
    pub percpu: u64,
    /// `KernelStack`.
    pub stacks: u64,
    /// `PageTables`, those of programs.
    pub page_tables: u64,
}

impl KernelMemory {
    /// As it is; `None` if the system does not tell.
    pub fn read() -> Option<Self> {
        // Each core keeps up to a few hundred KiB of changes to itself; reading this file has them all added up
        // (`vmstat_refresh`, mm/vmstat.c). Who may not waits a second for the same, and loses that much exactness.
        let _ = fs::read("/proc/sys/vm/stat_refresh");
        parse(&fs::read_to_string("/proc/meminfo").ok()?)
    }

    /// As it is once it no longer changes: what was removed is freed some time later. For two seconds at most.
    pub fn at_rest() -> Option<Self> {
        let begun = Instant::now();
        let mut last = Self::read()?;
        while begun.elapsed() < TIMEOUT {
            std::thread::sleep(POLL_INTERVAL);
            let before = std::mem::replace(&mut last, Self::read()?);
            if last.of_rules().abs_diff(before.of_rules()) < REST {
                break;
            }
        }
        Some(last)
    }

    /// The kinds of which rulesets and connection tables are made. What can be reclaimed, stacks and page tables come
    /// and go with files and programs.
    pub fn of_rules(&self) -> u64 {
        self.unreclaimable.saturating_add(self.vmalloc).saturating_add(self.percpu)
    }

    /// How much more of these kinds there is than `before`, bytes; `None` if it is less than 256 KiB, which may be anything.
    pub fn growth(&self, before: &Self) -> Option<u64> {
        self.of_rules().checked_sub(before.of_rules()).filter(|&growth| growth >= LEAST_GROWTH)
    }
}

/// What a kernel does not list is 0, but for slabs: without them it is no such file.
fn parse(text: &str) -> Option<KernelMemory> {
    let of = |name| bytes(text, name);
    Some(KernelMemory {
        slab: of("Slab")?,
        unreclaimable: of("SUnreclaim")?,
        vmalloc: of("VmallocUsed").unwrap_or(0),
        percpu: of("Percpu").unwrap_or(0),
        stacks: of("KernelStack").unwrap_or(0),
        page_tables: of("PageTables").unwrap_or(0),
    })
}

/// The figure of a line `name:  123 kB`, in which a kB is 1,024 bytes.
pub(super) fn bytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let mut words = rest.split_ascii_whitespace();
    let figure: u64 = words.next()?.parse().ok()?;
    (words.next() == Some("kB")).then(|| figure.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "\
MemTotal:       24683656 kB
KReclaimable:     336680 kB
Slab:                 90 kB
SReclaimable:         20 kB
SUnreclaim:           70 kB
KernelStack:           4 kB
PageTables:            5 kB
SecPageTables:         0 kB
VmallocTotal:   34359738367 kB
VmallocUsed:         300 kB
Percpu:               10 kB
HugePages_Total:       0
";

    #[test]
    fn each_kind_is_read_in_bytes() {
        let found = parse(TEXT).unwrap();
        let kinds = [found.slab, found.unreclaimable, found.vmalloc, found.percpu];
        assert_eq!(kinds.map(|kind| kind / 1024), [90, 70, 300, 10]);
        assert_eq!((found.stacks, found.page_tables), (4 << 10, 5 << 10));
        assert_eq!(found.of_rules(), 380 << 10);
        assert_eq!(bytes(TEXT, "HugePages_Total"), None, "not in bytes");
        assert_eq!(bytes(TEXT, "Vmalloc"), None);
        assert_eq!(parse("Percpu: 1 kB\n"), None);
        assert_eq!(parse("Slab: 2 kB\nSUnreclaim: 1 kB\n").map(|found| found.percpu), Some(0));
    }

    #[test]
    fn little_growth_and_shrinking_are_no_figures() {
        let before = KernelMemory { unreclaimable: 1 << 20, vmalloc: 1 << 20, ..KernelMemory::default() };
        let with = |unreclaimable| KernelMemory { unreclaimable, ..before };
        assert_eq!(with(2 << 20).growth(&before), Some(1 << 20));
        assert_eq!(with((1 << 20) + LEAST_GROWTH).growth(&before), Some(LEAST_GROWTH));
        assert_eq!(with((1 << 20) + LEAST_GROWTH - 1).growth(&before), None);
        assert_eq!(with(0).growth(&before), None);
        let slab_only = KernelMemory { slab: 1 << 30, stacks: 1 << 30, page_tables: 1 << 30, ..before };
        assert_eq!(slab_only.growth(&before), None, "not of rules");
    }

    #[test]
    fn this_machine_is_read() {
        let found = KernelMemory::at_rest().unwrap();
        assert!(found.slab >= found.unreclaimable && found.unreclaimable > 0, "{found:?}");
    }

    proptest! {
        #[test]
        fn anything_is_read(text in "\\PC{0,200}", figure in "[0-9a-z-]{0,25}", unit in "[kKMB]{0,2}") {
            let _ = parse(&text);
            let _ = parse(&format!("Slab: {figure} {unit}\nSUnreclaim:{figure}{unit}\n"));
        }

        #[test]
        fn any_memory_has_a_growth(
            [before, after] in prop::array::uniform2(any::<[u64; 3]>().prop_map(|[unreclaimable, vmalloc, percpu]| {
                KernelMemory { unreclaimable, vmalloc, percpu, ..KernelMemory::default() }
            })),
        ) {
            prop_assert!(after.growth(&before).is_none_or(|growth| growth >= LEAST_GROWTH));
        }
    }
}
