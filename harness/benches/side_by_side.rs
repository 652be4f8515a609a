//! What this harness adds to what it measures: ratios to a peer, in one run, side by side.
//!
//! * applying a plan, against feeding the same text to the same program from a file;
//! * `tcp_crr`, against a client and a server in C with epoll, on the same path and cores;
//! * `http`, against `wrk` with `Connection: close`, on the same path, server and cores;
//! * the packet probe's verified lookups per second of wall time.
//!
//! The two sides of a ratio take turns, and every pair swaps who goes first, so that drift hits both alike.
//! The figure is the median of the pairs' ratios. A claim that does not hold is said, but is no failure of the
//! bench: on a busy machine it may be the product's. `sudo -E cargo bench --bench side_by_side`.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "benches talk to whoever runs them")]

#[path = "support/connecting.rs"]
mod connecting;
#[path = "support/mod.rs"]
mod support;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use dataplane::{Action, Expect, KubeProxy, Mode, Node, Phase, Plan, Program, Step, Sync};
use lab::cores::Cores;
use lab::stop::Stop;
use lab::testbed::{BATCH, Testbed};
use services::service::Protocol;
use services::service_set::{Position, Scale, ServiceSet};
use svcbench::lane::{lab_obstacles, unable_modes};
use workloads::recorder::Times;

const SEED: u64 = 20_260_101;
const ENDPOINTS: u32 = 10;
/// Services, and pairs at that scale.
const APPLIED: [(u32, usize); 3] = [(100, 40), (1_000, 21), (2_500, 9)];
/// Lookups per timed series.
const LOOKUPS: usize = 400_000;
const SERIES: usize = 7;

fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` runs benches without this argument, to see that they start.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("side_by_side: measures only with `cargo bench --bench side_by_side`");
        return Ok(());
    }
    if let Some(obstacles) = lab_obstacles() {
        support::skipped("all of side_by_side: no lab can be built here", &obstacles);
        return Ok(());
    }
    let cores = Cores::choose()?;
    match unable_modes(&[Mode::IptablesLegacy]).remove(&Mode::IptablesLegacy) {
        Some(why) => support::skipped("applying a plan against iptables-restore", &why),
        None => APPLIED.iter().try_for_each(|&(services, pairs)| applying(services, pairs))?,
    }
    connecting::all(&cores)?;
    probing(&cores)
}

/// An empty lab.
fn testbed(mode: Mode, services: u32) -> anyhow::Result<Testbed> {
    let scale = Scale { services, endpoints: ENDPOINTS };
    Testbed::build(mode, scale, Node::lab(KubeProxy::NEWEST), SEED, &Stop::new())
}

// --- Applying a plan ---------------------------------------------------------------------------------------

/// The restore step of a cold full sync: through the runner, and from a file without it.
fn applying(services: u32, pairs: usize) -> anyhow::Result<()> {
    let testbed = testbed(Mode::IptablesLegacy, services)?;
    let set = ServiceSet::synthetic(Scale { services, endpoints: ENDPOINTS }, SEED);
    let mut plan = testbed.dataplane.plan(&ServiceSet::default(), &set, Sync::Full);
    plan.steps.retain(|step| step.phase == Phase::Restore);
    let step = plan.steps.first().context("a full sync has a restore step")?;
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(step.input().unwrap_or_default())?;
    let program = testbed.runner.tools().path(Program::IptablesRestore)?;

    let runner = || -> anyhow::Result<Duration> {
        empty(&testbed)?;
        timed(|| testbed.lab.node.run(|| testbed.runner.apply(&plan, None)).map(drop).map_err(Into::into))
    };
    let by_hand = || -> anyhow::Result<Duration> {
        empty(&testbed)?;
        timed(|| testbed.lab.node.run(|| feed(&program, step.args(), file.path())))
    };
    // Once each beforehand: the file and the programs are then in memory.
    runner()?;
    by_hand()?;
    let mut both = Pairs::default();
    for pair in 0..pairs {
        let (ours, theirs) = in_turns(pair, runner, by_hand)?;
        both.push(ours.as_secs_f64(), theirs.as_secs_f64());
    }
    println!(
        "applying {services} x {ENDPOINTS} ({:.1} MB) with iptables-legacy-restore: runner {}, from a file {}",
        plan.bytes() as f64 / 1e6,
        Spread::of(&both.ours).scaled(1e3, "ms"),
        Spread::of(&both.theirs).scaled(1e3, "ms"),
    );
    both.report("time through the runner / time from a file", Claim::AtMost(1.05));
    Ok(())
}

/// Takes all rules and chains away: without `--noflush` that is what iptables-restore begins with.
fn empty(testbed: &Testbed) -> anyhow::Result<()> {
    let flush = Plan {
        steps: vec![Step {
            phase: Phase::Restore,
            action: Action::Run {
                program: Program::IptablesRestore,
                args: Vec::new(),
                input: Some(b"*nat\nCOMMIT\n*filter\nCOMMIT\n".to_vec()),
            },
            expect: Expect::Success,
        }],
        ..Plan::default()
    };
    testbed.lab.node.run(|| testbed.runner.apply(&flush, None))?;
    Ok(())
}

/// The plainest way to run a program on a file.
fn feed(program: &Path, args: &[String], input: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(args).stdin(File::open(input)?).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status()?;
    ensure!(status.success(), "{} ended with {status}", program.display());
    Ok(())
}

// --- The packet probe --------------------------------------------------------------------------------------

/// Lookups per second of wall time: writing, reading back, verifying, and the flushes between batches.
fn probing(cores: &Cores) -> anyhow::Result<()> {
    let scale = Scale { services: 10, endpoints: ENDPOINTS };
    let mut testbed = testbed(Mode::Direct, scale.services)?;
    testbed.load(&ServiceSet::synthetic(scale, SEED), None)?;
    let (targets, picks) = testbed.service_targets(Position::First, Protocol::Udp, LOOKUPS)?;
    let targets = [targets.first().context("there is a UDP Service")?.for_probe()?];
    let _pinned = cores.pinned()?;
    let mut rates = Vec::new();
    for series in 0..=SERIES {
        let mut verified = 0;
        let time = timed(|| {
            for batch in picks.chunks(BATCH) {
                let summary = testbed.probe().first_packets(&targets, batch, &mut Times::new(), None)?;
                summary.all_verified()?;
                verified += summary.verified;
                testbed.forget_flows()?;
            }
            Ok(())
        })?;
        // The first warms up.
        if series > 0 {
            rates.push(verified as f64 / time.as_secs_f64());
        }
    }
    let rates = Spread::of(&rates);
    println!("packet probe, direct: {} verified lookups/s", rates.scaled(1.0, ""));
    Claim::AtLeast(300_000.0).report(rates.median);
    Ok(())
}

// --- Figures -----------------------------------------------------------------------------------------------

fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed())
}

/// Runs both; who is first changes from one pair to the next. Returns ours, then theirs.
fn in_turns<T>(
    pair: usize,
    ours: impl Fn() -> anyhow::Result<T>,
    theirs: impl Fn() -> anyhow::Result<T>,
) -> anyhow::Result<(T, T)> {
    if pair.is_multiple_of(2) {
        Ok((ours()?, theirs()?))
    } else {
        let theirs = theirs()?;
        Ok((ours()?, theirs))
    }
}

#[derive(Default)]
struct Pairs {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Pairs {
    fn push(&mut self, ours: f64, theirs: f64) {
        self.ours.push(ours);
        self.theirs.push(theirs);
    }

    fn report(&self, what: &str, claim: Claim) {
        let ratios: Vec<f64> =
            self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours / theirs).collect();
        let Spread { min, median, max } = Spread::of(&ratios);
        println!("  {what}: median {median:.3}, min {min:.3}, max {max:.3}, of {} pairs", ratios.len());
        claim.report(median);
    }
}

struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self { min: sorted[0], median: sorted[sorted.len() / 2], max: sorted[sorted.len() - 1] }
    }

    fn scaled(&self, factor: f64, unit: &str) -> String {
        let Self { min, median, max } = self;
        format!("{:.1}{unit} ({:.1} to {:.1})", median * factor, min * factor, max * factor)
    }
}

#[derive(Clone, Copy)]
enum Claim {
    AtMost(f64),
    AtLeast(f64),
}

impl Claim {
    fn report(self, figure: f64) {
        let (holds, words) = match self {
            Claim::AtMost(limit) => (figure <= limit, format!("at most {limit}")),
            Claim::AtLeast(limit) => (figure >= limit, format!("at least {limit}")),
        };
        println!("  claim: {words}: {}", if holds { "holds" } else { "DOES NOT HOLD in this run" });
    }
}
