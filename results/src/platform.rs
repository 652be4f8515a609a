//! [`Platform`]: what keeps figures apart. Rows of different platforms are never drawn, tabled or subtracted together.

use crate::record::{Clock, Record};

/// A clock, a kernel and what the kernel ran on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform<'a> {
    /// Clock of the rows.
    pub clock: Clock,
    /// `uname -r`.
    pub kernel: &'a str,
    /// See [`crate::record::CellKey::hypervisor`].
    pub hypervisor: &'a str,
}

impl<'a> Platform<'a> {
    /// The platform of a row.
    pub fn of(row: &'a Record) -> Self {
        Platform { clock: row.cell.clock, kernel: &row.cell.kernel, hypervisor: &row.cell.hypervisor }
    }

    /// A heading: `Instruction clock: Linux 6.1.0, emulated by QEMU (one nanosecond of guest time per instruction)`.
    pub fn heading(self) -> String {
        let (clock, what) = match self.clock {
            Clock::Wall => ("Wall clock", ""),
            Clock::Instructions => ("Instruction clock", " (one nanosecond of guest time per instruction)"),
        };
        format!("{clock}: {}{}{what}", self.linux(), self.place())
    }

    /// A cell of a table's column of lanes: `instruction clock, Linux 6.1.0, emulated by QEMU`.
    pub fn label(self) -> String {
        format!("{}, {}{}", self.clock.in_words(), self.linux(), self.place())
    }

    fn linux(self) -> String {
        if self.kernel.is_empty() { "unknown kernel".to_owned() } else { format!("Linux {}", self.kernel) }
    }

    fn place(self) -> String {
        match self.hypervisor {
            "" => String::new(),
            "none" => " on bare metal".to_owned(),
            "virtual machine" => " in a virtual machine".to_owned(),
            "kvm" => ", a KVM guest".to_owned(),
            "tcg" => ", emulated by QEMU".to_owned(),
            other => format!(", a guest of {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_named_in_plain_words() {
        let platform = |clock, kernel, hypervisor| Platform { clock, kernel, hypervisor };
        let emulated = platform(Clock::Instructions, "6.1.0-53-cloud-amd64", "tcg");
        assert_eq!(
            emulated.heading(),
            "Instruction clock: Linux 6.1.0-53-cloud-amd64, emulated by QEMU \
             (one nanosecond of guest time per instruction)"
        );
        assert_eq!(emulated.label(), "instruction clock, Linux 6.1.0-53-cloud-amd64, emulated by QEMU");
        assert_eq!(platform(Clock::Wall, "6.18", "none").heading(), "Wall clock: Linux 6.18 on bare metal");
        assert_eq!(platform(Clock::Wall, "6.18", "xen").label(), "wall clock, Linux 6.18, a guest of xen");
        assert_eq!(platform(Clock::Wall, "", "").heading(), "Wall clock: unknown kernel");
    }
}
