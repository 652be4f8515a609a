//! The environment passport: what about this machine decides the figures.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use dataplane::{Mode, Program};
use lab::tools::Tools;
use results::environment::Environment;
use results::record::Clock;

use super::machine;
use super::tree::Tree;
use crate::sweep::Sweep;

/// Reads what can be read; what cannot stays empty. `run`: the run's identifier.
pub fn collect(sweep: &Sweep, run: &str, started: &str, measuring_core: usize) -> Environment {
    let uname = nix::sys::utsname::uname().ok();
    let name = |part: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        uname.as_ref().map(|uname| part(uname).to_string_lossy().into_owned()).unwrap_or_default()
    };
    let tree = Tree::here();
    let cpuinfo = read("/proc/cpuinfo");
    let meminfo = read("/proc/meminfo");
    Environment {
        tool_version: env!("CARGO_PKG_VERSION").into(),
        started: started.into(),
        run: run.into(),
        seed: sweep.seed,
        question: sweep.question.clone(),
        kernel: name(|uname| uname.release()),
        kernel_version: name(|uname| uname.version()),
        command_line: read("/proc/cmdline"),
        machine: name(|uname| uname.machine()),
        cpu_model: field(&cpuinfo, "model name"),
        // Not available_parallelism(): the calling thread is pinned to one core.
        cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count() as u32,
        memory_bytes: field(&meminfo, "MemTotal")
            .split(' ')
            .next()
            .and_then(|kb| kb.parse::<u64>().ok())
            .unwrap_or(0)
            * 1024,
        clock: Clock::Wall,
        hypervisor: hypervisor(),
        emulator: String::new(),
        guest_memory_bytes: None,
        virtualisation: virtualisation(),
        mitigations: tree.mitigations(),
        governor: tree.governor(0),
        smt: read("/sys/devices/system/cpu/smt/control"),
        measuring_core: Some(measuring_core as u32),
        load_average: tree.load_average(),
        timer_overhead_ns: Some(workloads::clock::timer_overhead_ns()),
        steal_ticks: None,
        programs: programs(&sweep.modes),
        sysctls: sysctls(),
        kube_proxy: sweep.kube_proxy.name().into(),
        background: sweep.background.map_or_else(String::new, |background| background.to_string()),
        injected: sweep.injected.map_or_else(String::new, |injected| injected.to_string()),
        ..Environment::default()
    }
}

/// Kernel release, as rows carry it.
pub fn kernel() -> String {
    nix::sys::utsname::uname().map(|uname| uname.release().to_string_lossy().into_owned()).unwrap_or_default()
}

/// Time that the hypervisor gave to others, all cores, in clock ticks since boot (proc_stat(5)).
pub fn steal_ticks() -> Option<u64> {
    machine::steal(&read("/proc/stat"))
}

fn read(path: &str) -> String {
    Tree::here().text(path.trim_start_matches('/'))
}

/// Value of the first `name: value` line.
fn field(text: &str, name: &str) -> String {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

/// What this kernel runs on, as rows carry it: `none` on bare metal.
pub fn hypervisor() -> String {
    let guest = field(&read("/proc/cpuinfo"), "flags").split(' ').any(|flag| flag == "hypervisor");
    match (guest, read("/sys/hypervisor/type")) {
        (_, kind) if !kind.is_empty() => kind,
        (true, _) => "virtual machine".into(),
        (false, _) => "none".into(),
    }
}

/// [`hypervisor`] with the product's name, where there is one.
fn virtualisation() -> String {
    let product = [read("/sys/class/dmi/id/sys_vendor"), read("/sys/class/dmi/id/product_name")].join(" ");
    let kind = hypervisor();
    if product.trim().is_empty() || kind == "none" { kind } else { format!("{kind} ({})", product.trim()) }
}

/// Versions of the programs of the modes; variants of iptables side by side.
fn programs(modes: &[Mode]) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for &mode in modes {
        let program = match mode {
            Mode::IptablesLegacy | Mode::IptablesNft | Mode::BackgroundLegacy | Mode::BackgroundNft => {
                Program::Iptables
            }
            Mode::Conntrack | Mode::Dnat | Mode::Nftables => Program::Nft,
            Mode::Ipvs | Mode::IpvsBatched => Program::Ipset,
            // A replayed ruleset's tool is noted in its own file, `replay.json`.
            Mode::Direct | Mode::Replay => continue,
        };
        let Ok(path) = Tools::of(mode).path(program) else { continue };
        let versions = found.entry(program.name().to_owned()).or_default();
        let version = version(&path);
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    found.into_iter().map(|(program, versions)| (program, joined(&versions))).collect()
}

/// `v1.8.9 (legacy)` and `v1.8.9 (nf_tables)` are `v1.8.9 (legacy, nf_tables)`.
fn joined(versions: &[String]) -> String {
    let parts: Option<Vec<(&str, &str)>> =
        versions.iter().map(|version| version.strip_suffix(')')?.split_once(" (")).collect();
    match parts {
        Some(parts) if parts.iter().all(|(number, _)| *number == parts[0].0) => {
            let variants: Vec<&str> = parts.iter().map(|(_, variant)| *variant).collect();
            format!("{} ({})", parts[0].0, variants.join(", "))
        }
        _ => versions.join(", "),
    }
}

/// `iptables v1.8.9 (legacy)` without the name, `nft v1.0.6 (Lester Gooch #5)` also without the nickname.
fn version(path: &Path) -> String {
    let output = std::process::Command::new(path).arg("--version").output();
    let text =
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let version = text.split_once(' ').map_or(text.as_str(), |(_, version)| version);
    match version.split_once(" (") {
        Some((number, nickname)) if nickname.contains('#') => number.to_owned(),
        _ => version.to_owned(),
    }
}

/// Settings of connection tracking that a lab inherits or shares.
fn sysctls() -> BTreeMap<String, String> {
    let names = [
        "net.netfilter.nf_conntrack_max",
        "net.netfilter.nf_conntrack_buckets",
        "net.netfilter.nf_conntrack_udp_timeout",
        "net.core.bpf_jit_enable",
        "net.core.rmem_max",
        "net.core.wmem_max",
        "kernel.pid_max",
    ];
    names
        .iter()
        .map(|name| (name.to_string(), read(&format!("/proc/sys/{}", name.replace('.', "/")))))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// UTC time to the second, as RFC 3339 writes it. The civil-from-days rule is that of H. Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms".
pub fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = ((seconds / 86_400) as i64 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        let at = |seconds| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_795_246_200), "2026-11-21T07:30:00Z");
    }
}
