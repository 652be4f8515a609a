//! The guest's console, kept for the day when something goes wrong, and what it tells of a sudden end.

use std::collections::{BTreeSet, VecDeque};

/// Lines that are kept.
const KEPT: usize = 200;
/// Bytes of a line that are kept.
const WIDTH: usize = 1000;

/// What guests print that says nothing: the machine has no PCI bus and no ACPI, and ends by a reset.
const NOISE: [&str; 3] = [
    "PCI: Fatal: No config space access function found",
    "ACPI BIOS Error (bug): A valid RSDP was not found",
    "reboot: Restarting system",
];

/// What a panic begins with (kernel/panic.c).
pub(crate) const PANIC: &str = "Kernel panic - not syncing: ";

/// What the guest's modprobe prints before the module's name.
pub(crate) const ASKED: &str = "guest: the kernel asks for module ";

/// The last lines, as text.
#[derive(Debug, Default)]
pub(crate) struct Console {
    lines: VecDeque<String>,
    partial: Vec<u8>,
    asked: BTreeSet<String>,
}

/// Why a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    OutOfMemory,
    Panic(String),
}

impl Console {
    /// Takes what came next.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.partial.len() < WIDTH => self.partial.push(byte),
                _ => {}
            }
        }
    }

    /// The last lines, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let partial = readable(&self.partial);
        self.lines.iter().cloned().chain(Some(partial).filter(|line| !line.is_empty())).collect()
    }

    /// Modules that the kernel asked for while it ran, and that were not there.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.iter().cloned().collect()
    }

    /// Why the guest ended, if its kernel has said so.
    pub(crate) fn cause(&self) -> Option<Cause> {
        let lines = self.lines();
        let panic = lines.iter().find_map(|line| line.split_once(PANIC).map(|(_, what)| what.to_owned()));
        // mm/oom_kill.c; init/initramfs.c where the archive does not fit.
        let starved = |line: &String| {
            line.contains("Out of memory")
                || line.contains("System is deadlocked on memory")
                || line.contains("Initramfs unpacking failed: write error")
        };
        match panic {
            Some(_) if lines.iter().any(starved) => Some(Cause::OutOfMemory),
            Some(what) => Some(Cause::Panic(what)),
            None => None,
        }
    }

    fn end_line(&mut self) {
        let line = readable(&std::mem::take(&mut self.partial));
        if let Some((_, name)) = line.split_once(ASKED) {
            self.asked.insert(name.to_owned());
        }
        if line.is_empty() || NOISE.iter().any(|noise| line.contains(noise)) {
            return;
        }
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// Firmware moves the cursor about; a message must not.
fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .filter(|character| !character.is_control())
        .collect::<String>()
        .trim()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn console(text: &str) -> Console {
        let mut console = Console::default();
        text.bytes().for_each(|byte| console.take(&[byte]));
        console
    }

    #[test]
    fn the_last_lines_are_kept_as_text() {
        let console = console("\x1b[2Jone\r\n\r\n[    1.086807] reboot: Restarting system\r\n\ttwo\r\nthr");
        assert_eq!(console.lines(), ["[2Jone", "two", "thr"]);
        assert_eq!(console.cause(), None);
        let many: String = (0..500).map(|n| format!("{n}\n")).collect();
        let lines = super::tests::console(&many).lines();
        assert_eq!((lines.len(), lines[0].as_str(), lines[199].as_str()), (200, "300", "499"));
    }

    #[test]
    fn a_panic_is_found_and_want_of_memory_is_another_thing() {
        let panic = "[    1.5] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r\n[ 1.5] CPU: 0\r\n";
        assert_eq!(
            console(panic).cause(),
            Some(Cause::Panic("Attempted to kill init! exitcode=0x00000100".into()))
        );
        let memory =
            "[ 9.1] Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled\n";
        assert_eq!(console(memory).cause(), Some(Cause::OutOfMemory));
        let archive =
            "Initramfs unpacking failed: write error\nKernel panic - not syncing: No working init found.\n";
        assert_eq!(console(archive).cause(), Some(Cause::OutOfMemory));
    }

    #[test]
    fn modules_that_were_asked_for_are_listed_once() {
        let console = console(&format!("{ASKED}xt_comment\r\nx\n{ASKED}ipt_x\r\n{ASKED}xt_comment\r\n"));
        assert_eq!(console.asked(), ["ipt_x", "xt_comment"]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_bounded(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let mut console = Console::default();
            console.take(&bytes);
            prop_assert!(console.lines().iter().all(|line| line.chars().count() <= WIDTH));
            let _ = console.cause();
        }
    }
}
