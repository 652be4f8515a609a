//! New connections per second: ours, against a pair in C and against wrk.
//!
//! On a core each they take the way of a real measurement: each transaction wakes an idle core twice, and on a virtual
//! machine that is most of its time and varies a lot. On one core nobody has to be woken, and what is compared is the work
//! of the programs; there busy polling has no place.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use dataplane::Mode;
use lab::cores::Cores;
use lab::testbed::{ServiceTarget, Testbed};
use netns_setup::Egress;
use services::addresses::TCP_PORTS;
use services::service::Protocol;
use services::service_set::{Position, Scale, ServiceSet};
use workloads::load::{self, Load, Pace, Server, Workload};

use super::{Claim, ENDPOINTS, Pairs, SEED, Spread, in_turns, support};

/// Pairs of a turn of ours and one of theirs.
const ROUNDS: usize = 7;
/// How long a turn is; wrk takes whole seconds only.
const SECONDS: u32 = 1;
/// Flows at saturation.
const MANY: usize = 32;

/// Which cores a client and its server run on.
#[derive(Clone, Copy)]
struct Place {
    client: usize,
    server: usize,
}

/// What one turn found.
#[derive(Clone, Copy)]
struct Turn {
    per_second: f64,
    p50_ns: Option<f64>,
}

struct Bench<'a> {
    testbed: &'a Testbed,
    target: &'a ServiceTarget,
}

/// Everything that there is a peer for.
pub(crate) fn all(cores: &Cores) -> anyhow::Result<()> {
    let scale = Scale { services: 10, endpoints: ENDPOINTS };
    let mut testbed = super::testbed(Mode::Direct, scale.services)?;
    testbed.load(&ServiceSet::synthetic(scale, SEED), None)?;
    testbed.steer(Egress::Server)?;
    let (targets, _) = testbed.service_targets(Position::First, Protocol::Tcp, 1)?;
    let bench = Bench { testbed: &testbed, target: targets.first().context("there is a TCP Service")? };
    let one_core = Place { client: cores.measuring, server: cores.measuring };
    let core_each = Place { client: cores.measuring, server: cores.serving };
    let mut places = vec![("on one core", one_core)];
    if cores.serving == cores.measuring {
        support::skipped("connections on a core each", "this process may run on one core only");
    } else {
        places.push(("on a core each", core_each));
    }
    match compiled() {
        Err(why) => support::skipped("tcp_crr against a pair in C", &why.to_string()),
        Ok((_folder, program)) => {
            for &(what, place) in &places {
                for (flows, least) in [(1, 1.1), (MANY, 1.0)] {
                    bench.versus_c(what, place, flows, least, &program)?;
                }
            }
        }
    }
    match netns_setup::find_program("wrk") {
        None => support::skipped("http against wrk", "wrk is not installed; apt install wrk"),
        Some(wrk) => places.iter().try_for_each(|&(what, place)| bench.versus_wrk(what, place, &wrk))?,
    }
    Ok(())
}

/// The program in C, and the folder that goes with it.
fn compiled() -> anyhow::Result<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("epoll_crr");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/support/epoll_crr.c");
    let status = Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(source).status();
    let status = status.context("there is no C compiler (cc); apt install gcc")?;
    ensure!(status.success(), "cc ended with {status}");
    Ok((folder, program))
}

impl Bench<'_> {
    fn versus_c(
        &self,
        what: &str,
        place: Place,
        flows: usize,
        least: f64,
        program: &Path,
    ) -> anyhow::Result<()> {
        let busy: &[bool] =
            if flows == 1 && place.client != place.server { &[false, true] } else { &[false] };
        for &busy_poll in busy {
            let ours = || self.ours(Workload::TcpCrr, place, flows, busy_poll);
            let theirs = || self.in_c(program, place, flows);
            let polling = if busy_poll { ", busy polling" } else { "" };
            let what = format!("tcp_crr, {flows} at a time, {what}{polling}");
            let (rates, medians) = pairs(ours, theirs)?;
            println!("{what}: {}, in C {}", rate(&rates.ours), rate(&rates.theirs));
            rates.report("transactions of tcp_crr / of the pair in C", Claim::AtLeast(least));
            medians.report("p50 of tcp_crr / of the pair in C", Claim::AtMost(1.0));
        }
        Ok(())
    }

    fn versus_wrk(&self, what: &str, place: Place, wrk: &Path) -> anyhow::Result<()> {
        let ours = || self.ours(Workload::Http, place, 1, false);
        let (rates, _) = pairs(ours, || self.serving(place, || self.wrk(wrk, place)))?;
        println!("http, {what}: {}, wrk {}", rate(&rates.ours), rate(&rates.theirs));
        rates.report("transactions of http / of wrk", Claim::AtLeast(1.0));
        Ok(())
    }

    fn ours(&self, workload: Workload, place: Place, flows: usize, busy_poll: bool) -> anyhow::Result<Turn> {
        let target = self.target.for_load();
        let client = || {
            let thread = self.testbed.lab.client.thread("load", move || -> anyhow::Result<Turn> {
                workloads::clock::pin_to_core(place.client)?;
                let load = Load {
                    pace: Pace::Closed { requests: None },
                    flows: NonZeroUsize::new(flows).context("flows")?,
                    duration: Duration::from_secs(SECONDS.into()),
                    busy_poll,
                    // As with the others, the kernel chooses the source address.
                    ..Load::new(workload, [target])
                };
                let outcome = load::run(&load, 0, Instant::now(), &AtomicBool::new(false))?;
                outcome.all_answered()?;
                let p50 = outcome.times.response.histogram().value_at_quantile(0.5);
                Ok(Turn { per_second: outcome.per_second(), p50_ns: Some(p50 as f64) })
            })?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        self.serving(place, client)
    }

    /// Runs a client while a server of ours answers for all endpoints.
    fn serving(&self, place: Place, client: impl FnOnce() -> anyhow::Result<Turn>) -> anyhow::Result<Turn> {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, TCP_PORTS.1));
        let (server, stopper) = self.testbed.lab.server.run(|| Server::bind(any))?;
        let server = self.testbed.lab.server.thread("endpoints", move || -> anyhow::Result<()> {
            workloads::clock::pin_to_core(place.server)?;
            server.run()?;
            Ok(())
        })?;
        let turn = client();
        drop(stopper);
        server.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        turn
    }

    /// The pair in C.
    fn in_c(&self, program: &Path, place: Place, flows: usize) -> anyhow::Result<Turn> {
        let lab = &self.testbed.lab;
        // A program inherits the core of the thread that starts it.
        lab.server.run(|| workloads::clock::pin_to_core(place.server))?;
        let port = TCP_PORTS.1.to_string();
        let mut server = Command::new(program);
        server.args(["server", "0.0.0.0", &port]).stdout(Stdio::piped());
        let mut server = lab.server.spawn(&mut server)?;
        let ready = server.stdout.take().context("its output")?;
        BufReader::new(ready).read_line(&mut String::new())?;
        lab.client.run(|| workloads::clock::pin_to_core(place.client))?;
        let mut client = Command::new(program);
        let to = self.target.entry.ip().to_string();
        client.args(["client", &to, &port, &flows.to_string(), &SECONDS.to_string()]).stdout(Stdio::piped());
        let output = lab.client.spawn(&mut client)?.wait_with_output();
        server.kill()?;
        server.wait()?;
        let output = output?;
        ensure!(output.status.success(), "the client in C ended with {}", output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        let mut figures = text.split_whitespace().map(str::parse::<f64>);
        let (Some(Ok(per_second)), Some(Ok(p50))) = (figures.next(), figures.next()) else {
            anyhow::bail!("the client in C said: {text}");
        };
        Ok(Turn { per_second, p50_ns: Some(p50) })
    }

    fn wrk(&self, wrk: &Path, place: Place) -> anyhow::Result<Turn> {
        let mut command = Command::new(wrk);
        command
            .args(["-t1", "-c1", "-H", "Connection: close"])
            .args([format!("-d{SECONDS}s"), format!("http://{}/", self.target.entry)])
            .stdout(Stdio::piped());
        let client = &self.testbed.lab.client;
        client.run(|| workloads::clock::pin_to_core(place.client))?;
        let output = client.spawn(&mut command)?.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let whole = output.status.success() && !text.contains("Socket errors") && !text.contains("Non-2xx");
        ensure!(whole, "wrk ended with {} and said: {text}", output.status);
        let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
        Ok(Turn { per_second: rate.context("wrk prints a rate")?.trim().parse()?, p50_ns: None })
    }
}

/// Rates and medians of turns, after one of each to warm up.
fn pairs(
    ours: impl Fn() -> anyhow::Result<Turn>,
    theirs: impl Fn() -> anyhow::Result<Turn>,
) -> anyhow::Result<(Pairs, Pairs)> {
    ours()?;
    theirs()?;
    let (mut rates, mut medians) = (Pairs::default(), Pairs::default());
    for pair in 0..ROUNDS {
        let (ours, theirs) = in_turns(pair, &ours, &theirs)?;
        rates.push(ours.per_second, theirs.per_second);
        if let (Some(ours), Some(theirs)) = (ours.p50_ns, theirs.p50_ns) {
            medians.push(ours, theirs);
        }
    }
    Ok((rates, medians))
}

fn rate(rates: &[f64]) -> String {
    format!("{} transactions/s", Spread::of(rates).scaled(1.0, ""))
}
