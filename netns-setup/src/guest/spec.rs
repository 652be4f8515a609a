//! What a guest is to be, and what it turned out to be.

use std::time::Duration;

use super::image::Image;
use super::kernel::Kernel;

/// What a guest's nanoseconds are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The host's time.
    Wall,
    /// One nanosecond per instruction that the guest executes, whatever the host does. While nothing runs in the guest
    /// its clock jumps to the next timer.
    Instructions,
}

/// How the guest's instructions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// KVM if it boots the guest, else emulation. Emulation with [`Clock::Instructions`].
    Auto,
    /// By the processor, in a virtual machine.
    Kvm,
    /// By QEMU (TCG).
    Emulation,
}

/// What to boot, and how.
#[derive(Debug, Clone)]
pub struct Spec<'s> {
    /// The kernel.
    pub kernel: &'s Kernel,
    /// The file system, modules included.
    pub image: &'s Image,
    /// Memory of the guest in MiB. The file system lies in it.
    pub memory_mib: u32,
    /// The guest's clock.
    pub clock: Clock,
    /// How it is executed.
    pub accelerator: Accelerator,
    /// More kernel parameters.
    pub append: Vec<String>,
    /// How long the guest may take until its work starts.
    pub boot_timeout: Duration,
    /// How long the work may send nothing.
    pub silence_timeout: Duration,
}

/// What is known of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `kvm` or `tcg`.
    pub accelerator: &'static str,
    /// Why it is emulated although KVM might have been used.
    pub why_not_kvm: Option<String>,
    /// The emulator's first line about itself: `QEMU emulator version 7.2.22 (...)`.
    pub emulator: String,
    /// `uname -r` inside.
    pub kernel_release: String,
    /// Wall time from the start to the guest's first program.
    pub boot: Duration,
    /// Wall time from there to the start of its work: modules, mounts.
    pub setup: Duration,
    /// Names that the kernel gave to modprobe while it ran: modules that were not loaded beforehand, or devices and
    /// protocols that do not exist. Sorted.
    pub modules_asked: Vec<String>,
    /// The last lines of its console.
    pub console: Vec<String>,
}
