//! What packets feel while the API server is away, and when kube-proxy has to list everything anew.

use std::time::{Duration, Instant};

use kube_proxy::System;
use workloads::clock::nanoseconds;

use super::changes::{Change, ChangeKind, Changes};
use super::packets::Packets;
use super::tracker::Tracker;

/// How often is looked whether kube-proxy still runs.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// client-go waits longer and longer between two tries, at most 30 s, and up to twice that by chance (`backoffManager` of
/// the reflector in client-go's tools/cache).
const BACKOFF: Duration = Duration::from_secs(60);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    /// The API server refuses connections for so long.
    Away(Duration),
    /// Every watch ends with 410, and what it asks for is gone: all is listed anew.
    Relist,
}

impl Outage {
    /// How long it may take until packets obey a change that is made meanwhile.
    pub(super) fn longest(self, limit: Duration) -> Duration {
        let away = match self {
            Outage::Away(seconds) => seconds,
            Outage::Relist => Duration::ZERO,
        };
        away + limit + BACKOFF
    }
}

/// What it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Felt {
    /// When the outage began.
    pub begun: Instant,
    /// When the first packet that obeyed was sent.
    pub obeyed: Instant,
    /// From the end of the outage until packets obeyed a change that was made meanwhile, nanoseconds.
    pub recovered: u64,
    /// What the probe could tell apart, nanoseconds.
    pub resolution: u64,
    /// Packets to the changed Service that were lost.
    pub lost: u64,
    /// Packets that were sent to it.
    pub packets: u64,
}

/// The change that is made during an outage: one endpoint is another.
///
/// # Errors
/// If no Service is there for it.
pub(super) fn change(system: &System, outage: Outage, seed: u64) -> anyhow::Result<Change> {
    let mut changes = Changes::of_outage(seed, matches!(outage, Outage::Relist));
    changes.next(ChangeKind::ReplaceEndpoint, &system.testbed.set, &[])
}

/// Makes a change during an outage, and sends packets to its Service until they obey, beside a load or not.
///
/// # Errors
/// If kube-proxy ends, a packet goes wrong, or they do not obey in time: `limit`, and what client-go may wait at most.
pub(super) fn measure(
    system: &mut System,
    outage: Outage,
    change: Change,
    beside_load: bool,
    limit: Duration,
) -> anyhow::Result<Felt> {
    let mut packets = Packets::beside(&mut system.testbed, beside_load);
    let mut tracker = Tracker::new(change.sign);
    let begun = Instant::now();
    let mut sent_packets = 0;
    let mut ends = match outage {
        Outage::Away(seconds) => {
            system.server().away()?;
            system.change(&change.to)?;
            Some(Instant::now() + seconds)
        }
        Outage::Relist => {
            system.server().expire_watches();
            system.change(&change.to)?;
            None
        }
    };
    let (mut ended, mut looked) = (Instant::now(), Instant::now());
    loop {
        if ends.is_some_and(|at| Instant::now() >= at) {
            ends = None;
            system.server().back()?;
            ended = Instant::now();
        }
        if looked.elapsed() > LOOK_INTERVAL {
            looked = Instant::now();
            system.check()?;
        }
        let (sent, arrived) = packets.send(&mut system.testbed, &change.target)?;
        sent_packets += 1;
        if let Some(obeyed) = tracker.see(sent, arrived) {
            anyhow::ensure!(ends.is_none(), "packets obey a change that kube-proxy cannot know of");
            packets.finish(&mut system.testbed)?;
            let since = |earlier: Instant| nanoseconds(obeyed.at.saturating_duration_since(earlier));
            return Ok(Felt {
                begun,
                obeyed: obeyed.at,
                recovered: since(ended),
                resolution: since(obeyed.before.unwrap_or(ended)),
                lost: tracker.lost,
                packets: sent_packets,
            });
        }
        if ends.is_none() && ended.elapsed() > limit + BACKOFF {
            let lines = system.process()?.log().last_lines();
            anyhow::bail!(
                "packets did not obey within {:?} of the end of an outage: {lines}",
                limit + BACKOFF
            );
        }
    }
}
