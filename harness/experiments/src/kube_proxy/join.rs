//! From the start of a kube-proxy until its Services answer: of a node that joins, and of one whose kube-proxy is restarted.

use std::time::{Duration, Instant};

use kube_proxy::System;
use lab::testbed::ServiceTarget;
use services::service::Protocol;
use services::service_set::Position;
use workloads::clock::nanoseconds;

use super::packets::Packets;

/// How often is looked whether it still runs, and what it has logged.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What a start came to. Nanoseconds from the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Join {
    /// Until the last byte of all objects was in the socket; `None`: it never was.
    pub listed: Option<u64>,
    /// Until its first sync had ended, by its log.
    pub first_sync_ended: u64,
    /// How long that sync took, as it says.
    pub first_sync: u64,
    /// Until a packet to the Service at a position was answered, and after how many nanoseconds without an answer that was.
    pub answered: Vec<(Position, u64, u64)>,
    /// Packets that were lost after their Service had been answered once.
    pub lost: u64,
    /// Packets that were sent.
    pub packets: u64,
}

/// One Service that is probed.
struct Probed {
    position: Position,
    target: ServiceTarget,
    before: Instant,
    answered: Option<(Instant, Duration)>,
}

/// The first, a middle and the last Service that packets can be sent to.
///
/// # Errors
/// If there is none.
pub(super) fn targets(system: &System) -> anyhow::Result<Vec<(Position, ServiceTarget)>> {
    let mut targets = Vec::new();
    for position in [Position::First, Position::Middle, Position::Last] {
        let index = [Protocol::Udp, Protocol::Tcp]
            .into_iter()
            .find_map(|protocol| system.testbed.set.index_at(position, protocol));
        if let Some(index) = index {
            targets.push((position, system.testbed.service_target(index)?));
        }
    }
    anyhow::ensure!(!targets.is_empty(), "no Service has an endpoint that packets could be sent to");
    Ok(targets)
}

/// How a kube-proxy starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// Whether its predecessor has left rules, so that packets that are lost are counted from the beginning.
    pub serves: bool,
    /// Whether a load runs meanwhile.
    pub beside_load: bool,
}

/// Starts a kube-proxy, and sends packets until the first, a middle and the last Service have answered and its first sync has
/// ended.
///
/// # Errors
/// If it ends, a packet goes wrong, or not all of it has happened within `limit`.
pub(super) fn measure(
    system: &mut System,
    targets: Vec<(Position, ServiceTarget)>,
    start: Start,
    limit: Duration,
) -> anyhow::Result<Join> {
    let now = Instant::now();
    let probed = |(position, target)| Probed { position, target, before: now, answered: None };
    let mut probed: Vec<Probed> = targets.into_iter().map(probed).collect();
    anyhow::ensure!(!probed.is_empty(), "there is no Service to send packets to");
    let mut packets = Packets::beside(&mut system.testbed, start.beside_load);
    let started = system.start()?;
    let mut join = Join::default();
    let (mut looked, mut turn) = (started, 0);
    let first_sync = loop {
        let next = turn % probed.len();
        turn += 1;
        let one = &mut probed[next];
        let (sent, arrived) = packets.send(&mut system.testbed, &one.target)?;
        join.packets += 1;
        match arrived {
            Some(_) => {
                one.answered.get_or_insert((sent, sent.saturating_duration_since(one.before)));
            }
            None => {
                join.lost += u64::from(start.serves || one.answered.is_some());
                one.before = sent;
            }
        }
        if looked.elapsed() < LOOK_INTERVAL {
            continue;
        }
        looked = Instant::now();
        system.check()?;
        let all = probed.iter().all(|one| one.answered.is_some());
        if let Some(first_sync) = system.first_sync().filter(|_| all) {
            break first_sync;
        }
        if started.elapsed() > limit {
            let missing: Vec<_> =
                probed.iter().filter(|one| one.answered.is_none()).map(|one| one.position.name()).collect();
            let what = if missing.is_empty() {
                "its first sync had not ended".to_owned()
            } else {
                format!("the Services at {} had not answered", missing.join(", "))
            };
            let lines = system.process()?.log().last_lines();
            anyhow::bail!("{limit:?} after the start of kube-proxy {what}: {lines}");
        }
    };
    packets.finish(&mut system.testbed)?;
    let since = |moment: Instant| nanoseconds(moment.saturating_duration_since(started));
    join.listed = system.listed().map(since);
    join.first_sync_ended = since(first_sync.0);
    join.first_sync = nanoseconds(first_sync.1);
    for one in probed {
        let answered = one.answered.map(|(at, gap)| (one.position, since(at), nanoseconds(gap)));
        join.answered.extend(answered);
    }
    // Other families follow.
    system.wait_until_synced(limit)?;
    Ok(join)
}
