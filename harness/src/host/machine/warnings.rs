//! From what is known of a machine to what a reader of its figures must know.

use results::environment::{Severity, Warning};

use super::facts::Facts;

/// Names of all warnings.
pub const NAMES: [&str; 17] = [
    "governor",
    "turbo",
    "smt",
    "c-states",
    "clock-source",
    "load",
    "steal",
    "irqbalance",
    "swap",
    "conntrack",
    "kernel-debug",
    "preemption",
    "heat",
    "battery",
    "memory-scan",
    "mitigations",
    "virtual-machine",
];

/// Leaving an idle state that takes longer is seen in what waits: in microseconds.
const SHALLOW: u64 = 10;
/// More load than this for each core is not idle.
const IDLE: f64 = 0.25;
/// Clock sources that are registers of the processor, or a page that the hypervisor shares.
const FAST_CLOCKS: [&str; 8] = [
    "tsc",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
    "arch_sys_counter",
    "timebase",
    "riscv_clocksource",
    "tod",
    "stable-clock",
];

/// What makes figures unreliable or different, what makes them unreliable first.
pub fn warnings(facts: &Facts) -> Vec<Warning> {
    let found = [
        governor(facts),
        turbo(facts),
        smt(facts),
        idle_states(facts),
        clock_source(facts),
        load(facts),
        steal(facts),
        irqbalance(facts),
        swap(facts),
        conntrack(facts),
        kernel_debug(facts),
        preemption(facts),
        heat(facts),
        battery(facts),
        memory_scan(facts),
        mitigations(facts),
        virtual_machine(facts),
    ];
    let named = NAMES.iter().zip(found).filter_map(|(name, found)| {
        let Found { severity, what, why, how } = found?;
        Some(Warning { name: (*name).to_owned(), severity, what, why: why.to_owned(), how: how.to_owned() })
    });
    let mut all: Vec<Warning> = named.collect();
    all.sort_by_key(|warning| warning.severity);
    all
}

struct Found {
    severity: Severity,
    what: String,
    why: &'static str,
    how: &'static str,
}

fn unreliable(what: String, why: &'static str, how: &'static str) -> Option<Found> {
    Some(Found { severity: Severity::Unreliable, what, why, how })
}

fn differs(what: String, why: &'static str, how: &'static str) -> Option<Found> {
    Some(Found { severity: Severity::Differs, what, why, how })
}

fn governor(facts: &Facts) -> Option<Found> {
    let others = facts.condition.governors.iter().filter(|(name, _)| *name != "performance");
    let others: Vec<String> =
        others.map(|(name, cores)| format!("{name} on {cores} of {}", facts.cores)).collect();
    if others.is_empty() {
        return None;
    }
    unreliable(
        format!("CPU frequency governor is not performance: {}", others.join(", ")),
        "cores change their frequency with load, so that the same work takes different times",
        "cpupower frequency-set -g performance",
    )
}

fn turbo(facts: &Facts) -> Option<Found> {
    if facts.condition.turbo != Some(true) {
        return None;
    }
    unreliable(
        "turbo is on".into(),
        "how fast a core runs then depends on heat and on what other cores do",
        "echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo, or echo 0 > /sys/devices/system/cpu/cpufreq/boost",
    )
}

fn smt(facts: &Facts) -> Option<Found> {
    let siblings = &facts.condition.siblings;
    if siblings.is_empty() {
        return None;
    }
    let list: Vec<String> = siblings.iter().map(u32::to_string).collect();
    unreliable(
        format!("the measuring core shares its execution units with processor {}", list.join(", ")),
        "whatever runs there slows down what is measured",
        "echo off > /sys/devices/system/cpu/smt/control",
    )
}

fn idle_states(facts: &Facts) -> Option<Found> {
    let (name, exit) = facts.condition.idle_states.iter().max_by_key(|(_, exit)| **exit)?;
    if *exit <= SHALLOW {
        return None;
    }
    unreliable(
        format!("the measuring core may enter idle state {name}, which takes {exit} µs to leave"),
        "every wait for a packet or a program ends that much later, more or less often",
        "cpupower idle-set -D 10, or intel_idle.max_cstate=1 processor.max_cstate=1 on the kernel's command line",
    )
}

fn clock_source(facts: &Facts) -> Option<Found> {
    let source = facts.condition.clock_source.as_str();
    if source.is_empty() || FAST_CLOCKS.contains(&source) {
        return None;
    }
    unreliable(
        format!("the kernel reads the time from {source}"),
        "each reading takes a microsecond or more, as long as a lookup",
        "clocksource=tsc on the kernel's command line; the kernel log says why it gave tsc up",
    )
}

fn load(facts: &Facts) -> Option<Found> {
    let load = facts.load.filter(|load| *load > IDLE * f64::from(facts.cores.max(1)))?;
    unreliable(
        format!("load average {load:.2} on {} cores", facts.cores),
        "other programs take caches, memory bandwidth and processor time",
        "end them, and wait a minute: it is the mean of the last one",
    )
}

fn steal(facts: &Facts) -> Option<Found> {
    let ticks = facts.meanwhile.steal_ticks.filter(|ticks| *ticks > 0)?;
    unreliable(
        format!(
            "the hypervisor gave {ticks} ticks of this machine’s processor time to others within a moment"
        ),
        "what runs meanwhile takes longer by that",
        "have a machine with processors of its own, or measure with --kernel guest --clock instructions",
    )
}

fn irqbalance(facts: &Facts) -> Option<Found> {
    if facts.condition.irqbalance != Some(true) {
        return None;
    }
    unreliable(
        "irqbalance is running".into(),
        "it moves interrupts between cores, to the measuring one as well",
        "systemctl stop irqbalance",
    )
}

fn swap(facts: &Facts) -> Option<Found> {
    const HOW: &str = "end what needs the memory, then swapoff -a";
    match (facts.meanwhile.swapped_pages, facts.condition.swap_used_bytes) {
        (Some(pages @ 1..), _) => unreliable(
            format!("{pages} pages of memory were swapped within a moment"),
            "whoever needs them waits for the disk",
            HOW,
        ),
        (_, Some(used @ 1..)) => differs(
            format!("{} MB are swapped out", used.div_ceil(1_000_000)),
            "the first use of what is there waits for the disk",
            HOW,
        ),
        _ => None,
    }
}

fn conntrack(facts: &Facts) -> Option<Found> {
    let (entries, most) = facts.condition.conntrack_entries.zip(facts.conntrack_max)?;
    if u128::from(entries) * 5 < u128::from(most) * 4 {
        return None;
    }
    unreliable(
        format!("connection tracking of the host has {entries} of at most {most} entries"),
        "labs share its hash table: buckets are long, and beyond the limit packets are dropped",
        "sysctl net.netfilter.nf_conntrack_max and nf_conntrack_buckets larger, or let the connections end",
    )
}

fn kernel_debug(facts: &Facts) -> Option<Found> {
    let options = &facts.condition.kernel_debug;
    if options.is_empty() {
        return None;
    }
    unreliable(
        format!("the kernel was built with {}", options.join(", ")),
        "checks on every access, allocation or lock make it several times slower, and not evenly",
        "boot a kernel without them",
    )
}

fn preemption(facts: &Facts) -> Option<Found> {
    if !facts.condition.preemption.starts_with("PREEMPT_RT") {
        return None;
    }
    differs(
        "the kernel is built for real time".into(),
        "its locks sleep and its interrupts are threads: packets take longer than in other kernels",
        "boot the kernel that your nodes have",
    )
}

fn heat(facts: &Facts) -> Option<Found> {
    const HOW: &str = "cool it better, or turn turbo off";
    match (facts.meanwhile.throttled, facts.condition.throttled) {
        (Some(times @ 1..), _) => unreliable(
            format!("processors were throttled for heat {times} times within a moment"),
            "a throttled processor is slower for as long as it is hot",
            HOW,
        ),
        (_, Some(times @ 1..)) => differs(
            format!("processors were throttled for heat {times} times since the start"),
            "under long load they may be again",
            HOW,
        ),
        _ => None,
    }
}

fn battery(facts: &Facts) -> Option<Found> {
    if facts.condition.power != "battery" {
        return None;
    }
    unreliable(
        "the machine runs on its battery".into(),
        "firmware saves power then, and frequencies fall",
        "plug it in",
    )
}

fn memory_scan(facts: &Facts) -> Option<Found> {
    let on = [
        (facts.numa_balancing, "NUMA balancing (kernel.numa_balancing)"),
        (facts.same_page_merging, "same-page merging (/sys/kernel/mm/ksm/run)"),
    ];
    let on: Vec<&str> = on.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect();
    if on.is_empty() {
        return None;
    }
    differs(
        format!("the kernel scans memory for {}", on.join(" and ")),
        "now and then a thread pays for pages that were unmapped or merged under it",
        "sysctl kernel.numa_balancing=0; echo 0 > /sys/kernel/mm/ksm/run",
    )
}

fn mitigations(facts: &Facts) -> Option<Found> {
    const WHY: &str =
        "they make entries into the kernel and indirect calls dearer, and modes differ in how many they have";
    const HOW: &str = "have them as your nodes do, and the same in all runs that are compared; mitigations=off on the \
                       kernel’s command line turns them off";
    if facts.command_line.split_whitespace().any(|word| word == "mitigations=off") {
        return differs("mitigations of processor vulnerabilities are turned off".into(), WHY, HOW);
    }
    let of = |word: &str| facts.mitigations.values().filter(|value| value.starts_with(word)).count();
    let (on, vulnerable) = (of("Mitigation"), of("Vulnerable"));
    if on == 0 && vulnerable == 0 {
        return None;
    }
    differs(format!("{on} mitigations of processor vulnerabilities are on, {vulnerable} are not"), WHY, HOW)
}

fn virtual_machine(facts: &Facts) -> Option<Found> {
    if !facts.guest {
        return None;
    }
    differs(
        "this is a virtual machine".into(),
        "governor, turbo, heat and most interrupts are its host’s and cannot be seen from here; leaving it costs time",
        "measure on bare metal, or look at the host too",
    )
}
