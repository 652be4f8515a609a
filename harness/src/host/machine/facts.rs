//! What is known of this machine.

use std::collections::BTreeMap;

use results::environment::Condition;

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
