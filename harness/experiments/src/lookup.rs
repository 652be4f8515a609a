//! Lookup latency: packet probes at a position of a living lab.

mod rows;
mod section;

use lab::cores::Cores;
use lab::testbed::{BATCH, Testbed};
use netns_setup::Egress;
use services::service::Protocol;
use services::service_set::Position;
use workloads::recorder::Times;
use workloads::target::ProbeTarget;

pub use self::section::Section;

/// Packets sent before the first that is timed, so that the caches hold this lab's rules and not those of
/// the lab visited before.
const WARM_UP: usize = 200;
/// Packets of one flow that is known: the control.
const PER_FLOW: usize = 125;

/// What one visit found.
pub struct Lookup {
    /// First packets of new flows, nanoseconds.
    pub first: Times,
    /// Later packets of known flows, nanoseconds.
    pub established: Times,
}

/// Times `probes` first packets and as many packets of known flows. Every one is verified.
///
/// # Errors
/// The first packet that did not arrive where it should.
pub fn measure(
    testbed: &mut Testbed,
    position: Position,
    protocol: Protocol,
    probes: u32,
    cores: &Cores,
) -> anyhow::Result<Lookup> {
    let probes = probes as usize;
    testbed.steer(Egress::Tun)?;
    let (targets, picks) = testbed.service_targets(position, protocol, WARM_UP + probes)?;
    anyhow::ensure!(
        !targets.is_empty(),
        "there is no {} Service at position {}",
        protocol.name(),
        position.name()
    );
    let targets = targets.iter().map(|target| target.for_probe()).collect::<Result<Vec<ProbeTarget>, _>>()?;
    let (warm_up, picks) = picks.split_at(WARM_UP);

    let _pinned = cores.pinned()?;
    let mut lookup = Lookup { first: Times::new(), established: Times::new() };
    let mut discarded = Times::new();
    testbed.probe().first_packets(&targets, warm_up, &mut discarded, None)?.all_verified()?;
    testbed.forget_flows()?;
    for batch in picks.chunks(BATCH) {
        testbed.probe().first_packets(&targets, batch, &mut lookup.first, None)?.all_verified()?;
        testbed.forget_flows()?;
    }

    let flows = probes.div_ceil(PER_FLOW).min(picks.len());
    for batch in picks[..flows].chunks(BATCH) {
        let known =
            testbed.probe().established_packets(&targets, batch, PER_FLOW as u32, &mut lookup.established)?;
        known.all_verified()?;
        testbed.forget_flows()?;
    }
    Ok(lookup)
}
