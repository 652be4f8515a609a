//! A guest from start to end, as seen from the host.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::command::{self, Machine, Processor};
use super::console::{Cause, Console};
use super::error::GuestError;
use super::image::Image;
use super::kernel::Kernel;
use super::process::{Next, Process};
use super::protocol::Control;
use crate::find_program;

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

/// A running guest. Dropping it kills it; no emulator outlives this process, however that ends.
#[derive(Debug)]
pub struct Guest {
    process: Process,
    facts: Facts,
    memory_mib: u32,
    silence_timeout: Duration,
    ended: bool,
}

/// The emulator, and the Debian package that has it.
pub(crate) const EMULATOR: (&str, &str) = ("qemu-system-x86_64", "qemu-system-x86");

/// A guest under KVM is up in a second or two. One that KVM cannot run may sit in its firmware for ever.
const KVM_PATIENCE: Duration = Duration::from_secs(8);
/// How often a stop request is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// How long QEMU may take to end once its guest has.
const GRACE: Duration = Duration::from_secs(3);
/// What QEMU needs beside the guest's memory: translated code, most of all.
const EMULATOR_MIB: u64 = 256;

/// Why KVM did not boot a guest of this process: it is not tried again.
static KVM_REFUSED: OnceLock<String> = OnceLock::new();

impl Guest {
    /// Boots a guest and returns when its work starts.
    ///
    /// `stop` is asked all along; when it says so, the guest is ended with [`GuestError::Stopped`].
    ///
    /// # Errors
    /// There is no emulator or not enough memory, KVM was asked for and does not work, or the guest does not boot.
    pub fn start(spec: &Spec, stop: &dyn Fn() -> bool) -> Result<Guest, GuestError> {
        let program = emulator()?;
        let emulator = version(&program)?;
        let archive = spec.image.archive()?;
        check_memory(u64::from(spec.memory_mib) + (spec.image.size() >> 20))?;
        // QEMU opens it through /proc: as it is never shared, nothing has to be inherited.
        let initrd = format!("/proc/{}/fd/{}", std::process::id(), archive.as_raw_fd());
        let boot = |processor, patience| {
            let machine = Machine {
                processor,
                memory_mib: spec.memory_mib,
                kernel: &spec.kernel.image,
                initrd: &initrd,
                append: &spec.append,
            };
            boot(&program, &machine, patience, spec.boot_timeout, stop)
        };
        let mut why_not_kvm = None;
        let emulated = match spec.clock {
            Clock::Wall => Processor::Emulated,
            Clock::Instructions => Processor::Counted,
        };
        let (processor, booted) = match (spec.accelerator, spec.clock) {
            (Accelerator::Kvm, Clock::Instructions) => return Err(GuestError::KvmClock),
            (Accelerator::Kvm, Clock::Wall) => {
                let booted = boot(Processor::Kvm, KVM_PATIENCE.min(spec.boot_timeout));
                (
                    Processor::Kvm,
                    booted.map_err(|error| kvm_error(error).map_or_else(|own| own, GuestError::kvm))?,
                )
            }
            (Accelerator::Auto, Clock::Wall) => match try_kvm(|patience| boot(Processor::Kvm, patience))? {
                Ok(booted) => (Processor::Kvm, booted),
                Err(why) => {
                    why_not_kvm = Some(why);
                    (emulated, boot(emulated, spec.boot_timeout)?)
                }
            },
            (Accelerator::Emulation, _) | (Accelerator::Auto, Clock::Instructions) => {
                (emulated, boot(emulated, spec.boot_timeout)?)
            }
        };
        let accelerator = if processor == Processor::Kvm { "kvm" } else { "tcg" };
        let Booted { process, release, boot, setup } = booted;
        let facts = Facts {
            accelerator,
            why_not_kvm,
            emulator,
            kernel_release: release,
            boot,
            setup,
            modules_asked: Vec::new(),
            console: Vec::new(),
        };
        let (memory_mib, silence_timeout) = (spec.memory_mib, spec.silence_timeout);
        Ok(Guest { process, facts, memory_mib, silence_timeout, ended: false })
    }

    /// The next line that the work sends, without its end; none once the work has ended well. Never blocks the guest:
    /// lines wait in memory.
    ///
    /// # Errors
    /// The guest died, hung, or its work failed; it is ended then.
    pub fn next(&mut self, stop: &dyn Fn() -> bool) -> Result<Option<Vec<u8>>, GuestError> {
        if self.ended {
            return Ok(None);
        }
        let since = Instant::now();
        loop {
            if stop() {
                self.end(Duration::ZERO);
                return Err(GuestError::Stopped);
            }
            match self.process.next(LOOK) {
                Next::Line(line) => match Control::decode(&line) {
                    None => return Ok(Some(line)),
                    Some(Control::End { code, status }) => {
                        self.end(GRACE);
                        let console = self.process.console(Console::lines);
                        return if code == 0 { Ok(None) } else { Err(GuestError::Work { status, console }) };
                    }
                    Some(_) => {}
                },
                Next::Nothing if since.elapsed() < self.silence_timeout => {}
                Next::Nothing => {
                    self.end(Duration::ZERO);
                    let after = self.silence_timeout;
                    let silence = |console| GuestError::Silence { after, console };
                    return Err(diagnosis(&self.process, self.memory_mib, silence));
                }
                Next::Closed => {
                    let status = self.end(GRACE);
                    let said = self.process.said();
                    let ended = |console| GuestError::Ended { status, said, console };
                    return Err(diagnosis(&self.process, self.memory_mib, ended));
                }
            }
        }
    }

    /// What is known of the guest by now. The console is complete once the guest has ended.
    pub fn report(&self) -> Facts {
        let (console, modules_asked) = self.process.console(|console| (console.lines(), console.asked()));
        Facts { console, modules_asked, ..self.facts.clone() }
    }

    fn end(&mut self, grace: Duration) -> String {
        self.ended = true;
        self.process.end(grace)
    }
}

struct Booted {
    process: Process,
    release: String,
    boot: Duration,
    setup: Duration,
}

/// `patience`: until the first program runs. `timeout`: until the work starts.
fn boot(
    program: &Path,
    machine: &Machine,
    patience: Duration,
    timeout: Duration,
    stop: &dyn Fn() -> bool,
) -> Result<Booted, GuestError> {
    let start = Instant::now();
    let mut process = Process::start(program, &command::arguments(machine))?;
    let mut hello = None;
    loop {
        if stop() {
            return Err(GuestError::Stopped);
        }
        let limit = if hello.is_some() { timeout } else { patience };
        match process.next(LOOK) {
            Next::Line(line) => match Control::decode(&line) {
                Some(Control::Hello { release }) => hello = Some((release, start.elapsed())),
                Some(Control::Failed { why }) => {
                    process.end(GRACE);
                    return Err(GuestError::Setup { why, console: process.console(Console::lines) });
                }
                Some(Control::Start) => {
                    let (release, boot) = hello.unwrap_or_default();
                    return Ok(Booted {
                        process,
                        release,
                        boot,
                        setup: start.elapsed().saturating_sub(boot),
                    });
                }
                Some(Control::End { .. }) | None => {}
            },
            Next::Nothing if start.elapsed() < limit => {}
            Next::Nothing => {
                process.end(Duration::ZERO);
                let timed_out = |console| GuestError::BootTimeout { after: limit, console };
                return Err(diagnosis(&process, machine.memory_mib, timed_out));
            }
            Next::Closed => {
                let status = process.end(GRACE);
                let said = process.said();
                let ended = |console: Vec<String>| match hello.is_none() && console.is_empty() {
                    true => GuestError::Refused { status, said },
                    false => GuestError::Ended { status, said, console },
                };
                return Err(diagnosis(&process, machine.memory_mib, ended));
            }
        }
    }
}

/// Says what the guest's kernel has said of its end, else what the host saw.
fn diagnosis(process: &Process, memory_mib: u32, seen: impl FnOnce(Vec<String>) -> GuestError) -> GuestError {
    let (cause, console) = process.console(|console| (console.cause(), console.lines()));
    match cause {
        Some(Cause::OutOfMemory) => GuestError::OutOfMemory { memory_mib, console },
        Some(Cause::Panic(what)) => GuestError::Panic { what, console },
        None => seen(console),
    }
}

/// The guest, or why KVM does not boot it.
fn try_kvm(
    boot: impl FnOnce(Duration) -> Result<Booted, GuestError>,
) -> Result<Result<Booted, String>, GuestError> {
    if let Some(why) = KVM_REFUSED.get() {
        return Ok(Err(why.clone()));
    }
    if let Err(cause) = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        return Ok(Err(format!("/dev/kvm: {cause}")));
    }
    match boot(KVM_PATIENCE) {
        Ok(booted) => Ok(Ok(booted)),
        Err(error) => {
            let why = kvm_error(error).map_or_else(Err, Ok)?;
            Ok(Err(KVM_REFUSED.get_or_init(|| why).clone()))
        }
    }
}

/// Why KVM did not boot it, if KVM is to blame.
fn kvm_error(error: GuestError) -> Result<String, GuestError> {
    match error {
        GuestError::BootTimeout { after, .. } => {
            Ok(format!("the guest gave no sign of life within {} s", after.as_secs()))
        }
        GuestError::Refused { said, .. } => Ok(said),
        other => Err(other),
    }
}

impl GuestError {
    fn kvm(why: String) -> GuestError {
        GuestError::Kvm { why }
    }
}

pub(crate) fn emulator() -> Result<PathBuf, GuestError> {
    let (program, package) = EMULATOR;
    if !cfg!(target_arch = "x86_64") {
        return Err(GuestError::Architecture);
    }
    find_program(program).ok_or(GuestError::NoEmulator { program, package })
}

pub(crate) fn version(program: &Path) -> Result<String, GuestError> {
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(|cause| GuestError::host(format!("run {}", program.display()), cause))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

fn check_memory(guest_mib: u64) -> Result<(), GuestError> {
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
