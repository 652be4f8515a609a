//! The state of this machine, as far as it makes unreliable what is measured on it: read once, then judged.

mod facts;
mod kernel;
mod warnings;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use results::environment::Condition;

pub use self::facts::{Facts, Meanwhile};
pub use self::warnings::{NAMES, warnings};
use super::tree::{CPU, Tree};

/// How long counters are watched where somebody waits for what they say. Steal time is counted in ticks of 10 ms.
pub const WATCH: Duration = Duration::from_secs(1);
/// How long where nobody does.
pub const POLL_INTERVAL: Duration = Duration::from_millis(200);

impl Facts {
    /// Of this machine, for a thread that measures on `core`; watches counters for so long.
    pub fn here(core: usize, watch: Duration) -> Self {
        Self::read(Path::new("/"), core, || std::thread::sleep(watch))
    }

    /// From /proc and /sys below `root`. `pause`: what passes between two readings of counters.
    pub fn read(root: &Path, core: usize, pause: impl FnOnce()) -> Self {
        let tree = Tree(root);
        let before = Counters::read(tree);
        let cpus = tree.cpus();
        let mut governors = BTreeMap::new();
        for cpu in &cpus {
            let governor = tree.governor(*cpu);
            if !governor.is_empty() {
                *governors.entry(governor).or_default() += 1;
            }
        }
        let meminfo = tree.text("proc/meminfo");
        let kilobytes = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        };
        let swap = kilobytes("SwapTotal").zip(kilobytes("SwapFree"));
        let online = tree.list(&format!("{CPU}/online"));
        let cpuinfo = tree.text("proc/cpuinfo");
        let condition = Condition {
            clock_source: tree.text("sys/devices/system/clocksource/clocksource0/current_clocksource"),
            turbo: tree.turbo(),
            frequency_driver: tree.text(&format!("{CPU}/cpu{core}/cpufreq/scaling_driver")),
            governors,
            siblings: tree
                .list(&format!("{CPU}/cpu{core}/topology/thread_siblings_list"))
                .into_iter()
                .filter(|&thread| thread as usize != core)
                .collect(),
            idle_states: tree.idle_states(core),
            preemption: kernel::preemption(tree),
            kernel_debug: kernel::debug_options(tree),
            irqbalance: tree.runs("irqbalance"),
            swap_used_bytes: swap.map(|(total, free)| total.saturating_sub(free) * 1024),
            conntrack_entries: tree.number("proc/sys/net/netfilter/nf_conntrack_count"),
            throttled: before.throttled,
            power: tree.power(),
        };
        let facts = Self {
            condition,
            cores: if online.is_empty() { cpus.len() } else { online.len() } as u32,
            guest: cpuinfo
                .lines()
                .find(|line| line.starts_with("flags"))
                .is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor")),
            load: tree.load_average().split(' ').next().and_then(|load| load.parse().ok()),
            mitigations: tree.mitigations(),
            command_line: tree.text("proc/cmdline"),
            conntrack_max: tree.number("proc/sys/net/netfilter/nf_conntrack_max"),
            numa_balancing: tree.number("proc/sys/kernel/numa_balancing").is_some_and(|on| on > 0)
                && tree.list("sys/devices/system/node/online").len() > 1,
            same_page_merging: tree.number("sys/kernel/mm/ksm/run") == Some(1),
            meanwhile: Meanwhile::default(),
        };
        pause();
        Self { meanwhile: Counters::read(tree).since(&before), ..facts }
    }
}

/// Counters since the machine was started.
struct Counters {
    steal_ticks: Option<u64>,
    swapped_pages: Option<u64>,
    throttled: Option<u64>,
}

impl Counters {
    fn read(tree: Tree<'_>) -> Self {
        let vmstat = tree.text("proc/vmstat");
        let pages =
            |name: &str| vmstat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let of = |name: &str| {
            let counts = tree.cpus().into_iter().filter_map(move |cpu| {
                tree.number(&format!("{CPU}/cpu{cpu}/thermal_throttle/{name}_throttle_count"))
            });
            counts.collect::<Vec<_>>()
        };
        // Every core of a package has the package's count too.
        let throttled = of("core").into_iter().chain(of("package").into_iter().max());
        Self {
            steal_ticks: steal(&tree.text("proc/stat")),
            swapped_pages: pages("pswpin ")
                .zip(pages("pswpout "))
                .map(|(r#in, out)| r#in.saturating_add(out)),
            throttled: throttled.reduce(u64::saturating_add),
        }
    }

    fn since(&self, before: &Self) -> Meanwhile {
        let passed =
            |now: Option<u64>, then: Option<u64>| now.zip(then).map(|(now, then)| now.saturating_sub(then));
        Meanwhile {
            steal_ticks: passed(self.steal_ticks, before.steal_ticks),
            swapped_pages: passed(self.swapped_pages, before.swapped_pages),
            throttled: passed(self.throttled, before.throttled),
        }
    }
}

/// Steal time of all cores, in ticks (proc_stat(5)).
pub fn steal(stat: &str) -> Option<u64> {
    stat.lines().next()?.split_whitespace().nth(8)?.parse().ok()
}

#[cfg(test)]
pub(crate) mod tests;
