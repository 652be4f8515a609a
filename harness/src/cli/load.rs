//! `svcbench load` and `svcbench load-server`: one load, through a lab of its own or against an address that the user names.

mod printed;

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use dataplane::{KubeProxy, Mode, Node};
use experiments::load::rotation::churned;
use experiments::load::{LoadSpec, Running, Serving, json, times_json};
use lab::cores::Cores;
use lab::stop::Stop;
use lab::testbed::Testbed;
use services::addresses::MAX_SERVICES;
use services::service::Protocol;
use services::service_set::{Scale, ServiceSet};
use services::shape::{Shape, Share};
use svcbench::lane::{Unable, lab_obstacles, unable_modes};
use workloads::load::{
    Bound, Choice, Destination, Load, LoadOutcome, Pace, Rhythm, Server, Stall, Trial, Workload, highest_rate,
};
use workloads::recorder::Times;

use super::exit::Exit;
use super::output::Output;
use super::streams;

/// Against an address of the user's: requests per second, unless a rate is given.
const TARGET_RATE: u64 = 100;
/// The most that is sent there without `--unbounded`: requests per second, and seconds.
const MOST_RATE: u64 = 10_000;
const MOST_SECONDS: f64 = 60.0;
/// Where a search for the highest rate ends.
const HIGHEST_RATE: u64 = 10_000_000;
/// How near the rates that keep and break the bound must be.
const PRECISION: f64 = 0.05;

/// Which Service each flow goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Position {
    /// The first in kube-proxy's list
    First,
    /// The last
    Last,
    /// Each as often as any other
    Uniform,
    /// The kth in proportion to 1/k, as names and pages are asked for
    Zipf,
}

/// Flags of `svcbench load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// tcp_crr (connect, request, response, close), tcp_rr, tcp_stream, udp_rr (DNS questions), http, http_keepalive
    workload: Workload,
    /// Open loop: so many requests per second, whether or not they are answered [default: closed loop]
    #[arg(long, value_name = "R")]
    rate: Option<NonZeroU64>,
    /// Requests of an open loop come at random (Poisson), as from many clients
    #[arg(long, requires = "rate")]
    poisson: bool,
    /// Search for the highest rate whose p99 of response time is at most --p99
    #[arg(long, conflicts_with_all = ["rate", "target"])]
    highest_rate: bool,
    /// Bound of --highest-rate, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10.0, requires = "highest_rate", value_parser = positive)]
    p99: f64,
    /// How long, seconds [default: 10; of each trial of --highest-rate 2]
    #[arg(long, short, value_name = "SECONDS", value_parser = positive)]
    duration: Option<f64>,
    /// Threads of the client, and of the server
    #[arg(long, short, value_name = "T", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Flows at a time [default: one for each thread, in an open loop up to 1000]
    #[arg(long, short, value_name = "F", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    flows: Option<u32>,
    /// Requests on each connection or UDP port [default: 1 of tcp_crr, udp_rr and http; as many as come of the others]
    #[arg(long, value_name = "K")]
    requests_per_flow: Option<NonZeroU32>,
    /// Length of a request of tcp_* [default: 64; 1048576 of tcp_stream]
    #[arg(long, value_name = "BYTES")]
    request_bytes: Option<u32>,
    /// Length of a response of tcp_* [default: 64]
    #[arg(long, value_name = "BYTES")]
    response_bytes: Option<u32>,
    /// How long a request may take, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = positive)]
    timeout: f64,
    /// Look for answers without pause: needs a core for each thread
    #[arg(long)]
    busy_poll: bool,

    /// Mode or control that the lab has
    #[arg(long, short, value_enum, default_value_t = Mode::Direct, help_heading = "Through a lab")]
    mode: Mode,
    /// Services in the lab
    #[arg(long, short, value_name = "N", default_value_t = 1, help_heading = "Through a lab",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SERVICES)))]
    services: u32,
    /// Endpoints of each
    #[arg(long, short, value_name = "E", default_value_t = 1, help_heading = "Through a lab",
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    endpoints: u32,
    /// Which Service each flow goes to
    #[arg(long, value_enum, default_value_t = Position::Uniform, help_heading = "Through a lab")]
    position: Position,
    /// Exchange an endpoint of one Service every so many milliseconds
    #[arg(long, value_name = "MS", help_heading = "Through a lab", value_parser = positive, conflicts_with = "highest_rate")]
    churn: Option<f64>,
    /// Stop the server for so long once a second: an open loop shows it, a closed one hides it
    #[arg(long, value_name = "MS", help_heading = "Through a lab", value_parser = positive)]
    stall: Option<f64>,

    /// Send there, from this machine's own network, instead of through a lab. tcp_* needs `svcbench load-server` there; http and
    /// udp_rr any server. At most 10000 per second (100 by default) for 60 s
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Against an address of yours",
        conflicts_with_all = ["mode", "services", "endpoints", "position", "stall", "churn"])]
    target: Option<String>,
    /// Any rate, any duration, and closed loops
    #[arg(long, requires = "target", help_heading = "Against an address of yours")]
    unbounded: bool,
}

/// Flags of `svcbench load-server`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where: 0.0.0.0:8080 answers at every IPv4 address of this machine
    #[arg(value_name = "ADDR:PORT")]
    address: SocketAddr,
    /// Threads
    #[arg(long, short, value_name = "T", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1e7 => Ok(number),
        _ => Err("a number above 0, and at most 10000000".into()),
    }
}

impl LoadArgs {
    fn spec(&self) -> anyhow::Result<LoadSpec> {
        let rhythm = if self.poisson { Rhythm::Poisson { seed: 1 } } else { Rhythm::Constant };
        let pace = match self.rate {
            Some(per_second) => Pace::Open { per_second, rhythm },
            None => Pace::Closed { requests: None },
        };
        let default = if self.highest_rate { 2.0 } else { 10.0 };
        let duration = Duration::from_secs_f64(self.duration.unwrap_or(default));
        let flows = self.flows.and_then(|flows| NonZeroUsize::new(flows as usize));
        let base = Load::new(self.workload, []);
        let template = Load {
            pace,
            threads: NonZeroU32::new(self.threads).context("--threads is 0")?,
            requests_per_flow: self.requests_per_flow.or(base.requests_per_flow),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            duration,
            timeout: Duration::from_secs_f64(self.timeout),
            busy_poll: self.busy_poll,
            ..base
        };
        let choice = match self.position {
            Position::First => Choice::First,
            Position::Last => Choice::Last,
            Position::Uniform => Choice::Uniform,
            Position::Zipf => Choice::Zipf { exponent: 1.0 },
        };
        Ok(LoadSpec { choice, flows, ..LoadSpec::of(template) })
    }

    fn stall(&self) -> Option<Stall> {
        let length = self.stall.map(|milliseconds| Duration::from_secs_f64(milliseconds / 1e3));
        length.map(|length| Stall { every: Duration::from_secs(1), length })
    }
}

/// Runs one load and prints what came of it.
///
/// # Errors
/// Bad input, a lab that cannot be built, or a client that cannot go on.
pub(crate) fn run(output: &Output, args: &LoadArgs) -> anyhow::Result<Exit> {
    let (spec, cores, stop) = (args.spec()?, Cores::choose()?, Stop::on_signals()?);
    let mut syncs = Times::new();
    let (load, outcome) = match &args.target {
        Some(target) => at_target(args, spec, target, &cores, &stop)?,
        None => {
            let mut testbed = lab(args, &spec, &stop)?;
            if args.highest_rate {
                return search(output, args, &testbed, spec, &cores, &stop);
            }
            let serving =
                Serving::start(&testbed, spec.protocol(), spec.template.threads, &cores, args.stall())?;
            let (load, outcome) = match args.churn {
                Some(milliseconds) => {
                    let every = Duration::from_secs_f64(milliseconds / 1e3);
                    churned(&mut testbed, &spec, every, &cores, &stop, &mut syncs)?
                }
                None => {
                    let running = Running::in_lab(&testbed, &spec, &cores, &stop)?;
                    (Load::clone(&running.load), running.finish()?)
                }
            };
            serving.stop()?;
            (load, outcome)
        }
    };
    if output.json {
        let mut all = json(&load, &outcome);
        if let (Some(all), None) = (all.as_object_mut(), &args.target) {
            all.insert("mode".into(), args.mode.name().into());
            all.insert("services".into(), args.services.into());
            all.insert("endpoints".into(), args.endpoints.into());
            all.insert("sync_ns".into(), times_json(&syncs));
        }
        writeln!(streams::data(), "{}", serde_json::to_string_pretty(&all)?)?;
    } else {
        printed::outcome(&load, &outcome, &mut streams::data())?;
        printed::syncs(&syncs, &mut streams::data())?;
        if !output.quiet {
            printed::warnings(&load, &outcome)
                .iter()
                .for_each(|warning| streams::tell(format_args!("svcbench: {warning}")));
        }
    }
    Ok(if stop.is_requested() { Exit::Interrupted } else { Exit::Ok })
}

/// A lab with the Services that were asked for, checked.
fn lab(args: &LoadArgs, spec: &LoadSpec, stop: &Stop) -> anyhow::Result<Testbed> {
    if let Some(obstacles) = lab_obstacles() {
        return Err(Unable(obstacles).into());
    }
    if let Some(reason) = unable_modes(&[args.mode]).remove(&args.mode) {
        let guests = "sweeps with `svcbench run --kernel guest` measure it in a guest";
        return Err(Unable(format!("  mode {}: {reason}; {guests}", args.mode)).into());
    }
    let scale = Scale { services: args.services, endpoints: args.endpoints };
    // All of the protocol that the load has.
    let udp = if spec.protocol() == Protocol::Udp { Share::ALL } else { Share::NONE };
    let set = ServiceSet::shaped(scale, &Shape { udp, ..Shape::default() }, spec.seed);
    let node = Node::lab(KubeProxy::NEWEST);
    let mut testbed = Testbed::build(args.mode, scale, node, spec.seed, stop)?;
    testbed.load(&set, None)?;
    testbed.verify_counts()?;
    testbed.verify_traffic()?;
    Ok(testbed)
}

/// A load against an address of the user's.
fn at_target(
    args: &LoadArgs,
    spec: LoadSpec,
    target: &str,
    cores: &Cores,
    stop: &Stop,
) -> anyhow::Result<(Load, LoadOutcome)> {
    let mut spec = spec;
    if !args.unbounded {
        let rate = args.rate.map_or(TARGET_RATE, NonZeroU64::get);
        let rhythm = match spec.template.pace {
            Pace::Open { rhythm, .. } => rhythm,
            Pace::Closed { .. } => Rhythm::Constant,
        };
        let seconds = spec.template.duration.as_secs_f64();
        ensure!(
            rate <= MOST_RATE && seconds <= MOST_SECONDS,
            "{rate} requests per second for {seconds} s is more than is sent to a target by default ({MOST_RATE} per second, \
             {MOST_SECONDS} s); if the target and the network between are yours, give --unbounded"
        );
        spec.template.pace = Pace::Open { per_second: NonZeroU64::new(rate).context("--rate is 0")?, rhythm };
    }
    let address = target
        .to_socket_addrs()
        .with_context(|| {
            format!("--target {target}: give an address and a port, as 10.0.0.1:80 or [fd00::1]:80")
        })?
        .next()
        .with_context(|| format!("--target {target} has no address"))?;
    let load = spec.against(vec![Destination::new(address, [])], Vec::new())?;
    let outcome = Running::here(load.clone(), cores, stop)?.finish()?;
    Ok((load, outcome))
}

/// Searches for the highest rate within the bound.
fn search(
    output: &Output,
    args: &LoadArgs,
    testbed: &Testbed,
    spec: LoadSpec,
    cores: &Cores,
    stop: &Stop,
) -> anyhow::Result<Exit> {
    let bound = Bound { p99_ns: (args.p99 * 1e6) as u64, lost_share: 0.0 };
    let lowest = NonZeroU64::new(TARGET_RATE).context("the lowest rate is 0")?;
    let highest = NonZeroU64::new(HIGHEST_RATE).context("the highest rate is 0")?;
    let serving = Serving::start(testbed, spec.protocol(), spec.template.threads, cores, args.stall())?;
    let found = highest_rate(&bound, lowest, highest, PRECISION, |per_second| -> anyhow::Result<Trial> {
        let pace = Pace::Open { per_second, rhythm: Rhythm::Constant };
        let mut spec = spec.clone();
        spec.template.pace = pace;
        let outcome = Running::in_lab(testbed, &spec, cores, stop)?.finish()?;
        ensure!(!stop.is_requested(), "interrupted before the rate was found");
        let trial = Trial {
            per_second,
            p99_ns: outcome.times.response.histogram().value_at_quantile(0.99),
            lost_share: outcome.counts.lost() as f64 / outcome.counts.started.max(1) as f64,
            held_schedule: outcome.held_schedule(),
        };
        if !output.quiet && !output.json {
            streams::tell(printed::trial(&trial, &bound));
        }
        Ok(trial)
    })?;
    serving.stop()?;
    if output.json {
        writeln!(
            streams::data(),
            "{}",
            serde_json::to_string_pretty(&printed::search_json(args.workload, &bound, &found))?
        )?;
    } else {
        printed::search(args.workload, &bound, &found, &mut streams::data())?;
    }
    Ok(Exit::Ok)
}

/// Answers until somebody presses Ctrl-C.
///
/// # Errors
/// If the address cannot be had.
pub(crate) fn serve(output: &Output, args: &ServeArgs) -> anyhow::Result<Exit> {
    let stop = Stop::on_signals()?;
    let (servers, stopper) = Server::bind_many(args.address, args.threads as usize)?;
    let address = servers.first().map_or(args.address, Server::address);
    let threads: Vec<_> =
        servers.into_iter().map(|server| std::thread::spawn(move || server.run())).collect();
    if !output.quiet {
        streams::tell(format_args!(
            "answering tcp_crr, tcp_rr, tcp_stream, http and udp_rr on {address}; Ctrl-C ends"
        ));
    }
    while !stop.is_requested() && !threads.iter().any(std::thread::JoinHandle::is_finished) {
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(stopper);
    let mut served = workloads::load::Served::default();
    for thread in threads {
        served.add(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    if output.json {
        writeln!(
            streams::data(),
            "{}",
            serde_json::json!({ "accepted": served.accepted, "answered": served.answered, "broken": served.broken })
        )?;
    } else {
        writeln!(
            streams::data(),
            "{} connections, {} requests answered, {} cut off",
            served.accepted,
            served.answered,
            served.broken
        )?;
    }
    Ok(Exit::Ok)
}
