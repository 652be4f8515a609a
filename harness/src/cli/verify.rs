//! `svcbench verify`: whether plans are what a real kube-proxy does.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use dataplane::{KubeProxy, Mode};
use experiments::kube_proxy::SystemChoice;
use fidelity::subject::Subjects;
use fidelity::{Event, Question, unchanged, verify};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kube_proxy::{Subject, Version, proxy_mode};
use lab::stop::Stop;
use services::cluster::{Chosen, ClusterInput, Wanted};
use services::service::Family;
use services::service_set::ServiceSet;

use super::exit::Exit;
use super::node_args::NodeArgs;
use super::output::Output;
use super::streams;

/// Modes of kube-proxy.
const MODES: [Mode; 4] = [Mode::IptablesLegacy, Mode::IptablesNft, Mode::Nftables, Mode::Ipvs];
/// For a program to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(60);
/// Without a terminal, a line at most this often.
const EVERY: Duration = Duration::from_secs(10);

/// Flags of `svcbench verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
    What is compared, and what makes no difference, METHODOLOGY.md says. Whatever runs is in network namespaces of its own.\n\n\
    Exit codes:\n  \
    0    no difference\n  \
    1    a set could not be compared: kube-proxy was refused it, ended, or did not end a sync in time\n  \
    2    bad input\n  \
    3    differences\n  \
    69   this machine cannot run any of the modes\n  \
    130  interrupted")]
pub(crate) struct VerifyArgs {
    /// The real one: a version that scripts/kube-proxy has built, such as 1.37, or the path of a binary
    #[arg(long, value_name = "VERSION|PATH", value_parser = choice)]
    kube_proxy: SystemChoice,
    /// Random sets of Services with every feature, and three changes of each, instead of the built-in set with every feature
    #[arg(
        long, value_name = "K", conflicts_with = "from",
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    random: Option<u32>,
    /// Seed of the first random set; each one after it has the next
    #[arg(long, value_name = "S", default_value_t = 1, requires = "random")]
    seed: u64,
    /// Services of a real cluster: output of `kubectl get nodes,services,endpointslices -A -o json`, or `-o yaml`; `-` is standard
    /// input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
    /// Compare this mode; repeatable [default: iptables-legacy, iptables-nft, nftables and ipvs; what this machine lacks is skipped
    /// with the reason]
    #[arg(long, short, value_enum, value_name = "MODE")]
    mode: Vec<Mode>,
}

fn choice(text: &str) -> Result<SystemChoice, String> {
    let is_path = text.contains('/');
    let choice = format!("kube-proxy:{text}").parse::<SystemChoice>();
    choice.map_err(|_| match Path::new(text).exists() && !is_path {
        true => format!("{text:?}: expected a version, such as 1.37, or a path: ./{text}"),
        false => format!("{text:?}: expected a version, such as 1.37, or the path of a binary"),
    })
}

/// Compares.
///
/// # Errors
/// Bad input, or a closed standard output.
pub(crate) fn run(output: &Output, args: &VerifyArgs) -> anyhow::Result<Exit> {
    let modes = if args.mode.is_empty() { MODES.to_vec() } else { distinct(&args.mode) };
    for &mode in &modes {
        ensure!(
            proxy_mode(mode).is_some(),
            "{mode} is no mode of kube-proxy: give {}",
            MODES.map(Mode::name).join(", ")
        );
    }
    let subjects = subjects(output, args)?;
    let stop = Stop::on_signals().context("cannot follow signals")?;
    let path = args.kube_proxy.path().map_err(anyhow::Error::msg)?;
    let subject = Subject::open(path, &stop, VERSION_LIMIT)?;
    let planned = planned(output, &subject.version)?;
    let question =
        Question { subject: Arc::new(subject), planned, modes, subjects, has_zone: true, recorder: None };
    let progress = Progress::new(output.quiet);
    let report = verify(&question, &stop, &unchanged, &|event| progress.tell(event));
    progress.finish();

    let mut out = streams::data();
    let text = if output.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.to_string() };
    streams::unless_unread(out.write_all(text.as_bytes()).and_then(|()| out.flush()))?;
    Ok(if stop.is_requested() {
        Exit::Interrupted
    } else if report.is_empty() {
        Exit::Unavailable
    } else if report.failures() > 0 {
        Exit::Failed
    } else if report.differences() > 0 {
        Exit::Different
    } else {
        Exit::Ok
    })
}

/// Each once, in their order.
fn distinct(modes: &[Mode]) -> Vec<Mode> {
    let mut seen = Vec::new();
    modes.iter().for_each(|mode| {
        if !seen.contains(mode) {
            seen.push(*mode);
        }
    });
    seen
}

/// Whose plans a version is compared with.
fn planned(output: &Output, version: &Version) -> anyhow::Result<KubeProxy> {
    let (major, minor) = version.minor();
    let name = format!("{major}.{minor}");
    let known = KubeProxy::ALL.into_iter().filter(|known| *known >= KubeProxy::V1_34);
    if let Some(known) = known.clone().find(|known| known.name() == name) {
        return Ok(known);
    }
    // One without a stamp is taken for a new one.
    if version.is_at_least(34) {
        if !output.quiet {
            let newest = KubeProxy::NEWEST.name();
            streams::tell(format_args!(
                "there is no plan of {version}: it is compared with that of {newest}"
            ));
        }
        return Ok(KubeProxy::NEWEST);
    }
    let names: Vec<&str> = known.map(KubeProxy::name).collect();
    bail!("there is no plan of {version} to compare with, only of {}", names.join(", "))
}

fn subjects(output: &Output, args: &VerifyArgs) -> anyhow::Result<Subjects> {
    let Some(path) = &args.from else {
        args.node.are_not_given()?;
        return Ok(match args.random {
            Some(count) => Subjects::random(count, args.seed),
            None => Subjects::features()?,
        });
    };
    let input = ClusterInput::read(path, args.node.node.as_deref())?;
    let chosen = [chosen(&input, &args.node, Family::Ipv4)?, chosen(&input, &args.node, Family::Ipv6)?];
    let file = if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
    if !output.quiet {
        let assumed = chosen.iter().filter(|of| !of.set.is_empty()).flat_map(|of| of.assumed.iter().cloned());
        for line in assumed.chain(input.passed_over.lines(false)) {
            streams::tell(format_args!("{file}: {line}"));
        }
    }
    Ok(Subjects::cluster(&file, chosen))
}

/// What one of the two proxiers knows.
fn chosen(input: &ClusterInput, args: &NodeArgs, family: Family) -> anyhow::Result<Chosen> {
    let is_own = |address: IpAddr| Family::of(address) == family;
    let wanted = Wanted {
        family: Some(family),
        node_ip: args.node_ip.filter(|ip| is_own(*ip)),
        cluster_cidr: args.cluster_cidr.filter(|cidr| is_own(cidr.addr())),
    };
    let mut chosen = input.choose(&wanted)?;
    if args.family.is_some_and(|only| only != family) {
        chosen.set = ServiceSet::default();
    }
    Ok(chosen)
}

/// Shows events: a bar on a terminal, plain lines elsewhere.
struct Progress {
    quiet: bool,
    state: Mutex<State>,
}

struct State {
    bar: Option<ProgressBar>,
    ended: usize,
    of: usize,
    differences: usize,
    begun: Instant,
    told: Instant,
}

impl Progress {
    fn new(quiet: bool) -> Self {
        let (begun, told) = (Instant::now(), Instant::now());
        Self { quiet, state: Mutex::new(State { bar: None, ended: 0, of: 0, differences: 0, begun, told }) }
    }

    fn tell(&self, event: Event) {
        if self.quiet {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started(sets) => state.start(sets),
            Event::Skipped(mode, reason) => state.line(&format!("{mode} is skipped: {reason}")),
            Event::Ended { mode, set, differences, failure } => {
                state.ended += 1;
                state.differences += differences;
                match (differences, failure) {
                    (_, Some(reason)) => state.line(&format!("failed: {mode}, {set}: {reason}")),
                    (0, None) => {}
                    (1, None) => state.line(&format!("{mode}, {set}: 1 difference")),
                    (count, None) => state.line(&format!("{mode}, {set}: {count} differences")),
                }
                state.step();
            }
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.state.lock().unwrap_or_else(PoisonError::into_inner).bar {
            bar.finish_and_clear();
        }
    }
}

impl State {
    fn start(&mut self, sets: usize) {
        self.of = sets;
        if sets == 0 {
            return;
        }
        self.line(&format!("{sets} sets of Services, each step by step, in both families"));
        if streams::are_messages_seen() {
            let bar = ProgressBar::with_draw_target(Some(sets as u64), ProgressDrawTarget::stderr_with_hz(4));
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} sets  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.bar = Some(bar);
        }
    }

    fn step(&mut self) {
        let text = format!("{} differences", self.differences);
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.ended as u64);
                bar.set_message(text);
            }
            None if self.told.elapsed() >= EVERY => {
                self.told = Instant::now();
                let seconds = self.begun.elapsed().as_secs();
                let (ended, of) = (self.ended, self.of);
                streams::tell(format_args!("[{seconds:>4} s] {ended} of {of} sets, {text}"));
            }
            None => {}
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => streams::tell(text),
        }
    }
}
