//! The state of this machine, as far as it spoils what is measured on it: read once, then judged.

mod kernel;
mod warnings;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use results::environment::Condition;

pub use self::warnings::{NAMES, warnings};

/// How long counters are watched where somebody waits for what they say. Steal time is counted in ticks of 10 ms.
pub const WATCH: Duration = Duration::from_secs(1);
/// How long where nobody does.
pub const GLANCE: Duration = Duration::from_millis(200);

/// What is known of this machine. What is absent could not be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// What goes into the passport.
    pub condition: Condition,
    /// Cores online.
    pub cores: u32,
    /// Whether this is a virtual machine.
    pub guest: bool,
    /// Processes that ran or waited for the disk, mean of the last minute.
    pub load: Option<f64>,
    /// Vulnerability to what the kernel does about it.
    pub mitigations: BTreeMap<String, String>,
    /// The kernel's command line.
    pub command_line: String,
    /// Most entries that the connection tracking table may have.
    pub conntrack_max: Option<u64>,
    /// Whether the kernel moves memory between nodes, of which there are several.
    pub numa_balancing: bool,
    /// Whether the kernel looks for equal pages of memory.
    pub same_page_merging: bool,
    /// What happened while counters were watched.
    pub meanwhile: Meanwhile,
}

/// Differences of counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meanwhile {
    /// Time that the hypervisor gave to others, all cores, in ticks.
    pub steal_ticks: Option<u64>,
    /// Pages swapped in and out.
    pub swapped_pages: Option<u64>,
    /// How often processors were throttled for heat.
    pub throttled: Option<u64>,
}

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
            let governor = tree.text(&format!("{CPU}/cpu{cpu}/cpufreq/scaling_governor"));
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
            load: tree.text("proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()),
            mitigations: tree.entries(&format!("{CPU}/vulnerabilities")),
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

const CPU: &str = "sys/devices/system/cpu";

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

/// The files of a machine.
#[derive(Clone, Copy)]
struct Tree<'a>(&'a Path);

impl Tree<'_> {
    fn path(self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// A file without the white space around it; empty if it cannot be read.
    fn text(self, path: &str) -> String {
        fs::read(self.path(path))
            .map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
            .unwrap_or_default()
    }

    fn number(self, path: &str) -> Option<u64> {
        self.text(path).parse().ok()
    }

    /// Names in a folder, sorted.
    fn names(self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().filter_map(Result::ok);
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Names and contents of the files in a folder.
    fn entries(self, path: &str) -> BTreeMap<String, String> {
        let of = |name: String| (name.clone(), self.text(&format!("{path}/{name}")));
        self.names(path).into_iter().map(of).filter(|(_, text)| !text.is_empty()).collect()
    }

    /// Numbers of the folders `cpu0`, `cpu1`, ...
    fn cpus(self) -> Vec<u32> {
        let names = self.names(CPU);
        let mut numbers: Vec<u32> =
            names.iter().filter_map(|name| name.strip_prefix("cpu")?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// A list of numbers and ranges, `0-2,4`, as the kernel writes sets of processors.
    fn list(self, path: &str) -> Vec<u32> {
        let text = self.text(path);
        let part = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
            // No machine has more: what says so is not such a list.
            (first <= last && last < 1 << 16).then_some(first..=last)
        };
        text.split(',').filter_map(part).flatten().collect()
    }

    /// intel_pstate's own switch, or that of the other drivers (Documentation/admin-guide/pm in the kernel).
    fn turbo(self) -> Option<bool> {
        match self.number(&format!("{CPU}/intel_pstate/no_turbo")) {
            Some(off) => Some(off == 0),
            None => self.number(&format!("{CPU}/cpufreq/boost")).map(|on| on > 0),
        }
    }

    /// Name and exit latency in microseconds of what a core may enter (Documentation/admin-guide/pm/cpuidle.rst).
    fn idle_states(self, core: usize) -> BTreeMap<String, u64> {
        let folder = format!("{CPU}/cpu{core}/cpuidle");
        let state = |name: String| {
            let of = |what: &str| self.text(&format!("{folder}/{name}/{what}"));
            let latency = of("latency").parse().ok()?;
            (of("disable") != "1").then(|| (of("name"), latency))
        };
        self.names(&folder).into_iter().filter_map(state).filter(|(name, _)| !name.is_empty()).collect()
    }

    /// Whether a program of this name runs; None without /proc.
    fn runs(self, program: &str) -> Option<bool> {
        let names = self.names("proc");
        let mut processes = names.iter().filter(|name| name.parse::<u32>().is_ok()).peekable();
        processes.peek()?;
        Some(processes.any(|process| self.text(&format!("proc/{process}/comm")) == program))
    }

    /// What feeds the machine itself; a mouse has a battery too.
    fn power(self) -> String {
        let mut power = "";
        for name in self.names("sys/class/power_supply") {
            let of = |what: &str| self.text(&format!("sys/class/power_supply/{name}/{what}"));
            match of("type").as_str() {
                "Battery" if of("scope") != "Device" && of("status") == "Discharging" => {
                    return "battery".into();
                }
                "Mains" if of("online") == "1" => power = "mains",
                _ => {}
            }
        }
        power.into()
    }
}

#[cfg(test)]
pub(crate) mod tests;
