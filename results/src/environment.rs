//! The environment record: `environment.json`, the facts without which a figure means nothing.

mod condition;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::condition::{Condition, Severity, Warning};
use crate::platform::Platform;
use crate::record::Clock;

/// Facts about the machine, the kernel, the tools and the run. A string that is empty is a fact that is unknown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Environment {
    /// Version of svcbench.
    pub tool_version: String,
    /// When the run started, RFC 3339.
    pub started: String,
    /// Identifier of the run.
    pub run: String,
    /// Seed of everything random in the run.
    pub seed: u64,
    /// The question that the sweep asks; the report's title.
    pub question: String,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -v`.
    pub kernel_version: String,
    /// The kernel's command line.
    pub command_line: String,
    /// Architecture, such as `x86_64`.
    pub machine: String,
    /// Processor model.
    pub cpu_model: String,
    /// Cores online.
    pub cores: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Clock of this lane's rows.
    pub clock: Clock,
    /// What the kernel runs on, exactly as this lane's rows have it: `none`, `kvm`, `tcg`, ...
    pub hypervisor: String,
    /// Version of the emulator that ran the guest, such as `QEMU emulator version 7.2.22`; empty for a host.
    pub emulator: String,
    /// Memory that the emulator gave to the guest, in bytes; absent for a host.
    pub guest_memory_bytes: Option<u64>,
    /// Hypervisor with the product's name, or container; `none` on bare metal.
    pub virtualisation: String,
    /// Vulnerability name to mitigation, from /sys/devices/system/cpu/vulnerabilities.
    pub mitigations: BTreeMap<String, String>,
    /// CPU frequency governor.
    pub governor: String,
    /// Simultaneous multithreading, as the kernel words it.
    pub smt: String,
    /// Core to which the measuring thread was pinned.
    pub measuring_core: Option<u32>,
    /// /proc/loadavg at the start.
    pub load_average: String,
    /// Cost of reading the clock twice, in nanoseconds.
    pub timer_overhead_ns: Option<u64>,
    /// Steal time seen during the run, in clock ticks.
    pub steal_ticks: Option<u64>,
    /// Program name to version, such as `iptables` to `v1.8.9 (legacy)`.
    pub programs: BTreeMap<String, String>,
    /// Sysctl name to value, of conntrack and ipvs.
    pub sysctls: BTreeMap<String, String>,
    /// The kube-proxy version whose rules are planned.
    pub kube_proxy: String,
    /// What else was in the kernel beside kube-proxy's rules, in words; empty: nothing.
    #[serde(alias = "neighbours", skip_serializing_if = "String::is_empty")]
    pub background: String,
    /// The slow-down that was injected to test a gate, in words; empty: none. A run with one says nothing about its modes.
    #[serde(alias = "planted", skip_serializing_if = "String::is_empty")]
    pub injected: String,
    /// The state of the machine when the run began; unknown for guests, whose machine is the host's.
    #[serde(skip_serializing_if = "Condition::is_unknown")]
    pub condition: Condition,
    /// What of it makes figures of the wall clock unreliable, or comparable with few others only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Duration of the run in seconds; absent while it runs or if it was killed.
    pub elapsed_seconds: Option<f64>,
    /// Environment records of the guests that the same run measured in, one for each lane.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guests: Vec<Environment>,
}

/// Why an `environment.json` could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// The file could not be opened, read or written.
    #[error("{}: {source}; check that the path names a run's folder", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not the environment record that this version writes; the message holds line and column.
    #[error("{}: {source}; correct the field, or use the version that wrote it", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
}

impl Environment {
    /// Reads an `environment.json`.
    ///
    /// # Errors
    ///
    /// [`EnvironmentError`]; unknown fields and wrong types are errors, missing fields are unknown facts.
    pub fn read(path: &Path) -> Result<Self, EnvironmentError> {
        let bytes =
            fs::read(path).map_err(|source| EnvironmentError::Io { path: path.to_owned(), source })?;
        serde_json::from_slice(&bytes)
            .map_err(|source| EnvironmentError::Json { path: path.to_owned(), source })
    }

    /// Writes an `environment.json`, indented, replacing the file atomically.
    ///
    /// # Errors
    ///
    /// [`EnvironmentError`]; a non-finite `elapsed_seconds` is written as absent.
    pub fn write(&self, path: &Path) -> Result<(), EnvironmentError> {
        let json = serde_json::to_vec_pretty(self)
            .map_err(|source| EnvironmentError::Json { path: path.to_owned(), source })?;
        let io = |source| EnvironmentError::Io { path: path.to_owned(), source };
        crate::record_file::replace(path, &[&json[..], b"\n"].concat()).map_err(io)
    }

    /// The environment record of the lane that measured the rows of `platform`: this one or one of its guests'. None if no lane
    /// says so. An environment record older than the field `hypervisor` belongs to rows older than that column.
    pub fn of(&self, platform: Platform<'_>) -> Option<&Environment> {
        if self.platform() == platform {
            Some(self)
        } else {
            self.guests.iter().find_map(|guest| guest.of(platform))
        }
    }

    /// The platform that this environment record itself describes.
    pub fn platform(&self) -> Platform<'_> {
        Platform { clock: self.clock, kernel: &self.kernel, hypervisor: &self.hypervisor }
    }

    /// One line for under a plot: clock unless it is the wall's, kernel, machine, hypervisor, tools, date. Unknown
    /// facts are left out.
    pub fn caption(&self) -> String {
        let mut parts = Vec::new();
        let mut push = |text: String| {
            if !text.is_empty() {
                parts.push(text);
            }
        };
        // First of all, so that nobody takes the figures for the modes' own.
        push(prefixed("INJECTED in ", &self.injected));
        if self.clock != Clock::Wall {
            push(self.clock.in_words().to_owned());
        }
        push(prefixed("Linux ", &self.kernel));
        let cores = match self.cores {
            0 => String::new(),
            1 => "1 core".to_owned(),
            cores => format!("{cores} cores"),
        };
        // An emulated processor's model says nothing about its speed.
        let model = if self.hypervisor == "tcg" { "" } else { self.cpu_model.as_str() };
        let model = model.replace("(R)", "").replace("(TM)", "");
        let model = model.split(" @ ").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
        push(
            [model.join(" "), cores]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(", "),
        );
        push(self.place());
        for name in ["iptables", "nft", "ipset", "ipvsadm"] {
            push(
                self.programs
                    .get(name)
                    .map(|version| prefixed(&format!("{name} "), version))
                    .unwrap_or_default(),
            );
        }
        push(self.started.chars().take_while(|c| *c != 'T').collect());
        parts.join(" · ")
    }

    /// What the kernel ran on, in words.
    fn place(&self) -> String {
        // `QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)` is `QEMU 7.2.22`.
        let emulator = self.emulator.split(" (").next().unwrap_or_default().replace("emulator version ", "");
        match (emulator.as_str(), self.hypervisor.as_str(), self.virtualisation.as_str()) {
            ("", _, "none") => "bare metal".to_owned(),
            ("", _, other) if other.is_empty() || other.starts_with("virtual machine") => other.to_owned(),
            ("", _, other) => format!("{other} guest"),
            (emulator, "tcg", _) => format!("emulated by {emulator}"),
            (emulator, "kvm", _) => format!("KVM guest of {emulator}"),
            (emulator, _, _) => format!("guest of {emulator}"),
        }
    }
}

fn prefixed(prefix: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{prefix}{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caption_leaves_out_what_is_unknown() {
        assert_eq!(Environment::default().caption(), "");
        let environment = Environment {
            kernel: "6.18.44".into(),
            cpu_model: "Intel(R) Xeon(R) Processor @ 2.60GHz".into(),
            cores: 2,
            virtualisation: "KVM".into(),
            programs: [("nft".to_owned(), "v1.0.6".to_owned()), ("iptables".to_owned(), "v1.8.9".to_owned())]
                .into(),
            started: "2026-11-21T07:40:00Z".into(),
            ..Environment::default()
        };
        let injected = Environment { injected: "nftables: 20 rules".into(), ..environment.clone() };
        assert!(injected.caption().starts_with("INJECTED in nftables: 20 rules · Linux 6.18.44"));
        assert_eq!(
            environment.caption(),
            "Linux 6.18.44 · Intel Xeon Processor, 2 cores · KVM guest · iptables v1.8.9 · nft v1.0.6 · 2026-11-21"
        );
    }

    #[test]
    fn guests_have_passports_of_their_own() {
        let guest = Environment {
            clock: Clock::Instructions,
            kernel: "6.1.0".into(),
            hypervisor: "tcg".into(),
            emulator: "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)".into(),
            virtualisation: "virtual machine (QEMU Standard PC)".into(),
            cpu_model: "QEMU TCG CPU version 2.5+".into(),
            cores: 1,
            ..Environment::default()
        };
        assert_eq!(guest.caption(), "instruction clock · Linux 6.1.0 · 1 core · emulated by QEMU 7.2.22");
        let host = Environment {
            kernel: "6.18".into(),
            hypervisor: "virtual machine".into(),
            guests: vec![guest.clone()],
            ..Environment::default()
        };
        let platform = |clock, kernel, hypervisor| Platform { clock, kernel, hypervisor };
        let of = |clock, kernel, hypervisor| host.of(platform(clock, kernel, hypervisor));
        assert_eq!(of(Clock::Wall, "6.18", "virtual machine"), Some(&host));
        assert_eq!(of(Clock::Instructions, "6.1.0", "tcg"), Some(&guest));
        assert_eq!(of(Clock::Wall, "6.1.0", "tcg"), None);
        assert_eq!(of(Clock::Instructions, "6.1.0", "kvm"), None);
        assert_eq!(of(Clock::Wall, "6.18", ""), None);
        let json = serde_json::to_string(&host).unwrap();
        assert_eq!(json.matches("guests").count(), 1, "an empty list is left out: {json}");
        assert_eq!(serde_json::from_str::<Environment>(&json).unwrap(), host);
    }

    #[test]
    fn fields_are_read_by_their_old_names() {
        let old = r#"{"neighbours": "calico, 100 pods", "planted": "20 rules", "warnings": [
            {"name": "load", "severity": "spoils", "what": "", "why": "", "how": ""}
        ]}"#;
        let environment: Environment = serde_json::from_str(old).unwrap();
        assert_eq!(
            (environment.background.as_str(), environment.injected.as_str()),
            ("calico, 100 pods", "20 rules")
        );
        let new = serde_json::to_string(&environment).unwrap();
        for name in [r#""background":"calico"#, r#""injected":"20"#, r#""severity":"unreliable""#] {
            assert!(new.contains(name), "{name}: {new}");
        }
    }

    #[test]
    fn it_survives_a_round_trip_and_names_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("environment.json");
        let environment =
            Environment { seed: u64::MAX, elapsed_seconds: Some(1.5), ..Environment::default() };
        environment.write(&path).unwrap();
        assert_eq!(Environment::read(&path).unwrap(), environment);
        fs::write(&path, "{\"kernal\": \"6.1\"}").unwrap();
        let message = Environment::read(&path).unwrap_err().to_string();
        assert!(message.contains("unknown field `kernal`") && message.contains("line 1"), "{message}");
    }
}
