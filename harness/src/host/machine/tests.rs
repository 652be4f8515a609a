#![allow(clippy::unwrap_used, reason = "a test may stop")]

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use results::environment::{Severity, Warning};

use super::*;

/// A made-up machine: its files.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(path, text)| machine.write(path, text.as_bytes()));
        machine
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn facts(&self) -> Facts {
        Facts::read(self.0.path(), 1, || ())
    }
}

fn found(facts: &Facts) -> Vec<(String, Severity)> {
    warnings(facts).into_iter().map(|warning| (warning.name, warning.severity)).collect()
}

/// A quiet machine, as a benchmark wants it: nothing to warn of.
const QUIET: [(&str, &str); 24] = [
    ("proc/1/comm", "systemd\n"),
    ("proc/cmdline", "quiet\n"),
    ("proc/cpuinfo", "processor : 0\nflags : fpu tsc\n"),
    ("proc/loadavg", "0.10 0.20 0.30 1/200 4000\n"),
    ("proc/meminfo", "MemTotal: 16000000 kB\nSwapTotal: 2000 kB\nSwapFree: 2000 kB\n"),
    ("proc/stat", "cpu  10 0 10 1000 0 0 0 7 0 0\ncpu0 5 0 5 500 0 0 0 7 0 0\n"),
    ("proc/vmstat", "pswpin 10\npswpout 20\n"),
    ("proc/sys/kernel/version", "#1 SMP PREEMPT_DYNAMIC Debian 6.12.1-1\n"),
    ("proc/sys/net/netfilter/nf_conntrack_count", "12\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
    ("sys/class/power_supply/AC/online", "1\n"),
    ("sys/class/power_supply/AC/type", "Mains\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("sys/devices/system/cpu/online", "0-1\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/cpu1/cpufreq/scaling_driver", "intel_pstate\n"),
    ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1\n"),
    ("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "0\n"),
    ("sys/devices/system/cpu/cpu1/cpuidle/state0/latency", "0\n"),
    ("sys/devices/system/cpu/cpu1/cpuidle/state0/name", "POLL\n"),
    ("sys/devices/system/cpu/cpu1/cpuidle/state0/disable", "0\n"),
    ("sys/devices/system/cpu/intel_pstate/no_turbo", "1\n"),
    ("sys/devices/system/cpu/vulnerabilities/meltdown", "Not affected\n"),
];

#[test]
fn a_quiet_machine_is_read_and_nothing_is_said_against_it() {
    let facts = Machine::new(&QUIET).facts();
    assert_eq!(found(&facts), []);
    assert_eq!((facts.cores, facts.guest, facts.load), (2, false, Some(0.1)));
    let lines = facts.condition.facts().into_iter().map(|(name, value)| format!("{name}: {value}"));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    clock source: tsc
    frequency driver: intel_pstate
    governors: performance on 2 cores
    turbo: off
    idle states, time to leave: POLL 0 µs
    preemption: PREEMPT_DYNAMIC
    irqbalance: not running
    swap used: 0 B
    connections tracked by the host: 12
    times throttled for heat: 0
    power: mains
    ");
}

#[test]
fn of_a_machine_without_files_nothing_is_known_and_nothing_said() {
    let facts = Machine::new(&[]).facts();
    assert!(facts.condition.is_unknown());
    assert_eq!(found(&facts), []);
}

/// The file that is changed, and the warning that it brings.
const FAULTS: [(&str, &str, &str, Severity); 21] = [
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "schedutil", "governor", Severity::Unreliable),
    ("sys/devices/system/cpu/intel_pstate/no_turbo", "0", "turbo", Severity::Unreliable),
    ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "0-1", "smt", Severity::Unreliable),
    ("sys/devices/system/cpu/cpu1/cpuidle/state0/latency", "133", "c-states", Severity::Unreliable),
    (
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
        "hpet",
        "clock-source",
        Severity::Unreliable,
    ),
    ("proc/loadavg", "0.51 0.1 0.1 1/9 9", "load", Severity::Unreliable),
    ("proc/77/comm", "irqbalance", "irqbalance", Severity::Unreliable),
    ("proc/meminfo", "SwapTotal: 2000 kB\nSwapFree: 1000 kB\n", "swap", Severity::Differs),
    ("proc/sys/net/netfilter/nf_conntrack_count", "209716", "conntrack", Severity::Unreliable),
    ("proc/lockdep", "", "kernel-debug", Severity::Unreliable),
    (
        "boot/config-",
        "CONFIG_SMP=y\nCONFIG_KASAN=y\n# CONFIG_KCSAN is not set\n",
        "kernel-debug",
        Severity::Unreliable,
    ),
    ("proc/sys/kernel/version", "#1 SMP PREEMPT_RT Debian", "preemption", Severity::Differs),
    ("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "3", "heat", Severity::Differs),
    ("sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "1", "heat", Severity::Differs),
    ("sys/kernel/mm/ksm/run", "1", "memory-scan", Severity::Differs),
    (
        "sys/devices/system/cpu/vulnerabilities/spectre_v2",
        "Mitigation: IBRS",
        "mitigations",
        Severity::Differs,
    ),
    ("sys/devices/system/cpu/vulnerabilities/meltdown", "Vulnerable", "mitigations", Severity::Differs),
    ("proc/cmdline", "quiet mitigations=off", "mitigations", Severity::Differs),
    ("proc/cpuinfo", "processor : 0\nflags : fpu hypervisor\n", "virtual-machine", Severity::Differs),
    ("sys/devices/system/cpu/cpu1/cpuidle/state0/latency", "11", "c-states", Severity::Unreliable),
    ("lib/modules//config", "CONFIG_PROVE_RCU=y\n", "kernel-debug", Severity::Unreliable),
];

#[test]
fn each_fault_is_reported_alone_and_how_to_fix_it() {
    for (path, text, name, severity) in FAULTS {
        let machine = Machine::new(&QUIET);
        machine.write(path, text.as_bytes());
        let all = warnings(&machine.facts());
        let [Warning { name: found_name, severity: said, what, why, how }] = &all[..] else {
            panic!("{path}: {all:?}")
        };
        assert_eq!((found_name.as_str(), *said), (name, severity), "{path}");
        assert!([what, why, how].iter().all(|text| text.len() > 8), "{all:?}");
    }
}

#[test]
fn what_happens_while_it_is_watched_is_reported() {
    let machine = Machine::new(&QUIET);
    let facts = Facts::read(machine.0.path(), 1, || {
        machine.write("proc/stat", b"cpu  10 0 10 1099 0 0 0 10 0 0\n");
        machine.write("proc/vmstat", b"pswpin 15\npswpout 21\n");
        machine.write("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", b"2\n");
    });
    let expected = Meanwhile { steal_ticks: Some(3), swapped_pages: Some(6), throttled: Some(2) };
    assert_eq!(facts.meanwhile, expected);
    let unreliable = |name: &str| (name.to_owned(), Severity::Unreliable);
    assert_eq!(found(&facts), [unreliable("steal"), unreliable("swap"), unreliable("heat")]);
}

#[test]
fn a_battery_matters_if_the_machine_lives_on_it() {
    let machine = Machine::new(&QUIET);
    let battery = |name: &str, of: &str, text: &str| {
        machine.write(&format!("sys/class/power_supply/{name}/{of}"), text.as_bytes());
    };
    battery("mouse", "type", "Battery");
    battery("mouse", "scope", "Device");
    battery("mouse", "status", "Discharging");
    battery("BAT0", "type", "Battery");
    battery("BAT0", "status", "Charging");
    assert_eq!(machine.facts().condition.power, "mains");
    battery("BAT0", "status", "Discharging");
    assert_eq!(found(&machine.facts()), [("battery".to_owned(), Severity::Unreliable)]);
}

#[test]
fn numa_balancing_matters_between_nodes_only() {
    let machine = Machine::new(&QUIET);
    machine.write("proc/sys/kernel/numa_balancing", b"1");
    machine.write("sys/devices/system/node/online", b"0");
    assert_eq!(found(&machine.facts()), []);
    machine.write("sys/devices/system/node/online", b"0-1");
    assert_eq!(found(&machine.facts()), [("memory-scan".to_owned(), Severity::Differs)]);
}

#[test]
fn the_kernels_own_configuration_and_preemption_are_read() {
    let machine = Machine::new(&QUIET);
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(b"CONFIG_KFENCE=y\nCONFIG_DEBUG_MUTEXES=y\nCONFIG_LOCKDEP=y\nCONFIG_KASAN=m\n").unwrap();
    machine.write("proc/config.gz", &packed.finish().unwrap());
    machine.write("boot/config-", b"CONFIG_KASAN=y\n");
    assert_eq!(machine.facts().condition.kernel_debug, ["LOCKDEP", "DEBUG_MUTEXES"]);
    assert_eq!(machine.facts().condition.preemption, "PREEMPT_DYNAMIC");
    machine.write("proc/cmdline", b"quiet preempt=none");
    assert_eq!(machine.facts().condition.preemption, "PREEMPT_DYNAMIC (none)");
    machine.write("sys/kernel/debug/sched/preempt", b"none voluntary (full) lazy\n");
    assert_eq!(machine.facts().condition.preemption, "PREEMPT_DYNAMIC (full)");
    machine.write("proc/config.gz", b"\x1f\x8bnot really");
    assert_eq!(machine.facts().condition.kernel_debug, ["KASAN"]);
}

#[test]
fn a_disabled_idle_state_is_none() {
    let machine = Machine::new(&QUIET);
    let state = "sys/devices/system/cpu/cpu1/cpuidle/state0";
    machine.write(&format!("{state}/latency"), b"890");
    machine.write(&format!("{state}/disable"), b"1");
    assert!(machine.facts().condition.idle_states.is_empty());
}

#[test]
fn names_are_those_of_the_warnings_and_each_is_met_in_these_tests() {
    let mut met: Vec<&str> = FAULTS.iter().map(|fault| fault.2).chain(["steal", "battery"]).collect();
    met.sort_unstable();
    met.dedup();
    let mut names = NAMES;
    names.sort_unstable();
    assert_eq!(met, names);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Whatever the kernel writes one day, nothing panics and warnings are whole.
    #[test]
    fn any_files_are_facts(texts in proptest::collection::vec(".{0,40}|[0-9,\\-]{0,12}", QUIET.len())) {
        let machine = Machine::new(&[]);
        for ((path, _), text) in QUIET.iter().zip(&texts) {
            machine.write(path, text.as_bytes());
        }
        for warning in warnings(&machine.facts()) {
            prop_assert!(NAMES.contains(&warning.name.as_str()) && !warning.what.is_empty());
        }
    }
}
