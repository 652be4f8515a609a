//! Files below /proc and /sys, or below a copy of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a CPU's files are.
pub(super) const CPU: &str = "sys/devices/system/cpu";

/// The files of a machine.
#[derive(Clone, Copy)]
pub(super) struct Tree<'a>(pub(super) &'a Path);

impl Tree<'static> {
    /// Of the machine that this runs on.
    pub(super) fn here() -> Self {
        Tree(Path::new("/"))
    }
}

impl Tree<'_> {
    /// Frequency governor of a CPU; empty where there is none.
    pub(super) fn governor(self, cpu: u32) -> String {
        self.text(&format!("{CPU}/cpu{cpu}/cpufreq/scaling_governor"))
    }

    /// Vulnerability to what the kernel does about it.
    pub(super) fn mitigations(self) -> BTreeMap<String, String> {
        self.entries(&format!("{CPU}/vulnerabilities"))
    }

    /// Load averages, as proc_loadavg(5) has them.
    pub(super) fn load_average(self) -> String {
        self.text("proc/loadavg")
    }

    pub(super) fn path(self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// A file without the white space around it; empty if it cannot be read.
    pub(super) fn text(self, path: &str) -> String {
        fs::read(self.path(path))
            .map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
            .unwrap_or_default()
    }

    pub(super) fn number(self, path: &str) -> Option<u64> {
        self.text(path).parse().ok()
    }

    /// Names in a folder, sorted.
    pub(super) fn names(self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().filter_map(Result::ok);
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Names and contents of the files in a folder.
    pub(super) fn entries(self, path: &str) -> BTreeMap<String, String> {
        let of = |name: String| (name.clone(), self.text(&format!("{path}/{name}")));
        self.names(path).into_iter().map(of).filter(|(_, text)| !text.is_empty()).collect()
    }

    /// Numbers of the folders `cpu0`, `cpu1`, ...
    pub(super) fn cpus(self) -> Vec<u32> {
        let names = self.names(CPU);
        let mut numbers: Vec<u32> =
            names.iter().filter_map(|name| name.strip_prefix("cpu")?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// A list of numbers and ranges, `0-2,4`, as the kernel writes sets of processors.
    pub(super) fn list(self, path: &str) -> Vec<u32> {
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
    pub(super) fn turbo(self) -> Option<bool> {
        match self.number(&format!("{CPU}/intel_pstate/no_turbo")) {
            Some(off) => Some(off == 0),
            None => self.number(&format!("{CPU}/cpufreq/boost")).map(|on| on > 0),
        }
    }

    /// Name and exit latency in microseconds of what a core may enter (Documentation/admin-guide/pm/cpuidle.rst).
    pub(super) fn idle_states(self, core: usize) -> BTreeMap<String, u64> {
        let folder = format!("{CPU}/cpu{core}/cpuidle");
        let state = |name: String| {
            let of = |what: &str| self.text(&format!("{folder}/{name}/{what}"));
            let latency = of("latency").parse().ok()?;
            (of("disable") != "1").then(|| (of("name"), latency))
        };
        self.names(&folder).into_iter().filter_map(state).filter(|(name, _)| !name.is_empty()).collect()
    }

    /// Whether a program of this name runs; None without /proc.
    pub(super) fn runs(self, program: &str) -> Option<bool> {
        let names = self.names("proc");
        let mut processes = names.iter().filter(|name| name.parse::<u32>().is_ok()).peekable();
        processes.peek()?;
        Some(processes.any(|process| self.text(&format!("proc/{process}/comm")) == program))
    }

    /// What feeds the machine itself; a mouse has a battery too.
    pub(super) fn power(self) -> String {
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
