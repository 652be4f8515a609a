//! Whether this machine can run guests, reported like a [`Need`](crate::Need).

use super::error::GuestError;
use super::host::{EMULATOR, available_mib, emulator, version};
use super::kernel::Kernel;
use crate::needs::{Found, Missing, find_program};

/// Memory that a small guest and its emulator take.
const LEAST_MIB: u64 = 1024;

/// Looks for the emulator, a kernel (in the cache, or apt to fetch one) and memory. Fetches nothing and boots nothing.
///
/// # Errors
/// What is missing, why, and how to get it.
pub fn check() -> Result<Found, Missing> {
    let missing = |what: &str, why: String, how: &str| Missing { what: what.into(), why, how: how.into() };
    let (_, package) = EMULATOR;
    let emulator = emulator().and_then(|program| version(&program)).map_err(|error| match error {
        GuestError::NoEmulator { program, .. } => {
            missing("QEMU", format!("no program {program}"), &format!("apt install {package}"))
        }
        other => missing("QEMU", other.to_string(), &format!("apt install {package}, on x86-64")),
    })?;
    let kernel = match Kernel::cached() {
        Some(kernel) => format!("kernel {}", kernel.release),
        None if ["apt-get", "apt-cache", "dpkg"].iter().all(|name| find_program(name).is_some()) => {
            "a kernel would be fetched with apt-get".into()
        }
        None => {
            return Err(missing(
                "a kernel for guests",
                "none in the cache, and no apt-get to fetch one".into(),
                "give one: --guest-kernel /boot/vmlinuz-RELEASE --guest-modules /lib/modules/RELEASE",
            ));
        }
    };
    if let Some(available) = available_mib().filter(|&available| available < LEAST_MIB) {
        return Err(missing(
            "memory for guests",
            format!("{available} MiB are available"),
            "free 1 GiB of memory",
        ));
    }
    let kvm = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
    let accelerator = if kvm { "KVM if it boots a guest, else emulation" } else { "emulation" };
    Ok(Found { detail: format!("{emulator}; {kernel}; {accelerator}") })
}
