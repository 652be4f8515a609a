//! QEMU's command line and the kernel's, as data.

use std::path::Path;

/// How the guest's processor comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Processor {
    Kvm,
    Emulated,
    /// Emulated, with a clock that advances one nanosecond per instruction.
    Counted,
}

/// All that differs between guests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine<'m> {
    pub(crate) processor: Processor,
    pub(crate) memory_mib: u32,
    pub(crate) kernel: &'m Path,
    /// A path under /proc: the archive lies in memory.
    pub(crate) initrd: &'m str,
    /// More kernel parameters; the last of a kind wins.
    pub(crate) append: &'m [String],
}

/// The guest's console and its data port. QEMU inherits pipes as descriptors 1 and 0 and opens them by name (a chardev
/// of kind `file` wants a name), so nothing touches the host's disk.
const CONSOLE: &str = "file,id=console,path=/proc/self/fd/1";
const DATA: &str = "file,id=data,path=/proc/self/fd/0";

/// Kernel parameters (Documentation/admin-guide/kernel-parameters.txt) of every guest.
///
/// - `quiet panic=-1 oops=panic reboot=t`: only grave news on the console; a panic or an oops ends the guest at once, by
///   a triple fault, which QEMU takes for a reset even where the firmware offers no other way;
/// - `nokaslr norandmaps`: addresses, and with them hash values and cache sets, are the same in every boot;
/// - `mitigations=off`: an emulated processor has nothing to mitigate;
/// - `cryptomgr.notests nowatchdog`: a fifth of the boot, and timers that nobody needs.
const PARAMETERS: &str = "console=ttyS0 quiet panic=-1 oops=panic reboot=t nokaslr norandmaps mitigations=off \
                          cryptomgr.notests nowatchdog";

/// Where instructions are time, waiting is work, and the kernel waits while it finds out how fast its clocks are.
/// `nolapic_timer` spares the calibration of the local APIC's timer: 100 ms of spinning, more than half of the boot. The
/// PIT serves instead, which takes a machine without ACPI: with ACPI this one has no timer then at all, and nothing that
/// sleeps ever wakes. `tsc_early_khz` states what is so by definition: one cycle of the time stamp counter is one
/// nanosecond, hence one nanosecond of CLOCK_MONOTONIC is exactly one instruction.
const COUNTED_PARAMETERS: &str = "nolapic_timer tsc_early_khz=1000000 tsc=reliable";

/// QEMU's arguments.
pub(crate) fn arguments(machine: &Machine) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut add = |text: &str| arguments.extend(text.split(' ').map(str::to_owned));
    // No disk, no network, no display, no monitor, nothing from configuration files.
    add("-nodefaults -no-user-config -display none -vga none -no-reboot -nic none");
    add("-smp 1 -cpu max");
    match machine.processor {
        // An ordinary PC. It has clocks (HPET) against which the kernel can check the time stamp counter: where a busy
        // host upsets that and there is none, an emulated guest does not boot.
        Processor::Kvm => add("-machine q35 -accel kvm"),
        Processor::Emulated => add("-machine q35 -accel tcg,thread=single"),
        // The smallest machine: no bus to search, no other clock. The same random numbers (RDRAND, the seed that the
        // firmware hands over) and the same date in every boot, and no host time anywhere. `sleep=off`: while all are
        // idle the clock jumps to the next timer.
        Processor::Counted => add(
            "-machine microvm,acpi=off,rtc=on -accel tcg,thread=single -icount shift=0,sleep=off -seed 1 \
             -rtc base=2026-01-01T00:00:00,clock=vm",
        ),
    }
    add(&format!("-m {}M", machine.memory_mib));
    add(&format!("-chardev {CONSOLE} -serial chardev:console"));
    add(&format!("-chardev {DATA} -device isa-serial,chardev=data,index=1"));
    arguments.extend(["-kernel".into(), machine.kernel.to_string_lossy().into_owned()]);
    arguments.extend(["-initrd".into(), machine.initrd.to_owned()]);
    arguments.extend(["-append".into(), parameters(machine)]);
    arguments
}

fn parameters(machine: &Machine) -> String {
    let counted = (machine.processor == Processor::Counted).then_some(COUNTED_PARAMETERS);
    let own = [PARAMETERS].into_iter().chain(counted);
    own.chain(machine.append.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(processor: Processor) -> String {
        let append = ["loglevel=7".to_owned()];
        let (kernel, initrd) = (Path::new("/boot/vmlinuz with space"), "/proc/7/fd/3");
        arguments(&Machine { processor, memory_mib: 2048, kernel, initrd, append: &append }).join("|")
    }

    #[test]
    fn the_instruction_clock_sees_nothing_of_the_host() {
        assert_eq!(
            line(Processor::Counted),
            "-nodefaults|-no-user-config|-display|none|-vga|none|-no-reboot|-nic|none|-smp|1|-cpu|max|-machine|\
             microvm,acpi=off,rtc=on|-accel|tcg,thread=single|-icount|shift=0,sleep=off|-seed|1|-rtc|\
             base=2026-01-01T00:00:00,clock=vm|-m|2048M|-chardev|file,id=console,path=/proc/self/fd/1|-serial|\
             chardev:console|-chardev|file,id=data,path=/proc/self/fd/0|-device|isa-serial,chardev=data,index=1|\
             -kernel|/boot/vmlinuz with space|-initrd|/proc/7/fd/3|-append|console=ttyS0 quiet panic=-1 oops=panic \
             reboot=t nokaslr norandmaps mitigations=off cryptomgr.notests nowatchdog nolapic_timer \
             tsc_early_khz=1000000 tsc=reliable loglevel=7"
        );
    }

    #[test]
    fn other_clocks_follow_the_host() {
        for (processor, accelerator) in [(Processor::Kvm, "kvm"), (Processor::Emulated, "tcg,thread=single")]
        {
            let line = line(processor);
            assert!(line.contains(&format!("|-machine|q35|-accel|{accelerator}|-m|2048M|")), "{line}");
            assert!(!line.contains("icount") && !line.contains("-rtc") && !line.contains("tsc"), "{line}");
        }
    }
}
