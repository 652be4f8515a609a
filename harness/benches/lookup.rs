//! What the kernel takes for the first packet of a flow to a Service: mode x Services x position.
//!
//! The packet probe, driven by criterion. A time is the sum of the probe's own: of each packet the
//! `write(2)` during which the kernel does all of it, and nothing else. Every packet is read back and
//! verified; reading and the flushes of the connection-tracking table between batches are not timed.
//!
//! Needs root (it builds namespaces of its own and leaves the host's alone) and the modes' programs; what
//! cannot be measured is skipped, and says so: `sudo -E cargo bench --bench lookup`.

#![expect(clippy::print_stderr, reason = "benches talk to whoever runs them")]

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use anyhow::Context;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use dataplane::{KubeProxy, Mode, Node};
use lab::cores::Cores;
use lab::stop::Stop;
use lab::testbed::{BATCH, ServiceTarget, Testbed};
use services::service::Protocol;
use services::service_set::{Position, Scale, ServiceSet};
use svcbench::lane::{lab_obstacles, unable_modes};
use workloads::recorder::Times;

const SERVICES: [u32; 3] = [10, 1_000, 5_000];
const ENDPOINTS: u32 = 10;
const POSITIONS: [Position; 3] = [Position::First, Position::Last, Position::Miss];
const SEED: u64 = 20_260_101;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    if let Some(obstacles) = lab_obstacles() {
        support::skipped("all lookups: no lab can be built here", &obstacles);
        return Ok(());
    }
    let cores = Cores::choose()?;
    let unable = unable_modes(&Mode::ALL);
    for mode in Mode::ALL {
        match unable.get(&mode) {
            Some(why) => support::skipped(&format!("lookups in mode {mode}"), why),
            None => lookups(&mut criterion, mode, &cores),
        }
    }
    criterion.final_summary();
    Ok(())
}

fn lookups(criterion: &mut Criterion, mode: Mode, cores: &Cores) {
    let mut group = criterion.benchmark_group(format!("lookup/{mode}"));
    group.sample_size(15).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(1));
    // A control's kernel state is the same at every scale, and none of its rules has a position.
    let (scales, positions) =
        if mode.is_control() { (&SERVICES[..1], &POSITIONS[..1]) } else { (&SERVICES[..], &POSITIONS[..]) };
    for &services in scales {
        // Built only when the first position is measured: criterion may have been asked to leave all out.
        let mut testbed = None;
        for &position in positions {
            lookup(&mut group, Place { mode, services, position }, &mut testbed, cores);
        }
    }
}

/// What is measured.
#[derive(Clone, Copy)]
struct Place {
    mode: Mode,
    services: u32,
    position: Position,
}

fn lookup(
    group: &mut BenchmarkGroup<'_, WallTime>,
    place: Place,
    testbed: &mut Option<Testbed>,
    cores: &Cores,
) {
    let Place { mode, services, position } = place;
    let name = if mode.is_control() { "any" } else { position.name() };
    let failed = |why: anyhow::Error| -> ! {
        panic!("{mode}, {services} Services, position {}: {why:#}", position.name());
    };
    group.bench_function(BenchmarkId::new(name, services), |bencher| {
        let testbed = match &mut *testbed {
            Some(testbed) => testbed,
            none => none.insert(build(mode, services).unwrap_or_else(|why| failed(why))),
        };
        let mut series = Series::new(testbed, position).unwrap_or_else(|why| failed(why));
        let _pinned = cores.pinned().unwrap_or_else(|why| failed(why));
        bencher.iter_custom(|packets| series.send(packets).unwrap_or_else(|why| failed(why)));
    });
}

/// A lab with Services in it, which are what they should be.
fn build(mode: Mode, services: u32) -> anyhow::Result<Testbed> {
    let scale = Scale { services, endpoints: ENDPOINTS };
    let mut testbed = Testbed::build(mode, scale, Node::lab(KubeProxy::NEWEST), SEED, &Stop::new())?;
    testbed.load(&ServiceSet::synthetic(scale, SEED), None)?;
    testbed.verify_counts()?;
    testbed.verify_traffic()?;
    Ok(testbed)
}

/// First packets to one position.
struct Series<'w> {
    testbed: &'w mut Testbed,
    target: ServiceTarget,
    times: Times,
}

impl<'w> Series<'w> {
    fn new(testbed: &'w mut Testbed, position: Position) -> anyhow::Result<Self> {
        let (targets, _) = testbed.service_targets(position, Protocol::Udp, 1)?;
        let target = targets.into_iter().next().context("there is no UDP Service at this position")?;
        Ok(Self { testbed, target, times: Times::new() })
    }

    /// Sends packets and returns how long the kernel worked on them.
    fn send(&mut self, packets: u64) -> anyhow::Result<Duration> {
        let targets = [self.target.for_probe()?];
        let picks = [0; BATCH];
        let mut busy = Duration::ZERO;
        let mut left = packets;
        while left > 0 {
            let batch = &picks[..BATCH.min(usize::try_from(left)?)];
            let summary = self.testbed.probe().first_packets(&targets, batch, &mut self.times, None)?;
            summary.all_verified()?;
            busy += summary.busy;
            left -= batch.len() as u64;
            self.testbed.forget_flows()?;
        }
        Ok(busy)
    }
}
