//! What a kube-proxy has left in the kernel, counted as the plans' own cells count it.

use dataplane::background::Background;
use dataplane::{Counts, Mode};
use kube_proxy::System;
use lab::readback;
use services::service::Family;

/// What IPv4 has in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Rules, chains and the like.
    pub counts: Counts,
    /// Maps and sets without a name; `None`: not in nftables mode.
    pub anonymous_maps: Option<u64>,
}

/// Counts it.
///
/// # Errors
/// If the kernel refuses, or a program fails.
pub(super) fn held(system: &System, mode: Mode) -> anyhow::Result<Held> {
    let testbed = &system.testbed;
    testbed.lab.node.run(|| {
        let counts = readback::counts(mode, Family::Ipv4, &Background::default(), &testbed.runner)?;
        let anonymous_maps = match mode {
            Mode::Nftables => Some(readback::anonymous_maps(Family::Ipv4)?),
            _ => None,
        };
        Ok(Held { counts, anonymous_maps })
    })
}
