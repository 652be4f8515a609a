//! Churn beside a load: the endpoints of one Service are exchanged one by one, and come back one by one.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use dataplane::Sync;
use lab::cores::Cores;
use lab::stop::Stop;
use lab::testbed::Testbed;
use services::service::Protocol;
use services::service_set::{Position, ServiceSet};
use workloads::clock::nanoseconds;
use workloads::load::Destination;
use workloads::recorder::Times;

use super::{LoadSpec, Running};

/// The first spare endpoint that takes the place of another.
const FIRST_UNUSED: u32 = 800_000;
/// How often is looked whether the load has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The states that the lab goes through, again and again.
pub struct Rotation {
    service: SocketAddr,
    states: Vec<ServiceSet>,
    /// Endpoints that come.
    spare: Vec<SocketAddr>,
    next: usize,
}

impl Rotation {
    /// Of the Service in the middle of those of a protocol.
    ///
    /// # Errors
    /// If no Service has an endpoint.
    pub fn of(testbed: &Testbed, protocol: Protocol) -> anyhow::Result<Rotation> {
        let set = &testbed.set;
        let index =
            set.index_at(Position::Middle, protocol).context("no Service has an endpoint to exchange")?;
        let own: Vec<SocketAddr> =
            set.services()[index].endpoints().iter().map(|endpoint| endpoint.address).collect();
        let number = |at: usize| FIRST_UNUSED + at as u32;
        let spare: Vec<SocketAddr> = own
            .iter()
            .enumerate()
            .map(|(at, old)| SocketAddr::new(testbed.unused().endpoint(number(at)), old.port()))
            .collect();
        let mut states = Vec::new();
        let mut state = set.clone();
        for (from, to) in own.iter().zip(&spare).chain(spare.iter().zip(&own)) {
            state = state.with_endpoint_exchanged(index, *from, *to);
            states.push(state.clone());
        }
        Ok(Rotation { service: testbed.service_target(index)?.for_load().to(), states, spare, next: 0 })
    }

    /// All targets of the protocol; the Service that changes may be answered by all the endpoints that it ever has.
    ///
    /// # Errors
    /// As [`Testbed::destinations_of`].
    pub fn service_targets(&self, testbed: &Testbed, protocol: Protocol) -> anyhow::Result<Vec<Destination>> {
        let widened = |target: Destination| match target.to() == self.service {
            true => Destination::new(target.to(), target.endpoints().iter().chain(&self.spare).copied()),
            false => target,
        };
        Ok(testbed.destinations_of(protocol)?.into_iter().map(widened).collect())
    }

    /// Exchanges the next endpoint.
    ///
    /// # Errors
    /// If the sync fails.
    pub fn step(&mut self, testbed: &mut Testbed) -> anyhow::Result<Duration> {
        let to = &self.states[self.next % self.states.len()];
        self.next += 1;
        let plan = testbed.dataplane.plan(&testbed.set, to, Sync::Partial);
        Ok(Duration::from_nanos(testbed.carry_out(&plan, to, None)?.nanoseconds()))
    }
}

/// A load beside which an endpoint is exchanged every so often: how long the syncs took is added to `syncs`. Servers must be
/// there already.
///
/// # Errors
/// If a sync fails, or the load cannot go on.
pub fn churned(
    testbed: &mut Testbed,
    spec: &LoadSpec,
    every: Duration,
    cores: &Cores,
    stop: &Stop,
    syncs: &mut Times,
) -> anyhow::Result<(workloads::load::Load, workloads::load::LoadOutcome)> {
    let protocol = spec.protocol();
    let mut rotation = Rotation::of(testbed, protocol)?;
    let targets = rotation.service_targets(testbed, protocol)?;
    testbed.lab.node.run(|| workloads::clock::pin_to_core(cores.for_sync()))?;
    let running = Running::at(testbed, spec, targets, cores, stop)?;
    let load = workloads::load::Load::clone(&running.load);
    let mut due = running.began + every;
    let changed = loop {
        if running.is_finished() {
            break Ok(());
        }
        let now = std::time::Instant::now();
        if stop.is_requested() || now < due {
            std::thread::sleep(due.saturating_duration_since(now).min(POLL_INTERVAL));
            continue;
        }
        match rotation.step(testbed) {
            Ok(took) => syncs.record(nanoseconds(took)),
            Err(error) => break Err(error),
        }
        due = (due + every).max(std::time::Instant::now());
    };
    testbed.lab.node.run(|| cores.unpin());
    if changed.is_err() {
        running.halt();
    }
    let outcome = running.finish()?;
    changed?;
    Ok((load, outcome))
}
