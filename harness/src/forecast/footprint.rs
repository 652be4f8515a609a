//! What a scale takes of a machine before anything of it is there: memory of the kernel, memory of the program that writes
//! it, time. From constants, to the order of magnitude: enough to refuse what cannot end well, not a figure to report.
//!
//! Constants are per kernel object, measured on 2026-11-25 on Linux 6.18 (x86-64, 2 cores), iptables 1.8.9 and nft 1.0.6, in
//! network namespaces with up to 10,000 Services x 10 endpoints and 1,000 x 100: slabs and vmalloc areas of the kernel before and
//! after (/proc/slabinfo, /proc/vmallocinfo), peak resident size and processor time of the program (getrusage(2)). Those of
//! nftables mode as kube-proxy 1.37 writes it: the same on 2026-11-30, of plans of cold syncs.

pub mod table;

use std::fmt;
use std::time::Duration;

use dataplane::{Counts, Dataplane, KubeProxy, Mode, Plan, Program, Step, Sync};
use services::service_set::ServiceSet;

use super::pace::Pace;

/// How Services come to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installing {
    /// By a cold full sync, as kube-proxy does it.
    Sync,
    /// As [`Dataplane::load`] does it, in pieces where that is quicker.
    Load,
}

/// How often a time from constants must be over the limit to be believed: the constants are of another machine.
const MARGIN: f64 = 3.0;
/// Memory of a program that writes one piece of [`Dataplane::load`], bytes: a piece of nftables mode, 500 Services, takes most (70 MB
/// with 10 endpoints each, measured).
const PIECE: u64 = 256 << 20;
/// Services in such a piece of nftables mode.
const LOAD_PIECE: u64 = 500;

/// What a mode takes for some Services.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Footprint {
    /// The mode.
    pub mode: Mode,
    /// Bytes that the kernel holds once they are installed, without [`Footprint::per_cpu`].
    pub kernel: u64,
    /// Bytes that it holds besides for each CPU there may be: counters, and the stack of jumps.
    pub per_cpu: u64,
    /// Bytes that it holds for as long as a transaction takes: its records, or the new table beside the old one.
    pub transaction: u64,
    /// Peak resident size of the program that sends them in a cold sync, bytes; zero where no program is.
    pub program: u64,
    /// Seconds of a cold full sync.
    pub sync_seconds: f64,
    /// Seconds of [`Dataplane::load`].
    pub load_seconds: f64,
    /// iptables-legacy: bytes of the table that it makes.
    pub table: Option<u64>,
}

/// Why something is not to be tried.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The kernel refuses a table of that size.
    #[error(
        "the table of {mode} would have {}, but the kernel takes less than {} (XT_MAX_TABLE_SIZE); use fewer Services or \
         endpoints, or iptables-nft or nftables",
        Bytes(*.bytes), Bytes(table::LARGEST)
    )]
    Table {
        /// The mode.
        mode: Mode,
        /// Bytes of the table.
        bytes: u64,
    },
    /// There is not so much memory.
    #[error(
        "predicted to need {} of memory ({} in the kernel, {} in the programs that write it), but {} are available; use fewer \
         Services or endpoints, another mode, or a machine with more memory",
        Bytes(*.kernel + *.programs), Bytes(*.kernel), Bytes(*.programs), Bytes(*.available)
    )]
    Memory {
        /// Bytes in the kernel, at the peak.
        kernel: u64,
        /// Bytes in programs.
        programs: u64,
        /// MemAvailable of proc_meminfo(5), bytes.
        available: u64,
    },
    /// It would take far too long.
    #[error(
        "{what} is predicted to take {seconds:.0} s, from constants measured on other machines (no smaller scale of this \
         run tells); the limit is {limit:.0} s (use fewer Services or endpoints, or --no-limit, which measures it)"
    )]
    Time {
        /// What takes it.
        what: &'static str,
        /// How long it takes.
        seconds: f64,
        /// How long it may take.
        limit: f64,
    },
}

impl Footprint {
    /// For Services: how many, with how many endpoints together, and what they amount to in the kernel.
    pub fn of(mode: Mode, services: u64, endpoints: u64, counts: &Counts) -> Self {
        let &Counts { rules, chains, elements, virtual_servers, real_servers, addresses } = counts;
        let objects = rules + chains + elements;
        let count = |number: u64| number as f64;
        let capacity = Self {
            mode,
            kernel: 0,
            per_cpu: 0,
            transaction: 0,
            program: 0,
            sync_seconds: 0.0,
            load_seconds: Pace::of(mode, KubeProxy::NEWEST, count(endpoints)).fill,
            table: None,
        };
        match mode {
            Mode::IptablesLegacy | Mode::BackgroundLegacy => {
                // A rule of a large cluster has 200 bytes on average, one with a comment up to 500 (table.rs); a chain has 328.
                let table = rules * 216 + chains * 328;
                Self {
                    // struct xt_statistic_priv, one for all endpoints of a Service but the last; measured 56 bytes an endpoint.
                    kernel: table + endpoints * 64,
                    // struct xt_counters for each rule and for the two of a chain; a pointer in the stack of jumps for each chain,
                    // twice over (xt_jumpstack_alloc).
                    per_cpu: 16 * (rules + 2 * chains) + 16 * chains,
                    transaction: table,
                    // Measured: 545 and 551 at 10,000 x 10 and 5,000 x 10.
                    program: objects * 550,
                    // Measured, s of processor time: 0.3, 4.9 and 14 at 1,000, 5,000 and 10,000 x 10, 9.2 at 1,000 x 100.
                    sync_seconds: count(chains) * 1.8e-5 + count(chains).powi(2) * 1e-9,
                    table: Some(table),
                    ..capacity
                }
            }
            Mode::IptablesNft | Mode::BackgroundNft | Mode::Replay => Self {
                // Measured: 20 MB at 1,000 x 10. Elements as in nftables mode.
                kernel: rules * 460 + chains * 480 + elements * 330,
                // struct nft_counter: each rule of iptables has one.
                per_cpu: 16 * rules,
                transaction: objects * 700,
                // Measured: 1,251 at 1,000 x 10.
                program: objects * 1_300,
                // Measured: 0.28 and 8.1 s at 1,000 x 1 and 1,000 x 10: the program looks for chains in a list.
                sync_seconds: count(chains).powi(2) * 6.7e-8,
                ..capacity
            },
            Mode::Nftables | Mode::Conntrack | Mode::Dnat => {
                // Each endpoint is an element of the anonymous map in a rule of its Service, which nobody counts as an element; up to
                // 1.35, and with session affinity, it has a chain with two rules besides. One formula holds for both.
                let written = count(objects) * 8e-6 + count(endpoints) * 4e-6;
                // Each anonymous map looks through the transaction so far (__nft_set_trans_bind).
                let bound = |services: f64| services * count(objects) * 4.2e-8;
                Self {
                    // Measured: 10.6, 56 and 96 MB at 1,000 x 10, 5,000 x 10 and 1,000 x 100 of 1.34; 0.8, 1.9, 10.1 and 11.6 MB at
                    // 1,000 x 1, 1,000 x 10, 5,000 x 10 and 1,000 x 100 of 1.37, nine tenths of what endpoints add in objects of 64
                    // bytes and the hash tables around them.
                    kernel: rules * 250 + chains * 400 + elements * 330 + endpoints * 100,
                    // Measured for 1.34 as what is missing from MemAvailable at the peak, on a machine that others used, too: 300 to
                    // 1,200 an object. An endpoint's share is that of its record.
                    transaction: objects * 700 + endpoints * 100,
                    // Measured: 648 MiB at 5,000 x 10 of 1.34, and as much an object at all scales; 15.5, 32.4, 143.9 and 148.3 MiB at
                    // the scales above of 1.37.
                    program: objects * 3_500 + endpoints * 1_500,
                    // Measured, s of processor time: 1.6, 39 and 22 at 1,000 x 10, 5,000 x 10 and 1,000 x 100 of 1.34, nine tenths of
                    // them in the kernel; 0.05, 0.16, 3.6 and 0.7 at the scales above of 1.37.
                    sync_seconds: written + bound(count(services)),
                    // Measured, s: 0.7 and 17 at 1,000 and 10,000 x 10 of 1.34; 0.05, 0.15, 1.9 and 0.6 at the scales above of 1.37.
                    // Besides, each piece has nft read what is in the sets already.
                    load_seconds: written
                        + bound(count(services.min(LOAD_PIECE)))
                        + count(services) / count(2 * LOAD_PIECE) * count(elements) * 2.8e-5,
                    ..capacity
                }
            }
            Mode::Ipvs | Mode::IpvsBatched => {
                let servers = virtual_servers + real_servers;
                // Not measured. struct ip_vs_service and ip_vs_dest (include/net/ip_vs.h) have slabs of 512 bytes; an address has a
                // struct in_ifaddr and a local route, with a fib_info, a leaf and an alias; an entry of an ipset has 16 to 64 bytes
                // in buckets that double as they fill.
                let kernel = servers * 512 + addresses * 768 + elements * 128 + rules * 400 + chains * 328;
                Self {
                    kernel,
                    // struct ip_vs_cpu_stats.
                    per_cpu: servers * 40,
                    // Batched, ipset reads all entries from one input; otherwise each program has one.
                    program: elements * 64,
                    // A program of a millisecond for each entry of a set, a message of some ten microseconds for each server and
                    // address; batched, a hundredth of a millisecond each.
                    sync_seconds: match mode {
                        Mode::Ipvs => count(elements) * 1e-3 + count(servers + addresses) * 1.5e-5,
                        _ => count(servers + addresses + elements) * 1e-5,
                    },
                    ..capacity
                }
            }
            Mode::Direct => capacity,
        }
    }

    /// For a set: with `extra`, what else is in the kernel of the lab. Planned, as in [`Footprint::of_plan`], is only what may be too
    /// large for the kernel.
    pub fn of_set(mode: Mode, dataplane: &dyn Dataplane, to: &ServiceSet, extra: Counts) -> Self {
        let counts = dataplane.counts(to) + extra;
        let capacity = Self::of(mode, to.len() as u64, to.total_endpoints() as u64, &counts);
        // Rules with comments have more than twice what is calculated above.
        if capacity.table.is_some_and(|bytes| bytes > table::LARGEST / 3) {
            return Self::of_plan(mode, to, &dataplane.plan(&ServiceSet::default(), to, Sync::Full));
        }
        capacity
    }

    /// For the plan of a cold full sync: a table of iptables-legacy has its size to the byte.
    pub fn of_plan(mode: Mode, to: &ServiceSet, plan: &Plan) -> Self {
        let mut capacity = Self::of(mode, to.len() as u64, to.total_endpoints() as u64, &plan.expect);
        let restores = plan.steps.iter().filter(|step| {
            matches!(step.program(), Some(Program::IptablesRestore | Program::Ip6tablesRestore))
        });
        if let Some(estimated) = capacity.table {
            let inputs = restores.filter_map(Step::input);
            let exact = inputs.map(|input| table::nat(input, to.family())).sum();
            capacity.kernel = capacity.kernel - estimated + exact;
            capacity.transaction = exact;
            capacity.table = Some(exact);
        }
        capacity
    }

    /// Bytes in the kernel at the peak, on a machine that may have so many CPUs.
    pub const fn kernel_peak(&self, cpus: u64) -> u64 {
        self.kernel + self.per_cpu * cpus + self.transaction
    }

    /// Bytes of the programs that write it.
    pub fn programs(&self, installing: Installing) -> u64 {
        match installing {
            // iptables-legacy is loaded in one piece.
            Installing::Load if self.table.is_none() => self.program.min(PIECE),
            _ => self.program,
        }
    }

    /// Why it is not to be tried on a machine; `None`: try. `available`: bytes, if it is known; `limit`: of seconds, if there is
    /// one and nothing better predicts them.
    pub fn refusal(
        &self,
        installing: Installing,
        machine: &Machine,
        limit: Option<Duration>,
    ) -> Option<Refusal> {
        if let Some(bytes) = self.table.filter(|&bytes| bytes >= table::LARGEST) {
            return Some(Refusal::Table { mode: self.mode, bytes });
        }
        let (kernel, programs) = (self.kernel_peak(machine.cpus), self.programs(installing));
        if let Some(available) = machine.available.filter(|&available| available < kernel + programs) {
            return Some(Refusal::Memory { kernel, programs, available });
        }
        let (what, seconds) = match installing {
            Installing::Sync => ("a cold full sync", self.sync_seconds),
            Installing::Load => ("filling its lab", self.load_seconds),
        };
        let limit = limit?.as_secs_f64();
        (seconds > limit * MARGIN).then_some(Refusal::Time { what, seconds, limit })
    }
}

/// What a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// MemAvailable of proc_meminfo(5), bytes; `None`: the kernel does not tell.
    pub available: Option<u64>,
    /// CPUs that there may be, for each of which the kernel keeps counters.
    pub cpus: u64,
}

impl Machine {
    /// This one, now.
    pub fn now() -> Self {
        let possible = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
        Self {
            available: netns_setup::guest::available_mib().map(|mebibytes| mebibytes << 20),
            cpus: cpus(&possible).unwrap_or(1),
        }
    }
}

/// The number in a list of CPUs such as `0-3,8`.
fn cpus(list: &str) -> Option<u64> {
    let each = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        last.checked_sub(first)?.checked_add(1)
    });
    each.sum()
}

/// Bytes as people read them.
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..0x1_0000_0000 => write!(f, "{} MiB", bytes.div_ceil(1 << 20)),
            bytes => write!(f, "{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
        }
    }
}

#[cfg(test)]
mod tests;
