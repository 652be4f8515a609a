//! Booting a guest: under KVM where that works, until its work starts.

use std::fs;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::command::{self, Machine, Processor};
use super::console::{Cause, Console};
use super::error::GuestError;
use super::host;
use super::process::{Next, Process};
use super::protocol::Control;
use super::spec::{Accelerator, Clock, Facts, Spec};
use crate::error::answer;

/// A guest under KVM is up in a second or two. One that KVM cannot run may sit in its firmware for ever.
const KVM_BOOT_TIMEOUT: Duration = Duration::from_secs(8);
/// How often a stop request is looked for.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long QEMU may take to end once its guest has.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// Why KVM did not boot a guest of this process: it is not tried again.
static KVM_REFUSED: OnceLock<String> = OnceLock::new();

/// The guest whose work has just started.
pub(crate) fn boot(spec: &Spec, stop: &dyn Fn() -> bool) -> Result<(Process, Facts), GuestError> {
    if (spec.accelerator, spec.clock) == (Accelerator::Kvm, Clock::Instructions) {
        return Err(GuestError::KvmClock);
    }
    let program = host::emulator()?;
    let emulator = host::version(&program)?;
    host::check_memory(u64::from(spec.memory_mib) + (spec.image.size() >> 20))?;
    let archive = spec.image.archive()?;
    // QEMU opens it through /proc: nothing has to be inherited.
    let initrd = format!("/proc/{}/fd/{}", std::process::id(), archive.as_raw_fd());
    let attempt = |processor| {
        let (memory_mib, kernel, append) = (spec.memory_mib, &*spec.kernel.image, &*spec.append);
        let machine = Machine { processor, memory_mib, kernel, initrd: &initrd, append };
        let process = Process::start(&program, &command::arguments(&machine))?;
        wait_for_start(process, spec, processor, stop)
    };
    let emulated = match spec.clock {
        Clock::Wall => Processor::Emulated,
        Clock::Instructions => Processor::Counted,
    };
    let mut why_not_kvm = None;
    let (accelerator, booted) = match (spec.accelerator, spec.clock) {
        (Accelerator::Emulation, _) | (_, Clock::Instructions) => ("tcg", attempt(emulated)?),
        (Accelerator::Kvm, Clock::Wall) => {
            let answer = with_kvm(|| attempt(Processor::Kvm))?;
            ("kvm", answer.map_err(|why| GuestError::Kvm { why })?)
        }
        (Accelerator::Auto, Clock::Wall) => match with_kvm(|| attempt(Processor::Kvm))? {
            Ok(booted) => ("kvm", booted),
            Err(why) => {
                why_not_kvm = Some(why);
                ("tcg", attempt(emulated)?)
            }
        },
    };
    let facts = Facts {
        accelerator,
        why_not_kvm,
        emulator,
        kernel_release: booted.release,
        boot: booted.boot,
        setup: booted.setup,
        modules_asked: Vec::new(),
        console: Vec::new(),
    };
    Ok((booted.process, facts))
}

/// The guest, or why KVM does not boot it; another error if KVM is not to blame.
fn with_kvm(
    attempt: impl FnOnce() -> Result<Booted, GuestError>,
) -> Result<Result<Booted, String>, GuestError> {
    if let Some(why) = KVM_REFUSED.get() {
        return Ok(Err(why.clone()));
    }
    if let Err(cause) = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        return Ok(Err(format!("/dev/kvm: {}", answer(&cause))));
    }
    let why = match attempt() {
        Ok(booted) => return Ok(Ok(booted)),
        Err(GuestError::BootTimeout { after, .. }) => {
            format!("the guest gave no sign of life within {} s", after.as_secs())
        }
        Err(GuestError::Refused { said, .. }) => said,
        Err(GuestError::Reset { .. }) => "the guest reset itself at once".into(),
        Err(other) => return Err(other),
    };
    Ok(Err(KVM_REFUSED.get_or_init(|| why).clone()))
}

struct Booted {
    process: Process,
    release: String,
    boot: Duration,
    setup: Duration,
}

fn wait_for_start(
    mut process: Process,
    spec: &Spec,
    processor: Processor,
    stop: &dyn Fn() -> bool,
) -> Result<Booted, GuestError> {
    let start = Instant::now();
    let mut hello: Option<(String, Duration)> = None;
    loop {
        if stop() {
            return Err(GuestError::Stopped);
        }
        let limit = match processor {
            Processor::Kvm if hello.is_none() => KVM_BOOT_TIMEOUT.min(spec.boot_timeout),
            _ => spec.boot_timeout,
        };
        match process.next(POLL_INTERVAL) {
            Next::Line(line) => match Control::decode(&line) {
                Some(Control::Hello { release }) => hello = Some((release, start.elapsed())),
                Some(Control::Failed { why }) => {
                    process.end(GRACE);
                    return Err(GuestError::Setup { why, console: process.console(Console::lines) });
                }
                Some(Control::Start) => {
                    let (release, boot) = hello.unwrap_or_default();
                    let setup = start.elapsed().saturating_sub(boot);
                    return Ok(Booted { process, release, boot, setup });
                }
                Some(Control::End { .. }) | None => {}
            },
            Next::Nothing if start.elapsed() < limit => {}
            Next::Nothing => {
                process.end(Duration::ZERO);
                let timed_out = |console| GuestError::BootTimeout { after: limit, console };
                return Err(diagnosis(&process, spec.memory_mib, timed_out));
            }
            Next::Closed => {
                let status = process.end(GRACE);
                let said = process.said();
                let unheard = hello.is_none();
                let ended = |console: Vec<String>| match (unheard && console.is_empty(), said.is_empty()) {
                    (false, _) => GuestError::Ended { status: status.to_string(), said, console },
                    // A reset is a good end, for QEMU.
                    (true, true) if status.success() => GuestError::Reset { memory_mib: spec.memory_mib },
                    (true, _) => GuestError::Refused { status: status.to_string(), said },
                };
                return Err(diagnosis(&process, spec.memory_mib, ended));
            }
        }
    }
}

/// What the guest's kernel has said of its end, else what the host saw.
pub(crate) fn diagnosis(
    process: &Process,
    memory_mib: u32,
    seen: impl FnOnce(Vec<String>) -> GuestError,
) -> GuestError {
    let (cause, console) = process.console(|console| (console.cause(), console.lines()));
    match cause {
        Some(Cause::OutOfMemory) => GuestError::OutOfMemory { memory_mib, console },
        Some(Cause::Panic(what)) => GuestError::Panic { what, console },
        None => seen(console),
    }
}
