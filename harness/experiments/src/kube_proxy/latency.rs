//! Programming latency: from the moment when the API server has written an event until packets obey it.
//!
//! In an open loop: changes come when they are due, whether or not packets obey those before. While a change is under way,
//! packets go to its Service at a steady pace; if several are, in turns.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use kube_proxy::{Changed, System};
use lab::testbed::ServiceTarget;
use nix::sys::signal::Signal;
use workloads::clock::nanoseconds;

use super::changes::{Change, ChangeKind, Changes, schedule};
use super::packets::Packets;
use super::tracker::Tracker;

/// How often is looked whether kube-proxy still runs.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Later than this after it was due, a change is late.
const LATE: Duration = Duration::from_millis(100);

/// How changes come.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    /// What changes.
    pub changes: Vec<ChangeKind>,
    /// How often each of them comes.
    pub repeats: u32,
    /// From one to the next in the mean.
    pub gap: Duration,
    /// How long kube-proxy is stopped before the one in the middle.
    pub stall: Option<Duration>,
    /// Longest wait until packets obey.
    pub limit: Duration,
    /// Of their order, moments and Services.
    pub seed: u64,
}

/// One change that packets obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// What has changed.
    pub kind: ChangeKind,
    /// From the event to the first packet that obeys, nanoseconds.
    pub latency: u64,
    /// What the probe could tell apart: from the last packet that did not obey to that one, nanoseconds.
    pub resolution: u64,
    /// Whether kube-proxy was stopped meanwhile.
    pub stalled: bool,
}

/// What all changes came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    /// In the order in which packets obeyed.
    pub samples: Vec<Sample>,
    /// Packets that were lost, although their Service is there before and after the change.
    pub lost: u64,
    /// Most changes that were under way at once.
    pub most_open: usize,
    /// The longest that a change took from when it was wanted, as its annotation says, until its first event was in
    /// kube-proxy's socket, nanoseconds: kube-proxy counts from the one, `latency` from the other.
    pub longest_delivery: u64,
    /// Changes that came more than 100 ms after they were due, for want of processor time.
    pub late: usize,
    /// Changes that did not come, since no Service was free for them.
    pub not_offered: usize,
    /// Why it ended before its time: which change was not obeyed within the limit.
    pub given_up: Option<String>,
}

/// A change that is under way.
struct Open {
    kind: ChangeKind,
    /// Just before it was made.
    wanted: Instant,
    changed: Changed,
    target: ServiceTarget,
    tracker: Tracker,
    stalled: bool,
}

/// Changes the Services of a system whose kube-proxy runs. They end in another state than they began in.
///
/// # Errors
/// If kube-proxy ends, or a packet goes wrong.
pub(super) fn measure(
    system: &mut System,
    changes: &mut Changes,
    config: &Config,
) -> anyhow::Result<Latency> {
    changes.begin(config.seed);
    let due = schedule(&config.changes, config.repeats, config.gap, config.seed);
    let (mut latency, mut open) = (Latency::default(), Vec::new());
    let mut packets = Packets::new(&mut system.testbed);
    let (mut index, mut turn, mut resume) = (0, 0, None);
    let begun = Instant::now();
    let mut looked = begun;
    while index < due.len() || !open.is_empty() {
        let now = Instant::now();
        if let Some(&(at, kind)) = due.get(index)
            && now >= begun + at
        {
            let stall = config.stall.filter(|_| index == due.len() / 2);
            index += 1;
            latency.late += usize::from(now > begun + at + LATE);
            let busy: Vec<SocketAddrV4> = open.iter().map(|open: &Open| open.target.entry).collect();
            // With many under way there may be none left to change.
            let Ok(change) = changes.next(kind, &system.testbed.set, &busy) else {
                latency.not_offered += 1;
                continue;
            };
            open.push(begin(system, change, stall)?);
            resume = stall.map(|stall| Instant::now() + stall).or(resume);
            latency.most_open = latency.most_open.max(open.len());
        }
        if resume.is_some_and(|at| now >= at) {
            resume = None;
            system.process()?.signal(Signal::SIGCONT)?;
        }
        if looked.elapsed() > LOOK_INTERVAL {
            looked = Instant::now();
            system.check()?;
        }
        if open.is_empty() {
            let next = due.get(index).map_or(now, |(at, _)| begun + *at);
            std::thread::sleep(next.saturating_duration_since(now).min(LOOK_INTERVAL));
            continue;
        }
        turn = (turn + 1) % open.len();
        let one = &mut open[turn];
        let (sent, arrived) = packets.send(&mut system.testbed, &one.target)?;
        match one.tracker.see(sent, arrived) {
            Some(obeyed) => {
                let one = open.swap_remove(turn);
                // That it has arrived is sure, since packets obey.
                let told = system.told(&one.changed).unwrap_or(one.changed.applied.at);
                let delivery = nanoseconds(told.saturating_duration_since(one.wanted));
                latency.longest_delivery = latency.longest_delivery.max(delivery);
                let gap = obeyed.before.map_or(obeyed.at.saturating_duration_since(told), |before| {
                    obeyed.at.saturating_duration_since(before)
                });
                latency.samples.push(Sample {
                    kind: one.kind,
                    latency: nanoseconds(obeyed.at.saturating_duration_since(told)),
                    resolution: nanoseconds(gap),
                    stalled: one.stalled,
                });
                let is_there = !matches!(one.kind, ChangeKind::AddService | ChangeKind::RemoveService);
                latency.lost += if is_there { one.tracker.lost } else { 0 };
            }
            None if one.changed.applied.at.elapsed() > config.limit => {
                let (kind, entry, limit) = (one.kind, one.target.entry, config.limit);
                let lines = system.process()?.log().last_lines();
                latency.given_up =
                    Some(format!("packets to {entry} did not obey {kind:?} within {limit:?}: {lines}"));
                break;
            }
            None => {}
        }
    }
    packets.finish(&mut system.testbed)?;
    Ok(latency)
}

/// A change that is due.
fn begin(system: &mut System, change: Change, stall: Option<Duration>) -> anyhow::Result<Open> {
    if stall.is_some() {
        system.process()?.signal(Signal::SIGSTOP)?;
    }
    let wanted = Instant::now();
    let changed = system.change(&change.to)?;
    let (kind, tracker) = (change.kind, Tracker::new(change.sign));
    Ok(Open { kind, wanted, changed, target: change.target, tracker, stalled: stall.is_some() })
}
