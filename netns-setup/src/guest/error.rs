//! What can go wrong with a guest: what failed, why, and what to do next.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::console::PANIC;
use crate::error::answer;

/// A guest that could not be made, or that ended badly.
///
/// Variants with a `console` carry the guest's last console lines, oldest first, and show them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// This build is for an architecture that no emulator of ours boots.
    #[error(
        "guests run this same program, and are built for x86-64 only so far; this build is for {}",
        std::env::consts::ARCH
    )]
    Architecture,

    /// A file or folder of the host could not be read.
    #[error("{}: {}", path.display(), answer(cause))]
    File {
        /// The file.
        path: PathBuf,
        /// The answer. Part of the message already, hence not also `source()`.
        cause: io::Error,
    },
    /// The file given as a kernel is none that a PC can boot.
    #[error("{} is not a kernel image: {why}; give the vmlinuz of an x86-64 kernel", path.display())]
    NotAKernel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The folder given for modules holds none.
    #[error(
        "{} holds no kernel modules: give the folder lib/modules/{release} that came with the kernel",
        path.display()
    )]
    NotModules {
        /// The folder.
        path: PathBuf,
        /// The kernel's release.
        release: String,
    },
    /// The kernel and its modules are of different versions.
    #[error(
        "kernel {} is {release}, but {} is for {found}: give the modules that came with the kernel",
        image.display(), modules.display()
    )]
    ModulesVersion {
        /// The kernel's file.
        image: PathBuf,
        /// The kernel's release.
        release: String,
        /// The modules' folder, or a module in it.
        modules: PathBuf,
        /// The release the modules are for.
        found: String,
    },
    /// Modules are needed, and no folder with modules was given.
    #[error(
        "kernel {release} needs the modules {needed}, and no folder with modules is known for it: give --guest-modules \
         .../lib/modules/{release}"
    )]
    NoModules {
        /// The kernel's release.
        release: String,
        /// The modules' names.
        needed: String,
    },
    /// A module is neither in the folder nor built into the kernel.
    #[error(
        "module {name} is missing for kernel {release}{}: neither in {} nor built in (modules.builtin); use a kernel \
         built with it",
        needed_by.as_ref().map(|other| format!(" (needed by {other})")).unwrap_or_default(), folder.display()
    )]
    ModuleMissing {
        /// The module.
        name: String,
        /// The module that depends on it, if it was not asked for itself.
        needed_by: Option<String>,
        /// The kernel's release.
        release: String,
        /// Where it was sought.
        folder: PathBuf,
    },
    /// A compressed module could not be unpacked.
    #[error("{} could not be unpacked with `{program}` (package {package}): {why}", path.display())]
    Unpack {
        /// The module's file.
        path: PathBuf,
        /// The program.
        program: &'static str,
        /// Its Debian package.
        package: &'static str,
        /// What it said.
        why: String,
    },
    /// The stock kernel could not be fetched.
    #[error(
        "no kernel for the guest: {step}: {why}; {how}, or give a kernel that is here: --guest-kernel \
         /boot/vmlinuz-RELEASE --guest-modules /lib/modules/RELEASE"
    )]
    Fetch {
        /// What was tried.
        step: String,
        /// What happened.
        why: String,
        /// What helps.
        how: &'static str,
    },

    /// A program, library or module of the host is not what it should be.
    #[error("{} is not usable in a guest: {why}", path.display())]
    Elf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A shared library that a program needs is not on this host.
    #[error("{} needs {library}, which is in none of the loader's folders; install the package it belongs to", needed_by.display())]
    LibraryMissing {
        /// Its name (DT_NEEDED).
        library: String,
        /// The program or library that needs it.
        needed_by: PathBuf,
    },
    /// Two things of different kinds at one path of the image.
    #[error("the guest's file system cannot hold {path} both as {first} and as {second}")]
    Clash {
        /// The path in the guest.
        path: String,
        /// What is there.
        first: &'static str,
        /// What was to be there.
        second: &'static str,
    },

    /// QEMU is not installed.
    #[error("no program {program} in PATH: apt install {package}")]
    NoEmulator {
        /// The program.
        program: &'static str,
        /// Its Debian package.
        package: &'static str,
    },
    /// The host has not enough free memory.
    #[error(
        "the guest needs {needed_mib} MiB of memory and {available_mib} MiB are available (MemAvailable): close \
         programs, or run fewer Services at once"
    )]
    HostMemory {
        /// What the guest and its emulator need.
        needed_mib: u64,
        /// What the host has.
        available_mib: u64,
    },
    /// KVM was asked for and does not boot a guest.
    #[error("KVM does not boot a guest here: {why}; use emulation")]
    Kvm {
        /// What happened.
        why: String,
    },
    /// A clock that counts instructions exists under emulation only.
    #[error(
        "KVM cannot count instructions: use emulation with the instruction clock, or the wall clock with KVM"
    )]
    KvmClock,
    /// QEMU ended before the guest said anything.
    #[error("QEMU did not start the guest ({status}): {}", if said.is_empty() { "it said nothing" } else { said })]
    Refused {
        /// How it ended.
        status: String,
        /// What it said.
        said: String,
    },

    /// The guest's kernel reset the machine without a word.
    #[error(
        "the guest's kernel gave up before it could say why: {memory_mib} MiB of memory may be too little for it and its \
         file system, or its file is damaged"
    )]
    Reset {
        /// What it had.
        memory_mib: u32,
    },
    /// The guest did not get as far as its first program.
    #[error("the guest did not boot within {} s{}", after.as_secs(), last_words(console))]
    BootTimeout {
        /// How long it had.
        after: Duration,
        /// Its last console lines.
        console: Vec<String>,
    },
    /// The guest's first program could not set the guest up.
    #[error("the guest could not be set up: {why}{}", last_words(console))]
    Setup {
        /// What the first program said.
        why: String,
        /// The last console lines.
        console: Vec<String>,
    },
    /// No line came for too long.
    #[error("the guest has said nothing for {} s: it hangs, or a step takes longer{}", after.as_secs(), last_words(console))]
    Silence {
        /// How long it had.
        after: Duration,
        /// Its last console lines.
        console: Vec<String>,
    },
    /// The guest's kernel panicked.
    #[error("the guest's kernel panicked: {what}{}", last_words(console))]
    Panic {
        /// The panic's own line.
        what: String,
        /// The last console lines.
        console: Vec<String>,
    },
    /// The guest ran out of memory.
    #[error("the guest ran out of its {memory_mib} MiB of memory: give it more{}", last_words(console))]
    OutOfMemory {
        /// What it had.
        memory_mib: u32,
        /// Its last console lines.
        console: Vec<String>,
    },
    /// QEMU ended without the guest having said that it is done.
    #[error("the guest ended in the middle ({status}){}{}", said_by_emulator(said), last_words(console))]
    Ended {
        /// How QEMU ended.
        status: String,
        /// What QEMU said.
        said: String,
        /// The guest's last console lines.
        console: Vec<String>,
    },
    /// The work inside ended with an error of its own.
    #[error("the work in the guest failed ({status}){}", last_words(console))]
    Work {
        /// How it ended: `exit status: 1`, `signal: 9`.
        status: String,
        /// The last console lines.
        console: Vec<String>,
    },
    /// The caller asked to stop.
    #[error("stopped on request")]
    Stopped,
    /// A step on the host failed.
    #[error("{action}: {}", answer(cause))]
    Host {
        /// What was tried.
        action: String,
        /// The answer.
        cause: io::Error,
    },
}

impl GuestError {
    pub(crate) fn file(path: impl Into<PathBuf>, cause: io::Error) -> GuestError {
        GuestError::File { path: path.into(), cause }
    }

    pub(crate) fn host(action: impl Into<String>, cause: impl Into<io::Error>) -> GuestError {
        GuestError::Host { action: action.into(), cause: cause.into() }
    }
}

/// Lines of a console that a message shows; of a panic, as many before it, where an oops tells of its cause.
const SHOWN: usize = 12;

fn last_words(console: &[String]) -> String {
    if console.is_empty() {
        return "; its console is empty".into();
    }
    let panic = console.iter().position(|line| line.contains(PANIC));
    let end = panic.map_or(console.len(), |at| console.len().min(at + SHOWN));
    let from = panic.unwrap_or(end).saturating_sub(SHOWN);
    let mut text = "; its console's last lines:".to_owned();
    for line in &console[from..end] {
        text.push_str("\n    ");
        text.push_str(line);
    }
    text
}

fn said_by_emulator(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; QEMU said: {said}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_with_the_consoles_last_lines() {
        let console = (0..20).map(|n| format!("line {n}")).collect();
        let text = GuestError::Panic { what: "Attempted to kill init!".into(), console }.to_string();
        assert!(text.starts_with(
            "the guest's kernel panicked: Attempted to kill init!; its console's last lines:\n"
        ));
        assert!(
            text.ends_with("\n    line 19") && text.contains("line 8\n") && !text.contains("line 7\n"),
            "{text}"
        );
        let console =
            (0..50).map(|n| if n == 30 { format!("x {PANIC}y") } else { format!("line {n}") }).collect();
        let text = GuestError::Panic { what: "y".into(), console }.to_string();
        assert!(
            text.contains("\n    line 18\n") && text.ends_with("\n    line 41"),
            "the panic in the middle: {text}"
        );
        let silent = GuestError::BootTimeout { after: Duration::from_secs(8), console: vec![] };
        assert_eq!(silent.to_string(), "the guest did not boot within 8 s; its console is empty");
    }
}
