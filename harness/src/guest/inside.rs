//! What the binary does inside a guest: its job, reported line by line on the data port.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use experiments::kube_proxy::SystemChoice;
use experiments::rows::{CellResult, LaneId};
use lab::cores::Cores;
use lab::explain::explain;
use lab::stop::Stop;
use netns_setup::guest::Port;
use results::record::Clock;

use super::protocol::{self, Job, Message};
use crate::host::environment;
use crate::lane::{Lane, ResultSink, Resume, Settings, lab_obstacles, unable_in};
use crate::sweep::Sweep;
use crate::sweep::order;

/// The way out. Each message is out of the machine before the next instruction of ours runs, so that no interrupt of
/// the serial port falls into what is timed.
struct Out<'a>(Mutex<&'a mut Port>);

impl Out<'_> {
    fn say(&self, message: Message) -> io::Result<()> {
        let line = protocol::line(uptime(), message)?;
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).line(&line)
    }
}

impl ResultSink for &Out<'_> {
    fn enter(&mut self, _: Option<u32>) -> anyhow::Result<()> {
        Ok(())
    }

    fn cell(&mut self, found: CellResult) -> anyhow::Result<()> {
        Ok(self.say(Message::cell(&found)?)?)
    }
}

/// Since the guest booted, by its own clock.
fn uptime() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

/// Does the job, says how it went, and returns the exit code. A job of no bytes is none: the guest was only tried out.
pub fn work(job: &[u8], port: &mut Port) -> u8 {
    if job.is_empty() {
        return 0;
    }
    let out = Out(Mutex::new(port));
    let (last, code) = match measure(job, &out) {
        Ok(last) => (last, 0),
        Err(error) => (Message::Failed(explain(&error)), 1),
    };
    // If the port takes nothing any more, the exit code has to do.
    if out.say(last).is_ok() { code } else { 1 }
}

fn measure(job: &[u8], out: &Out<'_>) -> anyhow::Result<Message> {
    let job: Job = serde_json::from_slice(job)?;
    let systems = job.systems.iter().map(|system| system.parse::<SystemChoice>().map_err(anyhow::Error::msg));
    let systems = systems.collect::<anyhow::Result<_>>()?;
    let sweep = Sweep::parse("the sweep", &job.sweep)?.in_guest();
    let sweep = Sweep { injected: job.injected, systems, ..sweep };
    if let Some(obstacles) = lab_obstacles() {
        anyhow::bail!("no lab can be made in this guest:\n{obstacles}");
    }
    let unable = unable_in(&sweep);
    let cores = Cores::choose()?;
    let mut environment = environment::collect(&sweep, &job.run, &job.started, cores.measuring);
    environment.clock = job.clock;
    if job.clock == Clock::Instructions {
        // Nobody else's load counts in this clock.
        environment.load_average = String::new();
    }
    let mark = LaneId {
        run: job.run,
        lane: job.lane,
        clock: job.clock,
        kernel: environment.kernel.clone(),
        hypervisor: environment.hypervisor.clone(),
    };
    out.say(Message::Environment(Box::new(environment)))?;
    let cells: Vec<_> = order::order(&sweep).into_iter().filter(|cell| job.part.has(cell)).collect();
    let before = Resume::read(&job.before);
    let (no_limit, files) = (job.no_limit, job.files);
    let settings = Settings { sweep: &sweep, mark, unable, no_limit, before, files };
    let stop = Stop::new();
    let lane = Lane::new(settings, cores, &stop);
    let mut broken = None;
    let tally = lane.measure(&cells, &mut &*out, &mut |event| {
        if let Err(error) = out.say(Message::Event(event)) {
            broken.get_or_insert(error);
            stop.request();
        }
    })?;
    match broken {
        Some(error) => Err(error.into()),
        None => Ok(Message::Done(tally)),
    }
}
