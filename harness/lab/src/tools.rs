//! Which program on this machine answers to the name that kube-proxy uses.

use std::path::PathBuf;

use dataplane::{Mode, Program};
use ruleset::Variant;

/// A program is not installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is not installed; `svcbench doctor` says which package has it")]
pub struct NotInstalled {
    /// Its name.
    pub name: String,
}

/// The tools of one mode.
#[derive(Clone, Copy, Debug)]
pub struct Tools {
    variant: Variant,
}

impl Tools {
    /// For a mode: kube-proxy finds `iptables` in its PATH, and which variant that is makes the difference
    /// between two of our modes. Modes without iptables get the variant that distributions now install.
    pub const fn of(mode: Mode) -> Self {
        let variant = match mode {
            Mode::IptablesLegacy | Mode::Ipvs | Mode::IpvsBatched | Mode::BackgroundLegacy => Variant::Legacy,
            _ => Variant::Nft,
        };
        Self { variant }
    }

    /// With a variant of iptables.
    pub const fn with(variant: Variant) -> Self {
        Self { variant }
    }

    /// Which `iptables` this is.
    pub const fn variant(&self) -> Variant {
        self.variant
    }

    /// Whether its `iptables` programs take the xtables lock.
    pub const fn take_the_lock(&self) -> bool {
        matches!(self.variant, Variant::Legacy)
    }

    /// Path of a program.
    ///
    /// # Errors
    /// [`NotInstalled`].
    pub fn path(&self, program: Program) -> Result<PathBuf, NotInstalled> {
        let infix = match self.variant {
            Variant::Legacy => "-legacy",
            Variant::Nft => "-nft",
        };
        let name = match program {
            Program::Iptables => format!("iptables{infix}"),
            Program::IptablesSave => format!("iptables{infix}-save"),
            Program::IptablesRestore => format!("iptables{infix}-restore"),
            Program::Ip6tables => format!("ip6tables{infix}"),
            Program::Ip6tablesSave => format!("ip6tables{infix}-save"),
            Program::Ip6tablesRestore => format!("ip6tables{infix}-restore"),
            Program::Nft | Program::Conntrack | Program::Ipset => program.name().to_owned(),
        };
        netns_setup::find_program(&name).ok_or(NotInstalled { name })
    }
}
