//! What a guest wants of the host: the emulator and memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::GuestError;
use crate::needs::find_program;

/// The emulator, and the Debian package that has it.
pub(crate) const EMULATOR: (&str, &str) = ("qemu-system-x86_64", "qemu-system-x86");
/// What QEMU needs beside the guest's memory, in MiB: translated code, most of all.
const EMULATOR_MIB: u64 = 256;

pub(crate) fn emulator() -> Result<PathBuf, GuestError> {
    let (program, package) = EMULATOR;
    if !cfg!(target_arch = "x86_64") {
        return Err(GuestError::Architecture);
    }
    find_program(program).ok_or(GuestError::NoEmulator { program, package })
}

/// The emulator's first line about itself.
pub(crate) fn version(program: &Path) -> Result<String, GuestError> {
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(|cause| GuestError::host(format!("run {}", program.display()), cause))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Whether the host has memory for a guest of this size in MiB, file system and all.
pub(crate) fn check_memory(guest_mib: u64) -> Result<(), GuestError> {
    let needed_mib = guest_mib + EMULATOR_MIB;
    match available_mib() {
        Some(available_mib) if available_mib < needed_mib => {
            Err(GuestError::HostMemory { needed_mib, available_mib })
        }
        _ => Ok(()),
    }
}

/// MemAvailable of proc_meminfo(5).
pub fn available_mib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? >> 10)
}
